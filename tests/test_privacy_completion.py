"""T5: a generator that knows its training photographs by heart completes them; one that does not tells nothing."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from generators import MIX

from privacy import auditing, threats
from privacy.attacks import completion
from privacy.config import AuditConfig
from privacy.data.attributes import Task
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.decision import decide
from privacy.decisions.results import Result
from privacy.scores import completions, guesses
from privacy.scores.completions import hidden
from privacy.scores.guesses import Guesses
from privacy.targets.generator import Generator
from privacy.targets.inpainting import blocks, complete
from synth import pipeline
from synth.data import images, records
from synth.data.vocabulary import VERSION as VOCABULARY
from synth.diffusion.losses import loss as denoising_loss
from synth.diffusion.process import VPrediction
from synth.model.card import GeneratorCard
from synth.model.denoiser import Denoiser, NetworkConfig
from synth.model.labels import current
from synth.model.wavelet import WaveletSpace

pytestmark = pytest.mark.slow

PATIENTS, SIDE = 24, 8
CONFIG = AuditConfig(completion_draws=1, completion_steps=10, completion_repeats=2, detection_rounds=50)
LOOK = images.Preprocessing(name="squash", size=SIDE)  # nothing is cropped: these are no eyes
GROUPS = {"members": PATIENTS, "nonmembers": PATIENTS, "others": PATIENTS, "attackers": 120}
LIT = 45.0
"""Of 255: how plainly the sex of the attackers' patients shows in the half that is hidden."""


def photographs(seed: int, count: int = PATIENTS, lit: float = 0) -> np.ndarray:
    """(count, 8, 8, 3) uint8: patches of light and dark, each half unlike the other; `lit` sets the right ones apart."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(128, 60, (count, 4, 4, 1))
    apart = lit * rng.choice([-1, 1], (count, 1, 1, 1)) if lit else 0
    coarse[:, :, 2:] += apart
    whole = coarse.repeat(2, 1).repeat(2, 2) + rng.normal(0, 8, (count, SIDE, SIDE, 3))
    return whole.clip(0, 255).astype(np.uint8)


def sex(picture: np.ndarray) -> str:
    """Shows in the half that is hidden: light in those of women."""
    return "F" if picture[:, SIDE // 2 :].mean() > 128 else "M"


def taught(folder: Path, pictures: np.ndarray, steps: int) -> Generator:
    """A tiny generator that saw each picture `steps` times."""
    torch.manual_seed(0)
    network, space = Denoiser(NetworkConfig(channels=(16, 32), attention_from=1), SIDE), WaveletSpace(1)
    shown = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    space.fit(shown)
    clean, told = space.encode(shown), torch.from_numpy(np.tile(current().unknown, (len(shown), 1)))
    optimizer, schedule = torch.optim.Adam(network.parameters(), lr=3e-3), VPrediction()
    for _ in range(steps):
        step = torch.randint(0, 1000, (len(clean),))
        loss = denoising_loss(network, schedule, clean, torch.randn_like(clean), step, told)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    made = pipeline.FundusPipeline(
        network.unet, VPrediction().scheduler, network.conditioning, copy.deepcopy(space)
    )
    said = {"config": {}, "preprocessing": LOOK.model_dump(), "vocabulary": VOCABULARY}
    card = GeneratorCard.of(images=steps, **said)
    pipeline.save(made, folder, card, MIX)
    return Generator(folder)


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> dict[str, People]:
    found = {}
    for seed, (name, count) in enumerate(GROUPS.items()):
        folder = tmp_path_factory.mktemp(name)
        rows = (
            records.row(id=f"{name}-{n}", subject_id=f"{name}-{n}", sex=sex(picture),
                        image={"bytes": images.encode(picture, 100), "path": None})
            for n, picture in enumerate(photographs(seed, count, LIT if name == "attackers" else 0))
        )  # fmt: skip
        records.write_records(folder / "records", rows, {"source": name}, shares=(1, 0, 0))
        found[name] = People(folder / "records", kept=folder / "kept")
    return found


@pytest.fixture(scope="module")
def generators(groups, tmp_path_factory) -> dict[str, Generator]:
    """One that knows the members by heart, one that knows other people as well, one that nobody taught."""
    folder = tmp_path_factory.mktemp("generators")
    seen = {name: people.photographs(LOOK) for name, people in groups.items()}
    return {
        "memoriser": taught(folder / "memoriser", np.array(seen["members"]), 260),
        "independent": taught(folder / "independent", np.array(seen["others"]), 60),
        "untaught": taught(folder / "untaught", np.array(seen["others"]), 0),
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Where finished work is kept, so that the groups are checked once."""
    return tmp_path_factory.mktemp("kept")


