"""What pulls a picture to its text and pushes it from the others."""

from torch import Tensor, arange
from torch.nn.functional import cross_entropy


def infonce(seen: Tensor, read: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE: every picture must find its own text in the batch, and every text its picture.

        L = (CE(s v t', i) + CE(s t v', i)) / 2        Radford et al. 2021 (2103.00020), fig. 3

    Args:
        seen:  (B, D) image embeddings v of unit length.
        read:  (B, D) text embeddings t of unit length; row i belongs to picture i.
        scale: the factor s of their products.
    """
    logits = scale * seen @ read.T
    target = arange(len(logits), device=logits.device)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def multi_positive(seen: Tensor, read: Tensor, scale: Tensor, meaning: Tensor) -> Tensor:
    """InfoNCE in which all texts of a batch that say the same are right, and are right to the same degree.

        L = (CE(s v t', P) + CE(s t v', P)) / 2,   P_ij = [m_i = m_j] / sum_k [m_i = m_k]

    Yang et al. 2022 (2204.03610, UniCL), eqs. 2 to 4, with means for sums.  Captions of diagnoses repeat: plain
    InfoNCE would push pictures of one disease from each other's equal texts.  Equals `infonce` where all differ.

    Args:
        seen, read, scale: as for `infonce`.
        meaning: (B,) int64; equal numbers where captions say the same.
    """
    same = (meaning[:, None] == meaning[None, :]).to(seen.dtype)
    target = same / same.sum(dim=1, keepdim=True)  # symmetric before and, by columns, after the transposition
    logits = scale * seen @ read.T
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
