"""Questions: built from labels or read from a table, answered by encoder and head, marked with intervals."""

import csv
import json
from pathlib import Path
from typing import Any

import languages
import numpy as np
import pyarrow as pa
import pytest
from pictures import drawn, rows
from sklearn.metrics import balanced_accuracy_score
from test_clip_evaluation import LEARN, MODEL, invoke, refusal

from clip import embed, loading, prompts
from clip.evaluation import answering, questions
from clip.evaluation.answering import VqaConfig
from clip.evaluation.core import Photographs
from clip.evaluation.questions import Question, QuestionForm
from clip.evaluation.vqa import Sheet
from clip.model.encoders import build
from clip.training.trainer import train
from synth.data import captions
from synth.data.images import encode
from synth.data.records import COLUMNS, write_records


def table(*records: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([dict.fromkeys(COLUMNS) | record for record in records])


# Questions


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_questions_are_asked_of_what_is_known_only(lang):
    found = questions.from_labels(
        table({"is_gc": 1, "eye_side": "left"}, {"dr_grade": 3, "findings": ["drusen"]}, {}), lang
    )
    about = {(each.row, each.form.kind, each.form.choices[each.answer]) for each in found}
    yes, no = ("是", "否") if lang == "zh" else ("yes", "no")
    assert {kind for row, kind, _ in about if row == 0} == {"disease", "side"}
    assert (0, "disease", yes) in about and (0, "side", "左眼" if lang == "zh" else "left eye") in about
    assert (1, "grade", "重度" if lang == "zh" else "severe") in about
    assert (1, "finding", yes) in about and (1, "finding", no) in about
    assert not [each for each in found if each.row == 2]


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_no_two_answers_to_a_question_are_put_in_the_same_words(lang):
    """What both say, such as "A fundus photograph.", would pull them together."""
    labels = {"dr_grade": 1, "is_gc": 0, "eye_side": "left", "modality": "oct", "findings": []}
    for each in questions.from_labels(table(labels), lang):
        said = [text for statements in each.form.statements for text in statements]
        assert len(said) == len(set(said))
        assert all(each.form.statements)


def test_the_encoder_answers_with_the_nearest_statement():
    """A double loop over questions and choices."""
    model, rng = build(MODEL, seed=1).eval(), np.random.default_rng(0)
    seen = rng.normal(size=(6, MODEL.embedding)).astype(np.float32)
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    labels = table(*({"is_gc": i % 2, "dr_grade": i % 5} for i in range(6)))
    asked = questions.from_labels(labels, "en")
    for each, chosen in zip(asked, answering.by_encoder(model, seen, asked), strict=True):
        means = [embed.texts(model, list(said)).mean(axis=0) for said in each.form.statements]
        nearest = [float(seen[each.row] @ (mean / np.linalg.norm(mean))) for mean in means]
        assert chosen == int(np.argmax(nearest))


def test_answers_are_compared_without_case_width_and_punctuation():
    assert questions.plain(" Diabetic  Retinopathy. ") == questions.plain("diabetic retinopathy")
    assert questions.plain("ＯＣＴ。") == "oct"
    assert questions.plain("no") != questions.plain("not")


# Marks


def asked(text: str, choices: tuple[str, ...]) -> QuestionForm:
    return QuestionForm(text, "disease", choices, tuple((choice,) for choice in choices))


def test_marks_are_those_of_sklearn():
    rng = np.random.default_rng(1)
    first, second = asked("a?", ("no", "yes")), asked("b?", ("no", "yes"))
    every = [Question(i, first, int(rng.integers(2))) for i in range(40)]
    every += [Question(i, second, int(rng.random() < 0.3)) for i in range(40)]
    said = rng.integers(0, 2, 80)
    truth = np.array([each.answer for each in every])
    found = {key: each(np.ones((1, 80)))[0] for key, each in Sheet(every, 5).statistics(said).items()}
    assert found["exact_match"] == pytest.approx((truth == said).mean())
    halves = [balanced_accuracy_score(truth[part], said[part]) for part in (slice(40), slice(40, 80))]
    assert found["question_aca"] == pytest.approx(np.mean(halves))


def test_the_commonest_answer_is_that_of_each_question():
    """Over all questions `no` is the commonest; to the second it is `yes`."""
    first, second = asked("a?", ("no", "yes")), asked("b?", ("no", "yes"))
    every = [Question(i, first, int(i < 10)) for i in range(100)]
    every += [Question(i, second, int(i >= 6)) for i in range(20)]
    blind = Sheet(every, 5).baselines()
    assert blind["majority"] == {"exact_match": pytest.approx(104 / 120), "question_aca": 0.5}
    assert blind["chance"] == {"exact_match": 0.5, "question_aca": 0.5}


def test_questions_that_are_put_once_each_share_the_commonest_answer_of_their_type():
    """Each would otherwise be answered right by looking at its own answer."""
    every = [Question(i, asked(f"{i}?", ("a", "b", "c")), (0, 0, 0, 1, 2)[i % 5]) for i in range(20)]
    assert Sheet(every, 5).baselines()["majority"] == {"exact_match": pytest.approx(0.6)}


# The whole way


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Discs that are wide in glaucoma, captions that say so, and a checkpoint that has learnt it."""
    folder, said = tmp_path_factory.mktemp("vqa"), []
    for i, made in enumerate(rows(200, side=32)):
        labels = dict(prompts.NORMAL) | {"is_gc": made["is_gc"]}
        told = {f"caption_{lang}": captions.write(labels, lang, i) for lang in ("zh", "en")}
        said.append(made | labels | told | {"modality": None})
    write_records(folder / "records", said, {"kind": "wide or normal"})
    train(LEARN, folder / "records", folder / "run")
    return folder


def test_a_trained_encoder_and_its_head_answer_what_the_picture_shows(trained, tmp_path):
    result = invoke("eval", "--model", trained / "run/ckpt.pt", "--data", trained / "records", "--split",
                    "validation,test", "--task", "vqa", "--set", "n_bootstrap=50", "--out", tmp_path, "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    made = {each["name"]: each for each in json.loads(result.stdout)["results"]}
    assert set(made) == {"vqa", "vqa-disease", "vqa-side"}  # a question that all answer alike is not put
    glaucoma = made["vqa-disease"]
    for lang in ("zh", "en"):
        for way in ("encoder", "head"):
            assert glaucoma["metrics"][f"{lang} {way}"]["question_aca"]["low"] > 0.8
    assert glaucoma["without_pictures"]["majority"]["question_aca"] == 0.5
    side = made["vqa-side"]["metrics"]["en encoder"]["exact_match"]
    assert side["low"] < 0.65  # nothing in these pictures tells the side
    assert "exact match" in (tmp_path / "report.html").read_text()
    languages.whole(tmp_path / "report.html", "no yes")
    only = invoke("eval", "--model", trained / "run/ckpt.pt", "--data", trained / "records", "--task", "vqa",
                  "--prompts", "side", "--set", "n_bootstrap=10", "--set", "head=false", "--out", tmp_path, "--json")  # fmt: skip
    assert [each["classes"].keys() for each in json.loads(only.stdout)["results"]] == [{"左眼", "右眼"}]
    assert "no question of type 'grade'" in refusal(
        "eval", "--model", trained / "run/ckpt.pt", "--data", trained / "records", "--task", "vqa",
        "--prompts", "grade", "--out", tmp_path,
    )  # fmt: skip


def test_a_head_never_learns_from_the_patient_whom_it_answers_for(monkeypatch, trained):
    """Out of fold, both eyes of a person together."""
    learnt: list[tuple[set[str], set[str]]] = []
    subjects = [f"p{i // 2}" for i in range(20)]
    seen = Photographs(
        np.eye(20, 32, dtype=np.float32), table(*({"subject_id": s, "is_gc": 0} for s in subjects))
    )
    every = [Question(i, asked("a?", ("no", "yes")), i % 2) for i in range(20)]

    def spy(_: VqaConfig, known: Any, put: Any) -> np.ndarray:
        learnt.append(({subjects[q.row] for q in known[1]}, {subjects[q.row] for q in put[1]}))
        return np.zeros(len(put[1]), int)

    monkeypatch.setattr(answering, "_by_head", spy)
    answering.answers(VqaConfig(), loading.load_model(trained / "run/ckpt.pt"), seen, every, None)
    assert len(learnt) == answering.FOLDS
    assert all(not known & put for known, put in learnt)
    assert set.union(*(put for _, put in learnt)) == set(subjects)


def test_a_table_of_questions_is_answered_in_its_own_layout(trained, tmp_path):
    """As we take OphthalVQA to be: pictures, and one line a question."""
    lines = []
    for i in range(24):
        wide = i % 2
        (tmp_path / "set/images").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"set/images/{i}.jpg").write_bytes(encode(drawn(900 + i, wide)))
        lines.append((f"images/{i}.jpg", "疑似青光眼吗？", "是" if wide else "否", "diagnosis", "是|否"))
        lines.append(
            (f"images/{i}.jpg", "What is shown?", "Glaucoma." if wide else "normal", "diagnosis", "")
        )
    with (tmp_path / "set/questions.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("impath", "question", "answer", "type", "choices"), *lines])
    arguments = ["eval", "--model", trained / "run/ckpt.pt", "--benchmark", "ophthalvqa", "--root", tmp_path / "set",
                 "--task", "vqa", "--set", "n_bootstrap=20", "--out", tmp_path / "out", "--json"]  # fmt: skip
    line = refusal(*arguments)
    assert "24 of 60 pictures" in line and "48 of 600 questions" in line and "figshare" in line
    result = invoke(*arguments, "--partial")
    assert result.exit_code == 0, result.output
    [made] = json.loads(result.stdout)["results"]
    assert made["n"] == made["patients"] == 24
    assert set(made["metrics"]) == {"zh encoder", "zh head", "en encoder", "en head"}
    assert made["without_pictures"]["majority"]["exact_match"] == 0.5
    assert made["metrics"]["en head"]["exact_match"]["low"] > 0.5  # learnt from the other pictures
