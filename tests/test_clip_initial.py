"""What a training starts from: others' weights give others' features, frozen towers stay, early layers learn slower."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms import functional

from clip.model.encoders import CLIP, MEAN, STD, ClipConfig, ImageTower, TextTower, build
from clip.model.wordpiece import tokenize
from clip.training import initial
from clip.training.initial import Initial
from clip.zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD, VISIONFM_MEAN, VISIONFM_STD
from synth.base.errors import UserError
from synth.data.images import Preprocessing

TEXTS = ["疑似青光眼。", "Suspected moderate diabetic retinopathy, left eye."]
TEXT = TextTower(layers=2, width=128, heads=2, feedforward=96, positions=64)
RESNET = ImageTower(layers=(1, 2, 1, 1), width=16)
VIT = ImageTower(
    name="vit_base_patch16_clip_quickgelu_224",
    kwargs={"img_size": 64, "embed_dim": 128, "depth": 2, "num_heads": 2},
)
PLAIN = ImageTower(
    name="vit_tiny_patch16_224", kwargs={"img_size": 64, "embed_dim": 128, "depth": 2, "num_heads": 2}
)


def config(image: ImageTower, embedding: int = 32) -> ClipConfig:
    return ClipConfig(image=image, text=TEXT, embedding=embedding, preprocessing=Preprocessing(size=64))


def moved(network: Any) -> Any:
    """Random weights, norms and their statistics too."""
    torch.manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point() and value.ndim < 2:
            value.add_(torch.randn_like(value) * 0.1)
    return network.eval()


def started(chosen: Initial, image: ImageTower, embedding: int = 32) -> CLIP:
    model = build(config(image, embedding), seed=5)
    initial.start(chosen, model)
    return model.eval()


def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def scaled(mean: Any, std: Any) -> Tensor:
    """The same pictures in the scale of other statistics than CLIP's."""
    return functional.normalize(
        images() * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1), mean, std
    )


def chinese(tower: dict[str, Any]) -> Any:
    """Chinese-CLIP's own class, of the size of TEXT."""
    from cn_clip.clip.model import CLIP as ChineseCLIP

    return moved(
        ChineseCLIP(
            embed_dim=32,
            image_resolution=64,
            vocab_size=21128,
            text_attention_probs_dropout_prob=0.1,
            text_hidden_act="gelu",
            text_hidden_dropout_prob=0.1,
            text_hidden_size=128,
            text_initializer_range=0.02,
            text_intermediate_size=96,
            text_max_position_embeddings=64,
            text_num_attention_heads=2,
            text_num_hidden_layers=2,
            text_type_vocab_size=2,
            **tower,
        )
    )


THEIR_VIT = {"vision_layers": 2, "vision_width": 128, "vision_patch_size": 16}
THEIR_RESNET = {"vision_layers": (1, 2, 1, 1), "vision_width": 16, "vision_patch_size": None}


# Same weights, same inputs, same features


@pytest.mark.parametrize(
    ("image", "tower"), [(VIT, THEIR_VIT), (RESNET, THEIR_RESNET)], ids=["ViT", "ResNet"]
)
def test_a_training_that_starts_from_chinese_clip_starts_with_its_features(image, tower, tmp_path):
    theirs = chinese(tower)
    theirs.logit_scale.data.fill_(3.3)
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    torch.save({"epoch": 1, "step": 9, "state_dict": state}, tmp_path / "cn.pt")
    ours = started(Initial(image=tmp_path / "cn.pt", text=tmp_path / "cn.pt"), image)
    tokens = tokenize(TEXTS, 52)
    with torch.inference_mode():
        for a, b in zip(ours(images(), tokens), theirs(images(), tokens), strict=True):
            assert (a - b).abs().max() < 1e-5


def openai(layers: Any, width: int, patch: int | None) -> Any:
    from open_clip.model import CLIP as OpenCLIP
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(layers=layers, width=width, patch_size=patch or 16, image_size=64)
    return moved(
        OpenCLIP(
            32,
            vision,
            CLIPTextCfg(context_length=77, vocab_size=512, width=64, heads=1, layers=1),
            quick_gelu=True,
        )
    )


