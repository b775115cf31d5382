"""The vessel tree of one eye: arcades around the macula, nasal branches, arteries and veins that cross."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from synth.phantom.canvas import View
from synth.phantom.chance import chance

_TRUNK, _BRANCH = 48, 16  # points of a polyline
_FINER = 4  # vessels are drawn at this multiple of the picture, then averaged
ARCADE_LENGTH = 0.92
"""How far temporal of the disc the arcades reach their greatest height, eye units."""


@dataclass(frozen=True)
class VesselStyle:
    """What a person, an age or a disease does to the vessels; 1 is usual."""

    artery: float = 1.0
    """Calibre of arteries."""
    veins: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Calibre of veins by quadrant: superior temporal, inferior temporal, superior nasal, inferior nasal."""
    bends: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Tortuosity of veins by quadrant."""
    tortuosity: float = 1.0
    """Tortuosity of everything."""
    beading: float = 0.0
    """How much the calibre of veins swells and shrinks along the way, 0..1."""
    nicking: float = 0.0
    """How much a vein thins where an artery crosses it, 0..1."""


@dataclass(frozen=True)
class Tree:
    """Polylines by generation: `points` (n, k, 2) in eye coordinates, `widths` (n, k), `vein` (n,) bool."""

    points: tuple[np.ndarray, ...]
    widths: tuple[np.ndarray, ...]
    vein: tuple[np.ndarray, ...]


@lru_cache(maxsize=32)
def grow(key: tuple, disc: tuple[float, float], arcade: float, style: VesselStyle) -> Tree:
    """The tree of the eye named `key`; `arcade` is the height of the arcades over the fovea, in eye units."""
    trunks, widths, vein, quadrant = _trunks(key, disc, arcade, style)
    points, all_widths, veins = [trunks], [widths], [vein]
    rng = chance(*key, "branches")
    for share, children in ((0.58, 8), (0.6, 2)):
        wide = points[-1], all_widths[-1], veins[-1], quadrant
        branches, widths, parent = _branches(rng, wide, disc, children, share, style)
        veins.append(veins[-1][parent])
        quadrant = quadrant[parent]
        points.append(branches)
        all_widths.append(widths)
    return Tree(tuple(points), tuple(all_widths), tuple(veins))


def _trunks(key: tuple, disc: tuple[float, float], arcade: float, style: VesselStyle):
    """Eight arcades and four small vessels to the macula: points, widths, vein flags, quadrants."""
    rng = chance(*key, "trunks")
    t = np.linspace(0, 1, _TRUNK)
    points, widths, veins, quadrants = [], [], [], []
    for is_vein in (False, True):
        for quadrant in range(4):
            up, temporal = (-1 if quadrant % 2 == 0 else 1), quadrant < 2
            height = arcade * rng.uniform(0.9, 1.1) * (1.05 if is_vein else 0.95)
            reach, flare, start = rng.uniform(0.8, 1), rng.uniform(0.35, 0.75), rng.uniform(-0.3, 0.3)
            if temporal:
                turn = t * (1.75 + 0.5 * reach)
                x = disc[0] - ARCADE_LENGTH * (0.8 + 0.4 * flare) * (1 - np.cos(turn))
                y = height * np.sin(turn)
            else:
                y = (0.75 + 0.3 * reach) * t ** (0.8 + 0.2 * flare)
                x = disc[0] + (0.35 + flare) * y**1.25
            root = (0.035 + 0.04 * start) * np.exp(-5 * t)  # vessels enter at the nasal side of the cup
            path = np.stack([x + root, disc[1] + up * y], axis=1)
            bend = style.tortuosity * (style.bends[quadrant] if is_vein else 1.0)
            points.append(path + _wiggle(rng, path, t, bend))
            wide = 0.036 * style.veins[quadrant] if is_vein else 0.026 * style.artery
            wide = wide * (1.0 if temporal else 0.75) * rng.uniform(0.9, 1.1) * (1 - 0.62 * t)
            beads = 1 + style.beading * 0.45 * np.sin(t * 75 + rng.uniform(0, 6)) if is_vein else 1.0
            widths.append(wide * beads)
            veins.append(is_vein)
            quadrants.append(quadrant)
        for up in (-1, 1):
            w = t * rng.uniform(0.7, 0.95) * disc[0]
            y = up * (0.03 + rng.uniform(0.1, 0.17) * np.sin(np.pi * t * rng.uniform(0.7, 0.95)))
            path = np.stack([disc[0] - w, disc[1] * (1 - t) + y], axis=1)
            points.append(path + _wiggle(rng, path, t, style.tortuosity))
            widths.append((0.012 if is_vein else 0.010) * (1 - 0.5 * t))
            veins.append(is_vein)
            quadrants.append(0 if up < 0 else 1)
    return np.stack(points), np.stack(widths), np.array(veins), np.array(quadrants)


def _wiggle(rng: np.random.Generator, path: np.ndarray, t: np.ndarray, bend: float) -> np.ndarray:
    """(k, 2) displacement across the path; `bend` 1 is a usual vessel, 4 a corkscrew."""
    along = np.gradient(path, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / (np.hypot(*along.T)[:, None] + 1e-9)
    phases = rng.uniform(0, 6.283, 3)
    slow = 0.018 * np.sin(5 * t + phases[0]) + 0.010 * np.sin(11 * t + phases[1])
    fast = 0.006 * (bend - 0.5) * np.sin(34 * t + phases[2])
    return across * ((slow + fast) * np.minimum(1, 6 * t))[:, None]


def _branches(rng: np.random.Generator, parents: tuple, disc: tuple[float, float], children: int, share: float,
              style: VesselStyle):  # fmt: skip
    """Side branches of every parent, all grown at once: points, widths, and the parent of each."""
    points, widths, vein, quadrant = parents
    count, length = points.shape[:2]
    n = count * children
    parent = np.repeat(np.arange(count), children)
    nth = np.tile(np.arange(children), count)
    where = (0.1 + 0.9 * (nth + rng.uniform(0.2, 1.0, n)) / (children + 0.4) * (length - 1)).astype(int)
    place = points[parent, where]
    ahead = points[parent, np.minimum(where + 1, length - 1)] - points[parent, np.maximum(where - 1, 0)]
    side = np.where((nth + parent) % 2 == 0, 1.0, -1.0)
    heading = np.arctan2(ahead[:, 1], ahead[:, 0]) + side * rng.uniform(0.35, 0.9, n)
    inward = np.hypot(*(place + 0.05 * np.stack([np.cos(heading), np.sin(heading)], 1)).T) < np.hypot(
        *place.T
    )
    inward &= place[:, 0] < disc[0] - 0.08
    goal = rng.uniform(-0.2, 0.2, (n, 2))
    to_fovea = np.hypot(*place.T)
    reach = np.where(
        inward, np.clip(to_fovea * rng.uniform(0.45, 0.85, n), 0.1, 0.5), rng.uniform(0.3, 0.75, n)
    )
    reach *= 1.0 if length == _TRUNK else 0.55
    bend = style.tortuosity * np.where(vein, np.array(style.bends)[quadrant], 1.0)[parent]
    wander = rng.standard_normal((_BRANCH, n)) * 0.17 * np.sqrt(bend)
    path = np.empty((n, _BRANCH, 2))
    for step in range(_BRANCH):
        path[:, step] = place
        aim = np.where(inward[:, None], goal - place, place - np.array(disc))
        turn = np.arctan2(aim[:, 1], aim[:, 0]) - heading
        heading = heading + 0.10 * np.arctan2(np.sin(turn), np.cos(turn)) + wander[step]
        place = place + (reach / _BRANCH)[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    taper = np.linspace(1, 0.4, _BRANCH)[None, :]
    start = widths[parent, where] * share * rng.uniform(0.7, 1.1, n)
    return path, np.maximum(start[:, None] * taper, 0.0035), parent


def paint(tree: Tree, view: View, style: VesselStyle) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Opacity of arteries, of veins, and of the light reflex along arteries, each (S, S) float32 in [0, 1]."""
    side = view.size * _FINER
    arteries, veins, reflex = (Image.new("L", (side, side)) for _ in range(3))
    pens = ImageDraw.Draw(arteries), ImageDraw.Draw(veins), ImageDraw.Draw(reflex)
    for points, widths, vein in zip(tree.points[::-1], tree.widths[::-1], tree.vein[::-1], strict=True):
        outlines = _outlines(view, points, widths)
        ink = np.clip(85 + 170 * widths[:, 0] / 0.018, 0, 255).astype(int)
        for shape, shade, is_vein in zip(outlines, ink, vein, strict=True):
            pens[1 if is_vein else 0].polygon(shape.ravel().tolist(), fill=int(shade))
        if points.shape[1] == _TRUNK:
            for shape, is_vein in zip(_outlines(view, points, widths * 0.3), vein, strict=True):
                if not is_vein:
                    pens[2].polygon(shape.ravel().tolist(), fill=255)
    layers = [np.asarray(image.reduce(_FINER), np.float32) / 255 for image in (arteries, veins, reflex)]
    return layers[0], layers[1], layers[2]


def _outlines(view: View, points: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """(n, 2k, 2): the closed outline of every polyline, in finer pixels."""
    path = view.as_pictures(points) * _FINER
    along = np.gradient(path, axis=1)
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    across /= np.linalg.norm(across, axis=-1, keepdims=True) + 1e-9
    half = across * (widths / view.pixel * _FINER / 2)[..., None]
    return np.concatenate([path + half, (path - half)[:, ::-1]], axis=1)
