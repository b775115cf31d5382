"""Make the training pairs of `encoders.sh` from records that are there.

    python examples/odir/pairs.py terse odir/synthetic --out odir/terse     one caption per diagnosis, as SynFundus has it
    python examples/odir/pairs.py join odir/records/odir odir/synthetic --out odir/both

Both keep pictures, labels, people and splits; `join` leaves out the test splits, which nothing is trained on.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from synth.base.errors import UserError
from synth.fundus import captions, records
from synth.fundus.records import COLUMNS, SCHEMA, Row
from synth.fundus.shards import read_shard, shard_name

TRAINED_ON = ("train", "validation")


def terse(rows: Iterable[Row]) -> Iterator[Row]:
    """The same rows with captions in one wording each, of what the eye has and nothing else."""
    for row in rows:
        told = {key: row[key] for key in records.LABELS if key not in ("eye_side", "modality")}
        yield row | {f"caption_{lang}": captions.variants(told, lang)[0] for lang in ("zh", "en")}


def stored(folder: Path, split: str) -> list[Row]:
    """All rows of a split, pictures too."""
    shards = records.shards(folder, split)
    return [row for path in shards for row in read_shard(path, list(COLUMNS), SCHEMA).to_pylist()]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["terse", "join"])
    parser.add_argument("data", type=Path, nargs="+", help="folders of records")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    asked = parser.parse_args()
    plan = {"kind": asked.what, "data": [records.data_fingerprint(each) for each in asked.data]}
    digest = records.claim(asked.out, plan)
    for split in TRAINED_ON:
        rows = [row for folder in asked.data for row in stored(folder, split)]
        rows = [row | {"plan": digest} for row in (terse(rows) if asked.what == "terse" else rows)]
        records.write_shard(asked.out / shard_name(split, 0, 1), rows, digest, 0)
        told = {lang: len({row[f"caption_{lang}"] for row in rows}) for lang in ("zh", "en")}
        print(f"{asked.out}: {split} {len(rows)} pairs; distinct captions {told}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"pairs.py: {error}")
