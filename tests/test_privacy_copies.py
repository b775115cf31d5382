"""T4, T5 and T8: what copies is found out, what does not is left alone, and a non-member's copy is no member's."""

import stat
from pathlib import Path

import numpy as np
import pytest
import releases
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.stats import binomtest

from privacy.attacks import memorization
from privacy.config import AuditConfig
from privacy.data import contact_sheet
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.decision import decide
from privacy.decisions.results import Result
from privacy.scores import identity, matched_groups, mosaics, neighbours
from privacy.scores.evidence import Evidence
from privacy.scores.neighbours import PLAIN, SPACES, Nearest
from privacy.targets import registered
from synth.data import images, records

PATIENTS, PHOTOGRAPHS, SIDE = 30, 2, 64
CONFIG = AuditConfig(bootstrap=300, copies_permutations=999, copies_steps=60, detection_rounds=50)


def photographs(count: int, seed: int) -> np.ndarray:
    """(count, 64, 64, 3) uint8: unlike textures in round fields of view, as photographs of unlike eyes are."""
    rng = np.random.default_rng(seed)
    coarse = gaussian_filter(rng.normal(size=(count, SIDE, SIDE)), (0, 4, 4)) * 12
    fine = gaussian_filter(rng.normal(size=(count, SIDE, SIDE)), (0, 1.5, 1.5)) * 3
    light = 1 + 0.25 * (coarse + fine)[..., None] + 0.05 * rng.normal(size=(count, 1, 1, 3))
    across = np.linspace(-1, 1, SIDE)
    field = (np.hypot(across[:, None], across) < 0.97)[..., None]
    return (light * (150, 80, 45) * field).clip(0, 255).astype(np.uint8)


def altered(pictures: np.ndarray, seed: int) -> np.ndarray:
    """Mirrored, of other gamma and colours, and turned a little."""
    rng = np.random.default_rng(seed)
    found = []
    for picture in pictures:
        light = (picture[:, ::-1] / 255) ** rng.uniform(0.8, 1.25) * rng.uniform(0.8, 1.2, 3)
        coloured = Image.fromarray((light.clip(0, 1) * 255).round().astype(np.uint8))
        found.append(np.asarray(coloured.rotate(rng.uniform(-4, 4), Image.Resampling.BICUBIC)))
    return np.stack(found)


def write(folder: Path, pictures: np.ndarray, each: int = PHOTOGRAPHS) -> People:
    rows = (
        records.row(
            id=f"{folder.name}-{n:04d}",
            subject_id=f"{folder.name}-{n // each:04d}",
            image={"bytes": images.encode(picture), "path": None},
        )
        for n, picture in enumerate(pictures)
    )
    records.write_records(folder, rows, {"source": folder.name}, shares=(1, 0, 0))
    return People(folder, kept=folder.parent / "kept")


@pytest.fixture(scope="module")
def eyes() -> dict[str, np.ndarray]:
    """Photographs of members and of non-members."""
    return {"members": photographs(60, 1), "nonmembers": photographs(60, 2)}


def audited(place: Path, eyes: dict[str, np.ndarray], released: np.ndarray, **settings: int) -> list[Result]:
    """What the whole attack says of released pictures."""
    inputs = Inputs(
        place / "out" / "kept",
        synthetic=write(place / "released", released, 1),
        members=write(place / "members", eyes["members"]),
        nonmembers=write(place / "nonmembers", eyes["nonmembers"]),
    )
    return memorization.attack(inputs, CONFIG.model_copy(update={"copies_steps": 25, **settings}))


@pytest.fixture(scope="module")
def searched() -> tuple[dict[str, Nearest], dict[str, Nearest], matched_groups.MatchedGroups]:
    """The nearest photographs of 1,000 pictures of nobody, and of 100 altered photographs of members."""
    real = photographs(2 * PATIENTS * PHOTOGRAPHS, 1)
    half = PATIENTS * PHOTOGRAPHS
    patient_ids = np.repeat(np.arange(2 * PATIENTS), PHOTOGRAPHS)
    rows = np.arange(half)
    groups = matched_groups.MatchedGroups(rows, rows, patient_ids, PATIENTS, 0.0)
    innocent = photographs(500, 3)
    copies = altered(real[np.random.default_rng(4).integers(0, half, 100)], 5)
    pictures = np.concatenate([innocent, copies])
    apart = registered.nearest(real[half:], real[:half], patient_ids[:half])[0]
    found = {SPACES[0]: (*registered.nearest(pictures, real, patient_ids), apart)}
    known, made = identity.embed(real, pictures, CONFIG.copies_steps, 0)
    plain = np.concatenate([real, pictures])[:, ::8, ::8].reshape(len(real) + len(pictures), -1).astype(float)
    for name, old, new in ((SPACES[1], known, made), (PLAIN, plain[: len(real)], plain[len(real) :])):
        apart = identity.nearest(old[half:], old[:half], patient_ids[:half])[0]
        found[name] = (*identity.nearest(new, old, patient_ids), apart)

    def part(chosen: slice) -> dict[str, Nearest]:
        return {
            name: Nearest(near[chosen], index[chosen], apart) for name, (near, index, apart) in found.items()
        }

    twice = {
        name: Nearest(np.tile(n.closeness, 2), np.tile(n.row, 2), n.nonmembers)
        for name, n in part(slice(500)).items()
    }
    return twice, part(slice(500, None)), groups


