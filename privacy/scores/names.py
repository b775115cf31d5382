"""People's names in captions: a surname or a title where a name may stand, and no word of the vocabulary."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

from synth.data import vocabulary

_SURNAMES = (
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦许何吕张孔曹严华金魏陶姜谢邹苏潘葛范彭鲁韦马方俞任袁柳唐罗薛贺倪汤滕殷毕郝安常于傅余元顾孟黄穆萧尹姚邵汪毛禹狄贝明戴谈宋庞熊纪舒屈项祝董梁杜阮蓝闵席季贾路江童颜郭梅盛"
    "林刁钟徐邱骆高夏蔡田樊胡凌霍万卢丁邓石崔龚程邢裴陆荣翁甄曲封储靳段侯班仇甘厉武符刘景詹叶白蒲赖卓蔺池乔闻莫房解应宗曾关向易廖"
)
_DOUBLE = "欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|慕容|司徒|令狐|端木"
_ELSEWHERE = (
    "阿卜杜|阿不都|阿卜都|艾合买提|艾买提|买买提|吐尔逊|古丽|热合曼|努尔|玉素甫|依不拉音|穆罕默德|艾力|阿依|帕提|"
    "扎西|卓玛|次仁|尼玛|达娃|旺堆|格桑|丹增|洛桑|巴特尔|其其格|乌云|苏日娜"
)
"""What names of Uyghurs, Kazakhs, Tibetans and Mongols are made of."""
_NEVER = (
    "斑膜视网眼围源洞径蜡规法血压障病变盘脉管区渗肿度形性期级侧影像片图键词症炎瘤孔裂损伤疣点线层边周颞鼻部位可见未疑似患者正异显示模糊时间内外上下左右中轻重请便由与需诊治术后前激复查议应该已无有为及或"
    "纹状色样石反光征阴射体腔萎缩增殖粒糖尿"
)
"""Characters of findings that names do not have."""
_NAMING = r"(?:患者|病人|病员|受检者|受试者|被检者|受检人|被检人|家属|姓名|患儿)(?:姓名)?\s*[:：为是]?\s*"
_NAME = rf"(?:(?:{_DOUBLE})[一-鿿]{{1,2}}|[{_SURNAMES}][一-鿿]{{1,2}})"
_END = r"(?=$|[，,。;；、:：\s\d（(男女因于陪]|的)"
_CALLED = r"先生|女士|小姐|阿姨|大爷|大妈|大娘|奶奶|爷爷|老师|同志|某"
_DOCTORS = "医生|医师|主任|大夫|教授"

_CHINESE = (
    re.compile(rf"{_NAMING}(?P<name>{_NAME}){_END}"),
    re.compile(rf"{_NAMING[:-1]}*[:：]\s*(?P<name>[一-鿿]{{2,6}}){_END}"),
    re.compile(rf"(?:^|[，,。;；\n])\s*(?P<name>{_NAME})(?=[，,、:：\s的（(]|老人)"),
    re.compile(rf"(?P<name>(?:{_ELSEWHERE})[一-鿿]{{0,4}})"),
    re.compile(rf"(?P<name>(?:{_DOUBLE}|[{_SURNAMES}])(?:{_CALLED}))"),
    re.compile(rf"(?:{_DOCTORS})\s*[:：]?\s*(?P<name>{_NAME}){_END}"),
    re.compile(rf"(?P<name>[{_SURNAMES}][一-鿿]{{0,2}}(?:{_DOCTORS}))"),
)
_STATED = re.compile(r"姓名|(?i:\b(?:patient|patient's|full|sur|last|first)\s*name\b|\bname\s*:)")

_PINYIN = (
    "Ai|An|Bai|Bao|Bi|Cai|Cao|Chen|Cheng|Cui|Dai|Deng|Ding|Dong|Du|Duan|Fan|Fang|Feng|Fu|Gao|Ge|Gong|Gu|Guo|Han|He|Hong|Hou|Hu|Huang|Jia|Jiang|Jin|Kang|Kong|Lai|Lei|Li|Liang|Liao|Lin|Liu|Long|Lu|Luo|Lv|Ma|Mao|Mei|Meng|"
    "Mo|Ni|Ouyang|Pan|Pang|Peng|Qi|Qian|Qiao|Qin|Qiu|Ren|Shao|Shen|Shi|Song|Su|Sun|Tan|Tang|Tao|Tian|Wan|Wang|Wei|Wen|Wu|Xia|Xiang|Xiao|Xie|Xiong|Xu|Xue|Yan|Yang|Yao|Ye|Yi|Yin|Yu|Yuan|Zeng|Zhai|Zhang|Zhao|Zheng|Zhong|Zhou|Zhu|Zou"
)
_SYLLABLE = r"(?:[bpmfdtnlgkhjqxrzcsyw]|[zcs]h)?(?:[iu]?[aeoiu]{1,2})(?:ng?|r|o|i|u)?"
_GIVEN = (
    "James|John|Robert|Michael|William|David|Richard|Joseph|Thomas|Charles|Christopher|Daniel|Matthew|Anthony|Mark|Donald|Steven|Paul|Andrew|Joshua|Kenneth|Kevin|Brian|George|Timothy|Ronald|Edward|Jason|Jeffrey|Ryan|Jacob|Gary|"
    "Nicholas|Eric|Jonathan|Stephen|Larry|Justin|Scott|Brandon|Benjamin|Samuel|Gregory|Frank|Alexander|Raymond|Patrick|Jack|Dennis|Jerry|Peter|Henry|Arthur|Harry|Oliver|Simon|Martin|Hans|Jean|Pierre|Carlos|Jose|Juan|Luis|Miguel|"
    "Pedro|Ahmed|Mohamm[ae]d|Ali|Omar|Hassan|Ravi|Raj|Amit|Sanjay|Vijay|Mary|Maria|Patricia|Jennifer|Linda|Elizabeth|Barbara|Susan|Jessica|Sarah|Karen|Lisa|Nancy|Betty|Margaret|Sandra|Ashley|Kimberly|Emily|Donna|Michelle|Carol|"
    "Amanda|Dorothy|Melissa|Deborah|Stephanie|Rebecca|Sharon|Laura|Cynthia|Kathleen|Amy|Angela|Shirley|Anna|Emma|Olivia|Sophia|Ruth|Helen|Alice|Jane|Julia|Grace|Rose|Ana|Carmen|Fatima|Aisha|Priya|Anita|Sunita|Lakshmi|Yuki|Hiroshi"
)
_FAMILY = (
    "Smith|Johnson|Williams|Brown|Jones|Garcia|Miller|Davis|Rodriguez|Martinez|Hernandez|Lopez|Gonzalez|Wilson|Anderson|Thomas|Taylor|Moore|Jackson|Martin|Lee|Perez|Thompson|White|Harris|Sanchez|Clark|Ramirez|Lewis|Robinson|Walker|"
    "Young|Allen|King|Wright|Scott|Torres|Nguyen|Hill|Flores|Green|Adams|Nelson|Baker|Hall|Rivera|Campbell|Mitchell|Carter|Roberts|Khan|Patel|Singh|Kumar|Sharma|Kim|Park|Tanaka|Suzuki|Sato|Muller|Schmidt|Rossi|Silva|Ivanov"
)
_WORD = r"[A-Z][\w’'-]+"
_SINGLE = r"(?:[A-Z][’'])?[A-Z][a-z][\w’'-]*"
_ENGLISH = (
    re.compile(
        rf"\b(?:(?:Dr|Mr|Mrs|Ms|Miss|Prof|Professor|Doctor|Nurse|Sister|Sir|Madam|Mme|Herr|Frau|Sra?)\b\.?\s+)+(?P<words>{_SINGLE})"
    ),
    re.compile(rf"\b(?P<words>(?:[A-Z]\.\s?){{1,2}}(?:{_FAMILY}))\b"),
    re.compile(rf"\b(?P<words>(?:Nguyen|Tran|Pham|Hoang|Huynh)(?:\s+{_SINGLE}){{1,3}})"),
    re.compile(rf"(?i:\b(?:by|with|from|under|per|for)\s+(?:dr|mr|mrs|ms|prof)\b\.?\s+)(?P<words>{_WORD})"),
    re.compile(
        rf"\b(?P<words>(?:{_PINYIN})\s+[A-Z](?:{_SYLLABLE}){{1,2}})(?=$|\W)|\b(?P<other>[A-Z](?:{_SYLLABLE}){{2}}\s+(?:{_PINYIN}))(?=$|\W)"
    ),
    re.compile(
        rf"(?i:\b(?:patient|pt\.?|subject|name\s*:?|of|for)\s+)(?P<words>{_SINGLE}\s+{_SINGLE})(?=$|[\s,.;:’')])"
    ),
    re.compile(
        rf"\b(?P<words>{_SINGLE}(?:\s+{_SINGLE})?)['’]s\s+(?i:left|right|eye|fundus|retina|macula|optic)\b"
    ),
)
_LISTED = (
    re.compile(
        rf"\b(?P<words>(?:{_GIVEN})\s+(?:[A-Z]\.?\s+)?{_WORD})|\b(?P<other>(?i:(?:{_GIVEN})\s+(?:{_FAMILY})))\b"
    ),
    re.compile(rf"\b(?P<words>(?i:{_FAMILY}),\s*(?i:{_GIVEN}))\b"),
)
"""What is looked for only where a given name of the list is there."""
_FIRST = frozenset(_GIVEN.replace("[ae]", "e").lower().split("|")) | {"mohammad"}
_CHARACTER = re.compile("[一-鿿]")
_ORDINARY = frozenset(re.findall(r"\S+",
    "the a an no and or of with in at left right eye eyes optic disc disk macula macular fundus retina retinal retinopathy edema oedema healthy clear normal image images photograph photo shows showing seen early late treatment study "
    "diabetic disease syndrome spot spots membrane ring pearls plaques stage grade level patient patients right-eye left-eye color colour widefield cornea lens vitreous nerve vessel vessels artery vein branch central ischemic anterior "
    "posterior moderate mild severe proliferative suspected possible probable referable laser scars field posterior uveitis good fair poor high low quality resolution leber kjer devic graves wolfram coats best eales oguchi stargardt behcet")
)  # fmt: skip


def names(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of what is called as a person in a caption of half width, capitals as written."""
    for pattern in _CHINESE if _CHARACTER.search(text) else ():
        for found in pattern.finditer(text):
            if _is_chinese_name(found["name"]):
                yield found.span("name")
    text = "".join(unicodedata.normalize("NFD", each)[0] if each < "\u0250" else each for each in text)
    known = not _FIRST.isdisjoint(re.findall(r"[a-z]+", text.lower()))
    for pattern in (*_ENGLISH, *(_LISTED if known else ())):
        for found in pattern.finditer(text):
            group = "words" if found["words"] else "other"
            if not any(_is_ordinary(word) for word in re.findall(r"[\w’'-]+", found[group])):
                yield found.span(group)
    yield from (found.span() for found in _STATED.finditer(text))


def _is_chinese_name(candidate: str) -> bool:
    """The surname itself may be a word of findings, such as 周 of 周边."""
    return not (set(candidate[1:]) & set(_NEVER)) and candidate not in _terms()


def _is_ordinary(word: str) -> bool:
    return word.lower() in _ORDINARY or word.lower() in _words()


@cache
def _terms() -> frozenset[str]:
    """The vocabulary's terms, in lower case."""
    groups = (vocabulary.DISEASES, vocabulary.FINDINGS, vocabulary.READABILITY, vocabulary.MODALITIES,
              vocabulary.SIDES, vocabulary.DR_GRADES, (vocabulary.DR, vocabulary.NORMAL))  # fmt: skip
    terms = [words for group in groups for term in group for words in (term.zh, term.en, *term.synonyms)]
    return frozenset(words.lower() for words in terms)


@cache
def _words() -> frozenset[str]:
    return frozenset(word for term in _terms() for word in re.findall(r"[a-z][a-z'-]+", term))
