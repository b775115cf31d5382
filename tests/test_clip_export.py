"""Ours and Chinese-CLIP's are one model under two sets of names."""

from pathlib import Path

import pytest
import torch

from clip import embed
from clip.encoders import CLIP, ClipConfig, ImageTower, TextTower, build, tokenize
from clip.exporting import cn_clip as export
from synth.base import checkpoint
from synth.base.errors import UserError
from synth.fundus.images import Preprocessing

TEXTS = ["疑似青光眼。", "Suspected moderate diabetic retinopathy, left eye.", "未见明显异常。"]

SMALL = ClipConfig(
    image=ImageTower(layers=(1, 2, 1, 1), width=16),
    text=TextTower(layers=2, width=64, heads=4, feedforward=128, positions=64),
    embedding=32,
    preprocessing=Preprocessing(size=64),
)


def theirs(config: ClipConfig) -> torch.nn.Module:
    """Chinese-CLIP's own class, with random weights and random BatchNorm statistics."""
    from cn_clip.clip.model import CLIP as ChineseCLIP

    torch.manual_seed(0)
    model = ChineseCLIP(
        embed_dim=config.embedding,
        image_resolution=config.preprocessing.size,
        vision_layers=tuple(config.image.layers or (3, 4, 6, 3)),  # type: ignore[arg-type]
        vision_width=config.image.width,
        vision_patch_size=None,  # type: ignore[arg-type]
        vocab_size=21128,
        text_attention_probs_dropout_prob=0.1,
        text_hidden_act="gelu",
        text_hidden_dropout_prob=0.1,
        text_hidden_size=config.text.width,
        text_initializer_range=0.02,
        text_intermediate_size=config.text.feedforward,
        text_max_position_embeddings=config.text.positions,
        text_num_attention_heads=config.text.heads,
        text_num_hidden_layers=config.text.layers,
        text_type_vocab_size=2,
    )
    randomise(model)
    return model.eval()


def randomise(model: torch.nn.Module) -> None:
    """Move BatchNorm off its start, where a swapped or forgotten norm would not show."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
            torch.nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)


def difference(ours: CLIP, other: torch.nn.Module) -> float:
    """The largest difference of image and text embeddings of length 1."""
    side = ours.config.preprocessing.size
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    tokens = tokenize(TEXTS[:2], ours.config.context)
    with torch.inference_mode():
        pairs = zip(ours(images, tokens), other(images, tokens), strict=True)
        return max((a - b).abs().max().item() for a, b in pairs)


def test_tokens_are_those_of_cn_clip():
    import cn_clip.clip

    assert torch.equal(tokenize(TEXTS, 52), cn_clip.clip.tokenize(TEXTS, 52))
    assert torch.equal(tokenize(["眼" * 90], 52), cn_clip.clip.tokenize(["眼" * 90], 52))


def test_a_small_chinese_clip_and_ours_loaded_from_it_agree():
    other = theirs(SMALL)
    assert difference(export.ours(SMALL, other.state_dict(), "cn_clip"), other) < 1e-5


def test_our_exported_checkpoint_loads_into_chinese_clip(tmp_path):
    model = build(SMALL, 3)
    randomise(model)
    checkpoint.save(tmp_path / "ckpt.pt", embed.header(model, images=0) | {"weights": model.state_dict()})
    export.to_cn_clip(tmp_path / "ckpt.pt", tmp_path / "cn.pt")
    content = torch.load(tmp_path / "cn.pt", weights_only=True)
    other = theirs(SMALL)
    other.load_state_dict({name.removeprefix("module."): t for name, t in content["state_dict"].items()})
    assert difference(model.eval(), other) < 1e-5


def test_a_round_trip_through_chinese_clip_changes_no_weight(tmp_path):
    model = build(SMALL, 4)
    checkpoint.save(tmp_path / "ckpt.pt", embed.header(model, images=0) | {"weights": model.state_dict()})
    export.to_cn_clip(tmp_path / "ckpt.pt", tmp_path / "cn.pt")
    export.from_cn_clip(tmp_path / "cn.pt", SMALL, tmp_path / "back.pt")
    back = embed.load_model(tmp_path / "back.pt").state_dict()
    assert all(torch.equal(tensor, back[name]) for name, tensor in model.state_dict().items())


def test_the_full_size_pair_agrees_in_both_directions(tmp_path):
    """RN50 + RoBERTa-wwm-ext-base-chinese, 140,780,385 parameters."""
    config = ClipConfig()
    other = theirs(config)
    model = export.ours(config, other.state_dict(), "cn_clip")
    for each in (model, other):
        assert sum(parameter.numel() for parameter in each.parameters()) == 140_780_385
    assert difference(model, other) < 1e-5
    checkpoint.save(tmp_path / "ckpt.pt", embed.header(model, images=0) | {"weights": model.state_dict()})
    export.to_cn_clip(tmp_path / "ckpt.pt", tmp_path / "cn.pt")
    for tensor in other.state_dict().values():
        tensor.zero_()
    weights = torch.load(tmp_path / "cn.pt", weights_only=True)["state_dict"]
    other.load_state_dict({name.removeprefix("module."): tensor for name, tensor in weights.items()})
    assert difference(model, other) < 1e-5


def test_another_architecture_is_refused(tmp_path):
    weights = theirs(SMALL).state_dict()
    deeper = SMALL.model_copy(update={"image": ImageTower(layers=(1, 3, 1, 1), width=16)})
    with pytest.raises(UserError, match=r"cn\.pt: 'visual.layer2.2.*' is missing; does --config name"):
        export.ours(deeper, weights, "cn.pt")
    wider = SMALL.model_copy(update={"embedding": 64})
    with pytest.raises(UserError, match=r"size mismatch .*; does --config name"):
        export.ours(wider, weights, "cn.pt")
    flat = SMALL.model_copy(update={"image": ImageTower(name="resnet10t")})
    with pytest.raises(UserError, match="use 'resnet50_clip'"):
        export.ours(flat, weights, "cn.pt")
    torch.save({"state": 1}, tmp_path / "foreign.pt")
    with pytest.raises(UserError, match="no 'state_dict' in it"):
        export.from_cn_clip(Path(tmp_path / "foreign.pt"), SMALL, tmp_path / "out.pt")
