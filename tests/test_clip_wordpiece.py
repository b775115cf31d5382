"""The tokenizer computes what Chinese-CLIP's does, in every character there is."""

import random
import subprocess
import sys

import pytest
import torch

from clip.model.wordpiece import VOCABULARY, VOCABULARY_SIZE, tokenize

TEXTS = [
    "", " ", "右眼底照片，显示重度非增殖期糖尿病视网膜病变，伴黄斑水肿。", "A fundus photograph of the LEFT eye with severe NPDR.",
    "左眼OCT：CRT＝３８５μm，视力0.8", "ＣＮＶ（湿性ＡＭＤ）", "黄斑👁️‍🗨️出血😀", "naïve café Ménière coöperate Ångström", "Σίσυφος ΟΔΟΣ",
    "İstanbul ﬁbrosis Ⅳ期 ①", "眼\u200b底\ufeff\x00\x07照\ufffd片", "a\u2028b\u2029c\x85d\x1ce", "[CLS] [MASK] ##ing [unused1]",
    "pneumonoultramicroscopicsilicovolcanoconiosis", "x" * 200, "x" * 201, "眼" * 90, "\ue000\U000f0000 \U0002b820㐀豈",
]  # fmt: skip


def theirs(texts: list[str], context: int = 52) -> torch.Tensor:
    return pytest.importorskip("cn_clip.clip", exc_type=ImportError).tokenize(texts, context)


def test_texts_of_every_kind_are_those_of_cn_clip():
    for context in (3, 52, 256):
        assert torch.equal(tokenize(TEXTS, context), theirs(TEXTS, context))


def test_every_character_of_unicode_is_that_of_cn_clip():
    """Each beside its neighbours, within a word; above U+E000 every third."""
    characters = [chr(code) for code in (*range(0xD800), *range(0xE000, 0x30000, 3))]
    texts = ["a".join(characters[start : start + 16]) for start in range(0, len(characters), 16)]
    assert torch.equal(tokenize(texts, 64), theirs(texts, 64))


def test_a_mixture_of_all_scripts_is_that_of_cn_clip():
    dice = random.Random(0)
    words = VOCABULARY.read_text(encoding="utf-8").split()
    texts = [
        "".join(dice.choice([*dice.sample(words, 3), " ", chr(dice.randrange(0xD800))]) for _ in range(20))
        for _ in range(500)
    ]
    assert torch.equal(tokenize(texts, 52), theirs(texts, 52))


def test_a_newer_vocabulary_would_be_seen():
    """Rows of the word embedding are numbered by lines of this file."""
    lines = VOCABULARY.read_bytes().split(b"\n")[:-1]
    assert (len(lines), lines[101], lines[4706]) == (VOCABULARY_SIZE, b"[CLS]", "眼".encode())


def test_importing_clip_loads_neither_cn_clip_nor_flash_attn():
    """cn_clip asks for flash_attn's first version as soon as any is there, and dies of the second."""
    code = (
        "import sys, clip, clip.training.batches, clip.inputs, clip.loading; "
        "from clip.model.wordpiece import tokenize; tokenize(['眼'], 8); "
        "sys.exit(bool({'cn_clip', 'flash_attn', 'lmdb'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
