"""The photographs of some splits of what `inputs.opened` takes, each once, whatever form it has and however many captions."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from clip import inputs
from clip.inputs.listing import COLUMNS, EMPTY_CELLS, Encoded
from clip.inputs.mixture import Part, Several
from clip.inputs.sets import Data
from clip.zoo.preprocessing import ForeignPreprocessing
from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.words import number_of
from synth.data import records
from synth.data.images import Preprocessing
from synth.data.pictures import Pictures, decoded, mapped


def table(
    data: Data, splits: Sequence[str] = records.SPLITS, columns: Sequence[str] | None = None
) -> pa.Table:
    """A row for each photograph; without `columns`, every column of records but `image`, null where nothing is told."""
    wanted = list(columns or (name for name in records.COLUMNS if name != "image"))
    schema = pa.schema([records.SCHEMA.field(name) for name in wanted])
    parts = [_rows(source, split, schema) for split in splits for source in _sources(data)]
    return pa.concat_tables(parts) if parts else schema.empty_table()


def pictures(data: Data, splits: Sequence[str] = records.SPLITS) -> Encoded:
    """The photographs, encoded, in the row order of `table`."""
    sources = _sources(data)
    if len(sources) == 1 and isinstance(sources[0], inputs.Records):
        return Pictures(sources[0].folder, splits)
    parts = [
        source.pictures(split)
        if isinstance(source, inputs.Records)
        else Part(source.pictures(split), _first(source, split))
        for split in splits
        for source in sources
    ]
    return Several(parts)


def _sources(data: Data) -> Sequence[inputs.Input]:
    """The sets one by one: an id names a photograph within its own."""
    source = inputs.opened(data)
    return source.sources if isinstance(source, inputs.Mixture) else [source]


def _rows(source: inputs.Input, split: str, schema: pa.Schema) -> pa.Table:
    if isinstance(source, inputs.Records):
        return records.read_table(source.folder, [split], schema.names)
    told = [name for name in schema.names if name in COLUMNS]
    found = source.table(split, told).take(pa.array(_first(source, split)))
    absent = {
        name: pa.nulls(len(found), schema.field(name).type) for name in schema.names if name not in told
    }
    return pa.table(
        {name: absent[name] if name in absent else found[name] for name in schema.names}, schema=schema
    )


def pixels(
    data: Data,
    splits: Sequence[str],
    preprocessing: Preprocessing | ForeignPreprocessing,
    cache: Path,
) -> np.ndarray:
    """(N, S, S, 3) uint8, read-only, in the row order of `table`; decoded once and kept in `cache`, mapped into memory.

    Raises:
        UserError: no photographs in these splits, or a damaged one.
    """
    found = pictures(data, splits)
    if not len(found):
        raise UserError(f"{data}: no photographs in {' or '.join(splits)}")
    key = fingerprint([inputs.opened(data).fingerprint, list(splits), preprocessing.model_dump()])[:16]
    made = decoded(found, preprocessing)
    return mapped(cache / f"pixels-{key}.npy", len(found), preprocessing.size, made)


def captions(data: Data, splits: Sequence[str], column: str) -> list[list[str]]:
    """The different captions of each photograph in one column, in the row order of `table`; white space alone is none."""
    found: list[list[str]] = []
    for split in splits:
        for source in _sources(data):
            said = source.table(split, ["id", column])
            texts = [text if text and text.strip() else None for text in said[column].to_pylist()]
            if isinstance(source, inputs.Records):
                found += [[text] if text else [] for text in texts]
                continue
            each: dict[str, dict[str, None]] = {}
            for key, text in zip(said["id"].to_pylist(), texts, strict=True):
                each.setdefault(key, {}).update({text: None} if text else {})
            found += [list(known) for known in each.values()]
    if empty := [text for known in found for text in known if text.strip().lower() in EMPTY_CELLS]:
        logging.getLogger("clip").warning(
            f"{data}: {number_of(len(empty), 'caption', 'is')} '{empty[0]}', as a table writes an empty cell, and taken as captions; empty them"
        )
    return found


def _first(source: inputs.Input, split: str) -> np.ndarray:
    """The first row of each photograph of a split; later ones are more captions of it."""
    rows: dict[str, int] = {}
    for row, key in enumerate(source.table(split, ["id"])["id"].to_pylist()):
        rows.setdefault(key, row)
    return np.array(list(rows.values()), np.int64)
