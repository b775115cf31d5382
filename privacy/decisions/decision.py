"""From the results of all attacks to verdicts; p-values are adjusted for their number (Holm)."""

from collections.abc import Sequence
from typing import NamedTuple

from privacy.decisions import verdict
from privacy.decisions.results import Attribute, Result
from privacy.decisions.verdict import Answer
from privacy.statistics.attribute_numbers import HEADLINE, AttributeNumbers
from privacy.statistics.inference import holm


class Decision(NamedTuple):
    """A result and the verdict on it."""

    result: Result
    p: float | None
    """Adjusted for all pre-registered attacks of this audit."""
    answer: Answer
    training_effect: Answer = Answer(verdict.NOT_TESTABLE, "", "asked of T1 alone")
    """Of an attribute of anyone (T1): does training add to it?"""

    @property
    def numbers(self) -> AttributeNumbers | None:
        """Of an attribute of anyone, where it could be tested."""
        return self.result.attribute.numbers if self.result.attribute else None


def decide(results: Sequence[Result]) -> list[Decision]:
    """Put all results into words; p-values are adjusted for their number, those of T1 for theirs.

    No nearness PASSES beside a verified copy, and nothing about members who may be none.
    """
    adjusted: dict[int, float] = {}
    for of_anyone in (True, False):
        tested = {
            str(place): result.tested.p
            for place, result in enumerate(results)
            if result.tested and (result.attribute is not None) == of_anyone
        }
        adjusted |= {int(place): p for place, p in holm(tested).items()}
    copied = next((result.certain for result in results if result.panel == "copies" and result.certain), "")
    return [_decided(result, adjusted.get(place), copied) for place, result in enumerate(results)]


def _decided(result: Result, p: float | None, copied: str) -> Decision:
    if result.attribute:
        return Decision(result, p, *_of_anyone(result, result.attribute, p))
    answer = _answer(result, p)
    if copied and result.by_nearness and answer.word == verdict.PASS:
        why = f"{answer.why}, yet {copied}: this attack overlooks them"
        answer = Answer(verdict.INCONCLUSIVE, "", why)
    if result.doubt and answer.word == verdict.PASS:
        answer = Answer(verdict.INCONCLUSIVE, "", f"{answer.why}, yet {result.doubt}")
    return Decision(result, p, answer)


def _of_anyone(result: Result, attribute: Attribute, p: float | None) -> tuple[Answer, Answer]:
    """Whether an attribute can be read, and whether training has a part in it."""
    numbers = attribute.numbers
    if numbers is None or p is None:
        answer = _answer(result, p)
        return answer, answer
    kind = numbers.task.kind
    metric, permuted = "r2" if kind == "years" else "auc", numbers.permuted.permuted.tolist()
    first = verdict.inference_verdict(numbers.encoder(metric), p, permuted, attribute.duplicates, metric)
    return first, verdict.training_verdict(first, numbers.excess, attribute.untrained, HEADLINE[kind])


def _answer(result: Result, p: float | None) -> Answer:
    if result.certain:  # whatever else is wrong, this is so
        return Answer(verdict.FAIL, "", result.certain)
    for check in result.checks:
        if check.fired:
            return Answer(verdict.INVALID, "", f"{check.name}: {check.why}")
    if result.suspected:
        return Answer(verdict.INCONCLUSIVE, "", result.suspected)
    if result.missing or result.tested is None or p is None:
        if result.needed is not None:
            return Answer(verdict.INCONCLUSIVE, "", result.missing, result.needed)
        return Answer(verdict.NOT_TESTABLE, "", result.missing)
    scale = result.scale
    answer = verdict.leak_verdict(
        result.tested.estimate, p, scale.chance, scale.bar, scale.margin, scale.name, scale.two_sided
    )
    if result.silent and answer.word == verdict.PASS:
        return answer._replace(why=f"{result.silent}; {answer.why}")
    if result.panel == "anyone" and answer.word == verdict.FAIL:  # of no patient in particular
        return answer._replace(word=verdict.REVEALS)
    return answer
