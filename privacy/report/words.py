"""What a report says, in English and Chinese, and which law asks for which attack."""

from typing import Any

from privacy.decisions.verdict import NOT_TESTABLE, Combined, combined

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Privacy audit",
        "anyone": "What does it reveal about anyone?",
        "members": "What does it reveal about the patients it was trained on?",
        "copies": "Does it hold copies of their photographs?",
        "asked": "{asked} of {of} questions asked",
        "attacked with": "attacked with",
        "photographs": "photographs",
        "patients": "patients",
        "phantoms": "drawn phantoms, who are nobody: an answer to whether it keeps what pictures show, not to what real eyes show",
        "groups": "members and non-members",
        "attack": "attack",
        "verdict": "verdict",
        "why": "why",
        "attacks": "Attacks",
        "more below": "more, none of them worse, below",
        "subgroups": "By group, the worst first; the intervals hold for all of them at once:",
        "roc": "members found, by non-members taken for members",
        "laws": "What regulators ask, and what was tested of it",
        "law": "requirement",
        "tested by": "tested by",
        "worst": "answer to all",
        "exit": "exit status",
        "exit 0": "no leak about training patients was found by what was asked",
        "exit 3": "a leak about training patients was found",
        "exit 4": "nothing could be tested",
        "exit 5": "an answer is INVALID, and no leak was found",
        "no advice": "This is evidence for an assessment, not the assessment: whether a risk is acceptable is for the controller and counsel to decide.",
        "at risk": "Beside this report lies private-at-risk.csv, the list of patients whom attacks name: its owner alone can read it, and it is not to be sent around. Each attack names one in a hundred by chance.",
        "untested": "What was not tested, and why",
        "nothing found": "An attack that finds nothing shows that this attack, with these patients, found nothing; no more.",
        "features of": "what the attacker sees",
        "per person": "per person",
        "per photograph": "per photograph",
        "inference": "Attribute inference",
        "effect": "Training effect",
        "other": "中文",
        "REVEALS": "REVEALS",
        "FAIL": "FAIL",
        "PASS within margin": "PASS within margin",
        "INCONCLUSIVE": "INCONCLUSIVE",
        "INVALID": "INVALID",
        "NOT TESTABLE": "NOT TESTABLE",
    },
    "zh": {
        "title": "隐私审计",
        "anyone": "它能推断任何人的哪些信息？",
        "members": "它泄露训练患者的哪些信息？",
        "copies": "它是否包含患者照片的副本？",
        "asked": "共 {of} 问，已检验 {asked} 问",
        "attacked with": "攻击者数据：",
        "photographs": "张照片，",
        "patients": "名患者",
        "phantoms": "个绘制的模拟眼（不是任何人）：只说明编码器是否保留图像所显示的特征，不说明真实眼底显示什么",
        "groups": "成员（训练患者）与非成员",
        "attack": "攻击",
        "verdict": "结论",
        "why": "依据",
        "attacks": "各项攻击",
        "more below": "项见下文，均不更坏",
        "subgroups": "分组结果，最坏者在前；各区间同时成立：",
        "roc": "被认出的成员比例（纵）与被误认为成员的非成员比例（横）",
        "laws": "法规要求与本次检验",
        "law": "要求",
        "tested by": "相应攻击",
        "worst": "总体结论",
        "exit": "退出状态",
        "exit 0": "已检验的各问未发现训练患者信息泄露",
        "exit 3": "发现训练患者信息泄露",
        "exit 4": "无一可检验",
        "exit 5": "有结论无效，且未发现泄露",
        "no advice": "本报告为评估提供证据，并不替代评估；风险能否接受由数据控制者与法律顾问决定。",
        "at risk": "本报告旁另有 private-at-risk.csv，列出被攻击指认的患者：仅文件所有者可读，不得外传。每种攻击会偶然指认百分之一的患者。",
        "untested": "未检验的内容及原因",
        "nothing found": "未发现泄露只说明：在这些患者上，这种攻击没有发现泄露，别无他意。",
        "features of": "攻击者所见",
        "per person": "按患者",
        "per photograph": "按照片",
        "inference": "属性推断",
        "effect": "训练效应",
        "other": "English",
        "REVEALS": "可推断",
        "FAIL": "泄露（不通过）",
        "PASS within margin": "在界值内通过",
        "INCONCLUSIVE": "尚无定论",
        "INVALID": "无效",
        "NOT TESTABLE": "无法检验",
    },
}

