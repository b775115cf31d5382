"""Two cameras are no leak: what tells the groups apart without membership is INVALID; who is in a group is checked."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import releases
from PIL import Image
from scipy.ndimage import gaussian_filter

from privacy.attacks import membership
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.decision import decide
from privacy.decisions.results import AUC, Result
from privacy.scores import camera, duplicates, references, validity
from privacy.scores.score_calibration import Scores
from privacy.scores.validity import ValidityChecks
from privacy.statistics.inference import Tested, separation
from privacy.targets import training_records
from privacy.validation import confounds
from synth.base import ties
from synth.base.errors import UserError
from synth.base.stats import Estimate
from synth.data import images

CONFIG = AuditConfig(detection_rounds=50)
PATIENTS, AUDITS = 40, 210


def photographs(count: int, seed: int) -> np.ndarray:
    """(count, 64, 64, 3) uint8 of one camera, whose sensor has a grain."""
    grain = np.random.default_rng([seed, 9]).normal(0, 3, (count, releases.SIDE, releases.SIDE, 3))
    eyes = releases.eyes(count, seed)
    return whole(eyes + grain * (eyes.max(axis=-1, keepdims=True) > 40))


def whole(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).round().astype(np.uint8)


def saved(pictures: np.ndarray, quality: int) -> np.ndarray:
    """Pictures that were JPEG files."""
    found = []
    for picture in pictures:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        found.append(np.asarray(Image.open(file)))
    return np.stack(found)


def resized(pictures: np.ndarray, scale: float) -> np.ndarray:
    side = round(releases.SIDE * scale)
    return np.stack(
        [
            np.asarray(
                Image.fromarray(each)
                .resize((side, side), Image.Resampling.BICUBIC)
                .resize((releases.SIDE, releases.SIDE), Image.Resampling.BICUBIC)
            )
            for each in pictures
        ]
    )


def cropped(pictures: np.ndarray, rim: int) -> np.ndarray:
    size = 2 * [releases.SIDE]
    inner = pictures[:, rim:-rim, rim:-rim]
    return np.stack([np.asarray(Image.fromarray(each).resize(size)) for each in inner])


def noisy(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    light = pictures.max(axis=-1, keepdims=True) > 40
    return whole(pictures + light * rng.uniform(2, 4) * rng.normal(size=pictures.shape))


KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "noise": noisy,
    "blur": lambda x, rng: whole(gaussian_filter(x.astype(float), (0, *2 * [rng.uniform(0.4, 0.8)], 0))),
    "JPEG": lambda x, rng: saved(x, int(rng.integers(60, 93))),
    "gamma": lambda x, rng: whole(
        255 * (x / 255) ** rng.choice([rng.uniform(0.8, 0.9), rng.uniform(1.1, 1.25)])
    ),
    "size": lambda x, rng: resized(x, rng.choice([rng.uniform(0.7, 0.9), rng.uniform(1.3, 2)])),
    "gain": lambda x, rng: whole(x * rng.uniform(1.03, 1.1)),
    "white balance": lambda x, rng: whole(x * [rng.uniform(1.02, 1.05), 1, rng.uniform(0.95, 0.98)]),
    "crop": lambda x, rng: cropped(x, int(rng.integers(1, 3))),
    "field of view": lambda x, rng: whole(
        x * (np.hypot(*np.mgrid[-1:1:64j, -1:1:64j]) < rng.uniform(0.85, 0.94))[..., None]
    ),
    "surround": lambda x, rng: np.maximum(x, np.uint8(rng.integers(1, 4))),
}


def told_apart(members: np.ndarray, nonmembers: np.ndarray) -> bool:
    """Whether the check of traces fires."""
    values = ties.standardised(camera.features(np.concatenate([members, nonmembers])))
    groups = values[: len(members)], values[len(members) :]
    return validity.baseline_separability("traces", *groups, CONFIG, validity.FINE)[0].fired


@pytest.mark.parametrize("kind", KINDS)
def test_another_camera_or_export_is_told_from_this_one(kind):
    """Settings are drawn at random; colours and thumbnails show nothing of the finest of them."""
    seed = list(KINDS).index(kind)
    members, nonmembers = photographs(PATIENTS, 2 * seed), photographs(PATIENTS, 2 * seed + 1)
    assert told_apart(members, KINDS[kind](nonmembers, np.random.default_rng(seed)))


@pytest.mark.parametrize("confound", [name for name, change in confounds.CONFOUNDS.items() if change])
def test_every_camera_of_the_table_is_told_from_this_one(confound):
    """Those of docs/results/calibration.md, of patients who are others in each group."""
    seed = 100 + list(confounds.CONFOUNDS).index(confound)
    members, nonmembers = photographs(PATIENTS, seed), photographs(PATIENTS, 100 + seed).astype(float)
    change = confounds.CONFOUNDS[confound]
    assert change and told_apart(members, whole(change(nonmembers, np.random.default_rng(seed))))


def test_one_camera_is_not_told_from_itself():
    fired = [told_apart(photographs(PATIENTS, 50 + n), photographs(PATIENTS, 70 + n)) for n in range(4)]
    assert not any(fired)


def test_a_camera_makes_groups_invalid(tmp_path):
    """The check stands before every question about members; of thumbnails alone nothing fires."""
    rng = np.random.default_rng(0)
    pictures = {"members": photographs(PATIENTS, 1), "nonmembers": noisy(photographs(PATIENTS, 2), rng)}
    members, nonmembers = (group(tmp_path / name, each) for name, each in pictures.items())
    inputs = Inputs(tmp_path / "kept", members=members, nonmembers=nonmembers)
    checked = validity.groups(inputs, CONFIG)
    fired = [check.why for check in checked.checks if check.fired]
    assert any(
        why.startswith("noise, sharpness and compression alone, without a model, at 64 pixels")
        for why in fired
    )
    assert not any(why.startswith("pixels alone") for why in fired)


def group(folder: Path, pictures: np.ndarray) -> People:
    return releases.released(folder, pictures)


@pytest.mark.parametrize("value, fired", [(0.8, True), (0.2, True), (0.52, False)])
def test_a_model_that_saw_nobody_makes_it_invalid_whichever_group_it_prefers(value, fired):
    tested = Tested(Estimate(value, value - 0.1, value + 0.1, 100), 1e-6 if value > 0.7 else 1 - 1e-6)
    assert references.separability("a generator of others", tested).fired == fired


def drawn(rng: np.random.Generator, confound: float, leak: float) -> str:
    """The word of one audit: a confound is seen by every model, a leak by the audited one."""
    difficulty = rng.normal(size=(2, 200)) + confound * np.array([[1], [0]])
    none = np.zeros((200, 0))
    audited = 0.7 * difficulty + 0.7 * rng.normal(size=(2, 200)) + leak * np.array([[1], [0]])
    other = 0.7 * difficulty + 0.7 * rng.normal(size=(2, 200))
    check = references.separability("a generator of others", separation(other[0], other[1]))
    scores = Scores(audited[0], audited[1], none, none)
    result = membership.evaluate(membership.GENERATOR, scores, CONFIG, ValidityChecks((check,), ()))
    return decide([result])[0].answer.word


@pytest.mark.parametrize("confound", ["same cameras", "sensor noise of 2 to 4 grey levels"])
def test_a_leak_fails_beside_the_same_cameras_and_nothing_is_said_beside_others(confound):
    shown = photographs(120, 1).astype(float)
    taken = confounds.cameras(shown, confound, settings=1)
    said = {each.leak: each.shares for each in confounds.outcomes(confound, taken, 1)}
    if confound == "same cameras":
        assert said["none"][verdict.FAIL] == said["none"][verdict.INVALID] == 0
        assert said["strong, 1.5 SD of each"][verdict.FAIL] == 1
    else:
        assert all(shares[verdict.INVALID] == 1 for shares in said.values())


@pytest.mark.slow
def test_among_audits_drawn_at_random_few_fail_or_pass_wrongly():
    """Confounds of either sign and leaks, of sizes drawn at random: at most 5 % of either error."""
    rng, words = np.random.default_rng(0), {}
    for number in range(AUDITS):
        kind = ("nothing", "confound", "leak")[number % 3]
        size = rng.uniform(0.5, 1.5)
        confound = size * rng.choice([-1, 1]) if kind == "confound" else 0.0
        words.setdefault(kind, []).append(drawn(rng, confound, size if kind == "leak" else 0.0))
    rates = {
        kind: {word: np.mean([each == word for each in found]) for word in (verdict.FAIL, verdict.PASS)}
        for kind, found in words.items()
    }
    assert rates["nothing"][verdict.FAIL] <= 0.05
    assert max(rates["confound"].values()) <= 0.05
    assert rates["leak"][verdict.PASS] <= 0.05 and rates["leak"][verdict.FAIL] >= 0.9


def test_a_double_registration_is_found_by_pixels(tmp_path):
    """The same photographs, saved again under other names, are in both groups: no file is the same."""
    members = photographs(PATIENTS, 1)
    others = np.concatenate([saved(members[:3], 85), photographs(PATIENTS - 3, 2)])
    inputs = Inputs(
        tmp_path / "kept", members=group(tmp_path / "a", members), nonmembers=group(tmp_path / "b", others)
    )
    checks = {check.why: check.fired for check in validity.groups(inputs, CONFIG).checks[:2]}
    assert list(checks.values()) == [False, True] and any("saved again" in why for why in checks)
    alone = Inputs(
        tmp_path / "kept", members=inputs.members, nonmembers=group(tmp_path / "c", photographs(PATIENTS, 2))
    )
    assert not duplicates.by_pixels(alone, 0).fired


def test_groups_that_a_model_contradicts_are_refused():
    learnt, splits = (
        {"--generator": ["abc", "of a training before"]},
        {"--members": ["train"], "--nonmembers": ["test"]},
    )
    training_records.check_splits(learnt, {"--members": "abc", "--nonmembers": "abc"}, splits)
    with pytest.raises(UserError, match="--generator was trained on the split 'train' of these very records"):
        training_records.check_splits(learnt, {"--nonmembers": "abc"}, {"--nonmembers": ["train"]})
    with pytest.raises(UserError, match="--generator was trained on the split 'train' of these very records"):
        training_records.check_splits(
            learnt, {"--nonmembers": "of a training before"}, {"--nonmembers": ["train"]}
        )
    with pytest.raises(UserError, match="--members-split train"):
        training_records.check_splits(learnt, {"--members": "abc"}, {"--members": ["test"]})


def test_members_of_whom_the_model_knows_nothing_pass_nothing():
    """A silence about other people clears nobody."""
    folder = Path("records")
    assert not training_records.doubt({"--model": ["abc"]}, "abc", folder, None)
    assert not training_records.doubt({}, "abc", folder, None)
    doubt = training_records.doubt({"--model": ["abc"]}, "def", folder, None)
    tested = Tested(Estimate(0.5, 0.48, 0.52, 4000), 0.5)
    result = Result("T3", "membership", "members", AUC, tested)
    assert decide([result])[0].answer.word == verdict.PASS
    answer = decide([result._replace(doubt=doubt)])[0].answer
    assert answer.word == verdict.INCONCLUSIVE and "is not what was trained on" in answer.why


def test_pictures_are_compared_by_what_is_fine():
    one, other = photographs(4, 1), photographs(4, 2)
    assert duplicates.alike(one, saved(one, 85)).all() and not duplicates.alike(one, other).any()
    assert images.encode(one[0]) != images.encode(saved(one[:1], 85)[0])
