"""Parquet with the pictures in it, as Hugging Face data sets and img2dataset have it: one row a picture.

The picture is a column `image`, or the only one of bytes or of the struct {bytes, path}.  Its captions are `caption_zh` and
`caption_en`, else `caption`, `text` or `title`, which may be a list, else the name of its class: `label` with the names that
the file's own metadata give.  Any other column of records is read, `subject_id` (or `patient_id`) and `split` above all; other
columns are not.  Files or folders named after a split are that split.
"""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clip.inputs import kinds, metadata
from clip.inputs.listing import COLUMNS, Listing, caption, identified, split_of_path, unreadable
from synth.base import archives
from synth.base.errors import UserError
from synth.data.shards import stamp

_SUFFIXES = (".parquet", ".parq", ".pq")
_CAPTIONS = ("caption", "text", "title")
_OTHERS = ("patient_id", "split", "status")


class Cells:
    """Pictures that are cells of parquet files; a group of rows is read at a time."""

    def __init__(self, paths: Sequence[Path], columns: Sequence[str], places: np.ndarray) -> None:
        """`columns`: of the pictures of each path; `places`: (N, 4) int64, file, group, row in it and row in the file."""
        self._paths, self._columns, self._places = paths, columns, places
        self._stamps = [stamp(path) for path in paths]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> bytes:
        path, group, row, _ = map(int, self._places[index])
        return _cells(self._paths[path], self._columns[path], group, self._stamps[path])[row].as_py()

    def where(self, index: int) -> str:
        return f"{self._paths[self._places[index, 0]]} row {self._places[index, 3]}"


def holds(data: Path) -> bool:
    """Whether this is a parquet file, or a folder with some in it that hold pictures."""
    if data.is_file():
        return kinds.kind(data) == "parquet" or data.name.endswith(_SUFFIXES)
    return any(_picture_columns(_opened(path).schema_arrow) for path in kinds.files(data, *_SUFFIXES))


def read(data: Path) -> Listing:
    """Every row of every file that has a picture; what img2dataset could not fetch is left out and noted.

    Raises:
        UserError: a file is damaged or tells which column is the picture by nothing, a row has none, or a label is outside the
            vocabulary.
    """
    paths = kinds.files(data, *_SUFFIXES)
    columns = [_picture_column(path) for path in paths]
    rows: list[dict[str, Any]] = []
    places: list[tuple[int, int, int, int]] = []
    names: list[str] = []
    files: list[str] = []
    sizes: list[int] = []
    failed = 0
    for file, (path, column) in enumerate(zip(paths, columns, strict=True)):
        name = path.stem if data.is_file() else path.relative_to(data).with_suffix("").as_posix()
        split = split_of_path(data, path)
        told = _told(path)
        for row, (group, place, size) in enumerate(_sizes(path, column)):
            where = f"{path} row {row}"
            if (content := next(told, None)) is None:
                raise UserError(f"{where}: damaged, only {column} goes on that far; copy the file again")
            if content.get("status", "success") not in ("success", None):
                failed += 1
                continue
            if size is None:
                raise UserError(f"{where}: {column} holds no bytes; embed the picture, or take the row out")
            for texts in _captions(content, where):
                rows.append(split | texts | metadata.columns(content, where))
                names.append(f"{name}/{row}")
                files.append(name)
                places.append((file, group, place, row))
                sizes.append(size)
    if not rows:
        raise UserError(f"{data}: no row with a picture in it")
    pictures = Cells(paths, columns, np.array(places, np.int64))
    notes = (f"{data}: {failed:,} failed downloads of img2dataset are left out",) if failed else ()
    where = [pictures.where(i) for i in range(len(rows))]
    return Listing(identified(rows, names, files, where), pictures, np.array(sizes), where, notes)


def _captions(content: dict[str, Any], where: str) -> list[dict[str, str]]:
    """The captions of a picture, one for each row that it becomes; one that is empty where it has none."""
    name = next((name for name in _CAPTIONS if content.get(name)), "label")
    found = content.get(name)
    texts = [text for text in (found if isinstance(found, list) else [found]) if text is not None]
    if not all(isinstance(text, str) for text in texts):
        raise UserError(f"{where}: {name} is no text, and no list of texts; write it as one")
    return [caption(text.strip()) for text in texts if text.strip()] or [{}]


