"""Classes of one's own, for folders of pictures that are called as them."""

import unicodedata
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from clip.prompts.classes import Class, Lang, Task, check_differ, checked_texts
from synth.base.config import Config


class FolderTask(Task):
    """A task whose classes are folders of pictures, `source` in an input."""

    folders: dict[str, str]
    """Folder, folded, or several with `/` between -> its class."""

    def classify(self, table: pa.Table) -> np.ndarray:
        """(N,) the number of each record's class: of nested folders that are named, the innermost counts; -1 for none."""
        names = [*self.classes]
        found = [self._class_of(source or "") for source in table["source"].to_pylist()]
        return np.array([-1 if name is None else names.index(name) for name in found], dtype=int)

    def _class_of(self, source: str) -> str | None:
        parts = folded(source).split("/")
        ways = ("/".join(parts[start:end]) for end in range(len(parts), 0, -1) for start in range(end))
        return next((self.folders[way] for way in ways if way in self.folders), None)


class OwnClass(Config):
    """A class of one's own folders of pictures."""

    folders: tuple[str, ...] = ()
    """The folders that hold it; without any, the one called as the class.  Letters' case and width do not count."""
    zh: tuple[str, ...] = Field(min_length=1)
    """Chinese texts that describe it."""
    en: tuple[str, ...] = Field(min_length=1)
    """English texts that describe it."""

    @field_validator("folders", "zh", "en", mode="before")
    @classmethod
    def one_or_more(cls, value: Any) -> Any:
        several = value if isinstance(value, list | tuple) else (value,)
        return tuple(str(each) if type(each) is int else each for each in several)

    @field_validator("zh", "en")
    @classmethod
    def texts_say_something(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return checked_texts(texts)

    def texts(self, lang: Lang) -> tuple[str, ...]:
        """The prompts of this class in one language."""
        return self.zh if lang == "zh" else self.en


class OwnClasses(Config):
    """A file of classes of one's own, for folders of pictures: `clip eval --classes FILE.yaml`."""

    title: str = "own classes"
    """For people."""
    ordinal: bool = False
    """The classes are grades, from none to most."""
    classes: dict[str, OwnClass] = Field(min_length=2)
    """By name, in order."""

    @field_validator("classes", mode="before")
    @classmethod
    def names_are_texts(cls, classes: Any) -> Any:
        if not isinstance(classes, Mapping):
            return classes
        for name in classes:
            if not isinstance(name, str) and type(name) is not int:
                raise ValueError(f"a class is called {name!r}, as YAML reads it; write its name in quotes")
        return {str(name): each for name, each in classes.items()}

    @model_validator(mode="after")
    def a_folder_has_one_class(self) -> Self:
        folders = [
            folded(folder) for name, each in self.classes.items() for folder in each.folders or (name,)
        ]
        if twice := [name for k, name in enumerate(folders) if name in folders[:k]]:
            raise ValueError(f"folder '{twice[0]}' is of two classes; give it to one")
        check_differ(self.classes)
        return self

    def task(self, file: str) -> FolderTask:
        """The same as a task; the folders of a picture are its `source`."""
        places = {name: each.folders or (name,) for name, each in self.classes.items()}
        made = {
            name: Class(where=({"source": [*places[name]]},), zh=each.zh, en=each.en)
            for name, each in self.classes.items()
        }
        folders = {folded(folder): name for name, several in places.items() for folder in several}
        return FolderTask(title=self.title, source=file, ordinal=self.ordinal, classes=made, folders=folders)


def folded(folders: str) -> str:
    """Names of folders as they are compared: without case, width of letters, and space around."""
    plain = unicodedata.normalize("NFKC", folders).casefold()
    return "/".join(part.strip() for part in plain.split("/"))
