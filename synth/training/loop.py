"""The loop of a training that counts images: rate, gradients, averages, and a checkpoint from which it goes on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from synth.base.device import adamw, layout
from synth.base.divergence import LossWatch
from synth.base.errors import UserError
from synth.base.runs import progress, rewind_metrics
from synth.training import state
from synth.training.averages import PowerAverages


class Durations(Protocol):
    """The settings of a loop, which count images."""

    @property
    def images(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def save_every(self) -> int: ...
    @property
    def lr(self) -> float: ...


def accumulate(accelerator: Accelerator, batch: int, micro_batch: int) -> int:
    """Have gradients added up over a batch; returns the images of one forward pass of all processes, `micro_batch` each.

    Raises:
        UserError: the batch is no multiple of them.
    """
    chunk = micro_batch * accelerator.num_processes
    if batch % chunk:
        raise UserError(f"batch={batch} must be a multiple of micro_batch x processes = {chunk}")
    accelerator.gradient_accumulation_steps = batch // chunk
    return chunk


def optimise(
    what: str,
    config: Durations,
    chunk: int,
    accelerator: Accelerator,
    run: Path,
    kind: tuple[str, int],
    network: nn.Module,
    lengths: Sequence[float],
    rate: Callable[[int], float],
    error: Callable[[nn.Module, np.ndarray], Tensor],
    keep: Callable[[int, PowerAverages], None],
) -> None:
    """Train `network` in place until `config.images` were shown; resumes from `run/state.pt`.

    Args:
        what:    is done, for the progress bar.
        chunk:   images of one forward pass of all processes, from `accumulate`.
        kind:    name and version of the format of `run/state.pt`.
        lengths: of the averages of the weights.
        rate:    images shown -> the share of `config.lr` for the next forward pass.
        error:   the loss of the network, as the accelerator wraps it, at some positions of the run.
        keep:    is called in the first process with the images shown and the averages, at each checkpoint and at the end.
    """
    processes = accelerator.num_processes
    averages = PowerAverages(network, lengths)
    optimizer = adamw(network.parameters(), lr=config.lr)
    n_images = state.resume(run, kind, network, optimizer, averages)
    if accelerator.is_main_process:
        rewind_metrics(run / "metrics.jsonl", n_images)
    model, optimizer = accelerator.prepare(network.to(memory_format=layout(accelerator.device)), optimizer)  # type: ignore[call-overload]
    averages.to(accelerator.device)
    losses: list[Tensor] = []
    watch = LossWatch(run, "state.pt", n_images)
    with progress(what, config.images, n_images) as bar:
        while n_images < config.images:
            for group in optimizer.param_groups:
                group["lr"] = watch.slowed(config.lr * rate(n_images), n_images)
            positions = np.arange(n_images + accelerator.process_index, n_images + chunk, processes)
            losses.append(_step(accelerator, model, optimizer, lambda at=positions: error(model, at)))
            n_images += chunk
            watch.step(losses[-1], n_images, optimizer.param_groups[0]["lr"])
            bar.update(chunk)
            if accelerator.sync_gradients:
                averages.step(n_images, config.batch)
            if n_images % config.save_every == 0 or n_images == config.images:
                watch.settle()
                mean = float(accelerator.reduce(torch.stack(losses).mean(), "mean"))  # type: ignore[arg-type]
                losses.clear()
                accelerator.log({"loss": mean}, step=n_images)
                if accelerator.is_main_process:
                    state.save(run, kind, n_images, mean, network, optimizer, averages)
                    keep(n_images, averages)
                watch.kept = n_images
                accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        keep(n_images, averages)
    accelerator.wait_for_everyone()


def _step(
    accelerator: Accelerator, model: nn.Module, optimizer: torch.optim.Optimizer, error: Callable[[], Tensor]
) -> Tensor:
    """One forward and backward pass; the optimiser moves where a batch is complete.  Returns the loss."""
    with accelerator.accumulate(model):
        loss = error()
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return loss.detach()