def audited(place: Path, groups: dict[str, People], audited: Generator, independent: Generator) -> Result:
    return results(place, groups, audited, independent)["completion of the hidden half of a photograph"]


def results(
    place: Path, groups: dict[str, People], audited: Generator, independent: Generator, told: bool = False
) -> dict[str, Result]:
    """Every answer by its question; `told` gives the attackers their patients."""
    inputs = Inputs(place, generator=audited, independent=independent, members=groups["members"],
                    nonmembers=groups["nonmembers"], attackers=groups["attackers"] if told else None)  # fmt: skip
    return {result.attack: result for result in completion.attack(inputs, CONFIG)}


def test_a_generator_that_knows_members_by_heart_fails(groups, generators, place):
    result = audited(place, groups, generators["memoriser"], generators["independent"])
    assert decide([result])[0].answer.word == verdict.FAIL
    assert dict(result.compared)["the independent generator alone"].low < 0.5
    assert dict(result.also)["error against the independent generator's, members"].high < 1


def test_a_generator_of_strangers_or_of_nobody_tells_nothing(groups, generators, place):
    for name in ("independent", "untaught"):
        result = audited(place, groups, generators[name], generators["independent"])
        assert decide([result])[0].answer.word != verdict.FAIL


def test_every_attribute_that_the_attackers_know_is_asked(groups, generators, place):
    """Sex is known of all, age and race of nobody; so few patients decide nothing, and the result says so."""
    found = results(place, groups, generators["memoriser"], generators["independent"], told=True)
    result = found["sex read from the completed half"]
    assert result.tested and result.tested.estimate.patients == 2 * PATIENTS
    rates = dict(result.also)
    assert {name.split()[0] for name in rates} == {"members", "non-members"} and len(rates) == 4
    shown = dict(result.compared)["the same read from the half that was shown"]
    assert shown.low < 0 < shown.high
    assert "80 % power" in " ".join(result.notes)
    assert "no record states it" in found["age read from the completed half"].missing


def half_features(groups: dict[str, People], visible: bool = False) -> tuple[completions.Reader, Task]:
    """What the attackers' photographs teach of a half."""
    task = guesses.learnable(completion.question("sex"), groups["attackers"], "sex")
    assert isinstance(task, Task)
    return completions.reader(
        completions.half_features(groups["attackers"], LOOK, visible), task, CONFIG
    ), task


