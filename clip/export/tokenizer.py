"""The tokenizer as files that transformers opens without code of ours."""

import os
from importlib.resources import files
from pathlib import Path

from synth.base.runs import atomic


def write(folder: Path, context: int) -> None:
    """Write `vocab.txt`, `tokenizer.json` and `tokenizer_config.json`: BERT's lower-casing WordPiece of Chinese-CLIP."""
    from transformers import BertTokenizer

    with atomic(folder / "vocab.txt") as temporary:
        temporary.write_bytes(files("cn_clip.clip").joinpath("vocab.txt").read_bytes())
    made = BertTokenizer(os.fspath(folder / "vocab.txt"), do_lower_case=True, model_max_length=context)
    made.save_pretrained(folder)
