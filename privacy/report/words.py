"""What a report says, in English and Chinese."""

from privacy import threats
from privacy.report.chinese import translated
from privacy.report.schema import ResultEntry

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Privacy audit",
        "anyone": "What does it reveal about anyone?",
        "members": "What does it reveal about the patients it was trained on?",
        "copies": "Does it hold copies of their photographs?",
        "asked": "{asked} of {of} questions asked",
        "attacker": "Attacker assumed (--given {given}): has {holds}.",
        "attacker with": "against an attacker with:",
        "left out": " {left} questions that need more were not asked.",
        "sealed": " Sealed audit {commitment}: {judged} of {of} questions are judged from scores without names, the others are as the controller says.",
        "attacked with": "attacked with",
        "photographs": "photographs of",
        "patients": "patients",
        "phantoms": "drawn phantoms, who are nobody: an answer to whether it keeps what pictures show, not to what real eyes show",
        "groups": "members and non-members",
        "attack": "attack",
        "verdict": "verdict",
        "why": "why",
        "attacks": "Attacks",
        "more below": "and {count} more below, none of them worse",
        "subgroups": "By group, the worst first; the intervals hold for all of them at once:",
        "roc": "members found, by non-members taken for members",
        "laws": "What regulators ask, and what was tested of it",
        "law": "requirement",
        "tested by": "tested by",
        "worst": "answer to all",
        "exit": "exit status",
        "exit 0": "no leak about training patients was found by what was asked",
        "exit 0 says": "No leak about training patients was found by what was asked.",
        "open says": "No leak about training patients was found, and none is ruled out: the answer is {word}.",
        "unasked says": "Nothing could be asked about training patients: below stands what each question needs.",
        "exit 3": "a leak about training patients was found",
        "exit 3 says": "A leak about training patients was found.",
        "exit 4": "nothing could be tested",
        "exit 4 says": "Nothing could be tested: below stands what each question needs.",
        "exit 5": "an answer is INVALID, and no leak was found",
        "exit 5 says": "An answer is INVALID: the data cannot answer it; no leak was found.",
        "no advice": "This is evidence for an assessment, not the assessment: whether a risk is acceptable is for the controller and counsel to decide.",
        "at risk": "Beside this report lies private-at-risk.csv, the list of patients whom attacks name: its owner alone can read it, and it is not to be sent around. Each attack names one in a hundred by chance.",
        "untested": "What was not tested, and how to test it",
        "open": "{count} questions were not tested; below stands what each needs.",
        "questions": "{count} questions",
        "question": "1 question",
        "chance": "chance",
        "margin": "margin",
        "second": "Answers",
        "details": "The audit in full",
        "intervals": "All estimates with their 95 % intervals",
        "nothing found": "An attack that finds nothing shows that this attack, with these patients, found nothing; no more.",
        "legend": "Members were trained on, others are patients of the same source. A case: which of two people is the member, or the woman. Brackets hold the truth in 95 of 100 audits. AUC: the share of cases that are right; p below .05: rarely chance.",
        "features of": "what the attacker sees",
        "per person": "per person",
        "per photograph": "per photograph",
        "inference": "Attribute inference",
        "effect": "Training effect",
        "better": "Better than {over} by {value} ({low} to {high}) {unit}.",
        "years": "years of MAE",
        "permutation": "Permutation test: {statistic} {observed} of a ridge probe with a fixed penalty, p = {p} ({permutations} permutations over patients).",
        "interval": "per person, 95 % interval",
        "learning curve": "learning curve by patients that the probe learnt from",
        "how to read": "How to read it",
        "how to repeat": "How to repeat it",
        "protocol": "protocol",
        "settings": "settings",
        "model": "model",
        "preprocessing": "preprocessing",
        "attackers' records": "attackers' records",
        "versions": "versions",
        "in counts": "In numbers of patients",
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
        "attacker": "假定的攻击者（--given {given}）：拥有{holds}。",
        "attacker with": "假定攻击者拥有：",
        "left out": "需要更多条件的 {left} 问未提出。",
        "sealed": "密封审计 {commitment}：{of} 问中有 {judged} 问依据不含姓名的分数判定，其余依据数据控制方的陈述。",
        "attacked with": "攻击者数据：",
        "photographs": "张照片，来自",
        "patients": "名患者",
        "phantoms": "个绘制的仿体（不是任何人）：只说明编码器是否保留图像所显示的特征，不说明真实眼底显示什么",
        "groups": "成员（训练患者）与非成员",
        "attack": "攻击",
        "verdict": "结论",
        "why": "依据",
        "attacks": "各项攻击",
        "more below": "另有 {count} 项见下文，结论均不更差",
        "subgroups": "分组结果，最坏者在前；各区间同时成立：",
        "roc": "被认出的成员比例（纵）与被误认为成员的非成员比例（横）",
        "laws": "法规要求与本次检验",
        "law": "要求",
        "tested by": "相应攻击",
        "worst": "总体结论",
        "exit": "退出状态",
        "exit 0": "已检验的各问未发现训练患者信息泄露",
        "exit 0 says": "已检验的各问未发现训练患者信息泄露。",
        "open says": "未发现训练患者信息泄露，但也未能排除：{word}。",
        "unasked says": "关于训练患者的问题均无法检验；各问所需见下文。",
        "exit 3": "发现训练患者信息泄露",
        "exit 3 says": "发现训练患者信息泄露。",
        "exit 4": "无一可检验",
        "exit 4 says": "无一可检验；各问所需见下文。",
        "exit 5": "有结论无效，且未发现泄露",
        "exit 5 says": "有结论无效：数据无法回答该问；未发现泄露。",
        "no advice": "本报告为评估提供证据，并不替代评估；风险能否接受由数据控制者与法律顾问决定。",
        "at risk": "本报告旁另有 private-at-risk.csv，列出被攻击指认的患者：仅文件所有者可读，不得外传。每种攻击会偶然指认百分之一的患者。",
        "untested": "未检验的内容及检验方法",
        "open": "{count} 问未检验；各问所需见下文。",
        "questions": "{count} 问",
        "question": "1 问",
        "chance": "随机水平",
        "margin": "界值",
        "second": "各项结论",
        "details": "审计全文",
        "intervals": "全部估计及其 95 % 区间",
        "nothing found": "未发现泄露只说明：在这些患者上，这种攻击没有发现泄露，别无他意。",
        "legend": "成员参与了训练，他人是同一来源的其他患者。一例：两人之中谁是成员，或谁是女性。括号范围在 100 次审计中 95 次包含真值。AUC：认对的比例；p 低于 0.05：很少出于偶然。",
        "features of": "攻击者所见",
        "per person": "按患者",
        "per photograph": "按照片",
        "inference": "属性推断",
        "effect": "训练效应",
        "better": "比{over}好 {value}（{low} 至 {high}）{unit}。",
        "years": "岁（平均绝对误差）",
        "permutation": "置换检验：固定惩罚的岭探针 {statistic} {observed}，p = {p}（按患者置换 {permutations} 次）。",
        "interval": "按患者，95 % 区间",
        "learning curve": "学习曲线（按探针所学患者数）",
        "how to read": "如何阅读",
        "how to repeat": "如何重复",
        "protocol": "协议",
        "settings": "设置",
        "model": "模型",
        "preprocessing": "预处理",
        "attackers' records": "攻击者的记录",
        "versions": "版本",
        "in counts": "以患者人数表示",
        "other": "English",
        "REVEALS": "可推断",
        "FAIL": "泄露（不通过）",
        "PASS within margin": "在界值内通过",
        "INCONCLUSIVE": "尚无定论",
        "INVALID": "无效",
        "NOT TESTABLE": "无法检验",
    },
}


