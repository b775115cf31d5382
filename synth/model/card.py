"""Where a generator's folder is and what its `visionclip.json` says; read without the libraries that run a generator."""

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field

from synth.base.checkpoint import check_header, header
from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import read_json, sha256
from synth.base.stored import Number, Stored
from synth.data.images import Preprocessing

FORMAT, VERSION = "visionclip-generator", 1
WEIGHTS = Path(__file__).parent.parent / "weights"
"""The generators that come with the package: `fundus256`, and `fundus256-4`, its student of four steps."""
SHIPPED = WEIGHTS / "fundus256"
"""The one that is sampled where no other is named."""
STEPS, GUIDANCE, INTERVAL = 20, 2.0, (0.15, 0.85)
"""How a generator is sampled where nothing else is asked, unless it is a student of few steps."""
FILE = "visionclip.json"


class TrainingSource(Stored):
    """One public set, or other source, of training photographs."""

    source: str
    """As the column `source` of records has it."""
    title: str
    licence: str
    citation: str
    images: int | None = None
    """Photographs of the split `train`; absent where differential privacy forbids to count them."""
    subjects: int | None = None
    """People of the split `train`."""


class CaptionEncoder(Stored):
    """The text encoder whose vectors condition a generator."""

    encoder: str
    sha256: str
    width: int
    """Numbers in the vector of a caption."""


class PrivacyGuarantee(Stored):
    """The differential privacy of a generator's training."""

    epsilon: Number
    unit: str
    """What one record is: a patient."""
    patients: int
    delta: Number
    noise_multiplier: Number
    clipping_norm: Number | None = None
    sampling_rate: Number
    steps: int
    accountant: str
    steps_planned: int | None = None


class Distillation(Stored):
    """What a student was distilled from, and the steps that it was made for."""

    teacher: str
    """The fingerprint of the teacher's weights."""
    data: str | None = None
    """The fingerprint of the records that it was shown."""
    start: str | None = None
    """The fingerprint of another student, whose weights it began with."""
    steps: int
    guidance: Number
    """The scale of the teacher's guidance that the student holds."""
    times: list[int] | None = None
    """Diffusion steps that it takes, where they are uneven."""
    images: int | None = None
    """Photographs shown while it was distilled."""


class GeneratorCard(Stored):
    """What a generator's folder says of itself: its file `visionclip.json`."""

    VERSION: ClassVar[int] = VERSION

    format: str
    version: int
    libraries: dict[str, str] = Field(default_factory=dict)
    images: int
    """Photographs shown in training."""
    average: Number | None = None
    """The length of the averaged weights, as a share of training."""
    config: dict[str, Any]
    """The settings of its training, which `synth.training` reads."""
    preprocessing: Preprocessing
    """How its photographs were prepared, and so the size of its pictures."""
    vocabulary: int
    """The version of `synth.data.vocabulary`."""
    data: str | None = None
    """The fingerprint of its training records; none under differential privacy."""
    records: list[str] = Field(default_factory=list)
    """The fingerprint of each folder of records that its weights learnt from, in trainings before too; none under
    differential privacy."""
    trained_on: list[TrainingSource] = Field(default_factory=list)
    start: str | None = None
    """The fingerprint of another generator, whose weights its training began with."""
    reconstruction: Any = None
    """How well the autoencoder of a latent space gives pictures back."""
    canary: list[str] = Field(default_factory=list)
    """The sha256 of the sealed keys of canaries in its training records."""
    captions: CaptionEncoder | None = None
    differential_privacy: PrivacyGuarantee | None = None
    distilled: Distillation | None = None
    files: dict[str, str] = Field(default_factory=dict)
    """The sha256 of each file of weights, by its path in the folder; none of a generator of an earlier version."""

    @classmethod
    def of(cls, **values: Any) -> Self:
        """The card of a generator that is written now: `values` under a header of this version and these libraries."""
        return cls.model_validate(header(FORMAT, VERSION, **values))

    def learnt_from(self) -> set[str]:
        """The fingerprints of the records that its weights learnt from: of each folder, and of those of a training together."""
        together = {self.data, self.distilled.data if self.distilled else None}
        return {*self.records, *(each for each in together if each)}


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


def read_card(folder: Path) -> GeneratorCard:
    """What a generator's folder says of itself.

    Raises:
        UserError: it is of another kind, damaged, or of a later version.
    """
    path = folder / FILE
    if not path.exists():
        raise UserError(f"{folder}: a diffusers folder that 'synth train' did not write (no {FILE})")
    return GeneratorCard.parse(check_header(path, read_json(path), FORMAT, VERSION), str(path))


def sums(folder: Path) -> dict[str, str]:
    """The sha256 of each file of weights and settings in a generator's folder, by its path there; not of the card."""
    files = (*folder.rglob("*.safetensors"), *folder.rglob("*.json"))
    kept = {p.relative_to(folder).as_posix(): sha256(p) for p in sorted(files)}
    return {name: digest for name, digest in kept.items() if name != "visionclip.json"}


def check_sums(folder: Path, card: GeneratorCard) -> None:
    """Compare files with what the card says of them; that of an earlier version says nothing, or of weights alone.

    Raises:
        UserError: one differs, is missing, or is there beside.
    """
    found = sums(folder) if card.files else {}
    for name in sorted({*(name for name in found if name.endswith(".safetensors")), *card.files}):
        if found.get(name) != card.files.get(name):
            raise UserError(
                f"{folder}: damaged generator ({name} is not what was written, its sha256 differs); copy or train it again"
            )


def weights_fingerprint(folder: Path) -> str:
    """The hash of a generator's weights and settings."""
    parts = sorted(p for p in folder.rglob("*") if p.suffix in (".safetensors", ".json"))
    return fingerprint({str(p.relative_to(folder)): sha256(p) for p in parts})


def sampling_defaults(
    student: dict[str, Any] | None, steps: int | None, guidance: float | None
) -> tuple[int, float]:
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
