"""How well one classification does in parts of the people: by age, sex, race, camera, or eye."""

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np
import pyarrow as pa

from clip.evaluation import metrics
from clip.evaluation.core import Answers
from clip.evaluation.results import Metric, Subgroup
from synth.base import stats
from synth.base.errors import UserError

Attribute = Literal["age", "sex", "race", "camera", "eye_side"]
ATTRIBUTES: tuple[str, ...] = get_args(Attribute)
BANDS = (40, 50, 60, 70)
"""Years at which a band of ages begins."""
LEAST = 10
"""Photographs of each class, below which a part is counted, but no number is given of it."""
UNKNOWN = "not told"


def check(table: pa.Table, attributes: Sequence[str], where: str) -> None:
    """Refuse an attribute that no record tells.

    Raises:
        UserError: there is one; names those that records tell.
    """
    told = [name for name in ATTRIBUTES if name in table.column_names and table[name].null_count < len(table)]
    for attribute in attributes:
        if attribute not in told:
            others = (
                f"records tell {', '.join(told)}" if told else f"records tell none of {', '.join(ATTRIBUTES)}"
            )
            raise UserError(f"{where}: no record tells {attribute}; leave it out of --by: {others}")


def parts(table: pa.Table, attribute: str) -> np.ndarray:
    """(N,) str: which part each record is in; ages in bands of years."""
    values = table[attribute].to_pylist()
    if attribute == "age":
        return np.array([UNKNOWN if value is None else band(value) for value in values])
    return np.array([UNKNOWN if value is None else str(value) for value in values])


def band(age: float) -> str:
    """The band of an age in years: `below 40`, `40 to 49`, ..., `70 and above`."""
    if age < BANDS[0]:
        return f"below {BANDS[0]}"
    if age >= BANDS[-1]:
        return f"{BANDS[-1]} and above"
    start = max(each for each in BANDS if each <= age)
    return f"{start} to {BANDS[BANDS.index(start) + 1] - 1}"


def evaluate(
    attributes: Sequence[str],
    table: pa.Table,
    answers: Answers,
    probability: dict[str, np.ndarray],
    n_bootstrap: int,
    seed: int,
) -> list[Subgroup]:
    """The macro AUC of each part, with an interval over its patients; of a part with too few of a class only the counts.

    Args:
        table:       of all photographs; `answers.rows` are those that are judged.
        probability: row, such as a language -> (n, K).
    """
    judged = table.take(pa.array(answers.rows))
    return [
        _part(attribute, name, of == name, answers, probability, n_bootstrap, seed)
        for attribute in attributes
        for of in [parts(judged, attribute)]
        for name in _ordered(of)
    ]


def _ordered(of: np.ndarray) -> Iterator[str]:
    """Bands by age, all else by name; who is not told comes last."""
    names = [str(name) for name in np.unique(of) if name != UNKNOWN]
    yield from sorted(names, key=lambda name: (not name.startswith("below"), name))
    if UNKNOWN in of:
        yield UNKNOWN


def _part(
    attribute: str,
    name: str,
    inside: np.ndarray,
    answers: Answers,
    probability: dict[str, np.ndarray],
    n_bootstrap: int,
    seed: int,
) -> Subgroup:
    truth = answers.truth[inside]
    sizes = np.bincount(truth, minlength=len(answers.classes))
    people, patient_ids = np.unique(answers.patient_ids[inside], return_inverse=True)
    counted = Subgroup(
        attribute=attribute,
        name=name,
        n=int(inside.sum()),
        patients=len(people),
        classes=dict(zip(answers.classes, sizes.tolist(), strict=True)),
        auc={},
    )
    if sizes.min() < LEAST:
        return counted
    drawn = stats.draws(len(people), n_bootstrap, seed)
    for row, each in probability.items():
        statistic = metrics.statistics(truth, each[inside], ordinal=False)["macro_auc"]
        estimate = stats.estimate(stats.over(drawn, patient_ids, statistic), len(people))
        counted.auc[row] = Metric.of(estimate)
    return counted
