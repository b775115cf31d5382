"""What goes wrong with a file, on purpose: bytes that rot, ends that are missing, values of other kinds, other things in its place.

Each mutation is a function of a path and a random generator; it damages the file in place and says how, so that
`mutate(path, seed)` does the same to the same file again.
"""

import json
import math
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

Change = Callable[[Path, random.Random], str]

DEEP = 3000
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10**12, 2**64, 10**400, 1e308, math.nan, math.inf, "", "x", "60", "../../etc/passwd", "\0",
    "é" * 5000, [], {}, [1], ["x", None], {"x": 1}, [[[[[[]]]]]],
)  # fmt: skip
"""What may stand where another value stood."""
CELLS = (
    "",
    "nan",
    "inf",
    "-40",
    "1e99",
    "9" * 400,
    "x" * 200_000,
    "\0",
    "../../etc/passwd",
    "=1+1",
    '"',
    "\ufeff",
    ",,,",
    "\ud800",
)


# Any file


def cut(path: Path, chance: random.Random) -> str:
    """Its end is missing: all, half, the last byte, or any number."""
    size = path.stat().st_size
    end = chance.choice([0, size // 2, max(size - 1, 0), chance.randrange(size + 1), min(size, 512)])
    os.truncate(path, end)
    return f"cut to {end} of {size} bytes"


def flipped(path: Path, chance: random.Random) -> str:
    """One bit, or forty, are others."""
    content = bytearray(path.read_bytes())
    if not content:
        return cut(path, chance)
    count = chance.choice([1, 1, 1, 40])
    places = [chance.randrange(len(content)) for _ in range(count)]
    for place in places:
        content[place] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return f"{count} bits flipped, the first in byte {places[0]}"


def overwritten(path: Path, chance: random.Random) -> str:
    """A stretch holds zeros or noise."""
    content = bytearray(path.read_bytes())
    start = chance.randrange(len(content) + 1)
    length = chance.choice([8, 512, len(content)])
    stretch = len(content[start : start + length])
    content[start : start + length] = chance.choice([bytes(stretch), chance.randbytes(stretch)])
    path.write_bytes(content)
    return f"{stretch} bytes overwritten from {start}"


def replaced(path: Path, chance: random.Random) -> str:
    """Something else altogether."""
    content = chance.choice([b"", b"\0" * 4096, b"[" * 100_000, b"null", b"[]", b"{}", b'"x"', b"5", b"9" * 5000, b"\xff\xfe\0",
                             chance.randbytes(3000), b"PAR1", b"PK\3\4", b"\x89PNG\r\n\x1a\n", b"a: &a [*a]", b"\x80\4K\1.",
                             b"version https://git-lfs.github.com/spec/v1\n"])  # fmt: skip
    path.write_bytes(content)
    return f"replaced by {content[:12]!r}"


def longer(path: Path, chance: random.Random) -> str:
    """More follows."""
    more = chance.choice([b"\0" * 700, b"x", b"\n\n", chance.randbytes(5000), path.read_bytes()])
    with open(path, "ab") as file:
        file.write(more)
    return f"{len(more)} bytes appended"


def exchanged(path: Path, chance: random.Random) -> str:
    """It changed places with a neighbour of its kind; alone, it is doubled by none and goes."""
    others = sorted(each for each in path.parent.glob(f"*{path.suffix}") if each != path and each.is_file())
    if not others:
        return gone(path, chance)
    other = chance.choice(others)
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)
    return f"exchanged with {other.name}"


def gone(path: Path, chance: random.Random) -> str:
    path.unlink()
    return "gone"


def elsewhere(path: Path, chance: random.Random) -> str:
    """A folder, a link to nowhere, a link to itself, a pipe that nobody writes into, or a link to a device."""
    path.unlink()
    kind = chance.choice(["folder", "dangling link", "loop", "pipe", "device"])
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"dangling link": "nowhere", "loop": path.name, "device": "/dev/zero"}[kind])
    return f"a {kind} in its place"


def forbidden(path: Path, chance: random.Random) -> str:
    """Nobody may read it (root is asked to obey, see `forking.obey`)."""
    path.chmod(0)
    return "not readable"


ANY: tuple[Change, ...] = (
    cut,
    flipped,
    flipped,
    overwritten,
    replaced,
    longer,
    exchanged,
    gone,
    elsewhere,
    forbidden,
)


