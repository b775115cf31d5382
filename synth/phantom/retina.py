"""The healthy part of a picture: pigment, choroid, macula, optic disc, nerve fibres, vessels."""

import numpy as np
from scipy import ndimage

from synth.phantom.anatomy import Eye
from synth.phantom.canvas import Canvas
from synth.phantom.chance import chance, ridges, texture
from synth.phantom.vessels import grow, paint

_BLOND, _DARK, _PALE = (0.86, 0.50, 0.30), (0.47, 0.22, 0.11), (0.93, 0.66, 0.44)
ATROPHY = (0.98, 0.87, 0.68)
"""Sclera that shines through where retina and choroid are gone."""


def fibre(canvas: Canvas, eye: Eye) -> np.ndarray:
    """(S, S): which nerve fibre passes here: height over the fovea where it crosses; up negative, temporal only.

    Fibres follow the family of parabolas that also models the arcades; 0 is the horizontal raphe.
    """
    depth = np.maximum((np.float32(eye.disc[0]) - canvas.x) / np.float32(eye.disc[0]), 0.02)
    return (canvas.y - np.float32(eye.disc[1])) / np.sqrt(depth)


def background(canvas: Canvas, eye: Eye) -> np.ndarray:
    """Paint pigment, choroid and macula; returns the pattern of the choroid, (S, S) in [0, 1]."""
    rng, who, view = chance(*eye.key, "choroid"), eye.person, canvas.view
    melanin = np.clip(who.melanin, 0, 1)
    base = (1 - melanin) * np.array(_BLOND) + melanin * np.array(_DARK)
    base = base * (1 + who.hue * np.array([0.0, 0.05, -0.16]))
    base = base + eye.pale * 0.7 * (np.array(_PALE) - base)
    pattern = view.sample(np.maximum(ridges(rng, 46, 0.5), 0.7 * ridges(rng, 27, 0.25)))
    mottle = view.sample(texture(rng, 9) + 0.6 * texture(rng, 40) + 0.4 * texture(rng, 90))
    near = canvas.halo((0.15, 0.0), 0.5) * np.float32(
        1 - 0.6 * eye.pale
    )  # the posterior pole hides its choroid
    canvas.colour[:] = base[:, None, None]
    canvas.absorb(1 - pattern, (0.84, 0.62, 0.54), eye.tessellation * 0.95, lesion=False)
    canvas.paint(pattern * (1 - 0.7 * near), (0.93, 0.50, 0.28), 0.4 * eye.tessellation, lesion=False)
    canvas.colour *= 1 + mottle * np.array([0.016, 0.024, 0.024], np.float32)[:, None, None]
    _macula(canvas, eye)
    return pattern


def _macula(canvas: Canvas, eye: Eye) -> None:
    """Darker and less blue towards the fovea; in the young a small reflex of the pit."""
    depth = 1 + 0.3 * eye.person.build
    canvas.absorb(canvas.halo((0, 0), 0.27), (0.86, 0.76, 0.66), 0.75 * depth, lesion=False)
    canvas.absorb(canvas.halo((0, 0), 0.075), (0.66, 0.52, 0.5), 0.7 * depth, lesion=False)
    young = max(0.0, 1 - 1.6 * eye.person.years)
    canvas.paint(
        canvas.spots(np.zeros((1, 2)), np.array([0.008]), 0.012), (1.0, 0.85, 0.7), 0.6 * young, lesion=False
    )


def sheen(canvas: Canvas, eye: Eye) -> None:
    """The silky stripes of a young nerve fibre layer above and below the disc."""
    young = np.float32(max(0.0, 1 - 1.2 * eye.person.years))
    height = fibre(canvas, eye)
    band = np.exp(-(((np.abs(height) - 0.42) / 0.22) ** 2)) * canvas.halo(
        (eye.disc[0] - 0.15, eye.disc[1]), 0.55
    )
    phase = np.float32(chance(*eye.key, "sheen").uniform(0, 6))
    stripes = 0.55 + 0.25 * np.sin(63 * height + phase) + 0.2 * np.sin(151 * height + phase)
    band[canvas.x > eye.disc[0]] = 0
    canvas.paint(band * stripes, (0.95, 0.84, 0.70), 0.09 + 0.17 * float(young), lesion=False)


