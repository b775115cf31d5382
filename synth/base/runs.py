"""Run folders and files that are whole or absent, and progress that people and logs can read."""

import errno
import glob
import hashlib
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import Any

from tqdm import tqdm

from synth.base.disk_errors import check_file, disk_error, full, is_input
from synth.base.documents import read_json as read_json
from synth.base.errors import UserError
from synth.base.silence import is_silent

Tell = Callable[[Iterable[str]], None]
"""Takes the lines that say what some work will take, before it begins; nothing is reckoned where nobody listens."""

_SUM = "sha256"
"""Where a line of metrics keeps 16 digits of the checksum of it and of all before."""
_HOST = socket.gethostname()
_ASLEEP = 3600  # seconds without a write after which a writer on another machine is taken for dead


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write to the temporary path that this yields; on success it becomes `path`, else nothing changes.

    What a killed process left half-written of the same file is removed; what another one is writing is not.

    Raises:
        UserError: the disk is full, the folder cannot be written, or `path` is a folder or a device.
    """
    if path.exists() and not path.is_file():
        kind = "folder" if path.is_dir() else "device"
        raise UserError(f"{path}: a {kind}, where a file is to be written; choose another --out")
    temporary = path.with_name(f".{path.name}.{_HOST}-{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for abandoned in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            if abandoned != temporary and _is_abandoned(abandoned):
                abandoned.unlink(missing_ok=True)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # the folder itself may be what is wrong
            temporary.unlink()
        if is_input(error, path):
            raise
        if error.errno == errno.ENOENT and str(error.filename) in (str(temporary), str(path.parent)):
            raise UserError(f"{path}: no file can be made there; choose another --out") from error  # in /proc
        raise disk_error(path, error) from error
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if found := full(error):
            raise disk_error(path, found) from error
        raise


def _is_abandoned(temporary: Path) -> bool:
    """Whether nobody writes this file any more; jobs of one array may write plan.json at the same moment."""
    host, _, process = temporary.stem.removeprefix(".").rpartition("-")
    try:
        if host.endswith(f".{_HOST}") and process.isdigit():
            os.kill(int(process), 0)  # asks whether it lives, and does nothing to it
            return False
        return time.time() - temporary.stat().st_mtime > _ASLEEP
    except ProcessLookupError:
        return True
    except (PermissionError, FileNotFoundError):  # another user's process; gone meanwhile
        return False


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON, for people too, whole or not at all."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """What `write_json` writes."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def claim(folder: Path, name: str, wanted: Mapping[str, object], kind: str, free: Sequence[str] = ()) -> None:
    """Make `folder` the home of `wanted`, kept in its file `name`, or find that it is already.

    Args:
        kind: what `wanted` is called in an error, for example "plan".
        free: dotted keys that may differ from what is there; the file then takes the new value.

    Raises:
        UserError: the folder holds something else.
    """
    path = folder / name
    if path.exists():
        found = read_json(path)
        there, here = _flat(found), _flat(json.loads(json.dumps(wanted)))
        for key in sorted({*there, *here} - set(free)):
            if there.get(key) != here.get(key):
                raise UserError(
                    f"{folder}: holds another {kind} ({key} is {_short(there.get(key))} there, "
                    f"{_short(here.get(key))} here); choose another --out or delete the folder"
                )
        if there == here:
            return
    elif folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: a file, where a folder is needed; choose another --out")
    elif folder.is_dir() and any(not p.name.startswith(".") for p in folder.iterdir()):
        raise UserError(f"{folder}: not empty, and without a {name} of ours; choose another --out")
    write_json(path, wanted)


