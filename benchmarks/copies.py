"""Catch copies of training photographs among samples: our guard beside what others use, in one run.

    python benchmarks/copies.py records/odir --size 64

A pool of photographs of training patients is altered as a generator, or one who hides a copy, might: mirrored,
re-coloured and compressed (what the guard must catch), cropped, turned, blurred, noisy, enlarged from a thumbnail.  Every method
gets its threshold from one half of the held-out patients, with the same rule, and its false alarms from the other
half; the two halves take turns, over several random halvings, so that each rate is a mean over halvings.  Peers: nearest
neighbour by plain pixels (L2), and by a difference hash of 64 bits.  The last line is JSON.
"""

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from scipy.spatial.distance import cdist

from synth.base.stats import wilson
from synth.data.images import Preprocessing
from synth.data.pictures import Pictures
from synth.data.records import data_fingerprint, read_table
from synth.sampling.filters.copies import Search, descriptor
from synth.sampling.filters.copy_filter import RATE, calibrate

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Method = Callable[[np.ndarray], np.ndarray]
"""(N, S, S, 3) uint8 samples -> (N,) how near each comes to a training photograph; smaller is nearer."""


def compressed(picture: np.ndarray, rng: np.random.Generator, low: int = 40, high: int = 90) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=int(rng.integers(low, high + 1)))
    return np.asarray(Image.open(file))


