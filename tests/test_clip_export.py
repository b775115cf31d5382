"""Ours in the forms of other libraries is one model under other names: Chinese-CLIP, ONNX, transformers, timm, open_clip."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from clip import embed, export, loading
from clip.commands.app import app
from clip.export import cn_clip, huggingface, metadata, onnx
from clip.model import checkpoints
from clip.model.encoders import CLIP, ClipConfig, ImageTower, TextTower, build
from clip.model.wordpiece import tokenize
from synth.base import checkpoint
from synth.base.errors import UserError
from synth.data.images import Preprocessing

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
    assert difference(cn_clip.ours(SMALL, other.state_dict(), "cn_clip"), other) < 1e-5


def test_our_exported_checkpoint_loads_into_chinese_clip(tmp_path):
    model = build(SMALL, 3)
    randomise(model)
    checkpoint.save(
        tmp_path / "ckpt.pt", checkpoints.header(model, images=0) | {"weights": model.state_dict()}
    )
    cn_clip.to_cn_clip(tmp_path / "ckpt.pt", tmp_path / "cn.pt")
    content = torch.load(tmp_path / "cn.pt", weights_only=True)
    other = theirs(SMALL)
    other.load_state_dict({name.removeprefix("module."): t for name, t in content["state_dict"].items()})
    assert difference(model.eval(), other) < 1e-5


def test_a_round_trip_through_chinese_clip_changes_no_weight(tmp_path):
    model = build(SMALL, 4)
    checkpoint.save(
        tmp_path / "ckpt.pt", checkpoints.header(model, images=0) | {"weights": model.state_dict()}
    )
    cn_clip.to_cn_clip(tmp_path / "ckpt.pt", tmp_path / "cn.pt")
    cn_clip.from_cn_clip(tmp_path / "cn.pt", SMALL, tmp_path / "back.pt")
    assert difference(model.eval(), loading.load_model(f"cn_clip:{tmp_path / 'cn.pt'}")) < 1e-5
    two = SMALL.model_copy(update={"text": SMALL.text.model_copy(update={"heads": 2})})
    with pytest.raises(
        UserError, match=r"text_num_attention_heads=4, where --config says model\.text\.heads=2"
    ):
        cn_clip.from_cn_clip(tmp_path / "cn.pt", two, tmp_path / "other.pt")
    back = loading.load_model(tmp_path / "back.pt").state_dict()
    assert all(torch.equal(tensor, back[name]) for name, tensor in model.state_dict().items())


@pytest.mark.slow
def test_the_full_size_pair_agrees_in_both_directions(tmp_path):
    """RN50 + RoBERTa-wwm-ext-base-chinese, 140,780,385 parameters."""
    config = ClipConfig()
    other = theirs(config)
    model = cn_clip.ours(config, other.state_dict(), "cn_clip")
    for each in (model, other):
        assert sum(parameter.numel() for parameter in each.parameters()) == 140_780_385
    assert difference(model, other) < 1e-5
    checkpoint.save(
        tmp_path / "ckpt.pt", checkpoints.header(model, images=0) | {"weights": model.state_dict()}
    )
    cn_clip.to_cn_clip(tmp_path / "ckpt.pt", tmp_path / "cn.pt")
    for tensor in other.state_dict().values():
        tensor.zero_()
    weights = torch.load(tmp_path / "cn.pt", weights_only=True)["state_dict"]
    other.load_state_dict({name.removeprefix("module."): tensor for name, tensor in weights.items()})
    assert difference(model, other) < 1e-5


def test_another_architecture_is_refused(tmp_path):
    weights = theirs(SMALL).state_dict()
    deeper = SMALL.model_copy(update={"image": ImageTower(layers=(1, 3, 1, 1), width=16)})
    with pytest.raises(UserError, match=r"cn\.pt: 'visual.layer2.2.*' is missing; does --config name"):
        cn_clip.ours(deeper, weights, "cn.pt")
    wider = SMALL.model_copy(update={"embedding": 64})
    with pytest.raises(UserError, match=r"size mismatch .*; does --config name"):
        cn_clip.ours(wider, weights, "cn.pt")
    flat = SMALL.model_copy(update={"image": ImageTower(name="resnet10t")})
    with pytest.raises(UserError, match="use 'resnet50_clip'"):
        cn_clip.ours(flat, weights, "cn.pt")
    torch.save({"state": 1}, tmp_path / "foreign.pt")
    with pytest.raises(UserError, match="no 'state_dict' in it"):
        cn_clip.from_cn_clip(Path(tmp_path / "foreign.pt"), SMALL, tmp_path / "out.pt")


# Other libraries

SQUARE = {"preprocessing": Preprocessing(size=32)}
RESNET = SMALL.model_copy(update=SQUARE)
NEEDS_BATCH_NORM = pytest.mark.xfail(
    torch.__version__.startswith("2.6."), reason="torch 2.6 does not write batch norm in ONNX", strict=True
)
VIT = SMALL.model_copy(
    update=SQUARE
    | {
        "image": ImageTower(
            name="vit_base_patch32_clip_quickgelu_224",
            kwargs={"embed_dim": 48, "depth": 2, "num_heads": 2, "patch_size": 8, "img_size": 32},
        )
    }
)
CONVOLUTIONS = SMALL.model_copy(update=SQUARE | {"image": ImageTower(name="resnet10t")})


def saved(config: ClipConfig, path: Path) -> CLIP:
    """A checkpoint whose every weight is away from its start, biases too."""
    model = build(config, 5)
    randomise(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".bias") and ("norm" in name or "head" in name or "patch" in name):
                parameter.normal_(std=0.2)
    checkpoint.save(path, checkpoints.header(model, images=7) | {"weights": model.state_dict()})
    return model.eval()


def features(model: CLIP) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings of length 1 of two noise pictures and of `TEXTS`."""
    pictures = torch.from_numpy(embed.pixels(model, metadata.squares(model)[:2]))
    return pictures, torch.from_numpy(embed.texts(model, TEXTS))


