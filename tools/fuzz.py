"""Damage every kind of file, again and again, and run the verb that reads it; counts by artefact and outcome.

    python tools/fuzz.py --out .fuzz --n 2000 --seed 0

Writes OUT/good (the good files), OUT/outcomes.jsonl (one line an attempt) and, last on stdout, the counts as one line of
JSON.  Repeat the command to continue; exit status 1 where a fault was found.  What an outcome is called stands in
tests/fuzzing.py; `--show ARTEFACT:SEED` repeats one attempt and prints it.
"""

import argparse
import json
import os
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
}
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import artefacts  # noqa: E402
import forking  # noqa: E402
import fuzzing  # noqa: E402
from fuzzing import Answer, Outcome  # noqa: E402


def main() -> int:
    """Run what is missing of N attempts, and say what came of all."""
    options = _options()
    out = options.out.absolute()
    good, log = out / "good", out / "outcomes.jsonl"
    names = [name for name in artefacts.ARTEFACTS if options.only in name]
    if not good.exists():
        shutil.rmtree(out / "making", ignore_errors=True)
        (out / "making").mkdir(parents=True)
        forking.forked(_make, out / "making")
        (out / "making").rename(good)
    expected = _expected(names, good, out)
    if options.show:
        name, seed = options.show.rsplit(":", 1)
        print(fuzzing.apart(name, int(seed), good, out / "work", expected[name]))
        return 0
    done = {
        key: each for key, each in _read(log).items() if not (options.again and each.kind in fuzzing.FAULTS)
    }
    for name, seed in _plan(names, options.n, options.seed):
        if (name, seed) not in done:
            outcome = fuzzing.apart(name, seed, good, out / "work", expected[name])
            done[name, seed] = outcome
            with open(log, "a", encoding="utf-8") as file:
                print(json.dumps(outcome._asdict(), ensure_ascii=True), file=file)
            if outcome.kind in fuzzing.FAULTS:
                print(*outcome, sep=" | ", file=sys.stderr, flush=True)
    return _say(done)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path(".fuzz"), help="repeat to continue")
    parser.add_argument("--n", type=int, default=2000, help="attempts, over all artefacts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="artefacts whose name holds this")
    parser.add_argument("--again", action="store_true", help="repeat those attempts that were faults, too")
    parser.add_argument("--show", help="ARTEFACT:SEED, one attempt")
    return parser.parse_args()


def _make(place: Path) -> None:
    def invoke(*line: str) -> None:
        found = fuzzing.invoke(*line)
        if found.exit_code not in (0, 130):
            raise SystemExit(f"{' '.join(line)}: {found.output[-500:]} {found.exception!r}")

    os.chdir(place)
    artefacts.make(place, invoke)


def _expected(names: list[str], good: Path, out: Path) -> dict[str, str]:
    """The result of each artefact's good files, kept in OUT; what the verbs import is imported here, once for all attempts."""
    path = out / "expected.json"
    kept = json.loads(path.read_text()) if path.exists() else {"results": {}, "modules": []}
    _import(kept["modules"])
    for name in names:
        if name not in kept["results"]:
            first, second = (_good(name, good, out / "work") for _ in range(2))
            if first[0] != second[0]:
                raise SystemExit(
                    f"{name}: two runs on good files differ: {first[0][-300:]} and {second[0][-300:]}"
                )
            kept["results"][name] = first[0]
            kept["modules"] = sorted({*kept["modules"], *first[1]})
            path.write_text(json.dumps(kept))
            _import(first[1])
    return kept["results"]


def _import(modules: list[str]) -> None:
    for module in modules:
        if module not in sys.modules:
            with suppress(Exception):
                import_module(module)


def _good(name: str, good: Path, work: Path) -> tuple[str, list[str]]:
    artefact = artefacts.ARTEFACTS[name]
    shutil.rmtree(work, ignore_errors=True)
    fuzzing.copied(artefact, good, work)
    value, modules = forking.forked(_answer, name, work)
    shutil.rmtree(work)
    given = Answer(*value)
    if given.status not in artefact.exits:
        raise SystemExit(f"{name}: the good files give exit status {given.status}: {given.line}{given.error}")
    return given.result, modules


def _answer(name: str, work: Path) -> tuple[Answer, list[str]]:
    return fuzzing.answer(artefacts.ARTEFACTS[name], work), sorted(sys.modules)


def _plan(names: list[str], n: int, seed: int) -> Iterator[tuple[str, int]]:
    """Artefacts in turn, each attempt with a seed of its own."""
    turns = 0
    for round in range(n):
        for name in names:
            if not artefacts.ARTEFACTS[name].rarely or round % 4 == 0:
                if turns == n:
                    return
                yield name, seed * 1_000_000 + round
                turns += 1


def _read(log: Path) -> dict[tuple[str, int], Outcome]:
    if not log.exists():
        return {}
    found = [Outcome(**json.loads(line)) for line in log.read_text(encoding="utf-8").splitlines()]
    return {(each.artefact, each.seed): each for each in found}


def _say(done: dict[tuple[str, int], Outcome]) -> int:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for each in done.values():
        counts[each.artefact][each.kind] += 1
    total = sum(counts.values(), Counter())
    for name, some in sorted(counts.items()):
        print(f"{name}: {', '.join(f'{kind} {count}' for kind, count in some.most_common())}")
    faults = sum(total[kind] for kind in fuzzing.FAULTS)
    print(json.dumps({"attempts": len(done), "faults": faults, "outcomes": total, "artefacts": counts}))
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
