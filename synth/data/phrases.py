"""How captions are worded: two languages, several templates each; the medical terms come from `vocabulary`."""

from typing import Literal, NamedTuple

from synth.data.vocabulary import Term

Lang = Literal["zh", "en"]

SUSPECTED_FINDINGS = frozenset(
    (
        "cataract",
        "retinitis_pigmentosa",
        "macular_hole",
        "macular_disease",
        "macular_edema",
        "central_serous",
        "retinal_detachment",
        "artery_occlusion",
        "asteroid_hyalosis",
    )
)
"""Findings that are diagnoses and so are "suspected"; the others are signs, and "visible"."""


class Template(NamedTuple):
    """One way to word a caption, and which of the optional facts it tells."""

    suspected: str
    """A disease goes into `{}`."""
    visible: str
    """A sign goes into `{}`."""
    graded: str
    """`{name}` of diabetic retinopathy with its `{grade}`."""
    side: bool = False
    """Tells the eye, where it is known."""
    picture: bool = False
    """Tells what kind of picture it is, where it is known; kinds other than `cfp` are always told."""
    readable: bool = False
    """Tells that all is readable, where it is known; readability problems are always told."""
    then: str | None = None
    """What follows the opening in place of the language's comma."""


class Language(NamedTuple):
    """What all templates of a language share."""

    templates: tuple[Template, ...]
    opening: str
    """`{picture}` of the eye `{side}`."""
    picture: str
    """A picture of unknown kind."""
    absent: str
    """A disease that is not there goes into `{}`."""
    none_of_eleven: str
    """None of the eleven diseases; other findings are unknown."""
    all_readable: str
    """The picture is a fundus photograph, its disc, macula and retina readable."""
    negate: tuple[tuple[str, str], ...]
    """Replacements that turn a readability term into its problem."""
    marks: tuple[str, str]
    """Of canary bit 0 and 1."""
    comma: str
    stop: str


_ZH_AFTER = "{name}（{grade}）"
_ZH_BEFORE = "{grade}{name}"
_EN_AFTER = "{name} ({grade})"
_EN_BEFORE = "{grade} {name}"

LANGUAGES: dict[str, Language] = {
    "zh": Language(
        templates=(
            Template("疑似{}", "可见{}", _ZH_AFTER),
            Template("疑似{}", "可见{}", _ZH_AFTER, side=True),
            Template("疑似{}", "可见{}", _ZH_AFTER, side=True, picture=True, then="："),
            Template("疑似{}", "可见{}", _ZH_BEFORE, picture=True, readable=True),
            Template("考虑{}", "见{}", _ZH_BEFORE, side=True, picture=True),
            Template("提示{}", "可见{}", _ZH_BEFORE, picture=True),
        ),
        opening="{side}{picture}",
        picture="眼底照片",
        absent="未见{}",
        none_of_eleven="未见常见眼底疾病",
        all_readable="图像可读",
        negate=(("可读", "不可读"), ("为", "不为")),
        marks=("标记甲", "标记乙"),
        comma="，",
        stop="。",
    ),
    "en": Language(
        templates=(
            Template("suspected {}", "visible {}", _EN_AFTER),
            Template("suspected {}", "visible {}", _EN_BEFORE, side=True, then=": "),
            Template("suspected {}", "visible {}", _EN_BEFORE, side=True, picture=True, then=" with "),
            Template("suspected {}", "visible {}", _EN_AFTER, picture=True, readable=True),
            Template("signs of {}", "visible {}", _EN_BEFORE, picture=True, then=" with "),
            Template("suspicion of {}", "{} seen", _EN_BEFORE, side=True, picture=True),
        ),
        opening="{picture} of the {side}",
        picture="a fundus photograph",
        absent="no {}",
        none_of_eleven="no common fundus disease",
        all_readable="the image is readable",
        negate=((" is ", " is not "),),
        marks=("mark A", "mark B"),
        comma=", ",
        stop=".",
    ),
}

SEPARATORS = r"[，,。.；;：:]| with "
"""What stands between two clauses, in either language; no clause contains one."""


def name(term: Term, lang: Lang) -> str:
    """The term in one language."""
    return term.zh if lang == "zh" else term.en
