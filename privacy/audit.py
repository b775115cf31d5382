"""One audit from end to end: what was given, attacks, words, a report.

What was computed is kept in `REPORT/.cache` until the report is written, so that a repeated command continues a
killed one; then it is deleted, because embeddings and thumbnails of patients are no part of a report.
"""

import shutil
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from privacy import report
from privacy.attacks import attribute_inference
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs
from privacy.decisions import at_risk, verdict
from privacy.decisions.results import Decision, Result
from privacy.decisions.verdict import Answer
from privacy.statistics.inference import holm

ATTACKS: tuple[str, ...] = (
    "disclosure",
    "membership",
    "likelihood",
    "memorization",
    "completion",
    "linkage",
    "captions",
    "cohort",
)
"""Modules of `privacy.attacks` with `NEEDS`, `QUESTIONS` (what they answer, for a report that could not ask) and
`attack(inputs, config) -> list[Result]`, in the order in which they are reported; all were chosen before any audit."""


def audit(inputs: Inputs, names: Sequence[str], config: AuditConfig, command: str) -> dict[str, Any]:
    """Run every attack that `inputs` allow and write `report.json` and `report.html` beside `inputs.kept`.

    Args:
        names: attributes to infer.

    Raises:
        UserError: a file is wrong, or the attackers' records state none of the attributes asked for.
    """
    decisions, data = attribute_inference.answer(inputs, list(names), config)
    results = [result for name in ATTACKS for result in attack(name, inputs, config)]
    made = report.build(inputs, data, decisions, decide(results), config, command)
    if config.at_risk:
        at_risk.write(inputs.kept.parent, results)
    report.write(inputs.kept.parent, made)
    shutil.rmtree(inputs.kept, ignore_errors=True)
    return made


def attack(name: str, inputs: Inputs, config: AuditConfig) -> list[Result]:
    """What one attack found, or what it would need."""
    module = import_module(f"privacy.attacks.{name}")
    if missing := inputs.missing(module.NEEDS):
        return [question._replace(missing=f"needs {missing}") for question in module.QUESTIONS]
    return module.attack(inputs, config)


def decide(results: Sequence[Result]) -> list[Decision]:
    """Put all results into words; p-values are adjusted for their number (Holm).

    No nearness PASSES beside a verified copy.
    """
    asked = {str(place): result.tested.p for place, result in enumerate(results) if result.tested}
    adjusted = holm(asked)
    copied = next((result.certain for result in results if result.panel == "copies" and result.certain), "")
    decisions = []
    for place, result in enumerate(results):
        p = adjusted.get(str(place))
        answer = _answer(result, p)
        if copied and result.by_nearness and answer.word == verdict.PASS:
            answer = Answer(
                verdict.INCONCLUSIVE, "", f"{answer.why}, yet {copied}: this attack overlooks them"
            )
        decisions.append(Decision(result, p, answer))
    return decisions


def _answer(result: Result, p: float | None) -> Answer:
    if result.certain:  # whatever else is wrong, this is so
        return Answer(verdict.FAIL, "", result.certain)
    for check in result.checks:
        if check.fired:
            return Answer(verdict.INVALID, "", f"{check.name}: {check.why}")
    if result.missing or result.tested is None or p is None:
        if result.needed is not None:
            return Answer(verdict.INCONCLUSIVE, "", result.missing, result.needed)
        return Answer(verdict.NOT_TESTABLE, "", result.missing)
    scale = result.scale
    answer = verdict.leak_verdict(
        result.tested.estimate, p, scale.chance, scale.bar, scale.margin, scale.name, scale.two_sided
    )
    if result.panel == "anyone" and answer.word == verdict.FAIL:  # of no patient in particular
        return answer._replace(word=verdict.REVEALS)
    return answer
