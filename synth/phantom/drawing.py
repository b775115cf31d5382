"""One phantom: the labels of an eye and the keys of its person, visit and camera -> a picture with its truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synth.phantom import bleeding, degeneration, optics, retina
from synth.phantom.anatomy import Attributes, Eye, Strengths, eye, person
from synth.phantom.camera import develop, expose, field, finish
from synth.phantom.canvas import Canvas
from synth.phantom.chance import chance


@dataclass(frozen=True)
class Phantom:
    """A picture and what is true of it.  Masks are (S, S) bool, inside the field of view; places are pixels (x, y)."""

    image: np.ndarray
    """(S, S, 3) uint8."""
    field: np.ndarray
    """What the camera saw."""
    disc: np.ndarray
    cup: np.ndarray
    vessels: np.ndarray
    lesions: np.ndarray
    """What diseases and findings added."""
    cup_to_disc: float
    """Vertical cup-to-disc ratio; NaN where there is no fundus."""
    disc_at: tuple[float, float]
    fovea_at: tuple[float, float]


def draw(labels: Mapping[str, Any], person_key: object = 0, visit: int = 0, size: int = 256,
         attributes: Attributes = Attributes(), strengths: Strengths = Strengths(),
         shape: str | None = None) -> Phantom:  # fmt: skip
    """Draw the eye that `labels` describe (columns of `records.LABELS`; absent or null means not there).

    Args:
        person_key: names the person; both eyes and all visits of one key look alike.
        visit:      another visit is another camera, not another eye.
        size:       pixels a side.
        attributes: age, sex and race; they matter by `strengths`.
        shape:      insists on a field of view of `camera.SHAPES`.
    """
    side = labels.get("eye_side") or "right"
    exposure = expose(person_key, side, visit, size, shape, optics.aim(labels, (person_key, side, visit)))
    if labels.get("is_fundus") == 0:
        return _nothing(optics.not_a_fundus(exposure.key, size))
    who = person(person_key, attributes, strengths)
    subject = eye(person_key, who, labels)
    canvas = Canvas(exposure.view)
    disc, cup, vessels = _anatomy(canvas, subject, labels)
    _over(canvas, subject, labels)
    field_mask = field(exposure)
    optics.media(canvas, exposure.key, tuple(labels.get("findings") or ()))
    optics.degrade(canvas, labels, exposure.key, subject.disc)
    image = finish(exposure, develop(exposure, canvas.colour, who), field_mask)
    inside = field_mask > 0.5
    places = exposure.view.as_pictures(np.array([subject.disc, (0.0, 0.0)]))
    return Phantom(
        image=image,
        field=inside,
        disc=disc & inside,
        cup=cup & inside,
        vessels=vessels & inside,
        lesions=(canvas.lesions > 0.3) & inside,
        cup_to_disc=subject.cup_to_disc(),
        disc_at=(float(places[0, 0]), float(places[0, 1])),
        fovea_at=(float(places[1, 0]), float(places[1, 1])),
    )


def _nothing(image: np.ndarray) -> Phantom:
    """A picture that shows no fundus: empty masks."""
    empty = np.zeros(image.shape[:2], bool)
    nowhere = (float("nan"), float("nan"))
    return Phantom(image, ~empty, empty, empty, empty, empty, float("nan"), nowhere, nowhere)


def _anatomy(
    canvas: Canvas, eye: Eye, labels: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paint what lies under the vessels, the disc and the vessels; returns masks of disc, cup and vessels."""
    findings = labels.get("findings") or ()
    pattern = retina.background(canvas, eye)
    retina.sheen(canvas, eye)
    if labels.get("is_amd"):
        degeneration.macular_degeneration(canvas, eye, chance(*eye.key, "amd"), pattern)
    if "drusen" in findings:
        degeneration.drusen(canvas, chance(*eye.key, "drusen"), 45, 0.022)
    if labels.get("is_crp"):
        rng = chance(*eye.key, "crp")
        degeneration.scars(canvas, rng, pattern, int(rng.integers(4, 10)))
    if "lesion" in findings:
        degeneration.scars(canvas, chance(*eye.key, "lesion"), pattern, 1)
    if labels.get("is_pm"):
        degeneration.myopic_atrophy(canvas, eye, chance(*eye.key, "pm"), pattern)
    if labels.get("is_dm") or "tessellation" in findings:
        canvas.lesions = np.maximum(canvas.lesions, 0.35 * (pattern > 0.6))
    if "artery_occlusion" in findings:
        degeneration.cherry_spot(canvas)
    if "retinitis_pigmentosa" in findings:
        degeneration.bone_spicules(canvas, eye, chance(*eye.key, "rp"))
    if "laser_scars" in findings:
        degeneration.laser_scars(canvas, chance(*eye.key, "laser"))
    if labels.get("is_gc"):
        bleeding.fibre_wedge(canvas, eye, chance(*eye.key, "wedge"))
    disc, cup = retina.optic_disc(canvas, eye, pattern)
    if labels.get("is_gc") or "large_cup" in findings:
        canvas.lesions = np.maximum(canvas.lesions, cup)
    if labels.get("is_aon") or "disc_swelling" in findings:
        canvas.lesions = np.maximum(canvas.lesions, disc)
    return disc, cup, retina.vessels(canvas, eye)


def _over(canvas: Canvas, eye: Eye, labels: Mapping[str, Any]) -> None:
    """Paint what lies on or before the vessels."""
    grade, findings = labels.get("dr_grade") or 0, labels.get("findings") or ()
    if grade:
        bleeding.diabetic(canvas, eye, chance(*eye.key, "dr"), grade)
    if labels.get("is_dme"):
        bleeding.exudate_ring(canvas, chance(*eye.key, "dme"))
    if labels.get("is_htr"):
        bleeding.hypertensive(canvas, eye, chance(*eye.key, "htr"))
    if labels.get("is_rvo"):
        bleeding.occlusion(canvas, eye, chance(*eye.key, "rvo"))
    if labels.get("is_em"):
        degeneration.membrane(canvas, eye, chance(*eye.key, "em"))
    for finding in findings:
        _finding(canvas, eye, finding)


def _finding(canvas: Canvas, eye: Eye, finding: str) -> None:
    """Paint one finding beyond the eleven diseases that lies on or before the vessels."""
    rng = chance(*eye.key, finding)
    strokes = {
        "haemorrhage": lambda: bleeding.blots(canvas, rng, 8, 1.4),
        "exudate": lambda: bleeding.exudates(canvas, rng, 3),
        "microaneurysm": lambda: bleeding.microaneurysms(canvas, rng, 12),
        "cotton_wool_spot": lambda: bleeding.cotton_wool(canvas, rng, 4),
        "neovascularization": lambda: bleeding.new_vessels(canvas, eye, rng),
        "macular_edema": lambda: bleeding.exudate_ring(canvas, rng),
        "macular_disease": lambda: degeneration.drusen(canvas, rng, 25),
        "macular_hole": lambda: degeneration.macular_hole(canvas, rng),
        "central_serous": lambda: degeneration.blister(canvas, rng),
        "retinal_detachment": lambda: degeneration.detachment(canvas, rng),
        "myelinated_fibers": lambda: degeneration.myelinated(canvas, eye, rng),
        "asteroid_hyalosis": lambda: degeneration.asteroids(canvas, rng),
    }
    if finding in strokes:
        strokes[finding]()
