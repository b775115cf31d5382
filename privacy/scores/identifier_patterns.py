"""How identifiers are spelt in captions of half width, by kind; English is read with its capitals, which tell names.

People's names are in `privacy.scores.names`, telephone and identity numbers in `privacy.scores.identifiers`.
"""

import re

_PEOPLES = (
    "汉|蒙古|回|藏|维吾尔|苗|彝|壮|布依|朝鲜|满|侗|瑶|白|土家|哈尼|哈萨克|傣|黎|傈僳|佤|畲|高山|拉祜|水|东乡|纳西|景颇|柯尔克孜|"
    "土|达斡尔|仫佬|羌|布朗|撒拉|毛南|仡佬|锡伯|阿昌|普米|塔吉克|怒|乌孜别克|俄罗斯|鄂温克|德昂|保安|裕固|京|塔塔尔|独龙|鄂伦春|"
    "赫哲|门巴|珞巴|基诺"
)
"""The 56 that a Chinese record may state (GB/T 3304-1991)."""
_PROVINCES = (
    "北京|天津|上海|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|陕西|甘肃|青海|"
    "台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门"
)
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_PERSON = r"m[ae]n|wom[ae]n|(?:fe)?males?|patients?|lad(?:y|ies)|gentlem[ae]n|boys?|girls?|people|race|origin|descent|ethnicity"
_LONG_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Nov|Dec"
"""Not "Oct": that is optical coherence tomography."""
_DIGITS = "一二两三四五六七八九十"
_MEASURES = (
    r"o'?clock|d\.?d\b|disc|disk|mm\b|μm|um\b|degrees?|dpi|diopt|PD|\u70b9|\u89c6\u76d8|\u500d|\u8c61\u9650"
)
# The last four are 点 视盘 倍 象限, spelt so that what they are part of is looked for in English captions too.
_NOWHERE = re.sub(
    r"(\S+)\s*",
    r"(?<!\1)",
    "建议 到 去 在 至 回 来 外 本 我 该 各 上级 当地 综合 专科 眼科 三甲 就近 附近 正规 大型 其他 三级 基层 诊所",
)
"""What before a Chinese word for a hospital leaves it without a name."""
_GENERAL = r"(?:to|the|a|an|in|at|our|local|this|his|her|any|or|and|nearest|urgent|outside|from|general)"
_HOUSES = (
    r"hospital|clinic|infirmary|institute|cent(?:er|re)|unit|associates|service|department|care|foundation"
)

