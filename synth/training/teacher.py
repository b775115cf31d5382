"""What a student of few steps is taught: where on its teacher's way from noise to picture a jump should land.

Multistep consistency distillation (Heek et al. 2024, 2403.06807), in angles (`diffusion.jump`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from synth.base.errors import UserError
from synth.diffusion import process
from synth.model.card import GUIDANCE, INTERVAL
from synth.model.conditioning import UNKNOWN

PLACES = 40


class Lesson:
    """The teacher's way in `total` jumps, place 0 being noise, some of which are one step of the student.

    Args:
        teacher:  the network.
        made:     what the teacher's pipeline says of it if it is a student itself, else None.
        steps:    of the student.
        total:    jumps of the teacher; None is 40, or the steps of a teacher that is a student itself.
        guidance: of the teacher; None is 2, or the 1 of a student.
        hops:     jumps of the teacher before the student itself finishes its step; None is half of them, or all if they are odd.
        split:    jumps of the teacher in each step of the student; None is as many in each.

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
        hops: int | None,
        split: Sequence[int] | None = None,
    ) -> None:
        if made and (total not in (None, made["steps"]) or guidance not in (None, 1)):
            raise UserError(
                f"teacher_steps={total}, guidance={guidance}: the teacher is a student of {made['steps']} steps with "
                f"guidance {made['guidance']:g} in it; leave both null"
            )
        if made and "times" in made:
            raise UserError("the teacher is a student of uneven steps; take its own teacher")
        jumps: int = total or (made["steps"] if made else PLACES)
        if split and (len(split) != steps or sum(split) != jumps):
            raise UserError(
                f"split={list(split)}: must be {steps} numbers that add up to teacher_steps={jumps}"
            )
        if process.STEPS % jumps or jumps == steps or (not split and jumps % steps):
            raise UserError(
                f"teacher_steps={jumps}: must divide {process.STEPS} and be a multiple of the student's {steps}"
            )
        self._teacher, self._guidance = teacher, 1.0 if made else GUIDANCE if guidance is None else guidance
        self._total, self._angles = jumps, process.angles()
        self._schedule = process.noising()
        self.student: dict[str, Any] = {
            "steps": steps,
            "guidance": made["guidance"] if made else self._guidance,
        }
        self._stops = []
        """Of each step, its (place, jumps of the teacher from there, end): where the student is asked."""
        start, times = 0, []
        for length in split or [jumps // steps] * steps:
            taken = hops or (length if length % 2 else length // 2)
            if length % taken:
                raise UserError(f"hops={hops}: must divide the {length} of the teacher's steps in one step")
            self._stops.append([(start + k, taken, start + length) for k in range(0, length, taken)])
            times.append(int(self._time(torch.tensor(start))))
            start += length
        if split:
            self.student["times"] = times

    def loss(self, student: nn.Module, clean: Tensor, noise: Tensor, codes: Tensor, time: Tensor) -> Tensor:
        """Mean squared error of the velocity by which the student lands where the teacher would.

        The velocity weighs alike everywhere ("SNR + 1" in 2202.00512): min-SNR gives the first step no weight.

        Args:
            clean: (B, C, H, W) standardised bands; noise: the same shape, standard normal.
            codes: (B, L) int64 label codes.
            time:  (B,) int64 in [0, 1000), from which step and place follow: each step is learnt from as many pictures.

        Returns:
            A scalar.
        """
        place, hops, end = self._asked(time)
        noisy = self._schedule.add_noise(clean, noise, self._time(place))  # type: ignore[arg-type]
        with torch.no_grad():
            goal = noisy.clone()
            for near in range(int(hops.max())):
                on = hops > near
                at = place[on] + near
                goal[on] = self._jump(goal[on], self._velocity(goal[on], at, codes[on]), at, at + 1)
            near = place + hops
            short = near < end
            if short.any():
                landed = self._jump(goal, student(goal, self._time(near), codes).float(), near, end)
                goal = torch.where(short[:, None, None, None], landed, goal)
            turn = self._turn(place, end)
            velocity = (turn.cos() * noisy - goal) / turn.sin()
        return (student(noisy, self._time(place), codes).float() - velocity).square().mean()

    def _asked(self, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Places, the teacher's jumps from there, and ends, of times that are spread evenly."""
        done = process.STEPS - 1 - time
        found = []
        for each in done.tolist():
            step, rest = divmod(each * len(self._stops), process.STEPS)
            stops = self._stops[step]
            found.append(stops[rest * len(stops) // process.STEPS])
        return tuple(torch.tensor(column, device=time.device) for column in zip(*found, strict=True))  # type: ignore[return-value]

    def _velocity(self, noisy: Tensor, place: Tensor, codes: Tensor) -> Tensor:
        """The teacher's, guided where the pipeline guides."""
        step = self._time(place)
        velocity = self._teacher(noisy, step, codes).float()
        share = step / process.STEPS
        guided = (share >= INTERVAL[0]) & (share <= INTERVAL[1])
        if self._guidance != 1 and guided.any():
            unknown = torch.from_numpy(UNKNOWN).to(codes).expand_as(codes)
            free = self._teacher(noisy[guided], step[guided], unknown[guided]).float()
            velocity[guided] = free + self._guidance * (velocity[guided] - free)
        return velocity

    def _time(self, place: Tensor) -> Tensor:
        """The diffusion step of a place; -1 is the clean picture."""
        return process.STEPS - place * (process.STEPS // self._total) - 1

    def _jump(self, noisy: Tensor, velocity: Tensor, place: Tensor, end: Tensor) -> Tensor:
        return process.jump(noisy, velocity, self._turn(place, end))

    def _turn(self, place: Tensor, end: Tensor) -> Tensor:
        angles = self._angles.to(place.device)
        return (angles[self._time(place)] - angles[self._time(end)])[:, None, None, None]
