"""RETFound: a vision transformer that learnt from retinal photographs without texts; an image tower alone."""

from pathlib import Path

from torch import Tensor

from clip.zoo import weights
from clip.zoo.foreign import Foreign, ForeignConfig, fetch
from clip.zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD, ForeignPreprocessing
from synth.base.errors import UserError

_TRAINING_ONLY = ("decoder_", "mask_token", "head.", "dino_head.", "ibot_head.")
_HEAD_WIDTH = 64  # of ViT-S to ViT-L; no weight tells it


def load(source: str) -> Foreign:
    """RETFound from its authors' file (rmaphoh/RETFound_MAE): `model` of the MAE, `teacher` of the DINOv2 version.

    Features are those that its fine-tuning starts from: of the MAE the mean of the patch tokens, normalised; of
    DINOv2 the class token.

    Raises:
        UserError: no such file, or not a vision transformer's.
    """
    name = source.rpartition("/")[2]
    path = fetch(source, (f"{name}.pth",))
    return from_weights(weights.read(path), path)


def plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the encoder alone, under timm's names."""
    named = {name.removeprefix("backbone."): value for name, value in tensors.items()}
    return {name: value for name, value in named.items() if not name.startswith(_TRAINING_ONLY)}


def from_weights(tensors: dict[str, Tensor], path: Path) -> Foreign:
    """The tower whose shape the weights tell."""
    from timm.models.vision_transformer import VisionTransformer

    kept = plain(tensors)
    absent = [name for name in ("cls_token", "pos_embed", "patch_embed.proj.weight") if name not in kept]
    if absent:
        raise UserError(f"{path}: not RETFound's weights: {', '.join(absent)} missing")
    width, _, patch, _ = kept["patch_embed.proj.weight"].shape
    side = round((kept["pos_embed"].shape[1] - 1) ** 0.5) * patch
    scaled = "blocks.0.ls1.gamma" in kept  # DINOv2
    if not scaled:  # the MAE's own last norm is for its decoder; fine-tuning begins with a fresh one
        kept = {name: value for name, value in kept.items() if not name.startswith("norm.")}
    tower = VisionTransformer(
        img_size=side,
        patch_size=patch,
        embed_dim=width,
        depth=1 + max(int(name.split(".")[1]) for name in kept if name.startswith("blocks.")),
        num_heads=max(1, width // _HEAD_WIDTH),
        mlp_ratio=kept["blocks.0.mlp.fc1.weight"].shape[0] / width,
        init_values=1e-5 if scaled else None,
        num_classes=0,
        global_pool="token" if scaled else "avg",
    )
    weights.fit(tower, kept, str(path), may_lack=("fc_norm.",))
    config = ForeignConfig(
        kind="retfound",
        name=f"ViT, width {width}, {'DINOv2' if scaled else 'MAE'}",
        embedding=width,
        preprocessing=ForeignPreprocessing(
            name="shortest-side", size=side, resize=side * 256 // 224, mean=IMAGENET_MEAN, std=IMAGENET_STD
        ),
    )
    return Foreign(config, tower, file=path)