_SPELT: dict[str, tuple[str, ...]] = {
    "age": (
        rf"(?:\d{{1,3}}|[{_DIGITS}百]{{1,5}})\s*(?:周?岁|个月大)",
        r"年龄\s*(?:[:：为是])?\s*\d",
        rf"[{_DIGITS}]旬|花甲|古稀|耄耋|百岁",
        r"老(?:太|翁|大爷|奶奶|爷爷|妇|汉)|(?:老|中|青)年(?:男|女|人|患者|妇)",
        r"(?i:\bage(?:d|\s*[:=])?\s*\d{1,3}\b)",
        r"(?i:\b\d{1,3}[\s-]*(?:years?|yrs?|months?)[\s-]*old\b)",
        r"(?i:\b\d{1,3}\s*(?:y/o|yo\b|y\.o\.))",
        r"\b\d{1,3}\s?/?\s?[MF]\b|\b[MF](?:/|,\s)\s?\d{2,3}\b(?!\s*(?:mm|um|μm|%))",
        r"(?i:\b(?:early|mid|late)[\s-]+\d0s\b)",
        r"(?i:\bin\s+(?:his|her|their)\s+(?:\d0s|(?:twen|thir|for|fif|six|seven|eigh|nine)ties)\b)",
        r"(?i:\b(?:sexa|septua|octo|nona)genarian|\bcentenarian|(?<!\bthe\s)\belderly\b|\bteenager\b|\binfant\b)",
    ),
    "age over 89": (
        r"(?<!\d)(?:9\d|1[0-4]\d)\s*岁|九十[一二三四五六七八九]?[多余]?岁|九旬|百岁|期颐",
        r"(?i:\bage(?:d|\s*[:=])?\s*(?:9\d|1[0-4]\d)\b|\b(?:9\d|1[0-4]\d)[\s-]*(?:years?|yrs?)[\s-]*old\b)",
        r"(?i:\b(?:9\d|1[0-4]\d)\s*(?:y/o|yo\b|y\.o\.)|\bnonagenarian|\bcentenarian|\bin\s+(?:his|her|their)\s+(?:90s|nineties))",
        r"\b(?:9\d|1[0-4]\d)\s?[MF]\b",
    ),
    "sex": (
        r"[男女](?:性(?!型)|患|童|孩|士|婴|$|[，,。;；\s\d])|(?:岁|性别\s*[:：为]?\s*)[男女]|先生|女士|老太|孕妇|[她]|(?<!其)他的",
        r"(?i:\b(?:fe)?males?\b|\b(?:wo)?m[ae]n\b|\b(?:boy|girl|lady|gentleman)\b|\b(?:his|her|hers|she|he|wife|husband)\b|\bpregnant\b)",
        r"\b\d{1,3}\s?/?\s?(?:yo\s)?[MF]\b|\b[MF](?:/|,\s)\s?\d{2,3}\b(?!\s*(?:mm|um|μm|%))",
    ),
    "race": (
        rf"(?<!家)(?:{_PEOPLES})族|非洲裔|亚裔|高加索裔|西班牙裔|藏民|回民|维族",
        r"(?i:\b(?:african|asian|caucasian|hispanic|latin[oax]|uyghur|uighur|tibetan|kazakh|maori|inuit|aboriginal)\b)",
        rf"(?i:\b(?:black|white|han|hui|manchu|zhuang|mongol(?:ian)?|chinese|indian|japanese|korean|malay|arab)\s+(?:{_PERSON}|chinese)\b)",
    ),
    "year of birth": (
        r"(?<!\d)(?:19|20)\d{2}\s*年?\s*(?:出生|生(?!长|理|物))|(?:出生|生于)(?:年份|日期|年月)?\s*(?:[:：于为])?\s*(?:19|20)\d{2}",
        r"(?i:\bborn\s+(?:in|on)?\s*(?:\w+\s+){0,2}(?:19|20)\d{2}\b|\bd\.?o\.?b\b|\bdate\s+of\s+birth\b|\byear\s+of\s+birth\b)",
        r"\bb\.\s*(?:19|20)\d{2}\b",
        r"(?<!\d)[3-9]0后|[0-9]0年代(?:出)?生",
    ),
    "date": (
        rf"(?<!\d)(?:19|20)\d{{2}}\s*[-/.]\s*\d{{1,2}}(?!\d)(?!\s*(?:{_MEASURES}))",
        r"(?<!\d)(?:19|20)\d{2}\s*年\s*\d{1,2}",
        rf"(?<!\d)\d{{1,2}}\s*月\s*\d{{1,2}}\s*[日号]|[{_DIGITS}]{{1,2}}月[{_DIGITS}]{{1,3}}[日号]|[二一][〇零一二三四五六七八九]{{3}}年",
        rf"(?<![\d.])(?:0?[1-9]|[12]\d|3[01])[/.-](?:0?[1-9]|[12]\d|3[01])[/.-](?:19|20)?\d{{2}}(?!\d)(?!\s*(?:{_MEASURES}))",
        rf"(?i:\b(?:{_MONTHS})[a-z]*\.?\s+(?:\d{{1,2}}(?:st|nd|rd|th)?,?\s+)?(?:19|20)\d{{2}}\b)",
        rf"(?i:\b\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?(?:{_MONTHS})[a-z]*\.?,?\s+(?:19|20)\d{{2}}\b)",
        r"(?<!\d)[12]\d年(?:0?[1-9]|1[0-2])月",
        rf"\b(?:{_LONG_MONTHS})\.?\s+(?:[12]?\d|3[01])(?:st|nd|rd|th)?\b(?!\s*(?:{_MEASURES}))",
        rf"\b(?:[12]?\d|3[01])(?:st|nd|rd|th)?\s+(?:of\s+)?(?:{_LONG_MONTHS})\b",
        r"(?<!\d)(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)",
    ),
    "place": (
        rf"[一-鿿]{{2}}{_NOWHERE}(?:眼科)?(?:医院|卫生院|诊所|医学中心|保健院|门诊部)",
        r"[一-鿿]{2}(?:眼科|眼病|视光)(?:中心|研究所|防治所)",
        r"(?:^|[，,。;；:：于在\s])(?!建议|请|至|到|转|往|应|需|经|由|定期|及时)[一-鿿]{2,3}眼科(?=$|[，,。;；\s摄拍])",
        r"[一-鿿]{2,3}省(?!略)|[一-鿿]{2,4}市[一-鿿]{1,4}[区县]|[路街道巷]\d+号|[一-鿿]{2}小区|\d+号?[栋楼]|\d+室",
        rf"(?i:\b(?!{_GENERAL}\b)[a-z][\w'’.-]+\s+(?:eye|ophthalm\w+|retinal?|vision)\s+(?:{_HOUSES})\b)",
        rf"\b(?!(?i:{_GENERAL}|eye|refer|follow-up|urgent)\b)[A-Z][\w'’.-]+(?:\s+[A-Z][\w'’.-]+)*\s+(?i:hospital|clinic|infirmary)\b",
        rf"(?:{_PROVINCES})",
        r"(?i:\b(?:medical|health|diabetes|laser|cancer)\s+(?:center|centre|institute)\b)",
        r"(?i:\b\d+\s+(?:\w+\s+){1,3}(?:street|road|avenue|lane|drive)\b)",
        r"\b\d+[A-Z]?\s+(?:[A-Z][a-z]+\s+){1,2}(?:St|Rd|Ave|Ln|Blvd|Street|Road|Avenue|Lane|Drive|Close|Court)\b",
        r"(?i:\b(?:lives?|living|resid(?:es?|ing|ent)|born)\s+(?:in|of|at)\s+)[A-Z]\w+",
        r",\s*[A-Z]{2}\s+\d{5}\b|(?i:\bzip(?:\s*code)?\s*[:#]?\s*\d{5}\b)",
        r"\b(?:Bascom Palmer|Wilmer|Moorfields|Aravind|Nethralaya|Tongren|Zhongshan|Quinze-Vingts)\b",
        r"\b[A-Z]{1,2}\d[A-Z\d]?\s+\d[A-Z]{2}\b",
    ),
    "number": (
        r"(?<!\d)\d{6,}",
        r"(?:病历|住院|门诊|就诊|病案|检查|医保|身份证|档案|登记)\s*(?:编?号|id)|编号\s*[:：]?\s*[A-Za-z]*\d{3,}|床号?\s*\d+|\d+\s*床",
        r"(?i:\bmrn\b|\bpatient\s*(?:id|no\b|number)|\b(?:medical\s+record|accession|nhs\s+number)\b|\bbed\s+\d+\b)",
        r"\b[Ii][Dd]\s*[:#.]?\s*[A-Za-z]{0,3}-?\d{3,}|(?i:\b(?:record|chart|case|file|study)\s*(?:no\.?|number|id|#)?\s*[:#]?\s*[a-z]{0,2}\d{4,}\b)",
        r"(?i:\b(?:hosp(?:ital)?|nhs|insurance|medicare|medicaid|policy|passport)\s*(?:no\.?|number|id|#)?\s*[:#]?\s*(?=(?:[\w-]*\d){3})[\w-]+)",
        r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])|(?i:\bssn\b)",
        r"(?:微信|微博)\s*号?\s*[:：]?\s*@?\w{4,}",
        r"(?i:\b(?:qq|wechat|weibo|whatsapp|telegram)\b\s*(?:id)?\s*[:：]?\s*@?\w{4,})",
        r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z][·\s]?(?=[A-Z]*\d)[A-Z0-9]{5}(?![A-Za-z0-9])",
        r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])",
        r"(?i:\b[\w-]+\.(?:jpe?g|png|dcm|tiff?|bmp)\b)",
        r"https?://|\bwww\.",
    ),
    "e-mail": (
        r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
        r"(?i:\b[\w.+-]+\s*(?:\(at\)|\[at\]|\sat\s)\s*[\w-]+\s*(?:\(dot\)|\[dot\]|\sdot\s)\s*(?:com|cn|org|net|edu|gov)\b)",
    ),
    "mark of removal": (
        r"\*{2,}|\bX{3,}\b|_{3,}|█|某某|脱敏|(?i:\bredacted\b|de-?identified)",
        r"(?i:\[(?:\w+[ _-])?(?:name|date|phone|id|mrn|hospital|doctor|physician|address|location|age|patient|phi|removed|deleted|email)\w*\])",
    ),
}  # fmt: skip
_CHINESE = re.compile("[一-鿿]")


