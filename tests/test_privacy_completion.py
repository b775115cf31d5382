"""T5: a generator that knows its training photographs by heart completes them; one that does not tells nothing."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from generators import MIX

from privacy import verdict
from privacy.attacks import completion
from privacy.audit import attack, judge
from privacy.config import AuditConfig
from privacy.inputs import Inputs, People
from privacy.results import Result
from privacy.targets.generator import Generator
from privacy.targets.inpainting import blocks, complete
from synth import diffusion, pipeline
from synth.base.checkpoint import header
from synth.conditioning import UNKNOWN
from synth.fundus import images, records
from synth.fundus.vocabulary import VERSION as VOCABULARY
from synth.network import Denoiser, NetworkConfig
from synth.wavelet import WaveletSpace

PATIENTS, SIDE = 24, 8
CONFIG = AuditConfig(completion_draws=1, completion_steps=10, completion_repeats=2)
LOOK = images.Preprocessing(name="squash", size=SIDE)  # nothing is cropped: these are no eyes
ARMS = ("members", "nonmembers", "others")


def photographs(seed: int) -> np.ndarray:
    """(24, 8, 8, 3) uint8: patches of light and dark, each half unlike the other."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(128, 60, (PATIENTS, 4, 4, 1)).repeat(2, 1).repeat(2, 2)
    return (coarse + rng.normal(0, 8, (PATIENTS, SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8)


def taught(folder: Path, pictures: np.ndarray, steps: int) -> Generator:
    """A tiny generator that saw each picture `steps` times."""
    torch.manual_seed(0)
    network, space = Denoiser(NetworkConfig(channels=(16, 32), attention_from=1), SIDE), WaveletSpace(1)
    shown = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    space.fit(shown)
    clean, told = space.encode(shown), torch.from_numpy(np.tile(UNKNOWN, (len(shown), 1)))
    optimizer, schedule = torch.optim.Adam(network.parameters(), lr=3e-3), diffusion.noising()
    for _ in range(steps):
        step = torch.randint(0, 1000, (len(clean),))
        loss = diffusion.loss(network, schedule, clean, torch.randn_like(clean), step, told)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    made = pipeline.FundusPipeline(
        network.unet, diffusion.solver(), network.conditioning, copy.deepcopy(space)
    )
    said = {"config": {}, "preprocessing": LOOK.model_dump(), "vocabulary": VOCABULARY}
    facts = header(pipeline.FORMAT, pipeline.VERSION, images=steps, **said)
    pipeline.save(made, folder, facts, MIX)
    return Generator(folder)


@pytest.fixture(scope="module")
def arms(tmp_path_factory) -> dict[str, People]:
    found = {}
    for seed, name in enumerate(ARMS):
        folder = tmp_path_factory.mktemp(name)
        rows = (
            records.row(id=f"{name}-{n}", subject_id=f"{name}-{n}",
                        image={"bytes": images.encode(picture, 100), "path": None})
            for n, picture in enumerate(photographs(seed))
        )  # fmt: skip
        records.write_records(folder / "records", rows, {"source": name}, shares=(1, 0, 0))
        found[name] = People(folder / "records", kept=folder / "kept")
    return found


@pytest.fixture(scope="module")
def generators(arms, tmp_path_factory) -> dict[str, Generator]:
    """One that knows the members by heart, one that knows other people as well, one that nobody taught."""
    folder = tmp_path_factory.mktemp("generators")
    seen = {name: people.photographs(LOOK) for name, people in arms.items()}
    return {
        "memoriser": taught(folder / "memoriser", np.array(seen["members"]), 260),
        "independent": taught(folder / "independent", np.array(seen["others"]), 60),
        "untaught": taught(folder / "untaught", np.array(seen["others"]), 0),
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Where finished work is kept, so that the arms are checked once."""
    return tmp_path_factory.mktemp("kept")


def audited(place: Path, arms: dict[str, People], audited: Generator, independent: Generator) -> Result:
    inputs = Inputs(place, generator=audited, independent=independent, members=arms["members"],
                    nonmembers=arms["nonmembers"])  # fmt: skip
    return completion.attack(inputs, CONFIG)[0]


def test_a_generator_that_knows_members_by_heart_fails(arms, generators, place):
    result = audited(place, arms, generators["memoriser"], generators["independent"])
    assert judge([result])[0].answer.word == verdict.FAIL
    assert dict(result.compared)["the independent generator alone"].low < 0.5
    assert dict(result.also)["error against the independent generator's, members"].high < 1


def test_a_generator_of_strangers_or_of_nobody_tells_nothing(arms, generators, place):
    for name in ("independent", "untaught"):
        result = audited(place, arms, generators[name], generators["independent"])
        assert judge([result])[0].answer.word != verdict.FAIL


def test_without_an_independent_generator_it_is_not_testable(arms, generators, place):
    inputs = Inputs(place, generator=generators["memoriser"], members=arms["members"],
                    nonmembers=arms["nonmembers"])  # fmt: skip
    result = attack("completion", inputs, CONFIG)[0]
    assert judge([result])[0].answer.word == verdict.NOT_TESTABLE and "--independent" in result.missing


def test_what_was_shown_stays_and_every_draw_is_another(arms, generators):
    shown = arms["members"].photographs(generators["memoriser"].preprocessing)[:3]
    mask = completion.hidden(SIDE)
    made = complete(generators["memoriser"], shown, mask, draws=2, steps=4, repeats=1)
    assert made.shape == (3, 2, SIDE, SIDE, 3)
    assert np.abs(made[:, :, ~mask].astype(int) - shown[:, None, ~mask].astype(int)).max() <= 1
    assert (made[:, 0, mask] != made[:, 1, mask]).any()
    again = complete(generators["memoriser"], shown[:1], mask, draws=2, steps=4, repeats=1)
    assert np.abs(again[0].astype(int) - made[0].astype(int)).max() <= 1  # nobody's neighbours matter


def test_a_square_that_is_hidden_in_part_is_hidden():
    assert blocks(np.arange(8)[None].repeat(8, 0) >= 3, 4).tolist() == [[False, True, True, True]] * 4
