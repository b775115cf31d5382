"""Compare two ways to train an encoder: zero-shot results of several seeds of each, paired by seed and by patient.

    python examples/odir/compare.py --first runs/multi-*/ckpt.pt --second runs/infonce-*/ckpt.pt \
        --data records/odir --data records/hygd --tasks odir,glaucoma

Prints one row per set and task, then the mean over them: both values and their difference, as means over seeds.  An
interval is of 2,000 samples that draw patients and seeds anew, the same ones for both sides: it covers other patients
and, as far as so few seeds can, other seeds.  The last line is JSON.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from clip import embed, prompts
from clip.evaluation import metrics, zeroshot
from synth.base import stats
from synth.base.errors import UserError
from synth.fundus.records import read_table

ROUNDS, LEAST = 2000, 5
Values = dict[tuple[str, str], np.ndarray]
"""(set, task) -> (1 + rounds,) values of one encoder over the same draws of patients; row 0 is the set as it is."""


def values(checkpoint: Path, folders: list[Path], tasks: list[str], lang: str, metric: str) -> Values:
    """What one encoder scores on the test patients of every set."""
    model, found = embed.load_model(checkpoint), {}
    for folder in folders:
        table, seen = read_table(folder, ["test"]), None
        for name in tasks:
            task = prompts.tasks(name)[name]
            number = task.classify(table)
            sizes = np.bincount(number[number >= 0], minlength=len(task.classes))
            kept = [k for k, size in enumerate(sizes) if size >= LEAST]
            if len(kept) < 2:
                continue
            seen = embed.images(model, folder, ["test"]) if seen is None else seen
            rows = np.flatnonzero(np.isin(number, kept))
            truth = np.searchsorted(kept, number[rows])
            classes = [list(task.classes.values())[k] for k in kept]
            probability = zeroshot.classify(model, seen[rows], classes, lang, "clip")
            people, whose = np.unique(
                table["subject_id"].take(pa.array(rows)).to_pylist(), return_inverse=True
            )
            drawn = stats.draws(len(people), ROUNDS, 0)
            score = metrics.statistics(truth, probability, task.ordinal)[metric]
            found[folder.name, name] = stats.over(drawn, whose, score)
    if not found:
        raise UserError(f"--tasks {','.join(tasks)}: no set of --data can answer any of them")
    return found


def over_seeds(arm: list[Values], key: tuple[str, str], chosen: np.ndarray) -> np.ndarray:
    """(1 + rounds,) means over seeds; row 0 of all seeds, the others of the seeds (rounds, seeds) that were drawn."""
    table = np.stack([each[key] for each in arm])
    drawn = np.take_along_axis(table[:, 1:].T, chosen, axis=1).mean(axis=1)
    return np.concatenate([[table[:, 0].mean()], drawn])


def compare(first: list[Values], second: list[Values]) -> dict[str, dict[str, dict[str, float]]]:
    """Row -> side -> estimate; `mean` is over all sets and tasks."""
    keys = [key for key in first[0] if key in second[0]]
    chosen = np.random.default_rng(1).integers(0, len(first), (ROUNDS, len(first)))
    sides = {key: tuple(over_seeds(arm, key, chosen) for arm in (first, second)) for key in keys}
    rows = {f"{folder} {task}": sides[folder, task] for folder, task in keys}
    rows["mean"] = tuple(np.mean([side[i] for side in sides.values()], axis=0) for i in (0, 1))
    return {
        name: {"first": _plain(a), "second": _plain(b), "difference": _plain(a - b)}
        for name, (a, b) in rows.items()
    }


def _plain(found: np.ndarray) -> dict[str, float]:
    value, low, high, _ = stats.estimate(found, 0)
    return {"value": value, "low": low, "high": high}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--first", type=Path, nargs="+", required=True, help="checkpoints of one side, a seed each"
    )
    parser.add_argument("--second", type=Path, nargs="+", required=True, help="of the other, as many")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="records; their split 'test'"
    )
    parser.add_argument(
        "--tasks", default="odir,myopia,cataract,is_gc,glaucoma", help="of clip eval --prompts"
    )
    parser.add_argument("--lang", default="both", choices=["zh", "en", "both"])
    parser.add_argument("--second-lang", choices=["zh", "en", "both"], help="another language for --second")
    parser.add_argument("--metric", default="macro_auc", choices=["macro_auc", "balanced_accuracy"])
    asked = parser.parse_args()
    tasks, langs = asked.tasks.split(","), (asked.lang, asked.second_lang or asked.lang)
    sides = [
        [values(path, asked.data, tasks, lang, asked.metric) for path in paths]
        for paths, lang in zip((asked.first, asked.second), langs, strict=True)
    ]
    if not sides[0] or len(sides[0]) != len(sides[1]):
        raise UserError(
            f"--first has {len(sides[0])} checkpoints, --second {len(sides[1])}: give as many, one or more"
        )
    found = compare(*sides)
    for name, row in found.items():
        cells = [f"{v['value']:+.3f} ({v['low']:+.3f} to {v['high']:+.3f})" for v in row.values()]
        print(f"{name:24}" + "  ".join(cells))
    print(
        json.dumps(
            {"asked": {k: str(v) for k, v in vars(asked).items()}, "seeds": len(sides[0]), "found": found}
        )
    )


if __name__ == "__main__":
    main()
