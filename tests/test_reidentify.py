"""The benchmark of re-identification: what it counts, at rates of false matches that are those of other patients."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import releases

from privacy.targets import registered
from synth.data import images, records

SPEC = importlib.util.spec_from_file_location(
    "reidentify", Path(__file__).parent.parent / "benchmarks" / "reidentify.py"
)
assert SPEC and SPEC.loader
benchmark = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(benchmark)
PATIENTS, VISITS = 40, 3


@pytest.fixture
def visits():
    patient = np.repeat(np.arange(PATIENTS), VISITS)
    camera = np.tile(["A", "A", "B"], PATIENTS)
    return benchmark.Visits(
        np.zeros((len(patient), 2, 2, 3)), patient, patient, np.tile([1.0, 2, 3], PATIENTS), camera
    )


def test_pairs_are_of_one_eye_and_later_is_looked_up_among_earlier(visits):
    pairs = benchmark.genuine(visits)
    assert (
        len(pairs.later) == PATIENTS * 3 and (visits.visit[pairs.later] > visits.visit[pairs.earlier]).all()
    )
    assert (visits.eye[pairs.later] == visits.eye[pairs.earlier]).all()
    counts = {name: int(chosen.sum()) for name, chosen in benchmark.kinds(visits, pairs).items()}
    assert counts == {"all": 120, "one camera": 40, "two cameras": 80, "A to A": 40, "A to B": 80}


def test_a_score_that_knows_nothing_finds_as_many_as_it_takes_falsely(visits):
    score = np.random.default_rng(0).random((PATIENTS * VISITS, PATIENTS * VISITS))
    found = benchmark.sensitivity(score, visits, 50, 0)["all"]
    assert found["0.01"]["value"] < 0.05 and found["0.01"]["patients"] == PATIENTS
    same = visits.patient[:, None] == visits.patient
    assert benchmark.sensitivity(score - 2 * same, visits, 50, 0)["all"]["0.001"]["value"] == 1


def test_what_one_camera_hides_is_told_apart(visits):
    score = np.random.default_rng(0).random((PATIENTS * VISITS, PATIENTS * VISITS))
    easy = (visits.patient[:, None] == visits.patient) & (visits.camera[:, None] == visits.camera)
    found = benchmark.sensitivity(score - 2 * easy, visits, 50, 0)
    assert found["one camera"]["0.001"]["value"] == 1 > 0.1 > found["two cameras"]["0.001"]["value"]


def test_a_shift_by_an_eighth_is_undone_by_alignment_and_not_by_the_views_of_the_audit():
    eyes = releases.eyes(30, 2)
    known, moved = registered.descriptors(eyes), registered.descriptors(np.roll(eyes, 8, axis=2))
    wide = benchmark.aligned(moved, known)
    assert (wide.argmin(axis=1) == np.arange(30)).mean() > 0.9
    assert np.diag(wide).mean() < 0.8 * np.diag(benchmark.plain(moved, known)).mean()


def test_records_are_read_with_visits_eyes_and_cameras(tmp_path):
    rows = [
        records.row(id=f"{p}{v}", subject_id=f"p{p}", eye_side="left", visit=str(v), camera="A",
                    image={"bytes": images.encode(each), "path": None})
        for p in range(3) for v, each in enumerate(releases.eyes(2, p), 1)
    ]  # fmt: skip
    rows.append(records.row(id="x", subject_id="q", image=rows[0]["image"]))
    records.write_records(tmp_path, rows, {"kind": "test"}, (1, 0, 0))
    visits = benchmark.read(tmp_path, ["train"])
    assert visits.visit.tolist() == [1, 2] * 3 and visits.images.shape == (6, 64, 64, 3)
    assert len(benchmark.genuine(visits).later) == 3


def test_released_copies_of_members_pass_for_their_eyes_and_new_eyes_for_nobodys():
    eyes, patient = releases.eyes(60, 3), np.repeat(np.arange(30), 2)
    sides = (eyes[:30], patient[:30]), (eyes[30:], patient[30:])
    copied = benchmark.released(eyes[:30], *sides, 50, 0)["0.01"]
    assert copied["members reached by one"]["value"] == 1 and copied["difference"]["low"] > 0
    new = benchmark.released(releases.eyes(40, 9), *sides, 50, 0)["0.01"]
    assert new["difference"]["low"] <= 0 <= new["difference"]["high"] and new["members"]["patients"] == 15
