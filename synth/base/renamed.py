"""Settings whose keys have been renamed: the old ones are read, with a line that says the new, and stay on disk."""

import sys
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from synth.base.config import Config


class RenamedKeys(Config):
    """Settings of which some fields had another name: what is written keeps it, so that runs and hashes stay the same."""

    RENAMED: ClassVar[Mapping[str, str]] = {}
    """Old key -> the field that it is now."""

    @model_validator(mode="before")
    @classmethod
    def _take_old_keys(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for old in values.keys() & cls.RENAMED:
                print(f"'{old}' is called '{cls.RENAMED[old]}' now", file=sys.stderr)
            return cls.current_keys(values)
        return values

    @classmethod
    def current_keys(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Settings as a file of ours keeps them, by the names of today."""
        return {cls.RENAMED.get(key, key): value for key, value in values.items()}

    @model_serializer(mode="wrap")
    def _write_old_keys(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        old = {new: name for name, new in self.RENAMED.items()}
        return {old.get(key, key): value for key, value in write(self).items()}
