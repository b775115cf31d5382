"""The checklist of a release: evidence of its files, answers of a person, and what is open; as JSON, pages and a section of its card."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from privacy.checklist import answers, audit_evidence, release_evidence
from privacy.checklist.answers import ChecklistAnswer
from privacy.checklist.items import SIGNS, Evidence, Item, Mark, items
from privacy.report.schema import AuditReport
from privacy.targets import release_documents
from privacy.targets.release_documents import ReleaseDocuments
from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.data.records import SPLITS, data_fingerprint


class Source(BaseModel):
    """A sentence that answers an item, in both languages, and where it is from."""

    en: str
    zh: str
    source: str


class Answered(BaseModel):
    """An item with its mark; only what a file or a person answered has another one than "open"."""

    key: str
    mark: Mark
    evidence: list[Source]

    @property
    def sign(self) -> str:
        """As pages show the mark."""
        return SIGNS[self.mark]


class Checklist(BaseModel):
    """What `checklist.json` holds."""

    format: str = "visionclip-checklist"
    version: int = 1
    items: list[Answered]

    def count(self, mark: Mark) -> int:
        """Items with a mark."""
        return sum(item.mark == mark for item in self.items)


def gather(
    home: Path,
    generator: Path | None = None,
    synthetic: Path | None = None,
    quality: Path | None = None,
    evaluation: Path | None = None,
) -> Checklist:
    """Read all that answers an item, and append to `home/checklist.yaml` what nothing answers.

    Args:
        home: folder with the report of `privacy audit`, or one without; answers are kept there.

    Raises:
        UserError: a file is damaged or of another release, an answer cannot be checked, or nothing was given.
    """
    audit = AuditReport.read(home / "report.json") if (home / "report.json").exists() else None
    documents = release_documents.read(generator, synthetic, quality, evaluation)
    if audit is None and documents == ReleaseDocuments():
        raise UserError(
            f"{home}: no report.json of 'privacy audit' is there, and nothing else was given; name the release with --synthetic, "
            "--generator, --quality or --evaluation"
        )
    _of_one_release(audit, documents, synthetic)
    found = audit_evidence.evidence(audit, documents.evaluation)
    for key, more in release_evidence.evidence(documents).items():
        found.setdefault(key, []).extend(more)
    given = answers.read(home / answers.NAME)
    made = combine(found, given)
    unanswered = [
        item for item, each in zip(items(), made.items, strict=True) if each.mark in ("open", "partly")
    ]
    answers.ask(home / answers.NAME, unanswered)
    return made


def combine(evidence: dict[str, list[Evidence]], given: dict[str, ChecklistAnswer]) -> Checklist:
    """Give each item its mark: that of the files, completed by the person's."""
    return Checklist(
        items=[_answered(item, evidence.get(item.key, []), given.get(item.key)) for item in items()]
    )


def _answered(item: Item, evidence: Sequence[Evidence], answer: ChecklistAnswer | None) -> Answered:
    said = [Source(en=each.en, zh=each.zh, source=each.source) for each in evidence]
    marks: list[Mark] = [each.mark for each in evidence]
    if answer and answer.answer:
        words = answer.explanation or ""
        said.append(Source(en=words, zh=answer.explanation_zh or words, source=answer.source or ""))
    return Answered(key=item.key, mark=_mark(marks, answer.answer if answer else None), evidence=said)


def _mark(measured: Sequence[Mark], answer: Mark | None) -> Mark:
    """What files say holds, and the worst of it; where they say it in part or not at all, a person completes it."""
    whole = [mark for mark in measured if mark in ("yes", "no")]
    if "no" in whole:
        return "no"
    if whole:
        return answer if answer in ("no", "partly") else "yes"
    return answer or ("partly" if "partly" in measured else "open")


def _of_one_release(audit: AuditReport | None, documents: ReleaseDocuments, synthetic: Path | None) -> None:
    """Refuse reports that are of something else than the release.

    Raises:
        UserError: the audit, or a report of quality or of an evaluation, is of other records or of another model.
    """
    records = data_fingerprint(synthetic) if synthetic else None
    audited = audit.synthetic.fingerprint if audit and audit.synthetic else None
    if records and audited and audited != fingerprint([records, list(SPLITS)]):
        raise UserError(
            f"--synthetic {synthetic}: the audit is of other released records; audit these, or name those"
        )
    quality = documents.quality
    if quality and records and quality.data["synthetic"].fingerprint != records:
        raise UserError(
            f"--quality: is of other records than --synthetic {synthetic}; evaluate these, or name those"
        )
    weights = audit.generator.get("weights") if audit and audit.generator else None
    if weights and documents.plan and documents.plan.model != weights:
        raise UserError(
            f"--synthetic {synthetic}: was drawn by another generator than the audited one; name that of the audit"
        )
    _of_one_encoder(audit, documents)


def _of_one_encoder(audit: AuditReport | None, documents: ReleaseDocuments) -> None:
    tested = documents.evaluation.checkpoint.sha256 if documents.evaluation else None
    model = audit.model.get("sha256") if audit and audit.model else None
    if tested and model and tested != model:
        raise UserError(
            "--evaluation: is of another model than the audited one; evaluate the checkpoint of the audit"
        )
