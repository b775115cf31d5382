"""The facts of a report as plain values: what `report.json` holds.

No number about a single patient is in it, and no id.  The schema's version is raised when a key changes
its meaning or goes; new keys may come without.
"""

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from privacy.attacks import population
from privacy.attacks.population import Finding
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs
from privacy.decisions import verdict
from privacy.decisions.results import Decision
from privacy.report.words import WORDS
from synth.base import checkpoint
from synth.base.stats import Estimate

if TYPE_CHECKING:
    from privacy.attacks.attribute_inference import AttributeDecision, Data

SCHEMA, VERSION = "visionclip-privacy-report", 3
PROTOCOL = "visionclip-privacy/3"
QUESTIONS = {key: WORDS["en"][key] for key in ("anyone", "members", "copies")}
NOT_TESTED = (
    (
        "an encoder of the same kind trained on real photographs",
        "the upper anchor; audit it with the same --attackers",
    ),
    (
        "attributes with diagnoses held constant",
        "a disease may give the age away; what diagnoses alone give away stands beside the encoder",
    ),
)


def build(
    inputs: Inputs,
    data: "Data | None",
    decisions: "list[AttributeDecision]",
    results: list[Decision],
    config: AuditConfig,
    command: str,
) -> dict[str, Any]:
    """The whole report as plain values."""
    words = [each.inference_verdict.word for each in decisions] + [each.answer.word for each in results]
    return {
        "schema": {"name": SCHEMA, "version": VERSION},
        "protocol": PROTOCOL,
        "command": command,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": config.seed,
        "config": config.model_dump(),
        "versions": checkpoint.versions(),
        "model": inputs.encoder.facts if inputs.encoder else None,
        "generator": inputs.generator.facts if inputs.generator else None,
        "attackers": data._asdict() if data else None,
        **{group: _group(getattr(inputs, group)) for group in ("members", "nonmembers", "synthetic")},
        "panels": _panels(decisions, results),
        "attributes": [_attribute(each) for each in decisions],
        "results": [_result(each) for each in results],
        "not_tested": [{"what": what, "why": why} for what, why in NOT_TESTED],
        "exit_status": verdict.exit_status(words),
    }


def _panels(decisions: "list[AttributeDecision]", results: list[Decision]) -> list[dict[str, Any]]:
    """Of each panel the word for all of its questions, how many of them were asked, and why."""
    answers = {key: [each.answer for each in results if each.result.panel == key] for key in QUESTIONS}
    answers["anyone"] = [each.inference_verdict for each in decisions] + answers["anyone"]
    panels = []
    for key, question in QUESTIONS.items():
        found = verdict.combined([answer.word for answer in answers[key]])
        why = next(
            (answer.why for answer in answers[key] if answer.word == found.word), "no attack asks this yet"
        )
        if found.word == verdict.NOT_TESTABLE and found.answered:
            why = f"what was asked found nothing, and {found.of - found.answered} questions are open: {why}"
        why = verdict.CAPABILITY if found.word == verdict.REVEALS else why
        counts = {"asked": found.answered, "of": found.of}
        panels.append({"key": key, "question": question, "verdict": found.word, **counts, "why": why})
    return panels


def _group(people: Any) -> dict[str, Any] | None:
    if people is None:
        return None
    return {
        "path": str(people.folder),
        "splits": list(people.splits),
        "fingerprint": people.fingerprint,
        "images": len(people.ids),
        "patients": people.cohort.patients,
    }


def _result(decision: Decision) -> dict[str, Any]:
    result, answer = decision.result, decision.answer
    return {
        "threat": result.threat,
        "attack": result.attack,
        "panel": result.panel,
        "verdict": answer._asdict(),
        "statistic": result.scale._asdict(),
        "estimate": _plain(result.tested.estimate) if result.tested else None,
        "p": result.tested.p if result.tested else None,
        "p_adjusted": decision.p,
        "gates": [check._asdict() for check in result.checks],
        "compared": [{"name": name, **_plain(each)} for name, each in result.compared],
        "also": [{"name": name, **_plain(each)} for name, each in result.also],
        "notes": list(result.notes),
        "details": dict(result.details),
    }


def _attribute(decision: "AttributeDecision") -> dict[str, Any]:
    task, finding = decision.task, decision.finding
    return {
        "name": decision.name,
        "reveals": decision.inference_verdict._asdict(),
        "training_adds": decision.training_verdict._asdict(),
        "images": len(task.patient) if task else 0,
        "patients": len(task.labels) if task else 0,
        "classes": task.counts() if task else {},
        "notes": list(task.notes) if task else [],
        **(_numbers(finding) if finding else {"rows": [], "excess": [], "permutation": None, "curve": []}),
    }


def _numbers(finding: Finding) -> dict[str, Any]:
    return {
        "metric": population.HEADLINE[finding.task.kind],
        "rows": [
            {
                "name": row.name,
                "person": {metric: _plain(each) for metric, each in row.person.items()},
                "image": {metric: _plain(each) for metric, each in row.image.items()},
            }
            for row in finding.rows
        ],
        "excess": [{"over": name, **_plain(each)} for name, each in finding.excess.items()],
        "permutation": {
            "statistic": "r2" if finding.task.kind == "years" else "auc",
            "observed": _finite(finding.permuted.observed),
            "permutations": len(finding.permuted.permuted),
            "p": finding.permuted.p,
        },
        "curve": [
            {"training_patients": point.training_patients, "person": _plain(point.person)}
            for point in finding.curve
        ],
    }


def _plain(estimate: Estimate) -> dict[str, Any]:
    bounds = {key: _finite(getattr(estimate, key)) for key in ("value", "low", "high")}
    return {**bounds, "patients": estimate.patients}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
