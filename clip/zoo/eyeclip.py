"""EyeCLIP: OpenAI's ViT-B/32 with a decoder for masked patches that only its training needs."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clip.zoo import weights
from clip.zoo.foreign import Foreign, ForeignConfig, fetch
from clip.zoo.preprocessing import ForeignPreprocessing
from synth.base import extras
from synth.base.errors import UserError

_TRAINING_ONLY = ("visual.decoder.", "input_resolution", "context_length", "vocab_size")


def load(source: str) -> Foreign:
    """EyeCLIP from the file that its authors publish (`model_state_dict`), Michi-3000/EyeCLIP commit 7b3f2bc.

    Class names stand without a template, as in its `zero_shot.py`.

    Raises:
        UserError: no such file, or not EyeCLIP's.
    """
    extras.require(f"eyeclip:{source}", "open_clip")
    from open_clip import get_tokenizer
    from open_clip.model import build_model_from_openai_state_dict

    path = fetch(source, ("eyeclip.pt", "eyeclip_visual.pt"))
    found = _complete(weights.read(path), path)
    try:
        model: Any = build_model_from_openai_state_dict(found, quick_gelu=True, cast_dtype=torch.float32)
    except (RuntimeError, KeyError, ValueError) as error:
        told = str(error).splitlines()[-1].strip()
        raise UserError(f"{path}: not EyeCLIP's weights ({told})") from None
    size = model.visual.image_size
    return Foreign(
        ForeignConfig(
            kind="eyeclip",
            name=f"ViT, {model.visual.conv1.weight.shape[-1]} px patches",
            embedding=found["text_projection"].shape[1],
            context=model.context_length,
            languages=("en",),
            preprocessing=ForeignPreprocessing(
                name="shortest-side", size=size if isinstance(size, int) else size[0]
            ),
        ),
        model.visual.float(),
        model.float(),
        get_tokenizer("ViT-B-32", context_length=model.context_length),
        model.logit_scale,
        path,
    )


def _complete(found: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    kept = {name: value for name, value in found.items() if not name.startswith(_TRAINING_ONLY)}
    lacking = [
        name
        for name in ("visual.proj", "text_projection", "token_embedding.weight", "logit_scale")
        if name not in kept
    ]
    if lacking:
        raise UserError(
            f"{path}: not EyeCLIP's weights: {', '.join(lacking)} missing; take eyeclip.pt, with both towers"
        )
    return kept
