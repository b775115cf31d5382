"""What a report speaks for: changes to a release, each with its reason, what it costs, and the command.

A suggestion follows from a verdict and is no promise; after a change the audit is run again.
"""

from pathlib import Path

from pydantic import BaseModel

from privacy import threats
from privacy.decisions.verdict import FAIL, INCONCLUSIVE, INVALID, NOT_TESTABLE, REVEALS
from privacy.report.schema import AuditReport, Verdict

_MORE = {
    INVALID: "repair what the validity check names before anything is read from this result",
    INCONCLUSIVE: "audit again with more patients; 'privacy power' plans how many",
    NOT_TESTABLE: "give what is missing, or write in the card that it was not tested",
}


class Change(BaseModel):
    """One thing to do about some threats."""

    threats: list[str]
    what: str
    why: str
    price: str
    command: str


class Open(BaseModel):
    """A question without an answer, and what to do for one."""

    threat: str
    attack: str
    word: str
    what: str
    patients_needed: int | None


class Suggestions(BaseModel):
    """What a report speaks for."""

    report: str
    changes: list[Change]
    open: list[Open]


def suggest(path: Path) -> Suggestions:
    """Changes for what failed or was revealed, and what to do about the rest.

    Args:
        path: report.json, or the folder that holds it.

    Raises:
        UserError: no report of ours, or one of another version.
    """
    file = path / "report.json" if path.is_dir() else path
    report = AuditReport.read(file)
    results = [(each.threat, each.attack, each.verdict) for each in report.results]
    results += [("T1", each.name, each.inference) for each in report.attributes]
    leaks = {threat for threat, _, verdict in results if verdict.word in (FAIL, REVEALS)}
    changes = []
    for remedy in threats.REMEDIES:
        helped = sorted(row.key for row in threats.CATALOGUE if remedy in row.remedies and row.key in leaks)
        if helped:
            changes.append(Change(threats=helped, **remedy._asdict()))
    rest = [_open(*each) for each in results if each[2].word in _MORE]
    return Suggestions(report=str(file), changes=changes, open=rest)


def lines(suggestions: Suggestions) -> str:
    """The same for a terminal."""
    said = []
    for change in suggestions.changes:
        said += [
            f"{', '.join(change.threats)}: {change.what}",
            f"  because {change.why}; it costs: {change.price}",
            f"  {change.command}",
        ]
    for word, questions in _by_word(suggestions.open).items():
        said.append(f"{word}: {questions[0].what}")
        said += [f"  {_question(each)}" for each in questions]
    return "\n".join(said) or "nothing was found, and nothing is open; audit again when the release changes"


def _by_word(questions: list[Open]) -> dict[str, list[Open]]:
    found: dict[str, list[Open]] = {}
    for each in questions:
        found.setdefault(each.word, []).append(each)
    return found


def _question(each: Open) -> str:
    needed = f" (about {each.patients_needed:,} patients)" if each.patients_needed else ""
    return f"{each.threat} {each.attack}{needed}"


def _open(threat: str, attack: str, verdict: Verdict) -> Open:
    return Open(
        threat=threat,
        attack=attack,
        word=verdict.word,
        what=_MORE[verdict.word],
        patients_needed=verdict.patients_needed,
    )
