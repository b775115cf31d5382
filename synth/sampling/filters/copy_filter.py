"""The copy filter: how near held-out photographs come to the training photographs, and samples that come nearer.

Held-out patients are those of the splits that the generator did not learn from.  What is kept beside the samples for
this are small pictures of patients: `synth.sampling.rejection.folder` says where, and it is never published.
"""

from collections.abc import Sequence
from math import floor
from pathlib import Path

import numpy as np
from torch import device

from synth.base import arrays, checksums
from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import progress
from synth.data.images import Preprocessing
from synth.data.pictures import Pictures, decoded
from synth.data.records import data_fingerprint, read_table
from synth.sampling.filters.copies import VERSION, Search, descriptor
from synth.sampling.filters.settings import CopyFilterSettings

RATE = 0.0075  # of held-out patients that may be taken for copies: some way below the 1 % that is tolerated
_FEWEST = 10  # patients without whom there is nothing to calibrate with
_ROWS = 500  # photographs in memory at a time
_COMPARED = ("cfp", None)
"""Modalities of photographs of the fundus.  Tomograms look alike and would loosen the threshold (docs/sampling.md)."""


def prepare(records: Sequence[Path], size: int, cache: Path, rate: float = RATE) -> CopyFilterSettings:
    """Describe the photographs of a generator's records and calibrate on its held-out patients; once per `cache`.

    Pictures of other modalities than colour photographs are left out; an unknown one counts as colour.

    Args:
        records: those of split `train` must not be copied; the patients of `validation` and `test` are held out.  Subjects of
                 different folders are different people.
        size:    pixels a side of the samples.
        rate:    share of held-out patients that may be taken for copies.

    Returns:
        What the plan keeps.

    Raises:
        UserError: no records, or too few held-out patients.
    """
    data = data_fingerprint(*records)
    key = fingerprint([VERSION, data, size, rate, _COMPARED])[:16]
    path = cache / f"guard-{key}.json"
    if not path.exists():
        references, subjects, other = described(records, ["train"], size)
        held_out, patient_ids, _ = described(records, ["validation", "test"], size)
        with progress("comparing held-out photographs", len(held_out)) as bar:
            search, near = Search(references, np.unique(subjects, return_inverse=True)[1]), []
            for i in range(0, len(held_out), _ROWS):
                near.append(search.closeness(held_out[i : i + _ROWS])[0])
                bar.update(len(near[-1]))
        threshold, flagged, patients = calibrate(
            np.concatenate(near), patient_ids, rate, ", ".join(map(str, records))
        )
        arrays.write(cache / f"guard-{key}.npy", references)
        values = {
            "descriptor": VERSION,
            "index": key,
            "records": data,
            "photographs": len(references),
            "other_modalities": other,
            "patients": len(np.unique(subjects)),
            "closeness": threshold,
            "held_out_patients": patients,
            "held_out_flagged": flagged,
            "false_alarms_expected": round((flagged + 1) / (patients + 1), 6),
        }
        checksums.write_json(
            path, {"subjects": np.unique(subjects, return_inverse=True)[1].tolist(), "said": values}
        )
    return CopyFilterSettings.parse(checksums.read_mapping(path, "said")["said"], str(path))


def described(records: Sequence[Path], splits: list[str], size: int) -> tuple[np.ndarray, np.ndarray, int]:
    """(N, D) descriptors of the photographs of some splits, as a generator of `size` pixels saw them; whose they are;
    how many pictures are no colour photographs, and left out."""
    prepare, found, patient_ids, others = Preprocessing(size=size), list[np.ndarray](), list[str](), 0
    for number, folder in enumerate(records):
        pictures, table = Pictures(folder, splits), read_table(folder, splits, ["subject_id", "modality"])
        kept = [i for i, kind in enumerate(table["modality"].to_pylist()) if kind in _COMPARED]
        others += len(pictures) - len(kept)
        patient_ids += [f"{number}/{subject}" for subject in table["subject_id"].take(kept).to_pylist()]
        with progress(f"describing {' and '.join(splits)}", len(kept)) as bar:
            for rows, squares in decoded(pictures, prepare, np.array(kept, int), _ROWS):
                found.append(descriptor(squares))
                bar.update(len(rows))
    if not found:
        raise UserError(
            f"{', '.join(map(str, records))}: no photographs of the fundus in {' or '.join(splits)}; the copy filter needs "
            "training photographs and held-out patients"
        )
    return np.concatenate(found), np.array(patient_ids), others


def calibrate(
    closeness: np.ndarray, patient_ids: np.ndarray, rate: float, where: str = "records"
) -> tuple[float, int, int]:
    """The closeness below which at most `rate` of held-out patients fall, how many of these do, and how many these are.

    A patient falls below with any photograph.  With k of n below, the chance that one more patient does is at most
    (k + 1) / (n + 1), whatever the distribution (Vovk et al. 2005, conformal prediction); k is the most that `rate`
    allows.  Fewer than 1 / `rate` patients cannot promise it: k is then 0.

    Args:
        closeness: (N,) of photographs.
        patient_ids: (N,) patients.

    Raises:
        UserError: fewer than ten patients.
    """
    people, place = np.unique(patient_ids, return_inverse=True)
    if len(people) < _FEWEST:
        raise UserError(
            f"{where}: {len(people)} held-out patients are too few to calibrate the copy filter, {_FEWEST} are needed; "
            "import with more of them, for example --split 7:1:2"
        )
    nearest = np.full(len(people), np.inf)
    np.minimum.at(nearest, place, closeness)
    below = max(floor(rate * (len(people) + 1)) - 1, 0)
    threshold = floor(float(np.sort(nearest)[below]) * 1e4) / 1e4  # the same number on every kind of machine
    return threshold, int((nearest < threshold).sum()), len(people)


class CopyFilter:
    """A copy filter as a plan describes it, opened from what `prepare` left in `cache`.

    Raises:
        UserError: it is not there.
    """

    def __init__(self, settings: CopyFilterSettings, cache: Path, place: device | None = None) -> None:
        path = cache / f"guard-{settings.index}.npy"
        if not path.exists():
            raise UserError(
                f"{path}: the copy filter's index is not there; repeat the whole 'synth generate'"
            )
        subjects = checksums.read_mapping(path.with_suffix(".json"), "subjects")["subjects"]
        self._search = Search(arrays.mapped_as_own(path), np.array(subjects), place)
        self._threshold, self._place = settings.closeness, place

    def copies(self, pictures: np.ndarray) -> np.ndarray:
        """(N,) bool: which of (N, S, S, 3) uint8 samples are copies."""
        near, _ = self._search.closeness(descriptor(pictures, self._place))
        return near < self._threshold
