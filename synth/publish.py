"""What makes a folder of synthetic records a data set: its card, its Croissant, its counts."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from synth.base.config import fingerprint
from synth.base.runs import write_text
from synth.fundus.card import write_card
from synth.fundus.records import COLUMNS, SCHEMA, SPLITS, is_done, read_table
from synth.fundus.vocabulary import DISEASES, FLAGS
from synth.plan import Plan, shards

NAME = "visionclip-synthetic-fundus"
LICENCE = "other"

_CARD = """
{n} synthetic fundus photographs with captions in Chinese and English, drawn by a diffusion model.
No photograph of a patient is in this folder; what it may still reveal of the patients behind the generator is
a question that `privacy audit` measures, not one that synthesis answers.  For research, not for clinical use.

The licence is that of the photographs on which the generator was trained: set it before you publish.

## Provenance
- plan `{digest}` (`plan.json`), seed {seed}
- generator weights `{model}`
- {steps} steps of {solver}, guidance {guidance:g}
- libraries: {libraries}
- filters: none

Image i is a function of (plan, i): the same plan on the same kind of machine gives the same bytes.

## Labels
{table}

Empty means unknown, never absent.  Columns: {columns}.
"""


def publish(folder: Path, plan: Plan) -> bool:
    """Write README.md and croissant.json once every shard of the plan is there; returns whether it is."""
    digest = fingerprint(plan)
    if not all(is_done(folder / shard.name, digest) for shard in shards(plan)):
        return False
    table = read_table(folder, SPLITS, ("dr_grade", *FLAGS))
    text = _CARD.format(
        **{key: plan[key] for key in ("n", "seed", "model", "steps", "solver", "guidance")},
        digest=digest,
        libraries=", ".join(f"{name} {version}" for name, version in plan["libraries"].items()),
        table=_counts({name: table[name].to_pylist() for name in ("dr_grade", *FLAGS)}),
        columns=", ".join(f"`{name}`" for name in COLUMNS),
    )
    rows = Counter[str]()
    for shard in shards(plan):
        rows[Path(shard.name).name.split("-")[0]] += shard.rows
    counts = {split: rows[split] for split in SPLITS}
    write_text(folder / "croissant.json", json.dumps(croissant(folder, plan), indent=2, ensure_ascii=False))
    write_card(folder, NAME, text, counts, LICENCE, ["synthetic"])
    return True


def _counts(columns: dict[str, list[Any]]) -> str:
    names = {"dr_grade": "diabetic retinopathy"} | {term.key: term.en for term in DISEASES}
    lines = ["| label | meaning | counts |", "|---|---|---|"]
    for key, values in columns.items():
        found = Counter("unknown" if value is None else str(value) for value in values)
        shown = ", ".join(f"{value}: {count}" for value, count in sorted(found.items()))
        lines.append(f"| `{key}` | {names[key]} | {shown} |")
    return "\n".join(lines)


def croissant(folder: Path, plan: Plan) -> dict[str, Any]:
    """Croissant 1.1 metadata: one file object per shard with its sha256, one record set over all of them."""
    import mlcroissant as mlc

    parquet = "application/x-parquet"
    files = mlc.FileSet(
        id="shards",
        name="shards",
        encoding_formats=[parquet],
        includes=["data/*.parquet"],
        description="shards",
    )
    kinds = {"string": mlc.DataType.TEXT, "float": mlc.DataType.FLOAT}
    fields = [
        mlc.Field(
            id=f"records/{name}",
            name=name,
            description=name.replace("_", " "),
            data_types=[
                mlc.DataType.IMAGE_OBJECT if name == "image" else kinds.get(str(kind), mlc.DataType.INTEGER)
            ],
            source=mlc.Source(
                file_set="shards",
                extract=mlc.Extract(column=name),
                transforms=[mlc.Transform(json_path="bytes")] if name == "image" else [],
            ),
        )
        for name, kind in zip(SCHEMA.names, SCHEMA.types, strict=True)
        if name != "findings"  # a list, which Croissant readers differ about
    ]
    metadata = mlc.Metadata(
        name=NAME,
        description=f"{plan['n']} synthetic fundus photographs with captions in Chinese and English",
        license=["the licence of the photographs behind the generator"],
        url="https://example.org/set-this-before-you-publish",
        version="1.0.0",
        cite_as="plan " + fingerprint(plan),
        in_language=["zh", "en"],
        distribution=[files],
        record_sets=[mlc.RecordSet(id="records", name="records", fields=fields)],
    )
    return metadata.to_json()
