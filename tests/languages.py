"""Pages in two languages: what a page shows, which English is left in a Chinese one, and what its catalogue should hold."""

import ast
import html
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import syntax

from synth.base.templates import environment
from synth.base.translation import LANGUAGES, Catalogue, page_name

FIELD = {
    "AUC", "ROC", "ECE", "Brier", "Dice", "IoU", "FID", "KID", "CLIP", "LoRA", "px", "sha", "arXiv", "Fréchet", "kappa", "IDRiD", "visionclip", "JPEG", "JSON",
}  # fmt: skip
"""Names and abbreviations that Chinese papers write in Latin letters."""
_SEPARATE = r'(?s)<(style|code|title|script)\b.*?</\1>|<(?!html)(\w+)[^>]* lang="en"[^>]*>.*?</\2>|<svg (?!class="forest").*?(?=<text|</svg>)'


def shown(page: str) -> str:
    """What a reader sees of a page, without commands, settings, paths and what is marked as English."""
    text = html.unescape(re.sub(r"<[^>]*>", " ", re.sub(_SEPARATE, " ", page)))
    return re.sub(r"\S*(/|…)\S*", " ", text)


def english(page: str, names: str = "") -> set[str]:
    """English words in a Chinese page, besides names of the field and `names` of data."""
    words = re.findall(
        r"[A-Za-zé]{2,}", re.sub(r"\{\w+\}|--\w+( [A-Z]+)?|\b[\w/-]+\.\w+\b|\w+_\w+", " ", shown(page))
    )
    return set(words) - FIELD - set(re.findall(r"[A-Za-z]+", names))


def numbers(page: str) -> Counter[str]:
    """The numbers that a reader sees, and how often."""
    return Counter(re.findall(r"\d+(?:[.,]\d+)*", shown(page)))


def whole(page: Path, names: str = "") -> None:
    """A page and its Chinese link to each other, show the same numbers, and the Chinese one holds no English."""
    other = page.with_name(page_name(page.name, "zh"))
    texts = [each.read_text(encoding="utf-8") for each in (page, other)]
    for text, linked, language in zip(texts, (other, page), LANGUAGES, strict=True):
        assert f'href="{linked.name}"' in text and f'<html lang="{language}">' in text
    assert not re.search(r"[a-z0-9]\.[A-Z]|[a-z]{2}\.\d", shown(texts[0])), (
        "two sentences without a space between them"
    )
    assert english(texts[1], names) == set()
    assert numbers(texts[0]) == numbers(texts[1])


def messages(folder: Path, catalogue: Catalogue) -> Iterator[str]:
    """The texts that the templates of a folder mark."""
    made = environment(folder, "zh", catalogue)
    for path in folder.glob("*.j2"):
        for _, _, text in made.extract_translations(path.read_text(encoding="utf-8")):  # type: ignore[attr-defined]
            yield text[0] if isinstance(text, tuple) else text


def texts(folders: list[Path]) -> str:
    """Every text of the code and data in some folders."""
    found = []
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(syntax.tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    found += [
        p.read_text(encoding="utf-8")
        for folder in folders
        for p in folder.rglob("*.yaml")
        if p.name != "zh.yaml"
    ]
    return "\n".join(found).replace("-", " ")


def unused(folder: Path, catalogue: Catalogue, code: list[Path]) -> set[str]:
    """Entries that no template, or no text of the code, has."""
    said = texts(code)
    return set(catalogue.pages) - set(messages(folder, catalogue)) | {
        text
        for text in catalogue.code
        if not all(
            part.strip() in said
            for part in re.split(r"%\(\w+\)[sdf]", text.replace("%%", "%").replace("-", " "))
        )
    }
