"""Draw the pictures of README and of the glossary: phantoms above samples of the generator that ships; a phantom of each disease.

    python tools/sheet.py --out docs/pictures

Run it again when another generator ships; `--model` names one.  Nobody in the pictures exists.
"""

import argparse
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageDraw, ImageFont

from synth import GenerateConfig, generate
from synth.data.vocabulary import FLAGS, READABILITY_KEYS
from synth.phantom import PhantomConfig, population, record, write
from synth.sampling.preview import legend, preview, sheet

COUNT, COLUMNS, SIDE = 12, 6, 120  # pictures of each kind, pictures in a row, pixels a picture
HEAD = 22  # pixels of a heading


def rows(model: Path | None, home: Path, seed: int) -> dict[str, Path]:
    """Heading -> the sheet of its pictures."""
    write(PhantomConfig(seed=seed), COUNT, home / "phantoms")
    config = GenerateConfig(n=COUNT, model=model, seed=seed, labels="uniform", batch=COUNT)
    drawn = generate(config, home / "synthetic", workers=1).folder
    found = {}
    for title, folder in (
        ("digital phantoms: drawn, their truth is known", home / "phantoms"),
        ("synthetic photographs of the generator that ships", drawn),
    ):
        preview(folder, home / f"{folder.name}.png", COUNT, COLUMNS, SIDE)
        found[title] = home / f"{folder.name}.png"
    return found


def stacked(sheets: dict[str, Path]) -> Image.Image:
    """The sheets below one another, each under its heading."""
    found = {title: Image.open(path) for title, path in sheets.items()}
    width, height = (
        max(each.width for each in found.values()),
        sum(each.height + HEAD for each in found.values()),
    )
    page = Image.new("RGB", (width, height), "white")
    pen, font, top = ImageDraw.Draw(page), ImageFont.load_default(14), 0
    for title, each in found.items():
        pen.text((6, top + 4), title, "black", font)
        page.paste(each, (0, top + HEAD))
        top += HEAD + each.height
    return page


def labels() -> Image.Image:
    """A readable phantom of each disease and no other, and one without any."""
    config, tiles, legends = PhantomConfig(size=SIDE), [], []
    for wanted in (None, "dr_grade", *FLAGS):
        index = next(i for i in count() if _shows(config, i, wanted))
        row, phantom = record(config, index)
        tiles.append(phantom.image)
        legends.append(legend(row))
    return sheet(tiles, legends, COLUMNS)


def _shows(config: PhantomConfig, index: int, wanted: str | None) -> bool:
    subject, nth, _ = population.place(config, index)
    found = population.labels(config, subject, nth)
    present = [key for key in ("dr_grade", *FLAGS) if found[key]]
    blurred = any(found[key] == 0 for key in READABILITY_KEYS)
    severe = wanted != "dr_grade" or found["dr_grade"] == 4
    return (
        not blurred
        and severe
        and present == [wanted] * (wanted is not None)
        and "cataract" not in (found["findings"] or ())
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"), help="folder")
    parser.add_argument("--model", type=Path, help="another generator's folder")
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args()
    with TemporaryDirectory() as home:
        stacked(rows(given.model, Path(home), given.seed)).save(given.out / "sheet.jpg", quality=85)
    labels().save(given.out / "labels.jpg", quality=85)


if __name__ == "__main__":
    main()
