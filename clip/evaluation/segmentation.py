"""Segmentation: an image tower with a decoder on its levels learns to say of each pixel which class it is of.

The tower goes on learning or is frozen; the same network with fresh weights tells what the encoder's own were worth, and
the mean mask of the training photographs what can be told without looking.
"""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from clip import loading
from clip.evaluation import coding, core, learning, masks, outlines, overlap, report
from clip.evaluation.coding import Coding
from clip.evaluation.masks import Masked
from clip.evaluation.pyramid import Segmenter, fit
from clip.evaluation.results import EvaluationReport, Metric, Part, SegmentationResult
from clip.evaluation.segmenting import UNTRAINED, Mode, SegmentationConfig, learn, probabilities
from clip.inputs.sets import Data
from clip.model.encoders import CLIP
from clip.zoo.foreign import Foreign
from synth.base import runs, stats
from synth.base.config import fingerprint
from synth.base.errors import UserError

BASELINE = "mean mask"
SOURCE = (
    "Dice and IoU of each photograph, on its own pixels, averaged over those that hold a class or are said to, "
    "then over classes"
)
ONCE = "Each value is of one training; its interval is over patients alone."


class Parts(NamedTuple):
    """Photographs with masks; no patient is in two of the three."""

    train: Masked
    validation: Masked
    test: Masked


def evaluate(
    config: SegmentationConfig, model: Path, data: Data, splits: Sequence[str], name: str | None, command: str
) -> EvaluationReport:
    """The report of towers that learn to segment on `train`, stopped by `validation`, judged on `splits`.

    Raises:
        UserError: a model without levels, a photograph without a mask that fits it, or too few of each class.
    """
    if name is not None:
        raise UserError(
            f"--prompts {name}: --task segmentation reads its classes from the masks; leave it out"
        )
    if not isinstance(data, Path):
        raise UserError(
            f"{data}: --task segmentation reads records, or folders images/ and masks/, and no lists"
        )
    network, head = loading.load(model)
    preprocessing = network.config.preprocessing
    size = config.size or preprocessing.size
    fit(deepcopy(network), size, str(model))
    if size != preprocessing.size:  # what is cropped afterwards is scaled with the rest
        whole = getattr(preprocessing, "resize", None)
        preprocessing = preprocessing.model_copy(
            update={"size": size} | ({"resize": round(whole * size / preprocessing.size)} if whole else {})
        )
    with masks.opened(data, config.subject, config.shares) as (records, imported):
        tables = learning.tables(records, splits)
        folder = config.masks or data / "masks"
        given = {key: getattr(config, key) for key in ("classes", "background", "nested")}
        names = coding.of(folder, {key: value for key, value in given.items() if value is not None})
        wanted = (["train"], ["validation"], list(splits))
        parts = Parts(*(masks.read(records, part, folder, names, preprocessing) for part in wanted))
        provenance = core.provenance(records, splits, len(tables.test)).with_import(str(data), imported)
    masks_read = {
        "folder": str(folder),
        "fingerprint": fingerprint([runs.sha256(each.mask) for part in parts for each in part.photographs]),
        "coding": names.model_dump(),
        "pixels": size,
    }
    provenance = provenance.model_copy(update={"masks": masks_read})
    results = evaluate_parts(config, network, parts, names)
    return report.compose(config, model, head, provenance, results, command)


def evaluate_parts(
    config: SegmentationConfig, model: CLIP, parts: Parts, names: Coding
) -> list[SegmentationResult]:
    """Results over all classes that can be judged, and for each of several: every mode."""
    counted = {BASELINE: _baseline(parts, names)}
    classes, left_out = _large_classes(config, parts.train, counted[BASELINE], names)
    foreign = isinstance(model, Foreign)  # patient_ids tower cannot be built anew
    modes: tuple[Mode, ...] = tuple(m for m in config.modes if not (foreign and m in UNTRAINED))
    if not modes:
        raise UserError(
            f"--set modes={list(config.modes)}: only checkpoints of 'clip train' can be built anew; choose full or frozen"
        )
    predicted: dict[str, np.ndarray] = {}
    chosen = {}
    for mode in modes:
        network, epoch = learn(config, mode, model, parts.train, parts.validation, names)
        counted[mode], predicted[mode] = compared(network, parts.test, names)
        chosen[mode] = {"epoch": epoch}
    whole = _result(config, parts, names, counted, classes)
    whole.chosen, whole.left_out = chosen, left_out
    results = [whole]
    if absent := [mode for mode in config.modes if mode not in modes]:
        whole.notes.append(f"Left out: {', '.join(absent)}, as this tower cannot be built anew.")
    if config.sheet:
        places = [list(names.classes).index(each) for each in classes]
        whole.picture = _sheet(config.sheet, parts.test, names, counted, predicted, places)
    if len(classes) > 1:
        results += [_result(config, parts, names, counted, {each: n}) for each, n in classes.items()]
    return results


