"""A sheet of photographs with what was predicted drawn over what is true."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

TRUE, PREDICTED = (0, 200, 255), (255, 255, 255)
"""Colours of the outlines."""
_TILE, _LINE, _MARGIN = 192, 16, 0.35


def sheet(
    squares: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    predicted: Mapping[str, Sequence[np.ndarray]],
    labels: Mapping[str, Sequence[str]],
) -> Image.Image:
    """A row for each photograph, a column for each way of predicting; drawn in where the classes are.

    Args:
        squares: (S, S, 3) uint8 each.
        truth:   (K, S, S) bool each.
        predicted:    way -> the same.
        labels:  way -> what stands under each.
    """
    page = Image.new(
        "RGB", (_TILE * max(2, len(predicted)), (_TILE + _LINE) * len(squares) + 2 * _LINE), "white"
    )
    draw = ImageDraw.Draw(page)
    draw.text((4, 2), "blue: true, white: predicted; photographs from the worst to the best", fill="black")
    for column, way in enumerate(predicted):
        draw.text((column * _TILE + 4, _LINE + 2), way, fill="black")
        for row, (square, true) in enumerate(zip(squares, truth, strict=True)):
            every = [true, *(each[row] for each in predicted.values())]
            place = column * _TILE, row * (_TILE + _LINE) + 2 * _LINE
            page.paste(_tile(square, true, predicted[way][row], _around(every, len(square))), place)
            draw.text((place[0] + 4, place[1] + _TILE + 2), labels[way][row], fill="black")
    return page


def _around(regions: Sequence[np.ndarray], side: int) -> tuple[int, int, int, int]:
    """The square about all regions with a margin; all of the photograph where there are none."""
    there = np.logical_or.reduce([each.any(axis=0) for each in regions])
    if not there.any():
        return 0, 0, side, side
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    length = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    length = min(side, max(side // 4, round(length * (1 + 2 * _MARGIN))))
    top, left = (
        int(np.clip((part[0] + part[-1] + 1 - length) // 2, 0, side - length)) for part in (rows, columns)
    )
    return left, top, left + length, top + length


def _tile(
    square: np.ndarray, true: np.ndarray, predicted: np.ndarray, box: tuple[int, int, int, int]
) -> Image.Image:
    size = (_TILE, _TILE)
    tile = np.array(Image.fromarray(square).resize(size, Image.Resampling.BICUBIC, box=box))
    for regions, colour in ((true, TRUE), (predicted, PREDICTED)):
        for region in regions:
            region_here = np.asarray(Image.fromarray(region).resize(size, Image.Resampling.NEAREST, box=box))
            tile[region_here & np.logical_not(ndimage.binary_erosion(region_here))] = colour
    return Image.fromarray(tile)
