"""Captions, label combinations and case mix: what they tell of the patients behind a release, and what not."""

from collections import Counter
from pathlib import Path

import caption_corpus
import numpy as np
import pytest
from scipy import stats as distributions

from privacy.attacks import caption_list, property_inference
from privacy.attacks import captions as attack
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions.decision import decide
from privacy.scores import combinations, identifiers, ngrams
from synth.data import captions, clauses, images, records, vocabulary

CONFIG = AuditConfig(permutations=99, bootstrap=200, detection_rounds=50)


# ---- who somebody is ----


@pytest.mark.parametrize(
    "caption, kinds",
    [
        ("65岁男，疑似青光眼。", {"age", "sex"}),
        ("六十五岁女性，未见青光眼。", {"age", "sex"}),
        ("A 65-year-old man with suspected glaucoma.", {"age", "sex"}),
        ("Female, aged 71, 2/3 of the disc", {"age", "sex"}),
        ("汉族，糖尿病视网膜病变", {"race"}),
        ("a white woman", {"race", "sex"}),
        ("2023年5月复查", {"date"}),
        ("seen on March 3, 2020", {"date"}),
        ("05/12/2021", {"date"}),
        ("北京同仁医院", {"place"}),
        ("Mayo Clinic", {"place"}),
        ("病历号：12", {"number"}),
        ("13812345678", {"phone"}),
        ("电话：138-1234-5678", {"phone"}),
        ("1950年生", {"year of birth"}),
        ("72F, OD", {"age", "sex"}),
        ("七旬老太", {"age", "sex"}),
        ("93岁", {"age", "age over 89"}),
        ("同仁眼科，白内障", {"place"}),
        ("Moorfields Eye Unit", {"place"}),
        ("Tibetan patient", {"race"}),
        ("Severe DR. Macular edema is present.", set()),
        ("MS related optic neuritis", set()),
        ("患者：黄斑水肿", set()),
        ("bleeding at 2-5-11 o'clock", set()),
        ("[OD] drusen", set()),
        ("患者：王小明", {"name"}),
        ("reported by Dr. Smith", {"name"}),
        ("[NAME] has glaucoma", {"mark of removal"}),
        ("Ａｇｅ： ６５", {"age"}),
        ("clinical signs of age-related macular degeneration", set()),
        ("黄斑区域病变，视盘色白", set()),
        ("white spots on a black ground, grade 3 of 4", set()),
    ],
)
def test_identifiers_are_told_by_kind(caption, kinds):
    assert identifiers.kinds(caption) == kinds


OTHERS = {
    "name": (
        "患者周明，右眼", "患者阿卜杜拉，左眼", "王建国老人左眼", "由周杰医师阅片", "家属李梅陪同", "受检人：赵六",
        "J. Smith, severe NPDR", "Mrs. O'Brien with AMD", "Seen by Prof. Dr. Müller", "Nurse Kelly noted drusen",
        "María García López, left eye", "Nguyen Thi Hoa, right eye",
    ),
    "age": ("65/M, AMD", "M/65 with drusen", "F, 72", "early 60s"),
    "date": ("21年3月就诊", "seen on March 5th", "Mar 5, OD", "on the 5th of March", "12 August"),
    "year of birth": ("80后，高度近视",),
    "place": (
        "12 Baker St, London", "221B Baker Street", "lives in Springfield", "Ames, IA 50010", "Joslin Diabetes Center",
        "Aravind Eye Care System", "seen at Bascom Palmer", "浙江杭州", "四川人，农民",
    ),
    "number": (
        "SSN 123-45-6789", "Hosp no 12345", "NHS 943 476 5919", "Medicare ID 1EG4-TE5-MK73", "passport E1234567",
        "微信号 zhangwei1985", "weibo @zhangwei", "车牌京A12345", "sent from 192.168.1.1", "file ZhangWei_OD.jpg",
    ),
    "e-mail": ("zhangwei at gmail dot com",),
    "": (
        "周边视网膜", "周围，可见渗出", "孔源性视网膜脱离", "石蜡，样视盘", "Müller cells", "Leber's optic neuropathy", "AMD in the elderly",
        "OCT 5 mm scan", "F/5 mm aperture", "ICD-10 H36.0", "Image of Good Quality", "Goldmann-Favre syndrome", "C/D 0.6", "20/200",
        "3个月后复查", "lesions may 2 fields", "ETDRS level 53", "Zone II stage 3+", "Von Hippel-Lindau disease", "6/60",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_others_of_a_kind_are_told_and_terms_like_them_are_not(kind):
    wrong = {
        text: found
        for text in OTHERS[kind]
        for found in [identifiers.kinds(text)]
        if (kind not in found if kind else found)
    }
    assert wrong == {}


def test_no_caption_of_ours_is_taken_for_a_person():
    groups = (vocabulary.DISEASES, vocabulary.FINDINGS, vocabulary.READABILITY, vocabulary.MODALITIES,
              vocabulary.SIDES, vocabulary.DR_GRADES, (vocabulary.DR, vocabulary.NORMAL))  # fmt: skip
    terms = [words for group in groups for term in group for words in (term.zh, term.en, *term.synonyms)]
    assert not [words for words in (*clauses.meanings(), *terms) if identifiers.kinds(words)]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1])
