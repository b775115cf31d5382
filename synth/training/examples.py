"""What a training step sees: the pictures of one or more folders of records, which comes when, and its noise.

Everything drawn for a picture is a function of (seed, its position in the run), so that one process, several, and a
resumed run see the same.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from synth.base.device import moved
from synth.base.order import permutation, randomness
from synth.data.images import Preprocessing
from synth.data.pictures import pixels
from synth.data.records import LABELS, read_table
from synth.data.tensors import as_floats
from synth.data.vocabulary import FLAGS
from synth.diffusion.schedulers import STEPS
from synth.model.labels import LabelEncoding
from synth.model.text_encoder import Captions

FEWEST = 5  # subjects behind a label or combination before a generator tells, or repeats, it


class Step(NamedTuple):
    """The input of one forward pass."""

    images: Tensor
    """(B, S, S, 3) uint8; what `on` gives, (B, 3, S, S) float in [-1, 1]."""
    codes: Tensor
    """(B, L) int64 label codes; or (B, L + D) float32 with the vectors of captions behind them."""
    noise: Tensor
    """(B, C, H, W) standard normal."""
    time: Tensor
    """(B,) int64 diffusion step."""

    def on(self, device: torch.device) -> "Step":
        """The same there, pictures as networks take them: they travel as bytes, and nobody waits for them."""
        pictures, *others = (moved(part, device) for part in self)
        return Step(as_floats(pictures), *others)

    def pinned(self) -> "Step":
        """The same where a GPU can fetch it by itself."""
        return Step(*(part.pin_memory() for part in self))


class Examples:
    """The pictures of split `train` of some folders, in an endless order in which nothing is dropped.

    Args:
        labels:   the vocabulary of the generator that is trained, which makes the codes.
        balance:  as `TrainConfig` has it; 0 shows pictures as they come.
        captions: of the same folders, embedded.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        preprocessing: Preprocessing,
        cache: Path,
        seed: int,
        balance: float,
        labels: LabelEncoding,
        captions: Captions | None = None,
    ) -> None:
        self._pictures = [pixels(folder, ["train"], preprocessing, cache) for folder in folders]
        self._ends = np.cumsum([len(p) for p in self._pictures])
        table = read_training(folders)
        self.codes, self.labels = labels.codes(table), labels
        self.captions = captions
        self._seed = seed
        self._shares = np.cumsum(repeats(table, balance)) if balance else None

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """(B, S, S, 3) uint8."""
        folders = np.searchsorted(self._ends, rows, side="right")
        starts = np.concatenate([[0], self._ends[:-1]])
        return np.stack([self._pictures[f][row - starts[f]] for f, row in zip(folders, rows, strict=True)])

    def visited(self, positions: np.ndarray) -> np.ndarray:
        """The rows that come at some positions of the order."""
        return np.array([self._epoch(p // len(self))[p % len(self)] for p in positions.tolist()])

    def _epoch(self, number: int) -> np.ndarray:
        order = permutation(len(self), self._seed, number)
        if self._shares is None:
            return order
        # Systematic sampling: every picture comes within one of as often as it should.
        places = (np.arange(len(self)) + randomness(self._seed, number).random()) / len(self)
        return np.searchsorted(self._shares, places * self._shares[-1], side="right")[order]

    def step(
        self, positions: np.ndarray, shape: tuple[int, int, int], flip: bool, label_dropout: float
    ) -> Step:
        """Pictures, labels, noise and time at some positions: half of the pictures mirrored with their eye side,
        some with every label forgotten.

        Args:
            shape: (C, H, W) of the noise.
        """
        chances = [randomness(self._seed, position) for position in positions.tolist()]
        return self.shown(self.visited(positions), chances, shape, flip, label_dropout)

    def shown(
        self,
        rows: np.ndarray,
        chances: Sequence[np.random.Generator],
        shape: tuple[int, int, int],
        flip: bool,
        label_dropout: float,
    ) -> Step:
        """The same of some rows, each with the randomness that is given for it."""
        pictures, codes = self[rows], self.codes[rows]
        noise = np.empty((len(rows), *shape), np.float32)
        time = np.empty(len(rows), np.int64)
        vectors = []
        for place, rng in enumerate(chances):
            if mirrored := rng.random() < 0.5 and flip:
                pictures[place] = pictures[place, :, ::-1].copy()
                codes[place] = self.labels.mirror(codes[place])
            if dropped := rng.random() < label_dropout:
                codes[place] = self.labels.unknown
            time[place] = rng.integers(STEPS)
            rng.standard_normal(dtype=np.float32, out=noise[place])
            if self.captions:
                # A caption tells the side of the eye, which a mirrored picture contradicts.
                vectors.append(self._caption(rows[place], rng, mirrored or dropped))
                if rng.random() < 0.5 and vectors[-1].any():  # a caption must also do alone
                    codes[place] = self.labels.unknown
        codes = np.concatenate([codes.astype(np.float32), vectors], axis=1) if vectors else codes
        return Step(*map(torch.from_numpy, (pictures, codes, noise, time)))

    def _caption(self, row: int, rng: np.random.Generator, none: bool) -> np.ndarray:
        """(D,) float32: the Chinese or the English caption of a picture, or none."""
        assert self.captions
        language = rng.integers(3)
        none |= bool(language == 2)
        return self.captions.vectors[-1 if none else self.captions.places[row, language]]


def read_training(folders: Sequence[Path]) -> pa.Table:
    """The training rows of some folders, subjects of different folders being different people; canary bits too."""
    tables = []
    for number, folder in enumerate(folders):
        table = read_table(folder, ["train"], ["subject_id", *LABELS, "canary"])
        subjects = pa.array([f"{number}/{subject}" for subject in table["subject_id"].to_pylist()])
        tables.append(table.set_column(0, "subject_id", subjects))
    return pa.concat_tables(tables)


def repeats(table: pa.Table, balance: float) -> np.ndarray:
    """(N,) how often each picture is seen, relative to one that shows nothing rare.

        r = max over its labels of max(1, sqrt(balance / f))        Gupta et al. 2019 (1908.03195), section 4

    f is the share of pictures that show a label.  Labels of fewer than 5 subjects are not repeated.
    """
    rows = table.to_pylist()
    shown = [_shown(row) for row in rows]
    pictures, subjects = Counter[str](), dict[str, set[str]]()
    for row, labels in zip(rows, shown, strict=True):
        pictures.update(labels)
        for label in labels:
            subjects.setdefault(label, set()).add(row["subject_id"])
    factor = {
        label: max(1.0, (balance * len(rows) / n) ** 0.5)
        for label, n in pictures.items()
        if len(subjects[label]) >= FEWEST
    }
    return np.array([max((factor.get(label, 1.0) for label in labels), default=1.0) for labels in shown])


def _shown(row: dict[str, Any]) -> list[str]:
    """What a picture shows: its grade of retinopathy, diseases and findings."""
    grade = [f"dr_grade={row['dr_grade']}"] if row["dr_grade"] else []
    return grade + [flag for flag in FLAGS if row[flag]] + list(row["findings"] or ())


def mix_of(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """The label combinations of the training split with their number of pictures, commonest first.

    A combination that fewer than 5 subjects share is left out: rare ones are what gets memorised.  Canary bits
    are left out too: what is released shows none.
    """
    subjects: dict[str, set[str]] = {}
    pictures: Counter[str] = Counter()
    for labels in read_training(folders).to_pylist():
        subject, _ = labels.pop("subject_id"), labels.pop("canary")
        key = json.dumps({k: v for k, v in labels.items() if v is not None}, sort_keys=True)
        subjects.setdefault(key, set()).add(subject)
        pictures[key] += 1
    kept = [(key, n) for key, n in pictures.most_common() if len(subjects[key]) >= FEWEST]
    return [{"weight": n, "labels": json.loads(key)} for key, n in kept]