# What a format holds


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container within a value, with a key of it."""
    if isinstance(value, dict | list):
        for key, each in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _places(each)


def _changed(content: Any, chance: random.Random, values: tuple[Any, ...]) -> str:
    """Change one thing in a tree of lists and mappings."""
    places = list(_places(content))
    if not places:
        return "nothing to change"
    where, key = chance.choice(places)
    how = chance.choice(["value", "value", "value", "without", "more", "deep"])
    if how == "without":
        del where[key]
        return f"without {key!r}"
    if how == "more" and isinstance(where, dict):
        where["unknown"] = chance.choice(values)
        return "one key more"
    value = chance.choice(values)
    if how == "deep":
        value = 1
        for _ in range(200):
            value = [value]
    where[key] = value
    return f"{key!r} = {repr(value)[:24]}"


def tree(path: Path, chance: random.Random) -> str:
    """A value of JSON or YAML is another, is missing, or is one too many."""
    text = path.read_text(encoding="utf-8")
    content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    how = _changed(content, chance, VALUES)
    path.write_text(json.dumps(content), encoding="utf-8")  # which is YAML, too
    return how


def lines(path: Path, chance: random.Random) -> str:
    """A line of metrics is another."""
    found = path.read_text(encoding="utf-8").splitlines()
    place = chance.randrange(len(found))
    found[place] = chance.choice(["5", "[]", "{}", "nan", '{"images": "x"}', '{"images": NaN}', "\0", found[0], '{"images": 1e999}',
                                  '{"images": -5}', "[" * 2000])  # fmt: skip
    path.write_text("\n".join(found) + "\n", encoding="utf-8")
    return f"line {place + 1} is {found[place][:20]!r}"


def cells(path: Path, chance: random.Random) -> str:
    """A cell of a table is another, or a row has more or fewer."""
    rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    row = chance.choice(rows)
    place, value = chance.randrange(len(row)), chance.choice(CELLS)
    how = chance.choice(["cell", "cell", "more", "fewer"])
    if how == "cell":
        row[place] = value
    elif how == "more":
        row.append(value)
    else:
        del row[place]
    path.write_bytes("\n".join(map(",".join, rows)).encode("utf-8", "surrogatepass"))
    return f"{how} {value[:12]!r} in row {rows.index(row)}"


def tensors(path: Path, chance: random.Random) -> str:
    """A part of a torch file is another, and its checksums are right."""
    import torch

    content = torch.load(path, weights_only=True)
    odd = (
        torch.zeros(()),
        torch.full((3,), math.nan),
        torch.zeros(2, 3, dtype=torch.int64),
        torch.zeros(0),
        *VALUES,
    )
    how = _changed(content, chance, odd)
    torch.save(content, path)
    return how


def safe(path: Path, chance: random.Random) -> str:
    """A tensor of a safetensors file is gone, renamed, of another shape, or no number."""
    from safetensors.numpy import load_file, save_file

    content = load_file(path)
    name = chance.choice(sorted(content))
    how = chance.choice(["gone", "renamed", "flat", "nan", "integers", "empty"])
    value = content.pop(name)
    made = {"renamed": value, "flat": value.reshape(-1), "nan": np.full_like(value, math.nan), "integers": value.astype(np.int64),
            "empty": value.reshape(-1)[:0]}  # fmt: skip
    if how != "gone":
        content["renamed" if how == "renamed" else name] = made[how]
    save_file(content, path)
    return f"{name} {how}"


def numbers(path: Path, chance: random.Random) -> str:
    """An array holds what is no number, or is of another shape or kind."""
    values = np.load(path)
    how = chance.choice(["nan", "inf", "flat", "empty", "text", "double", "object"])
    made = {"nan": np.where(np.arange(values.size).reshape(values.shape) == 3, math.nan, values), "inf": values * math.inf,
            "flat": values.reshape(-1), "empty": values[:0], "text": values.astype(str), "double": np.concatenate([values, values]),
            "object": np.array([{"a": 1}], dtype=object)}  # fmt: skip
    np.save(path, made[how], allow_pickle=True)
    return how


def columns(path: Path, chance: random.Random) -> str:
    """A column of a parquet file is gone, of another kind, all null, or stands twice; its other values are as they were."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    place = chance.randrange(table.num_columns)
    name, rows = table.column_names[place], table.num_rows
    how = chance.choice(["gone", "text", "null", "nan", "nested", "twice", "no rows"])
    made = {"text": ["x"] * rows, "null": [None] * rows, "nan": [math.nan] * rows, "nested": [[[1]]] * rows}
    if how == "gone":
        table = table.remove_column(place)
    elif how == "twice":
        table = table.append_column(name, table.column(place))
    elif how == "no rows":
        table = table.slice(0, 0)
    else:
        table = table.set_column(place, name, pa.array(made[how]))
    pq.write_table(table, path)
    return f"column {name} {how}"


BY_KIND: dict[str, Change] = {
    ".json": tree, ".yaml": tree, ".jsonl": lines, ".csv": cells, ".pt": tensors, ".safetensors": safe, ".npy": numbers, ".parquet": columns,
}  # fmt: skip


def mutate(path: Path, seed: int) -> str:
    """Damage a file in place, and say how; half of the time by what its format holds, where that is known."""
    chance = random.Random(seed)
    inner = BY_KIND.get(path.suffix)
    change = inner if inner and chance.random() < 0.5 else chance.choice(ANY)
    return f"{change.__name__}: {change(path, chance)}"
