"""The auditor's part of a sealed audit: scores without names are judged by the code that judged them for the controller."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from privacy import report as reports
from privacy.attacks import embedded, exposed, linkage, membership
from privacy.config import AuditConfig, audit_config
from privacy.decisions.decision import Decision, decide
from privacy.decisions.results import Attribute, Result, Scale
from privacy.decisions.verdict import Answer
from privacy.report import contents
from privacy.report.schema import AttributeEntry, AuditReport
from privacy.sealed import score_files
from privacy.sealed.score_files import GROUPS, Party, Statement
from synth.base import runs
from synth.base.errors import UserError

Judge = Callable[[Result, np.ndarray, np.ndarray, AuditConfig], Result]
"""Takes a question and (P,) or (P, k) numbers of members and of non-members."""
JUDGES: dict[str, Judge] = {
    **{
        score_files.name(each): with_scores
        for question in (membership.GENERATOR, membership.RELEASED, membership.ENCODER)
        for each, with_scores in (
            (question, membership.with_scores),
            (exposed.question(question), exposed.with_scores),
        )
    },
    score_files.name(embedded.QUESTION): embedded.with_scores,
    score_files.name(linkage.QUESTIONS[0]): linkage.with_verification_scores,
    score_files.name(linkage.QUESTIONS[1]): linkage.with_match_scores,
}
"""Question -> how its scores are judged, in the order of (P, k) arrays where k is more than one."""


def verdicts(
    files: Sequence[Path], out: Path, commitment: str | None = None, command: str = "privacy.verdict"
) -> AuditReport:
    """Judge the scores of a sealed audit and write its report; what no scores are there of is the controller's word.

    Args:
        files:      the two files of `privacy audit --seal`, in any order.
        out:        folder for the report.
        commitment: sha256 that the controller published; else whoever changed all of the files anew is not found out.

    Raises:
        UserError: a file is missing, damaged, changed or of another audit.
    """
    parties = _parties([score_files.read(path) for path in files])
    statement = parties[0].statement
    if commitment is not None and parties[0].commitment != commitment.strip().lower():
        raise UserError(
            f"--commitment {commitment[:12]}: the files were sealed as {parties[0].commitment[:12]}; ask for those of that audit"
        )
    try:
        config = audit_config().model_validate(statement.report.config)
    except ValidationError:
        raise UserError(
            f"{parties[0].path}: its settings are of another version of visionclip; use that which sealed it"
        ) from None
    results = [_judged(each, parties, config) for each in statement.results]
    sealed = score_files.sealed(parties[0].commitment, statement.scored, statement.report)
    made = _answered(statement, results).model_copy(update={"command": command, "sealed": sealed})
    runs.claim(out, "audit.json", {"sealed": parties[0].commitment}, "audit")
    return reports.write(out, made)


def _judged(result: Result, parties: Sequence[Party], config: AuditConfig) -> Result:
    """A question with scores is judged, any other is as the controller says."""
    asked = score_files.name(result)
    if asked not in parties[0].statement.scored:
        return result
    members, nonmembers = (party.values[asked] for party in parties)
    if members.shape[1] == 1:
        members, nonmembers = members[:, 0], nonmembers[:, 0]
    return JUDGES[asked](result, members, nonmembers, config)


def _answered(statement: Statement, results: Sequence[Result]) -> AuditReport:
    """The controller's report with every word said anew; T1, which asks about anyone, as it is."""
    of_anyone = [_told(entry) for entry in statement.report.attributes]
    decisions = [*of_anyone, *decide(results)]
    return contents.answered(statement.report, decisions)


def _told(entry: AttributeEntry) -> Decision:
    question = Result("T1", entry.name, "anyone", Scale("", 0.0, 0.0, None), left_out=entry.left_out)
    question = question._replace(attribute=Attribute(entry.name))
    inference, effect = (Answer(**each.model_dump()) for each in (entry.inference, entry.training_effect))
    return Decision(question, None, inference, effect)


def _parties(found: Sequence[Party]) -> tuple[Party, Party]:
    """Members and non-members of one audit.

    Raises:
        UserError: a group is missing or there twice, or the files are of two audits.
    """
    by_group = {party.group: party for party in found}
    if len(found) != len(GROUPS) or len(by_group) != len(GROUPS):
        given = ", ".join(f"{party.path} ({party.group})" for party in found)
        raise UserError(
            f"{given}: takes one file of members and one of nonmembers, of one 'privacy audit --seal'"
        )
    members, nonmembers = (by_group[group] for group in GROUPS)
    if members.commitment != nonmembers.commitment:
        one, other = members.statement, nonmembers.statement
        what = next((what for what, of in _DIFFERENCES if of(one) != of(other)), "its time")
        raise UserError(
            f"{members.path} and {nonmembers.path}: sealed in two audits ({what} differs); give two files of one"
        )
    if unknown := next((each for each in members.statement.scored if each not in JUDGES), None):
        raise UserError(f"{members.path}: '{unknown}' is a question of another version of visionclip")
    return members, nonmembers


_DIFFERENCES: tuple[tuple[str, Callable[[Statement], object]], ...] = (
    ("the key of the salted ids", lambda each: each.key),
    ("the encoder", lambda each: (each.report.model or {}).get("sha256")),
    ("the generator", lambda each: (each.report.generator or {}).get("weights")),
    ("the released set", lambda each: each.report.synthetic),
    ("the members' records", lambda each: each.report.members),
    ("the non-members' records", lambda each: each.report.nonmembers),
    ("a setting", lambda each: (each.report.config, each.report.given)),
)