def planted(searched, count: int):
    """The attack's results where `count` of 1,000 released pictures are copies."""
    innocent, copies, groups = searched
    near = {
        name: Nearest(
            np.concatenate([copies[name].closeness[:count], each.closeness[count:]]),
            np.concatenate([copies[name].row[:count], each.row[count:]]),
            each.nonmembers,
        )
        for name, each in innocent.items()
    }
    return memorization.evaluate(near, groups, CONFIG, releases.origins(near, groups))


def test_no_copy_no_alarm(searched):
    results = planted(searched, 0)
    assert verdict.FAIL not in [each.answer.word for each in decide(results)]
    copies = results[-1]
    assert not copies.certain and "no verified copy among 1,000" in copies.notes[0]
    assert dict(copies.also)["copies of members, share of released pictures"].high < 0.02


@pytest.mark.parametrize("count", [1, 10, 100])
def test_altered_copies_are_found_and_counted(searched, count):
    """One in a thousand fails a release, and ten times as many are counted as ten times as many."""
    copies = planted(searched, count)[-1]
    assert decide([copies])[0].answer.word == verdict.FAIL and "photographs of" in copies.certain
    found = dict(copies.also)["copies of members, share of released pictures"].value
    assert 0.8 * count <= 1000 * found <= count + 2
    assert 0.6 * count <= copies.details["verified"] <= count


@pytest.mark.parametrize("change", [lambda pictures: pictures, lambda pictures: altered(pictures, 8)])
def test_a_copycat_fails_on_every_count(eyes, change, tmp_path):
    """A generator that returns training photographs, as they are or altered."""
    results = audited(tmp_path, eyes, change(eyes["members"]), copies_shown=4)
    assert [each.answer.word for each in decide(results)] == [verdict.FAIL] * 3
    shown = tmp_path / "out" / contact_sheet.NAME
    assert stat.S_IMODE(shown.stat().st_mode) == 0o600
    assert Image.open(shown).size == (4 * (2 * SIDE + 4), SIDE + 4)


def test_copies_of_strangers_fail_and_do_not_count_against_members(eyes, tmp_path):
    """They are patients too, whoever is said to have been trained on; an estimator without non-members sees nobody."""
    results = audited(tmp_path, eyes, altered(eyes["nonmembers"], 8))
    *nearness, copies = decide(results)
    assert verdict.FAIL not in [each.answer.word for each in nearness]
    assert copies.answer.word == verdict.FAIL and "all of them said not to be trained on" in copies.answer.why
    assert copies.result.details["verified"] == 0 < copies.result.details["verified_of_strangers"]
    assert dict(copies.result.also)["copies of members, share of released pictures"].value == 0
    assert not (tmp_path / "out" / contact_sheet.NAME).exists()


def test_a_patient_of_both_arms_hides_no_copy(eyes, tmp_path):
    """Else a threshold of copies would be 0, and the copycat would pass (as with a library's memorisation rate)."""
    shared = eyes | {"nonmembers": np.concatenate([altered(eyes["members"][:2], 6), eyes["nonmembers"][2:]])}
    copies = decide(audited(tmp_path, shared, eyes["members"][10:30]))[-1]
    assert copies.answer.word == verdict.FAIL
    assert copies.answer.why == "20 of 20 released pictures copy photographs of 10 members"


def test_a_patient_of_both_arms_makes_the_comparison_of_copies_invalid(eyes, tmp_path):
    shared = eyes | {"nonmembers": np.concatenate([altered(eyes["members"][:2], 6), eyes["nonmembers"][2:]])}
    answer = decide(audited(tmp_path, shared, photographs(20, 7)))[-1].answer
    assert answer.word == verdict.INVALID and "remove duplicates" in answer.why


