"""Segmentation: an image tower with a decoder on its levels learns to say of each pixel which class it is of.

The tower goes on learning or is frozen; the same network with fresh weights tells what the encoder's own were worth, and
the mean mask of the training photographs what can be told without looking.
"""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from clip import loading
from clip.evaluation import coding, core, learning, masks, outlines, overlap, report
from clip.evaluation.coding import Coding
from clip.evaluation.masks import Masked
from clip.evaluation.pyramid import Segmenter, fit
from clip.evaluation.segmenting import UNTRAINED, Mode, SegmentationConfig, learn, probabilities
from clip.model.encoders import CLIP
from clip.zoo.foreign import Foreign
from synth.base import runs, stats
from synth.base.config import fingerprint
from synth.base.errors import UserError

BLIND = "mean mask"
SOURCE = (
    "Dice and IoU of each photograph, on its own pixels, averaged over those that hold a class or are said to, "
    "then over classes"
)
ONCE = "Each value is of one training; its interval is over patients alone."

report.METRICS.update({"dice": "Dice", "iou": "IoU"})


class Parts(NamedTuple):
    """Photographs with masks; no patient is in two of the three."""

    train: Masked
    validation: Masked
    test: Masked


def evaluate(
    config: SegmentationConfig, model: Path, data: Path, splits: Sequence[str], name: str | None, command: str
) -> dict[str, Any]:
    """The report of towers that learn to segment on `train`, stopped by `validation`, judged on `splits`.

    Raises:
        UserError: a model without levels, a photograph without a mask that fits it, or too few of each class.
    """
    if name is not None:
        raise UserError(
            f"--prompts {name}: --task segmentation reads its classes from the masks; leave it out"
        )
    network, head = loading.load(model)
    seen = network.config.preprocessing
    size = config.size or seen.size
    fit(deepcopy(network), size, str(model))
    if size != seen.size:  # what is cropped afterwards is scaled with the rest
        whole = getattr(seen, "resize", None)
        seen = seen.model_copy(
            update={"size": size} | ({"resize": round(whole * size / seen.size)} if whole else {})
        )
    with masks.opened(data, config.subject, config.shares) as (records, imported):
        tables = learning.tables(records, splits)
        folder = config.masks or data / "masks"
        given = {key: getattr(config, key) for key in ("classes", "background", "nested")}
        names = coding.of(folder, {key: value for key, value in given.items() if value is not None})
        wanted = (["train"], ["validation"], list(splits))
        parts = Parts(*(masks.read(records, part, folder, names, seen) for part in wanted))
        facts = core.facts(records, splits, len(tables.test)) | {"data": str(data)} | imported
    facts["masks"] = {
        "folder": str(folder),
        "fingerprint": fingerprint([runs.sha256(each.mask) for part in parts for each in part.photographs]),
        "coding": names.model_dump(),
        "pixels": size,
    }
    results = judge(config, network, parts, names)
    return report.compose(config, report.checkpoint(model, head), facts, results, command)


def judge(config: SegmentationConfig, model: CLIP, parts: Parts, names: Coding) -> list[dict[str, Any]]:
    """Results over all classes that can be judged, and for each of several: every mode."""
    counted = {BLIND: _blind(parts, names)}
    classes, left_out = _judged(config, parts.train, counted[BLIND], names)
    foreign = isinstance(model, Foreign)  # whose tower cannot be built anew
    modes: tuple[Mode, ...] = tuple(m for m in config.modes if not (foreign and m in UNTRAINED))
    if not modes:
        raise UserError(
            f"--set modes={list(config.modes)}: only checkpoints of 'clip train' can be built anew; choose full or frozen"
        )
    said: dict[str, np.ndarray] = {}
    chosen = {}
    for mode in modes:
        network, epoch = learn(config, mode, model, parts.train, parts.validation, names)
        counted[mode], said[mode] = compared(network, parts.test, names)
        chosen[mode] = {"epoch": epoch}
    results = [_result(config, parts, names, counted, classes) | {"chosen": chosen, "left_out": left_out}]
    if absent := [mode for mode in config.modes if mode not in modes]:
        results[0]["notes"].append(f"Left out: {', '.join(absent)}, as this tower cannot be built anew.")
    if config.sheet:
        places = [list(names.classes).index(each) for each in classes]
        results[0]["sheet"] = _sheet(config.sheet, parts.test, names, counted, said, places)
    if len(classes) > 1:
        results += [_result(config, parts, names, counted, {each: n}) for each, n in classes.items()]
    return results


def _judged(
    config: SegmentationConfig, train: Masked, counted: np.ndarray, names: Coding
) -> tuple[dict[str, int], dict[str, int]]:
    """The classes that are on enough photographs, with those of the test that hold them; and the others."""
    learnt = names.regions(train.masks).any(axis=(2, 3)).sum(axis=1)
    held = (counted[..., 2] > 0).sum(axis=0)
    sizes = {each: int(n) for each, n in zip(names.classes, held, strict=True)}
    large = dict(zip(names.classes, np.minimum(learnt, held) >= config.least, strict=True))
    if not any(large.values()):
        told = ", ".join(f"{each} {n} and {sizes[each]}" for each, n in zip(sizes, learnt, strict=True))
        raise UserError(
            f"no class is on {config.least} photographs of train and of test ({told}); add photographs, or --set least=N"
        )
    kept = {each: n for each, n in sizes.items() if large[each]}
    return kept, {each: n for each, n in sizes.items() if not large[each]}


