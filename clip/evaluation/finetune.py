"""Fine-tuning: the image tower goes on learning, whole or through LoRA, with a linear head on its embedding."""

from collections.abc import Sequence
from copy import deepcopy
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from clip import loading
from clip.augmentation.augment import Augment, augment
from clip.evaluation import core, learning, lora, metrics, report
from clip.evaluation.core import EvaluationSettings
from clip.evaluation.learning import Parts
from clip.evaluation.results import ClassificationResult, EvaluationReport
from clip.inputs import photographs
from clip.inputs.sets import Data
from clip.model.encoders import CLIP, normalise, standardise
from clip.prompts import Task
from clip.zoo.foreign import Foreign
from synth.base import runs
from synth.base.device import accelerator, moved
from synth.base.errors import UserError
from synth.base.order import permutation, step_seed
from synth.base.scratch import scratch

Mode = Literal["full", "lora"]


class FinetuneConfig(EvaluationSettings):
    """How an image tower is fine-tuned; EyeCLIP's and RETFound's recipe where they agree."""

    modes: tuple[Mode, ...] = Field(default=("full", "lora"), min_length=1)
    """`full` changes every weight of the image tower, `lora` adds matrices of low rank and changes those alone."""
    epochs: PositiveInt = 20
    """Passes over the photographs to learn from; the best of them by validation is judged."""
    batch: int = Field(default=32, ge=4)
    """Photographs per step, or a little fewer: an epoch is cut into equal steps."""
    lr: PositiveFloat = 1e-4
    """AdamW's for the last layers of a whole tower; falls to 0 by a cosine after a tenth of the steps."""
    lora_lr: PositiveFloat = 1e-3
    """The same for LoRA's matrices."""
    head_lr: PositiveFloat = 1e-3
    """The same for the linear head."""
    layer_decay: float = Field(default=0.75, gt=0, le=1)
    """Each layer of a whole tower learns at this times the rate of the one above it; 1 for equal rates."""
    weight_decay: NonNegativeFloat = 0.05
    """Of matrices and filters."""
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Label smoothing."""
    rank: PositiveInt = 8
    """Of LoRA's matrices."""
    balanced: bool = True
    """Weigh classes equally, whatever their sizes."""
    augment: Augment = Augment()
    """Changes to the photographs that are learnt from."""
    seeds: PositiveInt = 1
    """Trainings; with several, values are their means and intervals cover them."""


class Squares(NamedTuple):
    """Photographs of one part, as the tower sees them, and their classes."""

    pixels: np.ndarray
    """(N, S, S, 3) uint8, memory-mapped."""
    rows: np.ndarray
    """(n,) those that answer the task."""
    truth: np.ndarray
    """(n,) their classes."""


