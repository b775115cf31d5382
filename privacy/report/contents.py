"""From decisions to a report."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pydantic import JsonValue

from privacy.attack_config import AttackConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.decision import Decision
from privacy.decisions.verdict import Answer
from privacy.report.schema import (
    Attackers,
    AttributeEntry,
    AuditReport,
    Bounds,
    Check,
    CurvePoint,
    Excess,
    NamedBounds,
    NotTested,
    Panel,
    PatientGroup,
    Permutations,
    ProbeRow,
    ResultEntry,
    Statistic,
    Verdict,
)
from privacy.report.words import WORDS
from privacy.scores import metadata
from privacy.statistics.attribute_numbers import HEADLINE, AttributeNumbers
from synth.base import checkpoint
from synth.base.stats import Estimate

PROTOCOL = "visionclip-privacy/3"
QUESTIONS = {key: WORDS["en"][key] for key in ("anyone", "members", "copies")}
NOT_OF_THIS_ATTACKER = "this attacker has too little to ask it"
NOT_TESTED = (
    NotTested(
        what="an encoder of the same kind trained on real photographs",
        why="the upper anchor; audit it with the same --attackers",
    ),
    NotTested(
        what="attributes with diagnoses held constant",
        why="a disease may give the age away; what diagnoses alone give away stands beside the encoder",
    ),
)


def build(inputs: Inputs, decisions: Sequence[Decision], config: AttackConfig, command: str) -> AuditReport:
    """The whole report."""
    report = AuditReport(
        protocol=PROTOCOL,
        command=command,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=config.seed,
        config=config.model_dump(mode="json"),
        versions=_plain(checkpoint.versions()),
        model=_plain(inputs.encoder.metadata) if inputs.encoder else None,
        generator=_plain(inputs.generator.metadata) if inputs.generator else None,
        attackers=_attackers(inputs),
        members=_group(inputs.members),
        nonmembers=_group(inputs.nonmembers),
        synthetic=_group(inputs.synthetic),
        panels=[],
        attributes=[_attribute(each) for each in decisions if each.result.attribute],
        results=[],
        not_tested=list(NOT_TESTED),
        given=inputs.given,
        exit_status=0,
    )
    return answered(report, decisions)


def answered(report: AuditReport, decisions: Sequence[Decision]) -> AuditReport:
    """The same report with the answers of all decisions; the attributes of T1 stay as they are."""
    return report.model_copy(
        update=dict(
            panels=_panels(decisions),
            results=[_result(each) for each in decisions if not each.result.attribute],
            exit_status=verdict.exit_status([each.answer.word for each in decisions]),
        )
    )


def _plain(values: Mapping[str, object]) -> dict[str, JsonValue]:
    """As JSON has them: lists for tuples."""
    return json.loads(json.dumps(dict(values)))


def _panels(decisions: Sequence[Decision]) -> list[Panel]:
    """Of each panel the word for all of its questions, how many of them were asked, and why."""
    panels = []
    for key, question in QUESTIONS.items():
        of_panel = [each for each in decisions if each.result.panel == key]
        answers = [each.answer for each in of_panel if not each.result.left_out]
        found = verdict.combined([answer.word for answer in answers])
        none = NOT_OF_THIS_ATTACKER if of_panel else "no attack asks this yet"
        why = next((answer.why for answer in answers if answer.word == found.word), none)
        if found.word == verdict.NOT_TESTABLE and found.answered:
            why = f"what was asked found nothing, and {found.of - found.answered} questions are open: {why}"
        why = verdict.CAPABILITY if found.word == verdict.REVEALS else why
        panels.append(
            Panel(
                key=key, question=question, verdict=found.word, answered=found.answered, of=found.of, why=why
            )
        )
    return panels


def _attackers(inputs: Inputs) -> Attackers | None:
    people = inputs.attackers
    if people is None or inputs.encoder is None:
        return None
    return Attackers(
        path=str(people.folder),
        fingerprint=people.fingerprint,
        images=len(people.ids),
        patients=people.cohort.patients,
        duplicates=metadata.duplicates(people, metadata.files(inputs, people)),
        phantoms=set(people.table["source"].to_pylist()) == {"phantom"},
    )


def _group(people: People | None) -> PatientGroup | None:
    if people is None:
        return None
    return PatientGroup(
        path=str(people.folder),
        splits=list(people.splits),
        fingerprint=people.fingerprint,
        images=len(people.ids),
        patients=people.cohort.patients,
    )


def _result(decision: Decision) -> ResultEntry:
    result = decision.result
    return ResultEntry(
        threat=result.threat,
        attack=result.attack,
        panel=result.panel,
        verdict=_verdict(decision.answer),
        statistic=Statistic(**result.scale._asdict()),
        estimate=_bounds(result.tested.estimate) if result.tested else None,
        p=result.tested.p if result.tested else None,
        p_adjusted=decision.p,
        checks=[Check(name=check.name, fired=check.fired, why=check.why) for check in result.checks],
        compared=[_named(name, each) for name, each in result.compared],
        also=[_named(name, each) for name, each in result.also],
        notes=list(result.notes),
        details=_plain(result.details),
        left_out=result.left_out,
    )


def _attribute(decision: Decision) -> AttributeEntry:
    attribute = decision.result.attribute
    assert attribute
    task, numbers = attribute.task, attribute.numbers
    entry = AttributeEntry(
        name=attribute.name,
        inference=_verdict(decision.answer),
        training_effect=_verdict(decision.training_effect),
        images=len(task.patient) if task else 0,
        patients=len(task.labels) if task else 0,
        classes=task.counts() if task else {},
        notes=list(task.notes) if task else [],
        left_out=decision.result.left_out,
    )
    return _with_numbers(entry, numbers) if numbers else entry


def _with_numbers(entry: AttributeEntry, numbers: AttributeNumbers) -> AttributeEntry:
    years = numbers.task.kind == "years"
    return entry.model_copy(
        update=dict(
            metric=HEADLINE[numbers.task.kind],
            rows=[
                ProbeRow(
                    name=row.name,
                    person={metric: _bounds(each) for metric, each in row.person.items()},
                    image={metric: _bounds(each) for metric, each in row.image.items()},
                )
                for row in numbers.rows
            ],
            excess=[Excess(over=name, **dict(_bounds(each))) for name, each in numbers.excess.items()],
            permutation=Permutations(
                statistic="r2" if years else "auc",
                observed=_finite(numbers.permuted.observed),
                permutations=len(numbers.permuted.permuted),
                p=numbers.permuted.p,
            ),
            curve=[
                CurvePoint(training_patients=point.training_patients, person=_bounds(point.person))
                for point in numbers.curve
            ],
        )
    )


def _verdict(answer: Answer) -> Verdict:
    return Verdict(**answer._asdict())


def _named(name: str, estimate: Estimate) -> NamedBounds:
    return NamedBounds(name=name, **dict(_bounds(estimate)))


def _bounds(estimate: Estimate) -> Bounds:
    return Bounds(
        value=_finite(estimate.value),
        low=_finite(estimate.low),
        high=_finite(estimate.high),
        patients=estimate.patients,
    )


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
