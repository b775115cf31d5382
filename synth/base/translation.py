"""Pages in two languages: templates mark their texts with Jinja's `{% trans %}`, and a catalogue beside them has the Chinese.

A text that comes from code, such as a note of a report, is looked up whole in the same catalogue.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from synth.base.documents import read_yaml

LANGUAGES = {"en": "English", "zh": "中文"}
"""Of every page -> what a link to it is called."""
_VALUE = re.compile(r"%\((\w+)\)([sdf])|%%")


def page_name(name: str, language: str) -> str:
    """The file of a page in a language: `report.html`, and in Chinese `report.zh.html`."""
    path = Path(name)
    return name if language == "en" else path.with_suffix(f".{language}{path.suffix}").as_posix()


def other(language: str) -> str:
    """The language that a page links to."""
    return "en" if language == "zh" else "zh"


class Catalogue:
    """English texts and the same in Chinese, from YAML: those that templates mark in `pages`, those of code and data in `code`.

    `%(name)s` stands for a text that differs, `%(name)d` and `%(name)f` for a number, `%%` for a percent sign.
    """

    def __init__(self, path: Path, terms: Mapping[str, str] = {}) -> None:
        """`terms` are further texts of code and data."""
        self._path, self._terms = path, terms

    @cached_property
    def _content(self) -> dict[str, dict[str, str]]:
        return {"code": {}} | read_yaml(self._path)  # type: ignore[return-value]

    @property
    def pages(self) -> dict[str, str]:
        """Text of a template -> Chinese."""
        return self._content["pages"]

    @property
    def code(self) -> dict[str, str]:
        """Text of code or data -> Chinese."""
        return self._content["code"]

    @cached_property
    def _whole(self) -> dict[str, str]:
        texts = self.pages | self.code
        plain = {key: chinese for key, chinese in texts.items() if "%(" not in key}
        return {
            **self._terms,
            **{key.replace("%%", "%"): each.replace("%%", "%") for key, each in plain.items()},
        }

    @cached_property
    def _forms(self) -> list[tuple[re.Pattern[str], str]]:
        return [(_pattern(text), chinese) for text, chinese in self.code.items() if "%(" in text]

    def translated(self, text: str, language: str = "zh") -> str:
        """A text of code or data, and texts in it, by the first entry that fits; what no entry has stays as it is."""
        if language == "en" or text in self._whole:
            return text if language == "en" else self._whole[text]
        for form, chinese in self._forms:
            if found := form.fullmatch(text):
                values = {key: self.translated(value) for key, value in found.groupdict().items()}
                return _VALUE.sub(lambda place, values=values: values[place[1]] if place[1] else "%", chinese)
        return text


_HELD = {"s": ".+?", "d": r"[\d,]+", "f": r"[-+]?[\d.,]+|–"}


def _pattern(text: str) -> re.Pattern[str]:
    """A text as a regular expression whose groups are its values."""
    parts, at = [], 0
    for value in _VALUE.finditer(text):
        parts += [
            re.escape(text[at : value.start()]),
            f"(?P<{value[1]}>{_HELD[value[2]]})" if value[1] else "%",
        ]
        at = value.end()
    return re.compile("".join([*parts, re.escape(text[at:])]), re.DOTALL)
