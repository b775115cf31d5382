"""Retrieval: equal to the full matrix, ties and repeated captions, pairs of one eye, chance."""

import json

import languages
import numpy as np
import pyarrow as pa
import pytest
from pictures import rows
from sklearn.metrics import roc_auc_score
from test_clip_evaluation import MODEL, invoke, refusal

from clip import embed, loading
from clip.evaluation import retrieval
from clip.evaluation.core import Photographs
from clip.evaluation.retrieval import KS, RetrievalConfig, ranked, search
from clip.model import checkpoints
from clip.model.encoders import build
from synth.base import checkpoint
from synth.data.records import COLUMNS, read_table, write_records

QUICK = RetrievalConfig(n_bootstrap=20, exchanges=99)


def unit(rng: np.random.Generator, count: int, width: int = 8) -> np.ndarray:
    vectors = rng.normal(size=(count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def naive(scores: np.ndarray, belongs: np.ndarray) -> np.ndarray:
    """Sort every row of the full matrix, look at its first k."""
    order = np.argsort(-scores, axis=1)
    sorted_ = np.take_along_axis(belongs, order, axis=1)
    return np.stack([sorted_[:, :k].any(axis=1) for k in KS], axis=1).astype(float)


def test_retrieval_equals_the_naive_full_matrix(monkeypatch):
    """In parts of 7 queries, where the whole matrix is sorted at once here."""
    monkeypatch.setattr(retrieval, "_CHUNK", 7)
    rng = np.random.default_rng(0)
    queries, candidates = unit(rng, 60), unit(rng, 40)
    belongs = rng.random((60, 40)) < 0.05
    belongs[np.arange(60), rng.integers(0, 40, 60)] = True
    found = search(queries, candidates, lambda part: belongs[part])
    scores = queries @ candidates.T
    assert found.hits == pytest.approx(naive(scores, belongs))
    areas = [roc_auc_score(right, row) for right, row in zip(belongs, scores, strict=True)]
    assert found.auc == pytest.approx(areas)


def test_chance_is_what_candidates_in_random_order_score():
    rng = np.random.default_rng(1)
    belongs = np.zeros((1, 30), bool)
    belongs[0, :4] = True
    found = ranked(np.zeros((1, 30)), belongs, ~belongs)
    drawn = np.mean(
        [naive(rng.permutation(30)[None].astype(float), belongs)[0] for _ in range(20_000)], axis=0
    )
    assert found.by_chance[0] == pytest.approx(drawn, abs=0.01)


def test_a_collapsed_encoder_scores_chance():
    """Sorting would give the first rows of the table to every query."""
    belongs = np.eye(50, dtype=bool)
    found = search(np.ones((50, 4)) / 2, np.ones((50, 4)) / 2, lambda part: belongs[part])
    assert found.hits == pytest.approx(found.by_chance)
    assert found.hits[0] == pytest.approx([k / 50 for k in KS])
    assert found.auc == pytest.approx(0.5)


def test_a_query_without_anything_that_belongs_to_it_is_not_judged():
    belongs = np.array([[True, False], [False, False]])
    found = ranked(np.array([[1.0, 0.0], [1.0, 0.0]]), belongs, ~belongs)
    assert np.isfinite(found.hits[0]).all() and np.isnan(found.hits[1]).all()


def table(*records: dict) -> pa.Table:
    return pa.Table.from_pylist([dict.fromkeys(COLUMNS) | record for record in records])


def eyes(people: int) -> list[dict]:
    """Both eyes of people, each with one photograph and one OCT; the left eye has a second photograph."""
    made = []
    for person in range(people):
        for side in ("left", "right"):
            kinds = ("cfp", "oct", "cfp") if side == "left" else ("cfp", "oct")
            made += [{"subject_id": f"p{person}", "eye_side": side, "modality": kind} for kind in kinds]
    return made


def test_pictures_of_one_eye_are_sought_across_modalities_eyes_and_pictures():
    """Each eye has a vector of its own: its OCT and its second photograph are found, its fellow is not."""
    people, rng = 12, np.random.default_rng(2)
    records = eyes(people)
    own = {(f"p{i}", side): unit(rng, 1, 16)[0] for i in range(people) for side in ("left", "right")}
    vectors = np.stack([own[each["subject_id"], each["eye_side"]] for each in records])
    found = {
        each.name: each.model_dump()
        for each in retrieval.paired(QUICK, Photographs(vectors, table(*records)))
    }
    assert set(found) == {
        "cfp-to-oct", "oct-to-cfp", "cfp-fellow-eye", "oct-fellow-eye", "cfp-same-eye"
    }  # fmt: skip
    assert found["cfp-to-oct"]["metrics"]["image"]["r1"] == {"value": 1, "low": 1, "high": 1}
    assert found["cfp-same-eye"]["metrics"]["image"]["r1"]["value"] == 1
    assert found["cfp-same-eye"]["n"] == 2 * people
    assert found["cfp-same-eye"]["left_out"] == {"without anything that belongs to them": people}
    assert found["cfp-to-oct"]["without_pictures"]["chance"]["r1"] == pytest.approx(1 / 24)
    assert found["oct-fellow-eye"]["metrics"]["image"]["r1"]["value"] < 0.5
    assert found["oct-fellow-eye"]["without_pictures"]["chance"]["r1"] == pytest.approx(1 / 23)


def test_people_who_stand_apart_are_not_taken_for_people_who_are_found():
    """Of some people both kinds were taken, and all these pictures lie together, whoever is on them."""
    rng, records = np.random.default_rng(4), eyes(10)
    alone = [{"subject_id": f"q{i}", "eye_side": "left", "modality": "oct"} for i in range(100)]
    vectors = np.concatenate([unit(rng, len(records)) + 3, unit(rng, len(alone)) - 3])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    seen = Photographs(vectors, table(*records, *alone))
    [found] = [each.model_dump() for each in retrieval.paired(QUICK, seen) if each.name == "cfp-to-oct"]
    assert found["without_pictures"]["chance"]["r1"] == pytest.approx(1 / 20)
    assert found["exchanged"]["low"] < found["exchanged"]["value"] < found["exchanged"]["high"]
    assert found["exchanged"]["people"] == 10


def test_exchanged_people_reach_what_is_found_as_often_as_p_says():
    """Without any likeness p is even; with some it is the least that so many exchanges can show."""
    records, rng = eyes(15), np.random.default_rng(5)
    unlike = [
        [each.model_dump()["exchanged"]["p"] for each in retrieval.paired(QUICK, Photographs(unit(rng, len(records)), table(*records)))]
        for _ in range(60)
    ]  # fmt: skip
    first = np.array(unlike)[:, 0]
    assert 0.35 < first.mean() < 0.65 and (first <= 0.05).mean() < 0.15
    own = {(f"p{i}", side): unit(rng, 1)[0] for i in range(15) for side in ("left", "right")}
    near = np.stack([own[each["subject_id"], each["eye_side"]] for each in records]) + 0.2 * unit(
        rng, len(records)
    )
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    [found] = [each.model_dump() for each in retrieval.paired(QUICK, Photographs(near, table(*records)))
               if each.name == "cfp-to-oct"]  # fmt: skip
    assert found["exchanged"]["p"] == 1 / 100


def test_an_eye_of_unknown_side_is_no_query_and_no_candidate():
    records = [each | {"eye_side": None} for each in eyes(6)]
    seen = Photographs(unit(np.random.default_rng(3), len(records)), table(*records))
    assert list(retrieval.paired(QUICK, seen)) == []


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A checkpoint that has learnt nothing, and records with few distinct captions."""
    folder = tmp_path_factory.mktemp("retrieval")
    model = build(MODEL, seed=0)
    checkpoint.save(folder / "ckpt.pt", checkpoints.header(model) | {"weights": model.state_dict()})
    write_records(folder / "records", rows(60, side=32), {"kind": "drawn"})
    return folder


def test_a_caption_that_many_photographs_have_is_found_by_any_of_them(untrained):
    """Against a double loop over photographs and captions."""
    model, records = loading.load_model(untrained / "ckpt.pt"), untrained / "records"
    seen = Photographs(embed.images(model, records), read_table(records))
    each = {"en": [[text] for text in seen.table["caption_en"].to_pylist()]}
    captioned = retrieval.captioned(QUICK.model_copy(update={"lang": "en"}), model, seen, each)
    to_text, to_image = (each.model_dump() for each in captioned)
    said = seen.table["caption_en"].to_pylist()
    distinct = sorted(set(said))
    assert len(distinct) < len(said)
    words = embed.texts(model, distinct)
    hits = {"to_text": [], "to_image": []}
    for i, caption in enumerate(said):
        nearest = np.argsort(-(words @ seen.embeddings[i]))[:5]
        hits["to_text"].append(caption in [distinct[k] for k in nearest])
        nearest = np.argsort(-(seen.embeddings @ words[distinct.index(caption)]))[:5]
        hits["to_image"].append(caption in [said[k] for k in nearest])
    assert to_text["metrics"]["en"]["r5"]["value"] == pytest.approx(np.mean(hits["to_text"]))
    assert to_image["metrics"]["en"]["r5"]["value"] == pytest.approx(np.mean(hits["to_image"]))
    assert to_text["without_pictures"]["chance"]["r1"] == pytest.approx(1 / len(distinct))


def test_clip_eval_reports_retrieval_with_intervals_and_chance(untrained, tmp_path):
    result = invoke("eval", "--model", untrained / "ckpt.pt", "--data", untrained / "records", "--split", "all",
                    "--task", "retrieval", "--set", "n_bootstrap=20", "--out", tmp_path, "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    made = {each["name"]: each for each in json.loads(result.stdout)["results"]}
    assert set(made) == {"image-to-text", "text-to-image", "cfp-fellow-eye"}
    assert set(made["image-to-text"]["metrics"]) == {"zh", "en"}
    assert made["cfp-fellow-eye"]["n"] == 60 and made["cfp-fellow-eye"]["patients"] == 30
    assert "R@10" in (tmp_path / "report.html").read_text()
    languages.whole(tmp_path / "report.html")
    assert "no retrieval called 'cfp-to-oct'" in refusal(
        "eval", "--model", untrained / "ckpt.pt", "--data", untrained / "records", "--split", "all",
        "--task", "retrieval", "--prompts", "cfp-to-oct", "--out", tmp_path,
    )  # fmt: skip
