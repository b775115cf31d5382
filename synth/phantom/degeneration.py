"""Lesions of macula, choroid and pigment: AMD, membranes, scars, myopia, and the findings beyond the eleven."""

import numpy as np

from synth.phantom.anatomy import Eye
from synth.phantom.bleeding import fibre_direction, scattered
from synth.phantom.canvas import Canvas
from synth.phantom.chance import texture
from synth.phantom.retina import ATROPHY

_DRUSEN, _PIGMENT, _SILVER = (0.98, 0.82, 0.50), (0.25, 0.2, 0.2), (0.93, 0.90, 0.86)


def drusen(canvas: Canvas, rng: np.random.Generator, n: int, largest: float = 0.028) -> None:
    """Soft yellow spots around the fovea, some of them confluent."""
    angle, far = rng.uniform(0, 6.28, n), np.abs(rng.normal(0, 0.2, n)) + 0.02
    points = np.stack([far * np.cos(angle), far * np.sin(angle)], axis=1)
    canvas.paint(canvas.spots(points, rng.uniform(0.008, largest, n), 0.010, 0.25, rng), _DRUSEN, 0.72)


def patch(canvas: Canvas, pattern: np.ndarray, place: tuple[float, float], radii: tuple[float, float],
          rng: np.random.Generator, pigment: float = 0.0, wobble: float = 0.35) -> None:  # fmt: skip
    """A sharp patch of atrophy: sclera, a few vessels of the choroid, at times a dark rim and clumps of pigment."""
    angle, state = rng.uniform(0, 3), rng.bit_generator.state
    if pigment:
        rim = canvas.blank()
        canvas.stamp(rim, place, (radii[0] * 1.15, radii[1] * 1.15), angle, 0.05, wobble, rng)
        canvas.absorb(rim, _PIGMENT, 0.6 * pigment)
        rng.bit_generator.state = state
    layer = canvas.blank()
    canvas.stamp(layer, place, radii, angle, 0.022, wobble, rng)
    canvas.paint(layer, ATROPHY, 0.8)
    canvas.absorb(layer * pattern, (0.9, 0.62, 0.45), 0.6, lesion=False)
    if pigment:
        points = np.array(place) + rng.normal(0, 0.5, (5, 2)) * np.array(radii)
        canvas.absorb(
            canvas.spots(points, rng.uniform(0.1, 0.25, 5) * radii[0], 0.01, 0.5, rng),
            _PIGMENT,
            0.85 * pigment,
        )


def macular_degeneration(canvas: Canvas, eye: Eye, rng: np.random.Generator, pattern: np.ndarray) -> None:
    """Age-related: drusen; in some geographic atrophy, in some blood and scar of a wet form."""
    kind = rng.uniform()
    drusen(canvas, rng, int(rng.integers(70, 120)), 0.034)
    if kind < 0.35:
        patch(
            canvas,
            pattern,
            (rng.normal(0, 0.03), rng.normal(0, 0.03)),
            tuple(rng.uniform(0.14, 0.24, 2)),
            rng,
        )
    elif kind < 0.65:
        layer = canvas.blank()
        place = (rng.normal(0, 0.05), rng.normal(0, 0.05))
        canvas.stamp(
            layer,
            place,
            (rng.uniform(0.22, 0.3), rng.uniform(0.17, 0.24)),
            rng.uniform(0, 3),
            0.09,
            0.35,
            rng,
        )
        canvas.absorb(layer, (0.56, 0.32, 0.30), 0.85)
        scar = canvas.blank()
        canvas.stamp(
            scar, place, (rng.uniform(0.1, 0.15), rng.uniform(0.08, 0.12)), rng.uniform(0, 3), 0.04, 0.4, rng
        )
        canvas.paint(scar, (0.86, 0.80, 0.58), 0.85)
    points = rng.normal(0, 0.12, (6, 2))
    canvas.absorb(canvas.spots(points, rng.uniform(0.008, 0.018, 6), 0.008, 0.4, rng), _PIGMENT, 0.7)


def scars(canvas: Canvas, rng: np.random.Generator, pattern: np.ndarray, n: int) -> None:
    """Chorioretinal scars: punched-out pale patches with pigmented borders."""
    for x, y in scattered(rng, n, 0.18, 0.9):
        radius = rng.uniform(0.05, 0.13)
        patch(canvas, pattern, (x, y), (radius, radius * rng.uniform(0.6, 1)), rng, pigment=1.0)


