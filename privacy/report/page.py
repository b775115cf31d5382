"""Pages, label and terminal lines of a report; everything that comes from data is escaped."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment

from privacy.decisions.verdict import NOT_TESTABLE, PASS, WORST
from privacy.report.charts import METRICS, chart, curve, forest, number
from privacy.report.chinese import translated
from privacy.report.counts import attacker, counted, open_questions, regulations
from privacy.report.schema import AttributeEntry, AuditReport, ResultEntry
from privacy.report.sentences import of_attribute, plain
from privacy.report.words import WORDS, naming, reading
from synth.base.templates import environment
from synth.base.words import with_minus

LANGUAGES = {"en": "report.html", "zh": "report.zh.html"}
"""Language -> the file of its page."""
SHOWN_FIRST = 2
"""Answers of one panel that the summary has room for; more where more FAIL."""


def html(report: AuditReport, language: str = "en") -> str:
    """One self-contained page."""
    return _environment().get_template("report.html.j2").render(**_shown(report, language))


def label(report: AuditReport) -> str:
    """A picture of the three panels for the cover of a data set or a model card, SVG."""
    return _environment().get_template("label.svg.j2").render(**_shown(report, "en"))


def summary(report: AuditReport) -> str:
    """A few lines for the terminal."""
    lines = [attacker(report, "en")]
    for panel in report.panels:
        asked = WORDS["en"]["asked"].format(asked=panel.answered, of=panel.of)
        lines.append(f"{panel.question}  {panel.verdict} ({asked})")
        if panel.key == "anyone":
            lines += [f"  {each.name:<5} {_line(each)}" for each in report.attributes]
        else:
            lines.append(f"  {panel.why}")
    status = report.exit_status
    return "\n".join([*lines, f"exit status {status}: {WORDS['en'][f'exit {status}']}"])


def _line(attribute: AttributeEntry) -> str:
    answer, effect = attribute.inference, attribute.training_effect
    words = f"{answer.word} {answer.level}".strip()
    if not attribute.rows:
        return f"{words}: {answer.why}"
    shown = "  ".join(
        f"{METRICS[metric]} {number(each.value)} [{number(each.low)}, {number(each.high)}]"
        for metric, each in attribute.rows[0].person.items()
    )
    return f"{words}: {shown}; training effect: {effect.word} ({effect.why})"


def _ending(report: AuditReport, language: str) -> str:
    """One sentence: how it ended, and that no leak is ruled out where the question about training patients stays open."""
    words = WORDS[language]
    [panel] = [each for each in report.panels if each.key == "members"]
    if report.exit_status or panel.verdict == PASS:
        return words[f"exit {report.exit_status} says"]
    return words["open says" if panel.answered else "unasked says"].format(word=words[panel.verdict])


def _shown(report: AuditReport, language: str) -> dict[str, Any]:
    return {
        "report": report,
        "language": language,
        "t": WORDS[language],
        "ending": _ending(report, language),
        "regulations": regulations(report, language),
        "counted": counted(report, language),
        "attacker": attacker(report, language),
        "open_questions": open_questions(report, language),
        "say": with_minus if language == "en" else lambda text: with_minus(translated(text)),
        "said": lambda key: WORDS[language][key],
        "naming": lambda result: naming(result, language),
        "reading": lambda result: with_minus(reading(result, language)),
        "plain": lambda result: plain(result, language),
        "of_attribute": lambda entry: of_attribute(entry, language),
        "asked": lambda panel: WORDS[language]["asked"].format(asked=panel.answered, of=panel.of),
    }


def worst_first(results: Sequence[ResultEntry], panel: str) -> list[ResultEntry]:
    """The results of a panel that could be tested, in the order in which one needs to know them."""
    answered = [each for each in results if each.panel == panel and each.verdict.word != NOT_TESTABLE]
    return sorted(answered, key=lambda each: WORST.index(each.verdict.word))


def _environment() -> Environment:
    made = environment(Path(__file__).parent.parent / "templates")
    made.filters["number"] = lambda value: with_minus(number(value))
    made.globals.update(metrics=METRICS, chart=chart, curve=curve, forest=forest, languages=LANGUAGES)
    made.globals.update(worst_first=worst_first, shown_first=SHOWN_FIRST)
    return made
