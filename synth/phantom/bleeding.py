"""Lesions of the retinal vessels: diabetes, hypertension, occlusion; each stroke is a sign a doctor names."""

import numpy as np

from synth.phantom.anatomy import Eye, occluded
from synth.phantom.canvas import Canvas
from synth.phantom.retina import fibre
from synth.phantom.vessels import ARCADE_LENGTH

_BLOOD, _DARK_BLOOD = (0.60, 0.27, 0.27), (0.50, 0.17, 0.17)
_EXUDATE, _COTTON = (1.0, 0.90, 0.48), (0.97, 0.93, 0.80)


def scattered(rng: np.random.Generator, n: int, inner: float = 0.13, outer: float = 0.95) -> np.ndarray:
    """(n, 2) places in the retina between two distances from the fovea."""
    angle, distance = rng.uniform(0, 2 * np.pi, n), np.sqrt(rng.uniform(inner**2, outer**2, n))
    return np.stack([0.15 + distance * np.cos(angle), 0.9 * distance * np.sin(angle)], axis=1)


def microaneurysms(canvas: Canvas, rng: np.random.Generator, n: int) -> None:
    """Small round red dots, most of them around the macula."""
    layer = canvas.spots(scattered(rng, n, 0.1, 0.8), rng.uniform(0.008, 0.012, n))
    canvas.absorb(layer, (0.55, 0.22, 0.22), 0.95)


def blots(canvas: Canvas, rng: np.random.Generator, n: int, size: float = 1.0) -> None:
    """Dot and blot haemorrhages in all quadrants."""
    radii = size * rng.uniform(0.011, 0.028, n)
    canvas.absorb(canvas.spots(scattered(rng, n, 0.15, 0.95), radii, 0.014, 0.4, rng), _BLOOD, 0.9)


def exudates(canvas: Canvas, rng: np.random.Generator, clusters: int, spread: float = 0.55) -> None:
    """Clusters of sharp, yellow, waxy dots."""
    layer = canvas.blank()
    for middle in scattered(rng, clusters, 0.14, spread):
        n = int(rng.integers(10, 24))
        points = middle + rng.normal(0, 0.05, (n, 2))
        np.maximum(layer, canvas.spots(points, rng.uniform(0.004, 0.014, n), 0.006, 0.3, rng), out=layer)
    canvas.paint(layer, _EXUDATE, 0.85)


def exudate_ring(canvas: Canvas, rng: np.random.Generator) -> None:
    """A circinate ring of hard exudates around a thickened, duller macula."""
    middle, radius = rng.normal(0, 0.035, 2), rng.uniform(0.16, 0.23)
    canvas.paint(canvas.halo(tuple(middle), radius * 0.9), (0.86, 0.66, 0.46), 0.30)
    n, gap = 80, rng.uniform(0, 6.28)
    angle = gap + rng.uniform(0.5, 6.0, n)
    distance = radius * (1 + rng.normal(0, 0.2, n))
    points = middle + np.stack([np.cos(angle), np.sin(angle)], axis=1) * distance[:, None]
    canvas.paint(canvas.spots(points, rng.uniform(0.006, 0.019, n), 0.007, 0.35, rng), _EXUDATE, 0.88)


def macular_star(canvas: Canvas, rng: np.random.Generator) -> None:
    """Exudates in rays around the fovea."""
    layer = canvas.blank()
    for angle in rng.uniform(0, 6.28, 14):
        far = rng.uniform(0.1, 0.19)
        canvas.stamp(layer, (far * np.cos(angle), far * np.sin(angle)), (0.05, 0.007), angle, 0.005)
    canvas.paint(layer, _EXUDATE, 0.85)


def cotton_wool(canvas: Canvas, rng: np.random.Generator, n: int) -> None:
    """Fluffy white spots near the arcades."""
    layer = canvas.blank()
    for x, y in scattered(rng, n, 0.35, 0.8):
        canvas.stamp(
            layer,
            (x, y),
            (rng.uniform(0.04, 0.06), rng.uniform(0.025, 0.04)),
            rng.uniform(0, 3),
            0.05,
            0.4,
            rng,
        )
    canvas.paint(layer, _COTTON, 0.72)


