"""The words of the field, once: diseases, findings, readability, eye side, modality; Chinese and English.

Label names are those of SynFundus-1M (arXiv 2312.00377).  Public users of that set disagree about two of
them (`dm`, `crp`); ours follow its English documentation: `dm` is degenerative myopia, not diabetes.
"""

from typing import NamedTuple

VERSION = 1
"""Raised when a term or its meaning changes; every checkpoint and data set carries it."""


class Term(NamedTuple):
    """One word of the vocabulary: its key, its name in both languages, and what else it is called."""

    key: str
    zh: str
    en: str
    synonyms: tuple[str, ...] = ()


DISEASES = (
    Term("is_amd", "年龄相关性黄斑变性", "age-related macular degeneration", ("amd", "armd", "老年性黄斑变性", "年龄相关性黄斑病变", "dry age-related macular degeneration", "wet age-related macular degeneration", "dry amd", "wet amd", "干性年龄相关性黄斑变性", "湿性年龄相关性黄斑变性")),
    Term("is_aon", "视神经异常", "anomalies of the optic nerve", ("optic nerve anomaly", "optic atrophy", "视神经萎缩")),
    Term("is_crp", "脉络膜视网膜病变", "choroidal retinal pathology", ("chorioretinopathy", "chorioretinal pathology")),
    Term("is_dm", "变性近视", "degenerative myopia", ("high myopia", "高度近视")),
    Term("is_dme", "糖尿病性黄斑水肿", "diabetic macular edema", ("dme", "diabetic macular oedema", "糖尿病黄斑水肿")),
    Term("is_em", "黄斑前膜", "epimacular membrane", ("epiretinal membrane", "erm", "视网膜前膜")),
    Term("is_gc", "青光眼", "glaucoma", ("glaucomatous optic neuropathy",)),
    Term("is_htr", "高血压性视网膜病变", "hypertensive retinopathy", ("高血压视网膜病变",)),
    Term("is_pm", "病理性近视", "pathologic myopia", ("pathological myopia", "myopic maculopathy")),
    Term("is_rvo", "视网膜静脉阻塞", "retinal vein occlusion", ("rvo", "brvo", "crvo", "branch retinal vein occlusion", "central retinal vein occlusion", "视网膜分支静脉阻塞", "视网膜中央静脉阻塞")),
)  # fmt: skip
"""Ten of the eleven diseases, as 0/1 flags; the eleventh, diabetic retinopathy, is `dr_grade`."""

DR = Term("dr_grade", "糖尿病视网膜病变", "diabetic retinopathy", ("dr", "糖网", "糖尿病性视网膜病变"))
DR_GRADES = (
    Term("0", "无糖尿病视网膜病变", "no diabetic retinopathy", ("no dr", "no apparent retinopathy")),
    Term("1", "轻度", "mild", ("mild npdr", "mild nonproliferative", "轻度非增殖期")),
    Term("2", "中度", "moderate", ("moderate npdr", "moderate nonproliferative", "中度非增殖期")),
    Term("3", "重度", "severe", ("severe npdr", "severe nonproliferative", "重度非增殖期")),
    Term("4", "增殖期", "proliferative", ("pdr", "proliferative dr", "增殖性")),
)
"""The international clinical severity scale (Wilkinson et al. 2003)."""

NORMAL = Term(
    "normal",
    "未见明显异常",
    "no obvious abnormality",
    (
        "normal fundus",
        "healthy",
        "正常眼底",
        "normal",
        "no abnormality",
        "no abnormalities",
        "unremarkable",
        "within normal limits",
        "正常",
        "眼底正常",
        "未见异常",
        "无异常",
        "未见明显病变",
    ),
)
"""All eleven diseases known to be absent and no finding."""

