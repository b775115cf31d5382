"""A training that begins with the weights of another generator: in its space, in another one, and what is refused."""

import numpy as np
import pytest
import torch
from generators import tiny
from pictures import folder
from typer.testing import CliRunner

from synth import pipeline
from synth.commands.app import app
from synth.data.records import data_fingerprint
from synth.data.tensors import as_tensor
from synth.model.card import TrainingSource, weights_fingerprint
from synth.model.denoiser import Denoiser, NetworkConfig
from synth.model.labels import LabelEncoding, current
from synth.model.wavelet import WaveletSpace
from synth.provenance.training_data import with_more
from synth.training.start import begin, opened
from synth.training.trainer import train

CHANNELS = "network.channels=[16,32]", "network.attention_from=1", "batch=16", "micro_batch=8", "sheet=0"
LATENT = (
    *(
        "preprocessing.size=32",
        "network.latent.channels=6",
        "network.latent.halvings=1",
        "network.latent.width=8",
    ),
    *(
        "network.latent.blocks=1",
        "network.latent.linear=true",
        "autoencoder.images=16",
        "autoencoder.batch=8",
    ),
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("records"), 60)


@pytest.fixture(scope="module")
def first(records, tmp_path_factory):
    return train(
        tiny(images=64, micro_batch=8, sheet=0), [records], tmp_path_factory.mktemp("runs") / "first"
    )


def typed(*arguments: object):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def test_in_other_units_the_first_prediction_is_that_of_the_start(first, tmp_path):
    images = as_tensor(np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8))
    begun, card = pipeline.load(first)
    begun.space.fit(images)
    pipeline.save(begun, tmp_path / "start", card, [])
    space = WaveletSpace(1)
    space.fit(images)
    units = torch.linspace(0.5, 2, space.channels)
    space.deviation.copy_(space.deviation / units)
    config = NetworkConfig(channels=(16, 32), attention_from=1)
    denoiser = Denoiser(config, 16)
    begin(denoiser, space, opened(tmp_path / "start", config)[0], images)
    noisy, codes = torch.randn(4, 12, 8, 8), torch.from_numpy(current().unknown).expand(4, -1)
    with torch.inference_mode():
        there = begun.predict(noisy, 500, codes).output
        here = denoiser(noisy * units[:, None, None], torch.full((4,), 500), codes)
    assert torch.allclose(here, there * units[:, None, None], atol=1e-4)


def test_a_latent_generator_of_another_size_begins_with_what_a_small_one_knows(first, records, tmp_path):
    out = tmp_path / "larger"
    told = [part for each in (*CHANNELS, *LATENT, "images=16", "save_every=16") for part in ("--set", each)]
    called = typed("--data", records, "--out", out, "--start", first, *told)
    assert called.exit_code == 0, called.output
    made, card = pipeline.load(out)
    assert card.start == weights_fingerprint(first) and made.size == 32
    assert [origin.source for origin in card.trained_on] == [
        o.source for o in pipeline.read_card(first).trained_on
    ]
    assert card.records == [data_fingerprint(records)]  # the folder of both trainings
    begun, _ = pipeline.load(first)
    for name, weight in begun.unet.named_parameters():
        if name.startswith("mid_block"):  # one step of training moves it by hardly more than its rate
            assert (made.unet.get_parameter(name) - weight).abs().max() < 2e-3
    again = typed("--data", records, "--out", out, *told)
    assert again.exit_code == 2 and "start" in again.output


def test_labels_are_found_by_name(first):
    begun, _ = pipeline.load(first)
    fewer = LabelEncoding([["eye_side", ["right", "left"]], ["is_new", (0, 1)], ["findings", ["exudate"]]])
    denoiser = Denoiser(NetworkConfig(channels=(16, 32), attention_from=1), 16, fewer)
    space = WaveletSpace(1)
    images = as_tensor(np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8))
    space.fit(images)
    before = denoiser.conditioning.table.weight.clone()
    begin(denoiser, space, begun, images)
    known = begun.conditioning.labels.rows()
    for pair, row in fewer.rows().items():
        told = begun.conditioning.table.weight[known[pair]] if pair in known else before[row]
        assert torch.equal(denoiser.conditioning.table.weight[row], told), pair
    assert {pair for pair in fewer.rows() if pair not in known} == {
        ("is_new", 0),
        ("is_new", 1),
        ("is_new", None),
    }


def test_of_a_source_of_both_trainings_the_larger_counts():
    told = {"title": "t", "licence": "CC BY 4.0", "citation": "c"}
    few, many, other = (
        TrainingSource(source=name, images=images, subjects=people, **told)
        for name, images, people in (("a", 10, 5), ("a", 30, 4), ("b", None, 1))
    )
    assert with_more([few], [many, other]) == [few.replaced(images=30), other]
    assert with_more([many], [few]) == [many.replaced(subjects=5)]
    assert with_more([], [few]) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["network.channels=[16,48]"], ["set network.channels to [16, 32]", "network.layers to 1"]),
        (["network.layers=2"], ["set network.channels to [16, 32]", "network.layers to 1"]),
        (["network.attention_from=0", "network.channels=[32,32]"], ["network.attention_from to 1"]),
    ],
)
def test_a_network_of_another_shape_is_one_clear_line(first, records, tmp_path, settings, words):
    told = [part for each in (*CHANNELS, "preprocessing.size=16", *settings) for part in ("--set", each)]
    called = typed("--data", records, "--out", tmp_path / "run", "--start", first, *told)
    assert called.exit_code == 2 and all(word in called.output for word in words), called.output
    assert not (tmp_path / "run" / "config.json").exists()


def test_with_differential_privacy_nothing_is_begun_with(first, records, tmp_path):
    called = typed("--data", records, "--out", tmp_path / "run", "--start", first, "--dp-epsilon", "8", "--set", "network.channels=[16,32]")  # fmt: skip
    assert called.exit_code == 2 and "differential privacy would not hold" in called.output
