"""How closed questions are answered: by an encoder alone, and by a head that is trained on its embeddings."""

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from clip import embed
from clip.evaluation import zero_shot
from clip.evaluation.core import Judged, Photographs
from clip.evaluation.questions import Asked, Question
from clip.model.encoders import CLIP
from synth.base import ties

FOLDS = 5


class VqaConfig(Judged):
    """How questions are answered and judged; `least` is how often each of two answers to a question must be right."""

    lang: Literal["zh", "en", "both"] = "both"
    """Of the questions; `both` reports Chinese and English."""
    questions: Path | None = None
    """A table of questions (see `clip.evaluation.questions`); without it, they are built from the labels."""
    prior: Literal["none", "uniform"] = "none"
    """`uniform`: the encoder's answers to one question are shifted until they are equally common; see `zeroshot.matched`."""
    head: bool = True
    """Train an answer head too: on the train split, or where that is judged or empty, out of five folds of patients."""
    hidden: PositiveInt = 64
    """Units of the head."""
    epochs: PositiveInt = 20
    """Passes of the head over its questions."""
    learn: NonNegativeInt = 20_000
    """Questions that a head learns from at most."""


def answers(
    config: VqaConfig,
    model: CLIP,
    seen: Photographs,
    asked: list[Question],
    others: tuple[Photographs, list[Question]] | None,
) -> dict[str, np.ndarray]:
    """What is answered to each question: (Q,) numbers of choices by the encoder, and by a head."""
    found = {"encoder": by_encoder(model, seen.embeddings, asked, config.prior, config.least)}
    if not config.head:
        return found
    features = _features(model, seen, asked)
    if others:
        learnt = (_features(model, *others), others[1])
        found["head"] = _by_head(config, learnt, (features, asked))
        return found
    subjects = np.array(seen.table["subject_id"].to_pylist())[[each.row for each in asked]]
    people = np.unique(subjects)
    if len(people) >= 2:
        fold = np.random.default_rng(config.seed).permutation(len(people)) % min(FOLDS, len(people))
        mine = fold[np.searchsorted(people, subjects)]
        found["head"] = np.zeros(len(asked), int)
        for each in np.unique(mine):
            here, there = np.flatnonzero(mine == each), np.flatnonzero(mine != each)
            learnt = (features[there], [asked[i] for i in there])
            found["head"][here] = _by_head(config, learnt, (features[here], [asked[i] for i in here]))
    return found


def by_encoder(
    model: CLIP, embeddings: np.ndarray, asked: list[Question], prior: str = "none", least: int = 5
) -> np.ndarray:
    """(Q,) the choice whose statements lie nearest to each photograph; `embeddings` are (N, D) of unit length."""
    groups: dict[Asked, list[int]] = {}
    for place, each in enumerate(asked):
        groups.setdefault(each.asked, []).append(place)
    chosen = np.zeros(len(asked), int)
    texts = list(dict.fromkeys(text for one in groups for said in one.statements for text in said))
    vectors = dict(zip(texts, embed.texts(model, texts), strict=True))
    scale = model.logit_scale.exp().item()
    for one, places in groups.items():
        means = [np.mean([vectors[text] for text in said], axis=0) for said in one.statements]
        meant = np.stack([mean / np.linalg.norm(mean) for mean in means])
        logits = scale * embeddings[[asked[place].row for place in places]].astype(float) @ meant.T
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        if prior == "uniform" and len(places) >= least:
            odds = zero_shot.matched(odds, np.ones(len(meant)))
        chosen[places] = ties.first_largest(odds)
    return chosen


def _features(model: CLIP, seen: Photographs, asked: list[Question]) -> np.ndarray:
    """(Q, 3D): photograph, question, and their product; scaled so that a coordinate is of order 1."""
    texts = list(dict.fromkeys(each.asked.text for each in asked))
    vectors = embed.texts(model, texts)
    place = {text: number for number, text in enumerate(texts)}
    question = vectors[[place[each.asked.text] for each in asked]]
    picture = seen.embeddings[[each.row for each in asked]]
    scale = np.sqrt(picture.shape[1])
    return np.concatenate([picture, question, picture * question * scale], axis=1) * scale


def _by_head(
    config: VqaConfig, learnt: tuple[np.ndarray, list[Question]], asked: tuple[np.ndarray, list[Question]]
) -> np.ndarray:
    """(Q,) the likeliest of its choices, by a perceptron that has learnt `learnt`: features and questions."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    features, known = learnt
    rng = np.random.default_rng(config.seed)
    kept = np.sort(rng.permutation(len(known))[: config.learn or len(known)])
    words = [known[i].asked.choices[known[i].answer] for i in kept]
    if len(set(words)) < 2:
        return np.array([max(0, _place(each, words[0])) for each in asked[1]])
    head = MLPClassifier((config.hidden,), max_iter=config.epochs, random_state=config.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is a setting
        head.fit(features[kept], words)
    column = {word: place for place, word in enumerate(head.classes_)}
    probability = head.predict_proba(asked[0])
    chosen = []
    for row, each in zip(probability, asked[1], strict=True):
        odds = [row[column[choice]] if choice in column else -1.0 for choice in each.asked.choices]
        chosen.append(int(ties.first_largest(np.array(odds))))
    return np.array(chosen)


def _place(question: Question, word: str) -> int:
    return question.asked.choices.index(word) if word in question.asked.choices else -1
