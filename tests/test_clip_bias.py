"""The bias of the sigmoid losses goes with a model into open_clip."""

import pytest
import torch
from test_clip_evaluation import MODEL

from clip import export
from clip.model import checkpoints
from clip.model.encoders import build
from synth.base import checkpoint


@pytest.mark.parametrize("bias", [False, True], ids=["softmax", "sigmoid"])
def test_open_clips_own_logits_are_ours_with_the_bias(bias, tmp_path):
    """As `open_clip.create_model` loads them, and as its `get_logits` and `forward` tell them."""
    import open_clip

    model = build(MODEL.model_copy(update={"bias": bias})).eval()
    with torch.no_grad():
        model.logit_scale.fill_(1.7)
        if model.logit_bias is not None:
            model.logit_bias.fill_(-3.25)
    checkpoint.save(tmp_path / "ckpt.pt", checkpoints.header(model) | {"weights": model.state_dict()})
    export.export(tmp_path / "ckpt.pt", tmp_path / "out", "open_clip")
    other = open_clip.create_model(f"local-dir:{tmp_path / 'out'}").eval()
    pictures = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tokens = model.tokenize(["疑似青光眼。", "Moderate diabetic retinopathy."])
    with torch.inference_mode():
        seen, read, scale = model(pictures, tokens)
        ours = scale * seen @ read.T + (model.logit_bias if bias else 0)
        theirs, turned = other.get_logits(pictures, tokens)  # pyright: ignore[reportCallIssue]
        told = other(pictures, tokens)
    assert torch.allclose(theirs, ours, atol=1e-4) and torch.allclose(turned, ours.T, atol=1e-4)
    assert len(told) == (4 if bias else 3)
    if bias:
        assert told[3].item() == -3.25
