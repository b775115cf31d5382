"""A generator that saw neither group: what it can tell of them is not membership."""

from collections.abc import Sequence

from privacy.targets.generator import Generator

_NOBODY = ("phantom", "visionclip")  # drawn or sampled: no patient's


def shipped(audited: Generator, records: Sequence[str], sources: Sequence[str | None]) -> Generator | None:
    """The generator that comes with the package; None where it may know a group, or the audited one comes of it.

    Args:
        records: fingerprints of the records of both groups.
        sources: what their column `source` names.
    """
    from synth.model.card import SHIPPED, read_card, weights_fingerprint

    card, weights = read_card(SHIPPED), weights_fingerprint(SHIPPED)
    theirs = audited.card
    related = {audited.fingerprint, *([theirs.distilled.teacher] if theirs.distilled else [])}
    known = {origin.source for origin in card.trained_on} - set(_NOBODY)
    if (
        weights in related
        or theirs.data == card.data
        or card.learnt_from() & {*records}
        or known & set(sources)
    ):
        return None
    return Generator(SHIPPED)
