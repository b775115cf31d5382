"""What in a photograph speaks for a finding: occlusion, which asks nothing of the encoder but embeddings.

Parts of the field of view are covered one by one, and the log odds of a finding are compared with those of the whole
photograph (Zeiler & Fergus 2014, arXiv 1311.2901, section 4.2).  It is the same for a ResNet, a ViT and other people's
encoders, and one set of covered photographs serves every finding.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from clip import embed
from synth.base.runs import atomic
from synth.data.images import field_of_view

METHOD = "occlusion (Zeiler & Fergus 2014, arXiv 1311.2901)"
FOR, AGAINST = (255, 176, 0), (0, 120, 255)
"""Colours of what speaks for a finding and of what speaks against it."""


def occlusion(
    model: Any, square: np.ndarray, axes: np.ndarray, cells: int = 12, batch: int = 32
) -> np.ndarray:
    """(K, cells, cells) by how much the log odds of K findings fall when a part of the photograph is covered.

    A window of 2 x 2 cells moves by one cell; what of the field of view it covers takes the mean colour of the field,
    so that the round edge stays as it is.  A cell's value is the mean over the windows that cover it; windows outside
    the field count as 0.  Positive: the part speaks for the finding.

    Args:
        model: an encoder, as `embed.pixels` takes it.
        square: (S, S, 3) uint8, preprocessed.
        axes: (K, D) whose products with an image embedding of length 1 are log odds, `predict.Classifier.axes`.
        cells: along each side; (cells - 1)^2 photographs are embedded.
    """
    inside = field_of_view(square)
    mean = square[inside].mean(axis=0).round().astype(np.uint8)
    edges = np.linspace(0, len(square), cells + 1).round().astype(int)
    places = [(y, x) for y in range(cells - 1) for x in range(cells - 1)]
    windows = [np.s_[edges[y] : edges[y + 2], edges[x] : edges[x + 2]] for y, x in places]
    covering = [k for k, window in enumerate(windows) if inside[window].any()]
    drops = np.zeros((len(places), len(axes)))
    whole = embed.pixels(model, square[None]).astype(float) @ axes.T
    for start in range(0, len(covering), batch):
        chosen = covering[start : start + batch]
        covered = np.repeat(square[None], len(chosen), axis=0)
        for each, k in zip(covered, chosen, strict=True):
            each[windows[k]][inside[windows[k]]] = mean
        drops[chosen] = whole - embed.pixels(model, covered).astype(float) @ axes.T
    total, count = np.zeros((len(axes), cells, cells)), np.zeros((cells, cells))
    for (y, x), drop in zip(places, drops, strict=True):
        total[:, y : y + 2, x : x + 2] += drop[:, None, None]
        count[y : y + 2, x : x + 2] += 1
    return total / count


def overlay(shown: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """(L, L, 3) uint8: a (L, L, 3) photograph in grey, with what speaks for and against in colour.

    The strongest cell of (cells, cells) is the most opaque, however weak it is in log odds.
    """
    size = (shown.shape[1], shown.shape[0])
    smooth = np.asarray(Image.fromarray(saliency.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
    strength = np.abs(smooth) / max(float(np.abs(smooth).max()), 1e-9)
    alpha = (0.75 * strength * field_of_view(shown))[..., None]
    grey = np.asarray(Image.fromarray(shown).convert("L")).astype(float)[..., None].repeat(3, axis=2)
    colour = np.where(smooth[..., None] > 0, FOR, AGAINST)
    return (grey * (1 - alpha) + colour * alpha).round().clip(0, 255).astype(np.uint8)


def with_legend(picture: np.ndarray) -> np.ndarray:
    """(L + H, W, 3) uint8: an (L, W, 3) overlay above a line that says what its colours mean."""
    height = max(16, len(picture) // 16)
    line = Image.new("RGB", (picture.shape[1], height), "black")
    pen, font = ImageDraw.Draw(line), ImageFont.load_default(0.6 * height)
    x = height // 4
    for colour, text in ((FOR, "speaks for"), (AGAINST, "speaks against")):
        pen.rectangle((x, height // 4, x + height // 2, 3 * height // 4), colour)
        pen.text((x + 3 * height // 4, height // 2), text, "white", font, anchor="lm")
        x += int(1.5 * height + font.getlength(text))
    return np.concatenate([picture, np.asarray(line)])


def write(path: Path, picture: np.ndarray, **metadata: str) -> None:
    """Write an overlay and its legend as PNG; `metadata`, and the method, go into its text."""
    text = PngImagePlugin.PngInfo()
    for key, value in {**metadata, "method": METHOD, "use": "research only, no diagnosis"}.items():
        text.add_itxt(key, value)
    with atomic(path) as temporary:
        Image.fromarray(with_legend(picture)).save(temporary, "PNG", pnginfo=text)
