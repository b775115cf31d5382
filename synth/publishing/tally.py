"""How many photographs carry which label, per split: for cards."""

import math
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from synth.data.records import LABELS
from synth.data.vocabulary import (
    DISEASES,
    DR,
    DR_GRADES,
    FINDINGS,
    FLAGS,
    MODALITIES,
    READABILITY,
    READABILITY_KEYS,
    SIDES,
)

_FLAGS = (*FLAGS, *READABILITY_KEYS)
_MEANING = {term.key: term.en for term in (*DISEASES, *READABILITY, *FINDINGS, *SIDES, *MODALITIES)}


def counts(tables: dict[str, pa.Table]) -> str:
    """A Markdown table: photographs per label and split, how many are unknown, and the share of those known.

    Args:
        tables: the columns `LABELS` of every split.
    """
    rows = sum(table.num_rows for table in tables.values())
    lines = [
        f"| label | meaning | {' | '.join(tables)} | unknown | share |",
        "|---|---|" + "---:|" * (len(tables) + 2),
    ]
    for key in LABELS:
        found = [_values(table[key]) for table in tables.values()]
        unknown = sum(values[None] for values in found)
        shown = [1] if key in _FLAGS else sorted(set().union(*found) - {None})
        for value in shown:
            each = [values[value] for values in found]
            share = f"{sum(each) / (rows - unknown):.1%}" if rows > unknown else "–"
            name = f"`{key}`" if key in _FLAGS else f"`{key}` {value}"
            cells = " | ".join(map(str, each))
            lines.append(f"| {name} | {_meaning(key, value)} | {cells} | {unknown} | {share} |")
    return "\n".join(lines)


def balance(tables: dict[str, pa.Table]) -> str:
    """One sentence: how many label combinations there are, and how evenly they are spread."""
    whole = pa.concat_tables(list(tables.values()))
    place = whole.column_names.index("findings")
    joined = pc.call_function("binary_join", [whole["findings"], ","])  # lists cannot be grouped
    whole = whole.set_column(place, "findings", joined)
    sizes = whole.group_by(list(LABELS)).aggregate([([], "count_all")])["count_all"].to_pylist()
    shares = [size / whole.num_rows for size in sizes]
    effective = math.exp(-sum(share * math.log(share) for share in shares))
    return (
        f"{len(shares)} label combinations; the commonest is {max(shares):.1%} of the set, which is as varied as "
        f"{effective:.1f} combinations of equal size (the exponential of their entropy)."
    )


def _values(column: pa.ChunkedArray) -> Counter[Any]:
    """Value -> photographs; None is unknown.  Of a list, every entry counts."""
    found = Counter[Any]({None: column.null_count})
    listed = pa.types.is_list(column.type)
    flat = column.combine_chunks().flatten() if listed else column.drop_null()
    for entry in flat.value_counts().to_pylist():
        found[entry["values"]] += entry["counts"]
    return found


def _meaning(key: str, value: Any) -> str:
    if key == "dr_grade":
        return f"{DR.en}: {DR_GRADES[value].en}"
    return _MEANING[key if key in _FLAGS else value]
