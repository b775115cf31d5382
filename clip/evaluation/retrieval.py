"""Retrieval: what lies nearest to a photograph or to a caption, and whether it is what belongs to it.

- image to text: among the distinct captions of the records, that of the photograph;
- text to image: among the photographs, one that has this caption, word for word;
- image to image, of one person: the same eye in another modality, the fellow eye, another picture of the eye.

A query whose k nearest candidates hold one that belongs to it counts for R@k.  Candidates at the same distance stand in
random order, in expectation, so a collapsed encoder scores what chance does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import PositiveInt
from scipy.sparse import csr_array
from scipy.special import gammaln

from clip import embed, loading
from clip.evaluation import core, report
from clip.evaluation.core import EvaluationSettings, Photographs
from clip.evaluation.exchange import exchanged
from clip.evaluation.results import EvaluationReport, Metric, RetrievalResult
from clip.inputs.photographs import captions
from clip.inputs.sets import Data
from clip.model.encoders import CLIP
from clip.zoo import wording
from synth.base import stats, ties
from synth.base.errors import UserError

KS = (1, 5, 10)
_CHUNK = 512  # queries at a time: their scores against all candidates are in memory


class RetrievalConfig(EvaluationSettings):
    """How retrieval is judged; `min_count` is the number of queries that a direction needs."""

    lang: Literal["zh", "en", "both"] = "both"
    """Of the captions; `both` reports Chinese and English."""
    exchanges: PositiveInt = 999
    """Of people among the candidates of another picture: what p values are counted from."""


class RankingResult(NamedTuple):
    """How N queries fared among M candidates."""

    hits: np.ndarray
    """(N, len(KS)) probability that one of the k nearest belongs to the query: 0 or 1 where no distances are equal."""
    auc: np.ndarray
    """(N,) how probably a candidate that belongs to the query lies nearer than one that does not."""
    by_chance: np.ndarray
    """(N, len(KS)) `hits` of candidates in random order."""


def evaluate(
    config: RetrievalConfig, model: Path, data: Data, splits: Sequence[str], name: str | None, command: str
) -> EvaluationReport:
    """The retrieval report of a checkpoint on records: every direction that they allow, or the one called `name`.

    Raises:
        UserError: no records in these splits, or none with what a direction needs.
    """
    network, head = loading.load(model)
    photographs = core.load(network, data, splits)
    results = [*paired(config, photographs)]
    if wording.reads(network):
        config = config.model_copy(update={"lang": wording.narrowed(network, config.lang)})
        said = {lang: captions(data, splits, f"caption_{lang}") for lang in ("zh", "en")}
        results = [*captioned(config, network, photographs, said), *results]
    results = [each for each in results if name in (None, each.name)]
    if not results:
        raise UserError(
            f"{data}: its {', '.join(splits)} records allow no retrieval{f' called {name!r}' if name else ''}: it needs "
            f"{config.min_count} photographs with captions, two of them different, or as many people with two pictures; choose "
            "another --split"
        )
    provenance = core.provenance(data, splits, len(photographs.table))
    return report.compose(config, model, head, provenance, results, command)


def captioned(
    config: RetrievalConfig,
    model: CLIP,
    photographs: Photographs,
    captions: Mapping[str, Sequence[Sequence[str]]],
) -> Iterator[RetrievalResult]:
    """Both directions between photographs and captions, a row for each language.

    Of a photograph with several captions each is right; each asks for it.

    Args:
        captions: by language, those of each photograph.
    """
    languages = ("zh", "en") if config.lang == "both" else (config.lang,)
    found: dict[str, dict[str, tuple[RankingResult, np.ndarray]]] = {"image-to-text": {}, "text-to-image": {}}
    for lang in languages:
        said = captions[lang]
        rows = np.array([i for i, each in enumerate(said) if each], dtype=int)
        if len(rows) < config.min_count:
            continue
        places = np.array([k for k, i in enumerate(rows) for _ in said[i]])  # among `rows`, of each caption
        texts, which = np.unique([text for i in rows for text in said[i]], return_inverse=True)
        right = csr_array((np.ones(len(which), bool), (places, which)), (len(rows), len(texts)))
        if len(texts) < 2:  # nothing to find among them
            continue
        words, pictures = embed.texts(model, texts.tolist()), photographs.embeddings[rows]
        found["image-to-text"][lang] = search(pictures, words, lambda q, r=right: r[q].toarray()), rows
        reverse = search(words, pictures, lambda q, r=right.T.tocsr(): r[q].toarray())
        found["text-to-image"][lang] = RankingResult(*(values[which] for values in reverse)), rows[places]
    titles = {
        "image-to-text": "the caption of a photograph, among the distinct captions",
        "text-to-image": "a photograph of a caption, among the photographs; each photograph's caption is one query",
    }
    for name, each in found.items():
        if each:
            yield _result(config, name, titles[name], photographs.table, each)


def paired(config: RetrievalConfig, photographs: Photographs) -> Iterator[RetrievalResult]:
    """Image to image between two pictures of one person: other modalities, the fellow eye, the same eye again.

    Candidates are what belongs to some query, so that people of whom both were taken are not told from the others.
    """
    columns = photographs.table.select(["subject_id", "eye_side", "modality"]).to_pydict()
    people, side, kind = (np.array(column, dtype=object) for column in columns.values())
    whole = np.array([None not in each for each in zip(side, kind, strict=True)], dtype=bool)
    person = np.unique(columns["subject_id"], return_inverse=True)[1] if len(people) else people
    eye = 2 * person + (side == "right")
    kinds = sorted({each for each in kind[whole]})
    pairs = [(f"{a}-to-{b}", f"the same eye, from {a} to {b}", a, b, True) for a, b in permutations(kinds, 2)]
    pairs += [(f"{a}-fellow-eye", f"the fellow eye, {a}", a, a, False) for a in kinds]
    pairs += [(f"{a}-same-eye", f"another picture of the same eye, {a}", a, a, True) for a in kinds]
    for name, title, a, b, same in pairs:
        wanted = eye if same else eye ^ 1
        queries, gallery = np.flatnonzero(whole & (kind == a)), np.flatnonzero(whole & (kind == b))
        out = queries[:, None] == gallery
        if not same:  # another picture of the very eye would stand before its fellow
            out |= eye[queries][:, None] == eye[gallery]
        belongs = (wanted[queries][:, None] == eye[gallery]) & ~out
        asked, to = belongs.any(axis=1), belongs.any(axis=0)
        queries, gallery, left_out = queries[asked], gallery[to], int((~asked).sum())
        if len(queries) < config.min_count:
            continue
        belongs, out = belongs[np.ix_(asked, to)], out[np.ix_(asked, to)]
        vectors = photographs.embeddings[queries], photographs.embeddings[gallery]
        found = search(*vectors, lambda q, right=belongs: right[q], lambda q, gone=out: gone[q])
        made = _result(config, name, title, photographs.table, {"image": (found, queries)}, left_out)
        swap = exchanged(*vectors, wanted[queries], eye[gallery], out, config.exchanges, config.seed)
        made.source += (
            f"; candidates are what belongs to some query.  An eye's own pictures stand before {swap.value:.3f} of the candidates, "
            f"with people exchanged {swap.low:.3f} to {swap.high:.3f}: p = {swap.p:.3g} of {swap.exchanges} exchanges"
        )
        made.exchanged = swap
        yield made


def search(
    queries: np.ndarray,
    candidates: np.ndarray,
    belongs: Callable[[slice], np.ndarray],
    out: Callable[[slice], np.ndarray] | None = None,
) -> RankingResult:
    """Rank candidates by cosine, ties (`synth.base.ties`) alike, a few hundred queries at a time.

    Args:
        queries:    (N, D) of unit length.
        candidates: (M, D) of unit length.
        belongs:    of a slice of queries, (n, M) bool: which candidates are right; a query without any scores nan.
        out:        of a slice of queries, (n, M) bool: which are no candidates for it.
    """
    parts = []
    for start in range(0, max(1, len(queries)), _CHUNK):
        part = slice(start, start + _CHUNK)
        scores = ties.levelled(queries[part].astype(float) @ candidates.T)
        right = belongs(part)
        absent = np.zeros_like(right) if out is None else out(part)
        parts.append(ranked(scores, right & ~absent, ~right & ~absent))
    return RankingResult(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def ranked(scores: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> RankingResult:
    """How each row of (n, M) scores ranks what is right among what is right or wrong."""
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    before = (wrong & (scores > best)).sum(axis=1)
    tied = (wrong & (scores == best)).sum(axis=1)
    firsts = (right & (scores == best)).sum(axis=1)
    rights, wrongs = right.sum(axis=1), wrong.sum(axis=1)
    hits = np.stack([_some(firsts, firsts + tied, np.maximum(k - before, 0)) for k in KS], axis=1)
    hits[rights == 0] = np.nan
    by_chance = np.stack([_some(rights, rights + wrongs, np.full(len(rights), k)) for k in KS], axis=1)
    auc = np.array([_above(row[r], row[w]) for row, r, w in zip(scores, right, wrong, strict=True)])
    return RankingResult(hits, auc, by_chance)


def _some(right: np.ndarray, of: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The probability of at least one of the right among `drawn` of `of`, without replacement."""
    wrong, drawn = of - right, np.minimum(drawn, of)
    fits = drawn <= wrong
    held = np.where(fits, drawn, 0)
    missed = _choose(wrong, held) - _choose(of, held)
    return np.where(fits, 1 - np.exp(missed), 1.0)


