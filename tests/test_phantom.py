"""Digital phantoms: what their truth says must be so in the picture, and nothing else may be."""

import json
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import ndimage

from synth.base.config import load
from synth.base.errors import UserError
from synth.data import captions
from synth.data.images import decode, field_of_view
from synth.data.records import COLUMNS, LABELS, check_labels, read_table
from synth.data.vocabulary import FINDING_KEYS, FLAGS
from synth.phantom import SHAPES, Attributes, PhantomConfig, Strengths, draw, record, records, write
from synth.phantom.population import attributes, labels, place

SMALL = PhantomConfig(size=64, seed=5)
DISEASES = [{flag: 1} for flag in FLAGS] + [{"dr_grade": grade} for grade in range(1, 5)]
YOUNG, OLD = Attributes(22, "F", "caucasian"), Attributes(84, "M", "african")


def name(wanted: dict) -> str:
    return " ".join(f"{key}={value}" for key, value in wanted.items())


def test_a_row_does_not_depend_on_the_rows_before_it():
    whole = list(records(SMALL, 6))
    assert [row["id"] for row in whole] == sorted({row["id"] for row in whole})
    for index in (5, 2):
        assert record(SMALL, index)[0] == whole[index]


def test_another_seed_is_another_population():
    other = PhantomConfig(size=64, seed=6)
    assert record(SMALL, 0)[0]["image"] != record(other, 0)[0]["image"]


def test_rows_fill_the_contract_and_their_pictures_decode():
    for row in records(SMALL, 8):
        assert set(row) == set(COLUMNS)
        assert decode(row["image"]["bytes"]).shape == (64, 64, 3)
        shown = {key: row[key] for key in LABELS}
        assert row["caption_zh"] == captions.write(shown, "zh", row["seed"])
        assert row["caption_en"] == captions.write(shown, "en", row["seed"])


def test_subjects_have_one_to_four_pictures_of_consistent_attributes():
    of: dict[int, list[int]] = {}
    for index in range(140):
        subject, nth, count = place(SMALL, index)
        of.setdefault(subject, []).append(nth)
        assert 1 <= count <= 4 and nth < count
    assert sorted(of) == list(range(60))
    assert all(seen == list(range(len(seen))) for seen in of.values())


def test_the_population_has_normal_eyes_every_grade_every_disease_and_bad_pictures():
    rows = [labels(SMALL, *place(SMALL, index)[:2]) for index in range(1500)]
    for row in rows:
        check_labels(row)
    share = lambda test: sum(map(test, rows)) / len(rows)  # noqa: E731
    assert 0.25 < share(lambda r: r["dr_grade"] == 0 and not any(r[flag] for flag in FLAGS)) < 0.45
    assert all(share(lambda r, g=g: r["dr_grade"] == g) > 0.02 for g in range(1, 5))
    assert all(share(lambda r, f=f: r[f] == 1) > 0.02 for f in FLAGS)
    assert (
        0.10
        < share(lambda r: any(r[key] == 0 for key in LABELS if key.startswith("is_") and key not in FLAGS))
        < 0.2
    )
    assert share(lambda r: "cataract" in (r["findings"] or ())) > 0.06


def test_attributes_are_independent_of_the_diseases():
    """The same subject has the same labels whatever the strengths, and the same attributes whatever the labels."""
    strong = SMALL.model_copy(update={"age_strength": 1.0, "sex_strength": 1.0, "race_strength": 1.0})
    barren = SMALL.model_copy(update={"prevalence": {"normal": 1.0}})
    for subject in range(20):
        assert labels(SMALL, subject, 0) == labels(strong, subject, 0)
        assert attributes(SMALL, subject) == attributes(barren, subject)


@pytest.mark.parametrize("wanted", [{}, {"is_pm": 1}, {"dr_grade": 4}, {"is_fundus": 0}], ids=name)
def test_without_strength_the_picture_is_the_same_bit_for_bit_whatever_the_attributes(wanted):
    pictures = [draw(wanted, 3, size=64, attributes=who).image for who in (Attributes(), YOUNG, OLD)]
    assert all(np.array_equal(pictures[0], other) for other in pictures[1:])


