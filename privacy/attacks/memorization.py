"""T4: does the released set lie nearer to the patients it was made from than to non-members, and does it hold copies?

Every released picture looks for its nearest photograph among as many members as non-members, in two spaces: registered
photographs (`privacy.targets.registered`) and an embedding of identity (`privacy.scores.identity`).  A typical patient attracts
many pictures, so pictures are no trials; patients are, and membership is dealt anew to them.  Nearness is an alarm and
no clearance: sets that it calls private lose to other attacks (2505.01524).  Copies are looked for among all photographs of
everybody, and a verified one is said whatever else can or cannot be compared.
"""

import numpy as np
from scipy.special import ndtr

from privacy.attacks.copies import COPIED, QUESTION, Counts, evaluate_copies, evaluate_search
from privacy.data import contact_sheet
from privacy.data.inputs import Inputs
from privacy.decisions import power_simulation
from privacy.decisions.results import Result, Scale
from privacy.scores import neighbours, validity
from privacy.scores.matched_groups import MatchedGroups, per_patient
from privacy.scores.neighbours import PLAIN, SPACES, CopiesConfig, Nearest, Origins
from privacy.scores.validity import ValidityChecks
from privacy.statistics.inference import Tested, exact_difference, permuted, split_in_two
from synth.base import stats
from synth.base.stats import Estimate

NEEDS = ("synthetic", "members")
CONFIG = CopiesConfig
OriginPair = tuple[Origins, Origins]
"""What is copied of all members, and of all non-members."""
NEARER = Scale("share nearest to a member", 0.5, 0.52, None)
FEWEST = 20
"""Patients of each group without whom nothing is asked."""
_SIMULATED = 200  # resamples behind each interval of a power simulation


def _question(space: str) -> Result:
    return Result("T4", f"released pictures nearest to members, by {space}", "members", NEARER, access="data")


QUESTIONS = [*map(_question, SPACES), QUESTION]


def attack(inputs: Inputs, config: CopiesConfig) -> list[Result]:
    """Nearness in both spaces, and copies: those first, whatever has to be given up then."""
    checked = validity.groups(inputs, config) if inputs.nonmembers else None
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
        contact_sheet.write(inputs.kept.parent, neighbours.pairs(inputs, origins[0].nearest, config))
    return [*nearness, copies]


def _compared(
    inputs: Inputs, origins: OriginPair, checked: ValidityChecks | None, config: CopiesConfig
) -> list[Result]:
    """Members beside non-members where there are enough of both, else what was found without."""
    if checked is None:
        why, needed = f"needs {inputs.missing(['nonmembers'])}", None
    else:
        groups, nonmembers = neighbours.draw(inputs, config)
        if groups.patients >= FEWEST:
            nearest = neighbours.nearest_photographs(inputs, groups, nonmembers, config)
            return [
                found._replace(
                    checks=(*found.checks, *checked.checks), compared=(*found.compared, *checked.compared)
                )
                for found in evaluate(nearest, groups, config, origins)
            ]
        why = (
            f"{groups.patients} patients a group have no duplicate in the other; at least {FEWEST} are needed"
        )
        needed = 2 * FEWEST
    found = [*QUESTIONS[:-1], evaluate_search(*_counts(origins), len(origins[0].verified))]
    return [each._replace(missing=why, needed=needed) for each in found]


def evaluate(
    nearest: dict[str, Nearest], groups: MatchedGroups, config: CopiesConfig, origins: OriginPair
) -> list[Result]:
    """All results from the nearest photographs of all spaces.

    Args:
        nearest:    of the groups, which are compared.
        origins: of all members and all non-members, in whom copies are looked for.
    """
    first = nearest[SPACES[0]]
    counts = {
        name: per_patient(np.ones(len(each.row), bool), each.row, groups) for name, each in nearest.items()
    }
    plain = _estimate(*counts[PLAIN], config.bootstrap, config.seed)
    taken, proven = _counts(origins)
    copies = evaluate_copies(
        per_patient(first.copies(), first.origin(), groups),
        proven,
        len(first.row),
        groups.duplicates,
        config,
        per_patient(nearest[PLAIN].copies(), nearest[PLAIN].row, groups),
        taken,
    )
    n_simulations, seed = config.detection_rounds, config.seed
    nearness = [
        power_simulation.state(
            evaluate_nearness(name, *counts[name], config, plain),
            _nearness_trial(*counts[name], seed),
            n_simulations,
            seed,
        )
        for name in SPACES
    ]
    nonmembers = per_patient(first.copies(), first.origin(), groups)[1] > 0
    return [
        *nearness,
        power_simulation.state(
            copies, power_simulation.rates(nonmembers, groups.patients, _copied, COPIED), n_simulations, seed
        ),
    ]


