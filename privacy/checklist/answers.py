"""What a person answers: a YAML file that the command begins with what is open, and never changes where somebody wrote."""

from collections.abc import Collection
from pathlib import Path
from typing import Literal

import yaml
from pydantic import model_validator

from privacy.checklist.items import Item, items
from synth.base import config, runs
from synth.base.config import Config, read_yaml
from synth.base.errors import UserError

NAME = "checklist.yaml"
_WORDS = ("yes", "partly", "no", "not applicable")
_HEAD = f"""\
# What no file of the release answers.  Fill in and repeat the command; what is left empty stays open.
#   answer:         {", ".join(_WORDS)}
#   explanation:    a sentence or two, for the page; explanation_zh for the Chinese one, where you write both
#   source:         where a reader can check it: a document, a number of an approval, an address
"""


class ChecklistAnswer(Config):
    """The answer of a person to one item; without `answer` it is open."""

    question: str = ""
    """As the command wrote it, for the reader of the file."""
    question_zh: str = ""
    """The same in Chinese."""
    answer: Literal["yes", "partly", "no", "not applicable"] | None = None
    """What holds; needs `explanation` and `source` beside it."""
    explanation: str | None = None
    """A sentence or two, for the page."""
    explanation_zh: str | None = None
    """The same for the Chinese page, which else shows `explanation`."""
    source: str | None = None
    """Where a reader can check it."""

    @model_validator(mode="after")
    def an_answer_can_be_checked(self) -> "ChecklistAnswer":
        if self.answer:
            for name in ("explanation", "source"):
                if not (getattr(self, name) or "").strip():
                    raise ValueError(
                        f"answer={self.answer!r} without '{name}'; an answer that nobody can check is none, so fill it in "
                        "or leave 'answer' empty"
                    )
        elif self.explanation or self.explanation_zh or self.source:
            raise ValueError(f"'answer' is empty beside what was filled in; write one of {', '.join(_WORDS)}")
        return self


def read(path: Path) -> dict[str, ChecklistAnswer]:
    """Key of an item -> what a person answered; nothing where there is no such file.

    Raises:
        UserError: not YAML, an item that is not known, or an answer without explanation or source.
    """
    if not path.exists():
        return {}
    values = read_yaml(path)
    keys = [item.key for item in items()]
    for key in values:
        if key not in keys:
            raise UserError(f"{path}: unknown item '{key}'; delete it, the items are {', '.join(keys)}")
    given = {key: {} if value is None else value for key, value in values.items()}
    return {
        key: config.check(ChecklistAnswer, _mapping(path, key, value), f"{path}: {key}")
        for key, value in given.items()
    }


def _mapping(path: Path, key: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise UserError(
            f"{path}: {key}: holds {value!r}, where 'answer:', 'explanation:' and 'source:' belong"
        )
    return value


def ask(path: Path, open: Collection[Item]) -> int:
    """Append the items that are `open` and not in the file yet, to be filled in; returns how many these are."""
    there = read(path)
    new = [item for item in open if item.key not in there]
    if new:
        text = path.read_text(encoding="utf-8") if path.exists() else _HEAD
        runs.write_text(path, text.rstrip("\n") + "\n" + "".join(map(_empty, new)))
    return len(new)


def _empty(item: Item) -> str:
    values = {"question": item.en, "question_zh": item.zh}
    asked = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=10_000)
    blank = "".join(f"{name}:\n" for name in ("answer", "explanation", "explanation_zh", "source"))
    body = "".join(f"  {line}\n" for line in (asked + blank).splitlines())
    return f"\n{item.key}:\n{body}"
