"""A fine-tuned tower is kept: its file stands wherever a checkpoint of `clip train` does."""

import json
from copy import deepcopy

import numpy as np
import pytest
import torch
from pictures import folder
from test_clip_evaluation import MODEL, invoke

from clip import embed, loading
from clip.evaluation import lora
from clip.model import checkpoints
from clip.model.encoders import ImageTower, build
from synth.base import checkpoint

VIT = ImageTower(
    name="vit_tiny_patch16_224",
    kwargs={"img_size": 32, "patch_size": 8, "depth": 1, "embed_dim": 48, "num_heads": 2},
)


@pytest.mark.parametrize("tower", [MODEL.image, VIT], ids=["ResNet", "ViT"])
def test_matrices_that_are_taken_in_change_no_embedding(tower):
    model = build(MODEL.model_copy(update={"image": tower}))
    tuned = lora.added(model, 4).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in tuned.named_parameters():
            if "lora_B" in name:
                value.normal_(0, 0.1)
    before = deepcopy(tuned.state_dict())
    merged = lora.merged(tuned)
    pictures = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        expected, plain = tuned.encode_image(pictures), model.eval().encode_image(pictures)
        assert torch.allclose(merged.encode_image(pictures), expected, atol=1e-5)
        assert (plain - expected).abs().max() > 1e-2
    assert merged.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, before[name]) for name, value in tuned.state_dict().items())


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_clip_eval_keeps_the_tower_and_predicts_what_it_reported(mode, tmp_path):
    records = folder(tmp_path / "records", 80, shares=(6, 2, 2))
    model = build(MODEL)
    checkpoint.save(
        tmp_path / "ckpt.pt", checkpoints.header(model, images=64) | {"weights": model.state_dict()}
    )
    result = invoke("eval", "--model", tmp_path / "ckpt.pt", "--data", records, "--task", "finetune", "--prompts",
                    "is_gc", "--set", f"modes=[{mode}]", "--set", "epochs=3", "--set", "n_bootstrap=20", "--set", "lr=1e-3",
                    "--set", "lora_lr=1e-2", "--out", tmp_path / "out", "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    [judged] = json.loads(result.stdout)["results"]
    assert f"that of {mode}, seed 0" in judged["notes"][1]
    kept = tmp_path / "out" / "ckpt-is_gc.pt"
    tuned, head = loading.load(kept)
    assert head.images == 64 and head.model_extra
    finetuned = head.model_extra["finetuned"]
    assert finetuned["classes"] == list(judged["classes"])
    learnt = finetuned["head"]
    seen = embed.images(tuned, records, ["test"]) * MODEL.embedding**0.5
    said = (seen @ learnt["weight"].numpy().T + learnt["bias"].numpy()).argmax(axis=1)
    from synth.data.records import read_table

    truth = np.array(read_table(records, ["test"], ["is_gc"])["is_gc"].to_pylist())
    assert (said == truth).mean() == pytest.approx(judged["metrics"][mode]["accuracy"]["value"])
    again = invoke("embed", "--model", kept, "--data", records, "--out", tmp_path / "embeddings.parquet")
    assert again.exit_code == 0, again.output
    assert invoke("eval", "--model", kept, "--data", records, "--prompts", "is_gc", "--set", "n_bootstrap=20",
                  "--out", tmp_path / "zero").exit_code == 0  # fmt: skip
