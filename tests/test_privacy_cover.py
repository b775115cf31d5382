"""What a report says on its cover: no PASS for what was not asked, no word that hides a copy, no status 0 for INVALID."""

import json
from pathlib import Path

import numpy as np
import pytest
import releases
from typer.testing import CliRunner

from privacy import report, threats
from privacy.attacks import attribute_inference, captions, linkage, membership, memorization
from privacy.attacks.copies import QUESTION, evaluate_search
from privacy.attacks.exposed import STANDING_OUT
from privacy.commands.app import app
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.decision import decide
from privacy.decisions.results import AUC, DIFFERENCE, Result, ValidityCheck
from privacy.report import counts, sentences, words
from privacy.report.schema import AuditReport
from privacy.statistics import inference
from privacy.statistics.inference import Tested
from synth.base.stats import Estimate
from synth.data import images, records

FAIL, INVALID, REVEALS, PASS = verdict.FAIL, verdict.INVALID, verdict.REVEALS, verdict.PASS
UNDECIDED, UNTESTED = verdict.INCONCLUSIVE, verdict.NOT_TESTABLE
CONFIG = AuditConfig(bootstrap=200, copies_permutations=999, copies_steps=25, detection_rounds=50)
QUICK = [f"--set={key}={value}" for key, value in CONFIG.model_dump(exclude_defaults=True).items()]


def spread(low: float, high: float, p: float = 1.0) -> Tested:
    return Tested(Estimate((low + high) / 2, low, high, 400), p)


# ---- one word for several questions ----


@pytest.mark.parametrize(
    "given, word, asked",
    [
        ([PASS] * 18, PASS, 18),
        ([PASS] * 17 + [UNTESTED], UNTESTED, 17),
        ([PASS] + [UNTESTED] * 17, UNTESTED, 1),
        ([UNTESTED] * 3, UNTESTED, 0),
        ([UNTESTED, UNDECIDED, PASS], UNDECIDED, 2),
        ([UNTESTED, REVEALS], REVEALS, 1),
        ([PASS, INVALID, UNTESTED], INVALID, 2),
        ([INVALID, FAIL, PASS], FAIL, 3),
        ([], UNTESTED, 0),
    ],
)
def test_a_panel_passes_only_where_every_question_was_asked(given, word, asked):
    assert verdict.combined(given) == (word, asked, len(given))


@pytest.mark.parametrize(
    "given, status",
    [
        ([PASS, UNDECIDED, REVEALS, UNTESTED], 0),
        ([PASS, INVALID, REVEALS], 5),
        ([UNTESTED, INVALID], 5),
        ([INVALID, FAIL, UNTESTED], 3),
        ([UNTESTED, UNTESTED], 4),
        ([], 4),
    ],
)
def test_no_invalid_answer_ends_with_status_0(given, status):
    assert verdict.exit_status(given) == status


def release(folder: Path) -> Path:
    """So many captions of templates that a search for identifiers passes all by itself."""
    tile = images.encode(np.full((8, 8, 3), 90, np.uint8))
    rows = [
        records.row(id=f"{i}", subject_id=f"{i}", image={"bytes": tile, "path": None}, is_gc=1,
                    caption_en="Suspected glaucoma.", caption_zh="疑似青光眼。")
        for i in range(500)
    ]  # fmt: skip
    records.write_records(folder, rows, {"kind": "synthetic"})
    return folder


def test_a_search_of_captions_does_not_speak_for_patients(tmp_path):
    """Nowhere: not in the panels, not on the label, not before a regulator, in neither language."""
    out = tmp_path / "out"
    line = ["audit", "--synthetic", str(release(tmp_path / "synthetic")), "--out", str(out)]
    said = CliRunner().invoke(app, line)
    made = json.loads((out / "report.json").read_text())
    parsed = AuditReport.model_validate(made)
    answers = {each["attack"]: each["verdict"]["word"] for each in made["results"]}
    assert answers["direct identifiers in captions"] == PASS
    assert [(each["verdict"], each["asked"], each["of"]) for each in made["panels"]] == [
        (UNTESTED, 0, 5), (UNTESTED, 1, 27), (UNTESTED, 0, 2)]  # fmt: skip
    label = (out / "label.svg").read_text()
    assert PASS not in label and label.count(UNTESTED) == 3 and "1 of 27 questions asked" in label
    assert PASS not in said.stdout and "NOT TESTABLE (1 of 27 questions asked)" in said.stdout
    for language, unasked in (("en", "1 of 27 questions asked"), ("zh", "共 27 问，已检验 1 问")):
        assert {row.word for row in counts.regulations(parsed, language)} == {UNTESTED}
        page = report.html(parsed, language)
        assert unasked in page.partition("</main>")[0]
        once = words.WORDS[language][PASS]
        assert page.count(once) == 2  # the one question that was asked: on the first page, and in the table
    rows = {row.law: row for row in counts.regulations(parsed, "en")}
    assert rows["EDPB 28/2024: extraction of training data"].threats == "T7 (1/3)"


