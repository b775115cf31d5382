"""Judge the encoders of `encoders.sh` zero-shot, and compare two arms by seed and by patient.

    python examples/odir/compare.py OUT/encoders --data OUT/records/odir --data OUT/records/hygd \
        --compare synthetic-multi:synthetic-infonce --compare synthetic-multi/zh:synthetic-multi/en

An arm is all runs `ARM-SEED`; `/zh` or `/en` is the language of its prompts, else the mean of both.  Prints each arm of a
comparison and their difference and ratio, for every set and task and for the mean over those.  An interval is of
2,000 samples that draw patients and seeds anew, the same ones for both sides: it covers other patients and, as far as so
few seeds can, other seeds.  What an encoder scores is kept beside it in `zero-shot-*.npz`.  The last line is JSON.
"""

import argparse
import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from clip import embed, loading, prompts
from clip.evaluation import metrics, zero_shot
from clip.model.encoders import CLIP
from synth.base import stats
from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import atomic, sha256
from synth.data.records import data_fingerprint, read_table

ROUNDS, LEAST = 2000, 5
METRICS = ("balanced_accuracy", "macro_auc")
Values = dict[str, np.ndarray]
"""set/task/language/metric -> (1 + rounds,) values over the same draws of patients; row 0 is the set as it is."""


def values(run: Path, folders: tuple[Path, ...], tasks: tuple[str, ...]) -> Values:
    """What one encoder scores on the test patients of every set that has five of two classes of a task."""
    checkpoint = run / "ckpt.pt"
    model, known = loading.load(checkpoint)
    if known.images is None or known.config is None:
        raise UserError(f"{checkpoint}: does not say how many images it has seen of how many")
    if known.images < known.config["images"]:
        raise UserError(
            f"{checkpoint}: {known.images} images of {known.config['images']}; train it to its end"
        )
    asked = fingerprint([sha256(checkpoint), data_fingerprint(*folders), tasks])
    kept = run / f"zero-shot-{asked[:8]}.npz"
    if kept.exists():
        with np.load(kept) as stored:
            return dict(stored)
    found: Values = {}
    for folder in folders:
        table, seen = read_table(folder, ["test"]), embed.images(model, folder, ["test"])
        for name in tasks:
            for lang in ("zh", "en", "both"):
                for metric, value in _judge(model, table, seen, name, lang).items():
                    found["/".join((folder.name, name, lang, metric))] = value
    if not found:
        raise UserError(f"--tasks {','.join(tasks)}: no set of --data can answer any of them")
    with atomic(kept) as half, half.open("wb") as file:
        np.savez(file, allow_pickle=False, **found)
    return found


def _judge(model: CLIP, table: pa.Table, seen: np.ndarray, name: str, lang: str) -> Values:
    task = prompts.tasks(name)[name]
    number = task.classify(table)
    sizes = np.bincount(number[number >= 0], minlength=len(task.classes))
    kept = np.flatnonzero(sizes >= LEAST)
    if len(kept) < 2:
        return {}
    rows = np.flatnonzero(np.isin(number, kept))
    truth = np.searchsorted(kept, number[rows])
    classes = [list(task.classes.values())[k] for k in kept]
    probability = zero_shot.classify(model, seen[rows], classes, lang, "clip")
    people, whose = np.unique(table["subject_id"].take(pa.array(rows)).to_pylist(), return_inverse=True)
    score = metrics.statistics(truth, probability, task.ordinal)
    drawn = stats.draws(len(people), ROUNDS, 0)
    return {metric: stats.over(drawn, whose, score[metric]) for metric in METRICS}


def over_seeds(arm: list[Values], key: str, chosen: np.ndarray) -> np.ndarray:
    """(1 + rounds,) means over seeds; row 0 of all seeds, the others of the seeds (rounds, seeds) that were drawn."""
    table = np.stack([each[key] for each in arm])
    drawn = np.take_along_axis(table[:, 1:].T, chosen, axis=1).mean(axis=1)
    return np.concatenate([[table[:, 0].mean()], drawn])


def compare(
    sides: tuple[list[Values], list[Values]], langs: tuple[str, str], metric: str
) -> dict[str, dict[str, dict[str, float]]]:
    """Row -> side -> estimate; `mean` is over all sets and tasks."""
    names = [key.rsplit("/", 2)[0] for key in sides[0][0] if key.endswith(f"/{langs[0]}/{metric}")]
    seeds = len(sides[0])
    chosen = np.random.default_rng(1).integers(0, seeds, (ROUNDS, seeds))
    rows = {
        name: tuple(
            over_seeds(arm, f"{name}/{lang}/{metric}", chosen) for arm, lang in zip(sides, langs, strict=True)
        )
        for name in names
    }
    rows["mean"] = tuple(np.mean([side[i] for side in rows.values()], axis=0) for i in (0, 1))
    return {
        name: {"first": _plain(a), "second": _plain(b), "difference": _plain(a - b), "ratio": _plain(a / b)}
        for name, (a, b) in rows.items()
    }


def _plain(found: np.ndarray) -> dict[str, float]:
    value, low, high, _ = stats.estimate(found, 0)
    return {"value": value, "low": low, "high": high}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder of the runs ARM-SEED")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="records; their split 'test'"
    )
    parser.add_argument("--compare", action="append", required=True, metavar="ARM[/LANG]:ARM[/LANG]")
    parser.add_argument("--tasks", default="odir,cataract,myopia,is_gc", help="of clip eval --prompts")
    parser.add_argument("--metric", default="macro_auc", choices=METRICS)
    asked = parser.parse_args()

    @cache
    def scored(arm: str) -> list[Values]:
        runs = sorted(path.parent for path in asked.runs.glob(f"{arm}-[0-9]*/ckpt.pt"))
        if not runs:
            raise UserError(f"{asked.runs}: no runs {arm}-SEED with a ckpt.pt")
        return [values(run, tuple(asked.data), tuple(asked.tasks.split(","))) for run in runs]

    found = {}
    for pair in asked.compare:
        arms, langs = zip(*((*side.split("/"), "both")[:2] for side in pair.split(":")), strict=True)
        sides = scored(arms[0]), scored(arms[1])
        if len(sides[0]) != len(sides[1]):
            raise UserError(
                f"--compare {pair}: {len(sides[0])} seeds against {len(sides[1])}; train as many of both"
            )
        found[pair] = compare(sides, langs, asked.metric)
        print(f"{pair}  {asked.metric}, {len(sides[0])} seeds")
        for name, row in found[pair].items():
            cells = [f"{v['value']:.3f} ({v['low']:.3f} to {v['high']:.3f})" for v in row.values()]
            print(f"  {name:24}" + "  ".join(cells))
    print(json.dumps({"metric": asked.metric, "tasks": asked.tasks, "found": found}))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"compare.py: {error}")
