"""T8: an encoder that knows its training patients again is found out; one that knows everybody is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import rankdata

from privacy.attacks import linkage
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.decision import decide
from privacy.targets import open_target
from synth.data import images, records

PATIENTS, DIMENSIONS = 60, 16
CONFIG = AuditConfig(bootstrap=200, detection_rounds=50)


def group(folder: Path, each: int = 2) -> People:
    """Photographs of noise: nothing about them tells one patient, or one group, from another."""
    rng = np.random.default_rng(len(folder.name))
    rows = (
        records.row(
            id=f"{folder.name}-{patient:03d}-{n}",
            subject_id=f"{folder.name}-{patient:03d}",
            image={"bytes": images.encode(rng.normal(128, 40, (24, 24, 3)).clip(0, 255).astype(np.uint8)), "path": None},
        )
        for patient in range(PATIENTS)
        for n in range(each)
    )  # fmt: skip
    records.write_records(folder, rows, {"source": folder.name}, shares=(1, 0, 0))
    return People(folder, kept=folder.parent / "kept")


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> dict[str, People]:
    folder = tmp_path_factory.mktemp("arms")
    return {"members": group(folder / "members"), "nonmembers": group(folder / "nonmembers"),
            "synthetic": group(folder / "released", 1)}  # fmt: skip


def audited(
    place: Path, groups: dict[str, People], known: dict[str, float], copied: bool = False
) -> list[Any]:
    """What the attack says of embeddings in which `known` is how alike photographs of one patient of a group are."""
    rng = np.random.default_rng(7)
    ids, vectors = [], []
    for name, people in groups.items():
        person = rng.normal(size=(PATIENTS, DIMENSIONS))
        noise = rng.normal(size=(len(people.ids), DIMENSIONS))
        ids += people.ids.tolist()
        vectors += list(known.get(name, 0.0) * person[people.patient] + noise)
    if copied:  # the released pictures embed where members do
        vectors[-PATIENTS:] = [vectors[2 * n] + 0.1 * rng.normal(size=DIMENSIONS) for n in range(PATIENTS)]
    table = pa.table({"id": ids, "embedding": [vector.astype(np.float32).tolist() for vector in vectors]})
    pq.write_table(table, place / "e.parquet")
    inputs = Inputs(place / "kept", encoder=open_target(place / "e.parquet"), **groups)  # type: ignore[arg-type]
    return linkage.attack(inputs, CONFIG)


def words(results: list[Any]) -> list[str]:
    return [each.answer.word for each in decide(results)]


def test_an_encoder_that_knows_everybody_again_tells_nothing_of_members(groups, tmp_path):
    results = audited(tmp_path, groups, {"members": 1.5, "nonmembers": 1.5})
    assert verdict.FAIL not in words(results) and verdict.INVALID not in words(results)
    assert dict(results[0].also)["verification AUC of non-members"].low > 0.9


def test_an_encoder_that_knows_members_again_fails(groups, tmp_path):
    results = audited(tmp_path, groups, {"members": 2.0, "nonmembers": 0.7})
    assert words(results)[0] == verdict.FAIL and words(results)[1] != verdict.FAIL
    assert dict(results[0].compared)["pixels"].low < 0


def test_members_who_are_found_among_released_pictures_fail(groups, tmp_path):
    results = audited(tmp_path, groups, {}, copied=True)
    assert words(results)[0] != verdict.FAIL and words(results)[1] == verdict.FAIL


def test_without_released_pictures_one_link_is_not_testable(groups, tmp_path):
    del (given := dict(groups))["synthetic"]
    assert words(audited(tmp_path, given, {}))[1] == verdict.NOT_TESTABLE


def test_single_photographs_cannot_be_linked(tmp_path):
    given = {name: group(tmp_path / name, 1) for name in ("members", "nonmembers")}
    results = audited(tmp_path, given, {})
    assert words(results)[0] == verdict.INCONCLUSIVE and "have two photographs" in results[0].missing


def test_verification_is_the_auc_of_every_photograph():
    rng = np.random.default_rng(0)
    patient = np.repeat([0, 1, 2, 3], [2, 3, 1, 2])
    vectors = rng.normal(size=(8, 3)).round(1)
    found, first = linkage.verification(vectors, patient)
    assert np.isnan(found[2]) and np.isnan(first[2])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for number in (0, 1, 3):
        areas = []
        for row in np.flatnonzero(patient == number):
            left = np.delete(np.arange(8), row)
            ranks, own = rankdata(unit[left] @ unit[row]), patient[left] == number
            pairs = own.sum() * (~own).sum()
            areas.append((ranks[own].sum() - own.sum() * (own.sum() + 1) / 2) / pairs)
        assert found[number] == pytest.approx(np.mean(areas))
