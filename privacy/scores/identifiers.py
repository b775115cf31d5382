"""What in a caption tells who somebody is: patterns for Chinese and English, by kind.

A finding is a hint for a person to look at, never proof of the contrary: no list holds every name.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_PEOPLES = (
    "汉|蒙古|回|藏|维吾尔|苗|彝|壮|布依|朝鲜|满|侗|瑶|白|土家|哈尼|哈萨克|傣|黎|傈僳|佤|畲|高山|拉祜|水|东乡|纳西|景颇|柯尔克孜|"
    "土|达斡尔|仫佬|羌|布朗|撒拉|毛南|仡佬|锡伯|阿昌|普米|塔吉克|怒|乌孜别克|俄罗斯|鄂温克|德昂|保安|裕固|京|塔塔尔|独龙|鄂伦春|"
    "赫哲|门巴|珞巴|基诺"
)
"""The 56 that a Chinese record may state (GB/T 3304-1991)."""
_SURNAMES = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦许何吕张孔曹严华金魏陶姜谢邹苏潘葛范彭鲁韦马方俞任袁柳唐罗薛贺倪汤滕殷毕郝安常于傅余元顾孟黄穆萧尹姚邵汪毛禹狄贝明戴谈宋庞熊纪舒屈项祝董梁杜阮蓝闵席季贾路江童颜郭梅盛林刁钟徐邱骆高夏蔡田樊胡凌霍万卢丁邓石崔龚程邢裴陆荣翁甄曲封储靳段侯班仇甘厉武符刘景詹叶白蒲赖卓蔺池乔闻莫房解应宗曾关向易廖"
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"

_SPELT: dict[str, tuple[str, ...]] = {
    "age": (
        r"(?:\d{1,3}|[一二两三四五六七八九十百]{1,5})\s*(?:周?岁|个月大)",
        r"年龄\s*(?:[:：为是])?\s*\d",
        r"\bage(?:d|\s*[:=])?\s*\d{1,3}\b",
        r"\b\d{1,3}[\s-]*(?:years?|yrs?|months?)[\s-]*old\b",
        r"\b\d{1,3}\s*(?:y/o|yo\b|y\.o\.)",
    ),
    "sex": (
        r"[男女](?:性|患|童|孩|士|婴|$|[，,。;；\s\d])|(?:岁|性别\s*[:：为]?\s*)[男女]|先生|女士",
        r"\b(?:fe)?males?\b|\b(?:wo)?m[ae]n\b|\b(?:boy|girl|lady|gentleman)\b",
    ),
    "race": (
        rf"(?:{_PEOPLES})族|非洲裔|亚裔|高加索裔|西班牙裔",
        r"\b(?:african|asian|caucasian|hispanic|latin[oa])\b",
        r"\b(?:black|white|han)\s+(?:m[ae]n|wom[ae]n|(?:fe)?males?|patients?|race|ethnicity|chinese)\b",
    ),
    "date": (
        r"(?<!\d)(?:19|20)\d{2}\s*[-/.年]\s*\d{1,2}(?!\d)",
        r"(?<!\d)\d{1,2}\s*月\s*\d{1,2}\s*[日号]",
        r"(?<![\d.])\d{1,2}[/.-]\d{1,2}[/.-](?:19|20)?\d{2}(?!\d)",
        rf"\b(?:{_MONTHS})[a-z]*\.?\s+(?:\d{{1,2}}(?:st|nd|rd|th)?,?\s+)?(?:19|20)\d{{2}}\b",
    ),
    "place": (
        r"医院|卫生院|诊所|医学中心|保健院|门诊部",
        r"\b(?:hospital|clinic|infirmary)\b|\b(?:medical|eye|health)\s+(?:center|centre|institute)\b",
        r"[一-鿿]{2,3}省(?!略)|[一-鿿]{2,4}市[一-鿿]{1,4}[区县]|[路街]\d+号",
        r"\b\d+\s+\w+\s+(?:street|road|avenue)\b",
    ),
    "number": (
        r"(?<!\d)\d{6,}",
        r"(?:病历|住院|门诊|就诊|病案|检查|医保|身份证)\s*(?:编?号|id)",
        r"\bmrn\b|\bpatient\s*(?:id|no\b|number)|\b(?:medical\s+record|accession)\b",
        r"[\w.+-]+@[\w-]+\.\w+|https?://|\bwww\.",
    ),
    "name": (
        r"姓名|(?:患者|病人)\s*[:：]\s*[一-鿿]{2,4}",
        rf"[{_SURNAMES}]某|[{_SURNAMES}][一-鿿]{{0,2}}(?:医生|医师|主任|大夫)",
        r"\b(?:mr|mrs|ms|dr|prof)\b\.?\s+[a-z]{2,}",
        r"\b(?:patient|patient's|full|sur|last|first)\s*name\b|\bname\s*:",
    ),
    "mark of removal": (r"\*{2,}|\bx{3,}\b|_{3,}|█|某某|\[[a-z]+(?:[ _-][a-z]+)*\]|脱敏|\bredacted\b|de-?identified",),
}  # fmt: skip
PATTERNS = {kind: re.compile("|".join(spelt)) for kind, spelt in _SPELT.items()}
"""Kind -> what tells it, in captions of half width and lower case."""


def kinds(caption: str) -> set[str]:
    """The kinds of identifiers that a caption holds."""
    text = unicodedata.normalize("NFKC", caption).lower()
    return {kind for kind, pattern in PATTERNS.items() if pattern.search(text)}


def count(rows: Iterable[Iterable[str | None]]) -> tuple[int, Counter[str]]:
    """Rows with any identifier in one of their captions, and rows by kind."""
    hits, by_kind = 0, Counter[str]()
    for captions in rows:
        found = set().union(*(kinds(text) for text in captions if text))
        hits += bool(found)
        by_kind.update(found)
    return hits, by_kind
