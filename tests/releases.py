"""Small releases whose secrets are known: people who are drawn at random, and models that learnt some of them by heart."""

import copy
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generators import MIX
from PIL import Image
from scipy.ndimage import gaussian_filter

from clip.model import checkpoints
from clip.model.encoders import CLIP, ClipConfig, ImageTower, TextTower, build, normalise
from privacy.data.inputs import People
from privacy.scores.matched_groups import SAME, MatchedGroups
from privacy.scores.neighbours import SPACES, Nearest, Origins
from synth import pipeline
from synth.base.checkpoint import save
from synth.data import images, records
from synth.data.images import Preprocessing
from synth.data.vocabulary import VERSION as VOCABULARY
from synth.diffusion.losses import loss as denoising_loss
from synth.diffusion.process import VPrediction
from synth.diffusion.schedulers import STEPS
from synth.model.card import GeneratorCard
from synth.model.denoiser import Denoiser, NetworkConfig
from synth.model.labels import current
from synth.model.wavelet import WaveletSpace

SIDE = 64  # pixels
QUICK: dict[str, Any] = dict(permutations=60, bootstrap=200, detection_rounds=50, copies_steps=20, copies_permutations=999,
                             likelihood_labels=1, likelihood_steps=(100, 500))  # fmt: skip
"""Settings of an audit of these in seconds."""
COMPLETED: dict[str, Any] = dict(
    completion_patients=20, completion_draws=1, completion_steps=5, completion_repeats=1
)
"""The same for T5."""
SMALL = Preprocessing(size=8)
"""What the generators see."""
SEEN = Preprocessing(size=32)
"""What the encoders see."""
RACES = {"african": (110, 60, 60), "asian": (150, 80, 45), "caucasian": (190, 110, 40)}
"""Race -> the colour of the eye: plain in every picture."""
SEX = 0.12
"""By how much more blue is in the pictures of women, whose standard deviation is a tenth: a hint, no more."""
WORDS = ("disc", "macula", "vessel", "nerve", "rim", "lesion", "cup", "arcade", "fovea", "choroid")
CLIP_CONFIG = ClipConfig(
    image=ImageTower(layers=(1, 1, 1, 1), width=8),
    text=TextTower(layers=1, width=16, heads=1, feedforward=16, positions=52, dropout=0),
    embedding=32,
    preprocessing=SEEN,
)


def textures(count: int, seed: int) -> np.ndarray:
    """(count, S, S, 1) about 1: unlike in any two, as unlike eyes are."""
    rng = np.random.default_rng(seed)
    coarse = gaussian_filter(rng.normal(size=(count, SIDE, SIDE)), (0, 5, 5)) * 15
    fine = gaussian_filter(rng.normal(size=(count, SIDE, SIDE)), (0, 1.5, 1.5)) * 3
    return (1 + 0.25 * (coarse + fine))[..., None]


def eyes(count: int, seed: int) -> np.ndarray:
    """(count, S, S, 3) uint8: such textures in round fields of view, of one colour."""
    return (textures(count, seed) * RACES["asian"] * _field()).clip(0, 255).astype(np.uint8)


def altered(pictures: np.ndarray, seed: int) -> np.ndarray:
    """Mirrored, of other gamma and colours, and saved as JPEG."""
    rng = np.random.default_rng(seed)
    found = []
    for picture in pictures:
        light = (picture[:, ::-1] / 255) ** rng.uniform(0.8, 1.25) * rng.uniform(0.8, 1.2, 3)
        file = io.BytesIO()
        Image.fromarray((light.clip(0, 1) * 255).round().astype(np.uint8)).save(file, "JPEG", quality=70)
        found.append(np.asarray(Image.open(file)))
    return np.stack(found)


