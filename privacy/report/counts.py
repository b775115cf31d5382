"""What a report counts: requirements and their attacks, questions left open, and patients, in English and Chinese."""

from typing import NamedTuple

from privacy import threats
from privacy.data.access import HOLDS
from privacy.decisions.verdict import NOT_TESTABLE, Combined, combined
from privacy.report.chinese import translated
from privacy.report.schema import AuditReport
from privacy.report.words import WORDS, naming


class Regulation(NamedTuple):
    """A requirement with the attacks that bear on it, and the word for all of their questions."""

    law: str
    threats: str
    untested: str
    word: str
    answered: str


class OpenQuestions(NamedTuple):
    """Questions that were not tested for one reason."""

    heading: str
    names: list[str]
    why: str


def attacker(report: AuditReport, language: str) -> str:
    """Who is assumed to attack, in one sentence, with the questions that were left out because of it."""
    left = sum(each.left_out for each in report.results) + sum(each.left_out for each in report.attributes)
    holds = HOLDS[report.given][0 if language == "en" else 1]
    said = WORDS[language]["attacker"].format(given=report.given, holds=holds)
    if left:
        said += WORDS[language]["left out"].format(left=left)
    if sealed := report.sealed:
        numbers = {"commitment": sealed.commitment[:12], "judged": len(sealed.scored), "of": sealed.of}
        said += WORDS[language]["sealed"].format(**numbers)
    return said


def open_questions(report: AuditReport, language: str) -> list[OpenQuestions]:
    """What was not tested, one entry for each reason, the most frequent first; a reason says how to test it."""
    say = translated if language == "zh" else str
    words, found = WORDS[language], dict[str, list[str]]()
    for each in report.results:
        if each.verdict.word == NOT_TESTABLE:
            found.setdefault(say(each.verdict.why), []).append(naming(each, language))
    for each in report.attributes:
        if each.inference.word == NOT_TESTABLE:
            found.setdefault(say(each.inference.why), []).append(f"T1 {say(each.name)}")
    rows = [
        OpenQuestions(
            words["question" if len(names) == 1 else "questions"].format(count=len(names)), names, why
        )
        for why, names in found.items()
    ]
    return sorted(rows, key=lambda row: -len(row.names))


def regulations(report: AuditReport, language: str) -> list[Regulation]:
    """Of each requirement the attacks that bear on it, and the word for all of their questions."""
    found: dict[str, list[str]] = {}
    for each in report.results:
        found.setdefault(each.threat, []).append(each.verdict.word)
    for each in report.attributes:
        found.setdefault("T1", []).append(each.inference.word)
    rows = []
    for law in threats.LAWS:
        keys = threats.keys_of(law)
        each = {key: combined(found.get(key, [NOT_TESTABLE])) for key in keys}
        tested = [_counted(key, one) for key, one in each.items() if one.answered]
        whole = combined([word for key in keys for word in found.get(key, [NOT_TESTABLE])])
        rows.append(
            Regulation(
                law=law.name if language == "en" else law.name_zh,
                threats=", ".join(tested) or "–",
                untested=", ".join(key for key, one in each.items() if not one.answered),
                word=whole.word,
                answered=WORDS[language]["asked"].format(asked=whole.answered, of=whole.of),
            )
        )
    return rows


def _counted(key: str, found: Combined) -> str:
    return key if found.answered == found.of else f"{key} ({found.answered}/{found.of})"


def counted(report: AuditReport, language: str) -> list[str]:
    """What was found of members, as numbers of patients: one sentence for each question that a rate or a count answers."""
    found = []
    for each in report.results:
        estimate, members = each.estimate, report.members
        if (
            each.panel != "members"
            or not estimate
            or not members
            or estimate.high is None
            or estimate.low is None
        ):
            continue
        if each.verdict.word in ("INVALID", "NOT TESTABLE") or each.threat not in ("T2", "T3"):
            continue
        name = each.statistic.name
        if name not in ("difference of rates", "members who stand out"):
            continue
        scale = members.patients if name == "difference of rates" else 1
        low, high = (
            max(0, min(members.patients, round(scale * end))) for end in (estimate.low, estimate.high)
        )
        sentence = SENTENCES[language][name]
        found.append(
            (
                high,
                sentence.format(members=members.patients, low=low, high=high, attack=naming(each, language)),
            )
        )
    return [sentence for _, sentence in sorted(found, key=lambda each: -each[0])[:COUNTED]]


SENTENCES = {
    "en": {
        "difference of rates": "Of {members:,} patients, up to {high:,} more than by chance are guessed right because they were trained on (at least {low:,}): {attack}.",
        "members who stand out": "Of {members:,} patients, up to {high:,} can be known with certainty (at least {low:,}): {attack}.",
    },
    "zh": {
        "difference of rates": "在 {members:,} 名患者中，因参与训练而被多猜对的至多 {high:,} 名（至少 {low:,} 名）：{attack}。",
        "members who stand out": "在 {members:,} 名患者中，能被确知的至多 {high:,} 名（至少 {low:,} 名）：{attack}。",
    },
}
"""Of a statistic, as a count of patients."""
COUNTED = 2
"""Sentences that the first page has room for, of the most patients."""
