"""The report of an evaluation: `report.json` for machines, `report.html` and `report.zh.html` for people, the same facts in all.

No real photograph, no number about a single patient and no id of one is in any of them: people send reports around.
The nearest training photographs go into a file of their own that only its owner may read.
"""

import base64
import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synth.base import checksums
from synth.base.forest import Forest, Row, forest
from synth.base.runs import atomic, write_text
from synth.base.templates import environment
from synth.base.translation import LANGUAGES, Catalogue, page_name
from synth.base.words import with_minus
from synth.classifier.targets import TARGETS
from synth.data.vocabulary import CHINESE, DISEASES, FINDINGS
from synth.quality.anatomy import RATES
from synth.quality.neighbours import Pair
from synth.quality.results import Interval, QualityReport
from synth.quality.samples import Sample
from synth.quality.utility import TRAINING_SETS

NAMES = {
    "dr": "diabetic retinopathy",
    "referable_dr": "referable diabetic retinopathy",
    **{term.key: term.en for term in (*DISEASES, *FINDINGS)},
}
"""Target -> what it is called."""
_SHOWN = 8  # pictures a disease on the sheets
_SIDE = 96  # pixels of a picture in the report


PAGE = "report.html"
"""The file of the page; `page_name` has its Chinese."""
CATALOGUE = Catalogue(Path(__file__).parent / "zh.yaml", CHINESE)


def write(out: Path, report: QualityReport, pictures: dict[str, list[str]]) -> None:
    """Write all files, each whole or not at all."""
    checksums.write_json(out / "report.json", report.to_json())
    for language in LANGUAGES:
        write_text(out / page_name(PAGE, language), html(report, pictures, language))


def html(report: QualityReport, pictures: dict[str, list[str]], language: str = "en") -> str:
    """The page in a language; `pictures` as `sheets` makes them."""
    head, made = report.utility.headline, report.to_json()
    initial = made["config"]["classifier"].get("initial")
    return _render(
        "report.html.j2",
        language,
        page=PAGE,
        report=made,
        pictures=pictures,
        doubt=head.doubt if head else "",
        start=f"which starts from {initial}" if initial else "which starts from random weights",
        figures=figures(report, language),
    )


def write_photographs(path: Path, report: QualityReport, samples: list[Pair], held_out: list[Pair]) -> None:
    """Write the pairs of photograph and nearest training photograph; nobody but the owner may read the file."""
    shown = [
        [(data_url(row([pair.picture, pair.neighbour])), pair.closeness) for pair in pairs]
        for pairs in (samples, held_out)
    ]
    page = _render("photographs.html.j2", "en", report=report.to_json(), samples=shown[0], held_out=shown[1])
    with atomic(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.chmod(0o600)
        temporary.write_text(page, encoding="utf-8")


def figures(report: QualityReport, language: str = "en") -> dict[str, Forest]:
    """The three pictures of the first page: what the photographs teach, how like real ones they are, how near to copies."""
    head, near, found = report.utility.headline, report.neighbours, dict[str, Forest]()

    def say(text: str) -> str:
        return CATALOGUE.translated(text, language)

    if head:
        rows = _rows({say(TRAINING_SETS[name]): each for name, each in head.mean_auc.items()})
        found[say("mean AUC on held-out real photographs, trained on")] = forest(rows, {say("chance"): 0.5})
    alike = {
        say(f"{key}, held-out real" if side == "held_out" else key): (report.comparison.rows[side][key], side)
        for key in ("precision", "recall", "coverage")
        for side in ("synthetic", "held_out")
        if side in report.comparison.rows
    }
    quiet = {name for name, (_, side) in alike.items() if side == "held_out"}
    rows = _rows({name: each for name, (each, _) in alike.items()}, quiet)
    found[say("likeness to real training photographs")] = forest(rows, low=0, high=1)
    rows = _rows({say("samples nearer than that"): near.closer})
    if rows:
        title = f"samples as near to a training photograph as the nearest {100 * near.tail:.0f} % of other patients'"
        found[say(title)] = forest(rows, {say("expected without copies"): near.tail}, low=0)
    return found


def _rows(values: dict[str, Interval], quiet: Collection[str] = ()) -> list[Row]:
    """What is known, to draw; held-out photographs, which are the reference, are quiet."""
    return [
        Row(name, each.value, each.low, each.high, "quiet" if name in quiet else "")
        for name, each in values.items()
        if each.value is not None
    ]


def sheets(sample: Sample, columns: list[int]) -> dict[str, list[str]]:
    """Target -> data URLs of some synthetic photographs that were asked to show it."""
    shown = {}
    for column in columns:
        rows = np.flatnonzero(sample.truth[:, column] == 1)[:_SHOWN]
        if len(rows):
            shown[TARGETS[column]] = [data_url(row([np.array(sample.pictures[i])])) for i in rows]
    return shown


def row(tiles: list[np.ndarray]) -> Image.Image:
    """Square pictures side by side."""
    side = max(_SIDE, tiles[0].shape[0])
    page = Image.new("RGB", (len(tiles) * (side + 2) - 2, side), "white")
    for place, tile in enumerate(tiles):
        picture = Image.fromarray(tile).resize((side, side), Image.Resampling.BICUBIC)
        page.paste(picture, (place * (side + 2), 0))
    return page


def data_url(picture: Image.Image) -> str:
    """The picture as text that a page without a network can show."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def summary(report: QualityReport) -> str:
    """A few lines for the terminal."""
    used, head = report.utility, report.utility.headline
    lines = []
    if head:
        lines += [
            f"train on synthetic, test on real: mean AUC {estimate(head.mean_auc['synthetic'])}, trained on real "
            f"{estimate(head.mean_auc['real'])}, over {len(head.diseases)} diseases",
            f"ratio {estimate(head.ratio)}, difference {estimate(head.difference)}, of what real photographs "
            f"teach above chance {estimate(head.above_chance)}",
            *filter(None, [head.doubt]),
        ]
    else:
        lines.append(f"no disease has {report.config['headline']} held-out positives; no mean is given")
    for each in used.diseases:
        cells = "  ".join(f"{name} {estimate(value)}" for name, value in each.auc.items())
        lines.append(f"  {each.key:<20} {each.positives:>5} positives  {cells}")
    return "\n".join(lines)


def estimate(interval: Interval, digits: int = 3) -> str:
    """`.812 (.774 to .850)`; a dash for what is not known."""
    if interval.value is None:
        return "–"
    low, high = ("–" if end is None else f"{end:.{digits}f}" for end in (interval.low, interval.high))
    return f"{interval.value:.{digits}f} ({low} to {high})"


def _render(template: str, language: str, **values: Any) -> str:
    """A page; everything that comes from data is escaped."""
    pages = environment(Path(__file__).parent, language, CATALOGUE)

    def written(bounds: dict[str, float | None], digits: int = 3) -> str:
        return with_minus(CATALOGUE.translated(estimate(Interval.model_validate(bounds), digits), language))

    pages.filters["estimate"] = written
    pages.globals.update(
        names=NAMES, training_sets=TRAINING_SETS, anatomy={key: rate.name for key, rate in RATES.items()}
    )
    return pages.get_template(template).render(**values)
