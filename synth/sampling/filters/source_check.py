"""Whether the records that a copy filter compares with are those that the generator learnt from."""

import logging
from collections.abc import Sequence
from pathlib import Path

from synth.base.errors import UserError
from synth.data.records import data_fingerprint
from synth.model.card import GeneratorCard, TrainingSource
from synth.provenance.training_data import training_sources

_log = logging.getLogger("synth")
_NOBODY = ("phantom", "visionclip")  # drawn or sampled: no patient's


def check(records: Sequence[Path], card: GeneratorCard) -> None:
    """Refuse records that are not a generator's own; warn of its photographs that they leave out.

    The same records have the fingerprint in `card`; of a part of them, or in another order, the sources are
    compared: as many photographs of as many subjects in split `train` as the generator was trained on.

    Args:
        records: folders whose split `train` must not be copied.
        card:    the generator's.

    Raises:
        UserError: the generator did not learn from them.
    """
    student = card.distilled
    learnt = {card.data, student.data if student and "data" in student.model_fields_set else card.data}
    whole = learnt == {data_fingerprint(*records)}
    if whole and not card.start:
        return
    if not card.trained_on:
        _log.warning("--reject-copies: the generator does not say what it learnt from; nothing was compared")
        return
    given = training_sources(records)
    for found in given:
        if not whole and not any(_same(found, origin) for origin in card.trained_on):
            raise UserError(
                f"--reject-copies: the split 'train' of {', '.join(map(str, records))} has {_described(found)}, the generator "
                f"learnt from {'; '.join(map(_described, card.trained_on))}; give the records that it was trained on, with the same "
                "splits, each folder with a flag of its own"
            )
    names = {(found.source, found.title) for found in given}
    left = [
        origin
        for origin in card.trained_on
        if origin.source not in _NOBODY and (origin.source, origin.title) not in names
    ]
    if left:
        _log.warning(
            "--reject-copies: the generator learnt from %s too, which nothing protects; give these records with another "
            "--reject-copies",
            "; ".join(map(_described, left)),
        )


def _same(found: TrainingSource, origin: TrainingSource) -> bool:
    """Whether the photographs of a folder are those of a source; a private generator tells no number of images."""
    here, there = found.to_json(), origin.to_json()
    return all(here[key] == there[key] for key in ("source", "title", "images", "subjects") if key in there)


def _described(origin: TrainingSource) -> str:
    images = "photographs" if origin.images is None else f"{origin.images} photographs"
    return f"{images} of {origin.subjects} subjects from '{origin.source}'"
