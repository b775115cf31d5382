"""Numbers of the first page as sentences for people who know no statistics, in English and Chinese."""

from privacy.decisions.verdict import INVALID
from privacy.report.chinese import translated
from privacy.report.schema import AttributeEntry, Bounds, ResultEntry
from synth.base.words import with_minus

SENTENCES: dict[str, dict[str, str]] = {
    "AUC": {
        "en": "right in {value} of 100 cases ({low} to {high}; guessing: 50)",
        "zh": "100 例中认对 {value} 例（{low} 至 {high}；乱猜：50）",
    },
    "difference of rates": {
        "en": "right about {value} more of 100 members than of 100 others ({low} to {high})",
        "zh": "每 100 名成员比 100 名他人多说对 {value} 名（{low} 至 {high}）",
    },
    "members who stand out": {
        "en": "{value} members stand out beyond chance ({low} to {high})",
        "zh": "超出偶然而可认出的成员有 {value} 名（{low} 至 {high}）",
    },
    "share nearest to a member": {
        "en": "{value} of 100 pictures are nearest to a member ({low} to {high}; chance: 50)",
        "zh": "每 100 张图片有 {value} 张最接近成员（{low} 至 {high}；偶然：50）",
    },
    "patients copied, members minus non-members": {
        "en": "{value} more of 100 members are copied than of 100 others ({low} to {high})",
        "zh": "每 100 名成员比 100 名他人多 {value} 名被复制（{low} 至 {high}）",
    },
    "share of records that state it": {
        "en": "{value} of 100 records may say who somebody is ({low} to {high})",
        "zh": "每 100 条记录有 {value} 条可能写明某人是谁（{low} 至 {high}）",
    },
    "AUC beyond what labels tell": {
        "en": "right in {value} more of 100 cases than diagnoses allow ({low} to {high})",
        "zh": "100 例中比仅凭诊断多认对 {value} 例（{low} 至 {high}）",
    },
    "verification AUC, members minus non-members": {
        "en": "matched {value} more times of 100 for members than for others ({low} to {high})",
        "zh": "每 100 次配对，成员比他人多成功 {value} 次（{low} 至 {high}）",
    },
    "share of released pictures that repeat another": {
        "en": "{value} of 100 pictures repeat another ({low} to {high})",
        "zh": "每 100 张图片有 {value} 张与另一张重复（{low} 至 {high}）",
    },
    "distance to non-members minus distance to members": {
        "en": "diagnoses are {value} points of 100 nearer to members' than to others' ({low} to {high})",
        "zh": "诊断比例与成员的差距比与他人的小 {value} 个百分点（{low} 至 {high}）",
    },
}
"""Statistic -> a sentence; all but counts of patients are told of 100."""
_COUNTS = ("members who stand out",)
_ATTRIBUTES = {
    "auc": SENTENCES["AUC"],
    "r2": {
        "en": "explains {value} % of the differences between people ({low} to {high})",
        "zh": "能解释人与人之间差异的 {value} %（{low} 至 {high}）",
    },
}


def plain(result: ResultEntry, language: str) -> str:
    """What a question found, as a sentence; empty where a number would mislead or none is there."""
    if result.estimate is None or result.verdict.word == INVALID:
        return ""
    name = result.statistic.name
    if name not in SENTENCES:
        return (
            _told("{value} ({low} to {high})", result.estimate, 1, 3)
            if language == "en"
            else (f"{translated(name)} " + _told("{value}（{low} 至 {high}）", result.estimate, 1, 3))
        )
    counts = name in _COUNTS
    return _told(SENTENCES[name][language], result.estimate, 1 if counts else 100, 0 if counts else 1)


def of_attribute(entry: AttributeEntry, language: str) -> str:
    """What an encoder reveals of an attribute of anyone, as a sentence."""
    if not entry.rows or entry.inference.word == INVALID:
        return ""
    person = entry.rows[0].person
    return next(
        (
            _told(said[language], person[metric], 100, 1)
            for metric, said in _ATTRIBUTES.items()
            if metric in person
        ),
        "",
    )


def _told(sentence: str, bounds: Bounds, scale: int, digits: int) -> str:
    values = {
        name: "–" if each is None else with_minus(f"{round(scale * each, digits) + 0:,.{digits}f}")
        for name, each in (("value", bounds.value), ("low", bounds.low), ("high", bounds.high))
    }
    return sentence.format(**values)
