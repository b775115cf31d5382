"""SigLIP-2, MedSigLIP, RETFound's DINOv2 and VisionFM: each as its authors publish it, with random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import folder
from PIL import Image
from test_clip_baselines import invoke, moved, opened, picture, seen, unit
from torch import nn
from torchvision import transforms

from clip import embed, loading
from clip.zoo.preprocessing import VISIONFM_MEAN, VISIONFM_STD
from synth.base.errors import UserError

TEXTS = ["A fundus photograph of Glaucoma", "a fundus"]
WORDS = ["<pad>", "<eos>", "<unk>", "a", "fundus", "photograph", "of", "glaucoma"]


def tokenizer(folder: Path, kind: str) -> Any:
    """A word-level tokenizer that ends a text with <eos>, in the files that the hub has of it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    core.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])  # type: ignore[assignment]
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    made.save_pretrained(folder)
    told = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(told | {"tokenizer_class": kind}))
    return made


def siglip(folder: Path, resample: int, kind: str = "PreTrainedTokenizerFast") -> Any:
    """A folder as google/medsiglip-448 and google/siglip2-base-patch16-224 are, in small."""
    from transformers import SiglipConfig, SiglipModel

    size: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    }
    text = size | {"vocab_size": len(WORDS), "max_position_embeddings": 16, "projection_size": 32}
    vision = size | {"image_size": 32, "patch_size": 8}
    model = moved(SiglipModel(SiglipConfig(text_config=text, vision_config=vision)))
    model.save_pretrained(folder)
    said = {
        "do_resize": True,
        "size": {"height": 32, "width": 32},
        "resample": resample,
        "do_normalize": True,
    }
    said |= {"image_processor_type": "SiglipImageProcessor", "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    tokenizer(folder, kind)
    return model


@pytest.mark.parametrize("resample", [2, 3], ids=["SigLIP-2, bilinear", "MedSigLIP, bicubic"])
def test_siglip_sees_and_reads_as_transformers_does(resample, tmp_path):
    theirs = siglip(tmp_path, resample)
    ours: Any = loading.load_model(f"hf:{tmp_path}")
    kernel = transforms.InterpolationMode.BILINEAR if resample == 2 else transforms.InterpolationMode.BICUBIC
    steps = [
        transforms.Resize((32, 32), kernel),
        transforms.ToTensor(),
        transforms.Normalize([0.5] * 3, [0.5] * 3),
    ]
    pixels: Any = transforms.Compose(steps)(opened(picture()))
    words = ours.tokenize(TEXTS)
    with torch.inference_mode():
        expected = theirs.get_image_features(pixels[None]).pooler_output
        read = theirs.get_text_features(words).pooler_output
    assert seen(ours, picture()) == pytest.approx(unit(expected)[0], abs=1e-5)
    assert embed.texts(ours, TEXTS) == pytest.approx(unit(read), abs=1e-5)
    assert words[0, :6].tolist() == [3, 4, 5, 6, 7, 1] and words.shape == (
        2,
        16,
    )  # lower case, the end, padding
    assert ours.config.languages == ("en",) and ours.config.context == 16
    assert ours.logit_scale.item() == pytest.approx(theirs.logit_scale.item())


def test_what_its_processor_does_is_what_we_do(tmp_path):
    """transformers' own processor, but for the rounding of a resized picture to whole grey levels."""
    from transformers import AutoImageProcessor

    siglip(tmp_path, 2)
    ours: Any = loading.load_model(f"hf:{tmp_path}")
    with_theirs = AutoImageProcessor.from_pretrained(tmp_path)(opened(picture()), return_tensors="pt")
    square = ours.config.preprocessing(picture())
    pixels = (square.transpose(2, 0, 1) / 255 - 0.5) / 0.5
    assert np.abs(pixels - np.asarray(with_theirs["pixel_values"])[0]).max() <= 1.01 / 127.5


def test_siglips_tokenizer_is_needed_for_texts_alone_and_its_absence_is_one_line(tmp_path):
    siglip(tmp_path, 2, "SiglipTokenizer")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).unlink()
    ours = loading.load_model(f"hf:{tmp_path}")
    assert seen(ours, picture()).shape == (32,)
    with pytest.raises(
        UserError, match=r"its tokenizer cannot be opened .*'pip install sentencepiece'"
    ) as refused:
        embed.texts(ours, TEXTS)
    assert "\n" not in str(refused.value)


def test_the_first_siglip_reads_texts_without_punctuation():
    from clip.zoo.hf import _canonical

    assert _canonical("Age-related  macular, degeneration.", True) == "agerelated macular degeneration"
    assert _canonical("Age-related.", False) == "age-related."


@pytest.mark.parametrize(
    ("key", "value"), [("image_std", [0, 0, 0]), ("image_mean", ["a", 1, 2]), ("do_resize", False)]
)
def test_a_preparation_that_is_none_is_refused_by_its_file(key, value, tmp_path):
    siglip(tmp_path, 2)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(UserError, match=r"preprocessor_config\.json: ") as refused:
        loading.load_model(f"hf:{tmp_path}")
    assert "\n" not in str(refused.value)


def test_patches_of_any_shape_are_refused(tmp_path):
    siglip(tmp_path, 2)
    told = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(told | {"model_type": "siglip2"}))
    with pytest.raises(UserError, match=r"a 'siglip2', .* of SigLIP-2 take one of fixed resolution"):
        loading.load_model(f"hf:{tmp_path}")


