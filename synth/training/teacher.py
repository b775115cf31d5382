"""What a student of few steps learns from: where on its teacher's path from noise to picture its step should end.

Multistep consistency distillation (Heek et al. 2024, 2403.06807).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from synth.base.errors import UserError
from synth.diffusion.process import Process, VPrediction
from synth.diffusion.samplers import guided
from synth.diffusion.schedulers import STEPS
from synth.model.card import GUIDANCE, INTERVAL
from synth.model.labels import LabelEncoding, current

TEACHER_STEPS = 40


class TeacherTargets:
    """The teacher's path in `total` steps, place 0 being noise, several of which are one step of the student.

    Args:
        teacher:      the network.
        made:         what the teacher's pipeline says of it if it is a student itself, else None.
        steps:        of the student.
        total:        steps of the teacher; None is 40, or the steps of a teacher that is a student itself.
        guidance:     of the teacher; None is 2, or the 1 of a student.
        target_steps: steps of the teacher before the student itself finishes its step; None is half of them, or all
                      if they are odd.
        split:        steps of the teacher in each step of the student; None is as many in each.
        process:      of the teacher; None is velocity prediction.
        labels:       of the teacher; None is the vocabulary as it stands.

    Raises:
        UserError: the steps of teacher and student do not go together.
    """

    def __init__(
        self,
        teacher: nn.Module,
        made: dict[str, Any] | None,
        steps: int,
        total: int | None,
        guidance: float | None,
        target_steps: int | None,
        split: Sequence[int] | None = None,
        process: Process | None = None,
        labels: LabelEncoding | None = None,
    ) -> None:
        total = _total(made, steps, total, guidance, split)
        self._teacher, self._guidance = teacher, 1.0 if made else GUIDANCE if guidance is None else guidance
        self._process = process or VPrediction()
        self._unknown = torch.from_numpy((labels or current()).unknown)
        self._times = torch.cat([self._process.timesteps(total), torch.tensor([-1])])
        self.student: dict[str, Any] = {
            "steps": steps,
            "guidance": made["guidance"] if made else self._guidance,
        }
        self._places = []
        """Of each step, its (place, steps of the teacher from there, end): what the student learns from."""
        start, times = 0, []
        for length in split or [total // steps] * steps:
            ahead = target_steps or (length if length % 2 else length // 2)
            if length % ahead:
                raise UserError(
                    f"target_steps={target_steps}: must divide the {length} of the teacher's steps in one step"
                )
            self._places.append([(start + k, ahead, start + length) for k in range(0, length, ahead)])
            times.append(int(self._times[start]))
            start += length
        if split:
            self.student["times"] = times

    def loss(self, student: nn.Module, clean: Tensor, noise: Tensor, codes: Tensor, time: Tensor) -> Tensor:
        """Mean squared error of the prediction by which the student lands where the teacher would.

        It weighs alike everywhere ("SNR + 1" in 2202.00512, of a velocity): min-SNR gives the first step no weight.

        Args:
            clean: (B, C, H, W) standardised bands; noise: the same shape, standard normal.
            codes: (B, L) int64 label codes.
            time:  (B,) int64 in [0, 1000), from which step and place follow: each step is learnt from as many pictures.

        Returns:
            A scalar.
        """
        place, ahead, end = self._places_at(time)
        noisy = self._process.add_noise(clean, noise, self._time(place))
        with torch.no_grad():
            goal = noisy.clone()
            for step in range(int(ahead.max())):
                on = ahead > step
                goal[on] = self._teacher_step(goal[on], place[on] + step, codes[on])
            near = place + ahead
            short = near < end
            if short.any():
                output = student(goal, self._time(near), codes).float()
                landed = self._process.ddim_step(goal, output, self._time(near), self._time(end))
                goal = torch.where(short[:, None, None, None], landed, goal)
            target = self._process.prediction_between(noisy, goal, self._time(place), self._time(end))
        return (student(noisy, self._time(place), codes).float() - target).square().mean()

    def _places_at(self, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Places, the teacher's steps from there, and ends, of times that are spread evenly."""
        chosen = []
        for each in (STEPS - 1 - time).tolist():
            step, rest = divmod(each * len(self._places), STEPS)
            places = self._places[step]
            chosen.append(places[rest * len(places) // STEPS])
        return tuple(torch.tensor(column, device=time.device) for column in zip(*chosen, strict=True))  # type: ignore[return-value]

    def _teacher_step(self, noisy: Tensor, place: Tensor, codes: Tensor) -> Tensor:
        """The teacher's, guided where the pipeline guides."""
        time, unknown = self._time(place), self._unknown.to(codes).expand_as(codes)
        output = guided(self._teacher, noisy, time, codes, unknown, self._guidance, INTERVAL)
        return self._process.ddim_step(noisy, output, time, self._time(place + 1))

    def _time(self, place: Tensor) -> Tensor:
        """The timestep of a place; -1 is the clean picture."""
        return self._times.to(place.device)[place]


def _total(
    made: dict[str, Any] | None,
    steps: int,
    total: int | None,
    guidance: float | None,
    split: Sequence[int] | None,
) -> int:
    """Steps of the teacher, found to go together with those of the student."""
    if made and (total not in (None, made["steps"]) or guidance not in (None, 1)):
        raise UserError(
            f"teacher_steps={total}, guidance={guidance}: the teacher is a student of {made['steps']} steps with "
            f"guidance {made['guidance']:g} in it; leave both null"
        )
    if made and "times" in made:
        raise UserError("the teacher is a student of uneven steps; take its own teacher")
    taken: int = total or (made["steps"] if made else TEACHER_STEPS)
    if split and (len(split) != steps or sum(split) != taken):
        raise UserError(f"split={list(split)}: must be {steps} numbers that add up to teacher_steps={taken}")
    if STEPS % taken or taken == steps or (not split and taken % steps):
        raise UserError(
            f"teacher_steps={taken}: must divide {STEPS} and be a multiple of the student's {steps}"
        )
    return taken
