"""Damage a file, run the verb that reads it, and judge how it ends.

    unchanged   an answer, the same as of the good file
    other       an answer to other words of a person's own (settings, tables, pictures), which it may be
    refused     exit status 2 and one line that names the file
    unclear     refused, but the line names no file, or there is more than one
    silent      an answer, and another one than of the good file
    traceback   anything else than these exit statuses
    signal      the process died of one
    hang        no end within the limit of time, or of memory

The last five are faults.  Everything is a function of artefact and seed.
"""

import hashlib
import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import torch
from artefacts import ARTEFACTS, Artefact
from forking import Died, forked
from mutations import mutate
from test_untrusted import APPS
from typer.testing import CliRunner, Result

FAULTS = ("unclear", "silent", "traceback", "signal", "hang")


class Outcome(NamedTuple):
    """How one attempt ended."""

    artefact: str
    seed: int
    file: str
    mutation: str
    kind: str
    detail: str


class Answer(NamedTuple):
    """What a verb said and wrote."""

    status: int
    result: str
    line: str
    lines: int
    error: str


def invoke(*line: str) -> Result:
    """Run a command in this process."""
    with patch.object(sys, "argv", list(line)):  # which reports tell
        return CliRunner().invoke(APPS[line[0]], list(line[1:]))


def answer(artefact: Artefact, work: Path) -> Answer:
    """Run the verb in `work`."""
    os.chdir(work)
    found = invoke(*artefact.line)
    error = "" if isinstance(found.exception, SystemExit | None) else _error(found.exception)
    said = [each for each in found.stderr.splitlines() if each.startswith(f"{artefact.line[0]}: ")]
    result = _result(artefact, work, found.stdout) if found.exit_code in artefact.exits else ""
    return Answer(found.exit_code, result, said[-1] if said else "", len(said), error)


def attempt(name: str, seed: int, good: Path, work: Path, expected: str) -> Outcome:
    """Damage a copy of the good files, run the verb, and judge.

    Args:
        good:     the folder of good files.
        work:     a folder that does not exist yet, for the copy.
        expected: the result of the good files.
    """
    artefact = ARTEFACTS[name]
    copied(artefact, good, work)
    path = files(artefact, work)[seed % len(files(artefact, work))]
    how = mutate(path, seed)
    file = str(path.relative_to(work))
    try:
        given = answer(artefact, work)
    finally:
        os.chdir("/")
        shutil.rmtree(work, ignore_errors=True)
    names = [*_names(file), *how.partition("exchanged with ")[2:]]
    kind, detail = judge(artefact, names, expected, given)
    return Outcome(name, seed, file, how, kind, detail)


def judge(artefact: Artefact, names: Sequence[str], expected: str, given: Answer) -> tuple[str, str]:
    """The kind of an outcome, and what there is to say of it; a line says one of the `names`."""
    if given.error:
        return "traceback", given.error
    if given.status in artefact.exits:
        if given.result == expected:
            return "unchanged", ""
        return ("other" if artefact.own else "silent"), given.result[-200:]
    if given.status != 2:
        return "traceback", f"exit status {given.status}"
    named = any(name and name in given.line for name in names)
    return ("refused" if named and given.lines == 1 else "unclear"), given.line


def _names(file: str) -> list[str]:
    """What a line may call a file: by its name, or by the folder that is read as one thing."""
    path = Path(file)
    return [path.name, *(str(each) for each in path.parents if str(each) != ".")]


def copied(artefact: Artefact, good: Path, work: Path) -> None:
    """Copy what the artefact needs: all that its line or its pattern names."""
    wanted = {Path(word).parts[0] for word in (artefact.files, *artefact.line) if word}
    work.mkdir()
    for path in good.iterdir():
        if path.name in wanted or path.match(artefact.files.split("/")[0]):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, work / path.name)


def files(artefact: Artefact, place: Path) -> list[Path]:
    """The files that may be damaged, in a fixed order."""
    return sorted(path for path in place.glob(artefact.files) if path.is_file())


def _result(artefact: Artefact, work: Path, stdout: str) -> str:
    """What must be the same: what was printed, without times; or the digest of what was written."""
    if not artefact.written:
        return re.sub(r"\d+(\.\d+)? (images/s|seconds|s\b)|\d{4}-\d\d-\d\dT[\d:.+]+", "", stdout)
    digest = hashlib.sha256()
    for path in sorted(work.glob(artefact.written)):
        if path.is_file():
            path.chmod(0o600)  # it may be what was made unreadable
            digest.update(f"{path.relative_to(work)}\n".encode())
            digest.update(b"".join(_values(path)) if path.suffix == ".pt" else path.read_bytes())
    return digest.hexdigest()


def _values(path: Path) -> Iterator[bytes]:
    """What a torch file holds: equal values have unequal bytes, where two of them were one object when they were written."""
    level = [torch.load(path, weights_only=True)]
    while level:
        value = level.pop()
        if isinstance(value, dict):
            level += [*value, *value.values()]
        elif isinstance(value, list | tuple):
            level += value
        else:
            yield value.numpy().tobytes() if torch.is_tensor(value) else repr(value).encode()


def _error(error: BaseException | None) -> str:
    if error is None:
        return ""
    frames = [
        each for each in traceback.extract_tb(error.__traceback__) if "site-packages" not in each.filename
    ]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]} ({where})"


# In a process of its own, which may die


def apart(name: str, seed: int, good: Path, work: Path, expected: str) -> Outcome:
    """`attempt` in a forked process with limits, so that a signal or a hang is an outcome too."""
    try:
        return Outcome(*forked(attempt, name, seed, good, work, expected))
    except Died as death:
        shutil.rmtree(work, ignore_errors=True)
        kind = "hang" if death.status in (-signal.SIGXCPU, -signal.SIGALRM, -signal.SIGKILL) else "signal"
        return Outcome(
            name, seed, "", forked(_told, name, seed, good, work), kind, f"ended with {death.status}"
        )


def _told(name: str, seed: int, good: Path, work: Path) -> str:
    copied(ARTEFACTS[name], good, work)
    there = files(ARTEFACTS[name], work)
    path = there[seed % len(there)]
    how = f"{path.relative_to(work)}: {mutate(path, seed)}"
    shutil.rmtree(work, ignore_errors=True)
    return how
