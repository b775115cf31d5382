"""What the report of an audit, and that of an encoder's evaluation, answer to the checklist."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from privacy.checklist.items import Evidence, Mark
from privacy.decisions import verdict
from privacy.report.chinese import translated
from privacy.report.schema import AuditReport, Panel
from privacy.report.words import WORDS
from privacy.targets.release_documents import Subgroup, subgroups

if TYPE_CHECKING:
    from privacy.targets.release_documents import EvaluationReport

AUDIT, EVALUATION = "report.json (privacy audit)", "report.json (clip eval)"
_IDENTIFIERS = "direct identifiers in captions"
_SUBGROUPS = TypeAdapter(list[Subgroup])
"""As `privacy.statistics.strata` gives them, the worst first."""
_WORST = 3  # groups that a line has room for
_MARKS: dict[str, Mark] = {
    verdict.PASS: "yes",
    verdict.FAIL: "no",
    verdict.REVEALS: "no",
    verdict.INCONCLUSIVE: "partly",
    verdict.INVALID: "open",
    verdict.NOT_TESTABLE: "open",
}


def evidence(audit: AuditReport | None, evaluation: "EvaluationReport | None") -> dict[str, list[Evidence]]:
    """Key of an item -> what the reports answer to it."""
    found: dict[str, list[Evidence]] = {}
    if audit:
        found = {f"privacy.{panel.key}": [_of_panel(panel)] for panel in audit.panels}
        found["privacy.identifiers"] = list(_identifiers(audit))
        found["equity.exposure"] = list(_exposure(audit))
    if evaluation is not None:
        found["equity.subgroups"] = [_subgroups(evaluation)]
    return found


def _of_panel(panel: Panel) -> Evidence:
    """The word of a panel; what was asked in part is answered in part at most."""
    mark = _MARKS[panel.verdict]
    if mark == "open" and panel.answered and panel.verdict == verdict.NOT_TESTABLE:
        mark = "partly"
    counts = {"asked": panel.answered, "of": panel.of}
    return Evidence(
        f"{panel.verdict} ({WORDS['en']['asked'].format(**counts)}): {panel.why}.",
        f"{WORDS['zh'][panel.verdict]}（{WORDS['zh']['asked'].format(**counts)}）：{translated(panel.why)}。",
        AUDIT,
        mark,
    )


def _identifiers(audit: AuditReport) -> Iterator[Evidence]:
    for each in audit.results:
        if each.attack == _IDENTIFIERS:
            word, why = each.verdict.word, each.verdict.why
            yield Evidence(
                f"{word}: {why}.", f"{WORDS['zh'][word]}：{translated(why)}。", AUDIT, _MARKS[word]
            )


def _exposure(audit: AuditReport) -> Iterator[Evidence]:
    for each in audit.results:
        rows = _SUBGROUPS.validate_python(each.details.get("subgroups") or [])
        if rows:
            text = _written(rows[:_WORST])
            name = f"{each.threat} {each.attack}"
            yield Evidence(
                f"{name}, members minus non-members, worst first: {text}.",
                f"{each.threat} {translated(each.attack)}，成员减非成员，最坏者在前：{text}。",
                AUDIT,
                "yes",
            )


def _subgroups(evaluation: "EvaluationReport") -> Evidence:
    """What `clip eval --by` measured; not measured where no group had photographs enough for an interval."""
    rows = subgroups(evaluation)
    if not rows:
        return Evidence("Not measured ('clip eval --by').", "未测量（clip eval --by）。", EVALUATION, "open")
    text = _written(rows[:_WORST])
    return Evidence(
        f"{len(rows)} AUCs of groups with intervals; the lowest: {text}.",
        f"{len(rows)} 个分组 AUC 及区间；最低者：{text}。",
        EVALUATION,
        "yes",
    )


def _written(rows: Sequence[Subgroup]) -> str:
    """As in "sex M 0.812 (0.790–0.835), sex F 0.830 (0.801–0.852)"."""
    return ", ".join(f"{row.name} {row.value:.3f} ({row.low:.3f}–{row.high:.3f})" for row in rows)