def myopic_atrophy(canvas: Canvas, eye: Eye, rng: np.random.Generator, pattern: np.ndarray) -> None:
    """Pathologic myopia: bulging pale posterior pole, patches of atrophy, lacquer cracks, a Fuchs spot."""
    pole, radius = canvas.halo((0.28, 0), 0.62), np.float32(rng.uniform(0.72, 0.85))
    canvas.paint(pole, (0.95, 0.76, 0.52), 0.42)
    rim = np.hypot(canvas.x - 0.28, canvas.y * 1.1) - radius
    canvas.absorb(np.exp(-((rim / 0.07) ** 2)), (0.72, 0.62, 0.58), 0.45, lesion=False)
    for _ in range(int(rng.integers(3, 7))):
        place = (rng.normal(-0.02, 0.26), rng.normal(0, 0.24))
        patch(canvas, pattern, place, tuple(rng.uniform(0.06, 0.2, 2)), rng, pigment=0.25)
    cracks = canvas.blank()
    for _ in range(5):
        place = (rng.normal(0, 0.2), rng.normal(0, 0.2))
        canvas.stamp(cracks, place, (rng.uniform(0.1, 0.2), 0.007), rng.normal(0, 0.5), 0.006, 0.3, rng)
    canvas.paint(cracks, (0.98, 0.88, 0.6), 0.7)
    if rng.uniform() < 0.4:
        canvas.absorb(canvas.spots(np.zeros((1, 2)), np.array([0.05]), 0.02, 0.3, rng), _PIGMENT, 0.85)


def membrane(canvas: Canvas, eye: Eye, rng: np.random.Generator) -> None:
    """Epimacular membrane: a silvery cellophane gleam over the macula, and folds that run to its knot."""
    x, y = rng.normal(0, 0.08, 2)
    dx, dy = canvas.x - np.float32(x), canvas.y - np.float32(y)
    far, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    area = canvas.blank()
    canvas.stamp(
        area, (x, y), (rng.uniform(0.28, 0.36), rng.uniform(0.22, 0.3)), rng.uniform(0, 3), 0.16, 0.35, rng
    )
    gleam = np.clip(0.45 + 0.5 * canvas.view.sample(texture(rng, 34)), 0, 1)
    canvas.paint(area, _SILVER, 0.24)
    canvas.paint(area * gleam, _SILVER, 0.42)
    bent = canvas.view.sample(texture(rng, 16))
    waves = rng.integers(15, 22) * angle + 1.6 * bent + 1.5 * np.sin(9 * far + rng.uniform(0, 6))
    ragged = np.clip(0.5 + 0.8 * canvas.view.sample(texture(rng, 12)), 0, 1)
    folds = (
        np.clip(np.cos(waves.astype(np.float32)) - 0.5, 0, 0.5)
        * 2
        * np.exp(-(((far - 0.25) / 0.14) ** 2))
        * ragged
    )
    canvas.paint(folds, (0.98, 0.95, 0.88), 0.35)
    canvas.absorb(np.roll(folds, 1, axis=0), (0.6, 0.5, 0.5), 0.35)
    knot = canvas.blank()
    canvas.stamp(knot, (x, y), (0.07, 0.05), rng.uniform(0, 3), 0.06, 0.5, rng)
    canvas.paint(knot, (1.0, 0.98, 0.94), 0.4)


def bone_spicules(canvas: Canvas, eye: Eye, rng: np.random.Generator) -> None:
    """Retinitis pigmentosa: grey mid-periphery with branching flecks of pigment."""
    far = np.hypot(canvas.x - 0.15, canvas.y)
    canvas.absorb(np.clip((far - 0.42) / 0.25, 0, 1), (0.68, 0.74, 0.85), 0.75)
    layer = canvas.blank()
    for x, y in scattered(rng, 55, 0.55, 1.1):
        for angle in rng.uniform(0, 3.14, 3):
            canvas.stamp(layer, (x, y), (rng.uniform(0.025, 0.06), 0.007), angle, 0.006)
    canvas.absorb(layer, (0.22, 0.2, 0.22), 0.9)


