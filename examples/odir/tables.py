"""Print the tables of docs/results/odir.md from the reports that run.sh left in its folder.

python examples/odir/tables.py runs/odir
"""

import sys
from pathlib import Path
from typing import Any

from synth.base.runs import read_json

ENCODERS = ("synthetic", "real")


def interval(value: dict[str, float] | None) -> str:
    """`.812 (.774–.850)`."""
    if value is None or value["value"] is None:
        return "–"
    shown = [f"{value[key]:.3f}".replace("0.", ".", 1) for key in ("value", "low", "high")]
    return f"{shown[0]} ({shown[1]}–{shown[2]})"


def zero_shot(out: Path, records: str) -> None:
    """Every task of one set, the two encoders side by side, prompts in both languages averaged."""
    reports = {name: read_json(out / "eval" / f"{name}-{records}" / "report.json") for name in ENCODERS}
    results = {name: {r["name"]: r for r in report["results"]} for name, report in reports.items()}
    print(f"\n### {records}\n")
    print("| task | n (patients) | classes | encoder | prompts | AUC | ACA | accuracy | κ |")
    print("|---|---|---|---|---|---|---|---|---|")
    for task, shown in results[ENCODERS[0]].items():
        classes = ", ".join(f"{name} {size}" for name, size in shown["classes"].items())
        start = f"| {task} | {shown['n']} ({shown['patients']}) | {classes} |"
        for name in ENCODERS:
            for lang, found in results[name][task]["metrics"].items():
                cells = [
                    interval(found.get(key))
                    for key in ("macro_auc", "balanced_accuracy", "accuracy", "kappa")
                ]
                print(start, name, "|", lang, "|", " | ".join(cells), "|")
                start = "| | | |"
        for row, found in shown["without_pictures"].items():
            cells = [
                f"{found[key]:.3f}" if key in found else "–"
                for key in ("macro_auc", "balanced_accuracy", "accuracy", "kappa")
            ]
            print("| | | |", row, "| – |", " | ".join(cells), "|")


def attributes(out: Path, records: str) -> None:
    """The audit's answers and every control row, the two encoders one after the other."""
    for name in ENCODERS:
        report = read_json(out / "audit" / f"{name}-{records}" / "report.json")
        for found in report["attributes"]:
            counts = "".join(f", {key} {size}" for key, size in found["classes"].items())
            reveals, adds = found["reveals"], found["training_adds"]
            word = f"{reveals['word']} {reveals['level']}".strip()
            print(
                f"\n**{name}, {found['name']}** ({found['images']} photographs of {found['patients']} patients{counts}): "
                f"{word}; training adds: {adds['word']} ({adds['why']})\n"
            )
            rows: list[dict[str, Any]] = found["rows"]
            if not rows:
                print(reveals["why"])
                continue
            keys = list(rows[0]["person"])
            print("| | " + " | ".join(keys) + " |\n|" + "---|" * (len(keys) + 1))
            for row in rows:
                print(
                    "|", row["name"], "|", " | ".join(interval(row["person"].get(key)) for key in keys), "|"
                )
            print(f"\nPermutation p = {found['permutation']['p']:.3g}.", end=" ")
            print("; ".join(f"over {each['over']}: {interval(each)}" for each in found["excess"]))


def main() -> None:
    out = Path(sys.argv[1])
    for records in ("odir", "idrid", "hygd"):
        zero_shot(out, records)
    for records in ("odir", "hei-med"):
        print(f"\n### audit on {records}")
        attributes(out, records)


if __name__ == "__main__":
    main()
