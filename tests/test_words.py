"""Public names, reports and docs use the field's words: house words may not come back."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from syntax import ROOT, modules, tree

WORDS = yaml.safe_load((Path(__file__).parent / "words.yaml").read_text(encoding="utf-8"))


def parts(name: str) -> set[str]:
    """The words of a name: `of_strangers` and `JudgeConfig` hold `strangers` and `judge`."""
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def public_names(path: Path) -> Iterator[str]:
    """Module, classes, functions, parameters and fields of a file, without what begins with an underscore."""
    yield path.stem if path.stem != "__init__" else path.parent.name
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name
            for inner in node.body:
                if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                    yield inner.target.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name
            arguments = node.args
            yield from (each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))


@pytest.mark.parametrize("package", ["synth", "clip", "privacy"])
def test_public_names_hold_no_house_word(package):
    banned, allowed = set(WORDS["names"]), set(WORDS["allowed"])
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules().values()
        if path.relative_to(ROOT).parts[0] == package
        for name in public_names(path)
        if name not in allowed and parts(name) & banned
    ]
    assert not found, "\n".join(found)


def test_docs_and_report_texts_hold_no_house_word():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    pages += [
        path for package in ("synth", "clip", "privacy") for path in sorted((ROOT / package).rglob("*.j2"))
    ]
    pattern = re.compile("|".join(rf"\b{word}\b" for word in WORDS["prose"]), re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in pages
        if path.name not in WORDS["pages_that_tell_of_them"]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)


def test_messages_hold_no_house_word():
    """What the commands print and reports say: every text in the code."""
    pattern = re.compile("|".join(rf"\b{word}\b" for word in WORDS["prose"]), re.IGNORECASE)
    found = []
    for path in modules().values():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            if node.value not in WORDS["keys"] and pattern.search(node.value):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value.strip()[:80]!r}")
    assert not found, "\n".join(found)
