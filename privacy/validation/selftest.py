"""Does the audit work here?  Leaks of known size are planted and must be found; where there is none, none may be.

Everything is drawn: scores, phantoms and embeddings.  Nothing here needs a patient, a model or a network.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from privacy import auditing, threats
from privacy.attacks import embedded, exposed, member_probe, membership, zero_shot
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions import power_simulation, verdict
from privacy.decisions.decision import decide
from privacy.decisions.results import AUC, DIFFERENCE
from privacy.scores import guesses
from privacy.scores.guesses import GroupGuesses
from privacy.scores.score_calibration import Scores
from privacy.statistics import inference
from privacy.targets import open_target
from privacy.validation import calibration, confounds, settings
from privacy.validation.confounds import CONFOUNDS, NO_LEAK
from synth import phantom
from synth.data import records
from synth.data.records import Row
from synth.phantom import PhantomConfig

PICTURES = 400
"""Of some 170 phantoms: a quarter each for attackers, members and non-members, and one to be released."""
GROUPS = ("attackers", "members", "nonmembers", "synthetic")
COPIED = 0.2
"""Share of the leaking release that is copies of members."""
PLAIN, LEAKING = 1.0, 6.0
"""By how many standard deviations an encoder tells the sexes apart."""
_QUICK = AuditConfig(
    permutations=60,
    bootstrap=200,
    copies_permutations=999,
    copies_patients=25,
    copies_searched=60,
    copies_steps=10,
    detection_rounds=50,
)
_ROUNDS = 60
_PATIENTS = 200
_BY_HEART = 15
_KINDS = (
    "T3 the most exposed",
    "T2 a probe of other members",
    "T2 prompts",
    "T3 length and spread of embeddings",
)


class SelfTest(NamedTuple):
    """One thing that must be so."""

    name: str
    passed: bool
    detail: str


def run(kept: Path, seed: int = 0) -> Iterator[SelfTest]:
    """All checks, one after the other; `kept` is a folder for what is drawn."""
    yield from false_alarms(seed)
    yield from planted(seed)
    yield from leaks_of_members(seed)
    yield from confounded(seed)
    yield from audits(kept, seed)


def false_alarms(seed: int) -> Iterator[SelfTest]:
    """No decision rule rejects more often than chance lets it, without a leak."""
    for name in calibration.DECISION_RULES:
        found = [calibration.rejections(name, each, _ROUNDS, seed) for each in settings.SETTINGS[:4]]
        worst = max(found, key=lambda each: each.significant)
        detail = f"{worst.significant:.1%} at p < 5 %, {worst.failed:.1%} FAIL, at worst ({worst.setting})"
        yield SelfTest(f"no false alarms: {name}", worst.significant <= worst.max_share, detail)


def planted(seed: int) -> Iterator[SelfTest]:
    """A leak of the size that an audit says it finds is found as often as it says, in patients of their own."""
    rng = np.random.default_rng([seed, 60])
    scores, success = rng.normal(size=_PATIENTS), rng.random(_PATIENTS) < 0.6
    for name, trial in (
        ("scores", power_simulation.scores(scores, _PATIENTS, inference.separation, AUC)),
        ("successes", power_simulation.rates(success, _PATIENTS, _rates, DIFFERENCE)),
    ):
        limit = power_simulation.limit(trial, _ROUNDS, seed)
        assert limit.smallest_leak is not None
        found = power_simulation.share(trial, limit.smallest_leak, _ROUNDS, seed + 1)
        silent = power_simulation.share(trial, trial.scale.chance, _ROUNDS, seed + 1)
        near = (
            abs(found - power_simulation.POWER)
            <= 3 * (2 * power_simulation.POWER * (1 - power_simulation.POWER) / _ROUNDS) ** 0.5
        )
        detail = f"{trial.scale.name} {limit.smallest_leak:.3f} is found in {found:.0%} of new rounds, no leak in {silent:.0%}"
        yield SelfTest(f"a planted leak is found: {name}", near and silent < 0.15, detail)


def leaks_of_members(seed: int) -> Iterator[SelfTest]:
    """What members alone show FAILS: a few of them by heart, an axis of their own, prompts, longer embeddings."""
    rng, config = np.random.default_rng([seed, 62]), _QUICK.model_copy(update={"seed": seed})
    drawn = rng.normal(size=(2, _PATIENTS, len(_KINDS)))
    sexes = rng.integers(0, 2, (2, _PATIENTS))
    scores, axis, cosines, length = np.moveaxis(drawn, -1, 0)
    scores[0, :_BY_HEART] += LEAKING
    axis[0] += LEAKING * (sexes[0] - 0.5)
    cosines[0] += LEAKING * (sexes[0] - 0.5)
    length[0] += PLAIN
    nothing = np.zeros((2, _PATIENTS, 0))
    guessed = zero_shot.called(*np.stack([-cosines, cosines], axis=-1))
    right = [
        guesses.of("classes", truth, each, ("F", "M")) for truth, each in zip(sexes, guessed, strict=True)
    ]
    found = (
        exposed.evaluate(membership.GENERATOR, Scores(*scores, *nothing), config),
        member_probe.evaluate("sex", list(axis[..., None]), list(sexes), 2, config),
        zero_shot.evaluate("sex", GroupGuesses(right[0], right[1])),
        embedded.QUESTION._replace(
            tested=embedded.separability(length[0, :, None], length[1, :, None], config)
        ),
    )
    for name, decision in zip(_KINDS, decide(found), strict=True):
        yield SelfTest(f"a leak: {name}", decision.answer.word == verdict.FAIL, decision.answer.word)


def confounded(seed: int) -> Iterator[SelfTest]:
    """A leak beside the same cameras FAILS, and no leak does not; noise that one group has makes an audit INVALID."""
    shown = confounds.photographs(_PATIENTS, seed)
    same, noisy, *_ = CONFOUNDS
    found = {
        confound: {
            each.leak: max(each.shares, key=lambda word: each.shares[word])
            for each in confounds.outcomes(confound, confounds.cameras(shown, confound, seed, 1), 1, seed)
        }
        for confound in (same, noisy)
    }
    none, strong = found[same][NO_LEAK], found[same]["strong, 1.5 SD of each"]
    yield SelfTest("no leak: same cameras", none not in (verdict.FAIL, verdict.INVALID), none)
    yield SelfTest("a leak: same cameras", strong == verdict.FAIL, strong)
    confused = found[noisy][NO_LEAK]
    yield SelfTest(f"no leak: {noisy}", confused == verdict.INVALID, confused)


def audits(kept: Path, seed: int) -> Iterator[SelfTest]:
    """Of two releases of the same phantoms, the one that leaks FAILS and the other does not."""
    rows = _people(seed)
    people = {group: _write(kept / group, rows[group]) for group in GROUPS}
    copies = int(COPIED * len(rows["synthetic"]))
    stolen = [
        {**row, "image": copied["image"]}
        for row, copied in zip(rows["synthetic"][:copies], rows["members"], strict=False)
    ]
    leaking = _write(kept / "leaking", [*stolen, *rows["synthetic"][copies:]])
    clean = _words(kept / "clean", people, people["synthetic"], PLAIN, seed)
    found = _words(kept / "found", people, leaking, LEAKING, seed)
    for name, word in clean.items():
        yield SelfTest(f"no leak: {name}", word not in (verdict.FAIL, verdict.INVALID), word)
    for name in ("T2 sex read from embeddings", "T4 copies of photographs"):
        word = next((word for asked, word in found.items() if asked.startswith(name)), verdict.NOT_TESTABLE)
        yield SelfTest(f"a leak: {name}", word == verdict.FAIL, word)


def table(checks: list[SelfTest]) -> dict[str, Any]:
    """As plain values."""
    passed = bool(checks) and all(each.passed for each in checks)
    return {"passed": passed, "checks": [_plain(each) for each in checks]}


def _plain(check: SelfTest) -> dict[str, Any]:
    return {"name": check.name, "passed": check.passed, "said": check.detail}


def line(check: SelfTest) -> str:
    """For the terminal."""
    return f"{'ok' if check.passed else 'WRONG':<6}{check.name}: {check.detail}"


def _rates(members: np.ndarray, nonmembers: np.ndarray) -> inference.Tested:
    return inference.rate_difference(members > 0.5, nonmembers > 0.5)


def _people(seed: int) -> dict[str, list[Row]]:
    """The rows of each group: every fourth phantom."""
    config = PhantomConfig(size=32, seed=seed + 2, unreadable=0.0)
    groups: dict[str, list[Row]] = {group: [] for group in GROUPS}
    for row in phantom.records(config, PICTURES):
        groups[GROUPS[int(str(row["subject_id"]).rpartition("-")[2]) % len(GROUPS)]].append(row)
    return groups


def _write(folder: Path, rows: list[Row]) -> People:
    records.write_records(folder, rows, {"source": "selftest", "arm": folder.name})
    return People(folder, kept=folder.parent / "pictures")


def _words(
    kept: Path, people: dict[str, People], released: People, strength: float, seed: int
) -> dict[str, str]:
    """Attack -> verdict on an encoder that tells the sexes of members apart by `strength`, those of others plainly."""
    encoder = _embeddings(kept, people, strength, seed)
    groups = (people["members"], people["nonmembers"], people["attackers"])
    inputs = Inputs(kept / "cache", open_target(encoder), None, released, *groups)
    config = _QUICK.model_copy(update={"seed": seed})
    results = [
        result for key in ("T2", "T4") for result in auditing.results_of(threats.threat(key), inputs, config)
    ]
    return {f"{each.result.threat} {each.result.attack}": each.answer.word for each in decide(results)}


def _embeddings(kept: Path, people: dict[str, People], strength: float, seed: int) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng([seed, 61])
    ids, values = [], []
    for group in GROUPS[:3]:
        each = people[group]
        found = rng.normal(size=(each.cohort.patients, 8))
        sex = np.array([value == "M" for value in each.cohort.values["sex"]]) - 0.5
        found[:, 0] += (strength if group == "members" else PLAIN) * sex
        ids += each.ids.tolist()
        values += found[each.patient].tolist()
    kept.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": ids, "embedding": values}), kept / "embeddings.parquet")
    return kept / "embeddings.parquet"
