"""What a student of few steps is taught: where on its teacher's way from noise to picture a jump should land.

Multistep consistency distillation (Heek et al. 2024, 2403.06807), in angles: with a_t = cos^2(angle_t), a jump of DDIM
from t to s turns the noisy picture against its velocity (2202.00512, appendix D),

    x_s = cos(angle_t - angle_s) x_t - sin(angle_t - angle_s) v
"""

from typing import Any

import torch
from torch import Tensor, nn

from synth import diffusion
from synth.base.errors import UserError
from synth.conditioning import UNKNOWN
from synth.location import GUIDANCE, INTERVAL

PLACES = 40


class Lesson:
    """The teacher's way in `total` jumps, place 0 being noise; `length` of them are one step of the student.

    Args:
        teacher:  the network.
        made:     what the teacher's pipeline says of it if it is a student itself, else None.
        steps:    of the student.
        total:    jumps of the teacher; None is 40, or the steps of a teacher that is a student itself.
        guidance: of the teacher; None is 2, or the 1 of a student.
        hops:     jumps of the teacher before the student itself finishes its step; None is half of them, or all if they are odd.

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
    ) -> None:
        if made and (total not in (None, made["steps"]) or guidance not in (None, 1)):
            raise UserError(
                f"teacher_steps={total}, guidance={guidance}: the teacher is a student of {made['steps']} steps with "
                f"guidance {made['guidance']:g} in it; leave both null"
            )
        jumps: int = total or (made["steps"] if made else PLACES)
        if diffusion.STEPS % jumps or jumps % steps or jumps == steps:
            raise UserError(
                f"teacher_steps={jumps}: must divide {diffusion.STEPS} and be a multiple of the student's {steps}"
            )
        length = jumps // steps
        hops = hops or (length if length % 2 else length // 2)
        if length % hops:
            raise UserError(f"hops={hops}: must divide the {length} of the teacher's steps in one step")
        self._teacher, self._guidance = teacher, 1.0 if made else GUIDANCE if guidance is None else guidance
        self._total, self._length, self._hops = jumps, length, hops
        self.student = {"steps": steps, "guidance": made["guidance"] if made else self._guidance}
        self._schedule = diffusion.noising()
        angles = self._schedule.alphas_cumprod.sqrt().clamp(0, 1).acos()
        self._angles = torch.cat([angles, torch.zeros(1)])  # the last, at -1, is the clean picture's

    def loss(self, student: nn.Module, clean: Tensor, noise: Tensor, codes: Tensor, time: Tensor) -> Tensor:
        """Mean squared error of the velocity by which the student lands where the teacher would.

        The velocity weighs alike everywhere ("SNR + 1" in 2202.00512): min-SNR gives the first step no weight.

        Args:
            clean: (B, C, H, W) standardised bands; noise: the same shape, standard normal.
            codes: (B, L) int64 label codes.
            time:  (B,) int64 in [0, 1000): what is learnt is the place nearest above.

        Returns:
            A scalar.
        """
        stops = self._total // self._hops
        place = (diffusion.STEPS - 1 - time) * stops // diffusion.STEPS * self._hops
        end = (place // self._length + 1) * self._length
        noisy = self._schedule.add_noise(clean, noise, self._time(place))  # type: ignore[arg-type]
        with torch.no_grad():
            goal = noisy
            for near in range(self._hops):
                goal = self._jump(
                    goal, self._velocity(goal, place + near, codes), place + near, place + near + 1
                )
            near = place + self._hops
            short = near < end
            if short.any():
                landed = self._jump(goal, student(goal, self._time(near), codes).float(), near, end)
                goal = torch.where(short[:, None, None, None], landed, goal)
            cos, sin = self._turn(place, end)
            velocity = (cos * noisy - goal) / sin
        return (student(noisy, self._time(place), codes).float() - velocity).square().mean()

    def _velocity(self, noisy: Tensor, place: Tensor, codes: Tensor) -> Tensor:
        """The teacher's, guided where the pipeline guides."""
        step = self._time(place)
        velocity = self._teacher(noisy, step, codes).float()
        share = step / diffusion.STEPS
        guided = (share >= INTERVAL[0]) & (share <= INTERVAL[1])
        if self._guidance != 1 and guided.any():
            unknown = torch.from_numpy(UNKNOWN).to(codes).expand_as(codes)
            free = self._teacher(noisy[guided], step[guided], unknown[guided]).float()
            velocity[guided] = free + self._guidance * (velocity[guided] - free)
        return velocity

    def _time(self, place: Tensor) -> Tensor:
        """The diffusion step of a place; -1 is the clean picture."""
        return diffusion.STEPS - place * (diffusion.STEPS // self._total) - 1

    def _jump(self, noisy: Tensor, velocity: Tensor, place: Tensor, end: Tensor) -> Tensor:
        cos, sin = self._turn(place, end)
        return cos * noisy - sin * velocity

    def _turn(self, place: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        angles = self._angles.to(place.device)
        turn = (angles[self._time(place)] - angles[self._time(end)])[:, None, None, None]
        return turn.cos(), turn.sin()
