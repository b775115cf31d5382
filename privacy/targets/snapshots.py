"""A generator at moments of its training, from the averages that `synth train` keeps along the way."""

from pathlib import Path

from privacy.targets.generator import Generator
from synth.base.errors import UserError


def places(run: Path) -> list[int]:
    """Images seen at each snapshot of a run, first to last.

    Raises:
        UserError: it kept none.
    """
    from synth.training import averages

    found = averages.places(run / "averages")
    if not found:
        raise UserError(
            f"{run}: no snapshots of averages; --run takes a folder of 'synth train', which keeps one every "
            "'snapshot_every' images"
        )
    return found


def at(run: Path, images: int, kept: Path) -> Generator:
    """The generator of a run when it had seen so many images, with the average that the run samples from.

    It is written into `kept`, unless it is there already.
    """
    from synth import pipeline
    from synth.training.averages import average

    folder = kept / f"generator-{images:012d}"
    if not (folder / "visionclip.json").exists():
        card = pipeline.read_card(pipeline.locate(run))
        assert card.average is not None  # 'synth train' writes it
        average(run, card.average, images, folder)
    return Generator(folder)