def origins(near: dict[str, Nearest], groups: MatchedGroups) -> tuple[Origins, Origins]:
    """What is copied of members and of non-members, where the groups are everybody and were searched together."""
    first, second = (near[name] for name in SPACES)
    found = []
    for place in range(2):
        rows = np.flatnonzero(groups.patient_ids // groups.patients == place)
        mine = np.isin(first.row, rows)
        alone = Nearest(
            np.where(mine, first.closeness, 1), np.where(mine, first.row - rows[0], 0), first.nonmembers
        )
        verified = mine & (first.closeness < SAME) & (first.row == second.row)
        found.append(
            Origins(alone, groups.patient_ids[rows] - place * groups.patients, alone.copies(), verified)
        )
    return found[0], found[1]


def _field() -> np.ndarray:
    across = np.linspace(-1, 1, SIDE)
    return (np.hypot(across[:, None], across) < 0.97)[..., None]


def patients(name: str, count: int, seed: int, each: int = 2) -> list[records.Row]:
    """`each` photographs of patients whose race is plain in every one, whose sex is hinted at, and whose age is in none."""
    rng = np.random.default_rng([seed, 1])
    light = textures(count * each, seed) * _field()
    rows = []
    for patient in range(count):
        sex, race = "FM"[rng.integers(2)], str(rng.choice(list(RACES)))
        blue = 1 + SEX * (sex == "F") + rng.normal(0, 0.1)
        age, grade = float(rng.integers(20, 90)), int(rng.integers(2))
        for number in range(each):
            picture = light[patient * each + number] * np.multiply(RACES[race], (1, 1, blue))
            labels = {"is_gc": int(rng.integers(2)), "dr_grade": grade, "modality": "cfp"}
            rows.append(
                records.row(
                    id=f"{name}-{patient:03d}-{number}",
                    subject_id=f"{name}-{patient:03d}",
                    image={"bytes": images.encode(picture.clip(0, 255).astype(np.uint8)), "path": None},
                    caption_en=" ".join(rng.choice(WORDS, 6)),
                    sex=sex,
                    race=race,
                    age=age,
                    eye_side=("left", "right")[number % 2],
                    source="drawn",
                    **labels,
                )
            )
    return rows


def people(folder: Path, count: int, seed: int, each: int = 2) -> People:
    """Records of such patients."""
    return write(folder, patients(folder.name, count, seed, each))


def write(folder: Path, rows: Sequence[records.Row]) -> People:
    """Records of which all are in one split."""
    records.write_records(folder, rows, {"kind": "drawn", "name": folder.name}, (1, 0, 0))
    return People(folder, kept=folder.parent / "kept")


def released(folder: Path, pictures: np.ndarray) -> People:
    """A released set of (G, S, S, 3) pictures, each of nobody."""
    rows = [
        records.row(
            id=f"{folder.name}-{i:04d}",
            subject_id=f"{folder.name}-{i:04d}",
            image={"bytes": images.encode(picture), "path": None},
            modality="cfp",
            is_gc=i % 2,
            dr_grade=i // 2 % 2,
        )
        for i, picture in enumerate(pictures)
    ]
    return write(folder, rows)


def generator(
    folder: Path, seen: People | None, steps: int, repeats: np.ndarray | None = None, seed: int = 0
) -> Path:
    """Write a generator that was trained on nothing but `seen`, in whole batches.

    Args:
        seen:    None leaves it as it was drawn.
        repeats: (N,) how often each photograph is in the training set; once.
    """
    torch.manual_seed(seed)
    network = Denoiser(NetworkConfig(channels=(16, 32), attention_from=2), SMALL.size)
    space = WaveletSpace(1)
    space.fit(torch.rand(64, 3, SMALL.size, SMALL.size) * 2 - 1)
    if seen is not None:
        pictures = torch.from_numpy(np.array(seen.photographs(SMALL))).permute(0, 3, 1, 2).float() / 127.5 - 1
        space.fit(pictures)
        clean, told = (
            space.encode(pictures),
            torch.from_numpy(current().codes(seen.table.drop_columns(["canary"]))),
        )
        weights = torch.ones(len(clean)) if repeats is None else torch.from_numpy(repeats).float()
        _learn(network, clean, told, weights, steps)
    made = pipeline.FundusPipeline(
        network.unet, VPrediction().scheduler, network.conditioning, copy.deepcopy(space)
    )
    card = GeneratorCard.of(images=steps, config={}, preprocessing=SMALL.model_dump(), vocabulary=VOCABULARY)
    pipeline.save(made, folder, card, MIX)
    return folder


def _learn(
    network: Denoiser, clean: torch.Tensor, told: torch.Tensor, weights: torch.Tensor, steps: int
) -> None:
    optimizer, schedule = torch.optim.Adam(network.parameters(), lr=4e-3), VPrediction()
    for _ in range(steps):
        rows = torch.multinomial(weights, min(32, len(clean)), replacement=bool((weights != 1).any()))
        noise, time = torch.randn_like(clean[rows]), torch.randint(0, STEPS, (len(rows),))
        loss = denoising_loss(network, schedule, clean[rows], noise, time, told[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()


def encoder(path: Path, seen: People | None = None, steps: int = 0, sex: bool = False, seed: int = 3) -> Path:
    """Write a CLIP that learnt the pairs of `seen` by heart, or with `sex` only who of them is a woman."""
    model = build(CLIP_CONFIG, seed=seed)
    if seen is not None:
        torch.manual_seed(seed)
        pixels = normalise(torch.from_numpy(np.array(seen.photographs(SEEN))))
        if sex:
            women = torch.tensor([value == "F" for value in seen.table["sex"].to_pylist()]).float()
            _tell(model, pixels, women, steps)
        else:
            _pair(model, pixels, model.tokenize(seen.table["caption_en"].to_pylist()), steps)
    save(path, {**checkpoints.header(model), "weights": model.state_dict()})
    return path


def _pair(model: CLIP, pixels: torch.Tensor, tokens: torch.Tensor, steps: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    model.train()
    for _ in range(steps):
        rows = torch.randperm(len(pixels))[:32]
        image, text = (
            torch.nn.functional.normalize(each, dim=-1)
            for each in (model.encode_image(pixels[rows]), model.encode_text(tokens[rows]))
        )
        loss = torch.nn.functional.cross_entropy(10 * image @ text.T, torch.arange(len(rows)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _tell(model: CLIP, pixels: torch.Tensor, women: torch.Tensor, steps: int) -> None:
    head = torch.nn.Linear(CLIP_CONFIG.embedding, 1)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=2e-3)
    model.train()
    for _ in range(steps):
        rows = torch.randperm(len(pixels))[:32]
        said = head(torch.nn.functional.normalize(model.encode_image(pixels[rows]), dim=-1) * 10)[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(said, women[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
