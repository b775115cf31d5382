"""Processes that decode ahead of time: the same pictures in the same order, and one line where one of them dies."""

import os
import signal

import numpy as np
import pytest
from pictures import folder

from synth.base import processes
from synth.base.errors import UserError
from synth.data.images import Preprocessing
from synth.data.pictures import Decoder, Pictures, decoded


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_are_decoded_as_they_are_asked_for(tmp_path, workers):
    pictures, small = Pictures(folder(tmp_path / "records", 30)), Preprocessing(size=16)
    rows = np.random.default_rng(0).permutation(len(pictures))
    portions = list(decoded(pictures, small, rows, portion=7, workers=workers))
    assert [len(places) for places, _ in portions][:-1] == [7] * (len(portions) - 1)
    assert np.array_equal(np.concatenate([places for places, _ in portions]), rows)
    whole = Decoder(pictures, small)[rows]
    assert np.array_equal(np.concatenate([squares for _, squares in portions]), whole)


def dies(span: range) -> int:
    if span.start == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return span.start


def test_a_process_that_is_killed_is_one_line():
    with pytest.raises(
        UserError, match=r"^a process that works ahead was killed \(out of memory\?\); repeat"
    ):
        list(processes.in_turn(dies, (range(at, at + 1) for at in range(8)), 2))


def test_few_pictures_start_no_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert [processes.worth(spans) for spans in (0, 3, 4, 12, 1000)] == [0, 0, 1, 3, 7]
