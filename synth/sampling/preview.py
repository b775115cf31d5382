"""Contact sheets: pictures with their labels below, to be looked at before any score is believed."""

import math
import time
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from synth.base.errors import UserError
from synth.base.runs import atomic
from synth.data.images import Preprocessing, decode, resize
from synth.data.pictures import Pictures
from synth.data.records import LABELS, SPLITS, read_table
from synth.data.shards import ROW_GROUP, images, is_done
from synth.data.vocabulary import DISEASES, DR, DR_GRADES, FINDINGS, READABILITY_KEYS
from synth.sampling.plan import Plan, draws
from synth.sampling.plan import shards as planned

_NAMES = {term.key: term.en for term in DISEASES}
_LINE = 12  # pixels of one line of text
_REFRESH = 30  # seconds between two states of a live sheet


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
    """Square tiles in rows, with text below each: every line is broken where the tile ends, and none is cut."""
    side, font = tiles[0].shape[0], ImageFont.load_default(10)
    broken = [[part for line in lines for part in wrapped(line, side, font)] for lines in legends]
    pitch = side + max(2, *map(len, broken)) * _LINE + 6
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (columns * (side + 4) + 4, rows * pitch + 4), "white")
    pen = ImageDraw.Draw(page)
    for place, (tile, text) in enumerate(zip(tiles, broken, strict=True)):
        x, y = 4 + place % columns * (side + 4), 4 + place // columns * pitch
        page.paste(Image.fromarray(tile), (x, y))
        for number, line in enumerate(text):
            pen.text((x, y + side + number * _LINE), line, "black", font)
    return page


def wrapped(line: str, width: int, font: Any) -> list[str]:
    """A line of words as lines that are at most `width` pixels wide, but for a word that alone is wider."""
    lines: list[str] = []
    for word in line.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def legend(labels: dict[str, Any]) -> list[str]:
    """What a record shows, and which eye it is, in two lines of English."""
    shown = [_NAMES[key] for key in _NAMES if labels.get(key)]
    if labels.get("dr_grade"):
        shown.append(f"{DR_GRADES[labels['dr_grade']].en} {DR.en}")
    shown += [term.en for term in FINDINGS if term.key in (labels.get("findings") or ())]
    absent = labels.get("dr_grade") == 0 and not any(labels.get(key) for key in _NAMES)
    blurred = [key.split("_")[1] for key in READABILITY_KEYS if labels.get(key) == 0]
    second = [labels["eye_side"]] if labels.get("eye_side") else []
    if blurred:
        second.append("unreadable: " + " ".join(blurred))
    return [", ".join(shown) or ("normal" if absent else "unlabelled"), ", ".join(second)]


class LiveSheet:
    """The contact sheet `OUT/preview.png` of a set that is being sampled: images spread evenly over its plan.

    Only pictures of finished shards are on it, so that the sheet of a finished set is a function of the plan.
    """

    def __init__(self, out: Path, plan: Plan) -> None:
        self._out, self._plan, self._shards, self._digest = out, plan, planned(plan), plan.fingerprint
        count = min(48, plan.n)
        self._missing = [plan.n * place // count for place in range(count)]
        self._tiles: dict[int, np.ndarray] = {}
        self._drawn = -math.inf

    def show(self, now: bool = False) -> None:
        """Draw it anew if it is to show more; without `now`, not more often than once in half a minute."""
        if time.monotonic() - self._drawn < _REFRESH and not now:
            return
        before, self._drawn = len(self._tiles), time.monotonic()
        for index in list(self._missing):
            shard = self._shards[bisect_right(self._shards, index, key=lambda shard: shard.first) - 1]
            if is_done(self._out / shard.name, self._digest):
                group, place = divmod(index - shard.first, ROW_GROUP)
                picture = images(self._out / shard.name, group)[place]
                self._tiles[index] = resize(decode(picture, f"{self._out / shard.name}"), 96)
                self._missing.remove(index)
        if len(self._tiles) > before:
            shown = sorted(self._tiles)
            labels = [next(draws(self._plan, range(i, i + 1))).labels for i in shown]
            with atomic(self._out / "preview.png") as temporary:
                sheet([self._tiles[i] for i in shown], [legend(each) for each in labels], 8).save(
                    temporary, "PNG"
                )
