"""The words of a page of models side by side, in both languages."""

import re

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "{n} models side by side",
        "other": "中文",
        "one table": "In one table",
        "intervals": "Each value stands with its 95 % interval over patients; below it, the difference from {first}.",
        "test": "test",
        "metric": "metric",
        "model": "model",
        "n": "{n} photographs of {patients} patients",
        "forest": "Values and intervals",
        "dots": "A dot is a value, its line the 95 % interval; the dotted line is chance.",
        "paired": "paired, on the same photographs",
        "unpaired": "not paired",
        "why unpaired": "Not paired: the reports have no probabilities of the same photographs beside them "
        "(--set probabilities=true); the interval is made from those of both models, and is wider than it need be.",
        "each": "Test by test",
        "difference": "difference from {first}",
        "models": "The models",
        "preprocessing": "preprocessing",
        "published": "What others published",
        "differs": "differs from ours",
        "source": "source",
        "command": "command",
        "chance": "chance",
        "majority": "commonest class",
        "mean mask": "mean mask",
        "zh": "Chinese",
        "en": "English",
        "both": "both languages",
    },
    "zh": {
        "title": "{n} 个模型并列比较",
        "other": "English",
        "one table": "总表",
        "intervals": "每个数值附有按患者计算的 95 % 置信区间；其下为与 {first} 的差值。",
        "test": "测试",
        "metric": "指标",
        "model": "模型",
        "n": "{patients} 名患者的 {n} 张照片",
        "forest": "数值与区间",
        "dots": "圆点为数值，横线为 95 % 置信区间，点线为随机水平。",
        "paired": "配对，同一批照片",
        "unpaired": "未配对",
        "why unpaired": "未配对：报告旁没有同一批照片的逐张概率（--set probabilities=true）；区间由两个模型各自的区间合成，比必要的更宽。",
        "each": "逐项测试",
        "difference": "与 {first} 的差值",
        "models": "模型",
        "preprocessing": "预处理",
        "published": "他人发表的结果",
        "differs": "与我们的方案不同之处",
        "source": "来源",
        "command": "命令",
        "chance": "随机",
        "majority": "最常见类别",
        "mean mask": "平均掩膜",
        "zh": "中文",
        "en": "英文",
        "both": "两种语言",
    },
}
"""Language -> what is said -> in which words."""

PHRASES = {
    r"a mean over (\d+) sets, ours is one": r"\1 个数据集的平均，本结果只有一个",
    r"how many photographs is not told": "未说明照片数量",
    r"(\d+) photographs, ours (\d+)": r"\1 张照片，本结果 \2 张",
    r"(\d+) classes, ours (\d+)": r"\1 类，本结果 \2 类",
    r"ours is not the set as published": "本结果所用并非完整发布的数据集",
    r"the metric is inferred": "指标系推断",
    r"(.+) was asked in other words than (.+)": r"\1 的提示语与 \2 不同",
    r"([\w-]+), ours ([\w-]+)": r"\1，本结果为 \2",
}
"""What differs between two protocols -> the same in Chinese, as regular expressions."""


def phrase(text: str, language: str) -> str:
    """What differs between two protocols, in a language."""
    if language == "en":
        return text
    return next(
        (re.sub(f"^{key}$", said, text) for key, said in PHRASES.items() if re.match(f"^{key}$", text)), text
    )


METRICS_ZH = {
    "accuracy": "准确率",
    "balanced_accuracy": "平衡准确率",
    "macro_auc": "宏平均 AUC",
    "kappa": "二次加权 κ",
    "brier": "Brier 分数 ↓",
    "ece": "校准误差 ECE ↓",
    "rank_auc": "排序 AUC",
    "exact_match": "完全匹配",
    "question_aca": "按问题的平衡准确率",
    "many_auc": "AUC，常见",
    "medium_auc": "AUC，中等",
    "few_auc": "AUC，罕见",
    "many_recall": "召回率，常见",
    "medium_recall": "召回率，中等",
    "few_recall": "召回率，罕见",
}
"""Of metrics that have a name of their own in Chinese."""
