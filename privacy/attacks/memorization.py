"""T4: does the released set lie nearer to the patients it was made from than to strangers, and does it hold copies?

Every released picture looks for its nearest photograph among as many members as strangers, in two spaces: registered
photographs (`privacy.targets.registered`) and an embedding of identity (`privacy.signals.identity`).  A typical patient attracts
many pictures, so pictures are no trials; patients are, and membership is dealt anew to them.  Nearness is an alarm and
no clearance: sets that it calls private lose to other attacks (2505.01524).
"""

import numpy as np
from scipy.special import ndtr

from privacy import gates, sheet
from privacy.config import AuditConfig
from privacy.inputs import Inputs
from privacy.results import Gate, Result, Scale
from privacy.signals import neighbours
from privacy.signals.neighbours import PLAIN, SAME, SPACES, Arms, Near, per_patient
from privacy.statistics.inference import Tested, exact_difference, halves, permuted, rate_difference, share
from privacy.trust import detection
from synth.base import stats
from synth.base.stats import Estimate

NEEDS = ("synthetic", "members", "nonmembers")
NEARER = Scale("share nearest to a member", 0.5, 0.52, None)
COPIED = Scale("patients copied, members minus strangers", 0.0, 0.0, None)
FEWEST = 20
"""Patients of each arm without whom nothing is asked."""
_TOO_MANY_TWINS = 0.01  # of patients
_REHEARSED = 200  # resamples behind each interval of a rehearsal


def _question(space: str) -> Result:
    return Result("T4", f"released pictures nearest to members, by {space}", "members", NEARER)


QUESTIONS = [*map(_question, SPACES), Result("T4", "copies of photographs of members", "copies", COPIED)]


def attack(inputs: Inputs, config: AuditConfig) -> list[Result]:
    """Nearness in both spaces, and copies."""
    checked = gates.arms(inputs, config)
    arms, strangers = neighbours.draw(inputs, config)
    if arms.patients < FEWEST:
        why = f"{arms.patients} patients an arm have no twin in the other; at least {FEWEST} are needed"
        return [question._replace(missing=why, needed=2 * FEWEST) for question in QUESTIONS]
    near = neighbours.near(inputs, arms, strangers, config)
    *nearness, copies = judge(near, arms, config)
    copies = copies._replace(named=_copied_members(inputs, near[SPACES[0]], arms))
    if config.copies_shown and (pairs := neighbours.pairs(inputs, arms, near[SPACES[0]], config)):
        sheet.write(inputs.kept.parent, pairs)
    return [
        found._replace(
            # Arms that differ make nothing of a nearness; a picture that is a photograph is one all the same.
            gates=found.gates if found.certain else (*found.gates, *checked.gates),
            compared=(*found.compared, *checked.compared),
        )
        for found in (*nearness, copies)
    ]


def judge(near: dict[str, Near], arms: Arms, config: AuditConfig) -> list[Result]:
    """All results from the nearest photographs of all spaces.

    A copy is verified where registered photographs are one and the embedding of identity names the same photograph.
    """
    first, second = (near[name] for name in SPACES)
    counts = {
        name: per_patient(np.ones(len(each.index), bool), each.index, arms) for name, each in near.items()
    }
    plain = _estimate(*counts[PLAIN], config.bootstrap, config.seed)
    verified = (first.closeness < SAME) & (first.index == second.index)
    copies = judge_copies(
        per_patient(first.copies(), first.index, arms),
        per_patient(verified, first.index, arms),
        len(first.index),
        arms.twins,
        config,
        per_patient(near[PLAIN].copies(), near[PLAIN].index, arms),
    )
    rounds, seed = config.detection_rounds, config.seed
    judged = [
        detection.state(
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
        detection.state(copies, detection.rates(strangers, arms.patients, _copied, COPIED), rounds, seed),
    ]


def _copied_members(inputs: Inputs, near: Near, arms: Arms) -> tuple[str, ...]:
    """Who they are of whom a released picture is taken for a copy."""
    members, _ = gates.both(inputs)
    copied, _ = per_patient(near.copies(), near.index, arms)
    return tuple(members.subjects[np.unique(members.patient[arms.members])][copied > 0])


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


def judge_copies(
    copies: tuple[np.ndarray, np.ndarray],
    verified: tuple[np.ndarray, np.ndarray],
    searched: int,
    twins: float,
    config: AuditConfig,
    plain: tuple[np.ndarray, np.ndarray] | None = None,
) -> Result:
    """Are more members copied than as many strangers are taken to be?  Fisher's exact test over patients.

    Args:
        copies:   (P,) released pictures that are taken for copies of photographs of each member; (Q,) stranger.
        verified: the same of copies that both spaces confirm; one of a member is proof.
        searched: released pictures.
        twins:    share of patients left out because the other arm has the same picture.
        plain:    `copies` by thumbnails, the baseline.
    """
    members, strangers = copies
    proven, impossible = (int(each.sum()) for each in verified)
    owners = int((verified[0] > 0).sum())
    rng = np.random.default_rng([config.seed, 41])
    control = rate_difference(*(half > 0 for half in halves(strangers, rng))).estimate
    compared = [("one half of the strangers against the other", control)]
    if plain:
        compared.insert(0, (f"by {PLAIN}", rate_difference(*(each > 0 for each in plain)).estimate))
    rate = share(int(members.sum()), searched)
    found = f"{proven} verified" if proven else "no verified copy"
    return QUESTIONS[-1]._replace(
        tested=exact_difference(members > 0, strangers > 0),
        gates=(
            Gate("twins", twins > _TOO_MANY_TWINS,
                 f"{twins:.1%} of patients have the same picture in the other arm; remove duplicates"),
            Gate("copies of strangers", impossible > 0 and exact_difference(*(each > 0 for each in verified)).p >= 0.05,
                 f"{impossible} pictures are copies of strangers; were they trained on?"),
        ),
        compared=tuple(compared),
        also=(
            ("copies of members, share of released pictures", rate),
            ("copies of strangers, share of released pictures", share(int(strangers.sum()), searched)),
        ),
        notes=(f"{found} among {searched:,} released pictures searched; at most {rate.high:.2%} are copies of members",),
        details={"searched": searched, "verified": proven, "members_copied": int((members > 0).sum())},
        certain=f"{proven} of {searched:,} released pictures copy photographs of {owners} members" if proven else "",
    )  # fmt: skip


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


def _nearness_trial(members: np.ndarray, strangers: np.ndarray, seed: int) -> detection.Trial:
    """A rehearsal with pictures of both arms, whose p is that of a normal with the moments of all deals."""
    drawn = _draws(len(members), len(strangers), _REHEARSED, seed)

    def judge(first: np.ndarray, second: np.ndarray) -> Tested:
        whole = np.concatenate([first, second])
        spread = (whole.var(ddof=1) * len(first) * len(second) / len(whole)) ** 0.5
        beyond = first.sum() - whole.mean() * len(first)
        return Tested(_of_draws(first, second, drawn), float(ndtr(-beyond / spread)) if spread else 1.0)

    return detection.counts(np.concatenate([members, strangers]), len(members), judge, NEARER)


def _copied(members: np.ndarray, strangers: np.ndarray) -> Tested:
    return exact_difference(members > 0.5, strangers > 0.5)
