"""A labelled set that is judged at each checkpoint, which checkpoint it likes best, and when it has waited long enough."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from clip import inputs, prompts
from clip.evaluation import core, zero_shot
from clip.inputs import photographs
from clip.inputs.sets import Data
from clip.model.encoders import CLIP, standardise
from clip.prompts import Task
from clip.training.config import TrainConfig
from synth.base import runs
from synth.base.errors import UserError
from synth.data.records import parse_splits

BEST = "ckpt-best.pt"
_N_BOOTSTRAP = 200  # bootstrap samples behind an interval; a report draws more


class Watched(NamedTuple):
    """Photographs with labels, captions or none; n of them."""

    pixels: np.ndarray
    """(n, S, S, 3) uint8."""
    table: pa.Table
    """Labels and patients."""
    tasks: dict[str, Task]
    """Those that can be judged on it."""


def load(config: TrainConfig) -> Watched | None:
    """What `config.watch` names, at most `config.validation` photographs of it.

    Raises:
        UserError: it is none, or a task of it cannot be judged there.
    """
    if config.watch is None:
        return None
    data, splits = Path(config.watch.data), parse_splits(config.watch.split)
    return of(config, data, splits, config.watch.tasks, "watch.tasks")


def of(config: TrainConfig, data: Data, splits: Sequence[str], names: Sequence[str], key: str) -> Watched:
    """The photographs of some splits, at most `config.validation`, and those of the named tasks that they answer; all without names.

    Raises:
        UserError: there are no photographs, or a task cannot be judged; `key` names the setting.
    """
    table = photographs.table(data, splits)
    chosen = np.sort(np.random.default_rng(config.seed).permutation(len(table))[: config.validation])
    if not len(chosen):
        raise UserError(
            f"{key.partition('.')[0]}: {data} has no photographs in {', '.join(splits)}; choose another split"
        )
    table = table.take(pa.array(chosen))
    tasks = answered(names, table, f"{key}={list(names)}: {data}, {', '.join(splits)}")
    pictures, preprocessing = photographs.pictures(data, splits), config.model.preprocessing
    squares = np.zeros((len(chosen), preprocessing.size, preprocessing.size, 3), np.uint8)
    for square, row in zip(squares, chosen.tolist(), strict=True):
        square[:] = preprocessing(pictures[row], pictures.where(row))
    return Watched(squares, table, tasks)


def answered(names: Sequence[str], table: pa.Table, where: str) -> dict[str, Task]:
    """The tasks of these names that some records answer; of all, without names.

    Raises:
        UserError: a name of which none can be judged.
    """
    found: dict[str, Task] = {}
    for name in names or (None,):
        mine = {
            key: task
            for key, task in prompts.tasks(name).items()
            if len(core.answers(task, table, zero_shot.EvalConfig().min_count).classes) >= 2
        }
        if not mine:
            what = f"'{name}'" if name else "any task"
            raise UserError(
                f"{where} cannot judge {what}: fewer than 2 of its classes have {zero_shot.EvalConfig().min_count} of "
                f"{len(table)} photographs; give a set with these labels, or leave the task out"
            )
        found |= mine
    return found


@torch.inference_mode()
def evaluate(config: TrainConfig, clip: CLIP, watched: Watched) -> dict[str, Any]:
    """Metrics with intervals, n and patients of each task, by a CLIP in evaluation mode."""
    place, features = next(clip.parameters()).device, []
    for start in range(0, len(watched.pixels), config.micro_batch or config.batch):
        part = torch.from_numpy(watched.pixels[start : start + (config.micro_batch or config.batch)])
        seen = clip.encode_image(standardise(part.to(place).permute(0, 3, 1, 2).float() / 255))
        features.append(torch.nn.functional.normalize(seen.float(), dim=-1).cpu())
    shown = core.Photographs(torch.cat(features).numpy(), watched.table)
    return evaluate_embedded(config, clip, watched.tasks, shown)


def evaluate_embedded(
    config: TrainConfig, clip: CLIP, tasks: Mapping[str, Task], shown: core.Photographs
) -> dict[str, Any]:
    """The same of photographs that are embedded."""
    settings = zero_shot.EvalConfig(lang=config.caption, n_bootstrap=_N_BOOTSTRAP, seed=config.seed)
    found = {}
    for key, task in tasks.items():
        answers = core.answers(task, shown.table, settings.min_count)
        if len(answers.classes) >= 2:
            result = zero_shot.evaluate_task(settings, clip, key, task, answers, shown)
            found[key] = {
                "n": result.n,
                "patients": result.patients,
                **{name: each.model_dump() for name, each in result.metrics[config.caption].items()},
            }
    return found


def best(
    config: TrainConfig, line: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Why the checkpoint of a line of metrics is better than those of all earlier lines; None where it is not.

    What is compared is the mean macro AUC of the tasks of `watch`, or else of `zero_shot`; nothing is without these.
    """
    value = _value(line)
    if value is None or any((_value(each) or 0.0) >= value for each in earlier):
        return None
    where = "watch" if line.get("watch") else "zero_shot"
    return {"value": value, "by": f"mean macro_auc of {where}: {', '.join(line[where])}"}


def is_over(config: TrainConfig, lines: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last `config.patience` checkpoints were none better than one before."""
    if config.patience is None:
        return False
    since = 0
    for line in lines:
        since = 0 if "best" in line else since + 1
    return since >= config.patience


def finished(config: TrainConfig, run: Path) -> Iterator[str]:
    """Where patience has ended a run, the line that says so."""
    lines = runs.read_metrics(run / "metrics.jsonl")
    if is_over(config, lines):
        first = next((line for line in reversed(lines) if "best" in line), None)
        if first is None:
            yield f"{run}: finished after {lines[-1]['images']:,} images: none of its checkpoints could be judged"
            return
        yield (
            f"{run}: finished after {lines[-1]['images']:,} images: {config.patience} checkpoints were no better than that of "
            f"{first['images']:,}, which is {BEST} ({first['best']['by']} = {first['best']['value']:.3f})"
        )


def provenance(config: TrainConfig) -> dict[str, Any]:
    """What names the watched set."""
    return {"watch": inputs.opened(Path(config.watch.data)).fingerprint} if config.watch else {}


def _value(line: Mapping[str, Any]) -> float | None:
    tasks = line.get("watch") or line.get("zero_shot") or {}
    values = [each["macro_auc"]["value"] for each in tasks.values()]
    return float(np.mean(values)) if values else None
