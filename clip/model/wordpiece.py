"""Texts as token ids: the lower-casing WordPiece of BERT over the vocabulary of BERT-Base, Chinese (`vocab.txt`).

The library `tokenizers` cuts words into pieces.  Its own `BertNormalizer` differs from Google's `tokenization.py`, which
Chinese-CLIP runs, in 138,000 rare characters (private use, later Unicode), so what comes before is done as there.
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import BertProcessing
from torch import Tensor

VOCABULARY = files("clip.model").joinpath("vocab.txt")
VOCABULARY_SIZE = 21_128
PAD = 0
"""The token that the attention mask leaves out; `[PAD]` of the vocabulary."""

_LONGEST_WORD = 200
"""Characters; a longer word is unknown."""
_HAN = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF), (0x2F800, 0x2FA1F),
)  # fmt: skip
"""Code points of Chinese characters, each of which is a word."""
_ASCII_PUNCTUATION = ((33, 47), (58, 64), (91, 96), (123, 126))


class _Cleaned(dict[int, str]):
    """What stands for a character at first: nothing for a control, a space for a blank, a Chinese one by itself."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        if character in "\t\n\r" or kind == "Zs":
            shown = " "
        elif code in (0, 0xFFFD) or kind in ("Cc", "Cf"):
            shown = ""
        else:
            shown = f" {character} " if _within(code, _HAN) else character
        return self.setdefault(code, shown)


class _Split(dict[int, str]):
    """What stands for a character of lower-cased, decomposed text: no accents, punctuation by itself."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        if kind == "Mn":
            shown = ""
        else:
            shown = f" {character} " if kind[0] == "P" or _within(code, _ASCII_PUNCTUATION) else character
        return self.setdefault(code, shown)


_CLEANED, _SPLIT = _Cleaned(), _Split()


def tokenize(texts: Sequence[str], context: int) -> Tensor:
    """(N, context) int64 token ids: [CLS] text [SEP], cut or padded, as `cn_clip.clip.tokenize` does."""
    tokenizer = _tokenizer(context)
    # One by one: the threads of `encode_batch` do not survive the fork of a worker.
    rows = [tokenizer.encode(_words(text)).ids for text in texts]
    return torch.tensor(rows, dtype=torch.int64).reshape(len(texts), context)


def _words(text: str) -> str:
    cleaned = text.translate(_CLEANED).lower()
    return unicodedata.normalize("NFD", cleaned).translate(_SPLIT)


def _within(code: int, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(first <= code <= last for first, last in ranges)


@lru_cache(maxsize=8)
def _tokenizer(context: int) -> Tokenizer:
    lines = (
        VOCABULARY.read_text(encoding="utf-8").rstrip("\n").split("\n")
    )  # two tokens are line ends to splitlines
    vocabulary = {token.strip(): number for number, token in enumerate(lines)}
    pieces = WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=_LONGEST_WORD)
    made = Tokenizer(pieces)
    made.pre_tokenizer = WhitespaceSplit()  # type: ignore[assignment]
    made.post_processor = BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))  # type: ignore[assignment]
    made.enable_truncation(context)
    made.enable_padding(length=context, pad_id=PAD)
    return made
