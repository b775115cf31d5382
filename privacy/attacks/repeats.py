"""T4b: released pictures that repeat one another, as a photograph does that was learnt by heart and drawn again.

An attacker who has the released set alone looks for them, and so can an auditor who has held-out photographs and no list of
members.  It is an alarm: little variety repeats itself too, and a photograph that is drawn once repeats nothing.
"""

import numpy as np

from privacy.data.inputs import Inputs
from privacy.decisions.results import Result, Scale
from privacy.scores import neighbours
from privacy.scores.duplicates import LOOK
from privacy.scores.matched_groups import SAME
from privacy.scores.neighbours import CopiesConfig
from privacy.statistics.inference import share
from privacy.targets import registered

REPEATED = Scale("share of released pictures that repeat another", 0.0, 0.0, None)
NEEDS = ("synthetic", "nonmembers")
QUESTION = Result("T4b", "released pictures that repeat one another", "copies", REPEATED, access="data")
QUESTIONS = [QUESTION]
CONFIG = CopiesConfig
FEWEST = 40
"""Released pictures without whom nothing is asked."""
_FAR = 0.75  # of the closeness of the nearest held-out photograph: what is nearer repeats a picture


def attack(inputs: Inputs, config: CopiesConfig) -> list[Result]:
    """Look up one half of the released pictures, drawn at random, among the other, and held-out photographs beside them."""
    assert inputs.synthetic and inputs.nonmembers
    pictures = neighbours.released(inputs, config)
    if len(pictures) < FEWEST:
        return [QUESTION._replace(missing=f"{len(pictures)} released pictures; {FEWEST} are the fewest")]
    rows = inputs.nonmembers.choice(config.copies_patients, config.seed)
    held_out = inputs.nonmembers.some(rows).photographs(LOOK)

    def search() -> np.ndarray:
        return np.concatenate(nearest(pictures, held_out, config.seed))

    prints = [inputs.synthetic.fingerprint, inputs.nonmembers.fingerprint]
    key = ["repeats", *prints, config.copies_patients, config.copies_searched, config.seed]
    found = inputs.once(key, search)
    return [evaluate(*np.split(found, [len(found) - len(held_out)]))]


def nearest(pictures: np.ndarray, held_out: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How near each picture of one half comes to the other half, and how near held-out photographs come to that.

    Args:
        pictures: (G, S, S, 3) uint8, released; held_out: (H, S, S, 3), of nobody who was trained on.

    Returns:
        (G // 2,) and (H,) closeness, 0 of the same picture.
    """
    half = np.random.default_rng([seed, 46]).permutation(len(pictures))
    first, second = pictures[half[: len(half) // 2]], pictures[half[len(half) // 2 :]]
    place = np.arange(len(second))
    return registered.nearest(first, second, place)[0], registered.nearest(held_out, second, place)[0]


def evaluate(pictures: np.ndarray, held_out: np.ndarray) -> Result:
    """Count pictures that come far nearer to another picture than any held-out photograph does.

    Args:
        pictures: (G,) closeness of released pictures to others; held_out (H,) of held-out photographs to the same.
    """
    bar = min(SAME, _FAR * float(held_out.min()))
    repeated, looked = int((pictures < bar).sum()), len(pictures)
    if repeated:
        why = (
            f"{repeated:,} of {looked:,} released pictures repeat another one, as photographs do that were learnt by heart; "
            "look whether they are one eye, and compare them with the training photographs"
        )
    else:
        why = f"none of {looked:,} released pictures repeats another one; no alarm, which does not show that nothing leaks"
    return QUESTION._replace(
        suspected=why,
        also=((REPEATED.name, share(repeated, looked)),),
        details={"repeated": repeated, "looked_up": looked, "held_out": len(held_out)},
    )
