"""Small real folders of records for tests: discs whose colour tells their labels."""

from pathlib import Path

import numpy as np

from clip.prompts import NORMAL
from synth.data.captions import write
from synth.data.images import encode
from synth.data.records import Row, row, write_records


def drawn(seed: int, glaucoma: int, side: int = 64) -> np.ndarray:
    """(S, S, 3) uint8: a round red field of view on black, with a bright disc that is wide in glaucoma."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    picture = np.zeros((side, side, 3))
    picture[:] = np.array([170, 80, 40]) + rng.normal(0, 12, 3)
    at = rng.uniform(-0.3, 0.3, 2)
    picture[np.hypot(x - at[0], y - at[1]) < (0.45 if glaucoma else 0.15)] = [240, 210, 130]
    picture += rng.normal(0, 4, picture.shape)
    picture[np.hypot(x, y) > 0.95] = 0
    return picture.clip(0, 255).astype(np.uint8)


def rows(count: int, seed: int = 0, side: int = 64) -> list[Row]:
    """Two eyes each of `count // 2` people; every second person has glaucoma."""
    made = []
    for i in range(count):
        person, glaucoma = i // 2, i // 2 % 2
        labels = {"is_gc": glaucoma, "dr_grade": 0, "eye_side": ("left", "right")[i % 2], "modality": "cfp"}
        made.append(
            row(
                id=f"drawn-{seed}-{i}",
                subject_id=f"drawn-{seed}-{person}",
                image={"bytes": encode(drawn(seed * 1000 + i, glaucoma, side)), "path": None},
                caption_zh=write(labels, "zh", i),
                caption_en=write(labels, "en", i),
                age=float(40 + person % 40),
                sex="FM"[person // 2 % 2],
                source="drawn",
                **labels,
            )
        )
    return made


def folder(path: Path, count: int = 40, seed: int = 0, shares: tuple[int, int, int] = (8, 1, 1)) -> Path:
    """A folder of `count` drawn records."""
    write_records(path, rows(count, seed), {"kind": "drawn", "count": count, "seed": seed}, shares)
    return path


def write_wide_or_normal(path: Path, count: int) -> Path:
    """Records of discs that are wide in glaucoma; all else is normal, and captions say so and nothing else."""
    said = []
    for i, made in enumerate(rows(count, side=32)):
        labels = NORMAL | {"is_gc": made["is_gc"]}
        told = {f"caption_{lang}": write(labels, lang, i) for lang in ("zh", "en")}
        said.append(made | labels | told)
    write_records(path, said, {"kind": "wide or normal"})
    return path
