"""The pages that people read first: their fenced blocks, the commands in them, the same commands scaled down, their sentences."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
COMMANDS = ("synth", "clip", "privacy")
READ_FIRST = [
    *(ROOT / name for name in ("README.md", "README.zh-CN.md")),
    *(ROOT / "docs" / name for name in ("index.md", "faq.md", "troubleshooting.md")),
    *(
        each
        for room in ("tutorials", "how-to", "explanation")
        for each in sorted((ROOT / "docs" / room).glob("*.md"))
    ),
]
"""What has short sentences."""
TYPED = [
    *(page for page in READ_FIRST if "README" in page.name or page.parent.name in ("tutorials", "how-to")),
    *(ROOT / "docs" / name for name in ("use.md", "evaluation.md")),
]
"""Whose commands are run, one page after another, each from top to bottom."""
LANGUAGES = {"sh", "yaml", "python", "text", "csv", "json"}
"""Of fenced blocks: a block without one would be skipped without a word."""

TOWERS = ["image.layers=[1,1,1,1]", "image.width=8", "text.layers=1", "text.width=32", "text.heads=2",
          "text.feedforward=64", "embedding=32", "preprocessing.size=32"]  # fmt: skip
SMALLER = {
    "synth train": ["images=32", "batch=16", "micro_batch=16", "save_every=32", "network.channels=[16,32]", "network.attention_from=1"],
    "synth train --start": ["images=32", "batch=16", "micro_batch=16", "save_every=32", "autoencoder.images=32",
                            "autoencoder.batch=16", "autoencoder.save_every=32"],
    "clip train": ["images=64", "batch=16", "warmup=16", "save_every=64", *(f"model.{each}" for each in TOWERS)],
    "clip train eyeclip": ["images=32", "batch=16", "warmup=16", "save_every=32", "model.text.layers=1"],
    "clip eval": ["n_bootstrap=20", "min_count=1"],
    "clip eval few-shot": ["n_bootstrap=20", "min_count=1", "shots=[1]", "draws=2", "steps=5"],
    "clip eval finetune": ["n_bootstrap=20", "min_count=1", "epochs=1"],
    "clip eval segmentation": ["n_bootstrap=20", "min_count=1", "epochs=1"],
    "synth evaluate": ["classifier.images=64", "classifier.batch=16", "reported=1", "headline=1", "n_bootstrap=20",
                       "n_subsamples=5", "k=2", "classifier.min_count=1"],
    "privacy audit": ["permutations=60", "bootstrap=100", "untrained_seeds=1", "detection_rounds=50", "folds=2",
                      "membership_patients=20", "likelihood_patients=20", "membership_controls=20", "copies_steps=10"],
    "privacy canary score": ["bootstrap=100", "canary_draws=1", "canary_steps=[50,500]"],
}  # fmt: skip
"""What a command is given besides what the page says, so that it ends in seconds; its own `--set` comes after."""
SCALED = "scaled.yaml"
"""A config of the towers that a scaled training has, for an export that needs to know them."""
COUNTS = {"synth phantom": 60, "synth generate": 24}
"""The largest `--n`."""
STATUS = {"privacy audit": {0, 3, 4, 5}, "privacy canary score": {0, 3, 4, 5}, "clip doctor": {0, 3}}
"""Exit statuses that are answers; else 0 alone."""


class Block(NamedTuple):
    """One fenced block: its page, the line where it begins, its language and what is in it."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL):
        yield Block(page, text[: found.start()].count("\n") + 1, found[2], found[3])


def lines(block: Block) -> list[str]:
    """The command lines of a block: continued ones joined, comments left out."""
    joined = re.sub(r"\\\n\s*", " ", block.text).splitlines()
    return [line for each in joined if (line := re.sub(r"(^|\s+)#.*", "", each).strip())]


def scaled(words: list[str]) -> list[str]:
    """The same command of ours, over in seconds: fewer pictures, smaller networks, fewer resamples."""
    verb = name(words)
    place = len(verb.split())
    small, rest = [*words], words[place:]
    if "--dry-run" in rest:
        return small
    if verb in COUNTS and "--n" in rest:
        number = small.index("--n") + 1
        small[number] = str(min(int(small[number]), COUNTS[verb] * (3 if "--marks" in rest else 1)))
    if verb == "synth generate":
        small += ["--workers", "1"]
        if "fundus256-4" not in rest and "--steps" not in rest:
            small += ["--steps", "2", "--guidance", "1"]
    if verb == "clip export" and "--config" in rest:
        small[small.index("--config") + 1] = SCALED
    if verb == "clip eval" and "--benchmark" in rest:
        small += ["--partial"]  # what the tests have of a benchmark is drawn, and fewer
    task = f"{verb} {rest[rest.index('--task') + 1]}" if "--task" in rest else verb
    verb = task if task in SMALLER else verb
    kind = f"{verb} eyeclip" if "eyeclip-tiny" in rest else f"{verb} --start" if "--start" in rest else verb
    return (
        small[:place] + [part for each in SMALLER.get(kind, []) for part in ("--set", each)] + small[place:]
    )


def name(words: list[str]) -> str:
    """`synth generate`, `privacy canary plant`."""
    return " ".join(words[: 3 if words[:2] == ["privacy", "canary"] else 2])


def words(line: str) -> list[str]:
    return shlex.split(line)


def prose(page: Path) -> str:
    """A page without fenced blocks, comments, tables' rules, addresses of links, and marks of emphasis."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "CODE", text)
    return re.sub(r"[*_]{1,2}", "", text)


def sentences(page: Path) -> Iterator[str]:
    """The sentences of a page; a paragraph, an item of a list, a heading and a cell of a table each end one."""
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*|#>]|\d+\.)\s*)", prose(page)):
        for cell in re.split(r"\s\|\s|^\||\|$", paragraph.strip()):
            for sentence in re.split(r"(?<=[.!?])\s+|(?<=[。！？])", " ".join(cell.split())):
                if re.search(r"\w", sentence):
                    yield sentence.strip()
