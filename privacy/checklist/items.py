"""What the checklist of ethics has to say of a release: its items, their principles, and the marks that they may get."""

from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from synth.base.documents import read_yaml

Mark = Literal["yes", "partly", "no", "not applicable", "open"]
"""The answer to an item; "open" of what nobody has answered."""
SIGNS: dict[Mark, str] = {"yes": "☑", "partly": "◐", "no": "☒", "not applicable": "–", "open": "☐"}
_PATH = Path(__file__).parent / "items.yaml"


class Item(NamedTuple):
    """One question; a yes is what a reader hopes for."""

    key: str
    """Such as "privacy.copies"; its first part is the principle."""
    en: str
    zh: str

    @property
    def principle(self) -> str:
        """A key of `principles`."""
        return self.key.partition(".")[0]


class Evidence(NamedTuple):
    """What a file of the release answers to an item."""

    en: str
    zh: str
    source: str
    """The file that says so, by its name alone."""
    mark: Mark
    """`partly` of what a person has to complete."""


@cache
def items() -> tuple[Item, ...]:
    """All items, in the order in which they are shown."""
    listed = read_yaml(_PATH)["items"]
    assert isinstance(listed, list)
    return tuple(Item(**each) for each in listed)


@cache
def principles() -> dict[str, tuple[str, str]]:
    """Key -> the name of a principle in English and in Chinese."""
    listed = read_yaml(_PATH)["principles"]
    assert isinstance(listed, dict)
    return {key: (names[0], names[1]) for key, names in listed.items()}
