"""What generators, released sets and checkpoints say of the records that they learnt from, compared with `--members`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from privacy.targets import Target
from privacy.targets.generator import Generator
from synth.base.errors import UserError

_CARD = "generator.json"  # of the generator that drew a released set
_TRAINED = "train"  # the split that every trainer of ours learns from


def fingerprints(
    generator: Generator | None, released: Path | None, encoder: Target | None
) -> dict[str, list[str]]:
    """What was given -> the fingerprints of the records that it learnt from, in trainings before too; nothing of what
    carries none."""
    from synth.model.card import GeneratorCard

    cards = {}
    if generator:
        cards["--generator"] = generator.card
    if released and (released / _CARD).exists():
        cards["--synthetic"] = GeneratorCard.read(released / _CARD)
    found = {name: sorted(card.learnt_from()) for name, card in cards.items()}
    if encoder and (data := encoder.metadata.get("training_data")):
        found["--model"] = [str(data)]
    return {name: each for name, each in found.items() if each}


def check_splits(
    learnt: Mapping[str, Sequence[str]], records: Mapping[str, str], splits: Mapping[str, Sequence[str]]
) -> None:
    """Refuse groups that a model's own fingerprint contradicts.

    Args:
        learnt:  what `fingerprints` gives.
        records: "--members" and "--nonmembers" -> fingerprint of their folder; `splits` those that were named of it.

    Raises:
        UserError: non-members are of the split that a model was trained on, or members are of another one.
    """
    for model, data in learnt.items():
        if records.get("--nonmembers") in data and _TRAINED in splits["--nonmembers"]:
            raise UserError(
                f"--nonmembers: {model} was trained on the split '{_TRAINED}' of these very records; give "
                "--nonmembers-split test, or other patients"
            )
        if records.get("--members") in data and set(splits["--members"]) != {_TRAINED}:
            raise UserError(
                f"--members: {model} was trained on the split '{_TRAINED}' of these records, and "
                f"{', '.join(splits['--members'])} was given; give --members-split {_TRAINED}"
            )


def doubt(
    learnt: Mapping[str, Sequence[str]], members: str, folder: Path, generator: Generator | None
) -> str:
    """Why it is not known that members were trained on; empty where a model says so, or none says anything.

    Args:
        members: the fingerprint of the records in `folder`.
    """
    if (
        not learnt
        or any(members in data for data in learnt.values())
        or (generator and _of_sources(folder, generator))
    ):
        return ""
    said = ", ".join(f"{name} {' '.join(each[:12] for each in data)}" for name, data in learnt.items())
    return (
        f"--members ({members[:12]}) is not what was trained on by its own account ({said}); give the records of the "
        "training, whole, as --members"
    )


def _of_sources(folder: Path, generator: Generator) -> bool:
    """Whether the split `train` of a folder has as many photographs of as many people of each source as were trained on."""
    from synth.provenance.training_data import training_sources

    known = {(each.source, each.images, each.subjects) for each in generator.card.trained_on}
    found = {(each.source, each.images, each.subjects) for each in training_sources([folder])}
    return bool(found) and found <= known