def test_a_refusal_about_a_model_of_transformers_is_one_line(tmp_path, capfd):
    siglip(tmp_path, 2)
    records = folder(tmp_path / "records", 20)
    capfd.readouterr()
    from transformers.utils.logging import enable_progress_bar

    enable_progress_bar()
    told = invoke(
        "eval", "--model", f"hf:{tmp_path}", "--data", records, "--lang", "zh", "--out", tmp_path / "out"
    )
    assert told.exit_code == 2
    assert told.stderr + capfd.readouterr().err == "clip: --lang zh: hf is asked in en; leave --lang out\n"


# RETFound's DINOv2


def transformer(size: int, patch: int, depth: int, **more: Any) -> Any:
    from timm.models.vision_transformer import VisionTransformer

    return moved(VisionTransformer(
        img_size=size, patch_size=patch, embed_dim=192, depth=depth, num_heads=3, num_classes=0, global_pool="token", **more
    ))  # fmt: skip


def test_retfounds_dinov2_of_518_px_sees_224_px_as_its_fine_tuning_does(tmp_path):
    """Its positions are interpolated without antialiasing, and its layers may go by the names of SwiGLU."""
    theirs = transformer(518, 14, 1, init_values=1e-5)
    named = {
        f"backbone.{n.replace('mlp.fc1.', 'mlp.w12.').replace('mlp.fc2.', 'mlp.w3.')}": v
        for n, v in theirs.state_dict().items()
    }
    torch.save({"teacher": named | {"backbone.mask_token": torch.zeros(1, 192)}}, tmp_path / "R.pth")
    ours: Any = loading.load_model(f"retfound:{tmp_path / 'R.pth'}")
    assert ours.config.preprocessing.size == 224 and ours.config.preprocessing.resize == 256
    grid = theirs.pos_embed[:, 1:].reshape(1, 37, 37, 192).permute(0, 3, 1, 2)
    small = nn.functional.interpolate(grid, size=(16, 16), mode="bicubic", align_corners=False)
    reference = transformer(224, 14, 1, init_values=1e-5)
    positions = torch.cat([theirs.pos_embed[:, :1], small.permute(0, 2, 3, 1).flatten(1, 2)], 1)
    reference.load_state_dict(theirs.state_dict() | {"pos_embed": positions})
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert (ours.visual(images) - reference(images)).abs().max() < 1e-5


# VisionFM


def test_visionfm_gives_the_features_that_its_classifiers_take(tmp_path):
    """The class tokens of the last four blocks, normalised, of a picture squashed and scaled by its own means."""
    theirs = transformer(64, 16, 5)
    teacher = {f"backbone.{name}": value for name, value in theirs.state_dict().items()}
    teacher |= {"head.mlp.0.weight": torch.zeros(4, 4), "head.last_layer.weight_v": torch.zeros(4, 4)}
    torch.save({"teacher": teacher, "student": {}, "epoch": 400}, tmp_path / "VFM_Fundus_weights.pth")
    ours: Any = loading.load_model(f"visionfm:{tmp_path / 'VFM_Fundus_weights.pth'}")
    steps = [
        transforms.Resize((64, 64), transforms.InterpolationMode.BICUBIC), transforms.ToTensor(),
        transforms.Normalize(VISIONFM_MEAN, VISIONFM_STD),
    ]  # fmt: skip
    pixels: Any = transforms.Compose(steps)(Image.open(picture_file(tmp_path)).convert("RGB"))
    with torch.inference_mode():
        tokens = theirs.patch_embed(pixels[None])
        tokens, classes = torch.cat([theirs.cls_token, tokens], dim=1) + theirs.pos_embed, []
        for block in theirs.blocks:
            tokens = block(tokens)
            classes.append(theirs.norm(tokens)[:, 0])
    assert seen(ours, picture()) == pytest.approx(unit(torch.cat(classes[-4:], dim=1))[0], abs=1e-5)
    assert ours.config.embedding == 4 * 192


def picture_file(folder: Path) -> Path:
    (folder / "picture.png").write_bytes(picture())
    return folder / "picture.png"


def test_retfound_and_visionfm_are_not_taken_for_each_other(tmp_path):
    """Their weights have the same names, so that either loads into the other's network."""
    state = transformer(64, 16, 1).state_dict()
    torch.save({"teacher": {f"backbone.{n}": v for n, v in state.items()}}, tmp_path / "vfm.pth")
    torch.save(
        {"model": state | {"mask_token": torch.zeros(1, 1, 8), "decoder_embed.weight": torch.zeros(8, 192)}},
        tmp_path / "mae.pth",
    )
    torch.save({"teacher": {f"backbone.{n}": v for n, v in state.items()}}, tmp_path / "VFM_OCT_weights.pth")
    scaled = transformer(64, 16, 1, init_values=1e-5).state_dict()
    torch.save({"teacher": {f"backbone.{n}": v for n, v in scaled.items()}}, tmp_path / "dino.pth")
    for spec, message in {
        f"retfound:{tmp_path / 'vfm.pth'}": "if it is VisionFM, write visionfm:",
        f"visionfm:{tmp_path / 'mae.pth'}": "write retfound:",
        f"visionfm:{tmp_path / 'dino.pth'}": "write retfound:",
        f"visionfm:{tmp_path / 'VFM_OCT_weights.pth'}": "of another modality, with other statistics",
    }.items():
        with pytest.raises(UserError) as refused:
            loading.load_model(spec)
        assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_tower_whose_heads_nobody_tells_is_refused(tmp_path):
    from timm.models.vision_transformer import VisionTransformer

    wide = VisionTransformer(img_size=32, patch_size=16, embed_dim=128, depth=1, num_heads=4, num_classes=0)
    torch.save({"model": wide.state_dict() | {"mask_token": torch.zeros(1, 1, 8)}}, tmp_path / "mae.pth")
    with pytest.raises(UserError, match="128 wide, whose attention heads no weight tells"):
        loading.load_model(f"retfound:{tmp_path / 'mae.pth'}")
