"""The recipes that ship: YAML files of settings in the folder `configs` of a package, asked for by name or by path.

Every `--help` lists them, so nothing here is slow to import.
"""

import difflib
from pathlib import Path

from synth.base.errors import UserError

_PACKAGES = Path(__file__).parents[2]
_REPLACED = {"latent256": "fundus256"}


def folder(package: str) -> Path:
    """Where the recipes of `synth`, `clip` or `privacy` lie, in a checkout and in an installation alike."""
    return _PACKAGES / package / "configs"


def names(package: str) -> list[str]:
    """Of the recipes of a package, in alphabetical order."""
    return sorted(path.stem for path in folder(package).glob("*.yaml"))


def find(wanted: Path, package: str | None) -> Path:
    """The file that `--config` names: one that is there, else the recipe of `package` of that name, a bare word.

    Raises:
        UserError: it is neither.
    """
    if package is None or wanted.is_file():
        return wanted
    known = names(package)
    if wanted.name in known and wanted.parent == Path():
        return folder(package) / f"{wanted.name}.yaml"
    near = difflib.get_close_matches(wanted.stem, known, 1, 0.45)
    hint = f"did you mean '{near[0]}'? " if near else ""
    if wanted.name in _REPLACED:
        hint = f"'{_REPLACED[wanted.name]}' took its place; "
    raise UserError(f"{wanted}: no such file, and no recipe of that name; {hint}known: {', '.join(known)}")
