"""Draw the picture of README, docs/pictures/sheet.jpg: phantoms above, samples of the generator that ships below.

    python tools/sheet.py --out docs/pictures/sheet.jpg

Run it again when another generator ships; `--model` names one.  Nobody in the picture exists.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageDraw, ImageFont

from synth import GenerateConfig, generate
from synth.phantom import PhantomConfig, write
from synth.sampling.preview import preview

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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/sheet.jpg"))
    parser.add_argument("--model", type=Path, help="another generator's folder")
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args()
    with TemporaryDirectory() as home:
        stacked(rows(given.model, Path(home), given.seed)).save(given.out, quality=85)


if __name__ == "__main__":
    main()
