"""What pulls a picture to its text and pushes it from the others, and which texts of a batch are right for it.

A loss over several processes is the same function of everyone's embeddings (`clip.training.caching.everyones`).
"""

import torch
from torch import Tensor, arange
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from clip.training.labels import DEGREES


def infonce(image_features: Tensor, text_features: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE: every picture must find its own text in the batch, and every text its picture.

        L = (CE(s v t', i) + CE(s t v', i)) / 2        Radford et al. 2021 (2103.00020), fig. 3

    Args:
        image_features: (B, D) image embeddings v of unit length.
        text_features:  (B, D) text embeddings t of unit length; row i belongs to picture i.
        scale: the factor s of their products.
    """
    logits = scale * image_features @ text_features.T
    target = arange(len(logits), device=logits.device)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def multi_positive(image_features: Tensor, text_features: Tensor, scale: Tensor, targets: Tensor) -> Tensor:
    """InfoNCE in which several texts of a batch are right for a picture, each to its degree.

        L = (CE(s v t', P) + CE(s t v', P)) / 2,   P_ij = w_ij / sum_k w_ik

    Yang et al. 2022 (2204.03610, UniCL), eqs. 2 to 4, with means for sums and weights for equal classes.  Where w is
    the identity it equals `infonce`.  So it does, value and gradients, where w is 1 for equal strings and 0 for others:
    equal strings have equal products with a picture, and an even target over them costs what one of them does.  What it
    adds is that different wordings, languages or overlapping labels may be right.

    Args:
        image_features, text_features, scale: as for `infonce`.
        targets: (B, B) weights w in [0, 1], symmetric, 1 on the diagonal; from `same`, `overlap`, `between_grades`.
    """
    target = targets / targets.sum(dim=1, keepdim=True)  # symmetric before, so it holds for both directions
    logits = scale * image_features @ text_features.T
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def siglip(image_features: Tensor, text_features: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Sigmoid loss: of every pair in the batch, whether it belongs together, each judged for itself.

        L = -1/B sum_ij log sigma(z_ij (s v_i t_j + b)),   z_ij = 1 where i = j, else -1

    Zhai et al. 2023 (2303.15343), eq. 1.

    Args:
        image_features, text_features, scale: as for `infonce`.
        bias: the summand b of the products, which starts at -10: nearly all pairs are wrong ones.
    """
    return multi_positive_siglip(
        image_features,
        text_features,
        scale,
        bias,
        torch.eye(len(image_features), device=image_features.device),
    )


def multi_positive_siglip(
    image_features: Tensor, text_features: Tensor, scale: Tensor, bias: Tensor, targets: Tensor
) -> Tensor:
    """`siglip` in which a pair belongs together to the degree w_ij, the target of its logistic regression.

        L = -1/B sum_ij (w_ij log sigma(x_ij) + (1 - w_ij) log sigma(-x_ij)),   x_ij = s v_i t_j + b

    Args:
        targets: (B, B) weights w in [0, 1]; the identity gives `siglip`.
    """
    logits = scale * image_features @ text_features.T + bias
    return binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="sum") / len(
        image_features
    )


def same(meaning: Tensor) -> Tensor:
    """(B, B) weights: 1 where captions say the same, else 0.

    Args:
        meaning: (B,) int64; equal numbers where captions say the same, in whichever words or language.
    """
    return (meaning[:, None] == meaning[None, :]).float()


def overlap(labels: Tensor) -> Tensor:
    """(B, B) weights: how much of what two records are known to have they have in common.

        w_ij = |S_i & S_j| / |(S_i | S_j) & K_i & K_j|        Jaccard's index over what is known of both

    S are the labels that a record has, K those of which it is known whether it has them.  A disease in another degree is
    another label.  Where neither has any, w is 1 if the same is known of both, so that normal eyes are one another's
    texts but an eye of which only glaucoma is known absent is not; w_ii is 1.

    Args:
        labels: (B, L) integers: the degree of each label, 0 for absent, -1 for unknown.
    """
    known, has = (labels >= 0).float(), (labels > 0).float()
    degrees = [(labels == degree).float() for degree in range(1, DEGREES + 1)]
    shared = torch.stack([each @ each.T for each in degrees]).sum(dim=0)
    either = has @ known.T + known @ has.T - has @ has.T
    neither = has.sum(dim=1) == 0
    normal = neither[:, None] & neither[None, :] & _equal(known) & (known.sum(dim=1) > 0)[:, None]
    weights = torch.where(either > 0, shared / either.clamp(min=1), normal.float())
    return weights.fill_diagonal_(1.0)


def between_grades(labels: Tensor, width: float) -> Tensor:
    """(B, B) weights of records that differ in nothing but the grade of their first label, else 0.

        w_ij = exp(-|g_i - g_j| / width)

    Normalised by rows these are the soft labels of ordinal regression (Diaz and Marathe 2019, CVPR, eq. 1, with the
    absolute distance): a text one grade off is less wrong than one four off.

    Args:
        labels: as for `overlap`; the first column is the grade g.
        width: grades over which the weight falls to 1/e.
    """
    grade = labels[:, 0]
    known = grade >= 0
    equal = _equal(labels[:, 1:]) & known[:, None] & known[None, :]
    return equal * torch.exp(-(grade[:, None] - grade[None, :]).abs().float() / width)


def _equal(rows: Tensor) -> Tensor:
    """(B, B) bool: which rows are equal; by Hamming's distance, since a GPU is waited for where equal ones are looked up."""
    return torch.cdist(rows.float(), rows.float(), p=0) == 0
