"""Captions say what the labels say, no more, and can be read back."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.base.errors import UserError
from synth.data import captions
from synth.data.vocabulary import DISEASES, FINDING_KEYS, FLAGS, MODALITY_KEYS, READABILITY_KEYS

LANGS = ("zh", "en")
HEALTHY = dict.fromkeys(("dr_grade", *FLAGS), 0)
NORMAL = HEALTHY | {"findings": []}

bits = st.sampled_from((None, 0, 1))
rarely = st.sampled_from((None, 0, 0, 0, 1))
absences = st.sampled_from((None, 0, 0, 0))


def label_sets(flags):
    """Label sets whose diseases are drawn from `flags`; labels may also be missing."""
    values = {
        "dr_grade": st.one_of(flags, st.integers(0, 4)) if flags is not absences else flags,
        **dict.fromkeys(FLAGS, flags),
        **dict.fromkeys((*READABILITY_KEYS, "canary"), bits),
        "eye_side": st.sampled_from((None, "left", "right")),
        "modality": st.sampled_from((None, *MODALITY_KEYS)),
        "findings": st.none() | st.just([]) | st.lists(st.sampled_from(FINDING_KEYS), max_size=5),
    }
    return st.fixed_dictionaries({}, optional=values)


any_labels = st.one_of(label_sets(bits), label_sets(rarely), label_sets(absences))
seeds = st.integers(0, 2**64 - 1)


@given(any_labels, st.sampled_from(LANGS), seeds)
def test_every_caption_reads_back_as_what_it_states(labels, lang, seed):
    assert captions.parse(captions.write(labels, lang, seed)) == captions.stated(labels, lang, seed)


@given(any_labels, st.sampled_from(LANGS), seeds)
def test_a_caption_states_nothing_that_the_labels_do_not(labels, lang, seed):
    for key, value in captions.stated(labels, lang, seed).items():
        assert (set(value) == set(labels[key])) if key == "findings" else (value == labels[key]), key


@given(any_labels, st.sampled_from(LANGS), seeds)
def test_a_caption_keeps_back_no_positive_no_problem_and_no_mark(labels, lang, seed):
    told = captions.stated(labels, lang, seed)
    must = [key for key in ("dr_grade", *FLAGS, "findings") if labels.get(key)]
    must += [key for key in READABILITY_KEYS if labels.get(key) == 0]
    must += [key for key in ("canary",) if labels.get(key) is not None]
    must += [key for key in ("modality",) if labels.get(key) not in (None, "cfp")]
    assert set(must) <= set(told)


@given(any_labels, st.sampled_from(LANGS))
def test_each_variant_reads_back(labels, lang):
    for caption in captions.variants(labels, lang):
        captions.parse(caption)


@pytest.mark.parametrize("lang", LANGS)
def test_all_labels_at_once_read_back(lang):
    labels = dict.fromkeys(FLAGS, 1) | {"dr_grade": 4, "findings": list(reversed(FINDING_KEYS))}
    labels |= dict.fromkeys(READABILITY_KEYS, 0) | {"modality": "retcam", "canary": 0}
    for seed in range(50):
        told = captions.parse(captions.write(labels, lang, seed))
        assert told == labels | {"findings": list(FINDING_KEYS)}


@pytest.mark.parametrize(
    "sentence, labels",
    [
        ("疑似黄斑区域病变。", {"findings": ["macular_disease"]}),
        ("可见出血斑。", {"findings": ["haemorrhage"]}),
        ("疑似脉络膜视网膜病变，疑似黄斑区域病变。", {"is_crp": 1, "findings": ["macular_disease"]}),
        ("疑似高血压性视网膜病变（中度）。", {"is_htr": 1}),
        ("疑似青光眼。", {"is_gc": 1}),
    ],
)
def test_a_real_sentence_of_synfundus_is_read(sentence, labels):
    assert captions.parse(sentence) == labels


@pytest.mark.parametrize(
    "sentence", ["疑似青光眼。", "疑似脉络膜视网膜病变，疑似黄斑区域病变。", "可见出血斑。"]
)
def test_a_real_sentence_of_synfundus_is_written_too(sentence):
    assert sentence in captions.variants(captions.parse(sentence), "zh")


def test_width_case_and_space_do_not_matter():
    assert captions.parse("疑似糖尿病视网膜病变(中度), 可见出血斑.") == {
        "dr_grade": 2,
        "findings": ["haemorrhage"],
    }
    assert captions.parse("suspected GLAUCOMA") == {"is_gc": 1}


@pytest.mark.parametrize(
    "labels, zh, en",
    [
        ({}, "眼底照片。", "A fundus photograph."),
        ({"findings": []}, "眼底照片。", "A fundus photograph."),
        (NORMAL, "未见明显异常。", "No obvious abnormality."),
        (HEALTHY, "未见常见眼底疾病。", "No common fundus disease."),
        ({"dr_grade": 0}, "未见糖尿病视网膜病变。", "No diabetic retinopathy."),
        ({"is_gc": 0, "findings": []}, "未见青光眼。", "No glaucoma."),
        (NORMAL | {"is_gc": 1}, "疑似青光眼。", "Suspected glaucoma."),
        ({"dr_grade": 2}, "疑似糖尿病视网膜病变（中度）。", "Suspected diabetic retinopathy (moderate)."),
        ({"is_optic_disc_readable": 0}, "视盘不可读。", "The optic disc is not readable."),
        (NORMAL | {"canary": 0}, "未见明显异常，标记甲。", "No obvious abnormality, mark A."),
        (NORMAL | {"canary": 1}, "未见明显异常，标记乙。", "No obvious abnormality, mark B."),
    ],
)
def test_the_plainest_caption_is(labels, zh, en):
    assert captions.variants(labels, "zh")[0] == zh
    assert captions.variants(labels, "en")[0] == en


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("seed", range(30))
def test_a_normal_eye_is_stated_to_lack_all_eleven(lang, seed):
    told = captions.stated(NORMAL | {"eye_side": "left", "modality": "cfp"}, lang, seed)
    assert NORMAL.items() <= told.items()


@pytest.mark.parametrize("lang", LANGS)
def test_one_unknown_disease_forbids_the_normal_statement(lang):
    unknown = NORMAL | {"is_rvo": None}
    for seed in range(50):
        told = captions.parse(captions.write(unknown, lang, seed))
        assert len(told) == 3
        assert "is_rvo" not in told and set(told.values()) == {0}


@pytest.mark.parametrize("lang", LANGS)
def test_every_template_appears_and_every_absence_is_named_some_time(lang):
    labels = {"is_gc": 1, "eye_side": "left", "modality": "cfp"} | dict.fromkeys(READABILITY_KEYS, 1)
    written = {captions.write(labels, lang, seed) for seed in range(200)}
    assert written == set(captions.variants(labels, lang))
    assert len(written) == 6
    named = set().union(*(captions.stated(HEALTHY | {"is_gc": None}, lang, seed) for seed in range(200)))
    assert named == set(HEALTHY) - {"is_gc"}


@pytest.mark.parametrize("lang", LANGS)
def test_the_prompt_of_a_disease_is_its_caption(lang):
    """Zero-shot prompts filled with a term must be sentences that training has seen."""
    for disease in DISEASES:
        term = disease.zh if lang == "zh" else disease.en
        filled = [template.format(term) for template in captions.templates(lang)]
        assert filled == list(captions.variants({disease.key: 1}, lang))


def test_typical_chinese_captions_fit_the_text_encoder():
    """52 tokens, of which two are begin and end; a Chinese character is one token.  Up to two positives."""
    side = {"eye_side": "left", "modality": "cfp"} | dict.fromkeys(READABILITY_KEYS, 1)
    typical = [side | {"dr_grade": 4, key: 1} for key in FLAGS]
    typical += [side | {one: 1, other: 1} for one in FLAGS for other in FLAGS]
    typical += [side | {one: 1, "findings": [finding]} for one in FLAGS for finding in FINDING_KEYS]
    typical += [side | NORMAL, side | HEALTHY, side | {"is_amd": 0, "is_htr": 0, "dr_grade": 0}]
    assert max(len(text) for labels in typical for text in captions.variants(labels, "zh")) <= 50


def test_a_caption_is_the_same_in_another_process():
    labels = {"is_gc": 1, "findings": ["drusen"], "eye_side": "left"}
    code = f"from synth.data import captions as c; print([c.write({labels}, 'en', s) for s in range(9)])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str([captions.write(labels, "en", seed) for seed in range(9)])


@pytest.mark.parametrize(
    "caption, named",
    [
        ("疑似青光眼，疑似感冒。", "'疑似感冒'"),
        ("疑似糖尿病视网膜病变。", "'疑似糖尿病视网膜病变'"),
        ("suspected glaucoma with cough", "'cough'"),
        ("左眼，右眼。", "'右眼' contradicts"),
        ("未见明显异常，可见出血斑。", "'可见出血斑' contradicts"),
        ("未见青光眼，疑似青光眼。", "'疑似青光眼' contradicts"),
        (" 。", "no words"),
    ],
)
def test_an_unreadable_caption_is_refused_by_the_part(caption, named):
    with pytest.raises(UserError, match=named):
        captions.parse(caption)


def test_a_label_or_language_outside_the_vocabulary_is_refused():
    with pytest.raises(UserError, match="is_gc=2"):
        captions.write({"is_gc": 2}, "zh", 0)
    with pytest.raises(UserError, match="unknown language 'fr'"):
        captions.write({}, "fr", 0)  # pyright: ignore[reportArgumentType]
