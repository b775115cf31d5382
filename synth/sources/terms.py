"""What people write in a cell -> what it means in the vocabulary: names, keys and synonyms in both languages."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple, TypeVar

from synth.data.vocabulary import (
    DISEASES,
    DR,
    DR_GRADES,
    FINDINGS,
    MODALITIES,
    NORMAL,
    RACES,
    SEXES,
    SIDES,
    Term,
)

T = TypeVar("T")

UNKNOWN = frozenset(
    ("", "nan", "na", "n/a", "n.a.", "#n/a", "none", "null", "nil", "-", "--", "—", "——", "/", "\\", "?", ".", "...", "_", "unknown",
     "unk", "not known", "not available", "not stated", "not recorded", "undetermined", "missing", "anonymous", "anonymized",
     "anonymised", "不详", "未知", "不明", "未查", "未检", "未填", "未记录", "未说明", "缺失", "保密", "匿名", "未知的性别", "未说明的性别")
)  # fmt: skip
"""What a cell without information holds, folded."""

YES = frozenset(("1", "yes", "y", "true", "t", "positive", "pos", "present", "+", "是", "有", "阳性"))
NO = frozenset(("0", "no", "n", "false", "f", "negative", "neg", "absent", "否", "无", "阴性"))
SPLIT_NAMES = {"train": "train", "training": "train", "训练": "train", "训练集": "train",
               "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
               "验证": "validation", "验证集": "validation",
               "test": "test", "testing": "test", "测试": "test", "测试集": "test"}  # fmt: skip
"""What others call a split -> what records call it."""
_MORE = {
    "sex": {"♂": "M", "♀": "F"},
    "eye_side": {"右侧": "right", "右眼(od)": "right", "od(右眼)": "right", "右眼od": "right",
                 "左侧": "left", "左眼(os)": "left", "os(左眼)": "left", "左眼os": "left"},
}  # fmt: skip
"""Column -> what tables write there and no term has as its synonym, folded -> key."""


class Meaning(NamedTuple):
    """What a word of a diagnosis says."""

    labels: Mapping[str, int | None] = {}
    """Diseases with 0, 1 or a grade; null where the word leaves one open."""
    findings: tuple[str, ...] = ()
    normal: bool = False
    """Everything is as it should be."""


def fold(text: str) -> str:
    """A text as it is compared: full-width signs as narrow ones, lower case, one space, one spelling."""
    text = unicodedata.normalize("NFKC", text).casefold()
    for other, spelling in (("oedema", "edema"), ("haemorrhag", "hemorrhag"), ("non-prolif", "nonprolif")):
        text = text.replace(other, spelling)
    text = re.sub(r"(?<=[a-z])\.(?=[a-z]|$|\))|。$", "", text)  # O.D., normal.
    return " ".join(re.sub(r"(?<=\w)[-_](?=\w)", " ", text).split())


def is_unknown(text: str) -> bool:
    """Whether a cell says that nothing is known."""
    return unicodedata.normalize("NFKC", text).casefold().strip() in UNKNOWN or text.strip() in UNKNOWN


@cache
def key_of(column: str, text: str) -> str | None:
    """The key of `sex`, `eye_side`, `modality`, `race`, `dr_grade` or `findings` that a text names; None for none."""
    return _find(_index(column), text)


@cache
def meaning_of(text: str) -> Meaning | None:
    """What the vocabulary knows a word of a diagnosis to say; None where it does not know it."""
    return _find(_meanings(), text)


def names(terms: Iterable[Term]) -> dict[str, str]:
    """Folded name or synonym -> key."""
    found: dict[str, str] = {}
    for term in terms:
        for word in (term.key, term.zh, term.en, *term.synonyms):
            found.setdefault(fold(word), term.key)
    return found


def _find(index: Mapping[str, T], text: str) -> T | None:
    word = fold(text)
    if word in index or not re.fullmatch(r"[a-z ]+s", word):
        return index.get(word)
    return index.get(word[:-1])


@cache
def _index(column: str) -> dict[str, str]:
    if column == "dr_grade":
        return _grades() | names(DR_GRADES)
    terms = {"sex": SEXES, "eye_side": SIDES, "modality": MODALITIES, "race": RACES, "findings": FINDINGS}
    return names(terms[column]) | _MORE.get(column, {})


@cache
def _grades() -> dict[str, str]:
    """The grades as names of a disease: `moderate nonproliferative diabetic retinopathy`, `增殖性糖尿病视网膜病变`."""
    found = {}
    for term in DR_GRADES:
        for word in (term.zh, term.en, *term.synonyms):
            if re.search("retinopathy|视网膜病变|dr$", word):
                found[fold(word)] = term.key
            elif term.key != "0":
                joined = {
                    f"{word} {DR.en}",
                    f"{DR.en} {word}",
                    f"{word}{DR.zh}",
                    f"{DR.zh}{word}",
                    f"{word} dr",
                }
                stages = {each.replace("期糖", "糖") for each in joined} | {
                    each.replace("期糖", "性糖") for each in joined
                }
                found |= dict.fromkeys(map(fold, joined | stages), term.key)
    return found


@cache
def _meanings() -> dict[str, Meaning]:
    found = {word: Meaning(normal=True) for word in names([NORMAL])}
    found |= {word: Meaning({DR.key: None}) for word in names([DR])}
    found |= {word: Meaning({DR.key: int(grade)}) for word, grade in _grades().items()}
    found |= {word: Meaning(findings=(key,)) for word, key in names(FINDINGS).items()}
    return found | {word: Meaning({key: 1}) for word, key in names(DISEASES).items()}
