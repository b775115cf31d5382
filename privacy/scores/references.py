"""Models that saw neither group answer the same question: what they can tell apart was there before any training.

Two cameras, two clinics or two ways of export look different to every network.  So an untrained network and, where there is
one, a generator of other patients are asked what the audited generator is asked; a group that they know is INVALID.
"""

import numpy as np

from privacy.data.inputs import Inputs, People
from privacy.decisions.results import AUC, ValidityCheck
from privacy.scores.membership_scores import HEADLINE, MembershipConfig, scores_of
from privacy.scores.score_calibration import Scores
from privacy.scores.validity import both
from privacy.statistics.inference import Tested
from privacy.targets import shipped_reference
from privacy.targets.generator import Generator

UNTRAINED = "an untrained network"
INDEPENDENT = "the independent generator, which saw neither group"
SHIPPED = "the generator that comes with visionclip, which saw neither group"
_SEPARABLE = 0.0025
"""p of either sign below which a model that saw neither group tells them apart; chance must not hide a leak."""


def generator(inputs: Inputs, audited: Generator) -> tuple[str, Generator] | None:
    """Who is asked beside the audited generator, and what to call it."""
    if inputs.independent:
        return INDEPENDENT, inputs.independent
    groups = both(inputs)
    sources = {source for people in groups for source in people.table["source"].to_pylist()}
    found = shipped_reference.shipped(
        audited, [people.records for people in groups], sorted(sources, key=str)
    )
    return (SHIPPED, found) if found else None


def scores(
    inputs: Inputs,
    model: Generator,
    groups: tuple[People, People],
    pixels: list[np.ndarray],
    config: MembershipConfig,
) -> Scores:
    """What a model that saw neither group says of these patients, in answer to the headline's question."""
    return Scores(*scores_of(inputs, model, HEADLINE, groups, config).headline(), *pixels)


def separability(name: str, tested: Tested) -> ValidityCheck:
    """Fires where a model that saw neither group tells them apart, whichever of them it takes for members."""
    estimate, p = tested
    below = 2 * AUC.chance - AUC.bar
    fired = (estimate.low > AUC.bar and p < _SEPARABLE) or (estimate.high < below and 1 - p < _SEPARABLE)
    why = (
        f"{name} tells the groups apart (AUC {estimate.value:.3f}, {estimate.low:.3f} to {estimate.high:.3f}), so the groups "
        "differ in more than membership; draw both from the same source and camera at random"
    )
    return ValidityCheck("reference separability", fired, why)
