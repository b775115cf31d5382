"""A small classifier of several labels at once: what generators are judged with, and samples checked by.

It learns from records, from random weights or those of other photographs, and what is unknown teaches it nothing.
"""

from collections.abc import Sequence
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from synth.base import checkpoint, networks, pretrained
from synth.base.config import check
from synth.base.device import accelerator, constant
from synth.base.errors import UserError
from synth.base.order import step_seed, visited
from synth.base.runs import claim, progress, sha256
from synth.classifier.augmentation import augment
from synth.classifier.classifier_config import ClassifierConfig
from synth.classifier.targets import TARGETS, enough, targets
from synth.data.pictures import pixels
from synth.data.records import data_fingerprint, read_table
from synth.data.tensors import as_tensor

FORMAT, VERSION = "visionclip-classifier", 1
_STATE = "visionclip-classifier-state"


class Classifier(nn.Module):
    """Pictures -> one logit per label; the labels are judged independently of each other."""

    def __init__(self, config: ClassifierConfig, labels: Sequence[str]) -> None:
        super().__init__()
        self.config, self.labels = config, tuple(labels)
        self.network = networks.build(config.architecture, len(labels))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> (B, L) logits."""
        return self.network(self._scaled(images))

    def _scaled(self, images: Tensor) -> Tensor:
        """By the image statistics of the weights that it began with; random ones learn from [-1, 1]."""
        if self.config.initial is None:
            return images
        known: Any = self.network.pretrained_cfg
        mean, std = (constant(tuple(known[key]), images.device).view(1, 3, 1, 1) for key in ("mean", "std"))
        return (images * 0.5 + 0.5 - mean) / std

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        """(N, S, S, 3) uint8, preprocessed as `config.preprocessing` says -> (N, L) probabilities.

        Positives were given more weight in training, so .5 is the best cut and not a prevalence.
        """
        return self._batched(pictures, lambda images: self(images).sigmoid())

    def features(self, pictures: np.ndarray) -> np.ndarray:
        """(N, S, S, 3) uint8 -> (N, D), what the last layer sees."""
        network: Any = self.network
        return self._batched(
            pictures,
            lambda images: network.forward_head(
                network.forward_features(self._scaled(images)), pre_logits=True
            ),
        )

    @torch.inference_mode()
    def _batched(self, pictures: np.ndarray, call: Any, size: int = 128) -> np.ndarray:
        side = self.config.preprocessing.size
        if pictures.ndim != 4 or pictures.shape[1:] != (side, side, 3) or pictures.dtype != np.uint8:
            raise UserError(
                f"pictures of shape {pictures.shape}, {pictures.dtype}: this classifier reads (N, {side}, {side}, 3) uint8"
            )
        self.eval()
        device = next(self.parameters()).device
        starts = range(0, len(pictures), size)
        parts = [call(_tensor(pictures[i : i + size], device)).float().cpu().numpy() for i in starts]
        return np.concatenate(parts)


def begun(config: ClassifierConfig, labels: Sequence[str]) -> Classifier:
    """One that has learnt nothing of these labels: random weights, or those of `config.initial` below a random last layer.

    Raises:
        UserError: no such file, or weights that do not fit.
    """
    model = Classifier(config, labels)
    if config.initial:
        networks.load(model.network, config.initial, f"{model.network.pretrained_cfg['classifier']}.")
    return model


def train(
    config: ClassifierConfig,
    data: Path,
    out: Path,
    splits: Sequence[str] = ("train",),
    what: str = "classifier",
) -> Path:
    """Train on records; the same call again resumes.  Returns the checkpoint's file, `out/classifier.pt`.

    Raises:
        UserError: no records, no label with enough positives, or `out` holds another run.
    """
    truth = targets(read_table(data, splits))
    chosen = enough(truth, config.min_count)
    if not chosen:
        raise UserError(
            f"{data}: no label has {config.min_count} positives and negatives among its {len(truth)} "
            f"{', '.join(splits)} records; lower 'least' or bring more records"
        )
    pictures = pixels(data, splits, config.preprocessing, out / ".cache")
    names = [TARGETS[i] for i in chosen]
    return fit(config, pictures, truth[:, chosen], names, out, data_fingerprint(data), what)


def fit(
    config: ClassifierConfig,
    pictures: np.ndarray,
    truth: np.ndarray,
    labels: Sequence[str],
    out: Path,
    data: str,
    what: str = "classifier",
) -> Path:
    """Train on arrays until `config.images` were seen; the same call again resumes.

    Args:
        pictures: (N, S, S, 3) uint8.
        truth:    (N, L): 1 present, 0 absent, nan unknown, which gives no gradient.
        data:     what names the pictures and labels, for the checkpoint and so that no other run is resumed.

    Returns:
        `out/classifier.pt`.
    """
    wanted = {"config": config.model_dump(mode="json"), "labels": list(labels), "data": data, "n": len(truth)}
    if config.initial:
        wanted["initial"] = sha256(config.initial)
    claim(out, "config.json", wanted, "classifier", free=("config.save_every",))
    done = out / "classifier.pt"
    if done.exists():
        return done
    torch.manual_seed(config.seed)
    model = begun(config, labels)
    device = accelerator()
    model.to(device=device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    known, positive = torch.from_numpy(~np.isnan(truth)), torch.from_numpy(np.nan_to_num(truth)).float()
    sums = positive.sum(dim=0)
    weight = ((known.sum(dim=0) - sums) / sums.clamp(min=1)).clamp(
        min=1 / config.heaviest, max=config.heaviest
    )
    weight = weight.to(device)
    n_images = _resume(out / "state.pt", model, optimizer)

    with progress(f"training {what}", config.images, n_images) as bar:
        while n_images < config.images:
            # Randomness is a function of position, so a resumed run draws what an uninterrupted one would.
            torch.manual_seed(step_seed(config.seed, 0, n_images))
            for group in optimizer.param_groups:
                group["lr"] = config.lr * _rate(config, n_images)
            mine = visited(len(pictures), config.seed, n_images, config.batch)
            images = augment(_tensor(pictures[mine], device), config.augmentation)
            stated, target = known[mine].to(device), positive[mine].to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                logits = model(images).float()
            loss = binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none")
            loss = (loss * stated).sum() / stated.sum().clamp(min=1)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            n_images += config.batch
            bar.update(config.batch)
            if n_images % config.save_every == 0 and n_images < config.images:
                state = {
                    "images": n_images,
                    "weights": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                }
                checkpoint.save(out / "state.pt", checkpoint.header(_STATE, VERSION, **state))

    content = {**wanted, "images": config.images, "weights": model.cpu().state_dict()}
    checkpoint.save(done, checkpoint.header(FORMAT, VERSION, **content))
    (out / "state.pt").unlink(missing_ok=True)
    return done


def load(path: Path, place: torch.device | None = None) -> tuple[Classifier, dict[str, Any]]:
    """A trained classifier and its header, from its file or the folder that `train` wrote.

    Args:
        place: where it computes; None is the accelerator.

    Raises:
        UserError: the file is absent, damaged, or no classifier.
    """
    path = path / "classifier.pt" if path.is_dir() else path
    head = checkpoint.read(path, FORMAT, VERSION)
    try:
        model = Classifier(check(ClassifierConfig, head["config"], str(path)), head["labels"])
        model.load_state_dict(head.pop("weights"))
    except pretrained.errors() as error:
        raise UserError(f"{path}: damaged classifier ({pretrained.reason(error)}); train it again") from None
    model.eval().to(place or accelerator())
    return model.to(memory_format=torch.channels_last), head  # type: ignore[call-overload]


def _rate(config: ClassifierConfig, n_images: int) -> float:
    if n_images < config.warmup:
        return (n_images + config.batch) / (config.warmup + config.batch)
    return 0.5 + 0.5 * cos(pi * (n_images - config.warmup) / max(config.images - config.warmup, 1))


def _tensor(pictures: np.ndarray, place: torch.device) -> Tensor:
    return as_tensor(pictures, place).contiguous(memory_format=torch.channels_last)


def _resume(path: Path, model: Classifier, optimizer: torch.optim.Optimizer) -> int:
    """Restore the last checkpoint, if there is one; returns the images seen."""
    if not path.exists():
        return 0
    state = checkpoint.read(path, _STATE, VERSION)
    with checkpoint.fitting(path):
        model.load_state_dict(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["images"])
