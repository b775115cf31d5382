"""The folder of a training run: whose it is, what resumes it, what is left when it is done."""

import shutil
from pathlib import Path
from typing import Any

import torch

from clip import embed
from clip.encoders import CLIP
from synth.base import checkpoint, runs
from synth.base.config import fingerprint
from synth.base.errors import UserError

STATE_FORMAT, STATE_VERSION = "visionclip-clip-training", 1


def claim(run: Path, config: dict[str, Any], source: str) -> None:
    """Make `run` the home of this training, or find that it is.

    Raises:
        UserError: the folder belongs to another config or data, or holds something else.
    """
    path = run / "config.json"
    wanted = {"config": config, "data": source}
    if not path.exists():
        if run.is_dir() and any(not p.name.startswith(".") for p in run.iterdir()):
            raise UserError(f"{run}: not empty and no run of 'clip train'; choose another --out")
        runs.write_json(path, wanted)
        return
    found = runs.read_json(path)
    if fingerprint(found) == fingerprint(wanted):
        return
    if not isinstance(found, dict) or set(found) != set(wanted):
        raise UserError(f"{run}: not a run of 'clip train'; choose another --out")
    if found["data"] != source:
        raise UserError(
            f"{run}: a run on other records (data {found['data'][:12]}, here {source[:12]}); choose another --out"
        )
    there, here = _flat(found["config"]), _flat(wanted["config"])
    key = min(key for key in {*there, *here} if there.get(key) != here.get(key))
    raise UserError(
        f"{run}: a run of another config ({key} is {there.get(key)!r} there, {here.get(key)!r} here); "
        "choose another --out or delete the folder"
    )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def save(run: Path, model: CLIP, optimizer: Any, config: dict[str, Any], source: str, images: int) -> None:
    """Write the checkpoint for everyone, then what resumes the run.

    In this order a kill between the two costs nothing: at the end of a run the checkpoint is all that counts,
    and before, it is written again.
    """
    facts = {"config": config, "data": source, "images": images}
    weights = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    state = checkpoint.header(
        STATE_FORMAT, STATE_VERSION, images=images, weights=weights, optimizer=optimizer.state_dict()
    )
    checkpoint.save(run / "ckpt.pt", embed.header(model, **facts) | {"weights": weights})
    checkpoint.save(run / "state.pt", state)


def load(run: Path, model: CLIP, optimizer: torch.optim.Optimizer) -> int:
    """Load what `save` wrote, if it did; returns the images seen."""
    path = run / "state.pt"
    if not path.exists():
        return 0
    state = checkpoint.check_header(path, checkpoint.load(path), STATE_FORMAT, STATE_VERSION)
    model.load_state_dict(state["weights"])
    optimizer.load_state_dict(state["optimizer"])
    return state["images"]


def clear(run: Path) -> None:
    """Remove what only a run under way needs: the optimizer's state, the decoded photographs, and half-written files."""
    (run / "state.pt").unlink(missing_ok=True)
    for path in run.glob(".*.tmp"):
        path.unlink()
    shutil.rmtree(run / "cache", ignore_errors=True)