def moved(picture: np.ndarray, turn: float, shift: int, zoom: float) -> np.ndarray:
    """Turned by so many degrees, shifted by so many pixels and enlarged."""
    side = round(SIDE / zoom)
    low = (SIDE - side) // 2
    drawn = Image.fromarray(picture).rotate(turn, Image.Resampling.BICUBIC, translate=(shift, 0))
    part = drawn.crop((low, low, low + side, low + side))
    return np.asarray(part.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def warped(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By 1.5 pixels on average, elastically, and of other colours."""
    place = np.mgrid[:SIDE, :SIDE].astype(float)
    bend = gaussian_filter(rng.normal(size=place.shape), (0, 6, 6))
    place += 1.5 * bend / bend.std(axis=(1, 2), keepdims=True)
    found = [
        map_coordinates(channel, place, order=1) for channel in np.moveaxis(picture.astype(float), -1, 0)
    ]
    light = (np.stack(found, axis=-1) / 255) ** rng.uniform(0.8, 1.25) * rng.uniform(0.8, 1.2, 3)
    return (light.clip(0, 1) * 255).round().astype(np.uint8)


def test_few_nonmembers_make_no_copies_of_pictures_of_nobody():
    """The nearest of 240 is no bar that one picture in a thousand passes: one in 241 does."""
    rng = np.random.default_rng(0)
    drawn = rng.normal(0.9, 0.03, (50, 240 + 200)).clip(max=1)
    taken = [Nearest(each[240:], np.zeros(200, int), each[:240]).copies().mean() for each in drawn]
    assert np.mean(taken) < 0.001


def test_half_of_a_photograph_is_found_whatever_stands_beside_it():
    """Other light of the other half, another half of a third photograph, and mirrored."""
    members, middle = photographs(60, 1), SIDE // 2
    first, second = members[:30], (members[30:] * 0.6).astype(np.uint8)
    sides = np.concatenate([first[:, :, :middle], second[:, :, middle:]], axis=2)
    stacked = np.concatenate([second[:, :middle], first[:, middle:]], axis=1)
    own = np.arange(60)
    nobody = mosaics.nearest(photographs(60, 5), members, own).closeness.min()
    for made in (sides, stacked, sides[:, :, ::-1]):
        found = mosaics.nearest(made, members, own)
        assert found.closeness.max() < 0.5 * nobody
        assert (found.row % 30 == np.arange(30)).all()


def test_halves_are_compared_in_the_same_words_however_few_at_a_time(monkeypatch):
    """So that memory is bounded; and the cost that is told counts every multiplication."""
    members, own = photographs(40, 1), np.arange(40)
    made = np.concatenate([members[:6], photographs(7, 2)])
    whole = mosaics.nearest(made, members, own)
    monkeypatch.setattr(mosaics, "_PAIRS", 3 * len(members))
    parts = mosaics.nearest(made, members, own)
    assert (whole.row == parts.row).all() and np.allclose(whole.closeness, parts.closeness, atol=1e-6)
    multiplied, product = [], torch.Tensor.__matmul__

    def counted(one, other):
        multiplied.append(one.numel() * other.shape[-1] if one.shape[-1] == 512 else 0)
        return product(one, other)

    monkeypatch.setattr(torch.Tensor, "__matmul__", counted)
    mosaics.nearest(made, members, own)
    assert sum(multiplied) == mosaics.COMPARED * len(made) * len(members)


def test_no_half_is_near_where_few_others_are_there_to_compare_with():
    found = mosaics.nearest(photographs(5, 5), photographs(6, 1), np.repeat([0, 1], 3))
    assert found.closeness.min() > 0.5


def test_a_verified_copy_is_of_the_photograph_that_verified_it():
    """Though half of the picture is nearer to half of another."""
    evidence = Evidence(
        np.array([True]), np.array([0]), np.array([0.9]), np.array([4]), np.array([0.01]), np.array([5])
    )
    beside = Evidence(np.ones(20, bool), np.ones(20, int), *[np.full(20, 0.9), np.zeros(20, int)] * 2)
    nearest = Nearest(np.array([0.2]), np.array([3]), np.full(20, 0.2), evidence, beside)
    assert nearest.verified().all() and nearest.origin().tolist() == [3]


def test_a_copy_that_its_half_proves_is_of_the_photograph_of_that_half():
    """Though the whole lies well on another, and less well than a proof."""
    evidence = Evidence(
        np.array([False]), np.array([1]), np.array([0.7]), np.array([4]), np.array([0.01]), np.array([5])
    )
    beside = Evidence(np.ones(200, bool), np.full(200, 2), *[np.full(200, 0.8), np.zeros(200, int)] * 2)
    nearest = Nearest(np.array([0.9]), np.array([3]), np.full(200, 0.5), evidence, beside)
    assert nearest.copies().all() and nearest.verified().all() and nearest.origin().tolist() == [5]


@pytest.mark.parametrize("named, found, proven", [(2, True, True), (1, True, False), (0, False, False)])
def test_a_picture_that_lies_well_on_a_photograph_is_a_copy_where_a_space_names_it_and_proof_where_both_do(
    named, found, proven
):
    evidence = Evidence(np.array([True]), np.array([named]), *[np.array([0.5]), np.array([4])] * 2)
    beside = Evidence(np.ones(200, bool), np.full(200, 2), np.full(200, 0.8), *[np.zeros(200, int)] * 3)
    beside = beside._replace(half=np.full(200, 0.1))
    nearest = Nearest(np.array([0.9]), np.array([4]), np.full(200, 0.5), evidence, beside)
    assert nearest.copies().tolist() == [found] and nearest.verified().tolist() == [proven]
    assert nearest.origin().tolist() == [4]


@pytest.mark.slow
def test_altered_copies_and_mosaics_are_counted_and_pictures_of_nobody_are_not(tmp_path):
    """Parameters are drawn at random; per patient the count tells members from non-members."""
    rng, members, each = np.random.default_rng(3), photographs(200, 1), 20
    source = members[: 5 * each].reshape(5, each, SIDE, SIDE, 3)
    middle = SIDE // 2
    kinds = {
        "turned": [moved(x, rng.choice([-1, 1]) * rng.uniform(7, 10), 0, 1) for x in source[0]],
        "shifted": [moved(x, 0, int(rng.choice([-1, 1]) * rng.integers(5, 9)), 1) for x in source[1]],
        "zoomed": [moved(x, rng.uniform(-5, 5), 0, rng.uniform(1.05, 1.15)) for x in source[2]],
        "warped": [warped(x, rng) for x in source[3]],
        "mosaic": [
            rng.choice([x, x[:, ::-1]])
            for x in [
                np.hstack([x[:, :middle], y[:, middle:]])
                for x, y in zip(source[4], members[100:], strict=False)
            ]
        ],
    }
    nobody = photographs(200, 7)
    released = np.concatenate([*map(np.stack, kinds.values()), nobody])
    inputs = Inputs(
        tmp_path / "out" / "kept",
        synthetic=write(tmp_path / "released", released, 1),
        members=write(tmp_path / "members", members, 1),
        nonmembers=write(tmp_path / "nonmembers", photographs(200, 2), 1),
    )
    found, others = neighbours.origins(inputs, CONFIG.model_copy(update={"copies_steps": 100}))
    right = found.taken & np.isin(found.nearest.origin(), np.arange(120))
    shares = dict(zip(kinds, right[: 5 * each].reshape(5, each).mean(axis=1), strict=True))
    assert min(shares.values()) >= 0.85 and np.mean(list(shares.values())) >= 0.9, shares
    assert found.taken[5 * each :].mean() <= 0.015 and not found.verified[5 * each :].any()
    assert (others.taken[: 5 * each].mean() < 0.05) and not others.verified.any()


def test_membership_dealt_the_other_way_is_the_other_answer(searched):
    copies, groups = searched[1], searched[2]
    members, nonmembers = matched_groups.per_patient(np.ones(100, bool), copies[PLAIN].row, groups)
    there = memorization.evaluate_nearness(SPACES[0], members, nonmembers, CONFIG).tested
    back = memorization.evaluate_nearness(SPACES[0], nonmembers, members, CONFIG).tested
    assert there and back
    assert there.estimate.value == pytest.approx(1 - back.estimate.value) and there.p + back.p >= 1


def test_a_typical_member_is_no_leak():
    """Half of the pictures lie nearest to one patient: to a binomial test over pictures, a certain leak."""
    members, nonmembers = np.ones(PATIENTS, int), np.ones(PATIENTS, int)
    members[0] = 60
    result = memorization.evaluate_nearness(SPACES[0], members, nonmembers, CONFIG)
    assert result.tested and result.tested.p > 0.2
    assert binomtest(int(members.sum()), 119, alternative="greater").pvalue < 1e-6


def test_too_few_patients_are_said_to_be_too_few(eyes, tmp_path):
    few = {name: pictures[:20] for name, pictures in eyes.items()}
    results = audited(tmp_path, few, photographs(5, 7))
    answers = [each.answer for each in decide(results)]
    assert {each.word for each in answers} == {verdict.INCONCLUSIVE} and answers[0].patients_needed == 40
    assert (
        "no verified copy among 5 released pictures searched for photographs of all 10 members"
        in results[-1].notes[0]
    )
