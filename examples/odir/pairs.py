"""Make the training pairs of `encoders.sh` and `canaries.sh` from records that are there.

    python examples/odir/pairs.py terse odir/synthetic --out odir/terse     one caption per diagnosis, as SynFundus has it
    python examples/odir/pairs.py join odir/records/odir odir/synthetic --out odir/both
    python examples/odir/pairs.py fewer odir/records/odir --patients 240 --out odir/patients-240

All keep pictures, labels, people and splits; `terse` and `join` leave out the test splits, which nothing is trained on,
and `fewer` leaves out all but so many patients of the split 'train', the same ones every time and the fewer among the more.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from synth.base.errors import UserError
from synth.data import captions, records
from synth.data.records import COLUMNS, SCHEMA, SPLITS, Row
from synth.data.shards import read_shard, shard_name

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


def fewer(rows: list[Row], patients: int) -> list[Row]:
    """The rows of so many patients, in an order that has nothing to do with them."""
    everyone = sorted({row["subject_id"] for row in rows}, key=lambda name: sha256(name.encode()).digest())
    if not 0 < patients <= len(everyone):
        raise UserError(f"--patients {patients}: must be 1 to {len(everyone)}, those of split 'train'")
    chosen = set(everyone[:patients])
    return [row for row in rows if row["subject_id"] in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["terse", "join", "fewer"])
    parser.add_argument("data", type=Path, nargs="+", help="folders of records")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--patients", type=int, default=0, help="of the split 'train', for 'fewer'")
    asked = parser.parse_args()
    plan = {"kind": asked.what, "data": [records.data_fingerprint(each) for each in asked.data]}
    if asked.what == "fewer":
        plan["patients"] = asked.patients
    digest = records.claim(asked.out, plan)
    for split in SPLITS if asked.what == "fewer" else TRAINED_ON:
        rows = [row for folder in asked.data for row in stored(folder, split)]
        if asked.what == "fewer" and split == "train":
            rows = fewer(rows, asked.patients)
        rows = [row | {"plan": digest} for row in (terse(rows) if asked.what == "terse" else rows)]
        records.write_shard(asked.out / shard_name(split, 0, 1), rows, digest, 0)
        told = {lang: len({row[f"caption_{lang}"] for row in rows}) for lang in ("zh", "en")}
        print(f"{asked.out}: {split} {len(rows)} pairs; distinct captions {told}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"pairs.py: {error}")