@pytest.mark.parametrize(
    ("image", "shape"), [(VIT, (2, 128, 16)), (RESNET, ((1, 2, 1, 1), 16, None))], ids=["ViT", "ResNet"]
)
def test_the_image_tower_of_open_clip_gives_its_features(image, shape, tmp_path):
    theirs = openai(*shape)
    torch.save({"epoch": 1, "state_dict": theirs.state_dict()}, tmp_path / "open.pt")
    ours = started(Initial(image=tmp_path / "open.pt"), image)
    with torch.inference_mode():
        assert (ours.encode_image(images()) - theirs.encode_image(images())).abs().max() < 1e-5


def test_the_timm_tower_inside_a_model_of_open_clip_gives_its_features(tmp_path):
    """As BiomedCLIP keeps one: `visual.trunk.*` and a projection of its own."""
    from open_clip.timm_model import TimmModel
    from safetensors.torch import save_file

    theirs = moved(
        TimmModel("vit_tiny_patch16_224", 32, image_size=224, pool="", proj="linear", pretrained=False)
    )
    save_file(
        {f"visual.{name}": value for name, value in theirs.state_dict().items()},
        tmp_path / "open.safetensors",
    )
    tower = ImageTower(name="vit_tiny_patch16_224")
    model = build(config(tower).model_copy(update={"preprocessing": Preprocessing(size=224)}), seed=5)
    initial.start(Initial(image=tmp_path / "open.safetensors"), model)
    large = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert (model.eval().encode_image(large) - theirs(large)).abs().max() < 1e-5