def flames(canvas: Canvas, eye: Eye, rng: np.random.Generator, points: np.ndarray, size: float = 1.0) -> None:
    """Haemorrhages between nerve fibres: streaks that run as the fibres do."""
    layer = canvas.blank()
    for x, y in points:
        angle = fibre_direction(eye, x, y) + rng.normal(0, 0.12)
        for _ in range(4):  # the brush of a flame
            place = (x + rng.normal(0, 0.018), y + rng.normal(0, 0.018))
            length, width = size * rng.uniform(0.03, 0.07), size * rng.uniform(0.007, 0.012)
            canvas.stamp(layer, place, (length, width), angle + rng.normal(0, 0.1), 0.006, 0.2, rng)
    canvas.absorb(layer, (0.58, 0.25, 0.25), 0.92)


def fibre_direction(eye: Eye, x: float, y: float) -> float:
    """Angle of the nerve fibres at a point: along the parabola through it and the disc."""
    dx, dy = eye.disc[0] - x, y - eye.disc[1]
    if dx > 0.03:
        return float(np.arctan2(dy, -2 * dx))
    return float(np.arctan2(dy, -dx))


def new_vessels(canvas: Canvas, eye: Eye, rng: np.random.Generator) -> None:
    """Fronds of fine new vessels on the disc and along an arcade."""
    from PIL import Image, ImageDraw

    finer = 4
    side = canvas.view.size * finer
    image = Image.new("L", (side, side))
    pen = ImageDraw.Draw(image)
    places = [(eye.disc, 0.17)] + [(tuple(p), 0.13) for p in scattered(rng, 2, 0.5, 0.75)]
    wide = max(1, round(0.007 / canvas.view.pixel * finer))
    for place, reach in places:
        for angle in rng.uniform(0, 6.28, 18):
            heading = angle + np.cumsum(rng.normal(0, 0.45, 12))
            steps = np.stack([np.cos(heading), np.sin(heading)], axis=1) * (reach / 9 * rng.uniform(0.6, 1.2))
            path = canvas.view.as_pictures(np.array(place) + np.cumsum(steps, axis=0)) * finer
            pen.line(path.ravel().tolist(), fill=230, width=wide)
        canvas.absorb(canvas.halo(place, reach), (0.85, 0.6, 0.6), 0.4)
    canvas.absorb(np.asarray(image.reduce(finer), np.float32) / 255, (0.62, 0.2, 0.22), 0.9)


def preretinal(canvas: Canvas, rng: np.random.Generator) -> None:
    """Blood in front of the retina: a dark boat with a level top."""
    for _ in range(int(rng.integers(1, 3))):
        side = rng.choice([-1, 1])
        place = (rng.uniform(-0.25, 0.5), side * rng.uniform(0.35, 0.6))
        layer = canvas.blank()
        canvas.stamp(layer, place, (rng.uniform(0.16, 0.26), rng.uniform(0.13, 0.2)), 0.0, 0.02, 0.12, rng)
        layer *= np.clip((canvas.y - np.float32(place[1] - 0.02)) / np.float32(0.02), 0, 1)
        canvas.absorb(layer, _DARK_BLOOD, 0.97)


def diabetic(canvas: Canvas, eye: Eye, rng: np.random.Generator, grade: int) -> None:
    """The signs of diabetic retinopathy of a grade 1..4 (Wilkinson et al. 2003)."""
    microaneurysms(canvas, rng, int(rng.integers(9, 15)) if grade == 1 else int(rng.integers(20, 32)))
    if grade >= 2:
        blots(canvas, rng, int(rng.integers(8, 14)) if grade == 2 else int(rng.integers(34, 50)))
        exudates(canvas, rng, int(rng.integers(2, 4)) if grade == 2 else int(rng.integers(3, 6)))
    if grade >= 3:
        blots(canvas, rng, int(rng.integers(10, 18)), size=1.5)
        cotton_wool(canvas, rng, int(rng.integers(4, 8)))
    if grade == 4:
        new_vessels(canvas, eye, rng)
        preretinal(canvas, rng)