@contextmanager
def nothing_if_refused(folder: Path) -> Iterator[None]:
    """Remove what was made in `folder` where that ends in a `UserError`: a refused command leaves nothing behind."""
    before = set(folder.iterdir()) if folder.is_dir() else set()
    existed = folder.exists()
    try:
        yield
    except UserError:
        for path in set(folder.iterdir()) - before if folder.is_dir() else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if folder.is_dir() and not existed:
            folder.rmdir()
        raise


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys."""
    if not isinstance(value, dict):
        return {prefix.removesuffix("."): value}
    return {
        key: leaf for name, inner in value.items() for key, leaf in _flat(inner, f"{prefix}{name}.").items()
    }


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def sha256(path: Path) -> str:
    """The sha256 of a file, in hex.

    Raises:
        UserError: it is a pipe or a device.
    """
    check_file(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def append_metrics(path: Path, **values: Any) -> None:
    """Add one line of JSON to a run's metrics, with a checksum of it and of all lines before it.

    Raises:
        UserError: its loss is no number, or the file is a link, or damaged; nothing was added.
    """
    for name, value in values.items():
        if name == "loss" and value is not None and not isfinite(value):
            raise UserError(
                f"{path.parent}: the loss is {value} at {values.get('images')} images, the training has diverged; train anew "
                "with a lower lr"
            )
    if path.is_symlink():  # a folder of somebody else's must not have us write into another file
        raise UserError(
            f"{path}: a link, where the metrics are to be written; put a file there, or remove it"
        )
    _, earlier = _lines(path)
    with open(path, "a", encoding="utf-8") as file:
        print(_line(values, earlier), file=file)


def read_metrics(path: Path, until: int | None = None) -> list[Mapping[str, Any]]:
    """A run's metrics; lines cut by a kill, and those later than `until` images, are left out.

    Raises:
        UserError: a whole line is none of ours, or another one than was written.
    """
    rows, _ = _lines(path)
    return [row for row in rows if until is None or row["images"] <= until]


def _lines(path: Path) -> tuple[list[Mapping[str, Any]], str]:
    """The lines of a run's metrics, and the checksum of the last that has one: those of earlier versions have none."""
    rows, earlier = [], ""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for number, line in enumerate(text.splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(row, dict) or not isinstance(row.get("images"), int | float):
            raise UserError(f"{path} line {number}: no object with a number of 'images'; delete the line")
        if told := row.pop(_SUM, None):
            if _line(row, earlier) != line:
                raise UserError(
                    f"{path} line {number}: it, or a line before it, was changed or is gone; put the file back as it was written"
                )
            earlier = told
        rows.append(row)
    return rows, earlier


def _line(values: Mapping[str, Any], earlier: str) -> str:
    digest = hashlib.sha256((earlier + json.dumps(values)).encode()).hexdigest()[:16]
    return json.dumps({**values, _SUM: digest})


def announced(run: Path, what: str, images: int, every: int) -> str:
    """The first line of a training: where `what` is written and that the same command goes on, or that it is done."""
    seen = max((row["images"] for row in read_metrics(run / "metrics.jsonl")), default=0)
    if seen >= images:
        return f"{run}: finished, its {images:,} images are seen; nothing to do"
    return f"{run}: {what} is written there, every {every:,} images; the same command goes on from there"


def rewind_metrics(path: Path, until: int) -> None:
    """Forget metrics later than `until` images: a killed run is resumed from before them."""
    lines: list[str] = []
    for row in read_metrics(path, until):
        lines.append(_line(row, json.loads(lines[-1])[_SUM] if lines else ""))
    write_text(path, "".join(line + "\n" for line in lines))


def quiet(_: Iterable[str]) -> None:
    """Tell nobody."""


def is_first_process() -> bool:
    """Whether this is the process that prints: the only one, or rank 0 of those that `torchrun` started."""
    return os.environ.get("RANK", "0") == "0"


def progress(what: str, total: int, done: int = 0, unit: str = "images") -> tqdm:
    """A progress bar on a terminal; elsewhere one plain line every 30 seconds.  Goes to stderr.

    Of several processes that `torchrun` started, the first shows it.
    """
    terminal = sys.stderr.isatty()
    bar = tqdm(
        total=total,
        disable=is_silent() or not is_first_process(),
        initial=done,
        desc=what,
        unit=f" {unit}",
        file=sys.stderr,
        dynamic_ncols=terminal,
        ascii=None if terminal else True,
        mininterval=0.5 if terminal else 30,
        miniters=None if terminal else 1,
        delay=0 if terminal else 30,
        bar_format=None
        if terminal
        else "{desc}: {n_fmt}/{total_fmt} {unit}, {rate_fmt}, {elapsed} gone, {remaining} to go\n",
        leave=terminal,
    )
    return bar