@pytest.mark.parametrize("attribute", ["age", "sex", "race"])
def test_one_strength_lets_one_attribute_into_the_picture_and_no_other(attribute):
    strengths = Strengths(**{attribute: 1.0})
    base = draw({}, 3, size=64, attributes=YOUNG, strengths=strengths).image
    for other in ("age", "sex", "race"):
        changed = YOUNG._replace(**{other: getattr(OLD, other)})
        same = np.array_equal(base, draw({}, 3, size=64, attributes=changed, strengths=strengths).image)
        assert same == (other != attribute)


def rank(high: list[float], low: list[float]) -> float:
    """Chance that a value of `high` exceeds one of `low`: the area under the ROC curve."""
    return float(np.mean([h > w for h in high for w in low]))


@pytest.mark.parametrize("strength, least, most", [(0.0, 0.3, 0.7), (1.0, 0.9, 1.0)])
def test_pigmentation_separates_races_at_full_strength_only(strength, least, most):
    def brightness(race: str, person: str) -> float:
        phantom = draw(
            {}, person, size=32, attributes=Attributes(race=race), strengths=Strengths(race=strength)
        )
        return float(phantom.image[phantom.field][:, 1].mean())

    light = [brightness("caucasian", f"light {i}") for i in range(20)]
    dark = [brightness("african", f"dark {i}") for i in range(20)]
    assert least <= rank(light, dark) <= most


def test_sex_and_age_show_in_disc_size_and_in_the_yellow_of_the_lens():
    """Over persons, at full strength: men's discs are larger, old lenses let less blue through."""

    def measure(who: Attributes, person: int) -> tuple[float, float]:
        phantom = draw({}, person, size=96, attributes=who, strengths=Strengths(age=1.0, sex=1.0))
        red, _, blue = phantom.image[phantom.field].mean(axis=0)
        return float(phantom.disc.sum() / phantom.field.sum()), float(blue / red)

    young, old = (
        [measure(Attributes(age, sex), i) for i in range(12)] for age, sex in ((22, "F"), (84, "M"))
    )
    assert rank([m[0] for m in old], [m[0] for m in young]) > 0.9
    assert rank([m[1] for m in young], [m[1] for m in old]) > 0.7


@pytest.mark.parametrize("side, sign", [("right", 1), ("left", -1)])
def test_the_disc_lies_to_the_nose(side, sign):
    """As the camera shows it, the nose is on the right of a right eye."""
    for person in range(5):
        phantom = draw({"eye_side": side}, person, size=64)
        assert sign * (phantom.disc_at[0] - phantom.fovea_at[0]) > 64 * 0.2
        columns = np.flatnonzero(phantom.disc.any(axis=0))
        assert columns[0] - 1 <= phantom.disc_at[0] <= columns[-1] + 2


def test_the_disc_is_the_bright_spot_and_the_fovea_is_darker_than_its_surroundings():
    for person in range(6):
        phantom = draw({}, person, size=128)
        green = phantom.image[..., 1].astype(float)
        assert green[phantom.disc].mean() > green[phantom.field].mean() + 12
        x, y = (int(value) for value in phantom.fovea_at)
        rows, columns = np.mgrid[:128, :128]
        far = np.hypot(columns - x, rows - y)
        assert (
            green[far < 5].mean() < green[(far > 16) & (far < 24) & ~phantom.vessels & phantom.field].mean()
        )


def test_vessels_are_darker_than_the_retina_beside_them():
    phantom = draw({}, 1, size=128)
    green = phantom.image[..., 1].astype(float)
    beside = phantom.field & ~phantom.vessels & ~phantom.disc
    assert 0.03 < phantom.vessels.sum() / phantom.field.sum() < 0.25
    assert green[phantom.vessels & ~phantom.disc].mean() < green[beside].mean() - 8


def test_an_eye_keeps_its_vessels_between_visits_and_changes_its_camera():
    first, second = (draw({}, 9, visit, size=96) for visit in (0, 1))
    assert not np.array_equal(first.image, second.image)
    assert first.cup_to_disc == second.cup_to_disc


def test_glaucoma_enlarges_the_cup():
    for person in range(8):
        healthy, ill = (draw({"is_gc": flag}, person, size=48) for flag in (0, 1))
        assert ill.cup_to_disc > max(0.65, healthy.cup_to_disc + 0.15)
        assert healthy.cup_to_disc < 0.55
        assert ill.cup.sum() > healthy.cup.sum()


