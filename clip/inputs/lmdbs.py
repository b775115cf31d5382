"""Chinese-CLIP's LMDB: `imgs` (id -> picture in base64) and `pairs` (number -> pickled (image id, text id, text)).

Read is `DATA/{imgs,pairs}`, which is split by picture, or `DATA/{train,valid,test}/{imgs,pairs}`, below `DATA/lmdb` too.  A
picture with several texts counts once for each.  Whose a picture is, the format does not tell: every picture is a person
of its own, unless its maker has put all of one patient on one side.
"""

import io
import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from clip.inputs.listing import SPLIT_NAMES, Listing, caption, from_base64
from synth.base import extras
from synth.base.errors import UserError
from synth.data.shards import stamp

_DIGITS = 18
"""Of the number of pairs."""
_OPEN: dict[tuple[Path, int], tuple[tuple[int, ...], Any]] = {}
"""By folder and process: what tells its file from one that stands there later, and the LMDB."""


class Values:
    """Pictures in one or more LMDBs."""

    def __init__(self, folders: Sequence[Path], folder: np.ndarray, ids: Sequence[str]) -> None:
        self._folders, self._folder, self._ids = folders, folder, ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> bytes:
        # An environment must not be carried from one process into another.
        with _environment(self._folders[self._folder[index]], os.getpid()).begin(buffers=True) as reading:
            text = bytes(reading.get(self._ids[index].encode()))
        return from_base64(text, self.where(index))

    def where(self, index: int) -> str:
        return f"{self._folders[self._folder[index]]} image '{self._ids[index]}'"


def holds(data: Path) -> bool:
    """Whether pairs lie here, or in folders named after splits."""
    return bool(_parts(data))


def read(data: Path) -> Listing:
    """Every pair of every split.

    Raises:
        UserError: damaged, cut short, or holding anything but texts; the pair's number is told.
    """
    extras.require(str(data), "lmdb")
    import lmdb

    try:
        return _read(data, _parts(data))
    except lmdb.Error as error:
        raise UserError(f"{data}: damaged LMDB ({error}); copy or build it again") from None


def _read(data: Path, parts: list[tuple[str | None, Path]]) -> Listing:
    rows: list[dict[str, Any]] = []
    folder: list[int] = []
    ids: list[str] = []
    sizes: list[int] = []
    where: list[str] = []
    for number, (split, place) in enumerate(parts):
        with _environment(place / "imgs", os.getpid()).begin(buffers=True) as images:
            for position, (image, text) in enumerate(_pairs(place / "pairs")):
                picture = images.get(image.encode(errors="surrogatepass"))
                spot = f"{place / 'pairs'} pair {position}"
                if picture is None:
                    raise UserError(
                        f"{spot}: image '{image}' is not in {place / 'imgs'}; build the LMDB again"
                    )
                name = f"{split}/{image}" if split else image
                rows.append(
                    {"id": name, "subject_id": name} | ({"split": split} if split else {}) | caption(text)
                )
                folder.append(number)
                ids.append(image)
                sizes.append(len(picture))
                where.append(spot)
    if not rows:
        raise UserError(f"{data}: no pair in it; build the LMDB again")
    pictures = Values([place / "imgs" for _, place in parts], np.array(folder), ids)
    return Listing(rows, pictures, np.array(sizes), where)


class _Plain(pickle.Unpickler):
    """Unpickles texts, numbers and tuples of them; refuses everything that names code."""

    def find_class(self, module_name: str, global_name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}, which is not run")


def _pairs(folder: Path) -> Iterator[tuple[str, str]]:
    """The (image id, text) of every pair, in order."""
    with _environment(folder, os.getpid()).begin(buffers=True) as reading:
        count = reading.get(b"num_samples")
        if count is None or not bytes(count).isdigit() or len(count) > _DIGITS:
            raise UserError(
                f"{folder}: num_samples is missing; was its building cut short? build the LMDB again"
            )
        for position in range(int(bytes(count))):
            value, where = reading.get(str(position).encode()), f"{folder} pair {position}"
            if value is None:
                raise UserError(f"{where}: missing of {int(bytes(count))}; build the LMDB again")
            try:
                image, _, text = _Plain(io.BytesIO(bytes(value))).load()
            except (pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError,
                    AttributeError, OverflowError, MemoryError) as error:  # fmt: skip
                raise UserError(
                    f"{where}: not (image id, text id, text): {error}; build the LMDB again"
                ) from None
            if not isinstance(image, str | int) or not isinstance(text, str):
                raise UserError(
                    f"{where}: holds {type(image).__name__} and {type(text).__name__}, not id and text"
                )
            yield str(image), text.strip().replace("“", '"').replace("”", '"')  # as Chinese-CLIP does


def _parts(data: Path) -> list[tuple[str | None, Path]]:
    """The split, if its folder tells one, and the folder of each pair of LMDBs."""
    if not data.is_dir():
        return []
    if _is_part(data):
        split = SPLIT_NAMES.get(data.name.lower())
        return [(split, data)]
    inside = sorted(path for root in (data, data / "lmdb") if root.is_dir() for path in root.iterdir())
    return [(SPLIT_NAMES[p.name.lower()], p) for p in inside if p.name.lower() in SPLIT_NAMES and _is_part(p)]


def _is_part(folder: Path) -> bool:
    return (folder / "imgs").is_dir() and (folder / "pairs").is_dir()


def _environment(folder: Path, process: int) -> Any:
    """An open LMDB of this process, the one that stands there now."""
    file = folder / "data.mdb"
    now = stamp(file) if file.is_file() else ()
    before, opened = _OPEN.get((folder, process), ((), None))
    if opened is None or before != now:
        if opened is not None:  # LMDB opens no path twice
            opened.close()
        opened = _open(folder)
        _OPEN[folder, process] = now, opened
    return opened


def _open(folder: Path) -> Any:
    """An open LMDB, whose file is as long as its pages; to read behind the end would kill the process."""
    import lmdb

    try:
        opened = lmdb.open(
            str(folder), readonly=True, create=False, lock=False, readahead=False, max_spare_txns=1
        )
    except lmdb.Error as error:
        raise UserError(f"{folder}: no LMDB in it ({error}); build it again") from None
    needed = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
    if (size := (folder / "data.mdb").stat().st_size) < needed:
        opened.close()
        raise UserError(
            f"{folder / 'data.mdb'}: cut short, {size:,} of {needed:,} bytes; copy it again, or build it again"
        )
    return opened