def near(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (one - torch.nn.functional.normalize(other, dim=-1)).abs().max().item() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    "config", [pytest.param(RESNET, id="resnet", marks=NEEDS_BATCH_NORM), pytest.param(VIT, id="vit")]
)
def test_onnx_takes_any_batch_and_agrees_with_torch(config, tmp_path):
    """By what a stranger has: the two files, the vocabulary, and what the metadata say."""
    import onnxruntime
    from transformers import BertTokenizer

    model = saved(config, tmp_path / "ckpt.pt")
    result = CliRunner().invoke(
        app, ["export", str(tmp_path / "ckpt.pt"), "--to", "onnx", "--out", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.count("to torch, batches of 1 and 7") == 2
    image, text = (onnxruntime.InferenceSession(tmp_path / f"{name}.onnx") for name in ("image", "text"))
    told = json.loads(image.get_modelmeta().custom_metadata_map["visionclip"])
    assert told["preprocessing"] == config.preprocessing.model_dump() and told["images_seen_in_training"] == 7
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    side = told["preprocessing"]["size"]
    for size in (1, 3, 7):
        squares = np.random.default_rng(size).integers(0, 256, (size, side, side, 3), dtype=np.uint8)
        [found] = image.run(None, {"pixels": squares})
        assert np.abs(np.asarray(found) - embed.pixels(model, squares)).max() < 1e-4
        said = (TEXTS * 3)[:size]
        tokens = tokenizer(said, padding="max_length", truncation=True, max_length=told["context"])[
            "input_ids"
        ]
        [found] = text.run(None, {"tokens": np.array(tokens)})
        assert np.abs(np.asarray(found) - embed.texts(model, said)).max() < 1e-4


@pytest.mark.slow
def test_onnx_that_differs_would_be_seen(tmp_path):
    """The check that the command makes is not one that always passes."""
    one, other = saved(VIT, tmp_path / "ckpt.pt"), build(VIT, 6).eval()
    batch = torch.from_numpy(metadata.squares(one))
    onnx._write(tmp_path / "image.onnx", onnx.Seeing(one), batch, "pixels", "{}")
    assert onnx.difference(tmp_path / "image.onnx", onnx.Seeing(one), batch) < 1e-5
    assert onnx.difference(tmp_path / "image.onnx", onnx.Seeing(other), batch) > 1e-2


@pytest.mark.parametrize("config", [RESNET, VIT, CONVOLUTIONS], ids=["resnet", "vit", "timm"])
def test_open_clip_opens_the_folder_and_sees_and_reads_the_same(config, tmp_path):
    import open_clip

    model = saved(config, tmp_path / "ckpt.pt")
    export.export(tmp_path / "ckpt.pt", tmp_path / "out", "open_clip")
    other = open_clip.create_model(f"local-dir:{tmp_path / 'out'}").eval()
    pictures, texts = features(model)
    with torch.inference_mode():
        assert near(pictures, other.encode_image(metadata.pictures(model)[:2]))  # type: ignore[operator]
        assert near(texts, other.encode_text(model.tokenize(TEXTS)))  # type: ignore[operator]
    assert other.logit_scale.item() == model.logit_scale.item()  # type: ignore[union-attr]


def test_a_vit_becomes_a_chinese_clip_of_transformers(tmp_path):
    """With its own processor and tokenizer, a bias that it has no place for, and no code of ours."""
    from PIL import Image
    from transformers import BertTokenizer, ChineseCLIPImageProcessor, ChineseCLIPModel

    model = saved(VIT, tmp_path / "ckpt.pt")
    [line] = export.export(tmp_path / "ckpt.pt", tmp_path / "out", "hf")
    assert "ChineseCLIPModel" in line
    other: Any = ChineseCLIPModel.from_pretrained(tmp_path / "out").eval()
    processor = ChineseCLIPImageProcessor.from_pretrained(tmp_path / "out")
    squares = [Image.fromarray(square) for square in metadata.squares(model)[:2]]
    given = BertTokenizer.from_pretrained(tmp_path / "out")(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        found = other(**processor(squares, return_tensors="pt"), **given)
    pictures, texts = features(model)
    assert near(pictures, found.image_embeds)
    assert near(texts, found.text_embeds)


def test_onnx_that_takes_batches_of_one_size_is_refused(tmp_path):
    """Torch 2.6 writes such files."""
    from onnx import TensorProto, helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in ("x", "features")]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["features"])], "fixed", ends[:1], ends[1:]
    )
    opset = helper.make_opsetid("", 18)
    save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(tmp_path / "image.onnx"))
    with pytest.raises(UserError, match=r"^image\.onnx: torch .* makes it take 2 at a time; install a newer"):
        onnx.difference(tmp_path / "image.onnx", torch.nn.Identity(), torch.zeros(4, 3))


