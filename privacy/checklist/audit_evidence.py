"""What the report of an audit, and that of an encoder's evaluation, answer to the checklist."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydantic import JsonValue

from privacy.checklist.items import Evidence, Mark
from privacy.decisions import verdict
from privacy.report.chinese import translated
from privacy.report.schema import AuditReport, Panel
from privacy.report.words import WORDS

AUDIT, EVALUATION = "report.json (privacy audit)", "report.json (clip eval)"
_IDENTIFIERS = "direct identifiers in captions"
_WORST = 3  # groups that a line has room for
_MARKS: dict[str, Mark] = {
    verdict.PASS: "yes",
    verdict.FAIL: "no",
    verdict.REVEALS: "no",
    verdict.INCONCLUSIVE: "partly",
    verdict.INVALID: "open",
    verdict.NOT_TESTABLE: "open",
}


def evidence(
    audit: AuditReport | None, evaluation: Mapping[str, JsonValue] | None
) -> dict[str, list[Evidence]]:
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


class Subgroup(NamedTuple):
    """A number of one group of patients, with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float

    def text(self) -> str:
        """As in "M 0.812 (0.790–0.835)"."""
        return f"{self.name} {self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


def subgroups(value: JsonValue, name: str = "") -> Iterator[Subgroup]:
    """All numbers with an interval in what a report keeps under `subgroups`, however deep, each by the keys above it."""
    if isinstance(value, list):
        for each in value:
            yield from subgroups(each, name)
    elif isinstance(value, dict):
        label = next((value[key] for key in ("name", "group") if isinstance(value.get(key), str)), "")
        name = " ".join(filter(None, [name, str(label)]))
        ends = [value.get(key) for key in ("value", "low", "high")]
        numbers = [float(end) for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
        if len(numbers) == len(ends):
            yield Subgroup(name, *numbers)
        for key, each in value.items():
            yield from subgroups(each, " ".join(filter(None, [name, str(key)])))


def _exposure(audit: AuditReport) -> Iterator[Evidence]:
    for each in audit.results:
        rows = sorted(subgroups(each.details.get("subgroups")), key=lambda row: -row.low)[:_WORST]
        if rows:
            text = ", ".join(row.text() for row in rows)
            name = f"{each.threat} {each.attack}"
            yield Evidence(
                f"{name}, members minus non-members, worst first: {text}.",
                f"{each.threat} {translated(each.attack)}，成员减非成员，最坏者在前：{text}。",
                AUDIT,
                "yes",
            )


def _subgroups(evaluation: Mapping[str, JsonValue]) -> Evidence:
    """What `clip eval --by` measured; not measured where its report has no subgroups, or none with an interval."""
    results = evaluation.get("results")
    parts = [evaluation.get("subgroups")]
    parts += (
        [each.get("subgroups") for each in results if isinstance(each, dict)]
        if isinstance(results, list)
        else []
    )
    rows = sorted((row for part in parts for row in subgroups(part)), key=lambda row: row.value)
    rows = [row for row in rows if "auc" in row.name] or rows
    if not rows:
        return Evidence("Not measured ('clip eval --by').", "未测量（clip eval --by）。", EVALUATION, "open")
    text = ", ".join(row.text() for row in rows[:_WORST])
    return Evidence(
        f"{len(rows)} numbers of groups with intervals; the lowest: {text}.",
        f"{len(rows)} 个分组数值及区间；最低者：{text}。",
        EVALUATION,
        "yes",
    )
