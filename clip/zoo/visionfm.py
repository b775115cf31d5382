"""VisionFM: a vision transformer that learnt from photographs of the eye without texts, by iBOT; an image tower alone."""

from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from clip.zoo import weights
from clip.zoo.foreign import Foreign, ForeignConfig, fetch
from clip.zoo.preprocessing import VISIONFM_MEAN, VISIONFM_STD, ForeignPreprocessing
from clip.zoo.retfound import architecture, plain
from synth.base.errors import UserError

_BLOCKS = 4
"""Last blocks whose class tokens its classifiers take."""


class LastBlocks(VisionTransformer):
    """The class tokens of the last four blocks, each normalised, side by side."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(B, 4 D) from (B, 3, S, S), the earliest block first; fewer than four where there are fewer blocks."""
        count = min(_BLOCKS, len(self.blocks))
        levels: Any = self.forward_intermediates(
            x, indices=count, norm=True, return_prefix_tokens=True, intermediates_only=True
        )
        return torch.cat([prefix[:, 0] for _, prefix in levels], dim=1)


def load(source: str) -> Foreign:
    """VisionFM from its authors' file, ABILab-CUHK/VisionFM commit 292ba95: `teacher`, or what its fine-tuning writes.

    Features are what `finetune_visionfm_for_multiclass_classification.py` gives its classifier by default: the class
    tokens of the last four blocks.  Pictures are squashed and scaled by the means of its fundus photographs
    (`utils.get_stats`).

    Raises:
        UserError: no such file, not a vision transformer's, RETFound's, or by its name of another modality.
    """
    path = fetch(source, ("VFM_Fundus_weights.pth",))
    if path.name.startswith("VFM_") and not path.name.startswith("VFM_Fundus"):
        raise UserError(
            f"{path}: by its name VisionFM's encoder of another modality, with other statistics; take VFM_Fundus_weights.pth"
        )
    found = weights.read(path)
    kept = plain(found)
    if any(".ls1." in name or name.startswith("decoder_") for name in found):
        raise UserError(f"{path}: a decoder or layer scale, which RETFound has; write retfound:{path}")
    shape = architecture(kept, path, "VisionFM")
    tower = LastBlocks(**shape, global_pool="token")
    weights.fit(tower, kept, str(path))
    count = min(_BLOCKS, shape["depth"])
    config = ForeignConfig(
        kind="visionfm",
        name=f"ViT, width {shape['embed_dim']}, class tokens of {count} blocks",
        embedding=count * shape["embed_dim"],
        preprocessing=ForeignPreprocessing(
            name="squash", size=shape["img_size"], mean=VISIONFM_MEAN, std=VISIONFM_STD
        ),
    )
    return Foreign(config, tower, file=path)