def compared(network: Segmenter, test: Masked, names: Coding) -> tuple[np.ndarray, np.ndarray]:
    """(n, K, 3) counts on the photographs' own pixels, and what was told on their squares, (n, S, S) uint8."""
    counted, squares = [], []
    for photo, each in zip(test.photographs, probabilities(network, test.pixels), strict=True):
        said, truth = masks.spread(each, photo.window, photo.shape), names.read(photo.mask, photo.shape)
        counted.append(overlap.counts(names.regions(truth), names.regions(said)))
        squares.append(each.argmax(dim=0).byte().cpu().numpy())
    return np.stack(counted), np.stack(squares)


def _blind(parts: Parts, names: Coding) -> np.ndarray:
    """(n, K, 3) counts of the mean mask, laid where each square of the test lies in its photograph."""
    guess, test = overlap.mean_mask(names.regions(parts.train.masks)), parts.test
    counted = []
    for photo in test.photographs:
        left, top, right, bottom = photo.window
        wide = (Image.fromarray(each).resize((right - left, bottom - top)) for each in guess)
        said = [masks.paste(np.asarray(each, np.uint8), photo.window, photo.shape) > 0 for each in wide]
        truth = names.regions(names.read(photo.mask, photo.shape))
        counted.append(overlap.counts(truth, np.stack(said)))
    return np.stack(counted)


def _result(
    config: SegmentationConfig,
    parts: Parts,
    names: Coding,
    counted: dict[str, np.ndarray],
    classes: dict[str, int],
) -> dict[str, Any]:
    """All classes, or one: a row for each mode, and by how much each differs, the same patients drawn."""
    places = [list(names.classes).index(each) for each in classes]
    people, whose = np.unique([each.subject for each in parts.test.photographs], return_inverse=True)
    drawn = stats.draws(len(people), config.rounds, config.seed)
    values = {
        row: {
            key: stats.over(drawn, whose, overlap.statistic(metric(found[:, places])))
            for key, metric in overlap.METRICS.items()
        }
        for row, found in counted.items()
    }
    differences = _differences({row: found["dice"] for row, found in values.items()}, len(people))
    told = "; ".join(f"{pair} {report.estimate(value)}" for pair, value in differences.items())
    alone = f"-{next(iter(classes))}" if len(classes) == 1 < len(names.classes) else ""
    blind = values.pop(BLIND)
    return {
        "task": "segmentation",
        "name": f"segmentation{alone}",
        "title": f"segmentation of {', '.join(classes)}",
        "source": SOURCE,
        "n": len(parts.test.photographs),
        "patients": len(people),
        "classes": classes,
        "left_out": {},
        "train": _size(parts.train),
        "validation": _size(parts.validation),
        "metrics": {
            row: {key: core.plain(stats.estimate(each, len(people))) for key, each in found.items()}
            for row, found in values.items()
        },
        "without_pictures": {BLIND: {key: float(each[0]) for key, each in blind.items()}},
        "differences": differences,
        "notes": [f"Differences in Dice, the same patients drawn: {told}.", ONCE],
    }


def _differences(dice: dict[str, np.ndarray], patients: int) -> dict[str, dict[str, float]]:
    """By how much each row is above the mean mask, and what the encoder learnt above what it did not."""
    pairs = [(row, BLIND) for row in dice if row != BLIND]
    pairs += [
        pair for pair in (("full", "untrained"), ("frozen", "untrained-frozen")) if set(pair) <= dice.keys()
    ]
    return {
        f"{row} - {base}": core.plain(stats.estimate(dice[row] - dice[base], patients)) for row, base in pairs
    }


def _size(part: Masked) -> dict[str, int]:
    return {"n": len(part.photographs), "patients": len({each.subject for each in part.photographs})}


def _sheet(
    count: int,
    test: Masked,
    names: Coding,
    counted: dict[str, np.ndarray],
    said: dict[str, np.ndarray],
    places: list[int],
) -> Image.Image:
    """The picture of outlines: photographs from the worst to the best of the first mode."""
    dice = {mode: _over_classes(overlap.dice(counted[mode][:, places])) for mode in said}
    first = next(iter(dice.values()))
    order = np.argsort(first, kind="stable")[: int(np.isfinite(first).sum())]
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))]
    return outlines.sheet(
        [test.pixels[i] for i in chosen],
        [names.regions(test.masks[i])[places] for i in chosen],
        {mode: [names.regions(each[i])[places] for i in chosen] for mode, each in said.items()},
        {mode: [f"Dice {each[i]:.3f}" for i in chosen] for mode, each in dice.items()},
    )


def _over_classes(values: np.ndarray) -> np.ndarray:
    """(n,) means of (n, K) over what is not nan; nan where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=1)
    return np.divide(total, known.sum(axis=1), out=np.full(len(values), np.nan), where=known.any(axis=1))
