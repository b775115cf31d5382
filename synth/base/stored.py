"""JSON files of ours as typed values: a reader relies on fields, and what is written again has the same bytes."""

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from synth.base.config import check
from synth.base.errors import UserError
from synth.base.runs import read_json

Number = int | float
"""A number that stays as a file has it: 1 is not made 1.0, which would give another fingerprint."""


class Stored(BaseModel):
    """A value that is kept as JSON.

    A key that a file does not have stays absent when it is written again, and one that a later version adds is kept.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        use_attribute_docstrings=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    VERSION: ClassVar[int] = 1
    """The newest version of the file that is read."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """The content of a JSON file.

        Raises:
            UserError: absent, damaged, of a later version, or without a key that is needed.
        """
        return cls.parse(read_json(path), str(path))

    @classmethod
    def parse(cls, values: Any, where: str) -> Self:
        """The same from values; an error begins with `where`."""
        if not isinstance(values, dict):
            raise UserError(f"{where}: holds a {type(values).__name__}, where an object is needed")
        found = check(cls, values, where)
        version = getattr(found, "version", 1)
        if version > cls.VERSION:
            raise UserError(
                f"{where}: version {version}, this visionclip reads up to {cls.VERSION}; "
                "update with 'pip install -U visionclip'"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """The value as it stands in the file: only the keys that were given, in the order of the fields."""
        return self.model_dump(mode="json", exclude_unset=True)

    def replaced(self, **values: Any) -> Self:
        """The same with other values for some keys."""
        return type(self).model_validate(self.to_json() | values)
