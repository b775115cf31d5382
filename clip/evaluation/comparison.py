"""Several models on the same photographs, side by side: one table a result, and one of all benchmarks with what was published."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from clip.evaluation.core import plain
from clip.evaluation.report import CALIBRATION, METRICS, estimate
from synth.base import runs, stats
from synth.base.config import Config, check, read_yaml
from synth.base.errors import UserError

FORMAT = "visionclip-comparison"
VERSION = 1


class Published(Config):
    """One row of somebody's table."""

    model: str
    """As it is called there."""
    source: str
    """Paper and table."""
    values: dict[str, float]
    """By benchmark, in the metric that the benchmark names."""


@cache
def published() -> tuple[Published, ...]:
    """What others published, in the order of their tables."""
    from clip import zoo

    path = Path(zoo.__file__).parent / "published.yaml"
    rows = read_yaml(path)["rows"]
    return tuple(check(Published, row, str(path)) for row in rows)


def compare(reports: Sequence[tuple[str, dict[str, Any]]], command: str) -> dict[str, Any]:
    """One comparison of reports, each with the name of its model.

    Raises:
        UserError: two reports are of one model on the same records.
    """
    tables: dict[tuple[str, str, str], dict[str, Any]] = {}
    for model, report in reports:
        benchmark = report["data"].get("benchmark", {}).get("name")
        for result in report["results"]:
            place = (str(report["data"]["data"]), result["task"], result["name"])
            table = tables.setdefault(
                place,
                {"data": place[0], "benchmark": benchmark, "rows": []}
                | {
                    key: result[key]
                    for key in ("task", "name", "title", "n", "patients", "classes", "without_pictures")
                },
            )
            assert table["n"] == result["n"], "models are compared on the same photographs"
            if any(row["model"] == model for row in table["rows"]):
                raise UserError(f"--model {model}: named twice; give each model once")
            table["rows"] += [
                {"model": model, "row": row, "metrics": found} for row, found in result["metrics"].items()
            ]
    return {
        "format": FORMAT,
        "version": VERSION,
        "command": command,
        "models": {model: report["checkpoint"] for model, report in reports},
        "tables": [table | {"differences": differences(table)} for table in tables.values()],
        "benchmarks": side_by_side(list(tables.values())),
    }


def differences(table: dict[str, Any]) -> list[dict[str, Any]]:
    """How far each model is from the first in the same row, with an interval: patients are drawn for both at once.

    A row that the first model has not, and a metric without samples (see `photographs.Told`), has no difference.
    """
    first = table["rows"][0]["model"]
    base = {row["row"]: row["metrics"] for row in table["rows"] if row["model"] == first}
    found = []
    for row in table["rows"]:
        if row["model"] == first or row["row"] not in base:
            continue
        gaps = {}
        for key, value in row["metrics"].items():
            one, other = (getattr(each, "samples", None) for each in (value, base[row["row"]].get(key)))
            if one is not None and other is not None:
                assert one.shape == other.shape, "models are compared on the same draws of patients"
                gaps[key] = plain(stats.estimate(one - other, table["patients"]))
        if gaps:
            found.append({"model": row["model"], "row": row["row"], "from": first, "metrics": gaps})
    return found


def side_by_side(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of models, columns of benchmarks: zero-shot in each benchmark's own metric, then what was published.

    Empty without a benchmark.
    """
    from clip import benchmarks

    columns: dict[str, str] = {}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for table in tables:
        name = table["benchmark"]
        metric = name and benchmarks.named(name).metric
        if not metric or table["task"] != "zero-shot":
            continue
        columns[name] = metric
        for row in table["rows"]:
            rows.setdefault((row["model"], row["row"]), {})[name] = row["metrics"][metric]
        for row, found in table["without_pictures"].items():
            rows.setdefault(("", row), {})[name] = found[metric]
    told = [
        {"model": each.model, "source": each.source, "values": kept}
        for each in published()
        if (kept := {name: each.values[name] for name in columns if name in each.values})
    ]
    blind = [{"row": row, "values": values} for (model, row), values in rows.items() if not model]
    ours = [{"model": model, "row": row, "values": values} for (model, row), values in rows.items() if model]
    return {"metrics": columns, "rows": ours, "without_pictures": blind, "published": told if columns else []}


def write(out: Path, made: dict[str, Any]) -> None:
    """Write `comparison.json` and `comparison.md`, each whole or not at all."""
    runs.write_json(out / "comparison.json", made)
    runs.write_text(out / "comparison.md", markdown(made))


def markdown(made: dict[str, Any]) -> str:
    """The tables for people; every measured value stands with its interval."""
    parts = [f"# {len(made['models'])} models side by side", "", f"`{made['command']}`", ""]
    for name, facts in made["models"].items():
        how = facts["preprocessing"]
        parts.append(f"- **{name}**: preprocessing {how['name']} version {how['version']}, {how['size']} px")
    for table in made["tables"]:
        parts += _one(table)
    return "\n".join(parts + _all(made["benchmarks"])) + "\n"


def _one(table: dict[str, Any]) -> list[str]:
    """Models on the same photographs."""
    sizes = ", ".join(f"{name} {size}" for name, size in table["classes"].items())
    said = f"{table['data']}: {table['n']} photographs of {table['patients']} patients: {sizes}."
    keys = list(table["rows"][0]["metrics"])
    found = [(row["model"], row["row"], row["metrics"]) for row in table["rows"]]
    found += [("", row, values) for row, values in table["without_pictures"].items()]
    lines = ["", f"## {table['title']} ({table['task']})", "", said]
    for some in ([k for k in keys if k not in CALIBRATION], [k for k in keys if k in CALIBRATION]):
        rows = [[model, row, *(_cell(values.get(key)) for key in some)] for model, row, values in found]
        lines += (
            ["", *_table(["model", "", *(METRICS.get(key) or key for key in some)], rows)] if some else []
        )
    return lines + _gaps(table["differences"])


def _gaps(found: list[dict[str, Any]]) -> list[str]:
    """Differences from the first model; nothing of one model."""
    if not found:
        return []
    keys = list(dict.fromkeys(key for row in found for key in row["metrics"]))
    cells = [[row["model"], row["row"], *(_gap(row["metrics"].get(key)) for key in keys)] for row in found]
    heads = ["difference", "", *(METRICS.get(key) or key for key in keys)]
    said = f"Differences from {found[0]['from']}; intervals are over patients, drawn for both models at once."
    return ["", said, "", *_table(heads, cells)]


def _gap(value: dict[str, float] | None) -> str:
    return "" if value is None else f"{value['value']:+.3f} ({value['low']:+.3f} to {value['high']:+.3f})"


def _all(found: dict[str, Any]) -> list[str]:
    """All benchmarks, and what was published; nothing without a benchmark."""
    names = list(found["metrics"])
    if not names:
        return []
    rows = [(each["model"], each["row"], each["values"]) for each in found["rows"]]
    rows += [("", each["row"], each["values"]) for each in found["without_pictures"]]
    rows += [(f"{each['model']} (published)", each["source"], each["values"]) for each in found["published"]]
    heads = ["model", "", *(f"{name}, {METRICS.get(key) or key}" for name, key in found["metrics"].items())]
    cells = [[model, row, *(_cell(values.get(name)) for name in names)] for model, row, values in rows]
    return ["", "## All benchmarks, zero-shot, and what was published", "", *_table(heads, cells)]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return estimate(value) if isinstance(value, dict) else f"{value:.3f}"


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