def _large_classes(
    config: SegmentationConfig, train: Masked, counted: np.ndarray, names: Coding
) -> tuple[dict[str, int], dict[str, int]]:
    """The classes that are on enough photographs, with those of the test that hold them; and the others."""
    learnt = names.regions(train.masks).any(axis=(2, 3)).sum(axis=1)
    held = (counted[..., 2] > 0).sum(axis=0)
    sizes = {each: int(n) for each, n in zip(names.classes, held, strict=True)}
    large = dict(zip(names.classes, np.minimum(learnt, held) >= config.min_count, strict=True))
    if not any(large.values()):
        told = ", ".join(f"{each} {n} and {sizes[each]}" for each, n in zip(sizes, learnt, strict=True))
        raise UserError(
            f"no class is on {config.min_count} photographs of train and of test ({told}); add photographs, or --set min_count=N"
        )
    kept = {each: n for each, n in sizes.items() if large[each]}
    return kept, {each: n for each, n in sizes.items() if not large[each]}


def compared(network: Segmenter, test: Masked, names: Coding) -> tuple[np.ndarray, np.ndarray]:
    """(n, K, 3) counts on the photographs' own pixels, and what was told on their squares, (n, S, S) uint8."""
    counted, squares = [], []
    for photo, each in zip(test.photographs, probabilities(network, test.pixels), strict=True):
        predicted, truth = masks.spread(each, photo.window, photo.shape), names.read(photo.mask, photo.shape)
        counted.append(overlap.counts(names.regions(truth), names.regions(predicted)))
        squares.append(each.argmax(dim=0).byte().cpu().numpy())
    return np.stack(counted), np.stack(squares)


def _baseline(parts: Parts, names: Coding) -> np.ndarray:
    """(n, K, 3) counts of the mean mask, laid where each square of the test lies in its photograph."""
    guess, test = overlap.mean_mask(names.regions(parts.train.masks)), parts.test
    counted = []
    for photo in test.photographs:
        left, top, right, bottom = photo.window
        wide = (Image.fromarray(each).resize((right - left, bottom - top)) for each in guess)
        predicted = [masks.paste(np.asarray(each, np.uint8), photo.window, photo.shape) > 0 for each in wide]
        truth = names.regions(names.read(photo.mask, photo.shape))
        counted.append(overlap.counts(truth, np.stack(predicted)))
    return np.stack(counted)


def _result(
    config: SegmentationConfig,
    parts: Parts,
    names: Coding,
    counted: dict[str, np.ndarray],
    classes: dict[str, int],
) -> SegmentationResult:
    """All classes, or one: a row for each mode, and by how much each differs, the same patients drawn."""
    places = [list(names.classes).index(each) for each in classes]
    people, patient_ids = np.unique([each.subject for each in parts.test.photographs], return_inverse=True)
    drawn = stats.draws(len(people), config.n_bootstrap, config.seed)
    values = {
        row: {
            key: stats.over(drawn, patient_ids, overlap.statistic(metric(found[:, places])))
            for key, metric in overlap.METRICS.items()
        }
        for row, found in counted.items()
    }
    differences = _differences({row: found["dice"] for row, found in values.items()}, len(people))
    told = "; ".join(f"{pair} {report.estimate(value)}" for pair, value in differences.items())
    alone = f"-{next(iter(classes))}" if len(classes) == 1 < len(names.classes) else ""
    baseline = values.pop(BASELINE)
    return SegmentationResult(
        task="segmentation",
        name=f"segmentation{alone}",
        title=f"segmentation of {', '.join(classes)}",
        source=SOURCE,
        n=len(parts.test.photographs),
        patients=len(people),
        classes=classes,
        left_out={},
        train=_size(parts.train),
        validation=_size(parts.validation),
        metrics={
            row: {key: Metric.of(stats.estimate(each, len(people))) for key, each in values_of.items()}
            for row, values_of in values.items()
        },
        without_pictures={BASELINE: {key: float(each[0]) for key, each in baseline.items()}},
        differences=differences,
        notes=[f"Differences in Dice, the same patients drawn: {told}.", ONCE],
    )


def _differences(dice: dict[str, np.ndarray], patients: int) -> dict[str, Metric]:
    """By how much each row is above the mean mask, and what the encoder learnt above what it did not."""
    pairs = [(row, BASELINE) for row in dice if row != BASELINE]
    pairs += [
        pair for pair in (("full", "untrained"), ("frozen", "untrained-frozen")) if set(pair) <= dice.keys()
    ]
    return {
        f"{row} - {base}": Metric.of(stats.estimate(dice[row] - dice[base], patients)) for row, base in pairs
    }


def _size(part: Masked) -> Part:
    return Part(n=len(part.photographs), patients=len({each.subject for each in part.photographs}))


def _sheet(
    count: int,
    test: Masked,
    names: Coding,
    counted: dict[str, np.ndarray],
    predicted: dict[str, np.ndarray],
    places: list[int],
) -> Image.Image:
    """The picture of outlines: photographs from the worst to the best of the first mode."""
    dice = {mode: _over_classes(overlap.dice(counted[mode][:, places])) for mode in predicted}
    first = next(iter(dice.values()))
    order = np.argsort(first, kind="stable")[: int(np.isfinite(first).sum())]
    chosen = order[np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))]
    return outlines.sheet(
        [test.pixels[i] for i in chosen],
        [names.regions(test.masks[i])[places] for i in chosen],
        {mode: [names.regions(each[i])[places] for i in chosen] for mode, each in predicted.items()},
        {mode: [f"Dice {each[i]:.3f}" for i in chosen] for mode, each in dice.items()},
    )


def _over_classes(values: np.ndarray) -> np.ndarray:
    """(n,) means of (n, K) over what is not nan; nan where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=1)
    return np.divide(total, known.sum(axis=1), out=np.full(len(values), np.nan), where=known.any(axis=1))
