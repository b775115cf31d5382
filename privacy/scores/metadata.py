"""What records and files say of a photograph without a look at its pixels: numbers for attackers who need no model."""

import hashlib
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from privacy.data.inputs import Inputs, People
from privacy.statistics import components
from synth.base.errors import UserError
from synth.base.runs import progress
from synth.data import formats
from synth.data.pictures import Pictures
from synth.data.vocabulary import FLAGS

DIAGNOSES = ("dr_grade", *FLAGS, "findings")
"""Columns that state a disease or its signs."""
_SAVED = ("channels", "luminance table", "chrominance table")
_SIZES = ("bytes", "width", "height", "format", *_SAVED)
_FORMAT = 1 + _SIZES.index("format")
PROVENANCE = ("source",)
"""Columns that are neither a label, nor an attribute, nor a name: where a photograph comes from."""


def files(inputs: Inputs, people: People) -> np.ndarray:
    """(N, 8) uint64 of each encoded picture: the head of its sha256, bytes, width, height, and how it was saved.

    The last are the format (as a hash), channels, and the sums of JPEG's tables of luminance and of chrominance; 0 where there
    are none.
    """

    def make() -> np.ndarray:
        encoded = Pictures(people.folder, people.splits)
        found = np.zeros((len(encoded), 8), np.uint64)
        with progress("reading files", len(encoded)) as bar:
            for place, row in enumerate(people.cohort.order):
                data = encoded[int(row)]
                head = int.from_bytes(hashlib.sha256(data).digest()[:8], "big")
                found[place] = head, len(data), *_header(data, encoded.where(int(row)))
                bar.update()
        return found

    return inputs.once([people.fingerprint, "files and how they were saved"], make)


def duplicates(people: People, read: np.ndarray) -> float:
    """Share of patients one of whose pictures, byte for byte, is also filed under another patient; of `files`."""
    patients_of: dict[int, set[int]] = {}
    for each, patient in zip(read[:, 0].tolist(), people.patient.tolist(), strict=True):
        patients_of.setdefault(each, set()).add(patient)
    shared = Counter(
        patient for patients in patients_of.values() if len(patients) > 1 for patient in patients
    )
    return len(shared) / people.cohort.patients


def of_files(people: People, read: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> (N,): photographs of the same patient, the logarithms of bytes, width and height, and how files were saved."""
    found = {"photographs": np.bincount(people.patient)[people.patient].astype(float)}
    sizes = {name: read[:, place].astype(float) for place, name in enumerate(_SIZES, 1) if place != _FORMAT}
    for kind in np.unique(read[:, _FORMAT]).tolist():
        found[f"format {kind}"] = (read[:, _FORMAT] == kind).astype(float)
    return found | {
        name: np.log1p(values) if name in _SAVED else np.log(values) for name, values in sizes.items()
    }


def of_records(people: People, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Name -> (N,): years as a number; every other word, and that nothing is stated, as 0 or 1."""
    found: dict[str, np.ndarray] = {}
    for column in columns:
        for place, value in enumerate(people.table[column].to_pylist()):
            years = column == "age" and value is not None
            words = [] if years else value if isinstance(value, list) else [value]
            if years:
                found.setdefault("age", np.zeros(len(people.ids)))[place] = value
            for word in words:
                found.setdefault(f"{column}={word}", np.zeros(len(people.ids)))[place] = 1
    return found


def features(stated: Mapping[str, np.ndarray], people: People) -> np.ndarray | None:
    """(N, k) of (N,) numbers, as a probe takes them; None where they are the same of every photograph."""
    values = np.stack(list(stated.values()), axis=1)
    return components.reduce(values, people.patient) if np.ptp(values, axis=0).any() else None


def _header(data: bytes, where: str) -> tuple[int, ...]:
    """What follows the bytes in a row of `files`."""
    try:
        with formats.opened(data) as image:  # reads no more than the head
            tables = getattr(image, "quantization", None) or {}
            sums = [sum(tables.get(place, ())) for place in (0, 1)]
            return *image.size, zlib.crc32((image.format or "").encode()), len(image.getbands()), *sums
    except formats.ERRORS:
        raise UserError(f"{where}: not a picture; replace or remove it") from None
