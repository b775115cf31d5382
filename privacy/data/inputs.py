"""What an audit was given: groups of patients, the release, and where finished work is kept."""

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from privacy.data import attributes
from privacy.data.access import Access, reaches
from privacy.data.attributes import Cohort
from privacy.targets import Target
from privacy.targets.generator import Generator
from synth.base import arrays
from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.data import pictures, records
from synth.data.images import Preprocessing


class People:
    """The photographs of one group with what is known of them; rows are sorted by patient, then id."""

    def __init__(
        self, folder: Path, splits: Sequence[str] = records.SPLITS, kept: Path | None = None
    ) -> None:
        """`kept` is where decoded photographs are kept.

        Raises:
            UserError: no records, an id twice, or a row that belongs to nobody.
        """
        table = records.read_table(folder, splits)
        self.folder, self.splits, self._kept = folder, tuple(splits), kept or folder / ".cache"
        self.cohort: Cohort = attributes.cohort(
            table.select(["id", "subject_id", *attributes.ATTRIBUTES]).to_pydict(), str(folder)
        )
        self.table: pa.Table = table.take(self.cohort.order)
        """Every column but `image`, in the order of the cohort."""
        self.records = records.data_fingerprint(folder)
        """The fingerprint of the whole folder, as generators and checkpoints carry it."""
        self.fingerprint = fingerprint([self.records, list(splits)])

    @property
    def ids(self) -> np.ndarray:
        """(N,) str."""
        return self.cohort.ids

    @property
    def patient(self) -> np.ndarray:
        """(N,) int in [0, P), never falling."""
        return self.cohort.patient

    @property
    def subjects(self) -> np.ndarray:
        """(P,) str: who the patients are; never part of a report."""
        first = np.flatnonzero(np.diff(self.patient, prepend=-1))
        return np.asarray(self.table["subject_id"].to_pylist(), object)[first]

    def choice(self, max_count: int, seed: int) -> np.ndarray:
        """(p,) patients, rising: so many at random or all that there are; a smaller choice lies within a larger."""
        order = np.random.default_rng([seed, 11]).permutation(self.cohort.patients)
        return np.sort(order[:max_count])

    def some(self, patients: np.ndarray) -> Self:
        """The same group with these (p,) patients alone, which rise."""
        rows = np.isin(self.patient, patients)
        part = copy.copy(self)
        part.cohort = self.cohort._replace(
            ids=self.ids[rows],
            order=self.cohort.order[rows],
            patient=np.searchsorted(patients, self.patient[rows]),
            values={name: values[patients] for name, values in self.cohort.values.items()},
        )
        part.table = self.table.filter(pa.array(rows))
        part.fingerprint = fingerprint([self.fingerprint, patients.tolist()])
        return part

    def photographs(self, preprocessing: Preprocessing) -> np.ndarray:
        """(N, S, S, 3) uint8 as a model sees them."""
        return pictures.pixels(self.folder, self.splits, preprocessing, self._kept)[self.cohort.order]

    def stored(self, preprocessing: Preprocessing, mirrored: bool = False) -> "Photographs":
        """The same in their file, perhaps mirrored."""
        where = self.folder, self.splits, preprocessing, self._kept
        pictures.pixels(*where)
        return Photographs(pictures.pixels_file(*where), self.cohort.order, mirrored)

    def per_patient(self, values: np.ndarray) -> np.ndarray:
        """(P, ...) means over each patient's rows of (N, ...) values."""
        if len(values) != len(self.patient):
            raise UserError(f"{self.folder}: {len(values)} values for {len(self.patient)} photographs")
        starts = np.flatnonzero(np.diff(self.patient, prepend=-1))
        counts = np.bincount(self.patient).reshape(-1, *[1] * (values.ndim - 1))
        return np.add.reduceat(np.asarray(values, float), starts, axis=0) / counts


