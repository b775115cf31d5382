"""Write what an environment holds, as a CycloneDX 1.6 bill of materials: name, version, licence and requirements of each package.

    python tools/sbom.py --out dist/sbom.json

The same environment gives the same file, but for its serial number and time.
"""

import argparse
import importlib.metadata
import re
from pathlib import Path
from typing import Any

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

_PROJECT = "visionclip"


def bill() -> Any:
    """Every distribution of this environment, and what requires what."""
    found: dict[str, importlib.metadata.Distribution] = {}
    for distribution in importlib.metadata.distributions():
        found.setdefault(_name(distribution.metadata["Name"]), distribution)
    components = {name: _component(name, each) for name, each in sorted(found.items())}
    made: Any = Bom()
    if _PROJECT in components:
        made.metadata.component = components[_PROJECT]
    for name, component in components.items():
        if name != _PROJECT:
            made.components.add(component)
        wanted = {_name(re.split(r"[^\w.-]", text, maxsplit=1)[0]) for text in found[name].requires or []}
        made.register_dependency(component, [components[each] for each in sorted(wanted & set(components))])
    return made


def _name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def _component(name: str, distribution: importlib.metadata.Distribution) -> Any:
    told = distribution.metadata
    named = [told[key] for key in ("License-Expression", "License") if key in told]
    licence = next(filter(None, named), "").strip().splitlines()[:1]
    component: Any = Component  # its decorators hide the parameters from a type checker
    kinds: Any = DisjunctiveLicense
    return component(
        type=ComponentType.APPLICATION if name == _PROJECT else ComponentType.LIBRARY,
        name=name,
        version=distribution.version,
        bom_ref=f"{name}@{distribution.version}",
        purl=PackageURL("pypi", None, name, distribution.version),
        licenses=[kinds(name=licence[0][:100])] if licence and licence[0] else [],
    )


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path("dist/sbom.json"))
    out: Path = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(JsonV1Dot6(bill()).output_as_string(indent=1) + "\n", encoding="utf-8")
    print(out)


if __name__ == "__main__":
    main()
