"""Anatomy: the network that marks it, the measures, their rates in an evaluation, and the filter of samples."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import ndimage

from synth.anatomy import measures, network
from synth.anatomy.measures import measure
from synth.anatomy.network import SIDE, AnatomyNet, mark
from synth.anatomy.plausibility import plausible
from synth.anatomy.training import AnatomyConfig, altered, error, marked, train
from synth.base.errors import UserError
from synth.base.order import randomness
from synth.data.records import SCHEMA
from synth.phantom import PhantomConfig, draw
from synth.quality import anatomy
from synth.quality.samples import Sample
from synth.sampling.filters.anatomy_filter import AnatomyFilter, prepare
from synth.sampling.filters.settings import AnatomyFilterSettings
from synth.sampling.plan import Draw
from synth.sampling.rejection import Candidate, Verdict, count, rejection_sample


def eyes(n: int, size: int = 128, **labels: object) -> list:
    """Phantoms of `n` people, right and left eyes in turn."""
    sides = ("right", "left")
    return [draw({"eye_side": sides[i % 2], **labels}, ("eyes", i), 0, size) for i in range(n)]


@pytest.fixture(scope="module")
def healthy():
    return eyes(40)


@pytest.fixture(scope="module")
def found(healthy):
    return measure(np.stack([eye.image for eye in healthy]))


def test_readable_phantoms_show_one_disc_and_a_macula_where_they_are(healthy, found):
    at = np.array([eye.disc_at for eye in healthy]) / SIDE
    fovea = np.array([eye.fovea_at for eye in healthy]) / SIDE
    assert (found.discs == 1).mean() >= 0.9
    assert np.nanmedian(np.hypot(*(found.disc - at).T)) < 0.02
    assert np.nanmedian(np.hypot(*(found.macula - fovea).T)) < 0.03
    sides = np.where(np.arange(40) % 2, -1, 1)
    assert (found.side == sides).mean() >= 0.9


def test_vessels_are_measured_as_phantoms_have_them(healthy, found):
    truth = np.array([eye.vessels.sum() / eye.field.sum() for eye in healthy])
    assert abs(found.vessel_share.mean() / truth.mean() - 1) < 0.3
    assert np.median(found.connected) > 0.8
    black = np.array([eye.image[0, 0].max() < 25 for eye in healthy])  # some cameras have a grey surround
    fields = np.array([eye.field.mean() for eye in healthy])
    assert black.sum() > 20 and np.allclose(found.field_share[black], fields[black], atol=0.03)


def test_a_second_disc_and_a_missing_one_are_counted(healthy):
    """A disc is pasted into the other half, or painted over with the retina of the other half."""
    twice, none = [], []
    for eye in healthy:
        mirrored, disc = eye.image[:, ::-1], ndimage.binary_dilation(eye.disc, iterations=6)
        twice.append(np.where(disc[:, ::-1, None], mirrored, eye.image))
        none.append(np.where(disc[..., None], mirrored, eye.image))
    assert (measure(np.stack(twice)).discs > 1).mean() >= 0.8
    assert (measure(np.stack(none)).discs == 0).mean() >= 0.8


def test_torn_vessels_hang_together_less(healthy, found):
    rng, torn = np.random.default_rng(0), []
    for eye in healthy:
        tiles = [
            np.array(eye.image[y : y + 32, x : x + 32]) for y in range(0, 128, 32) for x in range(0, 128, 32)
        ]
        order = rng.permutation(16)
        torn.append(
            np.concatenate(
                [np.concatenate([tiles[i] for i in order[r : r + 4]], axis=1) for r in range(0, 16, 4)]
            )
        )
    assert np.nanmean(measure(np.stack(torn)).connected) < np.mean(found.connected) - 0.2


def test_measures_do_not_depend_on_size_or_company(healthy):
    pictures = np.stack([eye.image for eye in healthy[:6]])
    large = np.stack(
        [draw({"eye_side": ("right", "left")[i % 2]}, ("eyes", i), 0, 256).image for i in range(6)]
    )
    alone = [measure(picture[None]) for picture in pictures]
    together = measure(pictures)
    assert np.allclose([float(each.distance[0]) for each in alone], together.distance, atol=1e-3)
    assert np.abs(measure(large).disc - together.disc).max() < 0.03


def test_nothing_is_found_where_nothing_is():
    found = measure(np.zeros((2, 64, 64, 3), np.uint8))
    assert found.discs.tolist() == [0, 0] and np.isnan(found.disc).all() and np.isnan(found.connected).all()
    assert not plausible(found).any()
    assert len(measure(np.zeros((0, 64, 64, 3), np.uint8)).discs) == 0
    assert mark(np.zeros((0, 64, 64, 3), np.uint8)).shape == (0, 3, SIDE, SIDE)


def test_discs_are_counted_by_size():
    marks = np.zeros((SIDE, SIDE), bool)
    marks[10:24, 10:24] = True
    marks[60:74, 60:80] = True
    marks[100:103, 100:103] = True  # too small
    n, centre, largest = measures._discs(marks)
    assert n == 2 and largest.sum() == 280
    assert centre == pytest.approx([70 / SIDE, 67 / SIDE])


def test_pieces_of_vessels_hang_together_over_the_disc_and_small_gaps():
    vessels, disc = np.zeros((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), bool)
    vessels[20, 10:40] = vessels[20, 41:60] = True  # a gap of one pixel
    vessels[20, 70:90] = True  # the disc lies between
    disc[15:26, 60:70] = True
    assert measures._connected(vessels, disc) == 1
    assert measures._connected(vessels, np.zeros_like(disc)) == pytest.approx(49 / 69)


@pytest.mark.slow
def test_the_network_learns_from_phantoms_and_is_a_function_of_its_seed():
    data = marked(PhantomConfig(size=SIDE, seed=4), 12)
    config = AnatomyConfig(images=64, batch=8)
    one, two = train(config, data), train(config, data)
    assert all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )
    images = network.resized(data.pictures)
    parts = torch.from_numpy(data.parts).permute(0, 3, 1, 2)
    torch.manual_seed(config.seed)
    with torch.no_grad():
        assert error(one(images), parts) < error(AnatomyNet()(images), parts) - 0.1


def test_what_nobody_can_see_teaches_nothing():
    logits, parts = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    known = error(logits, parts)
    parts[:, 1] = torch.nan
    other = logits.clone()
    other[:, 1] = 9
    assert torch.isfinite(known) and torch.equal(error(logits, parts), error(other, parts))


def test_a_picture_is_altered_together_with_its_truth():
    data = marked(PhantomConfig(size=SIDE, seed=4), 2)
    images, parts = (
        network.resized(data.pictures),
        torch.from_numpy(data.parts).permute(0, 3, 1, 2).nan_to_num(),
    )
    config = AnatomyConfig(turn=0, zoom=0, shift=0)
    moved, truth = altered(images, parts, config, randomness(0, 1))
    assert moved.shape == images.shape and float(moved.min()) >= -1 and float(moved.max()) <= 1
    assert not torch.equal(truth, parts)
    seen = network.in_field(moved)
    assert float((truth[:, :1] * (1 - seen)).sum()) < 0.2 * float(truth[:, :1].sum()) + 1


def sample(pictures: np.ndarray, rows: list[dict]) -> Sample:
    blank = {name: None for name in SCHEMA.names if name != "image"}
    table = pa.Table.from_pylist(
        [blank | row for row in rows], schema=pa.schema([f for f in SCHEMA if f.name != "image"])
    )
    return Sample(
        pictures, np.zeros((len(rows), 1)), np.arange(len(rows)) // 2, table, "test", Path("kept.npy")
    )


def test_rates_are_of_readable_photographs_with_intervals_over_patients(healthy):
    pictures = np.stack([eye.image for eye in healthy])
    rows: list[dict] = [{"eye_side": ("right", "left")[i % 2], "modality": "cfp"} for i in range(40)]
    rows[0]["is_fundus"] = 0
    rows[1]["is_optic_disc_readable"] = 0
    rows[2]["modality"] = "oct"
    rows[4]["eye_side"] = None
    report = anatomy.rates(sample(pictures, rows), 100, 200, 0)
    assert report["n"] == 37 and report["patients"] == 19
    assert set(report["rates"]) == set(anatomy.RATES)
    one, side = report["rates"]["one_disc"], report["rates"]["side"]
    assert 0.85 <= one["value"] <= 1 and one["low"] < one["value"] and one["n"] == 37
    assert side["n"] < 37 and side["value"] >= 0.9
    total = sum(report["rates"][key]["value"] for key in ("one_disc", "no_disc", "more_discs"))
    assert total == pytest.approx(1)


def test_no_readable_photograph_gives_no_rate():
    rows = [{"is_fundus": 0}, {"is_fundus": 0}]
    assert anatomy.rates(sample(np.zeros((2, 64, 64, 3), np.uint8), rows), 10, 50, 0) == {
        "n": 0,
        "patients": 0,
        "rates": {},
    }


def test_the_filter_asks_readable_eyes_alone(healthy):
    pictures = np.stack([np.zeros((128, 128, 3), np.uint8)] * 2 + [eye.image for eye in healthy])
    labels = [{"is_fundus": 0}, {"eye_side": "left"}] + [{}] * len(healthy)
    odd = AnatomyFilter(prepare()).implausible(pictures, labels)
    assert not odd[0] and odd[1] and odd[2:].mean() <= 0.15


def test_a_plan_of_another_network_is_refused():
    with pytest.raises(UserError, match="another version of its network"):
        AnatomyFilter(AnatomyFilterSettings(network="0" * 64, rule=prepare().rule))


def verdicts(*implausible: bool) -> list[Verdict]:
    return [Verdict(False, {}, odd) for odd in implausible]


def test_an_implausible_sample_is_drawn_again_and_counted():
    plain = Draw({}, 0, 0)
    tries = iter([verdicts(True, False), verdicts(True, True), verdicts(False, True)])
    chosen, counts = rejection_sample(
        0,
        [plain, plain],
        2,
        lambda drawn: torch.zeros(len(drawn), 8, 8, 3),
        lambda place, attempt: plain,
        lambda pictures, labels: next(tries),
    )
    assert [c.verdict.good for c in chosen] == [True, True]
    assert (
        counts["implausible"] == 3 and counts["kept though implausible"] == 0 and counts["mislabelled"] == 0
    )


def test_where_every_draw_is_odd_a_plausible_one_with_a_wrong_label_is_kept():
    sample = Draw({}, 0, 0), torch.zeros(8, 8, 3)
    tried = [
        Candidate(*sample, Verdict(False, {}, True)),
        Candidate(*sample, Verdict(False, {"dr": 2.0}, False)),
    ]
    assert min(tried, key=lambda found: found.verdict.fault) is tried[1]
    counts = count([tried], [tried[1]])
    assert counts["implausible"] == 1 and counts["kept though mislabelled"] == 1