class Photographs:
    """Photographs in a file, in the order of a group; another process opens the file itself."""

    def __init__(self, path: Path, rows: np.ndarray, mirrored: bool) -> None:
        """`path`: an array of (M, S, S, 3) uint8; `rows`: (N,) of it."""
        self._path, self._rows, self._mirrored = path, rows, mirrored

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, part: slice) -> np.ndarray:
        """(B, S, S, 3) uint8."""
        found = self._pictures[self._rows[part]]
        return found[:, :, ::-1] if self._mirrored else found

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._path, self._rows, self._mirrored)

    @cached_property
    def _pictures(self) -> np.ndarray:
        return arrays.mapped(self._path)


class Inputs:
    """All that there is to audit, and with what; an attack that needs what is None cannot be tested."""

    WHAT: ClassVar = {
        "encoder": "--model ckpt.pt, a CLIP checkpoint or embeddings",
        "generator": "--generator FOLDER, a generator of 'synth train'",
        "synthetic": "--synthetic FOLDER, the released records",
        "members": "--members RECORDS, photographs of patients that were trained on",
        "nonmembers": "--nonmembers RECORDS, photographs of other patients of the same source",
        "attackers": "--attackers RECORDS, photographs of patients whose age, sex or race the attacker knows",
        "independent": "--independent FOLDER, a generator that was trained on other patients",
    }
    """Need -> what provides it."""

    def __init__(
        self,
        kept: Path,
        encoder: Target | None = None,
        generator: Generator | None = None,
        synthetic: People | None = None,
        members: People | None = None,
        nonmembers: People | None = None,
        attackers: People | None = None,
        independent: Generator | None = None,
        attributes: Sequence[str] = tuple(attributes.ATTRIBUTES),
        references: Sequence[Generator] = (),
        given: Access = "weights",
    ) -> None:
        """`kept` is where finished work waits for a repeated command; it is deleted with the last step.

        Args:
            independent: trained on other patients; `references` are more of these.
            attributes: what to infer of anyone, of `privacy.data.attributes.ATTRIBUTES`.
            given: what the attacker has, who is assumed.
        """
        self.kept = kept
        self.encoder, self.generator, self.synthetic = encoder, generator, synthetic
        self.members, self.nonmembers, self.attackers = members, nonmembers, attackers
        self.independent, self.attributes = independent, tuple(attributes)
        self.given: Access = given
        self.references = tuple(references) if independent is None else (independent, *references)

    def limited(self) -> Self:
        """The same without the models that the attacker who is assumed cannot ask; an encoder without its text tower."""
        part = copy.copy(self)
        if not reaches(self.given, "weights"):
            part.generator, part.independent, part.references = None, None, ()
        if not reaches(self.given, "embeddings"):
            part.encoder, part.attackers = None, None
        elif not reaches(self.given, "api") and part.encoder:
            part.encoder = copy.copy(part.encoder)
            part.encoder.reads_captions = False
        return part

    def missing(self, needs: Sequence[str]) -> str:
        """What to provide for an attack that has `needs`; empty where all is there."""
        return "; ".join(self.WHAT[need] for need in needs if getattr(self, need) is None)

    def embeddings(self, people: People, seed: int | None = None, *, mirrored: bool = False) -> np.ndarray:
        """(N, D) of the photographs of a group, as they are or mirrored, made once for all attacks.

        Args:
            seed: of the encoder's untrained control; None asks the encoder itself.
        """
        encoder = self.encoder
        assert encoder
        key = [encoder.metadata["sha256"], people.fingerprint, "embedding", seed]

        key += ["mirrored"] * mirrored

        def make() -> np.ndarray:
            photographs = people.stored(encoder.preprocessing, mirrored)
            return encoder.embed(photographs, people.ids, seed, self._path(key).with_suffix(".parts"))

        return self.once(key, make)

    def once(self, key: Sequence[Any], make: Callable[[], np.ndarray]) -> np.ndarray:
        """What `make` gives, made once however often the command is repeated; `key` names all that it depends on."""
        path = self._path(key)
        if not path.exists():
            arrays.write(path, make())
        return arrays.read(path)

    def _path(self, key: Sequence[Any]) -> Path:
        return self.kept / f"{fingerprint(list(key))[:16]}.npy"
