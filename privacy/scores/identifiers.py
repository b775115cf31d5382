"""What in a caption tells who somebody is, by kind, in Chinese and English.

A hit is a hint for a person to look at, and silence is no proof: no list holds every name.  Certain is only what cannot be
anything else: an e-mail address, a telephone number in use that is written as one, an identity number whose check digit
holds, a number that the caption itself calls that of a patient's record.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from privacy.scores import names
from privacy.scores.identifier_patterns import LABELLED, patterns

_REGIONS = ("CN", "US", "GB")
_DIGITS = re.compile(r"\d(?:[\s().-]*\d){6,}")
_CALLED = re.compile(r"(?i:电话|手机|联系|致电|\btel|\bphone|\bmobile|\bcall\b|\bcontact)[^\d+(]{0,8}[+(]*$")
_RESIDENT = re.compile(r"(?<!\d)\d{17}[\dXx](?!\w)")
_AROUND = 12
"""Characters on each side of a hit that its owner is shown."""


class Hit(NamedTuple):
    """One identifier in a caption."""

    kind: str
    text: str
    """The words themselves with a few around them, for the owner of the captions alone."""
    certain: bool = False


@lru_cache(maxsize=100_000)
def hits(caption: str) -> tuple[Hit, ...]:
    """All identifiers of a caption, the certain ones first; of each kind the first."""
    text = unicodedata.normalize("NFKC", caption)
    found: dict[str, Hit] = {}
    for kind, start, end, certain in sorted(_spans(text), key=lambda each: not each[3]):
        shown = text[max(0, start - _AROUND) : end + _AROUND]
        found.setdefault(kind, Hit(kind, shown, certain))
    return tuple(found.values())


def kinds(caption: str) -> set[str]:
    """The kinds of identifiers that a caption holds."""
    return {hit.kind for hit in hits(caption)}


class Count(NamedTuple):
    """Of the records of a release that have a caption."""

    records: int
    stating: int
    """Those with any identifier in one of their captions."""
    by_kind: Counter[str]
    certain: Counter[str]
    """Those with one that is certain, by kind."""
    certainly: int
    """Those with any that is certain."""


def count(rows: Iterable[Iterable[str | None]]) -> Count:
    """Count the records whose captions, one of each language, state identifiers; one without a caption states nothing."""
    records, stating, certainly = 0, 0, 0
    by_kind, certain = Counter[str](), Counter[str]()
    for captions in rows:
        told = [text for text in captions if text and text.strip()]
        if not told:
            continue
        found = [hit for text in told for hit in hits(text)]
        sure = {hit.kind for hit in found if hit.certain}
        records, stating, certainly = records + 1, stating + bool(found), certainly + bool(sure)
        by_kind.update({hit.kind for hit in found})
        certain.update(sure)
    return Count(records, stating, by_kind, certain, certainly)


def _spans(text: str) -> Iterator[tuple[str, int, int, bool]]:
    """Kind, start, end, and whether it is certain."""
    taken = []
    for kind, start, end, certain in _numbers(text):
        taken.append((start, end))
        yield kind, start, end, certain
    for kind, pattern in patterns(text):
        for found in pattern.finditer(text):
            within = any(start <= found.start() and found.end() <= end for start, end in taken)
            if not (within and kind in ("number", "date")):
                yield kind, *found.span(), kind == "e-mail"
    yield from (("number", *found.span(), True) for found in LABELLED.finditer(text))
    yield from (("name", start, end, False) for start, end in names.names(text))


def _numbers(text: str) -> Iterator[tuple[str, int, int, bool]]:
    """Identity numbers of residents of China whose check digit holds, and telephone numbers."""
    from stdnum.cn import ric

    for found in _RESIDENT.finditer(text):
        if ric.is_valid(found.group()):
            yield "identity number", *found.span(), True
    if _DIGITS.search(text):
        yield from _telephones(text)


def _telephones(text: str) -> Iterator[tuple[str, int, int, bool]]:
    import phonenumbers

    for region in _REGIONS:
        for found in phonenumbers.PhoneNumberMatcher(text, region, leniency=phonenumbers.Leniency.VALID):
            called = _CALLED.search(text[: found.start]) is not None
            mobile = region == "CN" and re.fullmatch(r"1\d{2}[\s-]?\d{4}[\s-]?\d{4}", found.raw_string)
            if called or mobile or found.raw_string.startswith("+"):
                sure = called or found.raw_string.startswith("+") or not found.raw_string.isdigit()
                yield "phone", found.start, found.end, sure
