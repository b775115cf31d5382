"""Finished reports, of several machines, side by side: which of their results are of one test, and how far models are apart."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import pydantic

from clip.evaluation import comparison, pairing, report, tasks
from clip.evaluation.pairing import ReportResult
from clip.evaluation.results import EvaluationReport, Result
from clip.evaluation.tables import Comparison
from synth.base.disk_errors import check_file
from synth.base.errors import UserError

FREE = {"lang", "probabilities", "by", "n_bootstrap"}
"""Settings that change no value of a row."""


class Finished(NamedTuple):
    """A report and the file that it stands in."""

    path: Path
    report: EvaluationReport

    @property
    def identity(self) -> tuple[str, str]:
        """Which model it is of: the weights, where it knows them, and what is done to a photograph before."""
        model = self.report.checkpoint
        return model.sha256 or model.path, str(sorted(model.preprocessing.items()))

    def test(self, result: Result) -> tuple[str, ...]:
        """What must be equal of two results for them to stand in one row: the set, the task, and its name."""
        data = self.report.data
        where = data.benchmark.name if data.benchmark else f"{data.fingerprint} {','.join(data.splits)}"
        return where, result.task, result.name


def opened(paths: Sequence[Path]) -> list[Finished]:
    """The reports of files, or of folders that hold `report.json`.

    Raises:
        UserError: fewer than two, one twice, or one cannot be read.
    """
    files = [path / "report.json" if path.is_dir() else path for path in paths]
    if len(files) < 2:
        raise UserError(
            "one report is no comparison; give two or more, files or folders that hold report.json"
        )
    for path in files:
        check_file(path)
    resolved = [path.resolve() for path in files]
    twice = next((path for k, path in enumerate(files) if resolved[k] in resolved[:k]), None)
    if twice is not None:
        raise UserError(f"{twice}: given twice; give each report once")
    return [Finished(path, report.read(path)) for path in files]


def compare(finished: Sequence[Finished], command: str) -> Comparison:
    """One comparison of finished reports; results that only one of them has are left out.

    Raises:
        UserError: a report has no test in common with another, two in one row are not of the same photographs and
            protocol, or of one model.
    """
    rows: dict[tuple[str, ...], list[ReportResult]] = {}
    names = labels(finished)
    for each in finished:
        for result in each.report.results:
            rows.setdefault(each.test(result), []).append(
                ReportResult(each.path, names[each.identity], each.report, result)
            )
    shared = {key: row for key, row in rows.items() if len({one.model for one in row}) > 1}
    _none_alone(finished, shared)
    tables = []
    for row in shared.values():
        _one_protocol(row)
        tables.append(pairing.table(row))
    chosen = {model: each.report.checkpoint for each in finished for model in [names[each.identity]]}
    return comparison.composed(command, chosen, tables)


def labels(finished: Sequence[Finished]) -> dict[tuple[str, str], str]:
    """Each model's name: what its user called it, and the first digits of its weights where two are called alike."""
    paths = {each.identity: each.report.checkpoint.path for each in reversed(finished)}
    called = list(paths.values())
    return {
        key: path if called.count(path) == 1 else f"{path} ({key[0][:8]}{_size(key, paths)})"
        for key, path in sorted(paths.items(), key=lambda pair: _order(pair[0], finished))
    }


def _order(key: tuple[str, str], finished: Sequence[Finished]) -> int:
    return [each.identity for each in finished].index(key)


def _size(key: tuple[str, str], every: Iterable[tuple[str, str]]) -> str:
    """What sets apart two uses of the same weights: their preprocessing."""
    return f", {key[1]}" if [one[0] for one in every].count(key[0]) > 1 else ""


def _none_alone(finished: Sequence[Finished], shared: dict[tuple[str, ...], list[ReportResult]]) -> None:
    """Refuse a report none of whose tests another has."""
    met = {one.path for row in shared.values() for one in row}
    for each in (*finished[1:], finished[0]):
        if each.path in met:
            continue
        other = finished[0] if finished[0] is not each else finished[1]
        if other.identity == each.identity:
            raise UserError(
                f"{each.path}: of the same model as {other.path}, and no other model is on its tests; compare two models"
            )
        raise UserError(
            f"{each.path}: no test in common with another report: {_tests(each)}; {other.path} has {_tests(other)}"
        )


def _tests(one: Finished) -> str:
    data = one.report.data
    where = data.benchmark.name if data.benchmark else f"{data.data}, {', '.join(data.splits)}"
    names = ", ".join(f"{each.task} {each.name} (n {each.n})" for each in one.report.results)
    return f"{names} on {where} (fingerprint {data.fingerprint[:8]})"


def _one_protocol(row: Sequence[ReportResult]) -> None:
    """Refuse what stands in one row and was not measured alike."""
    first = row[0]
    for k, one in enumerate(row[1:], 1):
        where = f"{one.path}: {one.result.task} {one.result.name}"
        same = next((other for other in row[:k] if other.model == one.model), None)
        if same is not None:
            raise UserError(f"{where} of {one.model} stands in {same.path} too; give one of the two")
        for key, here, there in _protocols(one, first):
            if here != there:
                raise UserError(
                    f"{where} has {key} {here}, {first.path} {there}; compare reports of one protocol on the same photographs"
                )


def _protocols(one: ReportResult, other: ReportResult) -> Iterable[tuple[str, Any, Any]]:
    """What has to be equal of two results, by name."""
    for key in ("n", "patients", "classes", "left_out"):
        yield key, getattr(one.result, key), getattr(other.result, key)
    for key in ("train", "validation"):
        yield key, getattr(one.result, key, None), getattr(other.result, key, None)
    here, there = (one.report.data.benchmark, other.report.data.benchmark)
    yield "differences from the published set", here and list(here.differs), there and list(there.differs)
    mine, theirs = _settings(one), _settings(other)
    for key in mine:
        yield f"the setting {key}", mine[key], theirs.get(key)


def _settings(one: ReportResult) -> dict[str, Any]:
    """Those that are part of a protocol; of paths, which differ from machine to machine, the names."""
    kind = tasks.TASKS[one.result.task].open().settings if one.result.task in tasks.TASKS else None
    try:
        values = kind.model_validate(one.report.config).model_dump() if kind else one.report.config
    except pydantic.ValidationError as error:
        reason = str(error).splitlines()[2].strip() if len(str(error).splitlines()) > 2 else error
        raise UserError(f"{one.path}: its settings cannot be read ({reason}); repeat 'clip eval'") from None
    free = FREE | ({"seed"} if tasks.TASKS[one.result.task].whole else set()) if kind else FREE
    return {
        key: value.name if isinstance(value, PurePath) else value
        for key, value in values.items()
        if key not in free
    }
