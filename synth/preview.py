"""Contact sheets: pictures with their labels below, to be looked at before any score is believed."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from synth.base.errors import UserError
from synth.base.runs import atomic
from synth.fundus.images import Preprocessing
from synth.fundus.pictures import Pictures
from synth.fundus.records import LABELS, SPLITS, read_table
from synth.fundus.vocabulary import DISEASES, DR_GRADES, FINDINGS, READABILITY_KEYS

_SHORT = {term.key: term.key.removeprefix("is_").upper() for term in DISEASES}
_LINE = 12  # pixels of one line of text


def preview(
    folder: Path, out: Path, count: int = 48, columns: int = 8, side: int = 128, seed: int = 0
) -> int:
    """Write a PNG of up to `count` pictures, drawn at random from all splits; returns how many it shows."""
    if count < 1 or columns < 1 or side < 16:
        raise UserError(
            f"--count {count}, --columns {columns}: at least 1; --side {side}: at least 16 pixels"
        )
    table, pictures = read_table(folder, SPLITS, LABELS), Pictures(folder)
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.permutation(len(pictures))[:count].tolist())
    labels = table.take(chosen).to_pylist()
    fit = Preprocessing(size=side)
    tiles = [fit(pictures[i], pictures.where(i)) for i in chosen]
    with atomic(out) as temporary:
        sheet(tiles, [legend(row) for row in labels], min(columns, len(tiles))).save(temporary, "PNG")
    return len(chosen)


def sheet(tiles: list[np.ndarray], legends: list[list[str]], columns: int) -> Image.Image:
    """Square tiles in rows, with up to two lines of text below each."""
    side = tiles[0].shape[0]
    pitch = side + 2 * _LINE + 6
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (columns * (side + 4) + 4, rows * pitch + 4), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(10)
    for place, (tile, text) in enumerate(zip(tiles, legends, strict=True)):
        x, y = 4 + place % columns * (side + 4), 4 + place // columns * pitch
        page.paste(Image.fromarray(tile), (x, y))
        for number, line in enumerate(text[:2]):
            pen.text((x, y + side + number * _LINE), line[: side // 5], "black", font)
    return page


def legend(labels: dict[str, Any]) -> list[str]:
    """What a record shows, in two short lines of English."""
    shown = [_SHORT[key] for key in _SHORT if labels.get(key)]
    if labels.get("dr_grade"):
        shown.append(f"DR {DR_GRADES[labels['dr_grade']].en}")
    shown += [term.en for term in FINDINGS if term.key in (labels.get("findings") or ())]
    absent = labels.get("dr_grade") == 0 and not any(labels.get(key) for key in _SHORT)
    blurred = [key.split("_")[1] for key in READABILITY_KEYS if labels.get(key) == 0]
    second = [labels["eye_side"]] if labels.get("eye_side") else []
    if blurred:
        second.append("unreadable: " + " ".join(blurred))
    return [", ".join(shown) or ("normal" if absent else "unlabelled"), ", ".join(second)]
