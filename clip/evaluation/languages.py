"""The pages of evaluations in English and Chinese."""

from pathlib import Path
from typing import TYPE_CHECKING

from synth.base.templates import environment
from synth.base.translation import Catalogue
from synth.data.vocabulary import CHINESE, ENGLISH

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).parent / "templates"
CATALOGUE = Catalogue(_TEMPLATES / "zh.yaml", CHINESE)
_NAMES = ENGLISH | {"zh": "Chinese", "en": "English", "both": "both languages"}
"""What English pages call classes, and rows of one language."""


def translated(text: str, language: str) -> str:
    """A title, a note, a row or a class in a language."""
    return _NAMES.get(text, text) if language == "en" else CATALOGUE.translated(text)


def pages(language: str) -> "Environment":
    """The templates of this folder."""
    made = environment(_TEMPLATES, language, CATALOGUE)
    made.filters["translated"] = lambda text: translated(text, language)
    return made