def _of(chinese: bool) -> dict[str, re.Pattern[str]]:
    """Kind -> the spellings that have a Chinese character in them, or those that have none."""
    told = {
        kind: [each for each in spelt if bool(_CHINESE.search(each)) == chinese]
        for kind, spelt in _SPELT.items()
    }
    return {kind: re.compile("|".join(spelt)) for kind, spelt in told.items() if spelt}


PATTERNS = _of(chinese=False), _of(chinese=True)
"""Kind -> what tells it: in any caption, and in those that have a Chinese character."""


def patterns(text: str) -> list[tuple[str, re.Pattern[str]]]:
    """What is looked for in a caption, by kind."""
    plain, chinese = PATTERNS
    return [*plain.items(), *(chinese.items() if _CHINESE.search(text) else ())]


LABELLED = re.compile(
    r"(?:病历|住院|门诊|病案|医保)\s*编?号\s*[:：]?\s*[A-Za-z]?\d{4,}"
    r"|(?i:\b(?:ssn|social\s+security(?:\s+number)?)\s*[:#]?\s*\d{3}-\d{2}-\d{4}\b)"
    r"|(?i:\bnhs\s*(?:no\.?|number)?\s*[:#]?\s*\d{3}\s?\d{3}\s?\d{4}\b)"
    r"|(?i:\b(?:mrn|patient\s*id|hosp(?:ital)?\s*(?:no\.?|number|id)|medical\s+record(?:\s+(?:no\.?|number))?)\s*[:#]?\s*[a-z]?\d{4,})"
)
"""A number that its own caption calls a patient's."""