def optic_disc(canvas: Canvas, eye: Eye, pattern: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Paint the disc, its cup and the atrophy around it; returns the masks of disc and cup, (S, S) bool."""
    x, y, radius = canvas.x, canvas.y, eye.disc_radius
    soft = np.float32(radius / max(eye.disc_edge, canvas.view.pixel))
    distance = eye.disc_distance(x, y)
    canvas.paint(canvas.halo(eye.disc, 2.2 * radius), (0.95, 0.66, 0.45), 0.18, lesion=False)
    _surround(canvas, eye, pattern, distance)
    disc = np.clip((1 - distance) * soft + 0.5, 0, 1)
    pallor = eye.pallor
    temporal = np.clip((eye.disc[0] - x) / np.float32(radius), -1, 1) * 0.5 + 0.5
    rim = (0.97, 0.64 + 0.24 * pallor, 0.43 + 0.38 * pallor)
    canvas.paint(disc, rim, 0.92, lesion=False)
    canvas.paint(disc * temporal, (0.99, 0.84, 0.64), 0.22 + 0.3 * pallor, lesion=False)
    cup_distance = eye.cup_distance(x, y)
    cup = np.clip(
        (1 - cup_distance) * np.float32(radius * eye.cup) / max(0.02, canvas.view.pixel) + 0.5, 0, 1
    )
    canvas.paint(cup, (1.0, 0.95 + 0.03 * pallor, 0.79 + 0.14 * pallor), 0.85, lesion=False)
    return distance < 1, cup_distance < 1


def _surround(canvas: Canvas, eye: Eye, pattern: np.ndarray, distance: np.ndarray) -> None:
    """Atrophy around the disc: a temporal crescent, a ring."""
    pixel, radius = canvas.view.pixel, eye.disc_radius
    if eye.ring:
        wobbly = eye.disc_distance(canvas.x, canvas.y, eye.ring) * (1 + 0.06 * np.sin(5 * canvas.x / radius))
        ring = np.clip((1 - wobbly) * np.float32(radius / max(0.03, pixel)) + 0.5, 0, 1)
        canvas.paint(ring, (0.94, 0.76, 0.54), 0.8)
        canvas.absorb(ring * pattern, (0.85, 0.6, 0.5), 0.5, lesion=False)
    if eye.atrophy:
        shifted = eye.disc_distance(
            canvas.x + np.float32(0.8 * eye.atrophy * radius), canvas.y, 0.45 * eye.atrophy
        )
        edge = np.float32(radius / max(0.02, pixel))
        crescent = np.clip((1 - shifted) * edge + 0.5, 0, 1) * np.clip((distance - 0.97) * edge, 0, 1)
        canvas.paint(crescent, ATROPHY, 0.8)
        canvas.absorb(
            np.exp(-(((shifted - 1) / 0.09) ** 2)) * (distance > 1), (0.6, 0.5, 0.45), 0.5, lesion=False
        )


def vessels(canvas: Canvas, eye: Eye) -> np.ndarray:
    """Paint the vessel tree; returns its mask, (S, S) bool."""
    style = eye.style
    tree = grow(eye.key, eye.disc, eye.person.arcade, style)
    arteries, veins, reflex = paint(tree, canvas.view, style)
    spared = np.clip((np.sqrt(canvas.x**2 + canvas.y**2) - np.float32(0.075)) / np.float32(0.05), 0, 1)
    arteries, veins = arteries * spared, veins * spared
    if style.nicking:
        width = 0.014 / canvas.view.pixel
        near = ndimage.gaussian_filter(arteries, width, truncate=2.5)
        veins = veins * (1 - np.float32(style.nicking) * np.clip(3.5 * near, 0, 0.95) * (near < 0.75))
    thinned = 1 - 0.35 * (eye.disc_distance(canvas.x, canvas.y) < 1)  # bright tissue outshines them
    canvas.absorb(veins * (1 - 0.8 * arteries) * thinned, (0.68, 0.37, 0.37), 0.95, lesion=False)
    canvas.absorb(arteries * thinned, (0.87, 0.50, 0.45), 0.92, lesion=False)
    # A hardened artery looks like copper wire: the reflex is broad and bright.
    shine = 0.22 + 0.2 * style.nicking - 0.1 * eye.person.years
    canvas.paint(reflex * spared, (0.98, 0.72, 0.50), max(0.05, shine), lesion=False)
    return np.maximum(arteries, veins) > 0.35
