"""Zero-shot tasks as data: which records make a class, and which texts describe it, in both languages.

One YAML file holds one or more tasks.  A class is `where` (records) and `labels` (what a caption of it would
state, worded by every template of `synth.data.captions`: the style that the encoder learnt), or `zh` and
`en` texts of its own.  `normal` stands for the eleven diseases absent and no finding.
"""

import difflib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from synth.base.config import Config, check, read_yaml
from synth.base.errors import UserError
from synth.data import captions
from synth.data.records import COLUMNS, check_labels
from synth.data.vocabulary import DR, FLAGS

NORMAL: dict[str, Any] = dict.fromkeys((DR.key, *FLAGS), 0) | {"findings": []}

Lang = Literal["zh", "en"]
Condition = dict[str, Any]
"""Column -> value, or list of values, null for unknown; all must hold.  Of findings: one that is there, or [] for none."""


class Class(Config):
    """One class of a task."""

    where: tuple[Condition, ...]
    """The records that belong to it: those of which any condition holds."""
    labels: dict[str, Any] = Field(default={})
    """What a caption states of it; every template words it."""
    zh: tuple[str, ...] = ()
    """Chinese texts, beside those of `labels`."""
    en: tuple[str, ...] = ()
    """English texts, beside those of `labels`."""

    @field_validator("where", mode="before")
    @classmethod
    def one_or_more(cls, value: Any) -> Any:
        conditions = value if isinstance(value, list | tuple) else [value]
        return tuple(NORMAL if condition == "normal" else condition for condition in conditions)

    @field_validator("labels", mode="before")
    @classmethod
    def normal_is_a_word(cls, value: Any) -> Any:
        return NORMAL if value == "normal" else value

    @model_validator(mode="after")
    def has_words_and_columns(self) -> Self:
        for column in {key for condition in self.where for key in condition}:
            if column not in COLUMNS:
                raise ValueError(f"unknown column '{column}'; known: {', '.join(COLUMNS)}")
        try:
            check_labels(self.labels, "labels")
        except UserError as error:
            raise ValueError(str(error)) from None
        if not self.labels and not (self.zh and self.en):
            raise ValueError("a class needs 'labels', or texts in both 'zh' and 'en'")
        return self

    def texts(self, lang: Lang) -> tuple[str, ...]:
        """The prompts of this class in one language."""
        written = captions.variants(self.labels, lang) if self.labels else ()
        return tuple(dict.fromkeys((*written, *(self.zh if lang == "zh" else self.en))))

    def holds(self, record: dict[str, Any]) -> bool:
        """Whether a record belongs to this class."""
        return any(
            all(_fits(record[column], wanted) for column, wanted in condition.items())
            for condition in self.where
        )


class Task(Config):
    """Classes to choose between."""

    title: str
    """For people."""
    source: str
    """Where the classes and the words come from."""
    ordinal: bool = False
    """The classes are grades, from none to most."""
    classes: dict[str, Class] = Field(min_length=2)
    """By name, in order."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that tell the classes apart."""
        keys = (key for each in self.classes.values() for condition in each.where for key in condition)
        return tuple(dict.fromkeys(keys))

    def classify(self, table: pa.Table) -> np.ndarray:
        """(N,) the number of each record's class; -1 where it is of none, or of more than one."""
        records = table.select(list(self.columns)).to_pylist()
        found = [
            [k for k, each in enumerate(self.classes.values()) if each.holds(record)] for record in records
        ]
        return np.array([ks[0] if len(ks) == 1 else -1 for ks in found], dtype=int)


class File(Config):
    """A file of prompts."""

    on_request: bool = False
    """Evaluated only if it is asked for by name."""
    tasks: dict[str, Task]
    """By name."""


class OwnClass(Config):
    """A class of one's own folders of pictures."""

    folders: tuple[str, ...] = ()
    """The folders that hold it; without any, the one called as the class."""
    zh: tuple[str, ...] = Field(min_length=1)
    """Chinese texts that describe it."""
    en: tuple[str, ...] = Field(min_length=1)
    """English texts that describe it."""

    @field_validator("folders", "zh", "en", mode="before")
    @classmethod
    def one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class OwnClasses(Config):
    """A file of classes of one's own, for folders of pictures: `clip eval --classes FILE.yaml`."""

    title: str = "own classes"
    """For people."""
    ordinal: bool = False
    """The classes are grades, from none to most."""
    classes: dict[str, OwnClass] = Field(min_length=2)
    """By name, in order."""

    @model_validator(mode="after")
    def a_folder_has_one_class(self) -> Self:
        names = [folder for name, each in self.classes.items() for folder in each.folders or (name,)]
        if twice := [name for k, name in enumerate(names) if name in names[:k]]:
            raise ValueError(f"folder '{twice[0]}' is of two classes; give it to one")
        return self

    def task(self, file: str) -> Task:
        """The same as a task; the folder of a picture is its `source`."""
        made = {
            name: Class(where=({"source": [*each.folders] or [name]},), zh=each.zh, en=each.en)
            for name, each in self.classes.items()
        }
        return Task(title=self.title, source=file, ordinal=self.ordinal, classes=made)


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(value, list) or wanted == []:  # findings
        known = value if isinstance(value, list) else None
        return known == [] if wanted == [] else known is not None and wanted in known
    return value in wanted if isinstance(wanted, list) else value == wanted


@cache
def files() -> dict[str, File]:
    """All files of prompts by name."""
    folder = Path(__file__).parent
    return {path.stem: check(File, read_yaml(path), str(path)) for path in sorted(folder.glob("*.yaml"))}


def tasks(name: str | None = None) -> dict[str, Task]:
    """The tasks of a name: one task, all of a file, or all of a YAML file of one's own (a path), which holds
    tasks or `OwnClasses`; without a name, all
    that need not be asked for.

    Raises:
        UserError: no such task.
    """
    if name is not None and "," in name and not Path(name).exists():
        return {key: task for each in name.split(",") for key, task in tasks(each.strip()).items()}
    if name is not None and Path(name).suffix in (".yaml", ".yml"):
        content = read_yaml(Path(name))
        if "classes" in content:
            return {Path(name).stem: check(OwnClasses, content, name).task(name)}
        return dict(check(File, content, name).tasks)
    if name is None:
        return {
            key: task for file in files().values() if not file.on_request for key, task in file.tasks.items()
        }
    if name in files():
        return dict(files()[name].tasks)
    everything = {key: task for file in files().values() for key, task in file.tasks.items()}
    if name not in everything:
        known: Sequence[str] = sorted({*files(), *everything})
        near = difflib.get_close_matches(name, known, 1)
        remedy = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        raise UserError(f"--prompts '{name}' is no task; {remedy}")
    return {name: everything[name]}