def test_attributes_that_were_not_asked_for_keep_anyone_from_passing(tmp_path):
    judged = decide(attribute_inference.attack(Inputs(tmp_path, attributes=["sex"]), CONFIG))
    assert [each.result.attack for each in judged] == ["sex", "age", "race"]
    assert all("--attributes" in each.answer.why for each in judged[1:])


def test_words_about_an_attribute_that_nobody_states_are_an_open_question(tmp_path):
    """Else the question about race would not even be counted among those that are open."""
    people = releases.people(tmp_path / "members", 60, 1)
    people.cohort.values["race"][:] = None
    found = {each.attack: each for each in captions.attack(Inputs(tmp_path, members=people), CONFIG)}
    assert found["age from captions"].tested and found["sex from captions"].tested
    assert "--members" in found["race from captions"].missing


@pytest.mark.slow
def test_an_invalid_answer_ends_an_audit_with_status_5(tmp_path):
    """Groups of which one is brighter than the other, and nothing copied."""
    people = {name: releases.patients(name, 24, seed, each=1) for seed, name in enumerate(("m", "n"))}
    for row in people["n"]:
        row["image"] = {"bytes": images.encode(images.decode(row["image"]["bytes"]) // 2), "path": None}
    made = {name: releases.write(tmp_path / name, rows).folder for name, rows in people.items()}
    released = releases.released(tmp_path / "released", releases.eyes(30, 9)).folder
    line = ["audit", "--synthetic", released, "--members", made["m"], "--nonmembers", made["n"], "--out",
            tmp_path / "out", "--nonmembers-split", "all", *QUICK]  # fmt: skip
    said = CliRunner().invoke(app, list(map(str, line)))
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {INVALID} <= {each["verdict"]["word"] for each in found["results"]}
    assert FAIL not in {each["verdict"]["word"] for each in found["results"]}
    assert (
        said.exit_code == found["exit_status"] == 5 and "exit status 5: an answer is INVALID" in said.stdout
    )


# ---- copies ----


def eyes(folder: Path, counts: dict[str, int]) -> dict[str, People]:
    """One photograph each of so many members and non-members."""
    return {
        name: releases.people(folder / name, count, seed, each=1)
        for seed, (name, count) in enumerate(counts.items(), 1)
    }


def photographs(people: People, count: int) -> np.ndarray:
    return np.array(people.photographs(images.Preprocessing(size=releases.SIDE))[:count])


def asked(
    folder: Path, pictures: np.ndarray, people: dict[str, People], config: AuditConfig = CONFIG
) -> list[Result]:
    """The three answers of T4 about a release of these pictures."""
    inputs = Inputs(
        folder / "kept",
        synthetic=releases.released(folder / "released", pictures),
        members=people["members"],
        nonmembers=people.get("nonmembers"),
    )
    return memorization.attack(inputs, config)


def copies(folder: Path, pictures: np.ndarray, people: dict[str, People]) -> Result:
    return asked(folder, pictures, people)[-1]


@pytest.mark.parametrize("planted", [4, 30])
@pytest.mark.slow
def test_copies_are_looked_for_among_all_members_however_few_strangers_there_are(planted, tmp_path):
    """Of 150 members 30 have a non-member beside them; the bound is of all, so the planted share lies below it."""
    people = eyes(tmp_path, {"members": 150, "nonmembers": 30})
    chosen = np.random.default_rng(0).choice(150, planted, replace=False)
    shown = photographs(people["members"], 150)[chosen]
    found = copies(tmp_path, np.concatenate([shown, releases.eyes(60 - planted, 9)]), people)
    assert found.details["verified"] == planted and found.details["members_searched"] == 150
    rate = dict(found.also)["copies of members, share of released pictures"]
    assert rate.low <= planted / 60 <= rate.value <= (planted + 1) / 60 < rate.high
    assert f"of all 150 members and 30 non-members; at most {rate.high:.2%} are" in found.notes[0]


@pytest.mark.slow
def test_a_copy_of_a_stranger_beside_it_hides_no_copy_of_a_member(tmp_path):
    people = eyes(tmp_path, {"members": 40, "nonmembers": 40})
    both = [photographs(people["members"], 7), photographs(people["nonmembers"], 5)]
    found = copies(tmp_path, np.concatenate([*both, releases.eyes(20, 9)]), people)
    [answer] = decide([found])
    assert answer.answer.word == FAIL
    assert answer.answer.why == (
        "12 of 32 released pictures copy photographs of 12 patients, 5 of them said not to be trained on"
    )


def test_a_copy_is_found_though_every_member_has_a_twin_among_the_strangers(tmp_path):
    """No patient is left to compare, and the copy is one all the same: of the member, who was trained on."""
    people = eyes(tmp_path, {"members": 30})
    rows = [
        row | {"id": f"duplicate-{row['id']}", "subject_id": f"duplicate-{row['subject_id']}"}
        for row in releases.patients("members", 30, 1, each=1)
    ]
    people["nonmembers"] = releases.write(tmp_path / "twins", rows)
    found = copies(tmp_path, photographs(people["members"], 6), people)
    assert decide([found])[0].answer == verdict.Answer(
        FAIL, "", "6 of 6 released pictures copy photographs of 6 members"
    )
    assert found.tested is None


def test_a_photograph_that_two_members_have_is_verified(tmp_path):
    """Either space may name either of the two; that is no disagreement about the photograph."""
    rows = releases.patients("members", 30, 1, each=1)
    rows += [row | {"id": f"{row['id']}-2", "subject_id": f"{row['subject_id']}-2"} for row in rows]
    people = {
        "members": releases.write(tmp_path / "members", rows),
        "nonmembers": releases.people(tmp_path / "nonmembers", 25, 2, each=1),
    }
    assert copies(tmp_path, photographs(people["members"], 8), people).details["verified"] == 8


def test_copies_of_members_are_found_without_any_stranger(tmp_path):
    people = eyes(tmp_path, {"members": 30})
    *nearness, found = decide(asked(tmp_path, photographs(people["members"], 3), people))
    assert {each.answer.word for each in nearness} == {UNTESTED} and found.answer.word == FAIL
    none = decide([copies(tmp_path / "other", releases.eyes(10, 9), people)])[0]
    assert none.answer.word == UNTESTED and "--nonmembers" in none.answer.why


def test_a_part_of_the_released_pictures_is_said_to_be_a_part(tmp_path):
    people = eyes(tmp_path, {"members": 25, "nonmembers": 25})
    config = CONFIG.model_copy(update={"copies_searched": 12})
    found = asked(tmp_path, releases.eyes(30, 9), people, config)[-1]
    assert found.details["searched"] == 12
    assert any(note.startswith("12 of 30 released pictures were searched") for note in found.notes)


@pytest.mark.parametrize("question", [membership.RELEASED, linkage.QUESTIONS[1]])
def test_nearness_does_not_pass_beside_a_verified_copy(question):
    near = question._replace(tested=spread(0.45, 0.53))
    proof = evaluate_search((np.array([1, 0]), np.zeros(2, int)), (np.array([1, 0]), np.zeros(2, int)), 300)
    alone, beside = decide([near])[0].answer, decide([near, proof])[0].answer
    assert alone.word == PASS
    assert (
        beside.word == UNDECIDED and "1 of 300 released pictures copy photographs of 1 members" in beside.why
    )
    built = report.build(Inputs(Path("unused")), decide([near, proof]), CONFIG, "privacy audit")
    assert [words.reading(each, "zh").rpartition("；")[2] for each in built.results] == [
        "但发布图片中有已核实的副本，此攻击察觉不到", "300 张发布图片中有 1 张复制了 1 名成员的照片"]  # fmt: skip
    other = membership.GENERATOR._replace(tested=spread(0.45, 0.53))
    assert decide([other, proof])[0].answer.word == PASS  # asked of the generator, not of the pictures


def test_a_gate_does_not_overrule_what_is_certain():
    check = ValidityCheck("blind", True, "the groups differ")
    certain = QUESTION._replace(
        checks=(check,), certain="1 of 9 released pictures copy photographs of 1 members"
    )
    assert decide([certain])[0].answer.word == FAIL
    assert decide([certain._replace(certain="", tested=spread(-0.1, 0.1))])[0].answer.word == INVALID


# ---- below chance ----


def of(low: float, high: float, chance: float = 0.5, **more: bool) -> str:
    return verdict.leak_verdict(
        spread(low, high).estimate, 1.0, chance, chance, chance + 0.05, "AUC", **more
    ).word


def test_an_interval_wholly_below_chance_is_no_pass():
    """An attacker turns the sign."""
    assert of(0.438, 0.499) == UNDECIDED and of(0.438, 0.501) == PASS
    assert of(-0.09, -0.01, 0.0) == UNDECIDED and of(-0.09, 0.01, 0.0) == PASS
    assert of(-0.09, -0.01, 0.0, two_sided=False) == PASS
    answer = decide([membership.RELEASED._replace(tested=spread(0.438, 0.499))])[0].answer
    assert answer.word == UNDECIDED and "below chance" in answer.why


def test_words_that_tell_less_than_labels_pass():
    """That is no difference of groups which somebody could turn around."""
    question = Result("T7", "age from captions", "anyone", captions.BEYOND, spread(-0.2, -0.1))
    assert decide([question])[0].answer.word == PASS


def test_a_probe_below_chance_reveals_nothing_and_passes_nothing():
    """But R² below 0 is that of a probe which learnt nothing."""
    permuted = [0.45, 0.55] * 9
    area = verdict.inference_verdict(spread(0.40, 0.48).estimate, 1.0, permuted, 0.0, "auc")
    years = verdict.inference_verdict(spread(-0.2, -0.1).estimate, 1.0, [-0.05, 0.05] * 9, 0.0, "r2")
    assert area.word == UNDECIDED and "below chance" in area.why
    assert years.word == PASS


@pytest.mark.parametrize("scale", [AUC, DIFFERENCE])
def test_without_a_leak_below_chance_is_said_in_one_audit_of_forty(scale):
    said = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        groups = rng.normal(size=(2, 150))
        found = (
            inference.separation(*groups) if scale is AUC else inference.rate_difference(*(groups > 0))
        ).estimate
        said += found.high < scale.chance
    assert said / 400 <= 0.025 + 3 * (0.025 * 0.975 / 400) ** 0.5


# ---- numbers for people who know no statistics ----


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_statistic_of_the_catalogue_has_a_sentence(language):
    """A number without one would stand on the first page as it is; the years of T1 are not shown there."""
    asked = [
        each
        for row in threats.CATALOGUE
        if row.attack
        for each in row.attack().QUESTIONS
        if not each.attribute
    ]
    assert {each.scale.name for each in asked} == set(sentences.SENTENCES)
    for said in sentences.SENTENCES.values():
        text = said[language].format(value="1", low="2", high="3")
        assert "1" in text and "2" in text and "3" in text and "AUC" not in text


def test_the_first_page_says_numbers_in_sentences():
    """Of an AUC, of a count, and of none where a check says that the number is worth nothing."""
    few = STANDING_OUT._replace(margin=10.0)
    results = [
        Result("T3", "membership by a", "members", AUC, tested=spread(0.6, 0.7, 1e-6)),
        Result("T3", "the most exposed patients, by a", "members", few, tested=spread(2, 8.4)),
        Result(
            "T3",
            "membership by b",
            "members",
            AUC,
            tested=spread(0.8, 0.9),
            checks=(ValidityCheck("c", True, "why"),),
        ),
    ]
    made, spoiled = (
        report.build(Inputs(Path("unused")), decide(some), CONFIG, "privacy audit")
        for some in (results[:2], results[2:])
    )
    first = report.html(made).partition("</main>")[0]
    assert "right in 65.0 of 100 cases (60.0 to 70.0; guessing: 50)" in first
    assert "5 members stand out beyond chance (2 to 8)" in first
    assert "85.0" not in report.html(spoiled).partition("</main>")[0]
    chinese = report.html(made, "zh").partition("</main>")[0]
    assert "100 例中认对 65.0 例（60.0 至 70.0；乱猜：50）" in chinese
