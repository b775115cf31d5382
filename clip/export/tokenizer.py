"""The tokenizer as files that transformers opens without code of ours."""

import os
from pathlib import Path

from clip.model.wordpiece import VOCABULARY
from synth.base.runs import atomic


def write(folder: Path, context: int) -> None:
    """Write `vocab.txt`, `tokenizer.json` and `tokenizer_config.json`: BERT's lower-casing WordPiece of Chinese-CLIP."""
    from transformers import BertTokenizer

    with atomic(folder / "vocab.txt") as temporary:
        temporary.write_bytes(VOCABULARY.read_bytes())
    made = BertTokenizer(os.fspath(folder / "vocab.txt"), do_lower_case=True, model_max_length=context)
    made.save_pretrained(folder)
