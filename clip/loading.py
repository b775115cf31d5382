"""Models by what a user calls them: a checkpoint of ours, one on the Hugging Face Hub, or somebody else's."""

from pathlib import Path

from clip import zoo
from clip.model import checkpoints, folders
from clip.model.checkpoints import Header
from clip.model.encoders import CLIP
from clip.zoo.foreign import fetch
from synth.base.errors import UserError
from synth.base.runs import sha256

HUB = "hub:"
"""What stands before the NAME/REPO of a checkpoint of ours on the Hugging Face Hub."""


def load(spec: Path | str, finite: bool = True) -> tuple[CLIP, Header]:
    """A model in evaluation mode, on the CPU, and what is known of it: a checkpoint of ours, or another's (`clip.zoo`).

    `hf:FOLDER` is a ChineseCLIPModel, a SiglipModel, or what `clip export --to hf` wrote.  `hub:NAME/REPO` is a checkpoint of ours that `clip push` sent to the Hugging Face Hub.  Of ours, only who examines one
    takes weights that are not `finite`.

    Raises:
        UserError: no such file, or not what its name says; or the factor of its cosines is no number.
    """
    model, head = _opened(spec, finite)
    if finite and not model.logit_scale.exp().isfinite():
        raise UserError(
            f"{spec}: logit_scale={model.logit_scale.item():.3g} is the logarithm of no number; copy or train it again"
        )
    model.source = str(spec)
    return model, head


def _opened(spec: Path | str, finite: bool) -> tuple[CLIP, Header]:
    if str(spec).startswith(HUB) and not Path(spec).exists():
        path = fetch(str(spec).removeprefix(HUB), [checkpoints.FILE])
        model, head = checkpoints.load(path, finite)
        return model, head.model_copy(update={"sha256": sha256(path)})
    if zoo.split(spec) is None:
        return checkpoints.load(Path(spec), finite)
    kind, source, _ = zoo.split(spec) or ("", "", "")
    if kind == "hf" and (Path(source) / folders.FILE).is_file():
        return folders.load(Path(source)), folders.read(Path(source))
    model = zoo.load(spec)
    settings = model.config.model_dump(mode="json")
    return model, Header(format=model.config.kind, model=settings, sha256=model.file and sha256(model.file))


def load_model(spec: Path | str) -> CLIP:
    """The model of a checkpoint of ours, or another's by `KIND:FILE`, in evaluation mode, on the CPU."""
    return load(spec)[0]
