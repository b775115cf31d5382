"""Where a generator's folder is and what it says of itself; asked without the libraries that it takes to run it."""

from pathlib import Path
from typing import Any

from synth.base.checkpoint import check_header
from synth.base.errors import UserError
from synth.base.runs import read_json

FORMAT, VERSION = "visionclip-generator", 1
WEIGHTS = Path(__file__).parent.parent / "weights"
"""The generators that come with the package: `fundus64`, and `fundus64-4`, its student of four steps."""
SHIPPED = WEIGHTS / "fundus64"
"""The one that is sampled where no other is named."""
STEPS, GUIDANCE, INTERVAL = 20, 2.0, (0.15, 0.85)
"""How a generator is sampled where nothing else is asked, unless it is a student of few steps."""


def locate(model: Path) -> Path:
    """The generator's folder, given it, the run that trained it, or the name of one that comes with the package."""
    for folder in (model, model / "model", WEIGHTS / model):
        if (folder / "model_index.json").exists():
            return folder
    if (model / "state.pt").exists():
        raise UserError(f"{model}: a run that has saved no generator yet; repeat its 'synth train'")
    raise UserError(
        f"{model}: no generator there (no model_index.json); train one with 'synth train', or name one that "
        f"comes with the package: {', '.join(sorted(p.name for p in WEIGHTS.iterdir() if p.is_dir()))}"
    )


def facts(folder: Path) -> dict[str, Any]:
    """What a generator's folder says of itself.

    Raises:
        UserError: it is of another kind, damaged, or of a later version.
    """
    path = folder / "visionclip.json"
    if not path.exists():
        raise UserError(f"{folder}: a diffusers folder that 'synth train' did not write (no visionclip.json)")
    return check_header(path, read_json(path), FORMAT, VERSION)


def manner(student: dict[str, Any] | None, steps: int | None, guidance: float | None) -> tuple[int, float]:
    """Steps and guidance to sample with: those asked for, else what the generator was made for.

    Args:
        student: what model_index.json says of a distilled generator; None of any other.

    Raises:
        UserError: a student is asked for other steps than its own, or for more guidance.
    """
    if student is None:
        return STEPS if steps is None else steps, GUIDANCE if guidance is None else guidance
    made = (
        f"the generator was distilled to {student['steps']} steps with guidance {student['guidance']:g} in it"
    )
    if steps not in (None, student["steps"]):
        raise UserError(f"--steps {steps}: {made}; leave the flag out, or sample its teacher")
    if guidance not in (None, 1):
        raise UserError(f"--guidance {guidance:g}: {made}; leave the flag out, or sample its teacher")
    return student["steps"], 1.0
