"""Question answering: an encoder chooses among the answers of a closed question, alone or through a trained head.

- encoder: each choice is put as statements; that one is answered patient_ids statements lie nearest to the photograph;
- head: a perceptron on the embeddings of photograph and question and their product, learnt from other patients.

Reported are exact match, the mean over questions of balanced accuracy, and each type of question for itself, beside
what the commonest answer to each question scores.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clip import loading
from clip.benchmarks import Baselines
from clip.evaluation import core, questions, report
from clip.evaluation.answering import VqaConfig, answers
from clip.evaluation.core import Photographs
from clip.evaluation.questions import Question
from clip.evaluation.results import EvaluationReport, Metric, VqaResult
from clip.inputs.photographs import table
from clip.inputs.sets import Data
from clip.model.encoders import CLIP
from clip.zoo import wording
from synth.base import stats
from synth.base.errors import UserError
from synth.base.stats import Statistic
from synth.data.phrases import Lang


def evaluate(
    config: VqaConfig, model: Path, data: Data, splits: Sequence[str], name: str | None, command: str
) -> EvaluationReport:
    """The report of a checkpoint's answers on records; with a `name`, of that type of question only.

    Raises:
        UserError: no records in these splits, or no question that both languages' photographs answer.
    """
    network, head = loading.load(model)
    config = config.model_copy(update={"lang": wording.narrowed(network, config.lang)})
    photographs = core.load(network, data, splits)
    asked = _asked(config, photographs, name)
    if not any(asked.values()):
        what = f"of type '{name}'" if name else "that can be judged"
        raise UserError(
            f"{data}: no question {what} in {', '.join(splits)}: each needs two answers that {config.min_count} photographs "
            "have; choose another --split, or --set min_count=N"
        )
    others = _others(config, network, data, splits, asked)
    answered: dict[Lang, dict[str, np.ndarray]] = {
        lang: answers(config, network, photographs, each, others.get(lang))
        for lang, each in asked.items()
        if each
    }
    provenance = core.provenance(data, splits, len(photographs.table))
    kinds: list[str] = sorted({each.form.kind for every in asked.values() for each in every})
    parts = [None, *kinds] if len(kinds) > 1 else kinds
    results = [_result(config, photographs, asked, answered, kind) for kind in parts]
    return report.compose(config, model, head, provenance, results, command)


def _asked(config: VqaConfig, photographs: Photographs, name: str | None) -> dict[Lang, list[Question]]:
    """The questions of each language; of those built from labels, only what is answered in two ways often enough."""
    languages: tuple[Lang, ...] = ("zh", "en") if config.lang == "both" else (config.lang,)
    if config.questions is not None:
        told = questions.from_table(config.questions, photographs.table)
        found: dict[Lang, list[Question]] = {lang: told.get(lang, []) for lang in languages}
    else:
        found = {
            lang: _varied(questions.from_labels(photographs.table, lang), config.min_count)
            for lang in languages
        }
    return {lang: [each for each in found[lang] if name in (None, each.form.kind)] for lang in languages}


def _varied(every: list[Question], min_count: int) -> list[Question]:
    counts: dict[str, Counter[int]] = {}
    for each in every:
        counts.setdefault(each.form.text, Counter())[each.answer] += 1
    kept = {text for text, count in counts.items() if sum(size >= min_count for size in count.values()) >= 2}
    return [each for each in every if each.form.text in kept]


def _others(
    config: VqaConfig, model: CLIP, data: Data, splits: Sequence[str], asked: dict[Lang, list[Question]]
) -> dict[Lang, tuple[Photographs, list[Question]]]:
    """Photographs and questions of the train split, for the head; none where that split is judged, or empty."""
    if not config.head or config.questions is not None or "train" in splits:
        return {}
    if not len(table(data, ["train"], ["id"])):
        return {}
    train = core.load(model, data, ["train"])
    found = {}
    for lang, every in asked.items():
        texts = {each.form.text for each in every}
        learnt = [each for each in questions.from_labels(train.table, lang) if each.form.text in texts]
        if learnt:
            found[lang] = (train, learnt)
    return found


def _result(
    config: VqaConfig,
    photographs: Photographs,
    asked: dict[Lang, list[Question]],
    answered: dict[Lang, dict[str, np.ndarray]],
    kind: str | None,
) -> VqaResult:
    """All questions, or those of one type: a row for each language and way of answering."""
    subjects = np.array(photographs.table["subject_id"].to_pylist())
    measured, baselines, rows, classes = {}, {}, set(), Counter()
    for lang, chosen in answered.items():
        places = [i for i, each in enumerate(asked[lang]) if kind in (None, each.form.kind)]
        every = [asked[lang][i] for i in places]
        if not every:
            continue
        sheet = Sheet(every, config.min_count)
        people, patient_ids = np.unique(subjects[[each.row for each in every]], return_inverse=True)
        drawn = stats.draws(len(people), config.n_bootstrap, config.seed)
        for way, numbers in chosen.items():
            values = sheet.statistics(numbers[places])
            samples = {key: stats.over(drawn, patient_ids, one) for key, one in values.items()}
            measured[f"{lang} {way}"] = {
                key: Metric.of(stats.estimate(one, len(people)), one) for key, one in samples.items()
            }
        baselines[lang] = sheet.baselines()
        rows |= {each.row for each in every}
        told = (each.form.kind if kind is None else each.form.choices[each.answer] for each in every)
        classes = classes or Counter(told)
    return VqaResult(
        task="vqa",
        name=f"vqa-{kind}" if kind else "vqa",
        title=f"questions of type {kind}" if kind else "questions of all types",
        source=str(config.questions or "questions built from the labels of the records"),
        n=len(rows),
        patients=len(set(subjects[sorted(rows)])),
        classes=dict(classes.most_common()),
        left_out={},
        notes=[f"{sum(classes.values())} questions in each language."],
        metrics=measured,
        without_pictures=_by_language(baselines),
    )


def _by_language(baselines: dict[Lang, Baselines]) -> Baselines:
    """Rows of all languages; of one, where all are the same."""
    same = len({str(each) for each in baselines.values()}) == 1
    return {
        row if same else f"{row}, {lang}": values
        for lang, each in (list(baselines.items())[:1] if same else baselines.items())
        for row, values in each.items()
    }


class Sheet:
    """The questions of one language with their answers, to be marked."""

    def __init__(self, every: list[Question], min_count: int) -> None:
        """`min_count`: photographs that each of two answers needs before a question counts for `question_aca`."""
        self._every = every
        words = [each.form.choices[each.answer] for each in every]
        self._truth = np.array([each.answer for each in every])
        texts = np.array([each.form.text for each in every])
        kinds = np.array([each.form.kind for each in every])
        self._options = np.array([len(each.form.choices) for each in every])
        self._groups = []
        commonest = {
            kind: Counter(w for w, k in zip(words, kinds, strict=True) if k == kind) for kind in set(kinds)
        }
        self._majority = np.zeros(len(every), bool)
        for text in np.unique(texts):
            places = np.flatnonzero(texts == text)
            counts = Counter(words[i] for i in places)
            if sum(size >= min_count for size in counts.values()) >= 2:
                self._groups.append(places)
            usual = (counts if len(places) >= min_count else commonest[kinds[places[0]]]).most_common(1)[0][0]
            self._majority[places] = [words[i] == usual for i in places]

    def statistics(self, answers: np.ndarray) -> dict[str, Statistic]:
        """Exact match, and the mean over questions of balanced accuracy, of (Q,) answers; functions of weights."""
        right = (answers == self._truth).astype(float)
        found: dict[str, Statistic] = {"exact_match": lambda weights: weights @ right / weights.sum(axis=1)}

        def question_aca(weights: np.ndarray) -> np.ndarray:
            each = [stats.balanced_accuracy(answers[g], self._truth[g], weights[:, g]) for g in self._groups]
            known = np.isfinite(each)
            total = np.where(known, each, 0).sum(axis=0)
            return np.divide(
                total, known.sum(axis=0), out=np.full(len(weights), np.nan), where=known.any(axis=0)
            )

        return found | ({"question_aca": question_aca} if self._groups else {})

    def baselines(self) -> dict[str, dict[str, float]]:
        """What the commonest answer to each question scores, or to each type where a question is put too rarely; and chance."""
        found = {
            "majority": {"exact_match": float(self._majority.mean())},
            "chance": {"exact_match": float((1 / self._options).mean())},
        }
        if self._groups:
            answers = [len(set(self._truth[g])) for g in self._groups]
            found["majority"]["question_aca"] = float(np.mean([1 / each for each in answers]))
            found["chance"]["question_aca"] = float(np.mean([1 / self._options[g[0]] for g in self._groups]))
        return found
