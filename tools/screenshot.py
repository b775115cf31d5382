"""Draw the picture of a page for README: what a person sees first of the demo's report.

    python tools/screenshot.py demo/report.html --out docs/pictures/report.jpg

Needs Chromium.  Run it again when the page looks different.
"""

import argparse
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

WIDTH, HEIGHT = 1240, 720  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/report.jpg"))
    given = parser.parse_args()
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        parser.error("needs Chromium on the PATH")
    with TemporaryDirectory() as home:
        shot = Path(home) / "shot.png"
        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={home}/profile",
                 f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}")  # fmt: skip
        subprocess.run([program, *flags, given.page.resolve().as_uri()], check=True, capture_output=True)
        Image.open(shot).convert("RGB").save(given.out, quality=82, optimize=True)


if __name__ == "__main__":
    main()
