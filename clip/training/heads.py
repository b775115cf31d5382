"""Attention heads that files of weights tell, which no shape does: other heads give other features without a word."""

from pathlib import Path
from typing import Any

from torch import nn

from clip.zoo.chinese_clip import HEAD_WIDTH, HEADS
from synth.base.documents import read_mapping


def of(tower: nn.Module) -> int | None:
    """Those of a transformer of timm; None of another network."""
    blocks: Any = getattr(tower, "blocks", None)
    attention = (
        getattr(blocks[0], "attn", None) if isinstance(blocks, nn.Sequential) and len(blocks) else None
    )
    return getattr(attention, "num_heads", None)


def of_text(path: Path, content: Any) -> int | None:
    """Those of a text tower, as its folder's `config.json`, a checkpoint of ours or Chinese-CLIP's file tells them."""
    if path.is_dir() and (path / "config.json").is_file():
        config = read_mapping(path / "config.json")
        text = config.get("text_config")
        return _whole((text if isinstance(text, dict) else config).get("num_attention_heads"))
    return _whole(_inner(content, "model", "text", "heads") or _inner(content, HEADS))


def of_image(content: Any, name: str) -> int | None:
    """Those of an image tower, as a checkpoint of ours of the timm network `name`, or Chinese-CLIP's file, tells them."""
    if _inner(content, "model", "image", "name") == name:
        return _whole(_inner(content, "model", "image", "kwargs", "num_heads"))
    width, head = _inner(content, "state_dict", "visual.conv1.weight"), _whole(_inner(content, HEAD_WIDTH))
    width = _inner(content, "state_dict", "module.visual.conv1.weight") if width is None else width
    return None if width is None or not head else len(width) // head


def _inner(content: Any, *keys: str) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