def test_every_grade_of_diabetic_retinopathy_adds_lesions():
    shares = [
        np.mean([draw({"dr_grade": grade}, person, size=128).lesions.mean() for person in range(4)])
        for grade in range(5)
    ]
    assert shares[0] == 0
    assert all(low < high for low, high in pairwise(shares))


def grown(mask: np.ndarray) -> np.ndarray:
    """A mask and two pixels around it: edges are soft."""
    return np.asarray(ndimage.binary_dilation(mask, iterations=2), dtype=bool)


@pytest.mark.parametrize("wanted", DISEASES, ids=name)
def test_a_disease_changes_the_picture_where_its_mask_says(wanted):
    """Against the healthy eye: inside the mask much, outside little (vessels and disc may change their shape)."""
    inside, outside = [], []
    for person in range(3):
        healthy, ill = draw({}, person, size=96), draw(wanted, person, size=96)
        change = np.abs(ill.image.astype(int) - healthy.image).max(axis=-1)
        shape = grown(ill.vessels | healthy.vessels | ill.disc | healthy.disc | ill.lesions)
        inside.append(change[ill.lesions].mean())
        outside.append(change[ill.field & ~shape].mean())
        assert not change[~grown(ill.field)].any()
    assert np.mean(inside) > 12
    # A myopic fundus is pale and tessellated all over.
    assert np.mean(outside) < np.mean(inside) / (1.5 if {"is_dm", "is_pm"} & set(wanted) else 5)


@pytest.mark.parametrize("finding", FINDING_KEYS)
def test_every_finding_of_the_vocabulary_shows(finding):
    healthy, ill = draw({}, 4, size=128), draw({"findings": [finding]}, 4, size=128)
    assert np.abs(ill.image.astype(int) - healthy.image).max() > 15


@pytest.mark.parametrize("part, at", [("optic_disc", "disc_at"), ("macular", "fovea_at")])
def test_what_is_unreadable_has_lost_its_detail_or_is_out_of_frame(part, at):
    for person in range(8):
        clear, bad = (draw({f"is_{part}_readable": flag}, person, size=128) for flag in (1, 0))
        x, y = (int(value) for value in getattr(bad, at))
        if not (0 <= x < 128 and 0 <= y < 128) or not bad.field[y, x]:
            continue
        near = np.s_[max(0, y - 7) : y + 8, max(0, x - 7) : x + 8]
        assert rough(bad.image[near]) < max(3.0, 0.7 * rough(clear.image[near]))


def rough(picture: np.ndarray) -> float:
    """How much neighbours differ."""
    green = picture[..., 1].astype(float)
    return float(np.abs(np.diff(green, axis=0)).mean() + np.abs(np.diff(green, axis=1)).mean())


def test_what_is_no_fundus_has_no_truth():
    phantom = draw({"is_fundus": 0}, 2, size=64)
    assert np.isnan(phantom.cup_to_disc) and not phantom.disc.any() and not phantom.lesions.any()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_field_of_view_is_found_for_every_camera(shape):
    for person in range(4):
        phantom = draw({"eye_side": "left"}, person, size=128, shape=shape)
        found = field_of_view(phantom.image)
        assert (found & phantom.field).sum() / (found | phantom.field).sum() > 0.93


def test_written_records_hold_every_picture_and_its_truth(tmp_path):
    counts = write(SMALL, 12, tmp_path / "records")
    table = read_table(tmp_path / "records")
    truth = pq.read_table(tmp_path / "records" / "truth.parquet")
    assert sum(counts.values()) == table.num_rows == truth.num_rows == 12
    assert set(truth["id"].to_pylist()) == set(table["id"].to_pylist())
    assert json.loads((tmp_path / "records" / "plan.json").read_text())["kind"] == "phantom"
    assert write(SMALL, 12, tmp_path / "records") == counts


@pytest.mark.parametrize("text", ["prevalence={is_cat: 1}", "race_strength=2", "prevalence={normal: 0}"])
def test_a_wrong_setting_is_refused_in_one_line(text):
    with pytest.raises(UserError, match=text.partition("=")[0]):
        load(PhantomConfig, None, [text])


def test_people_of_another_seed_are_other_people():
    """Two populations in one set would be taken for one otherwise; those of seed 0 keep their names."""
    first, other = ({made["subject_id"] for made in records(PhantomConfig(seed=seed), 30)} for seed in (0, 1))
    assert not first & other and "phantom-000000" in first