def hypertensive(canvas: Canvas, eye: Eye, rng: np.random.Generator) -> None:
    """Flame haemorrhages and cotton wool around the disc, now and then a macular star."""
    angle, n = rng.uniform(0, 6.28, 40), int(rng.integers(10, 18))
    far = rng.uniform(0.22, 0.55, 40)
    around = np.array(eye.disc) + np.stack([np.cos(angle), np.sin(angle)], axis=1) * far[:, None]
    around = around[np.hypot(*around.T) > 0.2]
    flames(canvas, eye, rng, around[:n], 1.15)
    cotton_wool(canvas, rng, int(rng.integers(3, 7)))
    if rng.uniform() < 0.35:
        macular_star(canvas, rng)


def occlusion(canvas: Canvas, eye: Eye, rng: np.random.Generator) -> None:
    """Flames and blots through all that the occluded vein drains, and the retina there dark and wet."""
    for quadrant in occluded(eye):
        up, temporal = (-1 if quadrant % 2 == 0 else 1), quadrant < 2
        n = 34 if temporal else 16
        x = rng.uniform(-0.75, eye.disc[0] - 0.05, n) if temporal else rng.uniform(eye.disc[0], 1.1, n)
        height = np.abs(fibre_height(eye, x)) * rng.uniform(0.35, 1.5, n) + rng.uniform(0.0, 0.08, n)
        points = np.stack([x, eye.disc[1] + up * height], axis=1)
        middle = (0.1, 0.4 * up) if temporal else (0.8, 0.4 * up)
        canvas.absorb(canvas.halo(middle, 0.45), (0.86, 0.62, 0.6), 0.5, lesion=False)
        flames(canvas, eye, rng, points, 1.25)
        beside = points[rng.integers(0, n, n // 2)] + rng.normal(0, 0.06, (n // 2, 2))
        canvas.absorb(canvas.spots(beside, rng.uniform(0.015, 0.04, n // 2), 0.01, 0.3, rng), _BLOOD, 0.9)
        layer = canvas.blank()
        for px, py in points[:3]:
            canvas.stamp(layer, (px, py), (0.05, 0.03), rng.uniform(0, 3), 0.03, 0.4, rng)
        canvas.paint(layer, _COTTON, 0.8)


def fibre_height(eye: Eye, x: np.ndarray) -> np.ndarray:
    """Distance of the arcade from the horizontal at `x`, eye units."""
    along = np.clip(np.abs(eye.disc[0] - x) / ARCADE_LENGTH, 0.01, 1.6)
    return eye.person.arcade * np.sqrt(along * (2 - along))


def fibre_wedge(canvas: Canvas, eye: Eye, rng: np.random.Generator) -> None:
    """Glaucoma: a dark arc where a bundle of nerve fibres is gone; at times a splinter of blood on the rim."""
    height, disc = fibre(canvas, eye), eye.disc
    lost = rng.uniform(0.32, 0.55)
    for up in (1, -1) if rng.uniform() < 0.4 else (1,):
        arc = np.exp(-(((height * up - np.float32(lost)) / np.float32(0.10)) ** 2))
        far = np.hypot(canvas.x - np.float32(disc[0]), canvas.y - np.float32(disc[1]))
        arc = arc * np.clip((far - 0.1) / 0.04, 0, 1) * np.exp(-((far / 0.75) ** 2)) * (canvas.x < disc[0])
        canvas.absorb(arc, (0.80, 0.64, 0.60), 0.9)
    if rng.uniform() < 0.3:
        layer = canvas.blank()
        place = (disc[0] - 0.07, disc[1] + eye.disc_radius)
        canvas.stamp(layer, place, (0.05, 0.011), 2.0, 0.006)
        canvas.absorb(layer, _BLOOD, 0.95)
