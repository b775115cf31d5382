"""JSON and YAML from files: values as large and as deep as ours ever are, and nothing else; every fault is one line.

A file is data: YAML's tags name no code, and a few bytes that stand for gigabytes (aliases of aliases, a thousand brackets,
an integer of 5,000 digits) are refused before anybody walks through them.
"""

import json
from pathlib import Path
from typing import Any

from synth.base.disk_errors import check_file
from synth.base.errors import UserError

DEEPEST = 64
"""Lists and mappings within each other."""
LARGEST = {"JSON": 512 * 2**20, "YAML": 2 * 2**20}
"""Bytes of a file."""
MOST = 20_000_000
"""Values in a file, each counted as often as it stands there; an alias of YAML's stands for all that it names."""


def _twice(names: list[str]) -> str:
    return next(name for name in names if names.count(name) > 1)


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON, for `object_pairs_hook`.

    Raises:
        ValueError: a key stands twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"key '{_twice([name for name, _ in pairs])}' stands twice")
    return found


def read_json(path: Path) -> Any:
    """The value in a JSON file that we wrote.

    Raises:
        UserError: absent, a folder, damaged, too large or too deep.
    """
    remedy = "delete it and repeat the command that wrote it"
    return parse_json(_text(path, "JSON", f"damaged JSON; {remedy}"), str(path), remedy)


def read_mapping(path: Path, *needed: str) -> Any:
    """The object in a JSON file, which has the keys that are `needed`.

    Raises:
        UserError: absent, damaged, something else, or a key is missing.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(
            f"{path}: holds a {type(found).__name__}, where an object is needed; copy or write it again"
        )
    if missing := [name for name in needed if name not in found]:
        raise UserError(f"{path}: key '{missing[0]}' is missing; copy or write it again")
    return found


def parse_json(text: str | bytes, where: str, remedy: str = "mend or remove it") -> Any:
    """The value of a JSON text; an error begins with `where`.

    Raises:
        UserError: damaged or too deep.
    """
    comma = "," if isinstance(text, str) else b","
    try:
        if text.count(comma) > MOST:  # type: ignore[arg-type]  # before they take room
            raise ValueError(f"more than {MOST:,} values")
        found = json.loads(text, object_pairs_hook=unique_keys)
        check_depth(found)
    except RecursionError:
        raise UserError(f"{where}: lists within lists, deeper than {DEEPEST}; {remedy}") from None
    except json.JSONDecodeError:
        raise UserError(f"{where}: damaged JSON; {remedy}") from None
    except ValueError as error:  # not UTF-8, or an integer of thousands of digits
        raise UserError(f"{where}: damaged JSON ({' '.join(str(error).split())[:120]}); {remedy}") from None
    return found


def read_yaml(path: Path) -> dict[str, object]:
    """The mapping in a YAML file; an empty one holds none.

    Raises:
        UserError: absent, a folder, not YAML, no mapping, too large or too deep.
    """
    values = parse_yaml(_text(path, "YAML", "not YAML (not UTF-8); save it as UTF-8"), str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds a {type(values).__name__}, not settings; write 'key: value' lines")
    return values


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text, of plain types alone; an error begins with `where`.

    Raises:
        UserError: not YAML, a tag that names code, too deep, or aliases that stand for too much.
    """
    import yaml  # which a command's help can do without

    from synth.base.strict_yaml import Loader

    try:
        values = yaml.load(text, Loader)
        check_depth(values)
    except RecursionError:
        raise UserError(
            f"{where}: not YAML that is read: lists within lists, deeper than {DEEPEST}; write it flat"
        ) from None
    except (
        yaml.YAMLError,
        ValueError,
        TypeError,
        OverflowError,
    ) as error:  # a month 13, 5,000 digits, a list for a key
        raise UserError(f"{where}: not YAML ({' '.join(str(error).split())[:300]})") from None
    return values


def check_depth(value: Any) -> None:
    """Refuse a value that nobody could walk through.

    Raises:
        RecursionError: it is deeper than `DEEPEST`.
        ValueError: it holds more than `MOST` values.
    """
    level, count = [value], 0
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict | list):
                count += len(each)
                if count > MOST:
                    raise ValueError(f"more than {MOST:,} values")
                inner += each.values() if isinstance(each, dict) else each
        level = [each for each in inner if isinstance(each, dict | list)]
        if not level:
            return
    raise RecursionError


def _text(path: Path, kind: str, damaged: str) -> str:
    check_file(path)
    try:
        size = path.stat().st_size
        if size > LARGEST[kind]:
            raise UserError(
                f"{path}: {size / 2**20:,.0f} MB, at most {LARGEST[kind] >> 20} of {kind} are read; is it the right file?"
            )
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder, where a {kind} file is needed") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: {damaged}") from None
    except OSError as error:
        if error.filename:  # the command knows what to say
            raise
        raise UserError(f"{path}: cannot be read ({error.strerror}); is it the right file?") from None
