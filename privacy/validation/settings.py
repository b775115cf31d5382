"""Patients without a leak, photographed once or several times, as decision rules of the audit may meet them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from privacy.statistics.probes import mean_by


class Setting(NamedTuple):
    """Members and non-members who are alike."""

    name: str
    members: int = 200
    nonmembers: int = 200
    photographs: tuple[int, int] = (1, 6)
    """Of each patient, at least and at most."""
    icc: float = 0.9
    """Share of the variance of a photograph's score that is the patient's."""
    rate: float = 0.5
    """Share of patients in whom something succeeds, whoever they are."""
    shape: Callable[[np.ndarray], np.ndarray] = lambda normal: normal
    """Of photographs' scores, given standard normal ones."""

    @property
    def is_member(self) -> np.ndarray:
        """(P,) bool: the first patients are the members."""
        return np.arange(self.members + self.nonmembers) < self.members

    def drawn(
        self, rng: np.random.Generator, columns: int, patients: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """(N,) int whose each photograph is, never falling, and (N, columns) standard normal numbers of them.

        Args:
            patients: of both groups where 0.
        """
        patients = patients or self.members + self.nonmembers
        photographs = rng.integers(self.photographs[0], self.photographs[1] + 1, patients)
        patient_ids = np.repeat(np.arange(patients), photographs)
        normal = self.icc**0.5 * rng.normal(size=(patients, columns))[patient_ids]
        return patient_ids, normal + (1 - self.icc) ** 0.5 * rng.normal(size=(len(patient_ids), columns))

    def shaped(self, rng: np.random.Generator, columns: int) -> np.ndarray:
        """(P, columns) mean scores of patients of both groups."""
        patient_ids, normal = self.drawn(rng, columns)
        return mean_by(patient_ids, self.shape(normal))

    def scores(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(m,) and (n,) mean scores of patients."""
        return self.split(self.shaped(rng, 1)[:, 0])

    def successes(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(m,) and (n,) bool."""
        patient_ids, normal = self.drawn(rng, 1)
        deviation = (self.icc + (1 - self.icc) / np.bincount(patient_ids)) ** 0.5
        return self.split(mean_by(patient_ids, normal)[:, 0] > deviation * norm.ppf(1 - self.rate))

    def counts(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(m,) and (n,) pictures that are nearest to each patient; typical patients attract many, most attract none."""
        patient_ids, normal = self.drawn(rng, 1)
        return self.split(rng.poisson(4 * self.rate * np.exp(mean_by(patient_ids, normal)[:, 0])))

    def split(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(P, ...) values as those of members and those of non-members."""
        return values[: self.members], values[self.members :]


SETTINGS = (
    Setting("one photograph each", photographs=(1, 1)),
    Setting("1 to 6 photographs that have nothing in common", icc=0.0),
    Setting("1 to 6 photographs, ICC .9"),
    Setting("one patient in twenty a member, ICC .9", members=20, nonmembers=380),
    Setting("one patient in twenty a non-member, ICC .9", members=380, nonmembers=20),
    Setting("one patient in twenty a success", rate=0.05),
    Setting("three values only", shape=lambda normal: np.round(normal.clip(-1, 1))),
    Setting("one value only", shape=lambda normal: np.full_like(normal, 0.1), rate=0.0),
    Setting("a few very large values", shape=np.exp),
)
