"""What members alone show: to one who knows some of them, and to one who knows nobody and asks the text tower."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import releases
import torch

from clip.model import checkpoints
from clip.model.encoders import build, normalise
from privacy.attacks import disclosure, embedded, member_probe, zero_shot
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions.decision import decide
from privacy.decisions.results import Result
from privacy.scores.guesses import GroupGuesses, Guesses
from privacy.scores.validity import ValidityChecks
from privacy.targets import open_target
from synth.base.checkpoint import save

CONFIG = AuditConfig(permutations=60, bootstrap=200, detection_rounds=50)
NOTHING = ValidityChecks((), ())


def words(results: list[Result]) -> dict[str, str]:
    return {each.result.attack: each.answer.word for each in decide(results)}


# ---- who knows some members ----


def by_axis(axis: str, seed: int, patients: int = 150) -> Result:
    """Sex along an axis that nobody, members alone, or everybody shows."""
    rng = np.random.default_rng(seed)
    features, truth = [], []
    for group in ("members", "nonmembers"):
        sex = rng.integers(2, size=patients)
        found = rng.normal(size=(patients, 12))
        if axis in (group, "everybody"):
            found[:, 3] += 3 * (sex - 0.5)
        features.append(found)
        truth.append(sex)
    return member_probe.evaluate("sex", features, truth, 2, CONFIG.model_copy(update={"seed": seed}))


def test_an_axis_that_members_alone_use_fails():
    result = by_axis("members", 0)
    assert result.tested and result.tested.estimate.low > 0.2
    assert decide([result])[0].answer.word == "FAIL"


@pytest.mark.parametrize("axis", ["nobody", "everybody"])
def test_what_anybodys_pictures_show_is_no_leak_of_members(axis):
    """Exact by membership dealt anew, so p is below 5 % in one of twenty, and in two of four hardly ever."""
    found = [by_axis(axis, seed, 40) for seed in range(4)]
    assert sum(each.tested.p < 0.05 for each in found if each.tested) <= 1
    assert sum(decide([each])[0].answer.word == "FAIL" for each in found) <= 1


def test_embeddings_without_attackers_are_asked_by_who_knows_members(tmp_path):
    """A file of embeddings: no prompt, no patients of the attackers, and the leak is found all the same."""
    rng = np.random.default_rng(5)
    groups = {
        name: releases.people(tmp_path / name, 60, seed, each=1)
        for seed, name in enumerate(("members", "others"))
    }
    ids, values = [], []
    for name, people in groups.items():
        women = np.array([value == "F" for value in people.cohort.values["sex"]])
        found = rng.normal(size=(60, 6))
        found[:, 1] += 4 * (women - 0.5) if name == "members" else 0
        ids += people.ids.tolist()
        values += found.tolist()
    pq.write_table(pa.table({"id": ids, "embedding": values}), tmp_path / "e.parquet")
    inputs = Inputs(
        tmp_path / "kept",
        open_target(tmp_path / "e.parquet"),
        members=groups["members"],
        nonmembers=groups["others"],
    )
    told = words(disclosure.attack(inputs, CONFIG))
    assert told["sex read by a probe of other members"] == "FAIL"
    assert told["sex read from embeddings"] == told["sex read by prompts in both languages"] == "NOT TESTABLE"


# ---- who knows nobody ----


def taught(path: Path, seen: People, captions: tuple[str, str], steps: int) -> Path:
    """A CLIP whose training captions state the sex, which no picture shows."""
    torch.manual_seed(3)
    model = build(releases.CLIP_CONFIG, seed=3)
    pixels = normalise(torch.from_numpy(np.array(seen.photographs(releases.SEEN))))
    women = torch.tensor([value == "F" for value in seen.table["sex"].to_pylist()])
    tokens, optimizer = model.tokenize(list(captions)), torch.optim.Adam(model.parameters(), lr=2e-3)
    model.train()
    for _ in range(steps):
        rows = torch.randperm(len(pixels))[:32]
        image = torch.nn.functional.normalize(model.encode_image(pixels[rows]), dim=-1)
        text = torch.nn.functional.normalize(model.encode_text(tokens), dim=-1)
        loss = torch.nn.functional.cross_entropy(10 * image @ text.T, (~women[rows]).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save(path, {**checkpoints.header(model), "weights": model.state_dict()})
    return path


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> dict[str, People]:
    folder, hint = tmp_path_factory.mktemp("groups"), releases.SEX
    releases.SEX = 0.0
    made = {
        name: releases.people(folder / name, 48, seed, each=1)
        for seed, name in enumerate(("members", "others", "third"))
    }
    releases.SEX = hint
    return made


@pytest.fixture(autouse=True)
def of_sex_alone(monkeypatch):
    """The other attributes take as long, and have nothing to say here."""
    for module in (zero_shot, member_probe, disclosure):
        monkeypatch.setattr(module, "ATTRIBUTES", {"sex": "classes"})


def asked(encoder: Path, groups: dict[str, People]) -> dict[str, str]:
    inputs = Inputs(
        encoder.parent / f"kept {encoder.stem}",
        open_target(encoder),
        members=groups["members"],
        nonmembers=groups["others"],
    )
    return words(zero_shot.attack(inputs, NOTHING, CONFIG))


@pytest.mark.parametrize("captions", [("a woman", "a man"), ("女性患者", "男性患者")])
def test_members_whose_sex_anybody_can_ask_for_fail_in_either_language(captions, groups, tmp_path):
    path = taught(tmp_path / "ckpt.pt", groups["members"], captions, 60)
    assert asked(path, groups)["sex read by prompts in both languages"] == "FAIL"


def test_a_clip_that_knows_the_sex_of_a_third_group_says_nothing_of_members(groups, tmp_path):
    path = taught(tmp_path / "ckpt.pt", groups["third"], ("a woman", "a man"), 60)
    assert "FAIL" not in asked(path, groups).values()


def test_guesses_that_are_equally_right_of_both_groups_are_no_finding():
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(60):
        right = [rng.random(120) < 0.9 for _ in range(2)]
        made = [Guesses(each, rng.choice(["F", "M"], 120).astype(object), np.zeros(120)) for each in right]
        tested = zero_shot.evaluate("sex", GroupGuesses(*made)).tested
        failed += bool(tested and tested.p < 0.05 and tested.estimate.low > 0)
    assert failed <= 0.05 * 60 + 3 * (0.05 * 0.95 * 60) ** 0.5


# ---- length and spread of embeddings ----


@pytest.mark.parametrize("told", ["length", "spread", "nothing"])
def test_embeddings_that_are_longer_or_closer_together_for_members_fail(told, tmp_path):
    rng, shapes = np.random.default_rng(2), []
    for seed, name in enumerate(("members", "others")):
        people = releases.people(tmp_path / name, 40, seed)
        unit = rng.normal(size=(40, 16))[people.patient] + 0.5 * rng.normal(size=(80, 16))
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        leaks = name == "members"
        length = (1.4 if leaks and told == "length" else 1.0) * np.exp(0.1 * rng.normal(size=80))
        if told == "spread":
            length = np.exp((0.02 if leaks else 0.3) * rng.normal(size=80))
        shapes.append(embedded.shape(unit * length[:, None], None, people.patient))
    tested = embedded.separability(shapes[0], shapes[1], CONFIG)
    word = decide([embedded.QUESTION._replace(tested=tested)])[0].answer.word
    assert (word == "FAIL") == (told != "nothing")