def test_a_resnet_becomes_parts_that_timm_and_transformers_open(tmp_path):
    import timm
    from safetensors.torch import load_file
    from transformers import BertModel, BertTokenizer

    model = saved(CONVOLUTIONS, tmp_path / "ckpt.pt")
    export.export(tmp_path / "ckpt.pt", tmp_path / "out", "hf")
    visual = timm.create_model(f"local-dir:{tmp_path / 'out' / 'image'}", pretrained=True).eval()
    bert = BertModel.from_pretrained(tmp_path / "out" / "text", add_pooling_layer=False).eval()
    given = BertTokenizer.from_pretrained(tmp_path / "out" / "text")(TEXTS, padding=True, return_tensors="pt")
    rest = load_file(tmp_path / "out" / "projection.safetensors")
    pictures, texts = features(model)
    with torch.inference_mode():
        assert near(pictures, visual(metadata.pictures(model)[:2]))
        assert near(texts, bert(**given).last_hidden_state[:, 0] @ rest["text_projection"])


def test_a_folder_of_parts_becomes_a_checkpoint_of_ours_again(tmp_path):
    model = saved(RESNET, tmp_path / "ckpt.pt")
    export.export(tmp_path / "ckpt.pt", tmp_path / "out", "hf")
    export.export(tmp_path / "out", tmp_path / "back.pt", "visionclip")
    back = loading.load_model(tmp_path / "back.pt")
    assert back.config == model.config
    assert all(torch.equal(each, back.state_dict()[name]) for name, each in model.state_dict().items())
    (tmp_path / "out" / "projection.safetensors").unlink()
    with pytest.raises(UserError, match=r"no 'projection\.safetensors'"):
        export.export(tmp_path / "out", tmp_path / "back.pt", "visionclip")


def test_a_bias_that_no_norm_can_take_makes_a_vit_a_folder_of_parts(tmp_path):
    """From 48 numbers to 64 the bias lies outside what a shift before the projection can reach."""
    saved(VIT.model_copy(update={"embedding": 64}), tmp_path / "ckpt.pt")
    [line] = export.export(tmp_path / "ckpt.pt", tmp_path / "out", "hf")
    assert "folder of parts" in line
    with pytest.raises(UserError, match="projection to 64 numbers from 48 has no place there"):
        export.export(tmp_path / "ckpt.pt", tmp_path / "open", "open_clip")


# ViTs, both ways

CN_VIT = VIT.model_copy(
    update={"image": ImageTower(
        name="vit_base_patch32_clip_quickgelu_224",
        kwargs={"embed_dim": 64, "depth": 2, "num_heads": 2, "patch_size": 8, "img_size": 32})}
)  # fmt: skip


def test_a_vit_goes_to_chinese_clip_and_back(tmp_path):
    """By cn_clip's own class: its heads are 32 wide, which no shape tells."""
    model = saved(CN_VIT, tmp_path / "ckpt.pt")
    cn_clip.to_cn_clip(tmp_path / "ckpt.pt", tmp_path / "cn.pt")
    again = loading.load_model(f"cn_clip:{tmp_path / 'cn.pt'}")
    for one, other in zip(features(model), features(again), strict=True):
        assert near(one, other)
    cn_clip.from_cn_clip(tmp_path / "cn.pt", CN_VIT, tmp_path / "back.pt")
    for one, other in zip(features(model), features(loading.load_model(tmp_path / "back.pt")), strict=True):
        assert near(one, other)


