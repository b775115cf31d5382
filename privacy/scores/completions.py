"""The hidden half of a photograph, as generators complete it, and what an attacker reads in it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from pydantic import Field

from privacy.attack_config import AttackConfig
from privacy.data.attributes import Task
from privacy.data.inputs import Inputs, People
from privacy.scores import pixels
from privacy.scores.pixels import Axes
from privacy.statistics import probes
from privacy.targets import inpainting
from privacy.targets.generator import Generator
from synth.data.images import Preprocessing

Reader = Callable[[np.ndarray], np.ndarray]
"""Takes (N, H, W, 3) uint8 halves, returns (N, C) decisions of a probe."""


class CompletionConfig(AttackConfig):
    """What completing hidden halves takes (T5)."""

    completion_patients: int = Field(default=100, ge=20)
    """Of each group, one photograph each, whose hidden half is completed; the slowest attack, its cost grows with this."""
    completion_draws: int = Field(default=2, ge=1)
    """Completions of each photograph."""
    completion_steps: int = Field(default=20, ge=2, le=500)
    """Noise levels of a completion."""
    completion_repeats: int = Field(default=2, ge=1)
    """Times that each noise level is walked through, so that both halves come to fit."""


def hidden(side: int) -> np.ndarray:
    """(side, side) bool: the right half, in which the disc of a right eye lies, the macula's half of a left."""
    return np.broadcast_to(np.arange(side) >= side // 2, (side, side)).copy()


def chosen(people: People, config: CompletionConfig) -> np.ndarray:
    """(P',) the row of one photograph of each of at most `completion_patients` patients."""
    rng = np.random.default_rng([config.seed, 50])
    first = np.flatnonzero(np.diff(people.patient, prepend=-1))
    return np.sort(rng.permutation(first)[: config.completion_patients])


def completed(inputs: Inputs, generator: Generator, people: People, config: CompletionConfig) -> np.ndarray:
    """(P', draws, S, S/2, 3) uint8: the hidden half of the chosen photographs as a generator completes it."""
    settings = [config.completion_draws, config.completion_steps, config.completion_repeats, config.seed]

    def make() -> np.ndarray:
        photographs = people.photographs(generator.preprocessing)[chosen(people, config)]
        side = generator.preprocessing.size
        return inpainting.complete(generator, photographs, hidden(side), *settings)[..., side // 2 :, :]

    key = ["completed", generator.fingerprint, people.fingerprint, config.completion_patients, *settings]
    return inputs.once(key, make)


def errors(made: np.ndarray, generator: Generator, people: People, config: CompletionConfig) -> np.ndarray:
    """(P',) mean squared error of `completed` halves, in units of half the range of a pixel."""
    photographs = people.photographs(generator.preprocessing)[chosen(people, config)]
    truth = photographs[:, :, generator.preprocessing.size // 2 :]
    error = (made.astype(float) - truth[:, None].astype(float)) / 127.5
    return (error**2).mean(axis=(1, 2, 3, 4))


class HalfFeatures(NamedTuple):
    """What one half of the attackers' own photographs shows."""

    axes: Axes
    features: np.ndarray
    """(N, k) colours and thumbnails of that half."""


def half_features(attackers: People, preprocessing: Preprocessing, visible: bool) -> HalfFeatures:
    """`visible` is the half that completions are made from, or else the hidden one."""
    photographs, middle = attackers.photographs(preprocessing), preprocessing.size // 2
    halves = photographs[:, :, :middle] if visible else photographs[:, :, middle:]
    axes = pixels.axes(halves, attackers.patient)
    return HalfFeatures(axes, axes.features(halves))


def reader(learnt: HalfFeatures, task: Task, config: CompletionConfig) -> Reader:
    """A linear probe of one attribute that was taught by a lesson."""
    rng = np.random.default_rng([config.seed, 51])
    probe = probes.tuned(learnt.features[task.rows], task.patient, probes.targets(task), task, rng)
    return lambda asked: probe.predict(learnt.axes.features(asked))


def read(reader: Reader, made: np.ndarray) -> np.ndarray:
    """(P', C) decisions, mean over the draws of (P', draws, S, S/2, 3) completed halves."""
    patients, draws = made.shape[:2]
    return reader(made.reshape(-1, *made.shape[2:])).reshape(patients, draws, -1).mean(axis=1)
