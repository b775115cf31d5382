"""What anybody may ask a released CLIP about a patient, in both languages and without any data of his own."""

from collections.abc import Callable, Sequence

import numpy as np

_AGES = (range(20, 45, 5), range(65, 90, 5))
"""In years: the young, the old."""
_SEXES = {"F": ("woman", "女", "女性"), "M": ("man", "男", "男性")}
_RACES = {
    "african": "非洲裔", "black": "黑人", "asian": "亚裔", "caucasian": "白人", "white": "白人", "hispanic": "西班牙裔",
    "latino": "拉丁裔", "chinese": "中国人", "han": "汉族", "indian": "印度人", "malay": "马来人",
}  # fmt: skip


def prompts(name: str, classes: Sequence[str]) -> list[list[str]] | None:
    """The prompts for each class of an attribute, of age for the young and the old; None where none are known for a class."""
    if name == "age":
        return [[text for age in ages for text in _of_age(age)] for ages in _AGES]
    if name == "sex":
        return [_of_sex(*_SEXES[each]) for each in classes] if set(classes) <= set(_SEXES) else None
    return [_of_race(each) for each in classes]


def decisions(
    embeddings: np.ndarray, queries: Sequence[Sequence[str]], texts: Callable[[Sequence[str]], np.ndarray]
) -> np.ndarray:
    """(N, C) cosines of (N, D) photographs with the mean of the prompts of each class, both languages together."""
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    return np.stack([unit @ texts(list(each)).astype(float).mean(axis=0) for each in queries], axis=1)


def _of_age(age: int) -> list[str]:
    return [
        f"a {age}-year-old",
        f"a photograph of the eye of a {age}-year-old patient",
        f"{age}岁",
        f"{age}岁患者的眼底照片",
    ]


def _of_sex(english: str, short: str, long: str) -> list[str]:
    return [f"a {english}", f"a photograph of the eye of a {english}", short, long, f"{long}患者的眼底照片"]


def _of_race(name: str) -> list[str]:
    chinese = _RACES.get(name.lower())
    told = [chinese, f"{chinese}患者的眼底照片"] if chinese else []
    return [f"{name}", f"a photograph of the eye of a patient of {name} race", *told]