def macular_hole(canvas: Canvas, rng: np.random.Generator) -> None:
    """A round red hole in the fovea inside a grey cuff."""
    radius = rng.uniform(0.055, 0.08)
    centre = np.zeros((1, 2))
    canvas.paint(canvas.spots(centre, np.array([1.9 * radius]), 0.03), (0.80, 0.68, 0.56), 0.6)
    canvas.absorb(canvas.spots(centre, np.array([radius]), 0.012), (0.62, 0.25, 0.22), 0.9)


def blister(canvas: Canvas, rng: np.random.Generator) -> None:
    """Central serous: a round bleb of clear fluid with a bright rim."""
    place = (rng.normal(0, 0.04), rng.normal(0, 0.04))
    far = np.hypot(canvas.x - np.float32(place[0]), canvas.y - np.float32(place[1])) / np.float32(
        rng.uniform(0.16, 0.22)
    )
    canvas.absorb(np.clip((1 - far) * 4, 0, 1), (0.82, 0.72, 0.62), 0.8)
    canvas.paint(np.exp(-(((far - 1) / 0.12) ** 2)), (0.94, 0.78, 0.56), 0.32)


def detachment(canvas: Canvas, rng: np.random.Generator) -> None:
    """Grey, wavy, raised retina on one side."""
    angle = rng.uniform(0, 6.28)
    depth = np.cos(angle) * (canvas.x - 0.15) + np.sin(angle) * canvas.y
    depth = depth + 0.1 * canvas.view.sample(texture(rng, 7))
    area = np.clip((depth - 0.3) * 8, 0, 1).astype(np.float32)
    waves = 0.5 + 0.5 * np.sin(26 * depth + 2 * canvas.view.sample(texture(rng, 9)))
    canvas.paint(area, (0.66, 0.62, 0.58), 0.7)
    canvas.paint(area * waves, (0.9, 0.88, 0.82), 0.35)


def laser_scars(canvas: Canvas, rng: np.random.Generator) -> None:
    """Rows of small round burns outside the arcades."""
    step = np.arange(-1.3, 1.5, 0.115)
    points = np.stack(np.meshgrid(step, step), axis=-1).reshape(-1, 2) + rng.normal(
        0, 0.015, (len(step) ** 2, 2)
    )
    points = points[
        (np.hypot(points[:, 0] - 0.25, points[:, 1]) > 0.62) & (rng.uniform(size=len(points)) < 0.85)
    ]
    radii = rng.uniform(0.022, 0.034, len(points))
    canvas.paint(canvas.spots(points, radii, 0.01), (0.86, 0.78, 0.55), 0.75)
    canvas.absorb(canvas.spots(points[::2], radii[::2] * 0.5, 0.01), _PIGMENT, 0.7)


def myelinated(canvas: Canvas, eye: Eye, rng: np.random.Generator) -> None:
    """A feathery white patch that follows the nerve fibres from the rim of the disc."""
    layer, up = canvas.blank(), rng.choice([-1, 1])
    for _ in range(34):
        far = rng.uniform(0.06, 0.27)
        x, y = (
            eye.disc[0] - far * rng.uniform(0.1, 0.8),
            eye.disc[1] + up * (0.06 + far * rng.uniform(0.6, 1)),
        )
        canvas.stamp(
            layer, (x, y), (rng.uniform(0.05, 0.1), 0.012), fibre_direction(eye, x, y), 0.012, 0.2, rng
        )
    canvas.paint(layer, (0.99, 0.97, 0.90), 0.9)


def cherry_spot(canvas: Canvas) -> None:
    """Arterial occlusion: pale, clouded macula around a red fovea."""
    canvas.paint(canvas.halo((0.05, 0), 0.5), (0.93, 0.82, 0.66), 0.65)
    canvas.absorb(canvas.halo((0, 0), 0.06), (0.8, 0.3, 0.25), 0.8)


def asteroids(canvas: Canvas, rng: np.random.Generator) -> None:
    """Asteroid hyalosis: bright specks that float before the retina."""
    points = rng.uniform(-1, 1, (130, 2)) * np.array([1.0, 0.9]) + np.array([0.2, 0])
    canvas.paint(canvas.spots(points, rng.uniform(0.006, 0.02, 130), 0.008), (1.0, 0.96, 0.75), 0.85)