def naming(result: ResultEntry, language: str) -> str:
    """An attack with the number of its threat; in Chinese with the threat's name before it."""
    if language == "en":
        return f"{result.threat} {result.attack}"
    return f"{result.threat} {threats.threat(result.threat).name_zh}：{translated(result.attack)}"


def reading(result: ResultEntry, language: str) -> str:
    """Why a result has its verdict; in Chinese told anew from the numbers."""
    answer, estimate = result.verdict, result.estimate
    if language == "en":
        return answer.why
    if not estimate or answer.word in ("INVALID", "NOT TESTABLE") or "stating" in result.details:
        return translated(answer.why)
    numbers = f"{translated(result.statistic.name)} {_three(estimate.value)}（{_three(estimate.low)} 至 {_three(estimate.high)}）"
    p = "" if result.p_adjusted is None else f"，校正后 p = {result.p_adjusted:.3g}"
    needed = f"；约需 {answer.patients_needed:,} 名患者" if answer.patients_needed else ""
    return f"{numbers}{p}{needed}{_besides(result, estimate.high)}"


def _besides(result: ResultEntry, high: float | None) -> str:
    """What numbers alone do not say, in Chinese: verified copies, an interval below chance, a PASS that copies undo."""
    statistic = result.statistic
    found = [result.details.get(key) for key in ("verified", "verified_of_strangers")]
    if copies := sum(each for each in found if isinstance(each, int)):
        return f"；已核实 {copies:,} 张发布图片是患者照片的副本"
    if result.verdict.word != "INCONCLUSIVE" or high is None:
        return ""
    if high < statistic.chance and statistic.two_sided:
        return "；整个区间低于随机水平：两组存在此攻击未预期的差异，反向攻击或可利用"
    if statistic.margin is not None and high < statistic.margin:
        return "；但发布图片中有已核实的副本，此攻击察觉不到"
    return ""


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
