"""False alarms of every decision rule of the audit, and the leaks that it finds: docs/results/calibration.md.

    python benchmarks/calibrate.py --out docs/results/calibration.md      # some fifteen minutes of one core
    python benchmarks/calibrate.py --quick                                # to the terminal, a tenth of the rounds

Repeated after a kill it goes on: what is finished waits in a hidden file beside the page until the page is written.
Nothing here needs a photograph or a model: what is judged is drawn.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from privacy.decisions import power, power_simulation, verdict
from privacy.decisions.results import AUC, DIFFERENCE
from privacy.statistics import inference
from privacy.validation import calibration, confounds
from privacy.validation.calibration import Rejections
from privacy.validation.confounds import CONFOUNDS, NO_LEAK, Outcome
from privacy.validation.decision_rules import DECISION_RULES
from privacy.validation.settings import SETTINGS
from synth.base.runs import progress, write_text

PATIENTS = (100, 500, 1000)
CONFOUNDED = 6
"""Rounds of a decision rule for each audit with a confound."""
WORDS = (verdict.FAIL, verdict.INVALID, verdict.INCONCLUSIVE, verdict.PASS)
HEAD = """# What the audit finds, and how often it is wrong

`make calibrate` writes this page; nothing on it needs a photograph or a model. Seed 0; run on {date}, {machine}, {versions}.

## False alarms

Each decision rule of the audit, on patients of whom members and non-members are alike. Share of audits with p below 5 %, and after the stroke of
those that a report would have called FAIL, for which the interval must clear its bar as well. Chance alone lets a true 5 % come to
{most:.1%} in {rounds} rounds (three standard errors); what is above is in bold. A dash: nothing to ask. Of the checks in the last rows,
both numbers are the share of audits that they make INVALID.

"""
BETWEEN = """
Settings: 200 members and 200 non-members, one to six photographs each, ICC .9, half of them successes, where nothing else is said.

## Leaks that are found

Leaks of known size, planted in scores drawn for so many patients in each group. In the first column of each pair the size that FAILS in
80 % of audits, as an audit finds it for its own scores (`privacy.decisions.power_simulation`), then what `privacy power` plans with.

| patients in each group | AUC, planted | AUC, planned | difference of rates at .5, planted | planned |
|---:|---:|---:|---:|---:|
"""
SAID = """
## What is said of a confound, of a leak, and of both

Share of {audits} audits a row, at score level: membership by a generator, and of the most exposed, of {half} members and {half} non-members.
Photographs are phantoms of eight cameras, and those of the non-members are changed as the first column says, in {settings} settings drawn at random, which the check of
traces sees. What any model says of a photograph depends on its noise; a model that saw neither group is asked too. The worst of both
answers counts. In bold what must not be, above what chance lets a true 5 % come to: FAIL without a leak, or PASS of one.

