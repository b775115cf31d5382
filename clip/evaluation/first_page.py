"""The first page of a report on an evaluation: one sentence, and the headline metric of the first tasks with intervals."""

from collections.abc import Callable, Sequence

from clip.evaluation.results import Result
from synth.base.forest import Forest, Row, forest
from synth.base.words import number_of

SHOWN = 3
"""Tasks that the first page has room for."""
_ROWS = 6
"""Rows of a task that a figure has room for."""
_HEADLINES = ("balanced_accuracy", "r1", "exact_match", "dice")
"""What stands for a task: the first of these that it has, or else its first metric."""


def headline(result: Result) -> str:
    """The metric that stands for a task."""
    known = next(iter(result.metrics.values()))
    return next((key for key in _HEADLINES if key in known), next(iter(known)))


def drawn(result: Result, say: Callable[[str], str] = str) -> Forest:
    """The headline metric of the first rows of a task, and what an answer without the picture scores at best; `say` translates."""
    key = headline(result)
    rows = [
        Row(say(name), values[key].value, values[key].low, values[key].high)
        for name, values in result.metrics.items()
        if key in values
    ]
    return forest(rows[:_ROWS], {say("without the photograph"): without_picture(result, key)}, low=0, high=1)


def without_picture(result: Result, key: str) -> float:
    """The best score of an answer that does not look at the picture."""
    return max(values[key] for values in result.baselines.values() if key in values)


def answer(results: Sequence[Result]) -> str:
    """Of how many tasks a row of the headline metric lies above every answer without the picture, with its whole interval."""
    better, patients = sum(map(_is_better, results)), max(each.patients for each in results)
    return (
        f"In {better} of {number_of(len(results), 'task')} the model is better than every answer without the photograph, "
        f"with its whole 95 % interval (up to {number_of(patients, 'patient')})."
    )


def _is_better(result: Result) -> bool:
    key = headline(result)
    bar = without_picture(result, key)
    return any(values[key].low > bar for values in result.metrics.values() if key in values)
