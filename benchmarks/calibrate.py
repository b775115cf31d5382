"""False alarms of every judgement of the audit, and the leaks that it finds: docs/results/calibration.md.

    python benchmarks/calibrate.py --out docs/results/calibration.md      # some ten minutes of one core
    python benchmarks/calibrate.py --quick                                # to the terminal, a tenth of the rounds

Nothing here needs a photograph or a model: what is judged is drawn.
"""

import argparse
from pathlib import Path

import numpy as np

from privacy.results import AUC, DIFFERENCE
from privacy.statistics import inference
from privacy.trust import calibration, detection, power
from privacy.trust.calibration import Rejections
from synth.base.runs import write_text

PATIENTS = (100, 500, 1000)
HEAD = """# What the audit finds, and how often it is wrong

`make calibrate` writes this page; nothing on it needs a photograph or a model. Seed 0.

## False alarms

Each judgement of the audit, on patients of whom members and strangers are alike. Share of audits with p below 5 %, and after the stroke of
those that a report would have called FAIL, for which the interval must clear its bar as well. Chance alone lets a true 5 % come to
{most:.1%} in {rounds} rounds (three standard errors); what is above is in bold.

"""
BETWEEN = """
Settings: 200 members and 200 strangers, one to six photographs each, ICC .9, half of them successes, where nothing else is said.

## Leaks that are found

Leaks of known size, planted in scores drawn for so many patients in each arm. In the first column of each pair the size that FAILS in
80 % of audits, as an audit finds it for its own scores (`privacy.trust.detection`), then what `privacy power` plans with.

| patients in each arm | AUC, planted | AUC, planned | difference of rates at .5, planted | planned |
|---:|---:|---:|---:|---:|
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="the page; without, it is printed")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    given = parser.parse_args()
    rounds = calibration.ROUNDS // 10 if given.quick else calibration.ROUNDS
    page = written(list(calibration.run(rounds=rounds)), limits(rounds))
    if given.out:
        write_text(given.out, page)
    else:
        print(page)


def written(rows: list[Rejections], found: list[str]) -> str:
    """The page: judgements down, settings across."""
    settings = [setting.name for setting in calibration.SETTINGS]
    cells = {(row.judgement, row.setting): row for row in rows}
    names = list(dict.fromkeys(row.judgement for row in rows))
    lines = [f"| | {' | '.join(settings)} |", f"|---|{'---:|' * len(settings)}"]
    lines += [f"| {name} | {' | '.join(_cell(cells[name, each]) for each in settings)} |" for name in names]
    head = HEAD.format(most=rows[0].most, rounds=rows[0].rounds)
    return head + "\n".join(lines) + "\n" + BETWEEN + "\n".join(found) + "\n"


def limits(rounds: int) -> list[str]:
    """Of each number of patients, the leaks that are found."""
    rng, lines = np.random.default_rng(0), []
    for patients in PATIENTS:
        scores, success = rng.normal(size=patients), rng.permutation(np.arange(patients) % 2)
        trials = (
            (detection.scores(scores, patients, inference.separation, AUC), power.for_auc, 0.501, 0.99),
            (detection.rates(success, patients, _rates, DIFFERENCE), power.for_difference, 0.001, 0.5),
        )
        cells = [f"{patients:,}"]
        for trial, needed, chance, most in trials:
            planned = power.least(needed, patients, chance, most)
            cells += [_number(detection.limit(trial, rounds, 0).least), _number(planned)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _rates(members: np.ndarray, strangers: np.ndarray) -> inference.Tested:
    return inference.rate_difference(members > 0.5, strangers > 0.5)


def _cell(row: Rejections) -> str:
    said = f"{row.significant:.1%} / {row.failed:.1%}"
    return f"**{said}**" if row.significant > row.most else said


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
