"""How closed questions are answered: by an encoder alone, and by a head that is trained on its embeddings."""

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt
from scipy.special import softmax

from clip import embed
from clip.evaluation import zero_shot
from clip.evaluation.core import EvaluationSettings, Photographs
from clip.evaluation.questions import Question, QuestionForm
from clip.model.encoders import CLIP
from synth.base import ties

FOLDS = 5


class VqaConfig(EvaluationSettings):
    """How questions are answered and judged; `min_count` is how often each of two answers to a question must be right."""

    lang: Literal["zh", "en", "both"] = "both"
    """Of the questions; `both` reports Chinese and English."""
    questions: Path | None = None
    """A table of questions (see `clip.evaluation.questions`); without it, they are built from the labels."""
    prior: Literal["none", "uniform"] = "none"
    """`uniform`: the encoder's answers to one question are shifted until they are equally common; see `zero_shot.matched`."""
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
    photographs: Photographs,
    questions: list[Question],
    others: tuple[Photographs, list[Question]] | None,
) -> dict[str, np.ndarray]:
    """What is answered to each question: (Q,) numbers of choices by the encoder, and by a head."""
    found = {"encoder": by_encoder(model, photographs.embeddings, questions, config.prior, config.min_count)}
    if not config.head:
        return found
    features = _features(model, photographs, questions)
    if others:
        learnt = (_features(model, *others), others[1])
        found["head"] = _by_head(config, learnt, (features, questions))
        return found
    subjects = np.array(photographs.table["subject_id"].to_pylist())[[each.row for each in questions]]
    people = np.unique(subjects)
    if len(people) >= 2:
        fold = np.random.default_rng(config.seed).permutation(len(people)) % min(FOLDS, len(people))
        mine = fold[np.searchsorted(people, subjects)]
        found["head"] = np.zeros(len(questions), int)
        for each in np.unique(mine):
            here, there = np.flatnonzero(mine == each), np.flatnonzero(mine != each)
            learnt = (features[there], [questions[i] for i in there])
            found["head"][here] = _by_head(config, learnt, (features[here], [questions[i] for i in here]))
    return found


def by_encoder(
    model: CLIP, embeddings: np.ndarray, questions: list[Question], prior: str = "none", min_count: int = 5
) -> np.ndarray:
    """(Q,) the choice whose statements lie nearest to each photograph; `embeddings` are (N, D) of unit length."""
    groups: dict[QuestionForm, list[int]] = {}
    for place, each in enumerate(questions):
        groups.setdefault(each.form, []).append(place)
    chosen = np.zeros(len(questions), int)
    texts = list(dict.fromkeys(text for one in groups for said in one.statements for text in said))
    vectors = dict(zip(texts, embed.texts(model, texts), strict=True))
    scale = model.logit_scale.exp().item()
    for one, places in groups.items():
        means = [np.mean([vectors[text] for text in said], axis=0) for said in one.statements]
        meant = np.stack([mean / np.linalg.norm(mean) for mean in means])
        logits = scale * embeddings[[questions[place].row for place in places]].astype(float) @ meant.T
        odds = softmax(logits, axis=1)
        if prior == "uniform" and len(places) >= min_count:
            odds = zero_shot.matched(odds, np.ones(len(meant)))
        chosen[places] = ties.first_largest(odds)
    return chosen


def _features(model: CLIP, photographs: Photographs, questions: list[Question]) -> np.ndarray:
    """(Q, 3D): photograph, question, and their product; scaled so that a coordinate is of order 1."""
    texts = list(dict.fromkeys(each.form.text for each in questions))
    vectors = embed.texts(model, texts)
    place = {text: number for number, text in enumerate(texts)}
    question = vectors[[place[each.form.text] for each in questions]]
    picture = photographs.embeddings[[each.row for each in questions]]
    scale = np.sqrt(picture.shape[1])
    return np.concatenate([picture, question, picture * question * scale], axis=1) * scale


def _by_head(
    config: VqaConfig, learnt: tuple[np.ndarray, list[Question]], questions: tuple[np.ndarray, list[Question]]
) -> np.ndarray:
    """(Q,) the likeliest of its choices, by a perceptron that has learnt `learnt`: features and questions."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    features, known = learnt
    rng = np.random.default_rng(config.seed)
    kept = np.sort(rng.permutation(len(known))[: config.learn or len(known)])
    words = [known[i].form.choices[known[i].answer] for i in kept]
    if len(set(words)) < 2:
        return np.array([max(0, _place(each, words[0])) for each in questions[1]])
    head = MLPClassifier((config.hidden,), max_iter=config.epochs, random_state=config.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is a setting
        head.fit(features[kept], words)
    column = {word: place for place, word in enumerate(head.classes_)}
    probability = head.predict_proba(questions[0])
    chosen = []
    for row, each in zip(probability, questions[1], strict=True):
        odds = [row[column[choice]] if choice in column else -1.0 for choice in each.form.choices]
        chosen.append(int(ties.first_largest(np.array(odds))))
    return np.array(chosen)


def _place(question: Question, word: str) -> int:
    return question.form.choices.index(word) if word in question.form.choices else -1