def test_siglips_tower_inside_a_folder_of_open_clip_keeps_its_statistics(tmp_path):
    import timm

    theirs = moved(timm.create_model(PLAIN.name, num_classes=0, **PLAIN.kwargs))
    torch.save(
        {f"visual.trunk.{name}": value for name, value in theirs.state_dict().items()},
        tmp_path / "open_clip_model.bin",
    )
    said = {"preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(said))
    visual: Any = started(Initial(image=tmp_path / "open_clip_model.bin"), PLAIN).visual
    with torch.inference_mode():
        found = visual.forward_head(visual.forward_features(images()), pre_logits=True)
        assert (found - theirs(scaled([0.5] * 3, [0.5] * 3))).abs().max() < 1e-5


def test_a_file_of_timm_gives_its_features_and_the_projection_stays_random(tmp_path):
    import timm
    from safetensors.torch import save_file

    theirs = moved(timm.create_model("resnet18", num_classes=1000))
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    tower = ImageTower(name="resnet18")
    ours = started(Initial(image=tmp_path / "model.safetensors"), tower)
    visual: Any = ours.visual
    with torch.inference_mode():
        first = visual.act1(visual.bn1(visual.conv1(images())))
        expected = theirs.act1(theirs.bn1(theirs.conv1(scaled(IMAGENET_MEAN, IMAGENET_STD))))
        assert (first - expected)[..., 2:-2, 2:-2].abs().max() < 1e-5  # it pads, so that a rim differs
    assert torch.equal(visual.fc.weight, build(config(tower), seed=5).visual.fc.weight)  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize("pool", ["avg", "token"])
def test_retfounds_encoder_gives_its_features_under_either_pooling(pool, tmp_path):
    import timm

    theirs = moved(timm.create_model(PLAIN.name, num_classes=0, global_pool="token", **PLAIN.kwargs))
    decoder = {"mask_token": torch.zeros(1, 1, 64), "decoder_embed.weight": torch.zeros(64, 128)}
    content = {"model": dict(theirs.state_dict()) | decoder, "args": argparse.Namespace(lr=1)}
    torch.save(content, tmp_path / "RETFound.pth")
    tower = PLAIN.model_copy(update={"kwargs": PLAIN.kwargs | {"global_pool": pool}})
    visual: Any = started(Initial(image=tmp_path / "RETFound.pth"), tower).visual
    with torch.inference_mode():
        pixels = scaled(IMAGENET_MEAN, IMAGENET_STD)
        tokens = theirs.forward_features(pixels)
        if pool == "token":
            expected = tokens[:, 0]
        else:  # before the last norm, which belongs to the decoder
            raw = theirs.forward_intermediates(
                pixels, indices=1, norm=False, output_fmt="NLC", intermediates_only=True
            )
            expected = nn.functional.layer_norm(raw[0].mean(dim=1), (128,), eps=1e-6)
        found = visual.forward_head(visual.forward_features(images()), pre_logits=True)
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("form", ["teacher", "fine-tuned"])
def test_visionfms_encoder_gives_its_features_of_pictures_in_its_own_scale(form, tmp_path):
    import timm

    theirs = moved(timm.create_model(PLAIN.name, num_classes=0, **PLAIN.kwargs))
    teacher = {f"backbone.{name}": value for name, value in theirs.state_dict().items()}
    head = {"head.mlp.0.weight": torch.zeros(4, 4)}
    content = (
        {"teacher": teacher | head} if form == "teacher" else {"visionfm_state_dict": theirs.state_dict()}
    )
    torch.save(content, tmp_path / "VFM_Fundus_weights.pth")
    visual: Any = started(Initial(image=tmp_path / "VFM_Fundus_weights.pth", freeze=("image",)), PLAIN).visual
    with torch.inference_mode():
        found = visual.forward_head(visual.forward_features(images()), pre_logits=True)
        assert (found - theirs(scaled(VISIONFM_MEAN, VISIONFM_STD))).abs().max() < 1e-5


@pytest.mark.parametrize("told", [False, True], ids=["by its name", "by its config.json"])
def test_a_vit_of_timm_keeps_the_statistics_that_it_learnt_with(told, tmp_path):
    import timm
    from safetensors.torch import save_file

    theirs = moved(timm.create_model(PLAIN.name, num_classes=10, **PLAIN.kwargs))
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    if told:
        said = {"pretrained_cfg": {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}}
        (tmp_path / "config.json").write_text(json.dumps(said))
    visual: Any = started(Initial(image=tmp_path / "model.safetensors"), PLAIN).visual
    pixels = scaled(IMAGENET_MEAN, IMAGENET_STD) if told else scaled([0.5] * 3, [0.5] * 3)
    with torch.inference_mode():
        assert (visual.forward_features(images()) - theirs.forward_features(pixels)).abs().max() < 1e-5


@pytest.mark.parametrize("form", ["masked language model, safetensors", "plain, old names, bin"])
def test_a_bert_of_transformers_gives_its_states(form, tmp_path):
    from transformers import BertConfig, BertForMaskedLM

    shape: dict[str, Any] = {"vocab_size": 21128, "hidden_size": 128, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 2, "intermediate_size": 96, "max_position_embeddings": 64}
    theirs = moved(BertForMaskedLM(BertConfig(**shape)))
    if form.endswith("safetensors"):
        theirs.save_pretrained(tmp_path)
        assert (tmp_path / "model.safetensors").is_file()
    else:  # as files of before 2020 have them
        old = {"weight": "gamma", "bias": "beta"}
        state = {
            name
            if "LayerNorm" not in name
            else ".".join([*name.split(".")[:-1], old[name.split(".")[-1]]]): value
            for name, value in theirs.bert.state_dict().items()
        }
        state["embeddings.position_ids"] = torch.arange(64)[None]
        torch.save(state, tmp_path / "pytorch_model.bin")
    ours = started(Initial(text=tmp_path), RESNET)
    tokens = tokenize(TEXTS, 24)
    mask = tokens.ne(0).long()
    with torch.inference_mode():
        a = ours.bert(tokens, attention_mask=mask).last_hidden_state
        b = theirs.bert(tokens, attention_mask=mask).last_hidden_state
    assert (a - b)[mask.bool()].abs().max() < 1e-5
    assert torch.equal(ours.text_projection, build(config(RESNET), seed=5).text_projection)


def test_a_checkpoint_of_ours_goes_on_as_it_is(tmp_path):
    from clip.model import checkpoints
    from synth.base import checkpoint

    theirs = moved(build(config(RESNET), seed=9))
    checkpoint.save(
        tmp_path / "ckpt.pt", checkpoints.header(theirs, images=0) | {"weights": theirs.state_dict()}
    )
    ours = started(Initial(image=tmp_path / "ckpt.pt", text=tmp_path / "ckpt.pt"), RESNET)
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    scale = started(Initial(image=tmp_path / "ckpt.pt"), RESNET).logit_scale
    assert torch.equal(scale, build(config(RESNET), seed=5).logit_scale)  # one tower alone brings no scale


def test_another_embedding_leaves_the_projections_random_and_the_rest_loaded(tmp_path):
    theirs = chinese(THEIR_RESNET)
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "cn.pt")
    ours = started(Initial(image=tmp_path / "cn.pt", text=tmp_path / "cn.pt"), RESNET, embedding=48)
    fresh = build(config(RESNET, 48), seed=5)
    assert torch.equal(ours.text_projection, fresh.text_projection)
    assert torch.equal(ours.visual.head.proj.weight, fresh.visual.head.proj.weight)  # type: ignore[union-attr, arg-type]
    assert torch.equal(ours.visual.head.q.weight, theirs.visual.attnpool.q_proj.weight)  # type: ignore[union-attr, arg-type]


