"""Push a folder to the Hugging Face Hub: records as a data set, a generator as a model.

Checked first, sent afterwards, so that nothing half-made and no patient's photograph is published by a slip.
"""

import datetime
from pathlib import Path
from typing import Any

from synth.base import extras
from synth.base.documents import read_mapping
from synth.base.errors import UserError
from synth.base.hub import check_hub, check_repo, upload
from synth.data.records import SPLITS, read_table, shards
from synth.model.card import GeneratorCard, TrainingSource, locate
from synth.provenance import publication
from synth.provenance.training_data import training_sources
from synth.sampling.verify import verify

REAL = "--real-photographs-may-be-published"
_CARDS = ("README.md", publication.FILE)


def push(
    folder: Path,
    repo: str,
    private: bool = False,
    licence: str | None = None,
    real: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Verify `folder`, write its cards anew, and upload it; the same call again sends only what is not there yet.

    Args:
        folder:  records, a generator, or the run that trained one.
        repo:    NAME/REPO on the hub at HF_ENDPOINT, with the token of HF_TOKEN or `hf auth login`.
        licence: kept in `folder/publication.yaml`.
        real:    photographs of patients may be published; without it they are refused.
        dry_run: check and list, but send nothing and touch no file.

    Raises:
        UserError: the folder is incomplete, damaged, of real patients or without licence; or the hub refuses.
    """
    check_repo(repo)
    kind = (
        "model"
        if any((place / "model_index.json").exists() for place in (folder, folder / "model"))
        else "dataset"
    )
    if kind == "model":
        folder = locate(folder)
    files, trained_on = _generator(folder) if kind == "model" else _records(folder, real)
    stated, terms = _terms(folder, licence, trained_on)
    if kind == "dataset":
        if read_mapping(folder / "plan.json").get("kind") == "synthetic":
            extras.require("synth push", "mlcroissant")  # for the card of Croissant
        verify(folder)
    result = {"repo": repo, "type": kind, "licence": terms, "private": private}
    if dry_run:
        return result | {"files": files, "bytes": sum((folder / name).stat().st_size for name in files)}
    endpoint = check_hub()
    publication.update(
        folder,
        licence=licence,
        url=stated.url or f"{endpoint}/{'datasets/' if kind == 'dataset' else ''}{repo}",
        published=stated.published or datetime.datetime.now(datetime.UTC).date(),
    )
    _write_cards(folder, kind)
    files = sorted({*files, *_CARDS})
    return result | {"files": len(files), "commit": upload(folder, repo, kind, private, files, "synth push")}


def ready(folder: Path, repo: str, licence: str | None, generator: GeneratorCard) -> None:
    """Refuse, before the first picture is drawn, what `push` would refuse at the end."""
    extras.require("--push-to-hub", "mlcroissant")
    check_repo(repo)
    _terms(folder, licence, generator.trained_on)
    check_hub()


def _generator(folder: Path) -> tuple[list[str], list[TrainingSource]]:
    """The files of a generator's folder, and what it learnt from."""
    from synth import pipeline

    _, card = pipeline.load(folder)
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    files = sorted(str(n) for n in names if not any(p.startswith(".") for p in n.parts))
    return files, card.trained_on


def _records(folder: Path, real: bool) -> tuple[list[str], list[TrainingSource]]:
    """The files of a folder of records that may be published, and whose photographs are behind it."""
    if not (folder / "plan.json").exists():
        raise UserError(
            f"{folder}: neither records (plan.json) nor a generator (model_index.json); nothing to push"
        )
    kind = str(read_mapping(folder / "plan.json").get("kind"))
    drawn = {"synthetic": "visionclip", "phantom": "phantom"}.get(kind)
    strange = set(read_table(folder, SPLITS, ["source"])["source"].to_pylist()) - {drawn}
    if strange and not real:
        raise UserError(
            f"{folder}: holds photographs that are not synthetic (source {', '.join(sorted(map(str, strange)))}); if "
            f"their owners and every patient in them allow it, add {REAL}"
        )
    paths = [path for split in SPLITS for path in shards(folder, split)]
    names = [*paths, *(path.with_suffix(".json") for path in paths)]
    # An import's plan.json and import.json name folders and files of the machine it ran on.
    names += [
        folder / name for name in ("plan.json", "generator.json", "croissant.json", "preview.png") if drawn
    ]
    files = sorted(str(path.relative_to(folder)) for path in names if path.exists())
    if kind != "synthetic":
        return files, training_sources([folder])
    generator = folder / "generator.json"
    return files, GeneratorCard.read(generator).trained_on if generator.exists() else []


def _terms(
    folder: Path, licence: str | None, trained_on: list[TrainingSource]
) -> tuple[publication.Publication, str]:
    """What is said of the folder, and the licence that holds."""
    given = {"licence": licence} if licence is not None else {}
    stated = publication.check_licence(publication.read(folder).model_dump() | given)
    terms = stated.terms(trained_on)
    if terms:
        return stated, terms
    named = ", ".join(f"{origin.source}: {origin.licence}" for origin in trained_on) or "none recorded"
    raise UserError(
        f"{folder}: no licence set, and its sources ({named}) do not give one; add --licence, for example "
        "cc-by-4.0, or one line of terms"
    )


def _write_cards(folder: Path, kind: str) -> None:
    if kind == "model":
        from synth.provenance.model_card import write_model_card

        write_model_card(folder)
    else:
        from synth.publishing.publish import republish

        republish(folder)
