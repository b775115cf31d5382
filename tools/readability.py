"""Fit the score by which unreadable pictures are told, or measure the one that ships: some minutes of a core.

    python tools/readability.py --out synth/anatomy/readability.yaml
    python tools/readability.py --photographs odir/ --photographs hygd/ --against oct/

It is fitted on phantoms and drawn pictures alone, so nothing is needed but the package.  Photographs are measured, never learnt from.
"""

import argparse
from pathlib import Path

import numpy as np
import yaml

from synth.anatomy import readability_fit
from synth.anatomy.readability import RULE, assess, features, scored, shipped
from synth.anatomy.readability_fit import ReadabilityFit, others, phantoms
from synth.base import stats
from synth.base.config import load
from synth.base.errors import UserError
from synth.base.runs import write_text
from synth.data.images import Preprocessing

HELD_OUT = 90_001
"""The seed of what is measured on, which nothing was fitted on."""


def read(folder: Path, most: int) -> np.ndarray:
    """(N, 128, 128, 3) some pictures of a folder, spread over its names.

    Raises:
        UserError: there are none.
    """
    paths = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".tif")
    )
    if not paths:
        raise UserError(f"{folder}: no .jpg, .png or .tif in it; give a folder of pictures")
    chosen = [paths[k] for k in np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).astype(int))]
    look = Preprocessing(size=128)
    return np.stack([look(path.read_bytes(), str(path)) for path in chosen])


def rate(name: str, alarms: np.ndarray) -> str:
    low, high = stats.wilson(int(alarms.sum()), len(alarms))
    return f"| {name} | {len(alarms)} | {alarms.mean():.3f} ({low:.3f} to {high:.3f}) |"


def area(name: str, readable: np.ndarray, other: np.ndarray) -> str:
    scores = np.concatenate([readable, other])
    positive = np.arange(len(scores)) >= len(readable)
    drawn = stats.draws(len(scores), 1000, 0)
    found = stats.estimate(
        stats.over(drawn, np.arange(len(scores)), lambda w: stats.auc(scores, positive, w)), len(scores)
    )
    return f"| AUC, {name} | {len(readable)} + {len(other)} | {found.value:.4f} ({found.low:.4f} to {found.high:.4f}) |"


def measure(photographs: list[Path], against: list[Path], most: int) -> None:
    sets = {str(folder.name): read(folder, most) for folder in photographs}
    foreign = {str(folder.name): read(folder, most) for folder in against}
    drawn, kinds = others(40, HELD_OUT)
    eyes, seen = phantoms(200, HELD_OUT)
    alarms = {
        name: np.array([not each.readable for each in assess(pictures)])
        for name, pictures in (sets | foreign).items()
    }
    scores = {name: scored(shipped(), features(pictures)) for name, pictures in (sets | foreign).items()}
    said = np.array([not each.readable for each in assess(drawn)])
    lines = [
        rate("readable phantoms, false alarms", np.array([not each.readable for each in assess(eyes[seen])]))
    ]
    lines += [
        rate(
            "phantoms without a visible retina, told",
            np.array([not each.readable for each in assess(eyes[~seen])]),
        )
    ]
    lines += [
        rate(f"drawn: {kind}, told", said[[each == kind for each in kinds]]) for kind in dict.fromkeys(kinds)
    ]
    lines += [
        rate(f"{name}, {'told' if name in foreign else 'called unreadable'}", each)
        for name, each in alarms.items()
    ]
    points = scored(shipped(), features(eyes))
    lines += [area("readable phantoms against those without a visible retina", points[seen], points[~seen])]
    if sets:
        real, other = np.concatenate([scores[name] for name in sets]), scored(shipped(), features(drawn))
        lines += [area("photographs against drawn pictures", real, other)]
        lines += [area(f"photographs against {name}", real, scores[name]) for name in foreign]
    print("\n".join(["| pictures | n | share (95 %) |", "|---|---|---|", *lines]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help=f"fit, and write a file such as {RULE.name}")
    parser.add_argument(
        "--photographs", type=Path, action="append", default=[], help="a folder of fundus photographs"
    )
    parser.add_argument(
        "--against", type=Path, action="append", default=[], help="a folder of other pictures, such as OCT"
    )
    parser.add_argument("--most", type=int, default=150, help="pictures of each folder")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of ReadabilityFit"
    )
    given = parser.parse_args()
    if given.out is None:
        try:
            measure(given.photographs, given.against, given.most)
        except UserError as error:
            parser.exit(2, f"{parser.prog}: {error}\n")
        return
    rule = readability_fit.fit(load(ReadabilityFit, None, given.set))
    head = "# The score of readability, fitted and calibrated on phantoms and drawn pictures; tools/readability.py wrote it.\n"
    write_text(given.out, head + yaml.safe_dump(rule.model_dump(), sort_keys=False))


if __name__ == "__main__":
    main()
