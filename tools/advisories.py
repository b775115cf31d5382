"""Look the installed packages up in PyPI's security advisories, by pip-audit.

    python tools/advisories.py

Exit status 1 where a newer version mends an advisory; those without a remedy are listed.  Without a network, or where its
index knows no advisories, it says that nothing was looked up, and exit status is 0.
"""

import json
import subprocess
import sys
from typing import Any

_COMMAND = (sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--skip-editable", "--local", "--timeout", "10")  # fmt: skip


def main() -> int:
    """Print one line an advisory."""
    try:
        done = subprocess.run(_COMMAND, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        print("advisories: not looked up (no answer within 300 s)")
        return 0
    try:
        report = json.loads(done.stdout)
    except ValueError:  # pip-audit writes no report where it reaches nothing
        print(f"advisories: not looked up ({(done.stderr.strip() or 'no report').splitlines()[-1][:160]})")
        return 0
    return told(report)


def told(report: dict[str, Any]) -> int:
    """Print the advisories of a report; 1 if an update mends one of them."""
    packages = [each for each in report["dependencies"] if "vulns" in each]
    if not packages:
        print("advisories: not looked up (no package of this environment is known there)")
    mendable = 0
    for package in packages:
        for advisory in package["vulns"]:
            versions = ", ".join(advisory["fix_versions"])
            mendable += bool(versions)
            remedy = (
                f"mended in {versions}; raise it in constraints.txt"
                if versions
                else "no version mends it yet"
            )
            print(f"{package['name']} {package['version']}: {advisory['id']}, {remedy}")
    if packages:
        print(f"advisories: {len(packages)} packages looked up, {mendable} advisories that an update mends")
    return int(mendable > 0)


if __name__ == "__main__":
    sys.exit(main())
