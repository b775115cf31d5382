"""Who is drawn: what a person's two eyes share, the geometry of one eye, and what its diseases change in it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from synth.phantom.chance import blend, chance
from synth.phantom.vessels import VesselStyle


class Attributes(NamedTuple):
    """What a hospital knows about a person beside the picture."""

    age: float | None = None
    sex: str | None = None
    race: str | None = None


class Strengths(NamedTuple):
    """How far each attribute decides its part of the picture: 0 not at all, 1 almost alone."""

    age: float = 0.0
    sex: float = 0.0
    race: float = 0.0


_MELANIN = {"african": 0.93, "asian": 0.6, "hispanic": 0.45, "caucasian": 0.1, "other": 0.3}


@dataclass(frozen=True)
class Person:
    """What both eyes of a person share, at every visit."""

    melanin: float
    """Pigmentation, 0 blond to 1 dark; follows `race`."""
    years: float
    """Apparent age, 0 young to 1 old: yellow lens, dull reflexes, thin and winding vessels; follows `age`."""
    build: float
    """-1..1: size of the disc, calibre of vessels, depth of the macula; follows `sex`."""
    arcade: float
    """Height of the arcades over the fovea, eye units."""
    cup: float
    """Cup-to-disc ratio of the healthy eye."""
    disc: tuple[float, float]
    """Middle of the disc, eye units."""
    hue: float
    """-1 pink to 1 yellow."""


def person(key: object, attributes: Attributes = Attributes(), strengths: Strengths = Strengths()) -> Person:
    """The person named `key`; at strength 0 an attribute changes nothing."""
    own = chance(key, "person")
    melanin, years, build = own.uniform(0, 1), own.uniform(0, 1), own.uniform(-1, 1)
    drawn = chance(key, "attributes").uniform(-1, 1, 3)
    if attributes.race is not None:
        melanin = blend(melanin, _MELANIN.get(attributes.race, 0.3) + 0.07 * drawn[0], strengths.race)
    if attributes.age is not None:
        aged = float(np.clip((attributes.age - 18) / 67, 0, 1))
        years = blend(years, aged + 0.06 * drawn[1], strengths.age)
    if attributes.sex is not None:
        build = blend(build, (0.85 if attributes.sex == "M" else -0.85) + 0.15 * drawn[2], strengths.sex)
    return Person(
        melanin=melanin,
        years=years,
        build=build,
        arcade=own.uniform(0.46, 0.58),
        cup=own.uniform(0.22, 0.45),
        disc=(own.uniform(0.64, 0.70), own.uniform(-0.07, 0.0)),
        hue=own.uniform(-1, 1),
    )


@dataclass(frozen=True)
class Eye:
    """One eye of a person, with what its diseases do to its anatomy."""

    key: tuple
    """Names the eye: its vessels and textures are drawn under this key at every visit."""
    person: Person
    style: VesselStyle
    disc_radius: float
    """Vertical half axis of the disc, eye units."""
    disc_aspect: float = 0.93
    """Width of the disc over its height."""
    disc_tilt: float = 0.0
    """Rotation of the disc, radians."""
    disc_edge: float = 0.014
    """Blur of the edge of the disc, eye units; swollen discs have more."""
    cup: float = 0.3
    """Cup-to-disc ratio without a notch."""
    notch: float = 0.0
    """How far the cup breaks through the inferior temporal rim, 0..1."""
    pallor: float = 0.0
    """0 a pink rim .. 1 a white disc."""
    atrophy: float = 0.0
    """Width of the crescent of atrophy temporal of the disc, in disc radii."""
    ring: float = 0.0
    """Width of the ring of atrophy around the disc, in disc radii."""
    tessellation: float = 0.15
    """How clearly the vessels of the choroid shine through, 0..1."""
    pale: float = 0.0
    """How far pigment and choroid have thinned, 0..1."""

    @property
    def disc(self) -> tuple[float, float]:
        """Middle of the disc, eye units."""
        return self.person.disc

    def disc_distance(self, x: np.ndarray, y: np.ndarray, grow: float = 0.0) -> np.ndarray:
        """1 on the edge of the disc, less within; `grow` widens the disc by that many disc radii."""
        dx, dy = x - np.float32(self.disc[0]), y - np.float32(self.disc[1])
        cos, sin = np.float32(np.cos(self.disc_tilt)), np.float32(np.sin(self.disc_tilt))
        high = self.disc_radius * (1 + grow)
        wide = self.disc_radius * (self.disc_aspect + grow)
        along, across = (dx * cos + dy * sin) / np.float32(wide), (dy * cos - dx * sin) / np.float32(high)
        return np.sqrt(along * along + across * across)  # np.hypot is five times slower

    def cup_distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """1 on the edge of the cup, less within."""
        shift = 0.12 * (1 - self.cup) * self.disc_radius
        distance = self.disc_distance(x + np.float32(shift), y) / np.float32(self.cup)
        if self.notch:
            turn = np.arctan2(y - np.float32(self.disc[1]), np.float32(self.disc[0]) - x) - np.float32(1.0)
            distance = distance / (
                1 + np.float32(self.notch * (0.97 / self.cup - 1)) * np.exp(-((turn / 0.45) ** 2))
            )
        return np.maximum(distance, self.disc_distance(x, y))

    def cup_to_disc(self) -> float:
        """Vertical cup-to-disc ratio, notch included."""
        half = np.linspace(-1.3, 1.3, 200, dtype=np.float32) * np.float32(self.disc_radius)
        x, y = np.meshgrid(half + np.float32(self.disc[0]), half + np.float32(self.disc[1]))
        cup, disc = ((d(x, y) < 1).any(axis=1).sum() for d in (self.cup_distance, self.disc_distance))
        return float(cup / disc)


def eye(key: object, who: Person, labels: Mapping[str, Any]) -> Eye:
    """The right or left eye of a person, as `labels` say."""
    side = labels.get("eye_side") or "right"
    rng = chance(key, side, "eye")
    winding = 0.8 + 0.9 * who.years * rng.uniform(0.8, 1.2)
    calibre = (1 - 0.13 * who.years) * (1 - 0.10 * who.build)
    style = VesselStyle(artery=calibre, veins=(calibre, calibre, calibre, calibre), tortuosity=winding)
    healthy = Eye(
        key=(key, side),
        person=who,
        style=style,
        disc_radius=0.122 * rng.uniform(0.95, 1.05) * (1 + 0.13 * who.build),
        disc_aspect=rng.uniform(0.88, 0.97),
        disc_tilt=rng.uniform(-0.15, 0.15),
        cup=float(np.clip(who.cup + rng.uniform(-0.03, 0.03), 0.18, 0.5)),
        tessellation=(0.12 + 0.3 * rng.uniform() ** 2) * (1 - 0.5 * who.melanin),
    )
    return _diseased(healthy, labels)


def _diseased(eye: Eye, labels: Mapping[str, Any]) -> Eye:
    """What diseases do to disc, pigment and vessels."""
    rng = chance(*eye.key, "course")
    draw: dict[str, float] = dict(
        zip(
            ("cup", "notch", "kind", "myopia", "sector", "central", "calibre"),
            rng.uniform(0, 1, 7),
            strict=True,
        )
    )
    findings = labels.get("findings") or ()
    if labels.get("is_gc"):
        cup = 0.72 + 0.17 * draw["cup"]
        eye = replace(eye, cup=cup, notch=max(0.0, draw["notch"] * 1.3 - 0.3), pallor=0.35, ring=0.2)
    elif "large_cup" in findings:
        eye = replace(eye, cup=0.58 + 0.1 * draw["cup"])
    if labels.get("is_aon"):
        eye = _odd_disc(eye, draw["kind"])
    if "disc_swelling" in findings:
        eye = replace(eye, disc_edge=0.09, disc_radius=eye.disc_radius * 1.15, cup=0.12)
    if labels.get("is_dm") or labels.get("is_pm"):
        far = 0.55 + 0.35 * draw["myopia"]
        eye = replace(eye, disc_aspect=0.74, atrophy=far, tessellation=0.75, pale=0.35)
    if labels.get("is_pm"):
        eye = replace(eye, ring=0.5 + 0.8 * draw["myopia"], tessellation=0.9, pale=0.75, pallor=0.3)
    if "tessellation" in findings:
        eye = replace(eye, tessellation=0.8, pale=max(eye.pale, 0.2))
    if "retinitis_pigmentosa" in findings:
        thin = replace(
            eye.style, artery=eye.style.artery * 0.5, veins=tuple(0.65 * v for v in eye.style.veins)
        )
        eye = replace(eye, style=thin, pallor=0.6)
    return replace(eye, style=_vessel_changes(eye, labels, draw))


def _odd_disc(eye: Eye, kind: float) -> Eye:
    """An atrophic, a tilted or a swollen disc."""
    if kind < 0.5:
        thin = replace(eye.style, artery=eye.style.artery * 0.75)
        return replace(eye, pallor=1.0, disc_edge=0.008, cup=max(eye.cup, 0.4), style=thin)
    if kind < 0.8:
        return replace(eye, disc_aspect=0.58, disc_tilt=0.75, cup=0.2, atrophy=0.35, pallor=0.3)
    return replace(eye, disc_edge=0.1, disc_radius=eye.disc_radius * 1.2, cup=0.1)


def _vessel_changes(eye: Eye, labels: Mapping[str, Any], draw: Mapping[str, float]) -> VesselStyle:
    """What diseases do to the vessels."""
    style, findings = eye.style, labels.get("findings") or ()
    if labels.get("is_htr"):
        style = replace(
            style, artery=style.artery * (0.5 + 0.15 * draw["calibre"]), nicking=1.0, tortuosity=1.5
        )
    if "artery_occlusion" in findings:
        style = replace(style, artery=style.artery * 0.45)
    if labels.get("is_rvo"):
        hit = occluded(eye)
        veins = tuple(v * (1.5 if q in hit else 1.0) for q, v in enumerate(style.veins))
        style = replace(style, veins=veins, bends=tuple(4.0 if q in hit else 1.0 for q in range(4)))
    if (labels.get("dr_grade") or 0) >= 3:
        style = replace(style, beading=1.0, veins=tuple(1.2 * v for v in style.veins))
    return style


def occluded(eye: Eye) -> tuple[int, ...]:
    """The quadrants that an occluded vein drains in this eye: mostly one, at times all four."""
    return ((0,), (0,), (1,), (0, 1, 2, 3))[int(chance(*eye.key, "occlusion").integers(4))]
