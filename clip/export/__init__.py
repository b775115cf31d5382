"""Checkpoints in the forms of other libraries."""

from pathlib import Path

from clip import zoo
from synth.base import extras
from synth.base.disk_errors import writing
from synth.base.errors import UserError


def export(model: Path, out: Path, to: str, config: Path | None = None) -> list[str]:
    """Write `model` in another form; what was written, and by how much it differs from ours, in lines for people.

    Raises:
        UserError: `model` is named as somebody else's; the other library has no such tower, or computes something else; the
            disk is full.
    """
    if (parts := zoo.split(model)) is not None:
        raise UserError(
            f"{model}: somebody else's model, which 'clip eval', 'clip embed' and 'clip predict' read as it is; "
            f"'clip export' takes a ckpt.pt of 'clip train', or with --to visionclip the file {parts[1]} alone"
        )
    with writing(out):
        return _written(model, out, to, config)


def _written(model: Path, out: Path, to: str, config: Path | None) -> list[str]:
    what = "largest difference of an embedding's component"
    if to == "onnx":
        extras.require("--to onnx", "onnx", "onnxscript", "onnxruntime")
        from clip.export.onnx import BATCHES, to_onnx

        found = to_onnx(model, out)
        sizes = " and ".join(map(str, BATCHES))
        return [
            f"{out / name}: {what} to torch, batches of {sizes}: {each:.1e}" for name, each in found.items()
        ]
    if to == "hf":
        from clip.export.huggingface import to_huggingface

        kind, difference = to_huggingface(model, out)
        opened = f"hf:{out} opens it here"
        if kind == "folder of parts" and not (out / "image" / "config.json").exists():
            opened += "; timm cannot build an image tower of such depth by itself, --to open_clip can be opened elsewhere"
        return [f"{out}: {kind}; {what}: {difference:.1e}; {opened}"]
    if to == "open_clip":
        extras.require("--to open_clip", "open_clip")
        from clip.export.open_clip import to_open_clip

        return [f"{out}: open_clip.create_model('local-dir:{out}'); {what}: {to_open_clip(model, out):.1e}"]
    if to == "cn_clip":
        from clip.export.cn_clip import to_cn_clip

        to_cn_clip(model, out)
    elif model.is_dir():
        from clip.export.huggingface import from_huggingface

        from_huggingface(model, out)
    else:
        from clip.export.cn_clip import from_cn_clip
        from clip.training.config import TrainConfig
        from synth.base.config import load

        from_cn_clip(model, load(TrainConfig, config).model, out)
    return [str(out)]