# Frozen towers


def test_a_frozen_tower_learns_nothing_but_a_projection_that_no_file_brought(tmp_path):
    torch.save({"state_dict": chinese(THEIR_RESNET).state_dict()}, tmp_path / "cn.pt")
    file = tmp_path / "cn.pt"
    whole = started(Initial(image=file, freeze=("image",)), RESNET)
    assert not any(parameter.requires_grad for parameter in whole.visual.parameters())
    assert whole.text_projection.requires_grad and all(p.requires_grad for p in whole.bert.parameters())
    other = started(Initial(image=file, text=file, freeze=("image", "text")), RESNET, embedding=48)
    learns = {name for name, parameter in other.named_parameters() if parameter.requires_grad}
    assert learns == {"visual.head.proj.weight", "visual.head.proj.bias", "text_projection", "logit_scale"}


def test_keeping_still_holds_norms_and_dropout_of_frozen_towers_alone(tmp_path):
    torch.save({"state_dict": chinese(THEIR_RESNET).state_dict()}, tmp_path / "cn.pt")
    chosen = Initial(image=tmp_path / "cn.pt", freeze=("image",))
    model = started(chosen, RESNET).train()
    initial.keep_still(chosen, model)
    before = {name: value.clone() for name, value in model.visual.state_dict().items()}
    model(images(), tokenize(TEXTS, 52))
    assert all(torch.equal(value, before[name]) for name, value in model.visual.state_dict().items())
    assert model.bert.training


# Rates by layer


@pytest.mark.parametrize(("image", "blocks"), [(VIT, 2), (RESNET, 5)], ids=["ViT", "ResNet"])
def test_each_layer_learns_slower_than_the_one_above_it(image, blocks):
    model = build(config(image))
    found = initial.groups(Initial(layer_decay=0.5), model, model, 0.2)
    scale = {id(p): group["scale"] for group in found for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in found for p in group["params"]}
    named = dict(model.named_parameters())
    assert len(scale) == len(named) == sum(len(group["params"]) for group in found)
    text = {name: scale[id(p)] for name, p in named.items() if name.startswith("bert.")}
    assert text["bert.embeddings.word_embeddings.weight"] == 0.5**3
    assert text["bert.encoder.layer.0.output.dense.weight"] == 0.5**2
    assert text["bert.encoder.layer.1.output.dense.weight"] == 0.5
    assert scale[id(model.text_projection)] == scale[id(model.logit_scale)] == 1
    seen = sorted({scale[id(p)] for p in model.visual.parameters()})
    assert seen == [0.5**k for k in range(blocks + 1, -1, -1)]
    stem = "visual.patch_embed.proj.weight" if image is VIT else "visual.stem.conv1.conv.weight"
    assert scale[id(named[stem])] == 0.5 ** (blocks + 1)
    assert scale[id(named["visual.head.weight" if image is VIT else "visual.head.proj.weight"])] == 1
    assert {p.ndim >= 2 for p in model.parameters() if decay[id(p)]} == {True}


def test_without_decay_over_layers_there_are_two_groups_at_the_whole_rate():
    model = build(config(RESNET))
    found = initial.groups(Initial(), model, model, 0.2)
    assert [(group["weight_decay"], group["scale"]) for group in found] == [(0.2, 1.0), (0.0, 1.0)]
    assert [id(p) for p in found[0]["params"]] == [id(p) for p in model.parameters() if p.ndim >= 2]


# What is refused


