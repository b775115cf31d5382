"""The layouts in which one set is spread: its table under several names, in folders that archives add."""

from pathlib import Path

from synth.base.errors import UserError


def one_file(root: Path, *patterns: str) -> Path:
    """The file that fits the first pattern that any fits, in a folder or as many as two below it.

    Raises:
        UserError: none does, or two do.
    """
    for pattern in patterns:
        found = sorted(path for below in ("", "*/", "*/*/") for path in root.glob(f"{below}{pattern}"))
        if len(found) > 1:
            raise UserError(
                f"{root}: holds {found[0]} and {found[1]}; give the folder of the one that is meant as --root"
            )
        if found:
            return found[0]
    raise UserError(f"{root}: holds no {' or '.join(patterns)}; is --root the folder of this set?")
