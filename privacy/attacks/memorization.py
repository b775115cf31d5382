"""T4: does the released set lie nearer to the patients it was made from than to strangers, and does it hold copies?

Every released picture looks for its nearest photograph among as many members as strangers, in two spaces: registered
photographs (`privacy.targets.registered`) and an embedding of identity (`privacy.scores.identity`).  A typical patient attracts
many pictures, so pictures are no trials; patients are, and membership is dealt anew to them.  Nearness is an alarm and
no clearance: sets that it calls private lose to other attacks (2505.01524).  Copies are looked for among all photographs of
everybody, and a verified one is said whatever else can or cannot be compared.
"""

import numpy as np
from scipy.special import ndtr

from privacy.attacks.copies import COPIED, QUESTION, Counts, judge_copies, judge_found
from privacy.config import AuditConfig
from privacy.data import contact_sheet
from privacy.data.inputs import Inputs
from privacy.decisions import power_simulation
from privacy.decisions.results import Result, Scale
from privacy.scores import neighbours, validity
from privacy.scores.neighbours import PLAIN, SPACES, Arms, Near, Origins, per_patient
from privacy.scores.validity import Checked
from privacy.statistics.inference import Tested, exact_difference, halves, permuted
from synth.base import stats
from synth.base.stats import Estimate

NEEDS = ("synthetic", "members")
Groups = tuple[Origins, Origins]
"""What is copied of all members, and of all strangers."""
NEARER = Scale("share nearest to a member", 0.5, 0.52, None)
FEWEST = 20
"""Patients of each arm without whom nothing is asked."""
_REHEARSED = 200  # resamples behind each interval of a rehearsal


def _question(space: str) -> Result:
    return Result("T4", f"released pictures nearest to members, by {space}", "members", NEARER)


QUESTIONS = [*map(_question, SPACES), QUESTION]


def attack(inputs: Inputs, config: AuditConfig) -> list[Result]:
    """Nearness in both spaces, and copies: those first, whatever has to be given up then."""
    checked = validity.arms(inputs, config) if inputs.nonmembers else None
    origins = neighbours.origins(inputs, config)
    *nearness, copies = _compared(inputs, origins, checked, config)
    assert inputs.members and inputs.synthetic
    copied = origins[0].per_patient(origins[0].taken)
    copies = copies._replace(named=tuple(inputs.members.subjects[copied > 0]))
    released, searched = len(inputs.synthetic.ids), len(origins[0].verified)
    if searched < released:
        note = f"{searched:,} of {released:,} released pictures were searched, drawn at random; no copy among the others was seen"
        copies = copies._replace(notes=(*copies.notes, note))
    if config.copies_shown:
        contact_sheet.write(inputs.kept.parent, neighbours.pairs(inputs, origins[0].near, config))
    return [*nearness, copies]


def _compared(inputs: Inputs, origins: Groups, checked: Checked | None, config: AuditConfig) -> list[Result]:
    """Members beside strangers where there are enough of both, else what was found without."""
    if checked is None:
        why, needed = f"needs {inputs.missing(['nonmembers'])}", None
    else:
        arms, strangers = neighbours.draw(inputs, config)
        if arms.patients >= FEWEST:
            near = neighbours.near(inputs, arms, strangers, config)
            return [
                found._replace(
                    gates=(*found.gates, *checked.gates), compared=(*found.compared, *checked.compared)
                )
                for found in judge(near, arms, config, origins)
            ]
        why = f"{arms.patients} patients an arm have no twin in the other; at least {FEWEST} are needed"
        needed = 2 * FEWEST
    found = [*QUESTIONS[:-1], judge_found(*_counts(origins), len(origins[0].verified))]
    return [each._replace(missing=why, needed=needed) for each in found]


