"""Whether an entry of a diagnosis affirms, denies or doubts what it names (as NegEx and ConText tell clinical text).

`未见出血`, `no drusen` and `渗出（-）` deny; `可疑青光眼`, `r/o AMD`, `glaucoma?` doubt, and so does what was once, or was
operated on: none of these is a positive.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from synth.sources.terms import fold


class Assertion(Enum):
    """What an entry says of the disease that it names."""

    PLAIN = "plain"
    """Nothing; the entry before it in a list may say it for both."""
    PRESENT = "present"
    ABSENT = "absent"
    OPEN = "open"
    """Suspected, to be excluded, or of the past."""


class Entry(NamedTuple):
    """One entry, taken apart."""

    assertion: Assertion
    rest: str
    """What it names, folded."""
    sides: tuple[str, ...] = ()
    """`left`, `right` or both, where the entry tells; none where it does not."""
    is_suffix: bool = False
    """Whether the assertion stands behind the name, as in `出血、渗出（-）`."""


class Written(NamedTuple):
    """An entry in its place."""

    entry: Entry
    text: str
    sign: str
    """What stands before it."""
    is_doubtful: bool = False
    """Whether it is open what a denial beside it is meant for."""
    is_of_side_before: bool = False
    """Whether its eye is that of the entry before it."""


NOTHING = frozenset(("", "无", "none", "no", "nil"))
"""Entries that name nothing, folded."""
HARD = ";；。\n\r|"
"""Signs over which no denial and no eye goes on."""
_LISTING = "、/+"
_DENIAL = re.compile(r"无|未见|(?:no|without)\b")
_BEFORE = {
    Assertion.OPEN: (
        r"不除外|排除|除外|否认|denies|不排除|不能排除|未除外|待排除?|待除外|可疑|疑似|疑诊|疑|拟诊|考虑|可能|倾向|\?+|"
        r"(?:to )?rule out|(?:cannot|can't|can not|not) (?:exclude|rule out)|suspicious (?:for|of)|suspicion of|suspect(?:ed)?|"
        r"susp\.?|possibl[ey]|probabl[ey]|questionable|query|likely|borderline|"
        r"既往|家族史|曾患|曾有|(?:family |past )?history of|h/o|previous|prior|status post|post"
    ),
    Assertion.ABSENT: (
        r"未见明显|未见|未发现|未查见|未示|未及|无明显|没有|无|"
        r"no (?:evidence|signs?) of|negative for|absence of|without|not|no"
    ),
    Assertion.PRESENT: r"可见|伴有?|合并|见|有|with|positive for",
}  # fmt: skip
_AFTER = {
    Assertion.OPEN: (
        r"\?+|可疑|待排除?|待查|待除外|可能|家族史|病史|史|术后|激光后|治疗后|"
        r"suspect(?:ed)?|susp\.?|possible|probable|history|post ?op(?:erative)?|status post"
    ),
    Assertion.ABSENT: r"-+|阴性|均?无|未见|negative|absent|excluded|ruled out|: ?no|: ?0|: ?无",
    Assertion.PRESENT: r"\++|阳性|positive|present|: ?yes|: ?1|: ?有",
}
_SIDES = {"右眼": ("right",), "左眼": ("left",), "双眼": ("left", "right"), "右": ("right",), "左": ("left",),
          "双": ("left", "right"), "od": ("right",), "os": ("left",), "ou": ("left", "right"),
          "right eye": ("right",), "left eye": ("left",), "both eyes": ("left", "right")}  # fmt: skip
_NAMES = "|".join(sorted(_SIDES, key=len, reverse=True))
_NUMBERED = re.compile(r"(?:^1|(?<=[\s;；,，。])\d{1,2})[.、．)）](?=\s*[^\d\s])")
_SHORTHAND = {
    "r/o": "rule out",
    "s/p": "status post",
    "w/o": "without",
    "h/o": "history of",
    "(+)": "阳性",
    "(-)": "阴性",
}


def spelt_out(text: str) -> str:
    """A cell whose short forms hold none of the signs that separate entries; of `1.青光眼 2、AMD`, a line for each."""
    if _NUMBERED.match(text.strip()):
        text = _NUMBERED.sub("\n", text.strip())
    for short, long in _SHORTHAND.items():
        wide = short.replace("(", "[(（]").replace(")", "[)）]").replace("+", r"\+")
        bound = rf"(?<![^\W_]){wide}(?![^\W_])" if short[0].isalpha() else wide
        text = re.sub(bound, f" {long} ".replace("  ", " "), text, flags=re.IGNORECASE)
    return text


def taken_apart(text: str, is_term: Callable[[str], bool]) -> Entry:
    """One entry: what it names, of which eye, and whether it is there; a term is never cut (`有髓神经纤维` has no `有`)."""
    word, sides = _side(fold(text))
    if is_term(word):
        return Entry(Assertion.PLAIN, word, sides)
    if re.fullmatch(_AFTER[Assertion.OPEN], word):
        return Entry(Assertion.OPEN, "", sides, True)
    for assertion, pattern in _BEFORE.items():
        space = rf"(?:{pattern})(?:(?<![a-z])|(?![a-z]))[: ]*"
        if (found := re.match(space, word)) and found.end() < len(word):
            inner = taken_apart(word[found.end() :], is_term)
            kind = assertion if inner.assertion in (Assertion.PLAIN, assertion) else Assertion.OPEN
            return Entry(kind, inner.rest, inner.sides or sides)
    for assertion, pattern in _AFTER.items():
        space = rf"(.*?[^ ]) *(?:(?<![a-z])|(?=[^a-z]))(?:{pattern}|\((?:{pattern})\))"
        if found := re.fullmatch(space, word):
            rest, more = _side(found[1])
            return Entry(assertion, rest, more or sides, True)
    return Entry(Assertion.PLAIN, word, sides)


def _side(word: str) -> tuple[str, tuple[str, ...]]:
    """A folded text without the eye that it begins or ends with, and that eye."""
    if found := re.match(rf"({_NAMES})(?:(?<![a-z])|(?![a-z]))[:： ]*(?=.)", word):
        return word[found.end() :], _SIDES[found[1]]
    if found := re.fullmatch(rf"(.*?[^ ]) *(?:\(({_NAMES})\)|(?<= )(od|os|ou))", word):
        return found[1], _SIDES[found[2] or found[3]]
    return word, ()


def in_context(clause: Sequence[Written]) -> Iterator[Written]:
    """Entries with what the one before them says for both: `未见出血、渗出` denies two, `右眼青光眼、白内障` may be of one eye.

    Behind a comma nobody knows whether a denial goes on (`无出血，白内障`), nor what one behind a list denies (`出血、渗出（-）`).
    """
    carried, is_doubtful, sides = Assertion.PLAIN, False, ()
    for place, (entry, text, sign, *_) in enumerate(clause):
        assertion = entry.assertion
        if assertion is not Assertion.PLAIN or entry.rest in NOTHING:
            carried, is_doubtful = Assertion.PLAIN if entry.is_suffix else assertion, False
        elif sign in _LISTING:
            assertion = carried
        else:
            is_doubtful |= carried is Assertion.ABSENT
            carried = Assertion.PLAIN
        told = Entry(assertion, entry.rest, entry.sides or sides)
        unclear = assertion is Assertion.PLAIN and (is_doubtful or _denied_behind(clause, place))
        yield Written(told, text, sign, unclear, bool(sides) and not entry.sides)
        sides = told.sides
        if assertion is Assertion.PLAIN and _DENIAL.match(entry.rest):
            carried = Assertion.ABSENT  # a term that denies: no diabetic retinopathy


def _denied_behind(clause: Sequence[Written], place: int) -> bool:
    """Whether a later entry denies or doubts this one too: the end of its list does (`出血、渗出（-）`), or it says no more (`，待查`)."""
    is_listed = True
    for later in clause[place + 1 :]:
        is_listed &= later.sign in _LISTING
        entry = later.entry
        if entry.assertion is not Assertion.PLAIN:
            return (
                entry.is_suffix and entry.assertion is not Assertion.PRESENT and (is_listed or not entry.rest)
            )
    return False
