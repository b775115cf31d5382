"""Attackers' patients for those who have none: drawn phantoms whose pictures show age, sex and race to a known degree.

What an encoder reveals of them says that it keeps such traits where a picture shows them, not that real eyes show them.
"""

from pathlib import Path

from privacy.data.inputs import People
from synth import phantom
from synth.phantom import PhantomConfig

PICTURES, PATIENTS = 1200, 515
"""So many, of about so many patients: enough to tell an AUC of .65 from chance in each of two classes."""
STRENGTH = 1.0
"""How far a trait decides what it shows in, from 0 to 1."""


def population(size: int, seed: int) -> PhantomConfig:
    """The phantoms of an audit.

    Args:
        size: pixels a side, as the encoder wants photographs.
    """
    return PhantomConfig(
        size=max(size, 32),
        seed=seed + 1,  # not the population that `synth phantom` draws by default
        age_strength=STRENGTH,
        sex_strength=STRENGTH,
        race_strength=STRENGTH,
        unreadable=0.0,
    )


def attackers(kept: Path, size: int, seed: int) -> People:
    """Draw the phantoms into `kept`, unless they are there already."""
    config = population(size, seed)
    folder = kept / f"phantoms-{config.size}-{config.seed}"
    phantom.write(config, PICTURES, folder)
    return People(folder, kept=kept)
