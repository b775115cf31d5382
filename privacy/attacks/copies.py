"""T4, the second question: are released pictures photographs of patients?  What was found, its bounds, and in whom.

Judged are numbers of pictures for each patient; `privacy.attacks.memorization` looks for them.
"""

import numpy as np

from privacy.attack_config import AttackConfig
from privacy.decisions.results import Result, Scale, ValidityCheck
from privacy.scores.neighbours import PLAIN
from privacy.statistics.inference import exact_difference, rate_difference, share, split_in_two

Counts = tuple[np.ndarray, np.ndarray]
"""Released pictures for each member, and for each non-member."""
COPIED = Scale("patients copied, members minus non-members", 0.0, 0.0, None)
QUESTION = Result("T4", "copies of photographs of members", "copies", COPIED, access="data")
_TOO_MANY_DUPLICATES = 0.01  # of patients


def evaluate_copies(
    copies: Counts,
    verified: Counts,
    searched: int,
    duplicates: float,
    config: AttackConfig,
    plain: Counts | None = None,
    taken: Counts | None = None,
) -> Result:
    """Are more members copied than as many non-members are taken to be?  Fisher's exact test over patients.

    Args:
        copies:   (P,) released pictures that are taken for copies of photographs of each member of the group; (Q,) non-member.
        verified: the same of copies that both spaces confirm, of all members and all non-members; one is proof.
        searched: released pictures.
        duplicates:    share of patients left out because the other group has the same picture.
        plain:    `copies` by thumbnails, the baseline.
        taken:    `copies` of all members and all non-members, where the groups are but a part.
    """
    members, nonmembers = copies
    rng = np.random.default_rng([config.seed, 41])
    control = rate_difference(*(half > 0 for half in split_in_two(nonmembers, rng))).estimate
    compared = [("one half of the non-members against the other", control)]
    if plain:
        compared.insert(0, (f"by {PLAIN}", rate_difference(*(each > 0 for each in plain)).estimate))
    return evaluate_search(taken or copies, verified, searched)._replace(
        tested=exact_difference(members > 0, nonmembers > 0),
        checks=(
            ValidityCheck("duplicates", duplicates > _TOO_MANY_DUPLICATES,
                 f"{duplicates:.1%} of patients have the same picture in the other group; remove duplicates"),
        ),
        compared=tuple(compared),
    )  # fmt: skip


def evaluate_search(taken: Counts, verified: Counts, searched: int) -> Result:
    """What was found among all photographs of so many members and non-members, compared with nothing.

    The bounds are of these patients, and of copies that such a search can tell.

    Args:
        taken:    (M,) released pictures that are taken for copies of photographs of each member; (N,) non-member.
        verified: the same of copies that both spaces confirm.
        searched: released pictures.
    """
    rates = [share(int(each.sum()), searched) for each in taken]
    proven = int(verified[0].sum())
    found = f"{proven} verified" if proven else "no verified copy"
    who = f"{len(taken[0]):,} members" + (f" and {len(taken[1]):,} non-members" if len(taken[1]) else "")
    return QUESTION._replace(
        also=(
            ("copies of members, share of released pictures", rates[0]),
            *([("copies of non-members, share of released pictures", rates[1])] if len(taken[1]) else []),
        ),
        notes=(
            f"{found} among {searched:,} released pictures searched for photographs of all {who}; "
            f"at most {rates[0].high:.2%} are copies of these members that such a search can tell",
        ),
        details={
            "searched": searched,
            "members_searched": len(taken[0]),
            "strangers_searched": len(taken[1]),
            "verified": proven,
            "verified_of_strangers": int(verified[1].sum()),
            "members_copied": int((taken[0] > 0).sum()),
        },
        certain=_proof(verified, searched),
    )


def _proof(verified: Counts, searched: int) -> str:
    pictures = sum(int(each.sum()) for each in verified)
    if not pictures:
        return ""
    members, nonmembers = (int((each > 0).sum()) for each in verified)
    who = f"{members + nonmembers} patients" if nonmembers else f"{members} members"
    others = f", {nonmembers if members else 'all'} of them said not to be trained on" if nonmembers else ""
    return f"{pictures} of {searched:,} released pictures copy photographs of {who}{others}"