def test_weights_that_do_not_fit_are_named(tmp_path):
    file = tmp_path / "cn.pt"
    torch.save({"state_dict": chinese(THEIR_RESNET).state_dict()}, file)
    deeper = ImageTower(layers=(1, 3, 1, 1), width=16)
    small = ImageTower(layers=(1, 1, 1, 1), width=16)
    torch.save({"state_dict": openai(2, 128, 16).state_dict()}, tmp_path / "open.pt")
    (tmp_path / "empty").mkdir()
    cases: list[tuple[Initial, ImageTower, str]] = [
        (Initial(image=file), deeper, "missing: stages.1.2.conv1_1x1.conv.weight"),
        (Initial(image=file), small, "left over: stages.1.1.conv1_1x1.conv.weight"),
        (Initial(image=file), ImageTower(layers=(1, 2, 1, 1), width=32), "of another shape: stem.conv1.conv.weight (8, 3, 3, 3) for (16, 3, 3, 3)"),
        (Initial(image=tmp_path / "open.pt"), RESNET, "let model.image and model.preprocessing.size name"),
        (Initial(text=tmp_path / "open.pt"), RESNET, "no BERT in it"),
        (Initial(text=tmp_path / "empty"), RESNET, "neither model.safetensors nor pytorch_model.bin"),
        (Initial(image=tmp_path / "none.pt"), RESNET, "none.pt: no such file"),
    ]  # fmt: skip
    for chosen, tower, message in cases:
        with pytest.raises(UserError) as refused:
            started(chosen, tower)
        assert message in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "told", [{"mean": ["a", 1, 1], "std": [1, 1, 1]}, {"mean": [0.5] * 3, "std": [0.2, 0, 0.2]}]
)
def test_statistics_that_are_none_are_refused_by_file_and_key(told, tmp_path):
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model(PLAIN.name, **PLAIN.kwargs).state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": told}))
    with pytest.raises(UserError, match=r"config\.json: pretrained_cfg") as refused:
        started(Initial(image=tmp_path / "model.safetensors"), PLAIN)
    assert "\n" not in str(refused.value)


def test_other_attention_heads_than_the_file_has_are_refused(tmp_path):
    """No shape tells heads, so that the weights would fit and give other features."""
    from clip.export import cn_clip
    from clip.model import checkpoints
    from synth.base import checkpoint

    four = build(config(VIT.model_copy(update={"kwargs": VIT.kwargs | {"num_heads": 4}})).model_copy(
        update={"text": TEXT.model_copy(update={"heads": 4})}))  # fmt: skip
    ours, chinese_file = tmp_path / "ckpt.pt", tmp_path / "cn.pt"
    checkpoint.save(ours, checkpoints.header(four, images=0) | {"weights": four.state_dict()})
    cn_clip.to_cn_clip(ours, chinese_file)
    four.bert.config.save_pretrained(tmp_path / "bert")  # type: ignore[operator,union-attr]
    torch.save(four.bert.state_dict(), tmp_path / "bert" / "pytorch_model.bin")
    for file in (ours, chinese_file):
        with pytest.raises(
            UserError,
            match=r"4 attention heads, that of model\.image 2; set model\.image\.kwargs\.num_heads=4",
        ):
            started(Initial(image=file), VIT)
    for file in (ours, chinese_file, tmp_path / "bert"):
        with pytest.raises(
            UserError, match=r"4 attention heads, where model\.text\.heads=2; set model\.text\.heads=4"
        ):
            started(Initial(text=file), VIT)


def test_random_weights_cannot_be_frozen():
    with pytest.raises(ValueError, match="freeze=image would keep random weights"):
        Initial(freeze=("image",))


def test_files_are_told_by_their_content(tmp_path):
    file = Path(tmp_path / "a.pt")
    file.write_bytes(b"abc")
    said = initial.provenance(Initial(image=file))
    assert said == {"image": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}


# In training


def test_training_leaves_a_frozen_tower_as_it_was_to_the_bit(tmp_path):
    """Norms of the image tower too, which training would move."""
    from pictures import folder

    from clip.model import checkpoints
    from clip.training.config import TrainConfig
    from clip.training.trainer import train

    records, file = folder(tmp_path / "records", 40), tmp_path / "cn.pt"
    torch.save({"state_dict": chinese(THEIR_RESNET).state_dict()}, file)
    chosen = Initial(image=file, freeze=("image",), layer_decay=0.5)
    settings: dict[str, Any] = {"model": config(RESNET), "initial": chosen, "batch": 8, "warmup": 8}
    trained = train(TrainConfig(**settings, images=32, save_every=16), records, tmp_path / "run")
    model, head = checkpoints.load(trained)
    start = build(config(RESNET), seed=0)
    initial.start(chosen, start)
    after, before = model.state_dict(), start.state_dict()
    assert all(
        torch.equal(value, before[name]) for name, value in after.items() if name.startswith("visual.")
    )
    assert not torch.equal(after["text_projection"], before["text_projection"])
    assert head.model_extra and head.model_extra["initial"] == initial.provenance(chosen)
