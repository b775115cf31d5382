"""Settings: frozen pydantic models, YAML files that hold only what differs, and errors in one line."""

import difflib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from synth.base.errors import UserError


class Config(BaseModel):
    """A frozen set of settings; the line under each field says what it is and when to change it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


C = TypeVar("C", bound=Config)


def load(kind: type[C], path: Path | None = None, assignments: Sequence[str] = ()) -> C:
    """Build a config from its defaults, a YAML file, and `key=value` assignments (dots reach into sections).

    Raises:
        UserError: a file, key or value is wrong; one line that names it, with a suggestion where there is one.
    """
    values = read_yaml(path) if path else {}
    for assignment in assignments:
        _assign(values, assignment)
    return check(kind, values, str(path) if path else "--set")


def check(kind: type[C], values: dict[str, Any], where: str) -> C:
    """Validate `values`, turning pydantic's report into one line that begins with `where`."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(kind, error)}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds a {type(values).__name__}, not settings; write 'key: value' lines")
    return values


def fingerprint(value: Any) -> str:
    """The sha256, in hex, of a JSON-able value: the same for equal values, whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _assign(values: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise UserError(f"--set '{assignment}': write it as key=value")
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise UserError(f"--set '{assignment}': '{section}' is a value, not a section")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set '{assignment}': '{text}' is not a YAML value; quote it") from None
    if isinstance(values[last], str):  # YAML 1.1 reads 2e-4 as text
        try:
            values[last] = float(values[last])
        except ValueError:
            pass


def _explain(kind: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = sorted(_fields(kind, [str(part) for part in first["loc"][:-1]]))
        near = difflib.get_close_matches(str(first["loc"][-1]), known, 1)
        remedy = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        return f"unknown key '{key}'; {remedy}"
    if first["type"] == "value_error":
        reason = str(first.get("ctx", {}).get("error"))
        return f"{key}: {reason}" if key else reason
    if first["type"] == "missing":
        return f"key '{key}' is missing"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{key}={first['input']!r}: {message}"


def _fields(kind: type[BaseModel], sections: list[str]) -> list[str]:
    for section in sections:
        inner = kind.model_fields[section].annotation if section in kind.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        kind = inner
    return list(kind.model_fields)
