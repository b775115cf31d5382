"""Embeddings and features in parts: the same bytes by one process and by two, and a part that is there is not computed again."""

import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from privacy.data.inputs import Photographs
from synth.base import arrays
from synth.base.errors import UserError
from synth.quality import features
from synth.sampling.engines import rows
from synth.sampling.engines.rows import Launch, computed

COUNT, SIDE = 200, 32


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "pixels.npy"
    arrays.write(path, np.random.default_rng(0).integers(0, 255, (COUNT, SIDE, SIDE, 3), np.uint8))
    return path


def begin(pictures: Path):
    """Features of a network with random weights, which each process opens for itself."""
    return partial(features._begun, partial(features.parse, "random:test_resnet", SIDE), pictures)


@pytest.mark.slow
@pytest.mark.parametrize("launch", [Launch("local", 2), Launch("ray", 2)], ids=lambda launch: launch.engine)
def test_two_processes_compute_the_bytes_of_one(pictures, tmp_path, launch, monkeypatch):
    monkeypatch.setattr(rows, "PART", 64)
    if launch.engine == "ray":
        pytest.importorskip("ray")
    one, two = (
        computed(begin(pictures), COUNT, tmp_path / each.engine / str(each.workers), "features", each)
        for each in (Launch(workers=1), launch)
    )
    assert one.shape == (COUNT, one.shape[1]) and one.tobytes() == two.tobytes()


def test_parts_that_are_there_are_not_computed_again(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "PART", 64)
    asked: list[slice] = []

    class Killed(Exception):
        pass

    def begun(place: torch.device):
        def compute(part: slice) -> np.ndarray:
            asked.append(part)
            if len(asked) == 3:
                raise Killed
            return np.arange(part.start, part.stop)[:, None] * np.ones(3)

        return compute

    alone = Launch(workers=1)
    with pytest.raises(Killed):
        computed(begun, COUNT, tmp_path, "rows", alone)
    threads = torch.get_num_threads()
    found = computed(begun, COUNT, tmp_path, "rows", alone)
    assert np.array_equal(found[:, 0], np.arange(COUNT)) and found.dtype == np.float32
    assert [part.start for part in asked] == [0, 64, 128, 128, 192]  # two parts were finished before
    assert torch.get_num_threads() == threads


def test_few_photographs_are_one_part_of_this_process(tmp_path, monkeypatch):
    """Which computes as it did, with the threads that it has."""
    seen = []
    monkeypatch.setattr(rows, "engine_of", lambda name: lambda job: seen.append(job) or iter(()))
    with pytest.raises(UserError):  # nothing was computed
        computed(lambda place: lambda part: np.zeros((0, 1)), rows.PART, tmp_path, "rows")
    assert len(seen[0].shards) == 1 and seen[0].work.threads == torch.get_num_threads()


def test_photographs_of_a_group_travel_by_their_file(pictures):
    chosen = np.array([7, 3, 3])
    for mirrored in (False, True):
        group = Photographs(pictures, chosen, mirrored)
        group[slice(0, 2)]  # opened here
        sent = pickle.dumps(group)
        expected = arrays.read(pictures)[chosen][:, :, :: -1 if mirrored else 1]
        assert len(sent) < 2000 and np.array_equal(pickle.loads(sent)[slice(0, 3)], expected)
