"""Numbers with what they count, for lines that people read."""

import re

_PLURALS = {
    "person": "people",
    "copy": "copies",
    "class": "classes",
    "is": "are",
    "has": "have",
    "was": "were",
}
"""Of nouns and verbs that do not end in -s alone."""


def number_of(number: int, noun: str, verb: str = "") -> str:
    """`1 picture`, `2,000 pictures`; with a verb `1 picture is`, `2,000 pictures are`."""
    words = [each for each in (noun, verb) if each]
    many = [_PLURALS.get(each, f"{each}s") for each in words]
    return f"{number:,} {' '.join(words if number == 1 else many)}"


def with_minus(text: str) -> str:
    """A text of a page whose numbers have minus signs, which a hyphen beside the dash of an interval is not."""
    return re.sub(r"(?<!\w)-(?=\.?\d)", "−", text)
