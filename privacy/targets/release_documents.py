"""What the files of a release say of it: cards, plan, reports of quality and of evaluations, read as typed values."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from synth.base import checksums, documents
from synth.base.errors import UserError

if TYPE_CHECKING:
    from clip.evaluation.results import EvaluationReport
    from synth.model.card import GeneratorCard
    from synth.provenance.publication import Publication
    from synth.quality.results import QualityReport
    from synth.sampling.plan import Plan

_KIND = "visionclip-evaluation"
"""What a report of `synth evaluate` is called; one of `clip eval` says the same elsewhere."""


class Computation(NamedTuple):
    """Operations of a denoiser, one multiplication with its addition counted as two."""

    training: float
    drawing: float | None
    """Of the whole plan; None without one."""


class Subgroup(BaseModel):
    """A number of one group of patients, with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float


class ReleaseDocuments(NamedTuple):
    """What there is; None of what was not given."""

    card: "GeneratorCard | None" = None
    plan: "Plan | None" = None
    publication: "Publication | None" = None
    """Of the data set, else of the generator."""
    licence: str | None = None
    """The one that holds, named or inherited."""
    quality: "QualityReport | None" = None
    computation: Computation | None = None
    evaluation: "EvaluationReport | None" = None
    """Of an encoder, by `clip eval`."""


def read(
    generator: Path | None = None,
    synthetic: Path | None = None,
    quality: Path | None = None,
    evaluation: Path | None = None,
) -> ReleaseDocuments:
    """Read what the files of a release say.

    Args:
        generator:  a generator's folder, or the run that trained one.
        synthetic:  released records of `synth generate`.
        quality:    report.json of `synth evaluate`, or its folder; `evaluation` that of `clip eval`.

    Raises:
        UserError: a file is absent, damaged or of another kind, or the records were drawn by another generator.
    """
    from clip.evaluation import report
    from synth.model.card import GeneratorCard, locate, read_card, weights_fingerprint
    from synth.provenance import publication
    from synth.quality.results import QualityReport
    from synth.sampling.plan import Plan

    folder = locate(generator) if generator else None
    card = read_card(folder) if folder else None
    plan = None
    if synthetic:
        plan = Plan.parse(_plan(synthetic), str(synthetic / "plan.json"))
        if folder and weights_fingerprint(folder) != plan.model:
            raise UserError(
                f"--generator {generator}: --synthetic {synthetic} was drawn by another one ({plan.model[:12]}); give that "
                "one, or leave one of the two out"
            )
        beside = synthetic / "generator.json"
        card = card or (GeneratorCard.read(beside) if beside.exists() else None)
    home = synthetic or folder
    stated = publication.read(home) if home else None
    return ReleaseDocuments(
        card=card,
        plan=plan,
        publication=stated,
        licence=stated.terms(card.trained_on if card else []) if stated else None,
        quality=QualityReport.parse(_quality(quality), str(quality)) if quality else None,
        computation=_computation(folder, card, plan) if folder and card else None,
        evaluation=report.read(_file(evaluation)) if evaluation else None,
    )


def subgroups(evaluation: "EvaluationReport") -> list[Subgroup]:
    """The AUCs that `clip eval --by` measured, the lowest first; none of groups with too few photographs of a class."""
    from clip.evaluation.results import ClassificationResult

    found = [
        Subgroup(
            name=f"{part.attribute} {part.name}, {language}", value=each.value, low=each.low, high=each.high
        )
        for result in evaluation.results
        if isinstance(result, ClassificationResult)
        for part in result.subgroups or ()
        for language, each in part.auc.items()
    ]
    return sorted(found, key=lambda each: each.value)


def write_section(synthetic: Path, text: str) -> None:
    """Put a section on ethics into the card of a folder of released records, in place of an earlier one."""
    from synth.base.runs import write_text
    from synth.publishing import publish

    write_text(synthetic / publish.ETHICS, text)
    publish.republish(synthetic)


def _plan(synthetic: Path) -> dict[str, Any]:
    plan = documents.read_mapping(synthetic / "plan.json", "kind")
    if plan["kind"] != "synthetic":
        raise UserError(
            f"--synthetic {synthetic}: records of kind '{plan['kind']}'; give those of 'synth generate'"
        )
    return plan


def _computation(folder: Path, card: "GeneratorCard", plan: "Plan | None") -> Computation:
    from synth.base.speed import BACKWARD
    from synth.sampling import cost

    each = cost.forward(folder / "unet")
    passes = plan.n * cost.evaluations(plan.steps, plan.guidance) if plan else None
    return Computation(BACKWARD * card.images * each, None if passes is None else passes * each)


def _quality(path: Path) -> dict[str, Any]:
    file = _file(path)
    report = checksums.read_mapping(file)
    named = report.get("schema")
    if not isinstance(named, dict) or named.get("name") != _KIND:
        raise UserError(
            f"{file}: no report of 'synth evaluate'; give its report.json, or the folder that holds it"
        )
    return report


def _file(path: Path) -> Path:
    """The report that a path names, or the one in a folder."""
    return path / "report.json" if path.is_dir() else path