@pytest.mark.parametrize(
    "words, kinds, word", [("65岁男，", {"age", "sex"}, "INCONCLUSIVE"), ("a.b@c.org, ", {"e-mail"}, "FAIL")]
)
def test_each_planted_identifier_is_counted(share, words, kinds, word):
    rows = [("疑似青光眼。", "Suspected glaucoma.")] * 1000
    planted = int(1000 * share)
    for place in range(planted):
        rows[place] = (f"{words}疑似青光眼。", None)  # type: ignore[assignment]
    found = identifiers.count(rows)
    result = attack.evaluate_identifiers(found)
    assert found.stating == planted and found.by_kind == (dict.fromkeys(kinds, planted) if planted else {})
    answer = decide([result])[0].answer
    assert answer.word == (word if planted else "PASS within margin")
    assert (
        f"{planted:,} of 1,000" in answer.why
        if planted
        else "no identifier of these kinds found in 1,000 captions" in answer.why
    )
    assert words not in str(result) and "青光眼" not in str(result)


@pytest.mark.parametrize("captions", [(None, None), ("", " \n")])
def test_a_release_without_captions_passes_nothing(captions):
    """A search that had nothing to search is no answer."""
    [decision] = decide([attack.evaluate_identifiers(identifiers.count([captions] * 1000))])
    assert decision.answer.word == "NOT TESTABLE" and "none of these records has one" in decision.answer.why


def test_records_without_a_caption_do_not_make_the_search_look_larger():
    found = identifiers.count([("疑似青光眼。", None)] * 50 + [(None, None)] * 950)
    assert (
        found.records == 50 and decide([attack.evaluate_identifiers(found)])[0].answer.word == "INCONCLUSIVE"
    )


def test_few_records_without_an_identifier_prove_little():
    found = identifiers.count([("疑似青光眼。", None)] * 50)
    assert decide([attack.evaluate_identifiers(found)])[0].answer.word == "INCONCLUSIVE"


@pytest.mark.parametrize(
    "caption, certain",
    [
        ("MRN 0048213, glaucoma", True),
        ("身份证 11010519491231002X，青光眼", True),  # the example of GB 11643
        ("身份证 110105194912310021，青光眼", False),
        ("call +44 20 7946 0958", True),
        ("SSN 123-45-6789", True),
        ("Hospital number A12345, AMD", True),
        ("zhangwei at gmail dot com", True),
        ("weibo @zhangwei", False),
        ("13812345678", False),  # may be the name of a file
        ("王小明，左眼青光眼", False),
    ],
)
def test_certain_is_what_can_be_nothing_else(caption, certain):
    found = identifiers.hits(caption)
    assert found and any(hit.certain for hit in found) == certain


