"""The report of an import for people: `import.html`, in English and Chinese, and the same in one screen for the terminal.

The page shows photographs of patients, so that only its owner may read it; it is never published.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from synth.base.runs import atomic
from synth.base.templates import environment
from synth.base.words import number_of
from synth.data.vocabulary import DISEASES, FINDINGS, SEXES, Term
from synth.sources.cohort import Cohort
from synth.sources.contact_sheet import Tile
from synth.sources.report import UNLISTED, dropped_share
from synth.sources.words import REASONS, WORDS

NAME = "import.html"
"""The file beside the records."""
_GRADE = Term("dr_grade", "糖尿病视网膜病变分级", "diabetic retinopathy grade")
_NAMES = {term.key: term for term in (_GRADE, *DISEASES, *FINDINGS, *SEXES)}
_SHOWN = 5  # pairs, reasons or classes on one line of the terminal


def write(path: Path, summary: Mapping[str, Any], kept: Sequence[Tile], dropped: Sequence[Tile]) -> None:
    """Write the page whole or not at all; nobody but its owner may read it."""
    page = (
        environment(Path(__file__).parent)
        .get_template("import.html.j2")
        .render(
            summary=summary,
            cohort=Cohort.parse(summary["cohort"], str(path)),
            share=1 - dropped_share(summary),
            words=WORDS,
            named=named,
            reason=reason,
            split_counts=split_counts,
            kept=kept,
            dropped=dropped,
        )
    )
    with atomic(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.chmod(0o600)
        temporary.write_text(page, encoding="utf-8")


def named(key: str, language: str) -> str:
    """What a label, a finding or a sex is called."""
    term = _NAMES.get(key)
    if term is None:
        return WORDS[language].get(key, key)
    return term.zh if language == "zh" else term.en


def split_counts(cohort: Cohort, language: str) -> dict[str, int]:
    """Pictures of each split, by what it is called."""
    return {WORDS[language][split]: part.pictures for split, part in cohort.splits.items()}


def reason(text: str, language: str) -> str:
    """Why a picture is dropped, or what is noted, in one of the languages where it is known there."""
    return REASONS.get(text, text) if language == "zh" else text


def lines(summary: Mapping[str, Any], out: Path) -> list[str]:
    """What a data manager must see, in one screen."""
    cohort = Cohort.parse(summary["cohort"], str(out))
    reasons: dict[str, int] = {why: told["count"] for why, told in summary["reasons"].items()}
    kept, lost = summary["kept"], {why: count for why, count in reasons.items() if why not in UNLISTED}
    found = [
        f"kept: {kept:,} of {number_of(kept + sum(lost.values()), 'picture')} ({1 - dropped_share(summary):.1%})"
    ]
    found += [
        _listed("dropped", lost),
        _listed("not asked for", {w: n for w, n in reasons.items() if w in UNLISTED}),
    ]
    found += [_listed("noted", summary["notes"])]
    found.append(f"patients: {cohort.patients:,}, {_people(cohort)}")
    found += _table(cohort)
    found.append(
        _some(
            "findings", (f"{key} {sum(n.values())}" for key, n in cohort.classes.get("findings", {}).items())
        )
    )
    found.append(_some("no picture of", (lack.words() for lack in cohort.lacking), 12))
    found += [_listed("age (patients)", cohort.ages, 12), _listed("sex (patients)", cohort.sexes)]
    found += [_listed("camera", cohort.cameras) or _listed("pixels", cohort.sizes)]
    if cohort.blank:
        found.append(f"without content (blank, or text on one ground): {number_of(cohort.blank, 'picture')}")
    found.append(_pairs(cohort))
    found.append(f"report: {out / NAME}, and for machines {out / 'import.json'}")
    return [line for line in found if line]


def _people(cohort: Cohort) -> str:
    eyes = "eyes unknown" if cohort.eyes is None else f"{cohort.eyes:,} eyes"
    return eyes if cohort.visits is None else f"{eyes}, {cohort.visits:,} visits"


def _listed(what: str, counts: Mapping[str, int], count: int = _SHOWN) -> str:
    return _some(what, (f"{number:,} {name}" for name, number in counts.items()), count)


def _some(what: str, texts: Iterable[str], count: int = _SHOWN) -> str:
    texts = list(texts)
    more = [f"and {len(texts) - count} more"] if len(texts) > count else []
    return f"{what}: {', '.join([*texts[:count], *more])}" if texts else ""


def _table(cohort: Cohort) -> list[str]:
    """Pictures, patients and each class by split, in columns."""
    splits = cohort.splits
    rows = [
        ["", *splits],
        ["pictures", *(f"{part.pictures:,}" for part in splits.values())],
        ["patients", *(f"{part.patients:,}" for part in splits.values())],
    ]
    for label, values in cohort.classes.items():
        if label != "findings":
            rows += [
                [f"{label} {name}", *(f"{count:,}" for count in counts.values())]
                for name, counts in values.items()
            ]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                row[0].ljust(wide[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], wide[1:], strict=True)),
            ]
        )
        for row in rows
    ]


def _pairs(cohort: Cohort) -> str:
    if not cohort.duplicates:
        return ""
    across = [pair for pair in cohort.duplicates if pair.is_across]
    shown = [
        f"{' and '.join(pair.pictures)} ({'/'.join(pair.splits)})" for pair in [*across, *cohort.duplicates]
    ]
    return _some(
        f"one photograph under two patients, compressed or resized again: {len(cohort.duplicates)}, on two sides of a "
        f"split {len(across)}",
        dict.fromkeys(shown),
        3,
    )
