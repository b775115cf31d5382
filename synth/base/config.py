"""Settings: frozen pydantic models, YAML files that hold only what differs, and errors in one line."""

import difflib
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from synth.base import documents, recipes
from synth.base.documents import read_yaml as read_yaml
from synth.base.errors import UserError


class Config(BaseModel):
    """A frozen set of settings; the line under each field says what it is and when to change it.

    A section that is given in part, as a mapping, keeps the rest of the field's own default: with
    `preprocessing: Preprocessing = Preprocessing(size=224)`, `{"preprocessing": {"name": "squash"}}` is of 224 pixels.
    Lists, and mappings that are no section, are replaced whole.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        # A field may have `validation_alias` and `serialization_alias`, one text: the key that files of an earlier
        # version hold, and go on to hold.
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        loc_by_alias=False,
    )

    RECIPES: ClassVar[str | None] = None
    """The package whose recipes are files of these settings (`synth.base.recipes`); None where none are."""

    @model_validator(mode="before")
    @classmethod
    def _keep_the_rest_of_a_default(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {name: _over(cls._default(name), value) for name, value in cls.by_name(values).items()}

    @field_validator("*", mode="before")
    @classmethod
    def _a_word_that_yaml_reads_as_a_truth_value(cls, value: Any, info: ValidationInfo) -> Any:
        """`no` of `precision: no`, where the field knows that word."""
        word = {True: "yes", False: "no"}.get(value) if isinstance(value, bool) else None
        field = cls.model_fields.get(info.field_name or "")
        return word if word and field and word in _words(field.annotation) else value

    @classmethod
    def by_name(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by the fields that their keys mean.

        Raises:
            ValueError: a setting is given by two names.
        """
        named = {cls.name_of(key): value for key, value in values.items()}
        if len(named) < len(values):
            raise ValueError(f"one setting has two names among {', '.join(values)}; leave one out")
        return named

    @classmethod
    def name_of(cls, key: str) -> str:
        """The field that a key of a file means, by its name or by an earlier one."""
        return next((name for name, field in cls.model_fields.items() if field.validation_alias == key), key)

    @classmethod
    def _default(cls, name: str) -> Any:
        """The default of a field; None for what is no field."""
        field = cls.model_fields.get(name)
        return field and field.get_default(call_default_factory=True, validated_data={})


def _words(annotation: Any) -> list[Any]:
    """The values of the `Literal`s in a type."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [word for part in get_args(annotation) for word in _words(part)]


def _over(default: Any, value: Any) -> Any:
    """`value`, or where it is a part of a section whose default sets keys of its own, both."""
    if not isinstance(default, Config) or not isinstance(value, Mapping):
        return value
    rest = {name: getattr(default, name) for name in default.model_fields_set}
    return rest | {name: _over(rest.get(name), each) for name, each in default.by_name(value).items()}


C = TypeVar("C", bound=Config)
M = TypeVar("M", bound=BaseModel)


def load(kind: type[C], path: Path | None = None, assignments: Sequence[str] = ()) -> C:
    """Build a config from its defaults, a recipe or YAML file, and `key=value` assignments (dots reach into sections).

    Args:
        path: a YAML file, or the bare name of a recipe that ships for `kind`, such as "tiny".

    Raises:
        UserError: a file, key or value is wrong; one line that names it, with a suggestion where there is one.
    """
    where = str(path) if path else "--set"
    values = _renamed(kind, read_yaml(recipes.find(path, kind.RECIPES)), where) if path else {}
    for assignment in assignments:
        _assign(kind, values, assignment)
    return check(kind, values, where)


def _renamed(kind: type[BaseModel] | None, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`values` with today's name for each earlier key, in sections too; says what each is called now.

    Raises:
        UserError: a setting is given by both of its names.
    """
    named: dict[str, Any] = {}
    for key, value in values.items():
        name, section = _named(kind, str(key), where)
        if name in named:
            raise UserError(f"{where}: '{name}' is given twice, once by an earlier name; leave one out")
        named[name] = _renamed(section, value, where) if section and isinstance(value, Mapping) else value
    return named


def _named(kind: type[BaseModel] | None, key: str, where: str) -> tuple[str, type[BaseModel] | None]:
    """Today's name of a key, said where it is another, and the section that it holds, if it holds one."""
    if kind is None or not issubclass(kind, Config):
        return key, None
    name = kind.name_of(key)
    if name != key:
        print(f"{where}: '{key}' is called '{name}' now; it is read as that", file=sys.stderr)
    return name, _section(kind, name)


def check(kind: type[M], values: Mapping[str, object], where: str) -> M:
    """Validate `values`, turning pydantic's report into one line that begins with `where`."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {_explain(kind, error)}") from None


def fingerprint(value: Any) -> str:
    """The sha256, in hex, of a JSON-able value: the same for equal values, whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(
        text.encode(errors="surrogateescape")
    ).hexdigest()  # names of files may be any bytes


def _assign(kind: type[BaseModel] | None, values: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise UserError(f"--set '{assignment}': write it as key=value")
    *sections, last = key.split(".")
    for part in sections:
        part, kind = _named(kind, part, "--set")
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise UserError(f"--set '{assignment}': '{part}' is a value, not a section")
    last, kind = _named(kind, last, "--set")
    try:
        values[last] = documents.parse_yaml(text, "--set")
    except UserError:
        raise UserError(f"--set '{assignment}': '{text}' is not a YAML value; quote it") from None
    if isinstance(values[last], dict) and kind:
        values[last] = _renamed(kind, values[last], "--set")
    if isinstance(values[last], str):  # YAML 1.1 reads 2e-4 as text
        try:
            values[last] = float(values[last])
        except ValueError:
            pass


def _explain(kind: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys(kind, [str(part) for part in first["loc"][:-1]])
        near = difflib.get_close_matches(str(first["loc"][-1]), known, 1)
        remedy = (
            f"did you mean '{known[near[0]]}'?"
            if near
            else f"known: {', '.join(sorted(set(known.values())))}"
        )
        return f"unknown key '{key}'; {remedy}"
    if first["type"] == "value_error":
        reason = str(first.get("ctx", {}).get("error"))
        return f"{key}: {reason}" if key else reason
    if first["type"] == "missing":
        return f"key '{key}' is missing"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{key}={first['input']!r}: {message}"


def _keys(kind: type[BaseModel], sections: list[str]) -> dict[str, str]:
    """Every key of a section, earlier ones too -> the field that it means."""
    for name in sections:
        inner = _section(kind, name)
        if inner is None:
            return {}
        kind = inner
    aliases = {name: field.validation_alias for name, field in kind.model_fields.items()}
    earlier = {alias: name for name, alias in aliases.items() if isinstance(alias, str)}
    return earlier | {name: name for name in kind.model_fields}


def _section(kind: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model that a field holds, if it holds one."""
    annotation = kind.model_fields[name].annotation if name in kind.model_fields else None
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None