def _counts(origins: OriginPair) -> tuple[Counts, Counts]:
    """Of both groups, the pictures that are taken for copies of each patient, and those that are verified."""
    members, nonmembers = origins
    return (
        (members.per_patient(members.taken), nonmembers.per_patient(nonmembers.taken)),
        (members.per_patient(members.verified), nonmembers.per_patient(nonmembers.verified)),
    )


def evaluate_nearness(
    space: str,
    members: np.ndarray,
    nonmembers: np.ndarray,
    config: CopiesConfig,
    plain: Estimate | None = None,
) -> Result:
    """Are members the nearest to more released pictures than as many non-members are?

    Args:
        members:   (P,) released pictures whose nearest photograph is the patient's; nonmembers: (Q,).
        plain:     the same share by thumbnails, the baseline.
    """
    rng = np.random.default_rng([config.seed, 40])
    control = _estimate(*split_in_two(members, rng), config.bootstrap, config.seed)
    compared = (("one half of the members against the other", control),)
    if plain:
        compared = ((f"by {PLAIN}", plain), *compared)
    return _question(space)._replace(
        tested=_share(members, nonmembers, config),
        compared=compared,
        notes=("an alarm only: what copies nothing may still tell who was trained on, or of what sex",),
        details={"pictures": int(members.sum() + nonmembers.sum())},
    )


def _share(members: np.ndarray, nonmembers: np.ndarray, config: CopiesConfig) -> Tested:
    """`_estimate`, and p by membership dealt anew to the patients."""
    rng = np.random.default_rng([config.seed, 45])
    p = permuted(members, nonmembers, config.copies_permutations, rng)
    return Tested(_estimate(members, nonmembers, config.bootstrap, config.seed), p)


def _estimate(members: np.ndarray, nonmembers: np.ndarray, n_bootstrap: int, seed: int) -> Estimate:
    """`_of_draws` of a bootstrap of so many rounds."""
    return _of_draws(members, nonmembers, _draws(len(members), len(nonmembers), n_bootstrap, seed))


def _draws(members: int, nonmembers: int, n_bootstrap: int, seed: int) -> list[np.ndarray]:
    return [stats.draws(size, n_bootstrap, seed + place) for place, size in enumerate((members, nonmembers))]


def _of_draws(members: np.ndarray, nonmembers: np.ndarray, drawn: list[np.ndarray]) -> Estimate:
    """Mean of members over the sum of both means, which is their share where groups are equal; bootstrap over patients."""
    means = [each @ group / len(group) for each, group in zip(drawn, (members, nonmembers), strict=True)]
    total = means[0] + means[1]
    values = np.divide(means[0], total, out=np.full(len(total), 0.5), where=total > 0)
    return stats.estimate(values, len(members) + len(nonmembers))


def _nearness_trial(members: np.ndarray, nonmembers: np.ndarray, seed: int) -> power_simulation.Trial:
    """A power simulation with pictures of both groups, whose p is that of a normal with the moments of all deals."""
    drawn = _draws(len(members), len(nonmembers), _SIMULATED, seed)

    def test(first: np.ndarray, second: np.ndarray) -> Tested:
        whole = np.concatenate([first, second])
        spread = (whole.var(ddof=1) * len(first) * len(second) / len(whole)) ** 0.5
        beyond = first.sum() - whole.mean() * len(first)
        return Tested(_of_draws(first, second, drawn), float(ndtr(-beyond / spread)) if spread else 1.0)

    return power_simulation.counts(np.concatenate([members, nonmembers]), len(members), test, NEARER)


def _copied(members: np.ndarray, nonmembers: np.ndarray) -> Tested:
    return exact_difference(members > 0.5, nonmembers > 0.5)
