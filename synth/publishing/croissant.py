"""Croissant 1.0 metadata (mlcommons.org/croissant) of a folder of synthetic records."""

import json
from pathlib import Path
from typing import Any

from synth.base.documents import read_mapping
from synth.base.runs import write_text
from synth.data.records import SCHEMA
from synth.model.card import TrainingSource
from synth.provenance.publication import Publication
from synth.provenance.training_data import LICENCES
from synth.sampling.plan import Plan, shards

_TYPES = dict(zip(SCHEMA.names, SCHEMA.types, strict=True))
ENCODINGS = {"parquet": "application/x-parquet", "webdataset": "application/x-tar"}
_LIMITS = [
    "A label is what the generator was asked to show; no doctor has read the pictures.",
    "What occurs in the training photographs, their cameras and their population, limits what is shown.",
    "Not for clinical use.",
]
_PRIVACY = [
    "No photograph of a patient is in the set, and no record carries age, sex or race.  What the pictures may still "
    "reveal of the patients behind the generator is measured by `privacy audit`, not excluded by synthesis."
]


def write_croissant(
    folder: Path,
    plan: Plan,
    title: str,
    licence: str | None,
    publication: Publication,
    trained_on: list[TrainingSource],
) -> None:
    """Write `folder/croissant.json`: every shard with its sha256, and record sets over all of them.

    Without `publication.published` it has no date: a plan that is sampled again must give the same bytes.
    """
    import mlcroissant as mlc

    cited = "; ".join(origin.citation for origin in trained_on if origin.citation != "unknown")
    metadata = mlc.Metadata(
        name=title,
        description=f"{plan.n} synthetic fundus photographs with labels and captions in Chinese and English.",
        license=[LICENCES[licence].url if licence in LICENCES else licence or "not set"],
        url=publication.url,
        version="1.0.0",
        creators=[mlc.Person(name=name) for name in publication.authors],
        date_published=publication.published,  # type: ignore[arg-type]  # pydantic reads dates, mlcroissant casts them
        cite_as=f"{title}, plan {plan.fingerprint}" + (f"; trained on {cited}" if cited else ""),
        keywords=["fundus photography", "ophthalmology", "synthetic data", "diffusion model"],
        in_language=["zh", "en"],
        data_limitations=_LIMITS,
        personal_sensitive_information=_PRIVACY,
        distribution=_files(folder, plan),
        record_sets=_record_sets(plan),
    )
    write_text(
        folder / "croissant.json", json.dumps(metadata.to_json(), indent=2, ensure_ascii=False, default=str)
    )


def _files(folder: Path, plan: Plan) -> list[Any]:
    """One file object per shard with the sha256 of its sidecar, and the sets of files that readers follow."""
    import mlcroissant as mlc

    kind = ENCODINGS[plan.format]
    files: list[Any] = [
        mlc.FileObject(
            id=shard.name,
            name=shard.name,
            content_url=shard.name,
            content_size=f"{(folder / shard.name).stat().st_size} B",
            encoding_formats=[kind],
            sha256=read_mapping((folder / shard.name).with_suffix(".json"), "sha256")["sha256"],
        )
        for shard in shards(plan)
    ]
    if plan.format == "parquet":
        every = mlc.FileSet(id="shards", name="shards", encoding_formats=[kind], includes=["data/*.parquet"])
        return [*files, every]
    within = [file.id for file in files]
    return [
        *files,
        mlc.FileSet(
            id="pictures",
            name="pictures",
            contained_in=within,
            encoding_formats=["image/jpeg"],
            includes=["*.jpg"],
        ),
        mlc.FileSet(
            id="descriptions",
            name="descriptions",
            contained_in=within,
            encoding_formats=["application/json"],
            includes=["*.json"],
        ),
    ]


def _record_sets(plan: Plan) -> list[Any]:
    import mlcroissant as mlc

    if plan.format == "parquet":
        return [mlc.RecordSet(id="records", name="records", fields=_columns())]
    return [
        mlc.RecordSet(id=name, name=name, fields=_members(name, files, ending, kind))
        for name, files, ending, kind in (
            ("images", "pictures", "jpg", mlc.DataType.IMAGE_OBJECT),
            ("records", "descriptions", "json", mlc.DataType.TEXT),
        )
    ]


def _members(name: str, files: str, ending: str, kind: Any) -> list[Any]:
    """The id and the content of the members of one ending of every tar; of a record, its columns in JSON."""
    import mlcroissant as mlc

    # mlcroissant does not look into JSON within tars, so the columns are described, not extracted.
    columns = ", ".join(f"{column} ({type_})" for column, type_ in _TYPES.items() if column != "image")
    content = f"JSON, null where unknown: {columns}" if name == "records" else "the picture, as JPEG"

    def field(part: str, description: str, read: str, data_type: Any, transforms: list[Any]) -> Any:
        source = mlc.Source(
            file_set=files,
            extract=mlc.Extract(file_property=read),  # type: ignore[arg-type]  # mlcroissant casts it
            transforms=transforms,
        )
        return mlc.Field(
            id=f"{name}/{part}", name=part, description=description, data_types=[data_type], source=source
        )

    return [
        field("id", "id", "filename", mlc.DataType.TEXT, [mlc.Transform(regex=rf"(.*)\.{ending}$")]),
        field("content", content, "content", kind, []),
    ]


def _columns() -> list[Any]:
    """One field per column of the parquet files."""
    import mlcroissant as mlc

    kinds = {"string": mlc.DataType.TEXT, "float": mlc.DataType.FLOAT}
    return [
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
        for name, kind in _TYPES.items()
        if name != "findings"  # a list, which Croissant readers differ about
    ]
