"""Other people's models: each loader on a file of its project's own format, with random weights."""

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import drawn, folder
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms
from typer.testing import CliRunner

from clip import baselines, benchmarks, embed, loading, prompts, zoo
from clip.commands.app import app
from clip.evaluation import languages, references
from clip.evaluation.results import ClassificationResult, Metric
from clip.model import checkpoints
from clip.model.encoders import MEAN, STD
from clip.zoo import chinese_clip, wording
from clip.zoo.preprocessing import ForeignPreprocessing, canvas, foreground, li_threshold
from synth.base.errors import UserError
from synth.base.runs import sha256
from synth.data.images import encode

TEXTS = ["glaucoma", "a much longer text about moderate diabetic retinopathy"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "glaucoma", "a", "fundus", "of", "text", "no", "##s"]


def moved(network: Any, seed: int = 0) -> Any:
    """Random weights, norms and their statistics too, so that none that is swapped or forgotten goes unseen."""
    torch.manual_seed(seed)
    for name, value in network.state_dict().items():
        if name.endswith(("running_var", "logit_scale")):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point() and value.ndim < 2:
            value.add_(torch.randn_like(value) * 0.1)
    return network.eval()


def picture(width: int = 96, height: int = 64) -> bytes:
    """A lossless photograph that is wider than high."""
    buffer = io.BytesIO()
    Image.fromarray(drawn(3, 1, 128)[: height * 2 : 2, :width]).resize((width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def seen(model: Any, data: bytes) -> np.ndarray:
    """The embedding as every evaluation makes it."""
    return embed.pixels(model, model.config.preprocessing(data)[None])[0]


def unit(features: Tensor) -> np.ndarray:
    return nn.functional.normalize(features.detach().float(), dim=-1).numpy()


def vocabulary(folder: Path) -> Path:
    """A folder with a BERT tokenizer, as the hub keeps one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    return folder


# open_clip: CLIP and BiomedCLIP


def clip_transform(
    size: int, resize: int | None = None, mean: Any = MEAN, std: Any = STD
) -> transforms.Compose:
    """The steps of OpenAI's CLIP and of RETFound, in torchvision's words."""
    return transforms.Compose(
        [
            transforms.Resize(resize or size, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )


def opened(data: bytes) -> Any:
    return Image.open(io.BytesIO(data)).convert("RGB")


def test_biomedclip_from_its_folder_sees_and_reads_as_open_clip_does(tmp_path):
    """A timm tower and a BERT from the hub; nothing but the folder is needed."""
    import open_clip
    from transformers import BertConfig

    folder = vocabulary(tmp_path / "biomedclip")
    BertConfig(
        vocab_size=len(WORDS),
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
    ).save_pretrained(folder)
    vision: Any = {
        "timm_model_name": "vit_tiny_patch16_224",
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 224,
    }
    text = {
        "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
        "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": 32,
    }
    said = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    model_cfg = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": model_cfg, "preprocess_cfg": said})
    )
    from open_clip.model import CustomTextCLIP

    local: Any = text | {"hf_model_name": str(folder), "hf_model_pretrained": False}
    theirs = moved(CustomTextCLIP(32, vision, local))
    torch.save(theirs.state_dict(), folder / "open_clip_pytorch_model.bin")
    ours = loading.load_model(f"open_clip:{folder}")
    data = picture()
    with torch.inference_mode():
        expected = theirs.encode_image(clip_transform(224)(opened(data))[None])
        tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
        read = theirs.encode_text(tokens)
    assert seen(ours, data) == pytest.approx(unit(expected)[0], abs=1e-5)
    assert embed.texts(ours, TEXTS) == pytest.approx(unit(read), abs=1e-5)
    assert ours.logit_scale.item() == pytest.approx(theirs.logit_scale.item())
    assert ours.config.preprocessing.name == "shortest-side" and ours.config.embedding == 32


def test_a_bare_file_of_open_clip_takes_its_architecture_by_name(tmp_path):
    """ViT-S/32, as open_clip's trainer writes it."""
    import open_clip

    theirs = moved(open_clip.create_model("ViT-S-32-alt"))
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": state}, tmp_path / "epoch_3.pt")
    ours = loading.load_model(f"open_clip:ViT-S-32-alt={tmp_path / 'epoch_3.pt'}")
    data = picture()
    with torch.inference_mode():
        expected = theirs.encode_image(clip_transform(224)(opened(data))[None])
        read = theirs.encode_text(open_clip.get_tokenizer("ViT-S-32-alt")(TEXTS))
    assert seen(ours, data) == pytest.approx(unit(expected)[0], abs=1e-5)
    assert embed.texts(ours, TEXTS) == pytest.approx(unit(read), abs=1e-5)


# Chinese-CLIP


def chinese(**changes: Any) -> nn.Module:
    """Chinese-CLIP's own class, small."""
    from cn_clip.clip.model import CLIP as ChineseCLIP

    shape = {
        "embed_dim": 32,
        "image_resolution": 64,
        "vision_layers": 2,
        "vision_width": 128,
        "vision_patch_size": 16,
        "vocab_size": 21128,
        "text_attention_probs_dropout_prob": 0.1,
        "text_hidden_act": "gelu",
        "text_hidden_dropout_prob": 0.1,
        "text_hidden_size": 128,
        "text_initializer_range": 0.02,
        "text_intermediate_size": 96,
        "text_max_position_embeddings": 64,
        "text_num_attention_heads": 2,
        "text_num_hidden_layers": 3,
        "text_type_vocab_size": 2,
    }
    return moved(ChineseCLIP(**(shape | changes)))


@pytest.mark.parametrize(
    "tower",
    [{}, {"vision_layers": (1, 2, 1, 1), "vision_width": 16, "vision_patch_size": None}],
    ids=["ViT", "ResNet"],
)
def test_any_tower_of_chinese_clip_is_told_by_its_weights(tower, tmp_path):
    import cn_clip.clip

    theirs: Any = chinese(**tower)
    # What its trainer writes: the prefix of DistributedDataParallel, and a pooler that nothing uses.
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    state["module.bert.pooler.dense.weight"] = torch.zeros(128, 128)
    written = {
        "epoch": 1,
        "step": 9,
        "name": "x",
        "state_dict": state,
        chinese_clip.HEADS: 2,
        chinese_clip.HEAD_WIDTH: 64,
    }
    torch.save(written, tmp_path / "clip_cn.pt")
    ours = loading.load_model(f"cn_clip:{tmp_path / 'clip_cn.pt'}")
    data, texts = picture(), ["疑似青光眼。", "未见明显异常，左眼。"]
    squash = cn_clip.clip.image_transform(64)
    with torch.inference_mode():
        expected = theirs.encode_image(squash(opened(data))[None])
        read = theirs.encode_text(cn_clip.clip.tokenize(texts))
    assert seen(ours, data) == pytest.approx(unit(expected)[0], abs=1e-5)
    assert embed.texts(ours, texts) == pytest.approx(unit(read), abs=1e-5)
    assert ours.logit_scale.item() == pytest.approx(theirs.logit_scale.item())


def test_a_text_tower_whose_heads_nobody_tells_is_refused(tmp_path):
    path = tmp_path / "clip_cn.pt"
    for more, why in (
        ({}, "a text tower of width 128, whose attention heads the file does not tell"),
        ({chinese_clip.HEADS: 3}, "=3 does not divide the width of its text tower, 128"),
        ({chinese_clip.HEADS: "4"}, "='4' does not divide"),
    ):
        torch.save({"state_dict": chinese().state_dict(), **more}, path)
        with pytest.raises(UserError, match=why):
            loading.load_model(f"cn_clip:{path}")


@pytest.mark.parametrize("name", ["RN50", "ViT-B-16", "ViT-B-32", "ViT-L-14", "ViT-L-14-336", "ViT-H-14"])
def test_the_shapes_of_published_chinese_clips_are_told_exactly(name):
    """From the names and shapes alone, which cost no memory."""
    import cn_clip.clip as package
    from cn_clip.clip.model import CLIP as ChineseCLIP

    folder = Path(package.__file__).parent / "model_configs"
    text = {"RN50": "RBT3-chinese", "ViT-H-14": "RoBERTa-wwm-ext-large-chinese"}.get(
        name, "RoBERTa-wwm-ext-base-chinese"
    )
    said = json.loads((folder / f"{name}.json").read_text()) | json.loads(
        (folder / f"{text}.json").read_text()
    )
    if isinstance(said["vision_layers"], str):
        said["vision_layers"] = tuple(json.loads(said["vision_layers"]))
    said.setdefault("vision_patch_size", None)
    with torch.device("meta"):
        tensors = ChineseCLIP(**said).state_dict()
        found = chinese_clip.architecture(tensors, chinese_clip.text_heads({}, tensors, Path("clip_cn.pt")))
    heads = found.pop("vision_head_width", 64)
    assert heads == said.pop("vision_head_width", 64)
    assert found == said | {"vision_layers": found["vision_layers"]}
    assert np.array_equal(found["vision_layers"], said["vision_layers"])


# FLAIR


def flair_by_hand(
    state: dict[str, Tensor], image: Tensor, tokens: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """What jusiro/FLAIR computes, from its state dict, by torchvision's and transformers' own classes."""
    from torchvision.models import resnet50
    from transformers import BertConfig, BertModel

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}

    vision = resnet50()
    vision.fc = nn.Identity()  # type: ignore[assignment]
    vision.load_state_dict(part("vision_model.model."))
    bert = BertModel(BertConfig(**TINY_BERT, output_hidden_states=True))
    bert.load_state_dict(part("text_model.model."))
    vision.eval()
    bert.eval()
    with torch.inference_mode():
        embedding = vision(image)
        embedding = embedding / embedding.norm(dim=-1, keepdim=True)
        embedding = embedding @ state["vision_model.projection_head_vision.projection.weight"].T
        states = bert(input_ids=tokens, attention_mask=mask)["hidden_states"]
        text = torch.stack([states[1], states[2], states[-1]]).permute(1, 0, 2, 3).mean(2).mean(1)
        text = text / text.norm(dim=-1, keepdim=True)
        return embedding, text @ state["text_model.projection_head_text.projection.weight"].T


TINY_BERT: dict[str, Any] = {
    "vocab_size": len(WORDS),
    "hidden_size": 768,
    "num_hidden_layers": 3,
    "num_attention_heads": 12,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
}


@pytest.fixture(scope="module")
def flair_state() -> dict[str, Tensor]:
    """FLAIR's names, written out: what `torch.save(model.state_dict())` of its trainer holds."""
    from torchvision.models import resnet50
    from transformers import BertConfig, BertModel

    vision = resnet50()
    vision.fc = nn.Identity()  # type: ignore[assignment]
    torch.manual_seed(0)
    state = {f"vision_model.model.{name}": value for name, value in moved(vision).state_dict().items()}
    text = moved(BertModel(BertConfig(**TINY_BERT)))
    state |= {f"text_model.model.{name}": value for name, value in text.state_dict().items()}
    state["vision_model.projection_head_vision.projection.weight"] = torch.randn(512, 2048)
    state["text_model.projection_head_text.projection.weight"] = torch.randn(512, 768)
    state["logit_scale"] = torch.tensor(3.1)
    return state


def test_flair_sees_and_reads_as_its_own_code_does(flair_state, tmp_path):
    # transformers below 4.31 kept this buffer, and FLAIR's file has it
    old = {"text_model.model.embeddings.position_ids": torch.arange(80)[None]}
    torch.save(flair_state | old, tmp_path / "flair_resnet.pth")
    folder = vocabulary(tmp_path / "bert")
    ours = loading.load_model(f"flair:{tmp_path / 'flair_resnet.pth'}={folder}")
    data = picture()
    from transformers import AutoTokenizer

    said = AutoTokenizer.from_pretrained(folder)(
        TEXTS, truncation=True, max_length=77, padding=True, return_tensors="pt"
    )
    square = ours.config.preprocessing(data)
    image = torch.from_numpy(square).permute(2, 0, 1)[None] / 255
    expected, read = flair_by_hand(flair_state, image, said["input_ids"], said["attention_mask"])
    assert seen(ours, data) == pytest.approx(unit(expected)[0], abs=1e-5)
    assert embed.texts(ours, TEXTS) == pytest.approx(unit(read), abs=1e-5)
    assert ours.logit_scale.item() == pytest.approx(3.1)
    # The mean runs over padding too, so company changes an embedding; FLAIR's own does the same.
    assert np.abs(embed.texts(ours, TEXTS[:1]) - embed.texts(ours, TEXTS)[:1]).max() > 1e-4


def test_flair_needs_its_tokenizer_only_for_texts(flair_state, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from safetensors.torch import save_file

    save_file(flair_state, tmp_path / "model.safetensors")
    ours = loading.load_model(f"flair:{tmp_path / 'model.safetensors'}={tmp_path / 'nowhere'}")
    assert seen(ours, picture()).shape == (512,)
    with pytest.raises(UserError, match=r"no tokenizer to be had .* flair:FILE=FOLDER"):
        embed.texts(ours, TEXTS)


def test_the_threshold_that_crops_is_where_lis_equation_holds():
    """t = (b - f) / (log b - log f) to within half of the smallest step between grey values."""
    noise = np.random.default_rng(0).integers(0, 9, (200, 200))
    red = drawn(1, 1, 200)[..., 0].clip(noise)  # no camera's black is black
    grey = red.astype(float) - red.min()
    threshold = li_threshold(red)
    above = red > threshold
    dark, bright = grey[~above].mean(), grey[above].mean()
    assert threshold - red.min() == pytest.approx((dark - bright) / (np.log(dark) - np.log(bright)), abs=0.5)
    assert 0.4 < above.mean() < 0.9


def test_flairs_crop_leaves_the_eye_and_its_canvas_stands_at_the_left_and_top():
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[10:90, 50:210] = 200
    wide[0:3, 290:293] = 255  # a reflection outside the eye
    inside = foreground(wide)
    assert inside.shape == (80, 160, 3) and inside.min() == 200
    square = canvas(inside, 64)
    assert (square[:32] == 200).all() and not square[32:].any()
    assert (canvas(inside[:, :80], 64) == 200).all()


# EyeCLIP


@pytest.fixture(scope="module")
def eyeclip_file(tmp_path_factory) -> Path:
    """Its trainer's file: OpenAI's names, a decoder for masked patches, the key `model_state_dict`."""
    from open_clip.model import CLIP as OpenCLIP
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(layers=2, width=128, patch_size=32, image_size=64)
    text = CLIPTextCfg(context_length=77, vocab_size=49408, width=64, heads=1, layers=2)
    model = moved(OpenCLIP(32, vision, text, quick_gelu=True))
    decoder = {
        "visual.decoder.mask_token": torch.zeros(1, 1, 512),
        "visual.decoder.decoder_embed.weight": torch.zeros(512, 128),
        "visual.decoder.decoder_blocks.0.attn.qkv.weight": torch.zeros(1536, 512),
    }
    path = tmp_path_factory.mktemp("eyeclip") / "eyeclip.pt"
    torch.save({"epoch": 9, "model_state_dict": model.state_dict() | decoder, "loss": 0.5}, path)
    return path


def test_eyeclip_sees_and_reads_as_openais_network_does(eyeclip_file):
    import open_clip
    from open_clip.model import build_model_from_openai_state_dict

    ours: Any = loading.load_model(f"eyeclip:{eyeclip_file}")
    state = torch.load(eyeclip_file, weights_only=True)["model_state_dict"]
    plain = {name: value for name, value in state.items() if "decoder" not in name}
    theirs: Any = build_model_from_openai_state_dict(plain, cast_dtype=torch.float32).float()
    data = picture()
    with torch.inference_mode():
        expected = theirs.encode_image(clip_transform(64)(opened(data))[None])
        read = theirs.encode_text(open_clip.get_tokenizer("ViT-B-32")(TEXTS))
    assert seen(ours, data) == pytest.approx(unit(expected)[0], abs=1e-5)
    assert embed.texts(ours, TEXTS) == pytest.approx(unit(read), abs=1e-5)
    assert ours.config.template == "[CLS]"


# RETFound


def retfound(scaled: bool) -> tuple[Any, dict[str, Tensor]]:
    """A vision transformer under timm's names, which are RETFound's."""
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(1)
    model = VisionTransformer(
        img_size=64,
        patch_size=16,
        embed_dim=192,
        depth=2,
        num_heads=3,
        init_values=1e-5 if scaled else None,
        num_classes=0,
        global_pool="token",
    )
    return moved(model, 1), dict(model.state_dict())


@pytest.mark.parametrize("scaled", [False, True], ids=["MAE", "DINOv2"])
def test_retfound_gives_the_features_that_its_fine_tuning_starts_from(scaled, tmp_path):
    model, state = retfound(scaled)
    decoder = {"mask_token": torch.zeros(1, 1, 512), "decoder_embed.weight": torch.zeros(512, 192)}
    if scaled:
        content: dict[str, Any] = {"teacher": {f"backbone.{name}": value for name, value in state.items()}}
        content["teacher"] |= {
            "backbone.mask_token": torch.zeros(1, 192),
            "dino_head.mlp.0.weight": torch.zeros(4, 4),
        }
    else:
        content = {
            "model": state | decoder,
            "epoch": 800,
            "args": argparse.Namespace(lr=1e-3, model="mae_vit_large"),
        }
    torch.save(content, tmp_path / "RETFound.pth")
    ours = loading.load_model(f"retfound:{tmp_path / 'RETFound.pth'}")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    data = picture()
    image: Any = clip_transform(64, 73, mean, std)(opened(data))
    with torch.inference_mode():
        tokens: Any = model.patch_embed(image[None])
        tokens = torch.cat([model.cls_token.expand(1, -1, -1), tokens], dim=1) + model.pos_embed
        tokens = model.blocks(tokens)
        pooled = (
            model.norm(tokens)[:, 0]
            if scaled
            else nn.functional.layer_norm(tokens[:, 1:].mean(dim=1), (192,), eps=1e-6)
        )
    assert seen(ours, data) == pytest.approx(unit(pooled)[0], abs=1e-5)
    with pytest.raises(UserError, match=r"retfound .* has no text tower; choose --task linear"):
        embed.texts(ours, TEXTS)


def test_retfound_in_its_published_size_is_read_off_its_weights():
    """ViT-L/16 at 224 px: 256 px before the crop."""
    from clip.zoo import retfound as loader

    names = {
        "cls_token": (1, 1, 1024),
        "pos_embed": (1, 197, 1024),
        "patch_embed.proj.weight": (1024, 3, 16, 16),
        "patch_embed.proj.bias": (1024,),
        "mask_token": (1, 1, 512),
    }
    block = {
        "norm1.weight": (1024,), "norm1.bias": (1024,), "attn.qkv.weight": (3072, 1024), "attn.qkv.bias": (3072,),
        "attn.proj.weight": (1024, 1024), "attn.proj.bias": (1024,), "norm2.weight": (1024,), "norm2.bias": (1024,),
        "mlp.fc1.weight": (4096, 1024), "mlp.fc1.bias": (4096,), "mlp.fc2.weight": (1024, 4096), "mlp.fc2.bias": (1024,),
    }  # fmt: skip
    shapes = names | {f"blocks.{i}.{name}": shape for i in range(24) for name, shape in block.items()}
    with torch.device("meta"):
        model = loader.from_weights(
            {name: torch.empty(shape) for name, shape in shapes.items()}, Path("x.pth")
        )
    assert sum(value.numel() for value in model.visual.parameters()) == 303_301_632
    assert model.config.preprocessing == ForeignPreprocessing(
        name="shortest-side", size=224, resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )


# What is refused


def test_files_of_another_kind_are_refused_in_one_line_that_names_what_is_missing(
    eyeclip_file, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch.save({"state_dict": {"layer.weight": torch.zeros(3)}}, tmp_path / "other.pt")
    (tmp_path / "noise.pt").write_bytes(b"noise")
    (tmp_path / "empty").mkdir()
    cases = {
        f"flair:{eyeclip_file}": "not FLAIR's weights: vision_model.projection_head_vision.projection.weight",
        f"cn_clip:{eyeclip_file}": "not Chinese-CLIP's weights: bert.embeddings.word_embeddings.weight missing",
        f"retfound:{eyeclip_file}": "not RETFound's weights: cls_token, pos_embed",
        f"eyeclip:{tmp_path / 'other.pt'}": "not EyeCLIP's weights: visual.proj, text_projection",
        f"eyeclip:{tmp_path / 'noise.pt'}": "noise.pt: not a checkpoint or damaged",
        f"eyeclip:{tmp_path / 'none.pt'}": "none.pt: no such file",
        f"retfound:{eyeclip_file}=more": "retfound takes no '=more'",
        "flair:jusiro2/FLAIR": "neither a file nor to be had from the hub",
        "flair:": "write it as KIND:FILE",
        "open_clip:RN50": "name its weights too, open_clip:RN50=FILE",
        "open_clip:RN51=x": "neither a folder nor a model of open_clip",
        f"open_clip:{tmp_path / 'empty'}": "no open_clip_config.json in it",
        f"open_clip:RN50={tmp_path / 'other.pt'}": "cannot be loaded",
    }
    for spec, message in cases.items():
        with pytest.raises(UserError) as refused:
            loading.load_model(spec)
        assert message in str(refused.value) and "\n" not in str(refused.value), spec


def test_a_plain_path_is_a_checkpoint_of_ours_even_if_it_has_a_colon(tmp_path):
    path = tmp_path / "flair:old.pt"
    torch.save({"weights": {}}, path)
    with pytest.raises(UserError, match="not a visionclip-clip checkpoint"):
        loading.load_model(path)
    assert zoo.split("runs/a/ckpt.pt") is None
    assert zoo.split("flair:a.pth=bert") == ("flair", "a.pth", "bert")


# Prompts


def words(kind: Any, task: str) -> dict[str, tuple[str, ...]]:
    """The prompts with which a model of some kind is asked, in its own language."""

    from clip.zoo.foreign import Foreign, ForeignConfig

    language = "zh" if kind == "cn_clip" else "en"
    template = {"eyeclip": "[CLS]", "cn_clip": "[CLS]的眼底照片"}.get(kind, "A fundus photograph of [CLS]")
    how = ForeignPreprocessing(name="squash", size=8)
    said = ForeignConfig(
        kind=kind, name="x", embedding=2, languages=(language,), template=template, preprocessing=how
    )
    lang, asked = wording.fitted(Foreign(said, nn.Identity()), "both", prompts.tasks(task))
    assert lang == language
    [found] = asked.values()
    return {key: each.texts(language) for key, each in found.classes.items()}


def test_each_model_is_asked_in_its_authors_words():
    assert words("eyeclip", "dr5")["mild"] == ("mild diabetic retinopathy",)
    assert words("open_clip", "dr5")["mild"] == ("A fundus photograph of mild diabetic retinopathy",)
    assert words("flair", "dr5")["mild"][0] == "A fundus photograph of only few microaneurysms"
    assert words("flair", "glaucoma")["absent"] == ("A fundus photograph of no glaucoma",)
    assert words("flair", "is_amd") == {
        "absent": ("A fundus photograph of normal",),
        "present": ("A fundus photograph of age-related macular degeneration",),
    }
    assert words("cn_clip", "odir7")["dr"] == ("糖尿病视网膜病变的眼底照片",)
    # asked for by name, they are everybody's
    assert words("eyeclip", "names-dr5")["mild"] == ("A fundus photograph of mild diabetic retinopathy",)


@pytest.mark.parametrize("kind", ["open_clip", "flair", "eyeclip"])
def test_no_two_classes_of_a_task_are_asked_for_in_the_same_words(kind):
    for name in prompts.tasks():
        said = [text for texts in words(kind, name).values() for text in texts]
        assert len(set(said)) == len(said), name


def test_a_language_that_a_model_does_not_read_is_refused(eyeclip_file):
    model = loading.load_model(f"eyeclip:{eyeclip_file}")
    with pytest.raises(UserError, match="--lang zh: eyeclip is asked in en; leave --lang out"):
        wording.fitted(model, "zh", prompts.tasks("dr5"))
    ours: Any = nn.Module()
    assert wording.fitted(ours, "zh", prompts.tasks("dr5")) == ("zh", prompts.tasks("dr5"))


# Side by side


@pytest.fixture(scope="module")
def ours_file(tmp_path_factory) -> Path:
    """A small model of ours that has learnt nothing."""
    from clip.model.encoders import ClipConfig, ImageTower, TextTower, build
    from synth.base import checkpoint
    from synth.data.images import Preprocessing

    model = build(
        ClipConfig(
            image=ImageTower(layers=(1, 1, 1, 1), width=8),
            text=TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64),
            embedding=16,
            preprocessing=Preprocessing(size=32),
        )
    )
    path = tmp_path_factory.mktemp("ours") / "ckpt.pt"
    checkpoint.save(path, checkpoints.header(model, images=0) | {"weights": model.state_dict()})
    return path


@pytest.fixture(scope="module")
def refuge(tmp_path_factory) -> Path:
    """Twelve pictures in REFUGE's own layout."""
    root = tmp_path_factory.mktemp("refuge") / "REFUGE"
    for i in range(12):
        wide = i % 2
        name = f"{'g' if wide else 'n'}{i:04d}.jpg"
        path = root / "Training400" / ("Glaucoma" if wide else "Non-Glaucoma") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(drawn(700 + i, wide)))
    return root


def invoke(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_models_stand_side_by_side_with_what_was_published(ours_file, eyeclip_file, refuge, tmp_path):
    spec = f"eyeclip:{eyeclip_file}"
    result = invoke("eval", "--model", ours_file, "--model", spec, "--benchmark", "refuge", "--root", refuge, "--partial",
                    "--set", "n_bootstrap=20", "--out", tmp_path, "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert json.loads((tmp_path / "comparison.json").read_text()) == made
    [table] = made["tables"]
    assert [(row["model"], row["row"]) for row in table["rows"]] == [
        (str(ours_file), "zh"), (str(ours_file), "en"), (str(ours_file), "both"), (spec, "en"),
    ]  # fmt: skip
    assert table["n"] == 12 and table["classes"] == {"absent": 6, "glaucoma": 6}
    # each row is that of the model's own report, with its prompts and preprocessing
    for k, rows in ((1, table["rows"][:3]), (2, table["rows"][3:])):
        report = json.loads((tmp_path / "refuge" / f"model-{k}" / "report.json").read_text())
        assert {row["row"]: row["metrics"] for row in rows} == report["results"][0]["metrics"]
    assert report["results"][0]["prompts"]["glaucoma"]["en"] == ["glaucoma"]
    assert report["checkpoint"]["preprocessing"]["name"] == "shortest-side"
    assert report["checkpoint"]["sha256"] == sha256(eyeclip_file)
    side = made["benchmarks"]
    assert side["metrics"] == {"refuge": "macro_auc"}
    assert side["rows"][3]["values"]["refuge"] == table["rows"][3]["metrics"]["macro_auc"]
    [visionclip] = [row for row in table["published"] if row["model"] == "VisionCLIP"]
    assert (
        visionclip["value"] == 0.925
        and visionclip["inferred"]
        and "how many photographs is not told" in visionclip["differs"]
    )
    assert report["results"][0]["published"] == table["published"]
    assert "KeepFIT" in (tmp_path / "refuge" / "model-1" / "report.html").read_text()
    said = {row["model"]: row["values"] for row in side["published"]}
    assert said["VisionCLIP"] == {"refuge": 0.925} and said["CLIP"] == {"refuge": 0.470}
    assert "是否青光眼" in (tmp_path / "comparison.zh.html").read_text()
    page = (tmp_path / "comparison.md").read_text()
    assert "| VisionCLIP (published) |" in page and "| chance | 0.500 |" in page
    assert f"**{spec}**: preprocessing shortest-side version 1, 64 px" in page


def test_a_tower_without_texts_is_probed_and_refused_prompts(tmp_path):
    _, state = retfound(False)
    torch.save({"model": state | {"mask_token": torch.zeros(1, 1, 512)}}, tmp_path / "RETFound.pth")
    records = folder(tmp_path / "records", 60, shares=(6, 2, 2))
    spec = f"retfound:{tmp_path / 'RETFound.pth'}"
    probed = invoke("eval", "--model", spec, "--data", records, "--task", "linear", "--prompts", "is_gc",
                    "--set", "n_bootstrap=20", "--out", tmp_path / "linear", "--json")  # fmt: skip
    assert probed.exit_code == 0, probed.output
    assert json.loads(probed.stdout)["checkpoint"]["preprocessing"]["resize"] == 73
    refused = invoke("eval", "--model", spec, "--data", records, "--out", tmp_path / "zero")
    assert refused.exit_code == 2 and refused.stderr.count("\n") == 1
    assert "has no text tower; choose --task linear, few-shot or finetune" in refused.stderr


def test_published_figures_name_a_known_benchmark_and_its_metric():
    """A figure under another metric than its benchmark's would stand in the wrong column."""
    anchors = {"messidor2", "fives", "refuge", "odir200x3"}
    for row in baselines.published():
        assert row.source and row.protocol
        if row.benchmark in anchors:
            known = benchmarks.named(row.benchmark)
            assert row.metric == known.metric and row.n in (None, known.n)
    assert {row.benchmark for row in baselines.published()} == anchors | {"idrid", None}
    assert baselines.on("fives-test") == baselines.on("refuge-validation") == baselines.on("hygd")


def test_a_figure_of_another_protocol_says_so():
    """IDRiD's two classes are not our five, and a part of a set is not the set."""
    metric = Metric(value=0.8, low=0.7, high=0.9)
    result = ClassificationResult(task="linear", name="dr5", title="t", source="s", n=103, patients=103,
                                  classes=dict.fromkeys("abcde", 20), metrics={"linear": {"accuracy": metric}})  # fmt: skip
    figures = references.beside(benchmarks.summary("idrid", ["103 of 516 pictures"]), result)
    [med] = [each for each in figures if each.model == "MedGemma-1.5"]
    assert med.differs == [
        "zero-shot, ours linear", "516 photographs, ours 103", "2 classes, ours 5", "ours is not the set as published",
    ]  # fmt: skip
    assert "ReVision" not in {each.model for each in figures}  # the result has no macro AUC
    assert references.beside(None, result) == []
    for each in figures:
        for said in each.differs:
            assert languages.translated(said, "zh") != said
