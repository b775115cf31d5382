"""Texts and labels of patients as sparse features, and what a ridge probe reads from them of other patients.

A patient is one row, the mean of his or her photographs' texts, so that folds and permutations are over patients.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from privacy.statistics import measures, probes
from synth.base import stats, ties
from synth.base.stats import Estimate
from synth.data.records import LABELS

if TYPE_CHECKING:
    import pyarrow as pa

_PENALTY = 1.0  # of rows of unit length; fixed, because the permutation test may not choose by label


class Read(NamedTuple):
    """What probes say of p patients, each by one that never saw him or her."""

    scores: np.ndarray
    """(p, C)"""
    permuted: np.ndarray
    """(R,) macro AUC for each permutation of the people."""
    p: float
    """Of the AUC against these."""


def of_captions(captions: Sequence[Sequence[str | None]], patient: np.ndarray) -> Any:
    """(P, V) sparse tf-idf: one to three characters of Chinese, one or two words of English; rows of unit length.

    Args:
        captions:    a column of N captions for each language.
        patient: (N,) int in [0, P), never falling.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    joined = ["\n".join(text for text in texts if text) for texts in zip(*captions, strict=True)]
    spelt = (
        {"analyzer": "char", "ngram_range": (1, 3), "preprocessor": _chinese},
        {"ngram_range": (1, 2), "token_pattern": r"[a-z0-9]+"},
    )
    parts = []
    for settings in spelt:
        try:
            parts.append(TfidfVectorizer(**settings).fit_transform(joined))
        except ValueError:  # no word of that language anywhere
            continue
    return _by_patient(sparse.hstack(parts).tocsr(), patient)


def of_labels(table: "pa.Table", patient: np.ndarray) -> Any:
    """(P, V) sparse: each value of each label and each finding, and each pair of them in one row."""
    from sklearn.feature_extraction.text import CountVectorizer

    rows = table.select(list(LABELS)).to_pylist()
    captions = [
        [f"{key}={value}" for key in LABELS if key != "findings" and (value := row[key]) is not None]
        + [f"findings={key}" for key in row["findings"] or ()]
        for row in rows
    ]
    pairs = [[*each, *(f"{a} {b}" for i, a in enumerate(each) for b in each[i + 1 :])] for each in captions]
    counter = CountVectorizer(analyzer=list)  # type: ignore[arg-type]
    return _by_patient(sparse.csr_matrix(counter.fit_transform(pairs)), patient)


def scores(features: Any, truth: np.ndarray, folds: int, permutations: int, seed: int) -> Read:
    """Kernel ridge regression of (p, C) bool on (p, V) features, sparse or not, out of fold.

    Folds do not depend on the truth, and one factorisation per fold serves every permutation, so the test is exact.
    """
    rng = np.random.default_rng([seed, 7])
    people, columns = truth.shape
    fold = rng.permutation(people) % folds
    orders = [np.arange(people), *(rng.permutation(people) for _ in range(permutations))]
    wanted = np.concatenate([truth[order] for order in orders], axis=1).astype(float)
    kernel = features @ features.T
    kernel = kernel.toarray() if sparse.issparse(kernel) else kernel
    predicted = np.zeros_like(wanted)
    for number in range(folds):
        test, train = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        own = kernel[np.ix_(train, train)]
        middle, grand = own.mean(axis=0), own.mean()
        centred = own - middle - middle[:, None] + grand
        centred[np.diag_indices_from(centred)] += _PENALTY
        weights = np.linalg.solve(centred, wanted[train] - wanted[train].mean(axis=0))
        across = kernel[np.ix_(test, train)]
        predicted[test] = (across - across.mean(axis=1)[:, None] - middle + grand) @ weights
    values = measures.aucs(predicted, wanted > 0.5, probes.SIZE).reshape(-1, columns).mean(axis=1)
    p = (1 + int(ties.at_or_above(values[1:], values[0], 1.0).sum())) / (1 + permutations)
    return Read(predicted[:, :columns], values[1:], p)


def areas(predicted: np.ndarray, truth: np.ndarray, n_bootstrap: int, seed: int) -> np.ndarray:
    """(1 + rounds,) macro AUC of the patients and of samples of them; equal arguments draw equal samples."""
    drawn, patient_ids = stats.draws(len(truth), n_bootstrap, seed), np.arange(len(truth))
    each = [
        stats.over(
            drawn,
            patient_ids,
            lambda weights, c=c: stats.auc(predicted[:, c], truth[:, c], weights, probes.SIZE),
        )
        for c in range(truth.shape[1])
    ]
    return np.mean(each, axis=0)


def estimate(values: np.ndarray, people: int) -> Estimate:
    """The first of (1 + rounds,) values with the middle 95 % of the others."""
    return stats.estimate(values, people)


def _chinese(text: str) -> str:
    """Chinese characters and digits; the rest stands between words."""
    return "".join(letter if "一" <= letter <= "鿿" or letter.isdigit() else " " for letter in text)


def _by_patient(rows: Any, patient: np.ndarray) -> Any:
    """(P, V) sums over each patient's rows, made of unit length."""
    count = int(patient[-1]) + 1
    gather = sparse.csr_matrix(
        (np.ones(len(patient)), (patient, np.arange(len(patient)))), (count, len(patient))
    )
    summed = (gather @ rows).tocsr()
    length = np.sqrt(np.asarray(summed.multiply(summed).sum(axis=1))).ravel()
    return sparse.diags(1 / np.where(length > 0, length, 1)) @ summed