FINDINGS = (
    Term("cataract", "白内障", "cataract", ("opacity of the lens",)),
    Term("retinitis_pigmentosa", "视网膜色素变性", "retinitis pigmentosa"),
    Term("macular_hole", "黄斑裂孔", "macular hole"),
    Term("drusen", "玻璃膜疣", "drusen"),
    Term("haemorrhage", "出血斑", "haemorrhage", ("hemorrhage", "retinal hemorrhage", "出血", "视网膜出血", "眼底出血")),
    Term("exudate", "渗出", "exudate", ("hard exudate", "硬性渗出")),
    Term("microaneurysm", "微动脉瘤", "microaneurysm"),
    Term("cotton_wool_spot", "棉絮斑", "cotton-wool spot", ("soft exudate", "软性渗出")),
    Term("neovascularization", "新生血管", "neovascularization", ("neovascularisation",)),
    Term("tessellation", "豹纹状眼底", "tessellated fundus"),
    Term("media_haze", "屈光介质混浊", "media haze", ("vitreous opacity", "vitreous degeneration", "refractive media opacity")),
    Term("macular_disease", "黄斑区域病变", "disease of the macular region", ("maculopathy",)),
    Term("macular_edema", "黄斑水肿", "macular edema", ("macular oedema",)),
    Term("central_serous", "中心性浆液性脉络膜视网膜病变", "central serous chorioretinopathy"),
    Term("retinal_detachment", "视网膜脱离", "retinal detachment"),
    Term("artery_occlusion", "视网膜动脉阻塞", "retinal artery occlusion"),
    Term("laser_scars", "激光光凝斑", "laser photocoagulation scars", ("laser spot",)),
    Term("myelinated_fibers", "有髓神经纤维", "myelinated nerve fibers"),
    Term("disc_swelling", "视盘水肿", "optic disc swelling", ("optic disc edema", "papilledema")),
    Term("large_cup", "杯盘比增大", "enlarged cup-to-disc ratio"),
    Term("asteroid_hyalosis", "星状玻璃体变性", "asteroid hyalosis"),
    Term("lesion", "其他病灶", "other lesion"),
)  # fmt: skip
"""What real sets bring beyond the eleven; goes into the column `findings`."""

READABILITY = (
    Term("is_fundus", "图像为眼底照片", "the image is a fundus photograph"),
    Term("is_optic_disc_readable", "视盘可读", "the optic disc is readable"),
    Term("is_macular_readable", "黄斑可读", "the macula is readable"),
    Term("is_retinal_region_readable", "视网膜区域可读", "the retinal region is readable"),
)

SIDES = (
    Term("left", "左眼", "left eye", ("OS", "OI", "L", "LE", "左")),
    Term("right", "右眼", "right eye", ("OD", "R", "RE", "右")),
)

MODALITIES = (
    Term("cfp", "彩色眼底照片", "color fundus photograph", ("CFP", "fundus photograph")),
    Term("oct", "光学相干断层扫描", "optical coherence tomography", ("OCT",)),
    Term("ffa", "荧光素眼底血管造影", "fundus fluorescein angiography", ("FFA",)),
    Term("icga", "吲哚菁绿血管造影", "indocyanine green angiography", ("ICGA",)),
    Term("faf", "眼底自发荧光", "fundus autofluorescence", ("FAF",)),
    Term("slit_lamp", "裂隙灯照片", "slit-lamp photograph"),
    Term("ultrasound", "眼部超声", "ocular ultrasound"),
    Term("specular", "角膜内皮镜", "specular microscopy"),
    Term("external", "外眼照片", "external eye photograph"),
    Term("corneal", "角膜照片", "corneal photograph", ("corneal topography",)),
    Term("retcam", "RetCam 照片", "RetCam photograph"),
)  # fmt: skip
"""The eleven modalities of EyeCLIP (arXiv 2409.06644)."""

AGE = Term("age", "年龄", "age")
SEXES = (Term("F", "女", "female", ("woman", "女性")), Term("M", "男", "male", ("man", "男性")))
RACES = (
    Term("african", "非洲裔", "African", ("AFRICAN AMERICAN", "BLACK")),
    Term("asian", "亚裔", "Asian"),
    Term("caucasian", "高加索裔", "Caucasian", ("WHITE",)),
    Term("hispanic", "西班牙裔", "Hispanic", ("LATINO",)),
    Term("other", "其他", "other"),
)
"""Only what a real set states; a synthetic record never carries them."""

FLAGS = tuple(term.key for term in DISEASES)
FINDING_KEYS = tuple(term.key for term in FINDINGS)
SIDE_KEYS = tuple(term.key for term in SIDES)
SEX_KEYS = tuple(term.key for term in SEXES)
READABILITY_KEYS = tuple(term.key for term in READABILITY)
MODALITY_KEYS = tuple(term.key for term in MODALITIES)

_NAMED = (DISEASES, (DR, *DR_GRADES[1:], AGE), FINDINGS, READABILITY, SIDES, MODALITIES, SEXES, RACES)
CHINESE = {
    name: term.zh for group in _NAMED for term in group for name in (term.key, term.en) if not name.isdigit()
}
"""Key or English name of every term -> its Chinese name."""
ENGLISH = {term.key: term.en for group in _NAMED for term in group if not term.key.isdigit()}
"""Key of every term -> its English name."""