def _choose(of: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The logarithm of a binomial coefficient."""
    return gammaln(of + 1) - gammaln(drawn + 1) - gammaln(of - drawn + 1)


def _above(right: np.ndarray, wrong: np.ndarray) -> float:
    """How probably one of `right` is larger than one of `wrong`, a tie counted half; nan without either."""
    if not len(wrong) or not len(right):
        return float("nan")
    ordered = np.sort(wrong)
    less = np.searchsorted(ordered, right, "left") + np.searchsorted(ordered, right, "right")
    return float(less.mean() / 2 / len(wrong))


def _result(
    config: RetrievalConfig,
    name: str,
    title: str,
    table: pa.Table,
    rankings: dict[str, tuple[RankingResult, np.ndarray]],
    left_out: int = 0,
) -> RetrievalResult:
    subjects = table["subject_id"].to_pylist()
    measured, baselines, people = {}, {}, set()
    for row, (each, rows) in rankings.items():
        patients, patient_ids = np.unique([subjects[i] for i in rows], return_inverse=True)
        drawn = stats.draws(len(patients), config.n_bootstrap, config.seed)
        values = {f"r{k}": each.hits[:, place] for place, k in enumerate(KS)} | {"rank_auc": each.auc}
        measured[row] = {key: _mean(drawn, patient_ids, value) for key, value in values.items()}
        chance = {f"r{k}": float(each.by_chance[:, place].mean()) for place, k in enumerate(KS)}
        baselines["chance" if len(rankings) == 1 else f"chance, {row}"] = chance | {"rank_auc": 0.5}
        people |= set(patients)
    return RetrievalResult(
        task="retrieval",
        name=name,
        title=f"{name.replace('-', ' ')}: {title}",
        source="R@k over queries, whose people are resampled; the candidates stay",
        n=max(len(rows) for _, rows in rankings.values()),
        patients=len(people),
        classes={f"queries, {row}": len(rows) for row, (_, rows) in rankings.items()},
        left_out={"without anything that belongs to them": left_out} if left_out else {},
        metrics=measured,
        without_pictures=baselines,
    )


def _mean(drawn: np.ndarray, patient_ids: np.ndarray, value: np.ndarray) -> Metric:
    kept = np.isfinite(value)
    values = stats.over(drawn, patient_ids[kept], lambda weights: weights @ value[kept] / weights.sum(axis=1))
    return Metric.of(stats.estimate(values, drawn.shape[1]), values)