class Tuned(nn.Module):
    """An image tower with a linear head."""

    def __init__(self, model: CLIP, classes: int) -> None:
        super().__init__()
        self.model = model
        self.head = nn.Linear(model.config.embedding, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, K) logits of (B, 3, S, S) pictures in the scale of `clip.model.encoders.normalise`."""
        features = nn.functional.normalize(self.model.encode_image(images), dim=-1)
        return self.head(features * features.shape[1] ** 0.5)  # coordinates of size 1, whatever the embedding


def evaluate(
    config: FinetuneConfig, model: Path, data: Data, splits: Sequence[str], name: str | None, command: str
) -> EvaluationReport:
    """The report of towers, with the best to be kept beside it, fine-tuned on `train`, stopped by `validation`, judged on `splits`.

    Raises:
        UserError: the records cannot teach the task, answer several and none was named, or share a patient.
    """
    network, head = loading.load(model)
    tables = learning.tables(data, splits)
    chosen = learning.tasks(name, tables, config.min_count, data)
    if len(chosen) > 1:
        raise UserError(
            f"--task finetune trains a tower for each task; choose one with --prompts: {', '.join(chosen)}"
        )
    [(key, (task, parts))] = chosen.items()
    with scratch(data) as cache:
        squares = [
            photographs.pixels(data, part, network.config.preprocessing, cache)
            for part in (["train"], ["validation"], list(splits))
        ]
        result, best = evaluate_task(config, network, key, task, parts, squares)
    provenance = core.provenance(data, splits, len(tables.test))
    made = report.compose(config, model, head, provenance, [result], command)
    if not isinstance(network, Foreign):  # for somebody else's model our files have no place
        settings = config.model_dump(mode="json", by_alias=True)
        metadata = {"task": key, "classes": list(parts.train.classes), "config": settings}
        made.checkpoints[key] = lora.content(best.model, best.head, metadata, made.checkpoint)
    return made


def evaluate_task(
    config: FinetuneConfig, model: CLIP, name: str, task: Task, parts: Parts, pixels: Sequence[np.ndarray]
) -> tuple[ClassificationResult, Tuned]:
    """One task: every mode, and the tower that did best on validation; `pixels` are the (N, S, S, 3) pictures of the parts."""
    squares = [Squares(each, part.rows, part.truth) for each, part in zip(pixels, parts, strict=True)]
    probabilities, chosen, towers = {}, {}, []
    for mode in config.modes:
        made, epochs = [], []
        for seed in range(config.seed, config.seed + config.seeds):
            tuned, epoch = tune(config, mode, model, squares[0], squares[1], len(parts.train.classes), seed)
            made.append(probability(tuned, squares[2]))
            epochs.append(epoch)
            validated = _score(squares[1].truth, probability(tuned, squares[1]))
            if not towers or validated > towers[0][0]:
                towers = [
                    (
                        validated,
                        tuned,
                        f"The tower that is kept is that of {mode}, seed {seed}: best on validation.",
                    )
                ]
        probabilities[mode] = np.stack(made)
        chosen[mode] = {"epoch": epochs}
    several = f"A value is the mean of {config.seeds} trainings; its interval draws patients and trainings."
    one = "Each value is of one training; its interval is over patients alone."
    [(_, best, kept)] = towers
    result = learning.result(
        "finetune",
        name,
        task,
        parts,
        metrics={row: core.measure(config, parts.test, p, task.ordinal) for row, p in probabilities.items()},
        reliability={row: metrics.reliability(parts.test.truth, p) for row, p in probabilities.items()},
        chosen=chosen,
        notes=[several if config.seeds > 1 else one, kept],
    )
    return result, best


def tune(
    config: FinetuneConfig, mode: Mode, model: CLIP, train: Squares, held: Squares, classes: int, seed: int
) -> tuple[Tuned, int]:
    """A fine-tuned copy of `model`, as it was after the epoch with the best macro AUC on `held`; and that epoch."""
    place = accelerator()
    torch.manual_seed(seed)
    tuned = Tuned(adapted(model, mode, config.rank), classes).to(place)
    optimizer = torch.optim.AdamW(_groups(config, tuned, mode), weight_decay=config.weight_decay)
    per_epoch = -(-len(train.rows) // config.batch)
    steps = config.epochs * per_epoch
    warmup = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (1 + np.cos(np.pi * step / steps)) / 2)
    )
    sizes = np.bincount(train.truth, minlength=classes)
    weight = torch.tensor(len(train.truth) / (classes * sizes), dtype=torch.float32, device=place)
    best, chosen_epoch, kept, loss = (0.0, 0.0), 0, {}, torch.zeros(())
    with runs.progress(f"fine-tuning ({mode})", config.epochs, unit="epochs") as bar:
        for epoch in range(1, config.epochs + 1):
            tuned.train(mode == "full")  # a frozen tower keeps the statistics of its norms
            order = permutation(len(train.rows), seed, epoch)
            for step, chosen in enumerate(np.array_split(order, per_epoch), (epoch - 1) * per_epoch):
                images = moved(torch.from_numpy(train.pixels[train.rows[chosen]]), place)
                generator = torch.Generator().manual_seed(step_seed(seed, 0, step))
                images = augment(images.permute(0, 3, 1, 2).float() / 255, config.augment, generator)
                loss = nn.functional.cross_entropy(
                    tuned(standardise(images)),
                    moved(torch.from_numpy(train.truth[chosen]), place),
                    weight if config.balanced else None,
                    label_smoothing=config.smoothing,
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            if not isfinite(loss.item()):
                raise UserError(
                    f"fine-tuning ({mode}) diverged in epoch {epoch}; --set a lower lr, lora_lr or head_lr"
                )
            found = _score(held.truth, probability(tuned, held))
            if epoch == 1 or found > best:
                best, chosen_epoch, kept = found, epoch, deepcopy(_trained(tuned))
            bar.update()
    tuned.load_state_dict(kept, strict=False)
    return tuned.eval(), chosen_epoch


def adapted(model: CLIP, mode: Mode, rank: int) -> CLIP:
    """A copy whose image tower learns: all of it, or with frozen weights and LoRA beside every layer."""
    if mode == "lora":
        return lora.added(model, rank)
    copy = deepcopy(model).requires_grad_(False)
    copy.visual.requires_grad_(True)
    return copy


@torch.inference_mode()
def probability(tuned: Tuned, squares: Squares, batch: int = 64) -> np.ndarray:
    """(n, K) probabilities of photographs."""
    tuned.eval()
    place = next(tuned.parameters()).device
    parts = [squares.rows[start : start + batch] for start in range(0, len(squares.rows), batch)]
    logits = [tuned(normalise(torch.from_numpy(squares.pixels[part]).to(place))) for part in parts]
    return torch.cat(logits).double().softmax(dim=1).cpu().numpy()


def _score(truth: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """What chooses an epoch: macro AUC, and of equal ones the likelihood of the right classes."""
    return learning.score(truth, found), float(np.log(found[np.arange(len(truth)), truth] + 1e-12).mean())


def _groups(config: FinetuneConfig, tuned: Tuned, mode: Mode) -> list[dict[str, Any]]:
    """AdamW's parameters with their rates."""
    from timm.optim import param_groups_layer_decay  # type: ignore[reportPrivateImportUsage]

    head = {"params": list(tuned.head.parameters()), "lr": config.head_lr}
    tower = tuned.model.visual
    if mode == "lora":
        learnt = [each for each in tower.parameters() if each.requires_grad]
        return [head, {"params": learnt, "lr": config.lora_lr}]
    layers = param_groups_layer_decay(tower, config.weight_decay, layer_decay=config.layer_decay)
    return [head, *({"lr": config.lr * group.pop("lr_scale"), **group} for group in layers)]


def _trained(tuned: Tuned) -> dict[str, Tensor]:
    """What training changes: weights that learn, and the statistics of norms."""
    frozen = {name for name, each in tuned.named_parameters() if not each.requires_grad}
    return {name: value for name, value in tuned.state_dict().items() if name not in frozen}
