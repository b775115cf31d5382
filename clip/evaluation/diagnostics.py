"""Is an encoder healthy: do different texts and different pictures lie apart, and is its temperature one that was learnt.

Published weights with a text tower for which all texts are the same went unnoticed for half a year; these checks take
seconds.  They say nothing of how right an encoder is.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clip.inputs.sets import Data
from clip.model.encoders import LOG_SCALE_LIMITS
from synth.base.errors import UserError

COLLAPSED = 0.99
"""Mean cosine from which texts, or pictures, count as the same; random towers start above it."""
NARROW = 0.97
"""Mean cosine from which they lie close."""
PICTURES = 64
"""As many pictures are looked at."""


class Verdict(NamedTuple):
    """One check: what was looked at, whether it is as it should be, and one line that says so with its numbers."""

    name: str
    healthy: bool
    line: str
    measured: dict[str, float]


def examine(texts: np.ndarray, pictures: np.ndarray, scale: float) -> list[Verdict]:
    """The verdicts on embeddings of different texts and pictures, and on the factor of their products.

    Args:
        texts:    (M, D) of unit length, of M texts that say different things.
        pictures: (N, D) of unit length, of N different pictures.
        scale:    the factor; 1 / temperature.
    """
    return [
        _spread(
            "texts",
            texts,
            "train with less lr or a longer warmup, or from initial.text; weights of others may be damaged",
        ),
        _pictures(pictures),
        _temperature(scale),
    ]


def checkup(
    spec: Path | str, data: Data | None = None, splits: Sequence[str] = ("validation",)
) -> list[Verdict]:
    """The verdicts on a checkpoint: on its weights, on texts of all diseases and findings, on pictures.

    The pictures are the first of `data`, or without it phantoms of all diseases.

    Raises:
        UserError: not a checkpoint, or no two pictures in these splits.
    """
    from clip import embed, loading
    from synth.base.device import accelerator

    model = loading.load(spec, finite=False)[0]
    broken = [name for name, value in model.state_dict().items() if not value.isfinite().all()]
    line = (
        "all numbers"
        if not broken
        else f"not a number in {broken[0]}; take an earlier checkpoint, train with less lr"
    )
    found = [Verdict("weights", not broken, f"weights: {line}", {"broken": len(broken)})]
    if broken:
        return found
    squares = np.stack(
        [model.config.preprocessing(data, where) for data, where in _photographs(data, splits)]
    )
    model = model.to(accelerator()).eval()
    seen = embed.pixels(model, squares)
    if getattr(model, "reader", model) is None:  # an image tower of others, alone
        return [*found, _pictures(seen)]
    return found + examine(embed.texts(model, different()), seen, model.logit_scale.exp().item())


def different(lang: Any = "en") -> list[str]:
    """Captions that differ in what they say and in nothing else: one per disease, grade and finding."""
    from synth.data.captions import write
    from synth.data.vocabulary import DR, FINDING_KEYS, FLAGS

    said: list[dict[str, Any]] = [{DR.key: grade} for grade in range(1, 5)]
    said += [{flag: 1} for flag in FLAGS] + [{"findings": [key]} for key in FINDING_KEYS]
    return [write(labels, lang, 0) for labels in said]


def cosines(vectors: np.ndarray) -> np.ndarray:
    """The cosines of all pairs of (N, D) vectors of unit length."""
    return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]


def _photographs(data: Data | None, splits: Sequence[str]) -> Iterator[tuple[bytes, str]]:
    if data is None:
        from synth import phantom

        config = phantom.PhantomConfig()
        for index in range(PICTURES // 2):  # they take longer to draw than to look at
            yield phantom.record(config, index)[0]["image"]["bytes"], f"phantom {index}"
        return
    from clip.inputs import photographs

    pictures = photographs.pictures(data, splits)
    if len(pictures) < 2:
        raise UserError(
            f"{data}: fewer than 2 pictures in {', '.join(splits)}; choose another --split, for example 'all'"
        )
    for index in range(min(PICTURES, len(pictures))):
        yield pictures[index], pictures.where(index)


def _pictures(vectors: np.ndarray) -> Verdict:
    return _spread(
        "pictures", vectors, "train with less lr or a longer warmup, and look at what 'synth preview' shows"
    )


def _spread(name: str, vectors: np.ndarray, remedy: str) -> Verdict:
    found = cosines(vectors)
    low, high = (float(value) for value in np.percentile(found, [5, 95]))
    mean = float(found.mean())
    state = "apart" if mean < NARROW else "close" if mean < COLLAPSED else f"collapsed; {remedy}"
    line = f"{name}: cosine {mean:.3f} on average over pairs of {len(vectors)} ({low:.3f} to {high:.3f}): {state}"
    return Verdict(name, mean < COLLAPSED, line, {"n": len(vectors), "mean": mean, "low": low, "high": high})


def _temperature(scale: float) -> Verdict:
    least, most = (float(np.exp(limit)) for limit in LOG_SCALE_LIMITS)
    state, healthy = "within", True
    if scale <= least * 1.05:
        state, healthy = "at the lower end: all texts are as likely; more images, or another loss", False
    elif scale > most * 1.001:
        state, healthy = "above what training allows; is it a logarithm that was not taken?", False
    elif scale >= most * 0.999:
        state = "at the upper end, where large models end; a small one has learnt its pairs by heart"
    line = f"temperature: cosines are multiplied by {scale:.1f} ({least:g} to {most:g}): {state}"
    return Verdict("temperature", healthy, line, {"scale": scale})
