"""Membership with reference models (LiRA, RMIA) beside T3's own scores, at the same number of passes: AUC and power.

    python benchmarks/reference_models.py      # some minutes of a core; prints a table in Markdown

Tiny generators of 8 pixels learn members by heart, or moderately; reference models learn as long from other patients of the
same source.  T3 without references has as many more draws of noise as the references take passes.  LiRA is its offline form
(2112.03570) with one variance, as `--independent` given several times does it; RMIA (2312.03262) orders patients by p(x) under the audited model over
its mean under the references, of which it counts how many others it exceeds, and that changes no order.  Power is the
share of audits of `SMALLER` patients a group, drawn from each target's, that FAIL.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.special import logsumexp

from privacy.data.inputs import Inputs
from privacy.decisions import power_simulation
from privacy.decisions.results import AUC
from privacy.scores import validity
from privacy.scores.membership_scores import HEADLINE, MembershipConfig, MembershipScores, scores_of, units
from privacy.scores.score_calibration import Scores, calibrated
from privacy.statistics.inference import separation, share
from privacy.targets.generator import Generator
from synth.base.runs import progress

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import releases

PATIENTS, SMALLER = 80, 40
TARGETS, REFERENCES, AUDITS = 3, 2, 50
STEPS = {"by heart": 200, "moderately": 60}
"""How generators learnt their members -> steps of 32 photographs."""
Pair = tuple[np.ndarray, np.ndarray]
"""Scores of members and of non-members."""


def less(scores: MembershipScores, references: Sequence[MembershipScores]) -> Pair:
    """LiRA offline: beyond the mean of the references."""
    return scores.less(references).headline()


def ratio(scores: MembershipScores, references: Sequence[MembershipScores]) -> Pair:
    """RMIA: p(x) over its mean under the references, where a score is taken for a logarithm of p."""
    pairs = []
    for name in HEADLINE:
        found = [
            group[name] - logsumexp([each[place][name] for each in references], axis=0)
            for place, group in enumerate(scores)
        ]
        pairs.append([units(each, found[1]) for each in found])
    members, nonmembers = (np.mean([pair[place] for pair in pairs], axis=0) for place in range(2))
    return members, nonmembers


def of_target(root: Path, number: int, steps: int, references: Sequence[Generator]) -> dict[str, Pair]:
    """Method -> scores of the members of one generator and of non-members."""
    members, nonmembers = (
        releases.people(root / f"{group}-{number}", PATIENTS, 100 * number + place, each=1)
        for place, group in enumerate(("members", "nonmembers"), 1)
    )
    target = Generator(releases.generator(root / f"generator-{number}", members, steps, seed=number))
    inputs = Inputs(root / "kept", generator=target, members=members, nonmembers=nonmembers)
    one, more = (MembershipConfig(membership_draws=draws) for draws in (1, 1 + REFERENCES))

    def asked(model: Generator, config: MembershipConfig) -> MembershipScores:
        return scores_of(inputs, model, HEADLINE, (members, nonmembers), config)

    plain, longer = asked(target, one), asked(target, more)
    others = [asked(each, one) for each in references]
    freed = calibrated(Scores(*longer.headline(), *validity.pixel_features(inputs)), 0)
    return {
        f"T3, {1 + REFERENCES} draws of noise": longer.headline(),
        "the same, freed of what pixels explain (T3 without references)": freed,
        "T3, 1 draw": plain.headline(),
        f"LiRA offline, {REFERENCES} references (T3 with them)": less(plain, others),
        f"RMIA, {REFERENCES} references": ratio(plain, others),
        "LiRA offline, 1 reference": less(plain, others[:1]),
    }


def row(name: str, found: Sequence[Pair], rng: np.random.Generator) -> str:
    """AUC over targets, true positives at 1 % false ones, and power."""
    areas = [separation(*pair).estimate.value for pair in found]
    hits = np.mean([members > np.quantile(others, 0.99, method="higher") for members, others in found])
    failed = sum(
        power_simulation.fails(
            separation(*(rng.choice(group, SMALLER, replace=False) for group in pair)), AUC
        )
        for pair in found
        for _ in range(AUDITS)
    )
    power = share(failed, len(found) * AUDITS)
    error = 1.96 * np.std(areas, ddof=1) / len(areas) ** 0.5
    return (
        f"| {name} | {np.mean(areas):.3f} ({np.mean(areas) - error:.3f}–{np.mean(areas) + error:.3f}) | {hits:.0%} | "
        f"{power.value:.0%} ({power.low:.0%}–{power.high:.0%}) |"
    )


def main() -> None:
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as folder, progress("training", len(STEPS) * (TARGETS + REFERENCES)) as bar:
        for learnt, steps in STEPS.items():
            root, references = Path(folder) / learnt, []
            for number in range(REFERENCES):
                others = releases.people(root / f"others-{number}", PATIENTS, 10_000 + number, each=1)
                made = releases.generator(root / f"reference-{number}", others, steps, seed=50 + number)
                references.append(Generator(made))
                bar.update()
            found: list[dict[str, Pair]] = []
            for number in range(TARGETS):
                found.append(of_target(root, number, steps, references))
                bar.update()
            print(
                f"\n{learnt}, {steps * 32 / PATIENTS:.0f} passes\n\n| score | AUC | at 1 % false positives | FAIL |\n|---|---|---:|---|"
            )
            for name in found[0]:
                print(row(name, [each[name] for each in found], rng), flush=True)


if __name__ == "__main__":
    main()
