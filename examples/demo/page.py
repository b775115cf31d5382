"""The report page of the demo: pictures first, then curves, tables and commands; one file, no network."""

import base64
import io
import platform
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import pyarrow as pa

from clip.evaluation import languages
from privacy.report import charts, words
from privacy.report.chinese import translated
from synth.base.forest import Forest, Row, forest
from synth.base.runs import read_json, read_metrics, write_text
from synth.base.templates import environment
from synth.base.translation import LANGUAGES, Catalogue, page_name
from synth.data import records
from synth.data.pictures import Pictures
from synth.data.vocabulary import DISEASES, DR, DR_GRADES, FINDINGS, FLAGS, NORMAL, READABILITY_KEYS

PAGE = "report.html"
CATALOGUE = Catalogue(Path(__file__).parent / "zh.yaml")
PER_ROW = 4
SHOWN = 6  # tasks of the first page


class Condition(NamedTuple):
    """One row of the contact sheet: its names, and which records belong to it."""

    zh: str
    en: str
    holds: Callable[[dict[str, Any]], bool]


def conditions() -> list[Condition]:
    """Normal, the grades of diabetic retinopathy, the other ten diseases, and cataract."""
    rows = [Condition(NORMAL.zh, NORMAL.en, lambda r: r["dr_grade"] == 0 and not any(r[k] for k in FLAGS))]
    for grade in DR_GRADES[1:]:
        rows.append(
            Condition(
                f"{DR.zh}（{grade.zh}）",
                f"{grade.en} {DR.en}",
                lambda r, g=int(grade.key): r["dr_grade"] == g,
            )
        )
    rows += [Condition(term.zh, term.en, lambda r, key=term.key: r[key] == 1) for term in DISEASES]
    cataract = next(term for term in FINDINGS if term.key == "cataract")
    return [*rows, Condition(cataract.zh, cataract.en, lambda r: "cataract" in (r["findings"] or ()))]


def burden(record: dict[str, Any]) -> int:
    """How much else a picture shows: diseases, findings, and regions that cannot be read."""
    diseases = sum(record[key] or 0 for key in FLAGS) + bool(record["dr_grade"])
    return diseases + len(record["findings"] or ()) + sum(record[key] == 0 for key in READABILITY_KEYS)


class Gallery:
    """The pictures of a folder of records, with their labels and captions."""

    def __init__(self, folder: Path) -> None:
        table: pa.Table = records.read_table(folder)
        self.rows = table.to_pylist()
        self.pictures = Pictures(folder)

    def pick(self, condition: Condition) -> list[dict[str, str]]:
        """Up to `PER_ROW` pictures of a condition, those that show little else first."""
        found = [i for i, record in enumerate(self.rows) if condition.holds(record)]
        found.sort(key=lambda i: (burden(self.rows[i]), i))
        return [self._show(i) for i in found[:PER_ROW]]

    def _show(self, index: int) -> dict[str, str]:
        record = self.rows[index]
        kind = "png" if self.pictures[index].startswith(b"\x89PNG") else "jpeg"
        return {
            "source": data_uri(self.pictures[index], f"image/{kind}"),
            "zh": record["caption_zh"] or "",
            "en": record["caption_en"] or "",
        }


def data_uri(data: bytes, kind: str) -> str:
    """`data` as an address that a page can carry in itself."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def curves(runs: dict[str, Path], language: str = "en") -> str:
    """Loss over images seen, one panel per run, as an SVG address; rows without a loss are left out."""
    x, y = (CATALOGUE.translated(each, language) for each in ("images seen", "loss"))
    figure, panels = plt.subplots(1, len(runs), figsize=(5 * len(runs), 2.8), squeeze=False)
    for panel, (name, path) in zip(panels[0], runs.items(), strict=True):
        rows = [row for row in read_metrics(path) if row.get("loss") is not None]
        panel.plot([row["images"] for row in rows], [row["loss"] for row in rows], linewidth=1.2)
        panel.set(title=name, xlabel=x, ylabel=y)
        panel.grid(alpha=0.3)
    buffer = io.BytesIO()
    with plt.rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
        # Text stays text, and whoever shows it has Chinese characters, which matplotlib's own font has not.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.tight_layout()
        figure.savefig(buffer, format="svg")
    plt.close(figure)
    return data_uri(buffer.getvalue(), "image/svg+xml")


def figures(
    evaluation: dict[str, Any], audit: dict[str, Any], language: str = "en"
) -> list[tuple[str, Forest]]:
    """How well tasks are told, and what is read of people, with intervals; tasks in the language that does best."""
    told, read = [], []
    for result in evaluation["results"]:
        rows = [found["balanced_accuracy"] for found in result["metrics"].values()]
        best = max(rows, key=lambda row: row["value"])
        told.append(
            Row(languages.translated(result["title"], language), best["value"], best["low"], best["high"])
        )
    for attribute in audit["attributes"]:
        first = attribute["rows"][0]["person"] if attribute["rows"] else {}
        if auc := first.get("auc"):
            kind = attribute["reveals"]["word"].split()[0]
            read.append(
                Row(of_audit(attribute["name"], language), auc["value"], auc["low"], auc["high"], kind)
            )
    titles = ("Tested: balanced accuracy of zero-shot, by task", "Audited: AUC of an attribute, per person")
    tested, audited, chance = (CATALOGUE.translated(each, language) for each in (*titles, "chance"))
    found = [(tested, forest(told[:SHOWN], low=0, high=1))]
    if read:
        found.append((audited, forest(read, {chance: 0.5}, high=1)))
    return found


def of_audit(text: str, language: str) -> str:
    """A question, a verdict, a reason or a name of the audit in a language."""
    if language == "en":
        return text
    known = {english: words.WORDS[language][key] for key, english in words.WORDS["en"].items()}
    return known.get(text) or translated(text)


def build(out: Path, commands: Sequence[dict[str, Any]]) -> None:
    """Write `out/report.html` and `out/report.zh.html` from what the commands of the demo left in `out`."""
    phantoms, synthetic = Gallery(out / "phantoms"), Gallery(out / "synthetic")
    sheet = [
        {"zh": c.zh, "en": c.en, "phantoms": phantoms.pick(c), "synthetic": synthetic.pick(c)}
        for c in conditions()
    ]
    evaluation, audit = (read_json(out / name / "report.json") for name in ("eval", "audit"))
    for language in LANGUAGES:
        pages = environment(Path(__file__).parent, language, CATALOGUE)
        pages.filters["clip"] = partial(languages.translated, language=language)
        pages.filters["privacy"] = partial(of_audit, language=language)
        html = pages.get_template("page.html.j2").render(
            page=PAGE,
            sheet=sheet,
            count={"phantoms": len(phantoms.rows), "synthetic": len(synthetic.rows)},
            curves=curves({"CLIP": out / "clip" / "metrics.jsonl"}, language),
            evaluation=evaluation,
            audit=audit,
            figures=figures(evaluation, audit, language),
            names=charts.METRICS,
            commands=commands,
            seconds=int(sum(command["seconds"] for command in commands)),
            made_with=f"visionclip {version('visionclip')}, torch {version('torch')}, Python {platform.python_version()}",
        )
        write_text(out / page_name(PAGE, language), html)
