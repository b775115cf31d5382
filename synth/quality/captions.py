"""What captions say, in both languages: how many there are, how they are worded, and whether they tell the labels."""

import logging
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from synth.base.errors import UserError
from synth.base.stats import wilson
from synth.classifier.targets import TARGETS, targets
from synth.data.captions import parse
from synth.data.phrases import Lang, name
from synth.data.records import LABELS, SPLITS, read_table
from synth.data.vocabulary import (
    DISEASES,
    DR,
    DR_GRADES,
    FINDINGS,
    FLAGS,
    MODALITIES,
    NORMAL,
    READABILITY,
    SIDES,
    Term,
)

_DICTIONARY = Path(__file__).parent / "ophthalmic.txt"
_MASKS: tuple[tuple[str, tuple[Term, ...]], ...] = (
    ("disease", (DR, *DISEASES)),
    ("finding", FINDINGS),
    ("eye", SIDES),
    ("picture", MODALITIES),
    ("grade", DR_GRADES[1:]),
)
_TOP = 10


def describe(folder: Path, max_count: int, seed: int) -> dict[str, Any]:
    """The caption report of records, all splits; word counts and readings back on at most `max_count` of them."""
    table = read_table(folder, SPLITS, ["caption_zh", "caption_en", *LABELS])
    chosen = np.sort(np.random.default_rng(seed).permutation(len(table))[:max_count])
    drawn = table.take(pa.array(chosen)).to_pylist()
    return {
        "n": len(table),
        "read": len(drawn),
        "languages": {lang: _language(table[f"caption_{lang}"], drawn, lang) for lang in ("zh", "en")},
        "balance": _balance(table),
    }


def _language(column: pa.ChunkedArray, drawn: list[dict[str, Any]], lang: Lang) -> dict[str, Any]:
    captioned = [row for row in drawn if row[f"caption_{lang}"]]
    captions = [row[f"caption_{lang}"] for row in captioned]
    counts = Counter(dict(zip(*_value_counts(column), strict=True)))
    if not counts:
        return {"n": 0, "missing": column.null_count, "distinct": 0}
    shapes: Counter[str] = Counter()
    for caption, n in counts.items():
        shapes[skeleton(caption, lang)] += n
    lengths = np.repeat([len(caption) for caption in counts], list(counts.values()))
    tokens = Counter(word for caption in captions for word in words(caption, lang))
    agreed = sum(tells(row, row[f"caption_{lang}"]) for row in captioned)
    low, high = wilson(agreed, len(captioned))
    return {
        "n": counts.total(),
        "missing": column.null_count,
        "distinct": len(counts),
        "length": dict(
            zip(("least", "median", "most"), np.quantile(lengths, [0, 0.5, 1]).tolist(), strict=True)
        ),
        "templates": {"distinct": len(shapes), "top": _top(shapes)},
        "words": {
            "distinct": len(tokens),
            "per_caption": tokens.total() / len(captioned),
            "top": _top(tokens),
        },
        "read_back": {"n": len(captioned), "value": agreed / len(captioned), "low": low, "high": high},
    }


def _value_counts(column: pa.ChunkedArray) -> tuple[list[str], list[int]]:
    counted = column.drop_null().value_counts()
    return counted.field("values").to_pylist(), counted.field("counts").to_pylist()


def _top(counts: Counter[str]) -> list[dict[str, Any]]:
    total = counts.total()
    return [{"text": text, "n": n, "share": n / total} for text, n in counts.most_common(_TOP)]


def tells(labels: dict[str, Any], caption: str) -> bool:
    """Whether a caption, read back, states nothing but its record's labels, and everything that is positive."""
    try:
        stated: dict[str, Any] = parse(caption)
    except UserError:
        return False
    findings = set(labels.get("findings") or ())
    for key, value in stated.items():
        label = labels.get(key)
        if label is None or (set(label) != set(value) if key == "findings" else label != value):
            return False
    positive = [key for key in ("dr_grade", *FLAGS) if labels.get(key)]
    return all(key in stated for key in positive) and findings <= set(stated.get("findings") or ())


def skeleton(caption: str, lang: Lang) -> str:
    """A caption with its medical terms left open, which shows the template."""
    for mask, terms in _MASKS:
        names = sorted((name(term, lang) for term in terms), key=len, reverse=True)
        pattern = "|".join(map(re.escape, names))
        if lang == "en":
            pattern = rf"\b(?:{pattern})\b"
        caption = re.sub(pattern, f"{{{mask}}}", caption, flags=re.IGNORECASE)
    return caption


def words(caption: str, lang: Lang) -> list[str]:
    """The words of a caption: by jieba with the terms of ophthalmology in Chinese, runs of letters in English."""
    if lang == "en":
        return re.findall(r"[a-z]+(?:-[a-z]+)*", caption.lower())
    return [word for word in _segmenter().lcut(caption) if re.search(r"\w", word)]


def dictionary() -> list[str]:
    """The Chinese words that a general dictionary would cut: the vocabulary's terms, then those of `ophthalmic.txt`."""
    groups: Iterable[tuple[Term, ...]] = (
        (DR, NORMAL, *DISEASES, *FINDINGS, *SIDES, *MODALITIES),
        READABILITY,
        DR_GRADES,
    )
    terms = [word for group in groups for term in group for word in (term.zh, *term.synonyms)]
    chinese = [word for word in terms if re.fullmatch(r"[一-鿿]+", word)]
    lines = _DICTIONARY.read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys([*chinese, *(line for line in lines if line and not line.startswith("#"))]))


@cache
def _segmenter() -> Any:
    import jieba

    jieba.setLogLevel(logging.WARNING)
    made = jieba.Tokenizer()
    for word in dictionary():
        made.add_word(word)
    return made


def _balance(table: pa.Table) -> list[dict[str, Any]]:
    """Positives, negatives and unknowns of every disease and finding that occurs."""
    truth = targets(table)
    return [
        {
            "key": key,
            "present": int((column == 1).sum()),
            "absent": int((column == 0).sum()),
            "unknown": int(np.isnan(column).sum()),
        }
        for key, column in zip(TARGETS, truth.T, strict=True)
        if (column == 1).any()
    ]