def test_the_search_finds_what_its_documentation_says():
    """`docs/audit.md` states these figures of `caption_corpus`; they may rise."""
    told: dict[tuple[str, bool], list[bool]] = {}
    for caption in caption_corpus.captions():
        told.setdefault((caption.language, bool(caption.kind)), []).append(
            bool(identifiers.kinds(caption.text))
        )
    assert sum(map(len, told.values())) == 221
    assert {key: sum(found) for key, found in told.items() if key[1]} == {("zh", True): 69, ("en", True): 71}
    assert not [any(found) for key, found in told.items() if not key[1] and any(found)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_names_in_other_sentences_are_found_as_often(seed):
    found = [
        bool(identifiers.kinds(caption.text)) for caption in caption_corpus.captions(seed) if caption.kind
    ]
    assert sum(found) / len(found) > 0.9


def test_the_owner_is_shown_what_was_found_and_nobody_else(tmp_path):
    rows = [
        records.row(id=f"r{i}", subject_id=f"r{i}", image={"bytes": images.encode(np.zeros((8, 8, 3), np.uint8)), "path": None},
                    caption_en="=Patient Zhang Wei, glaucoma" if i == 3 else "mail a@b.org" if i == 4 else "Suspected glaucoma.")
        for i in range(6)
    ]  # fmt: skip
    records.write_records(tmp_path / "set", rows, {"kind": "test"})
    listed = caption_list.write(tmp_path, People(tmp_path / "set"))
    assert listed and listed.stat().st_mode & 0o777 == 0o600
    lines = listed.read_text().splitlines()
    assert lines[1].startswith("r4,en,e-mail,yes,") and lines[2].startswith(
        "r3,en,name,no,\"'=Patient Zhang Wei"
    )
    records.write_records(
        tmp_path / "plain", [{**row, "caption_en": "Suspected glaucoma."} for row in rows], {"kind": "test"}
    )
    (tmp_path / "other").mkdir()
    assert caption_list.write(tmp_path / "other", People(tmp_path / "plain")) is None


# ---- words beyond labels ----


def told(people: int, slip: float, seed: int) -> tuple[list[list[str]], np.ndarray, np.ndarray, np.ndarray]:
    """Captions of two photographs each; a disease that goes with the attribute; some captions let it slip."""
    rng = np.random.default_rng(seed)
    older = rng.random(people) < 0.5
    sick = rng.random(people) < np.where(older, 0.6, 0.4)
    zh, en, patient = [], [], np.repeat(np.arange(people), 2)
    for place in patient:
        labels = {"is_amd": int(sick[place]), "is_gc": int(rng.random() < 0.3)}
        texts = [captions.write(labels, lang, int(rng.integers(1000))) for lang in ("zh", "en")]
        if rng.random() < slip:
            texts[0] = ("老年人，" if older[place] else "年轻人，") + texts[0]
        zh.append(texts[0])
        en.append(texts[1])
    return [zh, en], patient, older[:, None], sick[:, None]


def judged(slip: float, seed: int = 0, people: int = 160):
    texts, patient, older, sick = told(people, slip, seed)
    words = ngrams.scores(ngrams.of_captions(texts, patient), older, 5, CONFIG.permutations, seed)
    labels = ngrams.scores(sick.astype(float) @ np.ones((1, 1)), older, 5, CONFIG.permutations, seed)
    return attack.evaluate_words("age", words, labels, older, CONFIG)


def test_what_words_let_slip_is_found_and_more_of_it_more_clearly():
    values = [judged(slip).tested.estimate.value for slip in (0.0, 0.3, 1.0)]  # type: ignore[union-attr]
    assert values == sorted(values) and values[0] < 0.05 < 0.2 < values[-1]
    assert decide([judged(1.0)])[0].answer.word == "REVEALS"  # of anyone, not of members


def test_words_that_tell_what_labels_tell_are_no_finding():
    """The disease goes with age, so captions predict age: that is medicine."""
    found = [judged(0.0, seed, 100).tested.p < 0.05 for seed in range(20)]  # type: ignore[union-attr]
    assert sum(found) <= 3


def test_a_probe_of_permuted_people_rejects_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = []
    for seed in range(200):
        features = np.repeat(rng.normal(size=(30, 6)), 2, axis=0)  # ties between people
        truth = rng.random((60, 1)) < 0.3
        if 2 <= truth.sum() <= 58:
            found.append(ngrams.scores(features, truth, 5, 60, seed).p < 0.05)
    assert np.mean(found) <= 0.05 + 3 * (0.05 * 0.95 / len(found)) ** 0.5


def test_a_language_nobody_wrote_is_no_obstacle():
    assert ngrams.of_captions([["疑似青光眼。"], [None]], np.array([0])).shape[0] == 1
    assert ngrams.of_captions([[None], ["Suspected glaucoma."]], np.array([0])).shape[0] == 1


# ---- rare combinations ----


def some_labels(n: int, rng: np.random.Generator) -> list[tuple]:
    return [
        tuple(each) for each in (rng.random((n, 8)) < [0.5, 0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.02]).astype(int)
    ]


def test_a_release_that_repeats_rare_combinations_of_members_fails():
    rng = np.random.default_rng(1)
    own, others = some_labels(400, rng), some_labels(400, rng)
    patient = np.arange(400)
    shares = []
    for copied in (0, 100, 400):
        released = own[:copied] + [(0,) * 8] * 100
        members, nonmembers = combinations.repeated(released, own, patient, others, patient)
        result = attack.evaluate_rare(members, nonmembers)
        assert result.tested
        shares.append(result.tested.estimate.value)
    assert shares == sorted(shares) and shares[0] == 0
    assert decide([result])[0].answer.word == "FAIL"
    turned = attack.evaluate_rare(*combinations.repeated(released, others, patient, own, patient))
    assert turned.tested and turned.tested.estimate.value == pytest.approx(-shares[-1])


def test_a_release_of_combinations_that_many_share_repeats_none():
    rng = np.random.default_rng(2)
    own, others = some_labels(300, rng), some_labels(300, rng)
    common = [each for each, n in Counter(own).items() if n >= combinations.RARE]
    members, nonmembers = combinations.repeated(common, own, np.arange(300), others, np.arange(300))
    assert not members.any() and not nonmembers.any()


def test_a_release_of_strangers_to_both_arms_is_no_finding():
    """Exact, so never above its level; two photographs per patient."""
    found = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        patient = np.repeat(np.arange(60), 2)
        groups = [some_labels(120, rng) for _ in range(3)]
        result = attack.evaluate_rare(
            *combinations.repeated(groups[2], groups[0], patient, groups[1], patient)
        )
        assert result.tested
        found.append(result.tested.p < 0.05)
    assert np.mean(found) <= 0.05


def test_the_p_of_rare_combinations_is_that_of_dealing_membership_anew():
    members, nonmembers = np.arange(20) < 9, np.arange(25) < 4
    result = attack.evaluate_rare(members, nonmembers)
    pooled = np.concatenate([members, nonmembers])
    p = distributions.hypergeom.sf(8, len(pooled), int(pooled.sum()), len(members))
    assert result.tested and result.tested.p == pytest.approx(p)


# ---- case mix ----


def cohort_of(people: int, seed: int, release: str) -> tuple[property_inference.Mix, np.ndarray]:
    rng = np.random.default_rng(seed)
    share = np.array([0.5, 0.3, 0.2, 0.1, 0.4, 0.05])
    values = (rng.random((2 * people, 6)) < share).astype(float)
    is_member = np.arange(2 * people) < people
    shares = {
        "members": values[is_member].mean(axis=0),
        "others": (rng.random((people, 6)) < share).mean(axis=0),
    }
    return property_inference.Mix(shares[release], values, np.arange(6)), is_member


def test_a_release_with_the_case_mix_of_its_members_is_found():
    for seed in range(3):
        result = property_inference.evaluate(*cohort_of(300, seed, "members"), 199, seed)
        assert result.tested and result.tested.estimate.low > 0 and result.tested.p < 0.05
        assert result.panel == "anyone" and "hospital" in result.notes[0]


def test_a_release_with_the_case_mix_of_other_people_is_no_finding():
    found = [
        property_inference.evaluate(*cohort_of(40, seed, "others"), 99, seed).tested.p < 0.05  # type: ignore[union-attr]
        for seed in range(300)
    ]  # type: ignore[union-attr]
    assert np.mean(found) <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_distances_are_total_variation():
    found = property_inference.Mix(np.array([0.5, 0.5, 0.0, 0.2]), np.zeros((1, 4)), np.array([0, 0, 0, 1]))
    apart = property_inference.distances(found, np.array([0.25, 0.5, 0.25, 0.5]))
    assert apart == pytest.approx((0.25 + 0.3) / 2)


# ---- from records ----


def group(folder: Path, name: str, seed: int, count: int, slip: bool = False) -> Path:
    """Two photographs each of `count` people, whose rare labels come in many combinations."""
    rng = np.random.default_rng(seed)
    made = []
    for place in range(count):
        sex, age = "FM"[int(rng.integers(2))], float(rng.integers(30, 80))
        flags = {key: int(rng.random() < 0.3) for key in vocabulary.FLAGS[:6]}
        for eye in ("left", "right"):
            labels = flags | {
                "dr_grade": int(rng.integers(3)),
                "eye_side": eye,
                "findings": ["drusen"] * (place % 7 == 0),
            }
            texts = {f"caption_{lang}": captions.write(labels, lang, place) for lang in ("zh", "en")}
            if slip and place % 10 == 0:
                texts["caption_zh"] = "65岁女，" + texts["caption_zh"]
            picture = images.encode(rng.integers(0, 256, (16, 16, 3), np.uint8))
            made.append(records.row(
                id=f"{name}-{place}-{eye}", subject_id=f"{name}-{place}", image={"bytes": picture, "path": None},
                sex=sex, age=age, source="test", **texts, **labels,
            ))  # fmt: skip
    records.write_records(folder / name, made, {"kind": name}, (1, 0, 0))
    return folder / name


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> tuple[People, People, Path]:
    folder = tmp_path_factory.mktemp("arms")
    return (
        *(People(group(folder, name, seed, 60)) for seed, name in enumerate(("members", "strangers"))),
        folder,
    )  # type: ignore[return-value]


def test_without_a_release_nothing_is_testable(tmp_path):
    results = attack.attack(Inputs(tmp_path), CONFIG)
    assert [each.missing.startswith("needs --") for each in results] == [True] * 3
    assert {each.answer.word for each in decide(results)} == {"NOT TESTABLE"}


def test_a_release_that_copies_fails_and_says_nothing_of_anybody(groups, tmp_path):
    members, nonmembers, folder = groups
    copied = People(group(folder, "copied", 0, 60, slip=True))  # the members' seed
    inputs = Inputs(tmp_path, synthetic=copied, members=members, nonmembers=nonmembers)
    results = [*attack.attack(inputs, CONFIG), *property_inference.attack(inputs, CONFIG)]
    words = {each.result.attack: each.answer.word for each in decide(results)}
    assert words["direct identifiers in captions"] == "INCONCLUSIVE"  # somebody's age and sex, not who it is
    assert words["rare label combinations"] == "FAIL"
    assert words["age from captions"] != "FAIL" and words["sex from captions"] != "FAIL"
    assert words["property inference: composition of the cohort"] in ("FAIL", "REVEALS")
    rare = next(each for each in results if each.attack == "rare label combinations")
    assert (
        rare.details["of_one_member"] > 0
        and sum(rare.details[name] for name in ("of_nobody", "of_one_member", "of_a_few_members"))
        <= rare.details["released"]
    )
    assert "65岁" not in str(results) and "members-1" not in str(results)


def test_a_release_of_other_people_does_not_fail(groups, tmp_path):
    members, nonmembers, folder = groups
    inputs = Inputs(
        tmp_path, synthetic=People(group(folder, "others", 7, 60)), members=members, nonmembers=nonmembers
    )
    results = [*attack.attack(inputs, CONFIG), *property_inference.attack(inputs, CONFIG)]
    assert "FAIL" not in {each.answer.word for each in decide(results)}