def test_the_probe_learns_from_the_half_that_is_asked_for(groups):
    pictures = photographs(9, 40, LIT)
    women = np.array([sex(picture) == "F" for picture in pictures])
    right = []
    for visible, half in ((False, pictures[:, :, SIDE // 2 :]), (True, pictures[:, :, : SIDE // 2])):
        read, _ = half_features(groups, visible)
        right.append(((read(half)[:, 0] < 0) == women).mean())  # of F and M, the second is M
    assert right[0] > 0.9 and right[1] < 0.7


@pytest.mark.parametrize("copied", ["members", "nobody", "everybody"])
def test_only_what_is_copied_of_members_alone_is_a_disclosure(groups, copied):
    """What copies completes a half as it is; what does not, as that of some other eye."""
    read, task = half_features(groups)

    def group(seed: int, copies: bool) -> completion.Read:
        eyes, others, unlike = (photographs(seed + place, 60, LIT) for place in range(3))
        truth = np.array([sex(picture) for picture in eyes], object)
        made = (eyes if copies else others, unlike)
        said = [completions.read(read, each[:, None, :, SIDE // 2 :]) for each in made]
        return completion.Read(*(guesses.guesses_of(task, truth, each) for each in (*said, said[1])))

    members, nonmembers = group(20, copied != "nobody"), group(30, copied == "everybody")
    found = completion.evaluate_attribute("sex", members, nonmembers, CONFIG)
    assert (decide([found])[0].answer.word == verdict.FAIL) == (copied == "members")


def test_nobody_reads_a_half_without_patients_of_his_own(groups, generators, place):
    found = results(place, groups, generators["independent"], generators["independent"])
    assert "--attackers" in found["sex read from the completed half"].missing


def group(
    rng: np.random.Generator, patients: int, audited: float, independent: float, easy: float
) -> completion.Read:
    """Patients of two strata; a share `easy` of them is read right from anything, others by the rates given."""
    simple, stratum = rng.random(patients) < easy, np.array(["F", "M"])[rng.integers(0, 2, patients)]
    return completion.Read(*(
        Guesses(simple | (rng.random(patients) < rate), stratum, np.zeros(patients))
        for rate in (audited, independent, 0.5)
    ))  # fmt: skip


def test_a_generator_that_reads_anyone_better_tells_nothing_of_members():
    """By 40 % more often than the independent one, of members and of non-members."""
    rng = np.random.default_rng(0)
    found = completion.evaluate_attribute(
        "sex", group(rng, 200, 0.9, 0.5, 0), group(rng, 200, 0.9, 0.5, 0), CONFIG
    )
    assert decide([found])[0].answer.word != verdict.FAIL
    found = completion.evaluate_attribute(
        "sex", group(rng, 200, 0.9, 0.5, 0), group(rng, 200, 0.5, 0.5, 0), CONFIG
    )
    assert decide([found])[0].answer.word == verdict.FAIL
    assert found.tested and found.tested.estimate.low < 0.4 < found.tested.estimate.high


@pytest.mark.parametrize("easy", [0.0, 0.9])
def test_without_an_effect_one_reading_in_twenty_fires(easy):
    """At 60 patients a group, and where nearly all are read right by both generators."""
    rng = np.random.default_rng(1)
    p = [
        completion.excess(group(rng, 60, 0.5, 0.5, easy), group(rng, 60, 0.5, 0.5, easy)).p
        for _ in range(300)
    ]
    assert np.mean(np.array(p) < 0.05) <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_without_an_independent_generator_it_is_not_testable(groups, generators, place):
    inputs = Inputs(place, generator=generators["memoriser"], members=groups["members"],
                    nonmembers=groups["nonmembers"])  # fmt: skip
    result = auditing.results_of(threats.threat("T5"), inputs, CONFIG)[0]
    assert decide([result])[0].answer.word == verdict.NOT_TESTABLE and "--independent" in result.missing


def test_what_was_shown_stays_and_every_draw_is_another(groups, generators):
    shown = groups["members"].photographs(generators["memoriser"].preprocessing)[:3]
    mask = hidden(SIDE)
    made = complete(generators["memoriser"], shown, mask, draws=2, steps=4, repeats=1)
    assert made.shape == (3, 2, SIDE, SIDE, 3)
    assert np.abs(made[:, :, ~mask].astype(int) - shown[:, None, ~mask].astype(int)).max() <= 1
    assert (made[:, 0, mask] != made[:, 1, mask]).any()
    again = complete(generators["memoriser"], shown[:1], mask, draws=2, steps=4, repeats=1)
    assert np.abs(again[0].astype(int) - made[0].astype(int)).max() <= 1  # nobody's neighbours matter


def test_a_square_that_is_hidden_in_part_is_hidden():
    assert blocks(np.arange(8)[None].repeat(8, 0) >= 3, 4).tolist() == [[False, True, True, True]] * 4
