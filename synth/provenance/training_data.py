"""Whose photographs a generator learnt from, what their licences ask, and what may be said of the result."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from synth.base.documents import read_mapping
from synth.data.records import read_table
from synth.model.card import GeneratorCard, TrainingSource
from synth.sources import SOURCES


class Licence(NamedTuple):
    """A licence by its SPDX-like name on Hugging Face."""

    name: str
    url: str


LICENCES = {
    "apache-2.0": Licence("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    "mit": Licence("MIT", "https://opensource.org/license/mit"),
    "cc0-1.0": Licence("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "cc-by-4.0": Licence("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"),
    "cc-by-sa-4.0": Licence("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
    "cc-by-nc-4.0": Licence("CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/"),
    "cc-by-nc-sa-4.0": Licence("CC BY-NC-SA 4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/"),
    "cc-by-nd-4.0": Licence("CC BY-ND 4.0", "https://creativecommons.org/licenses/by-nd/4.0/"),
    "cc-by-nc-nd-4.0": Licence("CC BY-NC-ND 4.0", "https://creativecommons.org/licenses/by-nc-nd/4.0/"),
    "odc-by": Licence("ODC-By 1.0", "https://opendatacommons.org/licenses/by/1-0/"),
    "odbl": Licence("ODbL 1.0", "https://opendatacommons.org/licenses/odbl/1-0/"),
}
"""Licences that a card links to; any other text is carried as it is."""

# What may be made of a licence's material: the licence of the whole, strictest first.  `None` asks a person.
_STRICTER = ("cc-by-nc-sa-4.0", "cc-by-4.0", "apache-2.0")


def training_sources(folders: Sequence[Path]) -> list[TrainingSource]:
    """The sources of the training splits of some records: titles, licences, citations, images and subjects.

    Largest first.
    """
    found: dict[tuple[str, ...], TrainingSource] = {}
    for folder in folders:
        for origin in _of(folder):
            key = (origin.source, origin.title, origin.licence, origin.citation)
            before = found.get(key)
            images, subjects = (before.images or 0, before.subjects or 0) if before else (0, 0)
            found[key] = origin.replaced(
                images=images + (origin.images or 0), subjects=subjects + (origin.subjects or 0)
            )
    return sorted(found.values(), key=lambda origin: (-(origin.images or 0), origin.source))


def commitments(folders: Sequence[Path]) -> list[str]:
    """The sha256 of the sealed keys of the canaries that were planted in some records."""
    plans = [read_mapping(folder / "plan.json") for folder in folders if (folder / "plan.json").exists()]
    return [plan["commitment"] for plan in plans if "commitment" in plan]


def with_more(trained_on: list[TrainingSource], more: Sequence[TrainingSource]) -> list[TrainingSource]:
    """The sources of a generator that was tuned on `more` photographs; unknown stays unknown.

    Of a source in both, the larger counts: how many photographs of the one are in the other is not known.
    """
    if not trained_on:
        return []
    known = {(origin.source, origin.title): origin for origin in trained_on}
    for origin in more:
        before = known.get((origin.source, origin.title), origin)
        known[origin.source, origin.title] = before.replaced(
            images=_larger(before.images, origin.images), subjects=_larger(before.subjects, origin.subjects)
        )
    return [*known.values()]


def _larger(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def _of(folder: Path) -> list[TrainingSource]:
    table = read_table(folder, ["train"], ["source", "subject_id"])
    counts = table.group_by("source").aggregate([("subject_id", "count"), ("subject_id", "count_distinct")])
    return [
        TrainingSource(
            source=row["source"] or "unknown",
            **_terms(row["source"], folder),
            images=row["subject_id_count"],
            subjects=row["subject_id_count_distinct"],
        )
        for row in counts.to_pylist()
    ]


def _terms(source: str | None, folder: Path) -> dict[str, str]:
    """Title, licence and citation of a source by its name in the records of `folder`."""
    if source in SOURCES:
        known = SOURCES[source]
        return {"title": known.title, "licence": known.licence, "citation": known.citation}
    if source == "phantom":
        title = "digital phantoms drawn by 'synth phantom', nobody's eyes"
        return {"title": title, "licence": "Apache-2.0", "citation": "visionclip"}
    if source == "visionclip" and (folder / "generator.json").exists():
        learnt_from = GeneratorCard.read(folder / "generator.json").trained_on
        licence = inherited(learnt_from)
        return {
            "title": "synthetic photographs of a generator trained on "
            + ("; ".join(origin.title for origin in learnt_from) or "unknown photographs"),
            "licence": LICENCES[licence].name if licence else "unknown",
            "citation": "; ".join(origin.citation for origin in learnt_from) or "unknown",
        }
    return {"title": "not known to visionclip", "licence": "unknown", "citation": "unknown"}


def identifier(licence: str) -> str | None:
    """The key in `LICENCES` of a licence as people write it, for example 'CC BY 4.0'; None where it has none."""
    wanted = licence.partition(",")[0].strip().lower()
    return next((key for key, known in LICENCES.items() if wanted in (key, known.name.lower())), None)


def inherited(trained_on: Sequence[TrainingSource]) -> str | None:
    """The key in `LICENCES` that the sources impose on what was learnt from them; None where a person must say.

    Whether the licence of training photographs extends to weights and samples is not settled; this takes the
    careful view that it does.  Material under CC BY may become part of something under CC BY-NC-SA.
    """
    keys = {identifier(origin.licence) for origin in trained_on}
    if not keys or not keys <= set(_STRICTER):
        return None
    return next(key for key in _STRICTER if key in keys)
