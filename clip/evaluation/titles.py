"""Titles of tests in Chinese, for the pages in that language; a title of one's own stands as it is."""

import re

from synth.data.vocabulary import DISEASES, DR

_NAMES = {
    **{term.en: term.zh for term in (DR, *DISEASES)},
    "right eye or left eye": "右眼或左眼",
    "diabetic retinopathy of any grade": "糖尿病视网膜病变，不论分级",
    "diabetic retinopathy, five grades": "糖尿病视网膜病变五级分级",
    "diabetic retinopathy, MESSIDOR's four grades": "糖尿病视网膜病变，MESSIDOR 四级分级",
    "normal, retinitis pigmentosa or macular hole": "正常、视网膜色素变性或黄斑裂孔",
    "Normal, pathologic myopia or cataract": "正常、病理性近视或白内障",
    "Normal or one of six diseases": "正常或六种疾病之一",
    "FIVES, four classes": "FIVES 四分类",
    "JSIEC, 39 classes": "JSIEC 39 分类",
    "pathologic myopia against normal": "病理性近视与正常",
    "pathologic myopia or not, high myopia among the latter": "是否病理性近视，高度近视计入否",
    "cataract against normal": "白内障与正常",
    "glaucoma or not": "是否青光眼",
    "glaucoma or not, in sets that judge nothing else (REFUGE, HYGD, PAPILA)": "是否青光眼，用于只判此项的数据集（REFUGE、HYGD、PAPILA）",
    "stroke or not": "是否卒中",
    "dementia or not": "是否痴呆",
    "myocardial infarction or not": "是否心肌梗死",
    "Parkinson's disease or not": "是否帕金森病",
    "questions of all types": "所有类型的问题",
    "own classes": "自定类别",
}
"""What a test asks -> the same in Chinese."""
_ENDS = {
    ", names only": "，仅用名称",
    ", in FLAIR's words": "，用 FLAIR 的表述",
    ", in EyeCLIP's words": "，用 EyeCLIP 的表述",
    ", FLAIR's expert knowledge in both languages": "，用 FLAIR 的专家知识，两种语言",
}
"""In whose words -> the same in Chinese."""
_FORMS = {
    r"long tail: (.+)": "长尾：{}",
    r"segmentation of (.+)": "分割：{}",
    r"questions of type (.+)": "{} 类问题",
    r"(image to text): .+": "以图找文：照片的描述，在各不相同的描述之中",
    r"(text to image): .+": "以文找图：有此描述的照片，在所有照片之中",
    r"([a-z ]+ to [a-z ]+): .+": "以图找图：{}",
}
"""What a title is built from -> the same in Chinese; `{}` is its part that is named."""

TASKS = {
    "zero-shot": "零样本",
    "linear": "线性探针",
    "few-shot": "少样本",
    "finetune": "微调",
    "retrieval": "检索",
    "vqa": "视觉问答",
    "long-tail": "长尾",
    "segmentation": "分割",
}
"""Ways of judging -> the same in Chinese."""


def title(text: str, language: str) -> str:
    """The title of a test in a language, `en` or `zh`."""
    if language == "en" or text in _NAMES:
        return _NAMES[text] if language == "zh" else text
    for end, said in _ENDS.items():
        if text.endswith(end):
            return title(text.removesuffix(end), language) + said
    for form, said in _FORMS.items():
        if found := re.fullmatch(form, text):
            return said.format(title(found[1], language))
    return text


def task(name: str, language: str) -> str:
    """What a way of judging is called in a language."""
    return TASKS.get(name, name) if language == "zh" else name
