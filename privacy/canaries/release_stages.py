"""How far canary bits travel: generator, synthetic set, encoder; at each release stage every canary bit is guessed and counted.

A margin per patient says for which mark the release stage speaks.  Margins are cut in their own middle: guesses do not look at
the canary bits, so however they hang together, right ones are Bin(n, 1/2) where nothing travelled.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from privacy.attack_config import AttackConfig
from privacy.canaries.planting import Key, marked, unmarked
from privacy.data.inputs import Inputs, People
from privacy.decisions.results import Result, Scale, ValidityCheck
from privacy.scores import pixels
from privacy.statistics import epsilon, inference, probes
from privacy.statistics.inference import CONFIDENCE
from privacy.targets.encoder import Encoder
from privacy.targets.generator import Generator
from synth.base import stats, ties
from synth.base.documents import read_mapping
from synth.base.errors import UserError
from synth.base.stats import Estimate
from synth.data.images import Preprocessing
from synth.data.phrases import LANGUAGES

GUESSED = Scale("share of canary bits guessed", 0.5, 0.5, 0.55)
NOBODY_COULD = "canary bits that nothing but the key shows"
_IMPLAUSIBLE = 0.001  # two-sided p below which withheld canary bits were guessed too well, or too badly
_FEWEST = 10  # pictures with each mark that a probe needs
_PENALTY = 10.0  # per feature, as elsewhere where nothing may be chosen


class CanaryConfig(AttackConfig):
    """What guessing canary bits takes (T2c)."""

    canary_steps: tuple[int, ...] = tuple(range(50, 1000, 100))
    """Diffusion steps at which a generator is asked for planted marks."""
    canary_draws: int = Field(default=4, ge=1)
    """Of noise at each of these steps."""


class CanaryBits(NamedTuple):
    """The canary bits of the patients of one group, in their order."""

    bits: np.ndarray
    """(P,) int, 0 or 1."""
    planted: np.ndarray
    """(P,) bool; the canary bits of the others were withheld from everybody."""


def canary_bits(key: Key, people: People) -> CanaryBits:
    """How the canary bits of `people` fell.

    Raises:
        UserError: other people than those of the key.
    """
    fell = key.withheld | key.planted
    subjects = set(people.subjects.tolist())
    if odd := sorted(subjects ^ fell.keys()):
        where = "has no canary bit" if odd[0] in subjects else "is not in the records"
        raise UserError(
            f"{key.file}: {len(odd)} patients of the key or of {people.folder}, but not of both; '{odd[0]}' {where}; "
            "give the records that 'privacy canary plant' read or wrote"
        )
    shown = people.per_patient(np.array([-1 if c is None else c for c in people.table["canary"].to_pylist()]))
    found = CanaryBits(
        np.array([fell[name] for name in people.subjects]),
        np.array([name in key.planted for name in people.subjects]),
    )
    plan = people.folder / "plan.json"
    sealed = read_mapping(plan).get("commitment") if plan.exists() else None
    other = (shown >= 0).any() and (shown != np.where(found.planted, found.bits, -1)).any()
    if other or (sealed and key.commitment != sealed):
        raise UserError(
            f"{people.folder}: its marks are not those of {key.file}; give the key of its 'plan.json'"
        )
    return found


def margins(inputs: Inputs, config: CanaryConfig) -> dict[str, np.ndarray]:
    """Release stage -> (P,) margins of `inputs.members`, above 0 for mark 1; of every stage that there is, first to last.

    Raises:
        UserError: a synthetic set without marks, or embeddings where a CLIP is needed.
    """
    people = inputs.members
    assert people is not None
    found = {}
    if inputs.generator:
        found["generator"] = _of_generator(inputs, people, inputs.generator, config)
    if inputs.synthetic:
        found["synthetic set"] = _of_pictures(inputs, people, inputs.synthetic)
    if isinstance(inputs.encoder, Encoder):
        found["encoder"] = _of_encoder(inputs, people, inputs.encoder)
    elif inputs.encoder:
        raise UserError("--model: embeddings read no captions; give a ckpt.pt of 'clip train'")
    return found


def middle(margin: np.ndarray) -> float:
    """Half way between the quartiles of (P,) margins: a median that margins of two values have too."""
    return float(np.quantile(margin, [0.25, 0.75]).mean())


def guesses(margin: np.ndarray) -> np.ndarray:
    """(P,) int: 1 where a margin is above the middle of all."""
    margin = ties.levelled(margin)
    return (margin > middle(margin)).astype(int)


def evaluate(stage: str, margin: np.ndarray, canaries: CanaryBits, delta: float = 0.0) -> Result:
    """How many canary bits (P,) margins give away, and the ε that this proves at `delta`.

    Abstention is fixed beforehand: the third of which the release stage speaks most clearly.
    """
    of, others = canaries.planted, ~canaries.planted
    right = guesses(margin[of]) == canaries.bits[of]
    clear = ties.levelled(np.abs(margin[of] - middle(margin[of])), size=float(np.abs(margin[of]).max()))
    surest = np.argsort(-clear, kind="stable")[: -(-len(right) // 3)]
    sure = inference.share(int(right[surest].sum()), len(surest))
    compared, checks = [], []
    if others.any():
        control = guesses(margin[others]) == canaries.bits[others]
        same = inference.fair_guesses(int(control.sum()), len(control))
        extreme = (
            2 * min(same.p, inference.fair_guesses(int((~control).sum()), len(control)).p) < _IMPLAUSIBLE
        )
        why = f"{same.estimate.value:.3f} of {len(control)} were guessed; the key or the records have leaked"
        compared, checks = [(NOBODY_COULD, same.estimate)], [ValidityCheck(NOBODY_COULD, extreme, why)]
    return Result(
        threat="T2c",
        attack=f"canary bits, {stage}",
        panel="members",
        scale=GUESSED,
        tested=inference.fair_guesses(int(right.sum()), len(right)),
        checks=tuple(checks),
        compared=tuple(compared),
        also=(("of the surest third", sure),),
        details={
            "right": int(right.sum()),
            "planted": len(right),
            "delta": delta,
            "epsilon": epsilon.lower_bound(int(right.sum()), len(right), "replace-one", delta),
            "epsilon_add_remove": epsilon.lower_bound(int(right.sum()), len(right), "add-remove", delta),
            "epsilon_of_the_surest_third": epsilon.lower_bound(
                int(right[surest].sum()), len(surest), "replace-one", delta, len(right)
            ),
        },
    )


def remaining(
    margins_of: Mapping[str, np.ndarray], canaries: CanaryBits, n_bootstrap: int, seed: int
) -> dict[str, Estimate | None]:
    """Release stage -> what is left of the first stage's advantage, 2 x share guessed - 1, over resamples of patients.

    None where the first release stage gives nothing away that could be left.
    """
    of = canaries.planted
    right = {stage: guesses(margin[of]) == canaries.bits[of] for stage, margin in margins_of.items()}
    first = next(iter(right.values()))
    if inference.fair_guesses(int(first.sum()), len(first)).estimate.low <= GUESSED.chance:
        return dict.fromkeys(right)
    drawn = stats.draws(len(first), n_bootstrap, seed)
    advantage = {stage: 2 * (drawn @ each) / len(each) - 1 for stage, each in right.items()}
    whole = next(iter(advantage.values()))
    ratio = {
        stage: np.divide(each, whole, out=np.full(len(whole), np.nan), where=whole > 0)
        for stage, each in advantage.items()
    }
    return {stage: stats.estimate(each, len(first), CONFIDENCE) for stage, each in ratio.items()}


def _of_generator(inputs: Inputs, people: People, generator: Generator, config: CanaryConfig) -> np.ndarray:
    """How much worse photographs are denoised told mark 0 than told mark 1, on one grid of noise."""
    steps, draws = list(config.canary_steps), config.canary_draws
    place = people.table.column_names.index("canary")

    def losses(bit: int) -> np.ndarray:
        told = people.table.set_column(place, "canary", pa.array([bit] * len(people.ids), pa.int8()))
        photographs = people.photographs(generator.preprocessing)
        return generator.losses(photographs, generator.codes(told), steps, draws, config.seed).mean((1, 2))

    key = [generator.fingerprint, people.fingerprint, "canary", steps, draws, config.seed]
    each = [inputs.once([*key, bit], lambda bit=bit: losses(bit)) for bit in (0, 1)]
    return people.per_patient(each[0].astype(float) - each[1])


def _of_pictures(inputs: Inputs, people: People, synthetic: People) -> np.ndarray:
    """What a ridge probe that learnt the marks from synthetic pictures says of photographs, both as `privacy.scores.pixels`.

    As Mitchell audits synthetic data, by a model trained on it (2606.10481).
    """
    marks = np.array([-1 if mark is None else mark for mark in synthetic.table["canary"].to_pylist()])
    fewest = min(int((marks == bit).sum()) for bit in (0, 1))
    if fewest < _FEWEST:
        raise UserError(
            f"{synthetic.folder}: {fewest} pictures with one of the marks; sample it with 'synth generate --marks'"
        )

    def probe_scores() -> np.ndarray:
        small = Preprocessing(size=pixels.THUMBNAIL)
        theirs = synthetic.photographs(small)[marks >= 0]
        axes = pixels.axes(theirs, np.arange(len(theirs)))
        wanted = marks[marks >= 0].astype(float)[:, None]
        probe = probes.ridge(axes.features(theirs), wanted, np.ones(len(theirs)), _PENALTY)
        return probe.rank(axes.features(people.photographs(small)))[:, 0]

    return people.per_patient(
        inputs.once([people.fingerprint, synthetic.fingerprint, "canary probe"], probe_scores)
    )


def _of_encoder(inputs: Inputs, people: People, encoder: Encoder) -> np.ndarray:
    """How much nearer photographs are to their own captions with mark 1 than with mark 0, in both languages."""

    def nearer() -> np.ndarray:
        embedded = Inputs(inputs.kept, encoder=encoder).embeddings(people)
        total, count = np.zeros(len(people.ids)), np.zeros(len(people.ids))
        for lang in LANGUAGES:
            told = people.table[f"caption_{lang}"].to_pylist()
            rows = np.flatnonzero([text is not None for text in told])
            if len(rows):
                plain = [unmarked(told[row], lang) for row in rows]  # type: ignore[arg-type]
                each = [encoder.texts([str(marked(text, lang, bit)) for text in plain]) for bit in (0, 1)]  # type: ignore[arg-type]
                total[rows] += (embedded[rows].astype(float) * (each[1].astype(float) - each[0])).sum(axis=1)
                count[rows] += 1
        return total / np.maximum(count, 1)

    key: list[Any] = [encoder.metadata["sha256"], people.fingerprint, "canary"]
    return people.per_patient(inputs.once(key, nearer))
