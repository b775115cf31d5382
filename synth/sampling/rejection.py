"""Samples that are drawn again: copies of training photographs, those that contradict their label, and implausible eyes.

Labels stay, noise and seed are those of (plan, image, attempt), so that a shard is still a function of its plan.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, device

from synth.base.errors import UserError
from synth.sampling.filters.settings import ATTEMPTS, FilterSettings
from synth.sampling.plan import Draw


def folder(out: Path) -> Path:
    """Where the filters of the samples in `out` are kept: beside it, for they hold what is known of patients."""
    return out.absolute().with_name(f".{out.absolute().name}.filters")


def prepare(
    out: Path,
    size: int,
    copies: Sequence[Path],
    mislabelled: Path | None,
    classifier: Path | None = None,
    anatomy: bool = False,
) -> FilterSettings | None:
    """The filters of a plan, None where none is wanted.  Prepared once, then read from `folder(out)`.

    Args:
        size:        pixels a side of the samples.
        copies:      folders of records whose training photographs must not be copied.
        mislabelled: records that a classifier learns the labels from.
        classifier:  one that has learnt from them already.
        anatomy:     whether implausible eyes are drawn again.

    Raises:
        UserError: the records do not allow it.
    """
    if classifier is not None and mislabelled is None:
        raise UserError("--label-classifier needs --reject-mislabelled RECORDS, to calibrate it with")
    filters: dict[str, Any] = {}
    if copies:
        from synth.sampling.filters import copy_filter

        filters["copies"] = copy_filter.prepare(copies, size, folder(out))
    if mislabelled is not None:
        from synth.sampling.filters import label_filter

        filters["mislabelled"] = label_filter.prepare(mislabelled, classifier, size, folder(out))
    if anatomy:
        from synth.sampling.filters import anatomy_filter

        filters["anatomy"] = anatomy_filter.prepare()
    return FilterSettings(**filters, attempts=ATTEMPTS) if filters else None


class Verdict(NamedTuple):
    """What the filters say of one sample."""

    copy: bool
    contradicted: dict[str, float]
    """Label -> logits by which the classifier contradicts it."""
    implausible: bool = False
    """Whether disc, macula or vessels are not those of an eye."""

    @property
    def good(self) -> bool:
        return not self.copy and not self.contradicted and not self.implausible

    @property
    def fault(self) -> tuple[bool, float]:
        """What is wrong with a sample that is no copy; less is better."""
        return self.implausible, max(self.contradicted.values(), default=0.0)


class Filters:
    """The filters of a plan, opened.

    Args:
        settings: `plan.filters`.
        cache: `folder` of the samples.
        place: where networks compute; None is the accelerator.
    """

    def __init__(self, settings: FilterSettings, cache: Path, place: device | None = None) -> None:
        self._copies = self._labels = self._anatomy = None
        if settings.copies:
            from synth.sampling.filters.copy_filter import CopyFilter

            self._copies = CopyFilter(settings.copies, cache, place)
        if settings.mislabelled:
            from synth.sampling.filters.label_filter import LabelFilter

            self._labels = LabelFilter(settings.mislabelled, cache, place)
        if settings.anatomy:
            from synth.sampling.filters.anatomy_filter import AnatomyFilter

            self._anatomy = AnatomyFilter(settings.anatomy, place)

    def check(self, pictures: np.ndarray, labels: Sequence[dict[str, Any]]) -> list[Verdict]:
        """A verdict on each of (N, S, S, 3) uint8 samples and what each was asked to show."""
        nothing = np.zeros(len(pictures), bool)
        copies = self._copies.copies(pictures) if self._copies else nothing
        wrong = self._labels.contradictions(pictures, list(labels)) if self._labels else [{}] * len(pictures)
        odd = self._anatomy.implausible(pictures, labels) if self._anatomy else nothing
        return [
            Verdict(bool(copy), found, bool(strange))
            for copy, found, strange in zip(copies, wrong, odd, strict=True)
        ]


class Candidate(NamedTuple):
    """One attempt at an image."""

    draw: Draw
    picture: Tensor
    verdict: Verdict


def rejection_sample(
    first: int,
    wanted: list[Draw],
    kept: int,
    sample: Callable[[list[Draw]], Tensor],
    again: Callable[[int, int], Draw],
    check: Callable[[np.ndarray, Sequence[dict[str, Any]]], list[Verdict]],
    attempts: int = ATTEMPTS,
) -> tuple[list[Candidate], Counter[str]]:
    """The first good attempt at each of the first `kept` images of a batch.

    Where none is good, a plausible one, and of these the one that contradicts its labels least.  Further batches are as large as the first and
    hold the next attempts at what is still open, each as often as there is room.

    Args:
        first:  index of the first image, for errors.
        wanted: a whole batch of first attempts.
        sample: (B, S, S, 3) uint8 of a whole batch.
        again:  attempt a, from 1, at the image in a place of the batch.

    Returns:
        A candidate per image; what was rejected, under the keys of `count`.

    Raises:
        UserError: every attempt at an image is a copy.
    """

    def checked(drawn: list[Draw]) -> list[Candidate]:
        pictures = sample(drawn)
        verdicts = check(pictures.cpu().numpy(), [draw.labels for draw in drawn])
        return [Candidate(*found) for found in zip(drawn, pictures, verdicts, strict=True)]

    tried: list[list[Candidate]] = [[found] for found in checked(wanted)[:kept]]
    while open_ := [
        p for p, found in enumerate(tried) if not found[-1].verdict.good and len(found) <= attempts
    ]:
        slots = [(open_[i % len(open_)], i // len(open_)) for i in range(len(wanted))]
        begun = {place: len(tried[place]) for place in open_}
        drawn = [again(place, begun[place] + round) for place, round in slots]
        for (place, _), found in zip(slots, checked(drawn), strict=True):
            if not tried[place][-1].verdict.good and len(tried[place]) <= attempts:
                tried[place].append(found)
    chosen = [_chosen(found, first + place) for place, found in enumerate(tried)]
    return chosen, count(tried, chosen)


def _chosen(tried: list[Candidate], index: int) -> Candidate:
    """The good one, which is the last, or else a plausible one, and of these the one that contradicts its labels least."""
    able = [found for found in tried if not found.verdict.copy]
    if not able:
        labels = {key: value for key, value in tried[0].draw.labels.items() if value not in (None, 0, [])}
        raise UserError(
            f"image {index}, {labels}: {len(tried)} draws in a row are copies of training photographs; the generator "
            "repeats its patients: train it on more of them or for less long, or leave these labels out of --labels"
        )
    return min(able, key=lambda found: found.verdict.fault)


def count(tried: list[list[Candidate]], chosen: list[Candidate]) -> Counter[str]:
    """`drawn`, `copies`, `mislabelled`, `mislabelled LABEL` for each label, `implausible`, and `kept though ...` of both.

    A rejected sample counts as a copy or as what else is wrong with it, not as both, and under each label that it contradicts.
    """
    counts = Counter[str](drawn=sum(map(len, tried)), copies=0, mislabelled=0)
    for found, kept in zip(tried, chosen, strict=True):
        for verdict in (candidate.verdict for candidate in found if candidate is not kept):
            counts["copies"] += verdict.copy
            if not verdict.copy:
                counts["mislabelled"] += bool(verdict.contradicted)
                counts.update(f"mislabelled {label}" for label in verdict.contradicted)
                counts.update(["implausible"] * verdict.implausible)
        counts["kept though mislabelled"] += bool(kept.verdict.contradicted)
        counts.update(["kept though implausible"] * kept.verdict.implausible)
    return counts
