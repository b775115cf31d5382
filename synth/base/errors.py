"""The one exception that a user sees as a single line."""

from typing import NoReturn


class UserError(Exception):
    """Something the user can fix; the message names the file, the key, the value and the remedy."""


def later(flag: str, version: str) -> NoReturn:
    """Refuse a documented flag that a later version brings."""
    raise UserError(f"{flag} comes with visionclip {version}; this is {_version()}")


def _version() -> str:
    from importlib.metadata import version

    return version("visionclip")
