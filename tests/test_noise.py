"""What images are drawn from: published bits, fixed operations, the same in any batch, and sets of earlier versions go on."""

from math import log, pi
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from typer.testing import CliRunner

from synth.base.runs import read_json, sha256, write_json
from synth.commands.app import app
from synth.sampling import noise, plan
from synth.sampling.plan import Plan

GOLDEN = Path(__file__).parent / "golden"
KNOWN = [  # Random123, kat_vectors: philox4x32 of 10 rounds; counter, key, result
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
CONSTANTS = {  # bits of a word -> multipliers and steps of the key (Salmon et al. 2011, section 3.3)
    32: ((0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)),
    64: ((0xD2E7470EE14C6C93, 0xCA5A826395121157), (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)),
}


def reference(counter: list[int], key: list[int], bits: int) -> list[int]:
    """Philox 4 x `bits` of ten rounds, in Python's integers."""
    (first, second), steps = CONSTANTS[bits]
    mask, (a, b, c, d) = 2**bits - 1, counter
    for round in range(10):
        keys = [(k + round * step) & mask for k, step in zip(key, steps, strict=True)]
        left, right = a * first, c * second
        a, b, c, d = right >> bits ^ b ^ keys[0], right & mask, left >> bits ^ d ^ keys[1], left & mask
    return [a, b, c, d]


def numbers(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("counter, key, expected", KNOWN)
def test_the_bits_are_those_that_are_published(counter, key, expected):
    low, high = numbers(key)
    bits = noise.philox([torch.tensor([word]) for word in numbers(counter)], high << 32 | low)
    assert [int(word) for word in bits] == numbers(expected)


def test_the_bits_are_those_of_the_rule_that_gives_numpys():
    """numpy's Philox has words of 64 bits: the rule in Python is checked by it, and ours by the rule."""
    rng = np.random.default_rng(0)
    key = [int(word) for word in rng.integers(2**63, size=2)]
    drawn = np.random.Philox(key=key, counter=[4, 3, 2, 1]).random_raw(4)
    assert reference([5, 3, 2, 1], key, 64) == drawn.tolist()  # numpy counts up before it draws
    words = rng.integers(2**32, size=(4, 100))
    bits = torch.stack(noise.philox([torch.from_numpy(word) for word in words], key[0]))
    expected = [reference(w.tolist(), [key[0] & 0xFFFFFFFF, key[0] >> 32], 32) for w in words.T]
    assert bits.T.tolist() == expected


def test_the_normals_are_box_and_mullers():
    """Against numpy's logarithm, sine and cosine, at both ends of the words too."""
    words = np.r_[
        0, 1, 2**30 - 1, 2**30, 2**31, 2**32 - 1, np.random.default_rng(1).integers(2**32, size=1000)
    ]
    first, second = words, words[::-1].copy()
    radius = np.sqrt(-2 * np.log((first + 0.5) / 2**32))
    turn = ((second % 2**30) - 2**29 + 0.5) * (pi / 2 / 2**30)
    sides = np.stack([radius * np.cos(turn), radius * np.sin(turn)])
    swapped = np.where(second >> 30 & 1, sides[::-1], sides) * (1 - 2.0 * (second >> 31))
    found = torch.stack(noise.normal(torch.from_numpy(first), torch.from_numpy(second))).numpy()
    assert np.isfinite(found).all() and np.abs(found).max() < 6.8
    assert found == pytest.approx(swapped, rel=1e-6, abs=1e-9)


def test_the_noise_is_standard_normal_and_that_of_two_images_independent():
    drawn = noise.draw("philox", 3, [(0, 0), (1, 0), (0, 1)], (4, 128, 128), "cpu").flatten(1).numpy()
    assert all(kstest(each, "norm").pvalue > 1e-3 for each in drawn)
    assert np.abs(np.corrcoef(drawn) - np.eye(3)).max() < 4 / 256


@pytest.mark.parametrize("part", [1, 100, 10**6])
def test_an_image_has_the_same_bits_in_any_batch(monkeypatch, part):
    """And in any part of it; the number of values need not be a multiple of four."""
    places, shape = [(5, 0), (2**33 + 1, 3), (6, 0)], (3, 5, 7)
    expected = [noise.draw("philox", 2**64 - 1, [place], shape, "cpu") for place in places]
    monkeypatch.setitem(noise._PART, "cpu", part)
    assert torch.equal(noise.draw("philox", 2**64 - 1, places, shape, "cpu"), torch.cat(expected))


def test_every_place_of_key_and_counter_counts():
    def drawn(seed: int, *place: int) -> bytes:
        return noise.draw("philox", seed, [(place[0], place[1])], (1, 2, 2), "cpu").numpy().tobytes()

    others = [drawn(0, 0, 1), drawn(0, 1, 0), drawn(0, 2**32, 0), drawn(1, 0, 0), drawn(2**32, 0, 0)]
    assert len({drawn(0, 0, 0), *others}) == 6


def test_the_noise_of_earlier_plans_is_what_it_was():
    """Behind the number that chose the labels and the seed, as `draws` of version 0.3 had it."""
    rng = np.random.Generator(np.random.Philox(key=[5, 9]))
    rng.random()
    rng.integers(2**63)
    expected = rng.standard_normal((3, 4, 4), np.float32)
    assert np.array_equal(noise.draw("numpy", 5, [(9, 0)], (3, 4, 4), "cpu")[0].numpy(), expected)
    rng = np.random.Generator(np.random.Philox(key=[5, 9], counter=[0, 0, 2, 0]))
    rng.integers(2**63)
    expected = rng.standard_normal((3, 4, 4), np.float32)
    assert np.array_equal(noise.draw("numpy", 5, [(9, 2)], (3, 4, 4), "cpu")[0].numpy(), expected)


def generate(out: Path, *more: str) -> None:
    arguments = ["generate", "--model", GOLDEN / "generator", "--n", "40", "--seed", "5", "--steps", "2"]
    result = CliRunner().invoke(app, [str(each) for each in [*arguments, "--out", out, *more]])
    assert result.exit_code == 0, result.output


def test_a_set_that_was_begun_with_the_noise_of_then_is_finished_with_it(tmp_path):
    """A new set of the same settings is another one, and says so in its plan."""
    first = min((GOLDEN / "whole/data").glob("*.parquet"))
    generate(tmp_path / "new", "--workers", "1")
    libraries = read_json(tmp_path / "new/plan.json")["libraries"]  # a plan is bound to those that began it
    (tmp_path / "begun").mkdir()
    write_json(
        tmp_path / "begun/plan.json", read_json(GOLDEN / "synthetic/plan.json") | {"libraries": libraries}
    )
    generate(tmp_path / "begun", "--workers", "1")
    assert "noise" not in read_json(tmp_path / "begun/plan.json")
    assert Plan.read(tmp_path / "new/plan.json").noise == "philox"
    assert sha256(tmp_path / "begun/data" / first.name) != sha256(tmp_path / "new/data" / first.name)


def test_a_seed_that_no_generator_takes_is_refused(tmp_path):
    result = CliRunner().invoke(
        app, ["generate", "--n", "4", "--seed", str(2**63), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 2 and f"--seed {2**63}: must be less than 2^63" in result.stderr
    (tmp_path / "plan.json").write_text("[]")
    result = CliRunner().invoke(app, ["generate", "--n", "4", "--out", str(tmp_path)])
    assert result.exit_code == 2 and "plan.json: holds a list" in result.stderr


def test_a_plan_with_a_noise_of_a_later_version_is_refused(tmp_path):
    asked = plan.make(GOLDEN / "generator", 8).to_json() | {"noise": "threefry"}
    with pytest.raises(Exception, match="noise") as error:
        Plan.parse(asked, "plan.json")
    assert "\n" not in str(error.value)


def test_the_logarithm_is_never_above_zero():
    """Else the root of it would be no number, for one word in four thousand million."""
    words = torch.arange(2**32 - 4096, 2**32)
    logs = noise._log((words.double() + 0.5) * 2.0**-32)
    assert (logs < 0).all() and logs[-1].item() == pytest.approx(log(1 - 2**-33), rel=1e-3)
