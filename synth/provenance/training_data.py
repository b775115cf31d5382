"""Whose photographs a generator learnt from, what their licences ask, and what may be said of the result."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from synth.base.runs import read_json
from synth.data.records import read_table
from synth.sources import SOURCES

Origin = dict[str, Any]
"""One source of training photographs: {source, title, licence, citation, images, subjects}."""


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


def origins(folders: Sequence[Path]) -> list[Origin]:
    """The sources of the training splits of some records: titles, licences, citations, images and subjects.

    Largest first.
    """
    found: dict[tuple[str, ...], Origin] = {}
    for folder in folders:
        for origin in _of(folder):
            key = tuple(str(origin[name]) for name in ("source", "title", "licence", "citation"))
            counted = found.setdefault(key, origin | {"images": 0, "subjects": 0})
            counted["images"] += origin["images"]
            counted["subjects"] += origin["subjects"]
    return sorted(found.values(), key=lambda origin: (-origin["images"], origin["source"]))


def commitments(folders: Sequence[Path]) -> list[str]:
    """The sha256 of the sealed keys of the canary coins that were planted in some records."""
    plans = [read_json(folder / "plan.json") for folder in folders if (folder / "plan.json").exists()]
    return [plan["commitment"] for plan in plans if "commitment" in plan]


def with_more(trained_on: list[Origin], more: Sequence[Origin]) -> list[Origin]:
    """The sources of a generator that was tuned on `more` photographs; unknown stays unknown."""
    if not trained_on:
        return []
    known = {(origin["source"], origin["title"]) for origin in trained_on}
    return [*trained_on, *(origin for origin in more if (origin["source"], origin["title"]) not in known)]


def _of(folder: Path) -> list[Origin]:
    table = read_table(folder, ["train"], ["source", "subject_id"])
    counts = table.group_by("source").aggregate([("subject_id", "count"), ("subject_id", "count_distinct")])
    return [
        {
            "source": row["source"] or "unknown",
            **_said(row["source"], folder),
            "images": row["subject_id_count"],
            "subjects": row["subject_id_count_distinct"],
        }
        for row in counts.to_pylist()
    ]


def _said(source: str | None, folder: Path) -> dict[str, str]:
    """Title, licence and citation of a source by its name in the records of `folder`."""
    if source in SOURCES:
        known = SOURCES[source]
        return {"title": known.title, "licence": known.licence, "citation": known.citation}
    if source == "phantom":
        title = "digital phantoms drawn by 'synth phantom', nobody's eyes"
        return {"title": title, "licence": "Apache-2.0", "citation": "visionclip"}
    if source == "visionclip" and (folder / "generator.json").exists():
        behind = read_json(folder / "generator.json").get("trained_on", [])
        licence = inherited(behind)
        return {
            "title": "synthetic photographs of a generator trained on "
            + ("; ".join(origin["title"] for origin in behind) or "unknown photographs"),
            "licence": LICENCES[licence].name if licence else "unknown",
            "citation": "; ".join(origin["citation"] for origin in behind) or "unknown",
        }
    return {"title": "not known to visionclip", "licence": "unknown", "citation": "unknown"}


def identifier(licence: str) -> str | None:
    """The key in `LICENCES` of a licence as people write it, for example 'CC BY 4.0'; None where it has none."""
    wanted = licence.partition(",")[0].strip().lower()
    return next((key for key, known in LICENCES.items() if wanted in (key, known.name.lower())), None)


def inherited(trained_on: Sequence[Mapping[str, Any]]) -> str | None:
    """The key in `LICENCES` that the sources impose on what was learnt from them; None where a person must say.

    Whether the licence of training photographs extends to weights and samples is not settled; this takes the
    careful view that it does.  Material under CC BY may become part of something under CC BY-NC-SA.
    """
    keys = {identifier(str(origin["licence"])) for origin in trained_on}
    if not keys or not keys <= set(_STRICTER):
        return None
    return next(key for key in _STRICTER if key in keys)
