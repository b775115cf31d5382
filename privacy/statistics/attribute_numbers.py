"""What probes came to about one attribute, beside their controls."""

from typing import NamedTuple

from privacy.data.attributes import Task
from privacy.statistics.probes import Permuted
from synth.base.stats import Estimate

HEADLINE = {"classes": "auc", "years": "mae"}
"""The metric in which an excess over a control is stated."""


class Row(NamedTuple):
    """One line of the table: metric -> estimate, per person (mean over photographs) and per photograph."""

    name: str
    person: dict[str, Estimate]
    image: dict[str, Estimate]


class Point(NamedTuple):
    """One point of the learning curve."""

    training_patients: int
    person: Estimate


class AttributeNumbers(NamedTuple):
    """All numbers about one attribute; words come later, when all attributes are known."""

    task: Task
    rows: list[Row]
    excess: dict[str, Estimate]
    """Control -> by how much the encoder is better: AUC, or years of MAE."""
    permuted: Permuted
    curve: list[Point]

    def encoder(self, metric: str) -> Estimate:
        """The person-level estimate for the encoder."""
        return self.rows[0].person[metric]