def _told(path: Path) -> Iterator[dict[str, Any]]:
    """The columns of every row that can tell something; `label` as the names of its classes."""
    file = _opened(path)
    schema = file.schema_arrow
    texts = [name for name in (*COLUMNS, *_OTHERS, *_CAPTIONS) if name in schema.names]
    has_texts = any(name in texts for name in ("caption_zh", "caption_en", *_CAPTIONS))
    label = "label" if "label" in schema.names and not has_texts else None
    classes = _classes(path, schema) if label else []
    number = 0
    for batch in file.iter_batches(columns=[*texts, *([label] if label else [])]):
        for content in batch.to_pylist() if batch.num_columns else [{}] * batch.num_rows:
            if label:
                content["label"] = _named(content["label"], classes, f"{path} row {number}")
            yield content
            number += 1


def _classes(path: Path, schema: pa.Schema) -> list[str]:
    """The names of the classes of `label`; none where it is text already."""
    if names := _class_names(schema):
        return names
    kind = named = schema.field("label").type
    while pa.types.is_list(named) or pa.types.is_large_list(named) or pa.types.is_dictionary(named):
        named = named.value_type
    if any(
        is_text(named) for is_text in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    ):
        return []
    raise UserError(
        f"{path}: label is {kind} and nothing says what its numbers mean; add the features ClassLabel, or a column 'text'"
    )


def _class_names(schema: pa.Schema) -> list[str] | None:
    """What the library `datasets` notes of the classes of `label`, or of those in its lists."""
    try:
        feature = json.loads(schema.metadata[b"huggingface"])["info"]["features"]["label"]
        feature = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
        return [str(name) for name in feature["names"]]
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _named(label: Any, classes: list[str], where: str) -> Any:
    """The classes' names as text; several, which hold together, in one."""
    if label is None:
        return None
    numbers = [
        number for number in (label if isinstance(label, list) else [label]) if number not in (-1, None)
    ]
    if not classes:
        return ", ".join(numbers)
    for number in numbers:
        if not 0 <= number < len(classes):
            raise UserError(f"{where}: label={number} is none of the {len(classes)} classes; mend it")
    return ", ".join(classes[number].replace("_", " ") for number in numbers)


def _sizes(path: Path, column: str) -> Iterator[tuple[int, int, int | None]]:
    """The group, the row in it and the bytes of every picture; None where there are none."""
    for group in range(_opened(path).num_row_groups):
        for place, size in enumerate(
            pc.call_function("binary_length", [_cells(path, column, group, stamp(path))]).to_pylist()
        ):
            yield group, place, size or None


def _picture_column(path: Path) -> str:
    names = _picture_columns(_opened(path).schema_arrow)
    if len(names) > 1 and "image" not in names:
        raise UserError(
            f"{path}: {' and '.join(names)} could be the picture; call the one that is meant 'image'"
        )
    if not names:
        raise without_pictures(path)
    return "image" if "image" in names else names[0]


def without_pictures(path: Path) -> UserError:
    """What is said of a file none of whose columns is of pictures."""
    held = ", ".join(f"{field.name} ({field.type})" for field in _opened(path).schema_arrow)[:300]
    return UserError(
        f"{path}: no column of pictures; it has {held}; write it with the pictures' bytes in a column 'image'"
    )


def _picture_columns(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if _is_bytes(field.type) or _is_struct(field.type)]


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _is_struct(kind: pa.DataType) -> bool:
    place = kind.get_field_index("bytes") if pa.types.is_struct(kind) else -1
    return place >= 0 and _is_bytes(kind.field(place).type)


@lru_cache(maxsize=4)  # pictures are mostly asked for in order
def _cells(path: Path, column: str, group: int, _stamp: tuple[int, ...]) -> pa.ChunkedArray:
    """The encoded pictures of a group of rows."""
    try:
        cells = _opened(path).read_row_group(group, [column]).column(column)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None
    cells = (
        pc.call_function("struct_field", [cells], pc.StructFieldOptions("bytes"))
        if pa.types.is_struct(cells.type)
        else cells
    )
    return cells.cast(pa.large_binary())


def _opened(path: Path) -> pq.ParquetFile:
    return _opened_of(path, stamp(path))


@lru_cache(maxsize=64)
def _opened_of(path: Path, _stamp: tuple[int, ...]) -> pq.ParquetFile:
    if (what := kinds.kind(path)) != "parquet":
        raise kinds.refusal(path, what)
    try:
        file = pq.ParquetFile(path, memory_map=True)
    except pa.ArrowException as error:
        raise _damaged(path, error) from None
    except OSError as error:
        raise unreadable(path, error) from None
    archives.check_rows(path, file.metadata.num_rows)
    names = file.schema_arrow.names
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(
            f"{path}: several columns are called '{twice}'; give the one that is meant a name of its own"
        )
    return file


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: damaged parquet ({str(error).splitlines()[0]}); fetch or write it again")
