"""Digital phantoms: procedurally drawn fundus photographs whose every label, place and mask is known.

Nothing here was learnt from a patient.  They stand in for private photographs in demos and tests, and they
are the ground truth against which the privacy audit is calibrated: what a picture reveals about age, sex and
race is exactly what the caller's strengths let it.
"""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synth.base.runs import atomic, progress, write_text
from synth.data import captions, vocabulary
from synth.data.images import encode
from synth.data.records import Row, row, write_records
from synth.phantom.anatomy import Attributes, Strengths
from synth.phantom.camera import SHAPES
from synth.phantom.chance import chance
from synth.phantom.drawing import Phantom, draw
from synth.phantom.population import PhantomConfig, attributes, labels, place, sitting

__all__ = [
    "SHAPES",
    "Attributes",
    "Phantom",
    "PhantomConfig",
    "Strengths",
    "draw",
    "mask",
    "record",
    "records",
    "write",
    "write_masks",
]

CLASSES = ("disc", "cup")
"""What `mask` numbers, from 1; the cup lies in the disc."""


def record(config: PhantomConfig, index: int) -> tuple[Row, Phantom]:
    """Row `index` of a population and the phantom it shows; a function of its arguments alone."""
    subject, nth, _ = place(config, index)
    shown, who = labels(config, subject, nth), attributes(config, subject)
    # Without a side, the number of the picture tells two pictures of one person apart.
    visit = sitting(config, subject, nth)[1] if shown["eye_side"] else 100 + nth
    phantom = draw(shown, (config.seed, subject), visit, config.size, who, config.strengths)
    seed = int(chance(config.seed, index, "row").integers(2**63))
    made = row(
        **shown,
        id=f"{_name(config, subject)}-{nth}",
        subject_id=_name(config, subject),
        image={"bytes": encode(phantom.image, config.quality), "path": None},
        caption_zh=captions.write(shown, "zh", seed),
        caption_en=captions.write(shown, "en", seed),
        age=who.age,
        sex=who.sex,
        race=who.race,
        source="phantom",
        seed=seed,
    )
    return made, phantom


def _name(config: PhantomConfig, subject: int) -> str:
    """What a person is called; those of another seed are other people."""
    return f"phantom-{config.seed}-{subject:06d}" if config.seed else f"phantom-{subject:06d}"


def records(config: PhantomConfig, n: int) -> Iterator[Row]:
    """The first `n` rows of a population; 1 to 4 pictures per subject."""
    return (record(config, index)[0] for index in range(n))


def write(config: PhantomConfig, n: int, out: Path) -> dict[str, int]:
    """Write a population of `n` pictures to the folder `out`; returns the rows per split.

    Beside the records, `out/truth.parquet` holds what is true of each picture: `id`, cup-to-disc ratio, places
    of disc and fovea in pixels, and the shares of the field of view that vessels and lesions cover.
    """
    versions = {name: version(name) for name in ("visionclip", "numpy", "pillow")}
    plan = {"kind": "phantom", "config": config.model_dump(), "n": n}
    plan["versions"] = {**versions, "vocabulary": vocabulary.VERSION}
    return write_records(out, _reported(config, n, out), plan)


def _reported(config: PhantomConfig, n: int, out: Path) -> Iterator[Row]:
    """The rows; once all are read, the truth is on disk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    truths = []
    with progress("phantoms", n) as bar:
        for index in range(n):
            made, phantom = record(config, index)
            truths.append({"id": made["id"], **truth(phantom)})
            yield made
            bar.update()
    with atomic(out / "truth.parquet") as temporary:
        pq.write_table(pa.Table.from_pylist(truths), temporary)


def write_masks(config: PhantomConfig, n: int, out: Path) -> None:
    """Write `out/masks/ID.png`, the disc and cup of each of `n` pictures, and `classes.yaml`, which names the numbers.

    `clip eval --task segmentation` reads them beside the records of `write`.  Masks that are there are left.
    """
    write_text(out / "masks" / "classes.yaml", f"classes: [{', '.join(CLASSES)}]\nnested: true\n")
    with progress("masks", n) as bar:
        for index in range(n):
            subject, nth, _ = place(config, index)
            path = out / "masks" / f"{_name(config, subject)}-{nth}.png"
            if not path.exists():
                with atomic(path) as temporary:
                    Image.fromarray(mask(record(config, index)[1])).save(temporary, "PNG")
            bar.update()


def mask(phantom: Phantom) -> np.ndarray:
    """(S, S) uint8: 0 background, 1 rim of the disc, 2 cup."""
    return phantom.disc.astype(np.uint8) + (phantom.cup & phantom.disc)


def truth(phantom: Phantom) -> dict[str, Any]:
    """What is true of a phantom, in numbers; NaN where there is no fundus."""
    in_field = phantom.field.sum()
    return {
        "cup_to_disc": phantom.cup_to_disc,
        "disc_x": phantom.disc_at[0],
        "disc_y": phantom.disc_at[1],
        "fovea_x": phantom.fovea_at[0],
        "fovea_y": phantom.fovea_at[1],
        "vessel_share": float(phantom.vessels.sum() / in_field),
        "lesion_share": float(phantom.lesions.sum() / in_field),
    }
