"""The vocabulary of one checkpoint: which labels it is conditioned on, and the code of every value of each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synth.base.documents import read_mapping
from synth.base.errors import UserError
from synth.data import vocabulary
from synth.model.first_labels import FIRST

Conditions = Sequence[Sequence[Any]]
"""[[column, [value, ...]], ...]: what a checkpoint keeps.  A value's code is its place; the place after the last is
unknown.  Each value of the column `findings` is a label of its own, absent (0) or present (1)."""


class LabelEncoding:
    """Labels as codes, by the mapping that a checkpoint was trained with.

    Args:
        conditions: as a checkpoint keeps it; None is the mapping of the first generators.

    Raises:
        ValueError: the mapping is not of that form.
    """

    def __init__(self, conditions: Conditions | None = None) -> None:
        self._columns: list[tuple[str, list[Any]]] = [
            (str(column), list(values)) for column, values in conditions or FIRST
        ]
        self._findings = {
            value for column, values in self._columns if column == "findings" for value in values
        }
        self.sizes: dict[str, int] = {}
        """Label -> number of its known values, in the order of codes."""
        for column, values in self._columns:
            names = values if column == "findings" else [column]
            self.sizes |= dict.fromkeys(names, 2 if column == "findings" else len(values))
        labels = sum(len(values) if column == "findings" else 1 for column, values in self._columns)
        if len(self.sizes) != labels or not all(self.sizes.values()):
            raise ValueError("conditions: a label occurs twice, or has no values")
        self.unknown = np.array(list(self.sizes.values()))
        """(L,) int64: the code of unknown of each label; as a whole, the unconditional row."""

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def conditions(self) -> list[list[Any]] | None:
        """What a checkpoint keeps of it; None for the mapping of the first generators."""
        columns = [[column, list(values)] for column, values in self._columns]
        return None if columns == [[column, list(values)] for column, values in FIRST] else columns

    def claim(self) -> dict[str, Any]:
        """What the `config.json` of a run says of it; nothing for the mapping of the first generators."""
        return {"conditions": self.conditions} if self.conditions else {}

    def place(self, name: str) -> int:
        """Where a label stands in a row of codes."""
        return list(self.sizes).index(name)

    def rows(self) -> dict[tuple[str, Any], int]:
        """(label, value) -> its row in a table of embeddings; the value None is unknown."""
        pairs: list[tuple[str, Any]] = []
        for column, values in self._columns:
            for name in values if column == "findings" else [column]:
                known = (0, 1) if column == "findings" else values
                pairs += [*((name, value) for value in known), (name, None)]
        return {pair: row for row, pair in enumerate(pairs)}

    def code(self, labels: Mapping[str, Any]) -> np.ndarray:
        """(L,) int64 codes of one record's labels; missing, null or not a value of this mapping is unknown."""
        codes: list[int] = []
        for column, values in self._columns:
            value = labels.get(column)
            if column == "findings":
                codes += [2 if value is None else int(finding in value) for finding in values]
            else:
                codes.append(values.index(value) if value in values else len(values))
        return np.array(codes)

    def codes(self, table: pa.Table) -> np.ndarray:
        """(N, L) int64 codes of a table of records."""
        wanted = [column for column, _ in self._columns if column in table.column_names]
        return np.stack([self.code(labels) for labels in table.select(wanted).to_pylist()])

    def mirror(self, codes: np.ndarray) -> np.ndarray:
        """The codes of mirrored pictures: a mirrored right eye is a left eye.

        Args:
            codes: (..., L) int64.
        """
        mirrored = codes.copy()
        if "eye_side" in self.sizes:
            side = self.place("eye_side")
            known = codes[..., side] != self.unknown[side]
            mirrored[..., side] = np.where(known, 1 - codes[..., side], codes[..., side])
        return mirrored

    def missing(self, labels: Mapping[str, Any]) -> list[str]:
        """The labels, stated to be present, that this mapping has no code for."""
        stated = [name for name, value in labels.items() if value and name not in (*self.sizes, "findings")]
        return stated + [finding for finding in labels.get("findings") or () if finding not in self._findings]


def current() -> LabelEncoding:
    """The vocabulary as it stands: what a generator is given whose training begins now."""
    flags = (*vocabulary.FLAGS, *vocabulary.READABILITY_KEYS)
    return LabelEncoding(
        [
            ["dr_grade", range(len(vocabulary.DR_GRADES))],
            *([flag, (0, 1)] for flag in flags),
            ["eye_side", vocabulary.SIDE_KEYS],
            ["modality", vocabulary.MODALITY_KEYS],
            ["findings", vocabulary.FINDING_KEYS],
            ["canary", (0, 1)],
        ]
    )


def of_run(run: Path) -> LabelEncoding:
    """What a run was begun with, from its `config.json`; of a run that has not begun, the vocabulary as it stands."""
    path = run / "config.json"
    return LabelEncoding(read_mapping(path).get("conditions")) if path.exists() else current()


def of_generator(folder: Path) -> LabelEncoding:
    """What the generator in a folder is conditioned on; asked without torch.

    Raises:
        UserError: the folder is damaged.
    """
    path = folder / "conditioning" / "config.json"
    try:
        return LabelEncoding(read_mapping(path).get("conditions"))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({error}); copy or train the generator again") from None
