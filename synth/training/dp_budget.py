"""A budget of differential privacy: how much noise it asks for, and how much of it is spent.

What is protected is a patient (`subject_id`): two data sets are neighbours where one of them lacks everything of one
patient.  How many patients there are is taken to be known.  The guarantee is that of the Gaussian mechanism on
Poisson samples of patients, composed over the steps of training (Abadi et al. 2016, 1607.00133; Gopi et al. 2021,
2106.02848).  Opacus does the sums.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt

from synth.base.config import Config
from synth.base.errors import UserError

ACCOUNTANT = "prv"

Mechanism = dict[str, Any]
"""What is done to the gradients; with the steps done, all that the accountant needs."""


class DpConfig(Config):
    """A budget of differential privacy for one patient."""

    epsilon: PositiveFloat
    """At most this much is spent over the whole run: 1 is strict, 10 is lax."""
    delta: float | None = Field(default=None, gt=0, lt=1)
    """Chance that epsilon does not hold; null is 1 / (10 x patients)."""
    clip: PositiveFloat = 1.0
    """Longest gradient of one patient; the noise is proportional to it."""
    draws: PositiveInt = 4
    """Noise draws of a photograph that a patient's gradient averages over; more cost time and no privacy."""


def mechanism(
    dp: DpConfig, patients: int, batch: int, images: int, noise_multiplier: float | None = None
) -> Mechanism:
    """How `images` photographs, `batch` a step, are learnt from within a budget.

    Args:
        noise_multiplier: the deviation of the noise over `clip`, where it is known already.

    Raises:
        UserError: the budget, the batch and the number of patients do not go together.
    """
    if batch >= patients:
        raise UserError(f"batch={batch}: must be less than the {patients} patients of the training split")
    delta = 1 / (10 * patients) if dp.delta is None else dp.delta
    if delta * patients >= 1:
        raise UserError(
            f"dp.delta={delta:g}: must be less than 1 / patients = {1 / patients:.2g}, "
            "else a patient's photographs could be published outright"
        )
    rate, steps = batch / patients, images // batch
    return {
        "unit": "patient (subject_id)",
        "patients": patients,
        "delta": delta,
        "noise_multiplier": noise_multiplier or _noise_multiplier(dp.epsilon, delta, rate, steps),
        "clipping_norm": dp.clip,
        "sampling_rate": rate,
        "steps": steps,
        "accountant": ACCOUNTANT,
    }


@lru_cache
def _noise_multiplier(epsilon: float, delta: float, rate: float, steps: int) -> float:
    from opacus.accountants.utils import get_noise_multiplier

    try:
        return get_noise_multiplier(
            target_epsilon=epsilon,
            target_delta=delta,
            sample_rate=rate,
            steps=steps,
            accountant=ACCOUNTANT,
            epsilon_tolerance=epsilon / 100,
        )
    except ValueError as error:
        raise UserError(
            f"dp.epsilon={epsilon:g}: no noise keeps {steps} steps within it ({error}); raise it or train less"
        ) from None


def spent(history: Sequence[tuple[float, float, int]], delta: float) -> float:
    """The epsilon of steps already done, each (noise multiplier, sampling rate, times): an upper bound."""
    return _spent(tuple(map(tuple, history)), delta) if history else 0.0


@lru_cache
def _spent(history: tuple[tuple[float, float, int], ...], delta: float) -> float:
    from opacus.accountants import create_accountant

    accountant = create_accountant(ACCOUNTANT)
    accountant.history = list(history)
    return float(accountant.get_epsilon(delta))