| confound | leak | {words} |
|---|---|{rule}
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="the page; without, it is printed")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    given = parser.parse_args()
    rounds = calibration.N_AUDITS // 10 if given.quick else calibration.N_AUDITS
    kept = Kept(given.out and given.out.with_name(f".{given.out.stem}.jsonl"))
    cells = [(name, setting) for name in DECISION_RULES for setting in SETTINGS]
    rows, audits = [], max(rounds // CONFOUNDED, 1)
    with progress("calibrating", len(cells) + len(PATIENTS) + len(CONFOUNDS), unit="cells") as bar:
        for name, setting in cells:
            made = partial(calibration.rejections, name, setting, rounds)
            rows.append(Rejections(*kept.once([name, setting.name, rounds], made)))
            bar.update()
        found = []
        for patients in PATIENTS:
            found.append(kept.once(["leaks", patients, rounds], partial(limits, patients, rounds)))
            bar.update()
        said: list[Outcome] = []
        for confound in CONFOUNDS:
            made = kept.once(["said", confound, audits], partial(confounded, confound, audits))
            said += [Outcome(*each) for each in made]
            bar.update()
    page = written(rows, found, said, rounds)
    if given.out:
        write_text(given.out, page)
        kept.delete()
    else:
        print(page)


class Kept:
    """What is finished, one line each; of no page, nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found: dict[str, Any] = {}
        if path and path.exists():
            whole = path.read_text(encoding="utf-8").rpartition("\n")[
                0
            ]  # a kill may have cut the last line short
            path.write_text(whole + "\n" if whole else "", encoding="utf-8")
            self._found = {json.dumps(key): value for key, value in map(json.loads, whole.splitlines())}

    def once(self, key: list[Any], make: Callable[[], Any]) -> Any:
        """What `make` gives, made once however often the command is repeated."""
        name = json.dumps(key)
        if name not in self._found:
            self._found[name] = make()
            if self._path:
                with open(self._path, "a", encoding="utf-8") as file:
                    print(json.dumps([key, self._found[name]]), file=file)
        return self._found[name]

    def delete(self) -> None:
        """Begin anew the next time."""
        if self._path:
            self._path.unlink(missing_ok=True)


def written(rows: list[Rejections], found: list[list[float | None]], said: list[Outcome], rounds: int) -> str:
    """The page: decision rules down, settings across; a row of leaks for each of `PATIENTS`; a row of each confound and leak."""
    cells = {(row.rule, row.setting): row for row in rows}
    lines = [f"| | {' | '.join(each.name for each in SETTINGS)} |", f"|---|{'---:|' * len(SETTINGS)}"]
    for name in DECISION_RULES:
        lines.append(f"| {name} | {' | '.join(_cell(cells[name, each.name]) for each in SETTINGS)} |")
    leaks = [
        f"| {patients:,} | {' | '.join(map(_number, row))} |"
        for patients, row in zip(PATIENTS, found, strict=True)
    ]
    head = HEAD.format(
        most=calibration.max_share(rounds),
        rounds=rounds,
        date=datetime.now(UTC).date(),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        versions=f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}",
    )
    return head + "\n".join(lines) + "\n" + BETWEEN + "\n".join(leaks) + "\n" + _said(said)


def confounded(confound: str, audits: int) -> list[Outcome]:
    """What is said of each leak beside a confound, of patients that are the same for all confounds."""
    return confounds.outcomes(confound, confounds.cameras(_photographs(), confound), audits)


@cache
def _photographs() -> np.ndarray:
    return confounds.photographs()


def _said(said: list[Outcome]) -> str:
    head = SAID.format(
        audits=said[0].n_audits,
        half=confounds.PATIENTS // 2,
        settings=confounds.SETTINGS,
        words=" | ".join(WORDS),
        rule="---:|" * len(WORDS),
    )
    return head + "\n".join(map(_row, said)) + "\n"


def _row(said: Outcome) -> str:
    wrong = verdict.FAIL if said.leak == NO_LEAK else verdict.PASS
    most = calibration.max_share(said.n_audits)
    shares = [
        f"**{share:.0%}**" if word == wrong and share > most else f"{share:.0%}"
        for word, share in ((word, said.shares[word]) for word in WORDS)
    ]
    return f"| {said.confound} | {said.leak} | {' | '.join(shares)} |"


def limits(patients: int, rounds: int) -> list[float | None]:
    """Of so many patients in each group, the leaks that are found: AUC, planted and planned, and difference of rates."""
    rng = np.random.default_rng([0, patients])
    scores, success = rng.normal(size=patients), rng.permutation(np.arange(patients) % 2)
    trials = (
        (power_simulation.scores(scores, patients, inference.separation, AUC), power.for_auc, 0.501, 0.99),
        (power_simulation.rates(success, patients, _rates, DIFFERENCE), power.for_difference, 0.001, 0.5),
    )
    found: list[float | None] = []
    for trial, needed, chance, most in trials:
        planned = power.smallest_leak(needed, patients, chance, most)
        found += [power_simulation.limit(trial, rounds, 0).smallest_leak, planned]
    return found


def _rates(members: np.ndarray, nonmembers: np.ndarray) -> inference.Tested:
    return inference.rate_difference(members > 0.5, nonmembers > 0.5)


def _cell(row: Rejections) -> str:
    if not row.n_audits:
        return "–"
    said = f"{row.significant:.1%} / {row.failed:.1%}"
    return f"**{said}**" if row.significant > row.max_share else said


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