THREATS = {
    "T1": "属性推断",
    "T2": "成员的属性泄露",
    "T2c": "金丝雀比特",
    "T3": "成员推断",
    "T4": "复制与提取",
    "T5": "遮挡眼底的补全",
    "T6": "似然标签推断（扩散分类器）",
    "T7": "文字说明的泄露",
    "T8": "同一患者的关联",
    "T9": "群体属性推断",
}
"""Threat -> its name in Chinese."""

LAWS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("WP29 05/2014: singling out", "WP29 05/2014：识别到个人", ("T3", "T4")),
    ("WP29 05/2014: linkability", "WP29 05/2014：可关联性", ("T8",)),
    ("WP29 05/2014: inference", "WP29 05/2014：推断", ("T2", "T2c", "T5", "T6", "T7")),
    ("EDPB 28/2024: extraction of training data", "EDPB 28/2024：训练数据的提取", ("T4", "T5", "T7")),
    ("EDPB 28/2024: obtained from queries", "EDPB 28/2024：通过查询获得", ("T2", "T3", "T6", "T8")),
    ("PIPL Art. 55: impact assessment of sensitive data", "《个人信息保护法》第五十五条：敏感信息影响评估", ("T1", "T2", "T3", "T4", "T7")),
    ("PIPL Art. 73: cannot be restored", "《个人信息保护法》第七十三条：不能复原", ("T4", "T5")),
    ("HIPAA § 164.514(b)(1): expert determination of a very small risk", "HIPAA § 164.514(b)(1)：专家认定风险极小", ("T3", "T4", "T7", "T8")),
)  # fmt: skip
"""A requirement in English and in Chinese, and the threats whose attacks bear on it."""


def naming(result: dict[str, Any], language: str) -> str:
    """An attack with the number of its threat; in Chinese with the threat's name before it."""
    told = "" if language == "en" else f"{THREATS[result['threat']]}："
    return f"{result['threat']} {told}{result['attack']}"


def reading(result: dict[str, Any], language: str) -> str:
    """Why a result has its verdict; in Chinese told anew from the numbers."""
    answer, estimate = result["verdict"], result["estimate"]
    if language == "en" or not estimate or answer["word"] in ("INVALID", "NOT TESTABLE"):
        return answer["why"]
    numbers = f"{result['statistic']['name']} {_three(estimate['value'])}（{_three(estimate['low'])} 至 {_three(estimate['high'])}）"
    p = "" if result["p_adjusted"] is None else f"，校正后 p = {result['p_adjusted']:.3g}"
    needed = f"；约需 {answer['patients_needed']:,} 名患者" if answer["patients_needed"] else ""
    return f"{numbers}{p}{needed}{_besides(result)}"


def _besides(result: dict[str, Any]) -> str:
    """What numbers alone do not say, in Chinese: verified copies, an interval below chance, a PASS that copies undo."""
    details, statistic, high = result["details"], result["statistic"], result["estimate"]["high"]
    if copies := details.get("verified", 0) + details.get("verified_of_strangers", 0):
        return f"；已核实 {copies:,} 张发布图片是患者照片的副本"
    if result["verdict"]["word"] != "INCONCLUSIVE" or high is None:
        return ""
    if high < statistic["chance"] and statistic["two_sided"]:
        return "；整个区间低于随机水平：两组存在此攻击未预期的差异，反向攻击或可利用"
    if statistic["margin"] is not None and high < statistic["margin"]:
        return "；但发布图片中有已核实的副本，此攻击察觉不到"
    return ""


def regulations(report: dict[str, Any], language: str) -> list[dict[str, str]]:
    """Of each requirement the attacks that bear on it, and the word for all of their questions."""
    found: dict[str, list[str]] = {}
    for each in report["results"]:
        found.setdefault(each["threat"], []).append(each["verdict"]["word"])
    for each in report["attributes"]:
        found.setdefault("T1", []).append(each["reveals"]["word"])
    rows = []
    for english, chinese, threats in LAWS:
        each = {threat: combined(found.get(threat, [NOT_TESTABLE])) for threat in threats}
        tested = [_counted(threat, one) for threat, one in each.items() if one.answered]
        whole = combined([word for threat in threats for word in found.get(threat, [NOT_TESTABLE])])
        rows.append(
            {
                "law": english if language == "en" else chinese,
                "threats": ", ".join(tested) or "–",
                "untested": ", ".join(threat for threat, one in each.items() if not one.answered),
                "word": whole.word,
                "asked": WORDS[language]["asked"].format(asked=whole.answered, of=whole.of),
            }
        )
    return rows


def _counted(threat: str, found: Combined) -> str:
    return threat if found.answered == found.of else f"{threat} ({found.answered}/{found.of})"


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
