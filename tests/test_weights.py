"""The generators that come with the package."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from synth import pipeline
from synth.anatomy.measures import measure
from synth.anatomy.network import SIDE
from synth.data.vocabulary import FLAGS, READABILITY_KEYS
from synth.model import card
from synth.sampling import noise

SHIPPED = sorted(p for p in card.WEIGHTS.iterdir() if p.is_dir())


NORMAL = {**dict.fromkeys(FLAGS, 0), **dict.fromkeys(READABILITY_KEYS, 1), "dr_grade": 0, "findings": []}


def drawn(folder: Path, n: int, **labels) -> np.ndarray:
    """(n, S, S, 3) float: pictures of fixed noise and these labels."""
    generator, _ = pipeline.load(folder)
    fixed = noise.draw("numpy", 7, [(index, 0) for index in range(n)], generator.shape, "cpu")
    told = np.stack([generator.conditioning.labels.code(labels)] * n)
    return generator(torch.from_numpy(told), fixed).numpy().astype(float)


def test_all_weights_together_are_at_most_forty_megabytes():
    assert sum(p.stat().st_size for p in card.WEIGHTS.rglob("*.safetensors")) <= 40e6


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda p: p.name)
def test_a_card_names_licence_and_attribution(folder):
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert "license: cc-by-4.0" in page and "Porwal et al. 2018" in page and "Not a medical device" in page
    assert {origin.source for origin in card.read_card(folder).trained_on} == {"phantom", "idrid"}


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda p: p.name)
def test_the_page_of_models_says_of_each_that_ships_what_its_card_and_its_files_say(folder):
    page = (card.WEIGHTS.parent.parent / "docs" / "models.md").read_text(encoding="utf-8")
    [row] = [line for line in page.splitlines() if line.startswith(f"| `{folder.name}` |")]
    [parameters] = re.findall(r"([\d,]+) parameters", (folder / "README.md").read_text(encoding="utf-8"))
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    assert f"| {parameters} | {size / 1e6:.1f} |" in row and "| CC BY 4.0 |" in row
    for origin in card.read_card(folder).trained_on:
        assert f"({origin.subjects:,})" in row
    worth = (card.WEIGHTS / "README.md").read_text(encoding="utf-8")
    for number in re.findall(r"\.\d\d \(\.\d\d–\.\d\d\) of \d+|\.\d\d(?= core-seconds)", row):
        assert number in worth


@pytest.mark.slow
@pytest.mark.parametrize("folder", SHIPPED, ids=lambda p: p.name)
def test_an_eye_is_drawn_bright_on_black_with_the_disc_on_its_side(folder):
    """And one optic disc in most, by the network that marks them."""
    found = []
    for side, told in (("left", -1), ("right", 1)):
        pictures = drawn(folder, 8, **NORMAL, eye_side=side, modality="cfp")
        size = pictures.shape[1]
        middle = slice(3 * size // 8, 5 * size // 8)
        corners = pictures[:, [0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.mean() < 20 < 60 < pictures[:, middle, middle].mean()
        halves = pictures.reshape(len(pictures), SIDE, size // SIDE, SIDE, size // SIDE, 3).mean((2, 4))
        anatomy = measure(halves.round().astype(np.uint8))
        found += [(anatomy.discs == 1) & (anatomy.side == told)]
    assert np.mean(found) > 0.7


def test_a_shipped_generator_is_found_by_its_name():
    assert card.locate(Path("fundus256-4")) == card.WEIGHTS / "fundus256-4"


def test_the_student_that_ships_is_of_the_generator_that_ships():
    """Or `synth distill --start fundus256-4` refuses, after the hours of a training that began with `fundus256`."""
    distilled = card.read_card(card.WEIGHTS / "fundus256-4").distilled
    assert distilled and distilled.teacher == card.weights_fingerprint(card.SHIPPED)
