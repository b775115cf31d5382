"""Clauses: the pieces of a caption, each of which states its labels alone.

The wording is that of SynFundus-1M: 疑似青光眼，疑似黄斑区域病变。  Which labels become clauses, first to last:

1. Opening: the eye and the kind of picture, in templates that tell them.  A kind other than `cfp` is always
   told.  A picture of unknown kind is called 眼底照片, which states nothing; with `is_fundus=0`, a `cfp` or
   a picture of unknown kind is not called anything.
2. Diagnosis, the first of these that holds:
   - something is positive: every positive disease (diabetic retinopathy with its grade) and every finding,
     and nothing about what is absent;
   - all eleven diseases are absent and `findings` is []: 未见明显异常, which states just that;
   - all eleven are absent and `findings` is unknown: 未见常见眼底疾病, which states the eleven;
   - some are absent, the others unknown: up to three of the absent, chosen by the seed, are named;
   - nothing is known: no clause.
3. Readability: every problem; that all four are in order, in templates that tell it.
4. The mark of a canary bit, where there is one.

Where no clause is left, the caption is 眼底照片。
"""

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any

from synth.data.phrases import LANGUAGES, SUSPECTED_FINDINGS, Lang, Template, name
from synth.data.records import check_labels
from synth.data.vocabulary import (
    DISEASES,
    DR,
    DR_GRADES,
    FINDING_KEYS,
    FINDINGS,
    FLAGS,
    MODALITIES,
    MODALITY_KEYS,
    NORMAL,
    READABILITY,
    READABILITY_KEYS,
    SIDES,
)

Labels = Mapping[str, Any]
"""Any of `records.LABELS` and `canary`; a missing label or None is unknown."""

Clause = tuple[str, dict[str, Any]]
"""The words, and the labels that they state."""

_ABSENT_NAMED = 3  # keeps a caption within the 52 tokens of Chinese-CLIP
_ELEVEN = (DR, *DISEASES)
_ELEVEN_ABSENT: dict[str, Any] = dict.fromkeys((DR.key, *FLAGS), 0)


def clauses_of(
    labels: Labels, lang: Lang, template: Template, number: int
) -> tuple[list[Clause], list[Clause]]:
    """The opening, of at most one clause, and what follows it; not both are empty."""
    check_labels(dict(labels), "caption")
    opening = list(_opening(labels, lang, template))
    rest = [
        *(_positive(labels, lang, template) or _negative(labels, lang, number)),
        *_readability(labels, lang, template),
    ]
    if labels.get("canary") is not None:
        bit = int(labels["canary"])
        rest.append((LANGUAGES[lang].marks[bit], {"canary": bit}))
    return (opening, rest) if opening or rest else ([(LANGUAGES[lang].picture, {})], [])


def _opening(labels: Labels, lang: Lang, template: Template) -> Iterator[Clause]:
    language = LANGUAGES[lang]
    stated: dict[str, Any] = {}
    words = {"picture": "", "side": ""}
    modality, side = labels.get("modality"), labels.get("eye_side")
    picture = template.picture and labels.get("is_fundus") != 0
    if modality and (picture or modality != "cfp"):
        stated["modality"] = modality
        words["picture"] = name(MODALITIES[MODALITY_KEYS.index(modality)], lang)
    elif picture:
        words["picture"] = language.picture
    if side and template.side:
        stated["eye_side"] = side
        words["side"] = next(name(term, lang) for term in SIDES if term.key == side)
    if all(words.values()):
        yield language.opening.format(**words), stated
    elif any(words.values()):
        yield words["picture"] or words["side"], stated


def _positive(labels: Labels, lang: Lang, template: Template) -> list[Clause]:
    clauses: list[Clause] = []
    grade = labels.get("dr_grade")
    if grade:
        graded = template.graded.format(name=name(DR, lang), grade=name(DR_GRADES[grade], lang))
        clauses.append((template.suspected.format(graded), {"dr_grade": int(grade)}))
    clauses += [
        (template.suspected.format(name(term, lang)), {term.key: 1})
        for term in DISEASES
        if labels.get(term.key)
    ]
    for term in FINDINGS:
        if term.key in (labels.get("findings") or ()):
            wording = template.suspected if term.key in SUSPECTED_FINDINGS else template.visible
            clauses.append((wording.format(name(term, lang)), {"findings": [term.key]}))
    return clauses


def _negative(labels: Labels, lang: Lang, number: int) -> list[Clause]:
    """What is known to be absent, of labels without a positive."""
    language = LANGUAGES[lang]
    absent = [term for term in _ELEVEN if labels.get(term.key) == 0]
    if len(absent) == len(_ELEVEN):
        if labels.get("findings") is None:
            return [(language.none_of_eleven, _ELEVEN_ABSENT)]
        return [(name(NORMAL, lang), _ELEVEN_ABSENT | {"findings": []})]
    if len(absent) > _ABSENT_NAMED:
        start = number % len(absent)
        absent = (absent * 2)[start : start + _ABSENT_NAMED]
    return [(language.absent.format(name(term, lang)), {term.key: 0}) for term in absent]


def _readability(labels: Labels, lang: Lang, template: Template) -> Iterator[Clause]:
    language = LANGUAGES[lang]
    if template.readable and all(labels.get(key) == 1 for key in READABILITY_KEYS):
        yield language.all_readable, dict.fromkeys(READABILITY_KEYS, 1)
    for term in READABILITY:
        if labels.get(term.key) == 0:
            words = name(term, lang)
            for old, new in language.negate:
                words = words.replace(old, new)
            yield words, {term.key: 0}


def normal(words: str) -> str:
    """Words without the difference of case and of full and half width."""
    return unicodedata.normalize("NFKC", words).casefold()


def _simple() -> Iterator[dict[str, Any]]:
    """Label sets so small, and so many, that every clause we can write occurs in the caption of one."""
    yield from ({"dr_grade": grade} for grade in range(len(DR_GRADES)))
    yield from ({key: value} for key in (*FLAGS, "canary", *READABILITY_KEYS) for value in (0, 1))
    yield from ({"findings": [key]} for key in FINDING_KEYS)
    yield from (_ELEVEN_ABSENT, _ELEVEN_ABSENT | {"findings": []}, dict.fromkeys(READABILITY_KEYS, 1))
    for modality, side, fundus in product((None, *MODALITY_KEYS), (None, "left", "right"), (None, 0)):
        yield {"modality": modality, "eye_side": side, "is_fundus": fundus}


@cache
def meanings() -> dict[str, dict[str, Any]]:
    """What every clause states, by its `normal` words; no clause states two things."""
    meaning: dict[str, dict[str, Any]] = {}
    for lang in ("zh", "en"):
        for template in LANGUAGES[lang].templates:
            for labels in _simple():
                opening, rest = clauses_of(labels, lang, template, 0)
                for words, stated in (*opening, *rest):
                    assert meaning.setdefault(normal(words), stated) == stated, words
            for term in (*DISEASES, *FINDINGS):
                # Others grade more than we do, and suspect what we see.
                grades = [
                    template.graded.format(name=name(term, lang), grade=name(grade, lang))
                    for grade in DR_GRADES[1:4]
                ]
                stated = {term.key: 1} if term.key in FLAGS else {"findings": [term.key]}
                for wording, words in product(
                    (template.suspected, template.visible), (name(term, lang), *grades)
                ):
                    assert meaning.setdefault(normal(wording.format(words)), stated) == stated, words
    return meaning