def recoloured(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another gamma, and another gain and offset of each colour."""
    light = (picture / 255) ** rng.uniform(0.7, 1.4) * rng.uniform(0.7, 1.3, 3)
    light += rng.uniform(-0.06, 0.06, 3) * (light.max(axis=-1, keepdims=True) > 0.06)  # not the surround
    return (light.clip(0, 1) * 255).round().astype(np.uint8)


def cropped(picture: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """Without `share` of each side, somewhere; enlarged to the old size."""
    side = len(picture)
    kept = round(side * (1 - share))
    y, x = rng.integers(0, side - kept + 1, 2)
    part = Image.fromarray(picture[y : y + kept, x : x + kept])
    return np.asarray(part.resize((side, side), Image.Resampling.BICUBIC))


def turned(picture: np.ndarray, degrees: float) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).rotate(degrees, Image.Resampling.BICUBIC))


def blurred(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(len(picture) / 64)))


def noisy(picture: np.ndarray, rng: np.random.Generator, deviation: float) -> np.ndarray:
    return (picture + rng.normal(0, deviation, picture.shape)).clip(0, 255).round().astype(np.uint8)


def shrunk(picture: np.ndarray) -> np.ndarray:
    """To half the size and back."""
    side = len(picture)
    small = Image.fromarray(picture).resize((side // 2, side // 2), Image.Resampling.BICUBIC)
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))


def everything(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    changed = turned(recoloured(picture[:, ::-1], rng), rng.uniform(-5, 5))
    return compressed(noisy(cropped(changed, rng, rng.uniform(0, 0.1)), rng, 6), rng)


CHANGES: dict[str, Change] = {
    "mirrored, re-coloured, JPEG": lambda p, rng: compressed(recoloured(p[:, ::-1], rng), rng),
    "none": lambda p, rng: p,
    "JPEG of quality 20": lambda p, rng: compressed(p, rng, 20, 20),
    "turned by up to 5 degrees": lambda p, rng: turned(p, rng.uniform(-5, 5)),
    "cropped by 5 %": lambda p, rng: cropped(p, rng, 0.05),
    "cropped by 10 %": lambda p, rng: cropped(p, rng, 0.10),
    "blurred": lambda p, rng: blurred(p),
    "noise of 12 grey levels": lambda p, rng: noisy(p, rng, 12),
    "halved and enlarged": lambda p, rng: shrunk(p),
    "all at once": everything,
}
"""The first is what must be caught."""


def hashed(pictures: np.ndarray) -> np.ndarray:
    """(N, 64) bool: whether brightness rises from pixel to pixel of a 9 x 8 thumbnail (dHash)."""
    small = [
        np.asarray(Image.fromarray(p).convert("L").resize((9, 8), Image.Resampling.LANCZOS)) for p in pictures
    ]
    return np.diff(np.stack(small).astype(int), axis=2).reshape(len(pictures), 64) > 0


def methods(photographs: np.ndarray, patient_ids: np.ndarray) -> dict[str, Method]:
    """Ours and the peers, each knowing the training photographs."""
    search = Search(descriptor(photographs), np.unique(patient_ids, return_inverse=True)[1])
    flat = photographs.reshape(len(photographs), -1).astype(np.float32) / 255
    squares, hashes = (flat**2).sum(axis=1), hashed(photographs)

    def pixels(samples: np.ndarray) -> np.ndarray:
        mine = samples.reshape(len(samples), -1).astype(np.float32) / 255
        return ((mine**2).sum(axis=1, keepdims=True) + squares - 2 * mine @ flat.T).min(axis=1).clip(min=0)

    return {
        "ours": lambda samples: search.closeness(descriptor(samples))[0],
        "pixel L2": pixels,
        "dHash": lambda samples: cdist(hashed(samples), hashes, "hamming").min(axis=1),
    }


def halvings(patients: np.ndarray, rounds: int) -> list[np.ndarray]:
    """(P,) bool each: who calibrates; every halving is followed by its mirror image."""
    rng, found = np.random.default_rng(0), []
    for _ in range(rounds):
        half = np.isin(np.arange(len(patients)), rng.permutation(len(patients))[: len(patients) // 2])
        found += [half, ~half]
    return found


def score(
    held: np.ndarray, patient_ids: np.ndarray, altered: dict[str, np.ndarray], rounds: int
) -> dict[str, dict]:
    """Rates of one method: false alarms per patient on halves that did not calibrate, and copies caught there.

    Args:
        held:    (H,) of held-out photographs, `patient_ids` their patients.
        altered: change -> (N,) of copies.
    """
    patients, place = np.unique(patient_ids, return_inverse=True)
    alarms, caught = [], {name: [] for name in altered}
    for half in halvings(patients, rounds):
        threshold, _, _ = calibrate(held[half[place]], place[half[place]], RATE)
        flagged = np.unique(place[(held < threshold) & ~half[place]])
        alarms.append(len(flagged) / (~half).sum())
        for name, near in altered.items():
            caught[name].append((near < threshold).mean())
    return {
        "false alarms": _rate(float(np.mean(alarms)), len(patients)),
        **{name: _rate(float(np.mean(shares)), len(altered[name])) for name, shares in caught.items()},
    }


def _rate(share: float, trials: int) -> dict[str, float]:
    """A rate over `trials` people or pictures, each of which counts once however often it was judged."""
    low, high = wilson(round(share * trials), trials)
    return {"rate": round(float(share), 4), "low": round(low, 4), "high": round(high, 4), "n": trials}


def measure(records: Path, size: int, count: int, rounds: int) -> dict[str, dict[str, dict]]:
    """Method -> what -> rate."""
    prepare = Preprocessing(size=size)

    def read(splits: list[str]) -> tuple[np.ndarray, np.ndarray]:
        found, rows = Pictures(records, splits), read_table(records, splits, ["subject_id", "modality"])
        fundus = [kind in (None, "cfp") for kind in rows["modality"].to_pylist()]
        pictures = [prepare(data, found.where(i)) for i, data in enumerate(found) if fundus[i]]
        return np.stack(pictures), np.array(rows["subject_id"])[fundus]

    photographs, learnt_from = read(["train"])
    held, patient_ids = read(["validation", "test"])
    chosen = np.random.default_rng(1).permutation(len(photographs))[:count]
    altered = {
        name: np.stack([change(photographs[i], np.random.default_rng([2, i])) for i in chosen])
        for name, change in CHANGES.items()
    }
    found = {}
    for name, near in methods(photographs, learnt_from).items():
        copies = {what: near(pictures) for what, pictures in altered.items()}
        found[name] = score(near(held), patient_ids, copies, rounds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("records", type=Path, help="with held-out patients: splits train, validation, test")
    parser.add_argument("--size", type=int, default=64, help="pixels a side of the samples")
    parser.add_argument("--quick", action="store_true", help="100 photographs instead of 1,000")
    asked = parser.parse_args()
    count, rounds = (100, 5) if asked.quick else (1_000, 20)
    found = measure(asked.records, asked.size, count, rounds)
    print(f"{'':28}" + "".join(f"{name:>26}" for name in found))
    for what in next(iter(found.values())):
        cells = [
            f"{r['rate']:7.1%} [{r['low']:.1%}, {r['high']:.1%}]" for r in (m[what] for m in found.values())
        ]
        print(f"{what:28}" + "".join(f"{cell:>26}" for cell in cells))
    facts = {"benchmark": "copies", "size": asked.size, "records": data_fingerprint(asked.records)[:16],
             "rate_asked": RATE, "halvings": 2 * rounds, "found": found}  # fmt: skip
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
