"""Can two groups of patients be told apart by features?  A ridge that never saw a patient says which group he or she is of."""

import numpy as np

from privacy.statistics import measures, probes
from privacy.statistics.inference import Tested, separation
from synth.base import ties


def separability(
    members: np.ndarray,
    nonmembers: np.ndarray,
    penalty: float,
    folds: int,
    n_permutations: int,
    rng: np.random.Generator,
) -> Tested:
    """AUC of members above non-members by a ridge of the other folds; p is that of membership dealt anew to all.

    Args:
        members:        (P, k) features of patients; nonmembers: (Q, k).
        penalty:        of the ridge, per feature.
        n_permutations: deals of membership.
    """
    features = np.concatenate([members, nonmembers])
    is_member = np.arange(len(features)) < len(members)
    fold = rng.permutation(len(features)) % folds
    deals = [is_member, *(rng.permutation(is_member) for _ in range(n_permutations))]
    dealt = np.stack(deals, axis=1).astype(float)
    scores = np.zeros_like(dealt)
    for number in range(folds):  # one factorisation serves all deals
        test = fold == number
        probe = probes.ridge(features[~test], dealt[~test], np.ones(int((~test).sum())), penalty)
        scores[test] = probe.rank(features[test])
    areas = measures.aucs(scores, dealt > 0.5, probes.SIZE)
    p = (1 + int(ties.at_or_above(areas[1:], areas[0], 1.0).sum())) / (1 + n_permutations)
    estimate = separation(scores[is_member, 0], scores[~is_member, 0], size=probes.SIZE).estimate
    return Tested(estimate, p)