@pytest.mark.slow
def test_a_vit_of_the_published_size_goes_to_chinese_clip_and_back(tmp_path):
    """ViT-B/16, 12 blocks 768 wide; the text tower is cut to a block, it is that of the full-size pair above."""
    image = ImageTower(name="vit_base_patch16_clip_quickgelu_224")
    config = ClipConfig(image=image, text=TextTower(layers=1), embedding=512)
    model = saved(config, tmp_path / "ckpt.pt")
    cn_clip.to_cn_clip(tmp_path / "ckpt.pt", tmp_path / "cn.pt")
    found = features(loading.load_model(f"cn_clip:{tmp_path / 'cn.pt'}"))
    cn_clip.from_cn_clip(tmp_path / "cn.pt", config, tmp_path / "back.pt")
    back = features(loading.load_model(tmp_path / "back.pt"))
    for one, other, again in zip(features(model), found, back, strict=True):
        assert near(one, other) and near(one, again)


def test_a_vit_that_chinese_clip_cannot_say_is_refused_with_the_true_reason(tmp_path):
    gelu = CN_VIT.model_copy(
        update={"image": CN_VIT.image.model_copy(update={"name": "vit_base_patch16_clip_224"})}
    )
    saved(gelu, tmp_path / "ckpt.pt")
    with pytest.raises(UserError, match="this is none: its activation is GELU, not QuickGELU"):
        cn_clip.to_cn_clip(tmp_path / "ckpt.pt", tmp_path / "cn.pt")
    saved(CN_VIT, tmp_path / "ckpt.pt")
    cn_clip.to_cn_clip(tmp_path / "ckpt.pt", tmp_path / "cn.pt")
    content = torch.load(tmp_path / "cn.pt", weights_only=True)
    del content["vision_head_width"]
    torch.save(content, tmp_path / "untold.pt")
    with pytest.raises(UserError, match="nothing tells how many heads it has"):
        loading.load(f"cn_clip:{tmp_path / 'untold.pt'}")
    other = {"image": CN_VIT.image.model_copy(update={"kwargs": CN_VIT.image.kwargs | {"num_heads": 4}})}
    with pytest.raises(UserError, match="an image tower with other heads"):
        cn_clip.from_cn_clip(tmp_path / "cn.pt", CN_VIT.model_copy(update=other), tmp_path / "back.pt")


@pytest.mark.parametrize(
    "config", [CN_VIT, CN_VIT.model_copy(update={"bias": True}), RESNET], ids=["vit", "bias", "resnet"]
)
def test_a_folder_of_transformers_is_read_again(config, tmp_path):
    model = saved(config, tmp_path / "ckpt.pt")
    huggingface.to_huggingface(tmp_path / "ckpt.pt", tmp_path / "hf")
    again, head = loading.load(f"hf:{tmp_path / 'hf'}")
    assert again.config == model.config and head.images == 7
    for one, other in zip(features(model), features(again), strict=True):
        assert near(one, other)


def test_a_chinese_clip_model_of_others_is_read_as_it_stands(tmp_path):
    """Without our file beside it: as OFA-Sys has them on the hub, prepared by its own processor, in torch's format too."""
    model = saved(CN_VIT, tmp_path / "ckpt.pt")
    huggingface.to_huggingface(tmp_path / "ckpt.pt", tmp_path / "hf")
    (tmp_path / "hf" / "visionclip.json").unlink()
    again, _ = loading.load(f"hf:{tmp_path / 'hf'}")
    for one, other in zip(features(model), features(again), strict=True):
        assert near(one, other)
    assert again.config.preprocessing.name == "squash" and again.config.context == CN_VIT.context
    (tmp_path / "hf" / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(UserError, match="a 'clip', where a ChineseCLIPModel or a SiglipModel is needed"):
        loading.load(f"hf:{tmp_path / 'hf'}")
    with pytest.raises(UserError, match="no such folder; fetch it"):
        loading.load(f"hf:{tmp_path / 'absent'}")


@pytest.mark.parametrize("model", ["visionfm:weights.pth", "hf:folder", "cn_clip:weights.pt"])
def test_somebody_elses_model_is_not_rewritten_but_read_as_it_is(model, tmp_path):
    with pytest.raises(UserError, match="somebody else's model, which 'clip eval'"):
        export.export(Path(model), tmp_path / "out", "onnx")
    assert not (tmp_path / "out").exists()
