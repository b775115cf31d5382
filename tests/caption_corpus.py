"""Captions of our own, in both languages, half of which state who somebody is: what the search for identifiers is measured by.

Names, clinics and numbers are invented; many are not in any list of the search.  Each identifier meets several captions, so
that a sentence of one kind is short, long, at the beginning and at the end.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class Caption(NamedTuple):
    """A caption, and the kind of identifier that it states; empty where it states none."""

    text: str
    kind: str
    language: str


CHINESE_NAMES = (
    "王小明",
    "李娜",
    "欧阳静怡",
    "陈志强",
    "诸葛明",
    "买买提",
    "次仁卓玛",
    "刘洋",
    "郑云鹏",
    "符永康",
)
ENGLISH_NAMES = ("John Smith", "Zhang Wei", "Maria Gonzalez", "Li Xiaohong", "Priya Raman", "Emily O'Connor",
                 "Wang Jianguo", "Robert Kowalski", "Fatima Al-Sayed", "Tenzin Dorje")  # fmt: skip
FINDINGS_ZH = (
    "左眼黄斑变性",
    "右眼中度糖尿病视网膜病变，可见硬性渗出",
    "视盘色淡，杯盘比0.7",
    "未见明显异常",
)
FINDINGS_EN = ("moderate NPDR in the left eye", "AMD with soft drusen", "cup-to-disc ratio 0.7, suspected glaucoma", "no DR in the right eye")  # fmt: skip

_ZH: dict[str, tuple[str, ...]] = {
    "name": ("{name}，{finding}", "患者：{name}，{finding}", "姓名{name}，{finding}", "病人{name}因视物模糊就诊，{finding}",
             "{finding}，患者{name}", "张先生，{finding}", "{finding}，报告医师李建国", "赵大爷的{finding}", "受检者 {name} {finding}"),
    "age": ("72岁，{finding}", "七旬老太，{finding}", "六十五岁男性，{finding}", "老年女性患者，{finding}", "{finding}，年龄58", "年近八旬，{finding}"),
    "age over 89": ("93岁，{finding}", "九十二岁老人，{finding}", "九旬老人，{finding}", "百岁老人，{finding}"),
    "date": ("2021年5月3日摄，{finding}", "2021.05.03 {finding}", "{finding}，20210503", "5月3日复查，{finding}", "{finding}，二〇二一年五月随访"),
    "year of birth": ("1950年生，{finding}", "生于1948年，{finding}", "{finding}，出生年份1962", "1971年出生，{finding}"),
    "phone": ("电话：138-1234-5678，{finding}", "{finding}，联系电话 139 8765 4321", "手机13712345678，{finding}", "{finding}，家属电话010-62345678"),
    "number": ("病历号：302211，{finding}", "住院号 0045821 {finding}", "{finding}，门诊号A20391", "身份证 11010519491231002X，{finding}", "编号 8830127，{finding}", "床号12，{finding}"),
    "e-mail": ("{finding}，邮箱 xiaoming@example.com",),
    "place": ("同仁眼科，{finding}", "北京同仁医院，{finding}", "{finding}，中山眼科中心摄", "拍摄于湖南爱尔眼科医院，{finding}", "{finding}，家住人民路12号",
              "四川省成都市武侯区，{finding}", "{finding}，红旗小区3栋502室", "于安宁镇卫生院筛查，{finding}"),
    "race": ("维吾尔族，{finding}", "藏族女性，{finding}", "{finding}，汉族", "哈萨克族牧民，{finding}"),
}  # fmt: skip
_EN: dict[str, tuple[str, ...]] = {
    "name": ("{name}, {finding}", "Patient {name}, {finding}", "{name}'s left eye, {finding}", "{finding}, reported by Dr. Jones", "Name: {name}; {finding}",
             "Mrs Whitfield, {finding}", "{finding}, image of {name}", "{finding} (seen by Prof. Lindqvist)", "Fundus of {name} showing {finding}"),
    "age": ("72M with {finding}", "72F, {finding}", "72 F with {finding}", "72yo F, {finding}", "A 65-year-old man, {finding}", "aged 71, {finding}",
            "a septuagenarian, {finding}", "woman in her sixties, {finding}", "an elderly lady, {finding}"),
    "age over 89": ("93-year-old, {finding}", "a nonagenarian, {finding}", "age 97, {finding}", "a 91 y/o woman, {finding}"),
    "date": ("Seen on 3rd of May 2021, {finding}", "May 3, 2021: {finding}", "03/05/2021 {finding}", "{finding}, 2021-05-03", "{finding}, visit of 14 Aug 2019"),
    "year of birth": ("born in 1950, {finding}", "DOB 3 May 1950, {finding}", "{finding}, date of birth 1962", "b. 1948, {finding}"),
    "phone": ("phone 138 1234 5678, {finding}", "{finding}, call +44 20 7946 0958", "tel. (415) 555-2671, {finding}", "{finding}, contact 020 7946 0958"),
    "number": ("MRN#12345, {finding}", "MRN 0048213: {finding}", "ID A12345, {finding}", "record 12345, {finding}", "{finding}, accession 88213764", "bed 12, {finding}", "NHS number 943 476 5919, {finding}"),
    "e-mail": ("{finding}, mail j.smith@example.org",),
    "place": ("Moorfields Eye Unit, {finding}", "Beijing Tongren Eye Centre, {finding}", "{finding}, taken at St Mary's Hospital", "Aravind Eye Hospital: {finding}",
              "{finding}, lives at 12 Fleet Street", "Wilmer Eye Institute, {finding}", "{finding}, Riverside Retina Associates"),
    "race": ("Uyghur patient, {finding}", "Tibetan patient, {finding}", "a Hispanic man, {finding}", "Han Chinese patient, {finding}", "an Indian man with {finding}"),
}  # fmt: skip
_NOTHING_ZH = (
    "右眼患者：糖尿病视网膜病变", "病人：视盘水肿", "左眼患者：黄斑变性", "年龄相关性黄斑变性", "老年性黄斑变性，玻璃膜疣", "高度近视，豹纹状眼底", "白内障术后，眼底模糊",
    "建议眼科复查", "建议到医院进一步检查", "黄斑区可见出血，视盘边界清", "视网膜动脉硬化，动静脉比1:2", "方形伪影，时间不详", "高血压视网膜病变2级", "糖尿病患者，中度非增殖期",
    "颞上方3-4-12点位出血", "病变范围1/2/10视盘直径", "图像512x512像素", "其他的眼底结构正常", "家族性渗出性玻璃体视网膜病变", "鼻侧及颞侧周边部未见异常", "近视10年", "术后3个月复查",
    "全视网膜激光术后", "水肿明显，渗出较多", "应定期复诊，必要时转诊上级医院", "黄色渗出，白色棉絮斑", "马蹄形裂孔", "金箔样反光", "何氏小体未见", "杜森征阴性", "正常眼底，左眼",
    "石蜡样苍白视盘", "汤样水肿", "年轻患者常见", "黄斑中心凹反光存在", "江河样血管迂曲",
)  # fmt: skip
_NOTHING_EN = (
    "Severe DR and cataract.", "No DR in the right eye.", "DR grade 2", "Proliferative DR is present.", "Severe DR. Macular edema is present.", "MS related optic neuritis",
    "OD: Moderate NPDR. OS: Normal fundus.", "OD Macular edema", "hemorrhages at 3-4-12 o'clock", "hemorrhages 1/2/10 disc diameters", "image [left eye]", "[OD] drusen",
    "Age-related macular degeneration", "dry AMD, left eye", "Roth spots and cotton-wool spots", "Coats disease of the left eye", "Best disease, vitelliform stage", "Stargardt disease",
    "Drusen in Bruch's membrane", "Leber hereditary optic neuropathy", "Elschnig pearls after cataract surgery", "Purtscher retinopathy", "Early Treatment Diabetic Retinopathy Study level 43",
    "Weiss ring seen", "white spots on a black ground, grade 3 of 4", "Refer to an eye clinic within 2 weeks", "Urgent hospital referral advised", "Follow-up in the clinic", "45 degree field, 512 x 512 pixels",
    "cup-to-disc ratio 0.65", "Patient with glaucoma", "Patients with AMD show drusen", "Photograph of Left Eye", "Healthy Optic Disc, Clear Macula", "MS patient with pale disc", "Dr: moderate",
    "IOP 18 mmHg, 20/40 vision", "Mild NPDR, Moderate DME", "Grade 4 DR; PDR with NVD", "Laser scars, 1200 spots of 500 microns", "Kyrieleis plaques", "Haab striae absent", "Van Lint block not recorded",
)  # fmt: skip


def captions(seed: int = 0) -> Iterator[Caption]:
    """Every sentence once, with names and findings that the seed deals."""
    rng = np.random.default_rng(seed)
    sets = (("zh", _ZH, CHINESE_NAMES, FINDINGS_ZH), ("en", _EN, ENGLISH_NAMES, FINDINGS_EN))
    for language, sentences, names, findings in sets:
        for kind, forms in sentences.items():
            repeats = 3 if kind == "name" else 1
            for number, form in enumerate(forms * repeats):
                name = names[(number + seed) % len(names)]
                text = form.format(name=name, finding=findings[int(rng.integers(len(findings)))])
                yield Caption(text[0].upper() + text[1:], kind, language)
    for language, plain in (("zh", _NOTHING_ZH), ("en", _NOTHING_EN)):
        yield from (Caption(text, "", language) for text in plain)