def judge(near: dict[str, Near], arms: Arms, config: AuditConfig, origins: Groups) -> list[Result]:
    """All results from the nearest photographs of all spaces.

    Args:
        near:    of the arms, which are compared.
        origins: of all members and all strangers, in whom copies are looked for.
    """
    first = near[SPACES[0]]
    counts = {
        name: per_patient(np.ones(len(each.index), bool), each.index, arms) for name, each in near.items()
    }
    plain = _estimate(*counts[PLAIN], config.bootstrap, config.seed)
    taken, proven = _counts(origins)
    copies = judge_copies(
        per_patient(first.copies(), first.index, arms),
        proven,
        len(first.index),
        arms.twins,
        config,
        per_patient(near[PLAIN].copies(), near[PLAIN].index, arms),
        taken,
    )
    rounds, seed = config.detection_rounds, config.seed
    judged = [
        power_simulation.state(
            judge_nearness(name, *counts[name], config, plain),
            _nearness_trial(*counts[name], seed),
            rounds,
            seed,
        )
        for name in SPACES
    ]
    strangers = per_patient(first.copies(), first.index, arms)[1] > 0
    return [
        *judged,
        power_simulation.state(
            copies, power_simulation.rates(strangers, arms.patients, _copied, COPIED), rounds, seed
        ),
    ]


def _counts(origins: Groups) -> tuple[Counts, Counts]:
    """Of both groups, the pictures that are taken for copies of each patient, and those that are verified."""
    members, strangers = origins
    return (
        (members.per_patient(members.taken), strangers.per_patient(strangers.taken)),
        (members.per_patient(members.verified), strangers.per_patient(strangers.verified)),
    )


def judge_nearness(
    space: str, members: np.ndarray, strangers: np.ndarray, config: AuditConfig, plain: Estimate | None = None
) -> Result:
    """Are members the nearest to more released pictures than as many strangers are?

    Args:
        members:   (P,) released pictures whose nearest photograph is the patient's; strangers: (Q,).
        plain:     the same share by thumbnails, the baseline.
    """
    rng = np.random.default_rng([config.seed, 40])
    control = _estimate(*halves(members, rng), config.bootstrap, config.seed)
    compared = (("one half of the members against the other", control),)
    if plain:
        compared = ((f"by {PLAIN}", plain), *compared)
    return _question(space)._replace(
        tested=_share(members, strangers, config),
        compared=compared,
        notes=("an alarm only: what copies nothing may still tell who was trained on, or of what sex",),
        details={"pictures": int(members.sum() + strangers.sum())},
    )


def _share(members: np.ndarray, strangers: np.ndarray, config: AuditConfig) -> Tested:
    """`_estimate`, and p by membership dealt anew to the patients."""
    rng = np.random.default_rng([config.seed, 45])
    p = permuted(members, strangers, config.copies_permutations, rng)
    return Tested(_estimate(members, strangers, config.bootstrap, config.seed), p)


def _estimate(members: np.ndarray, strangers: np.ndarray, rounds: int, seed: int) -> Estimate:
    """`_of_draws` of a bootstrap of so many rounds."""
    return _of_draws(members, strangers, _draws(len(members), len(strangers), rounds, seed))


def _draws(members: int, strangers: int, rounds: int, seed: int) -> list[np.ndarray]:
    return [stats.draws(size, rounds, seed + place) for place, size in enumerate((members, strangers))]


def _of_draws(members: np.ndarray, strangers: np.ndarray, drawn: list[np.ndarray]) -> Estimate:
    """Mean of members over the sum of both means, which is their share where arms are equal; bootstrap over patients."""
    means = [each @ arm / len(arm) for each, arm in zip(drawn, (members, strangers), strict=True)]
    total = means[0] + means[1]
    values = np.divide(means[0], total, out=np.full(len(total), 0.5), where=total > 0)
    return stats.estimate(values, len(members) + len(strangers))


def _nearness_trial(members: np.ndarray, strangers: np.ndarray, seed: int) -> power_simulation.Trial:
    """A rehearsal with pictures of both arms, whose p is that of a normal with the moments of all deals."""
    drawn = _draws(len(members), len(strangers), _REHEARSED, seed)

    def judge(first: np.ndarray, second: np.ndarray) -> Tested:
        whole = np.concatenate([first, second])
        spread = (whole.var(ddof=1) * len(first) * len(second) / len(whole)) ** 0.5
        beyond = first.sum() - whole.mean() * len(first)
        return Tested(_of_draws(first, second, drawn), float(ndtr(-beyond / spread)) if spread else 1.0)

    return power_simulation.counts(np.concatenate([members, strangers]), len(members), judge, NEARER)


def _copied(members: np.ndarray, strangers: np.ndarray) -> Tested:
    return exact_difference(members > 0.5, strangers > 0.5)
