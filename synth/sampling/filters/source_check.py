"""Whether the photographs that a guard is to protect are those that the generator learnt from."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synth.base.errors import UserError
from synth.data.records import data_fingerprint
from synth.provenance.training_data import Origin, origins

_log = logging.getLogger("synth")
_NOBODY = ("phantom", "visionclip")  # drawn or sampled: no patient's


def check(records: Sequence[Path], known: dict[str, Any]) -> None:
    """Refuse records that are not a generator's own; warn of its photographs that they leave unprotected.

    The same records have the fingerprint in `known`; of a part of them, or in another order, the sources are
    compared: as many photographs of as many subjects in split `train` as the generator was trained on.

    Args:
        records: folders whose split `train` is to be protected.
        known:   the generator's visionclip.json.

    Raises:
        UserError: the generator did not learn from them.
    """
    taught = {known.get("data"), known.get("distilled", {}).get("data", known.get("data"))}
    if taught == {data_fingerprint(*records)}:
        return
    told: list[Origin] = known.get("trained_on") or []
    if not told:
        _log.warning("--reject-copies: the generator does not say what it learnt from; nothing was compared")
        return
    given = origins(records)
    for found in given:
        if not any(_same(found, origin) for origin in told):
            raise UserError(
                f"--reject-copies: the split 'train' of {', '.join(map(str, records))} has {_said(found)}, the generator "
                f"learnt from {'; '.join(map(_said, told))}; give the records that it was trained on, with the same "
                "splits, each folder with a flag of its own"
            )
    left = [o for o in told if o["source"] not in _NOBODY and not any(_same(found, o) for found in given)]
    if left:
        _log.warning(
            "--reject-copies: the generator learnt from %s too, which nothing protects; give these records with another "
            "--reject-copies",
            "; ".join(map(_said, left)),
        )


def _same(found: Origin, told: Origin) -> bool:
    """Whether the photographs of a folder are those of a source; a private generator tells no number of images."""
    return all(found[key] == told[key] for key in ("source", "title", "images", "subjects") if key in told)


def _said(origin: Origin) -> str:
    images = f"{origin['images']} photographs" if "images" in origin else "photographs"
    return f"{images} of {origin['subjects']} subjects from '{origin['source']}'"
