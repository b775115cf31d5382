"""Losses against other people's code and against double loops; on two processes; with cached gradients."""

import os
import subprocess
import sys
from functools import partial
from itertools import product
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate import Accelerator
from open_clip.loss import ClipLoss, SigLipLoss
from pictures import rows
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from clip.export import cn_clip
from clip.model.encoders import ClipConfig, ImageTower, TextTower
from clip.training import caching, losses, objective
from clip.training.config import TrainConfig
from clip.training.labels import COLUMNS, label_sets
from clip.training.trainer import train
from synth.base import checkpoint
from synth.base.config import check
from synth.base.errors import UserError
from synth.base.runs import read_metrics
from synth.data.images import Preprocessing
from synth.data.records import read_table, row, write_records

VIT = {"img_size": 32, "patch_size": 16, "embed_dim": 32, "depth": 1, "num_heads": 2}
STILL = ClipConfig(
    image=ImageTower(name="vit_tiny_patch16_224", kwargs=VIT),
    text=TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64, dropout=0.0),
    embedding=16,
    preprocessing=Preprocessing(size=32),
)
"""Neither batch norm nor dropout: what it makes of a picture does not depend on the others, nor on chance."""
LIVELY = STILL.model_copy(
    update={
        "image": ImageTower(layers=(1, 1, 1, 1), width=8),
        "text": TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64),
    }
)
LOSSES = ("infonce", "siglip", "multi-positive", "multi-positive-siglip")


def embeddings(count: int = 8, size: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    drawn = torch.randn(2, count, size, generator=torch.Generator().manual_seed(seed))
    seen, read = nn.functional.normalize(drawn, dim=2)
    return seen, read


def gradients(value: Tensor, *of: Tensor) -> list[Tensor]:
    return [value.detach(), *torch.autograd.grad(value, of)]


@pytest.mark.parametrize("kind", ["infonce", "siglip"])
def test_one_process_agrees_with_open_clip(kind):
    seen, read = (each.requires_grad_() for each in embeddings())
    scale, bias = torch.tensor(10.0, requires_grad=True), torch.tensor(-3.0, requires_grad=True)
    if kind == "infonce":
        ours = gradients(losses.infonce(seen, read, scale), seen, read, scale)
        theirs = gradients(ClipLoss()(seen, read, scale), seen, read, scale)
    else:
        ours = gradients(losses.siglip(seen, read, scale, bias), seen, read, scale, bias)
        theirs = gradients(SigLipLoss()(seen, read, scale, bias), seen, read, scale, bias)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-6)


def _on_one_of_two(rank: int, folder: str) -> None:
    """Ours and open_clip's losses, and their gradients, on the half of a batch that this process has."""
    from torch import distributed

    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    mine = slice(4 * rank, 4 * rank + 4)
    scale, bias = torch.tensor(10.0), torch.tensor(-3.0)
    found = {}
    for name in ("infonce", "siglip"):
        seen, read = (each[mine].clone().requires_grad_() for each in embeddings())
        all_of = caching.everyones({"image_features": seen, "text_features": read})
        tail = (scale, bias) if name == "siglip" else (scale,)
        found[name] = gradients(
            getattr(losses, name)(all_of["image_features"], all_of["text_features"], *tail), seen, read
        )
        if name == "infonce":
            theirs = ClipLoss(gather_with_grad=True, rank=rank, world_size=2)
        else:
            theirs = SigLipLoss(rank=rank, world_size=2)
        value = theirs(seen, read, *tail)
        found[f"open_clip {name}"] = gradients(value, seen, read)
        distributed.all_reduce(found[f"open_clip {name}"][0], distributed.ReduceOp.SUM)
        found[f"open_clip {name}"][0] /= 2  # what each process is told is a share of it
    torch.save(found, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def halves(tmp_path_factory) -> list[dict[str, list[Tensor]]]:
    folder = tmp_path_factory.mktemp("two")
    spawn(_on_one_of_two, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["infonce", "siglip"])
def test_two_processes_agree_with_open_clip_on_two(kind, halves):
    for half in halves:
        for mine, other in zip(half[kind], half[f"open_clip {kind}"], strict=True):
            torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["infonce", "siglip"])
def test_two_processes_agree_with_one(kind, halves):
    """Each holds half of the gradient twice: the average that data parallel training takes is that of one process."""
    seen, read = (each.requires_grad_() for each in embeddings())
    tail = (torch.tensor(10.0), torch.tensor(-3.0))[: 1 if kind == "infonce" else 2]
    whole = gradients(getattr(losses, kind)(seen, read, *tail), seen, read)
    for half in halves:
        torch.testing.assert_close(half[kind][0], whole[0], atol=1e-6, rtol=1e-6)
    for place in (1, 2):
        joined = torch.cat([half[kind][place] for half in halves]) / 2
        torch.testing.assert_close(joined, whole[place], atol=1e-6, rtol=1e-6)


LABELS = [  # grade, two diseases; -1 is unknown
    [0, 0, 0],
    [0, 0, 0],
    [2, 0, 1],
    [3, 0, 1],
    [2, 1, 1],
    [-1, 0, -1],
    [-1, 1, -1],
    [-1, -1, -1],
    [4, 0, 1],
]


def naive_overlap(a: list[int], b: list[int], itself: bool) -> float:
    known = [i for i in range(len(a)) if a[i] >= 0 and b[i] >= 0]
    either = [i for i in known if a[i] > 0 or b[i] > 0]
    if itself:
        return 1.0
    if either:
        return sum(a[i] > 0 and a[i] == b[i] for i in either) / len(either)
    alike = [value >= 0 for value in a] == [value >= 0 for value in b] and max(a) >= 0
    return float(alike and max(*a, *b) <= 0)


def test_overlap_matches_a_naive_double_loop():
    found = losses.overlap(torch.tensor(LABELS))
    for i, j in product(range(len(LABELS)), repeat=2):
        assert found[i, j].item() == pytest.approx(naive_overlap(LABELS[i], LABELS[j], i == j)), (i, j)
    assert torch.equal(found, found.T)
    assert 0 < found[2, 4] < 1  # or the loop above would have compared zeros and ones only


def test_grades_of_otherwise_equal_records_come_near_by_distance():
    found = losses.between_grades(torch.tensor(LABELS), 0.5)
    assert found[2, 3].item() == pytest.approx(exp(-2))
    assert found[2, 8].item() == pytest.approx(exp(-4))
    assert found[0, 2] == 0, "another disease differs"
    assert found[5, 6] == 0, "no grade is known"
    assert found[0, 1] == 1


@pytest.mark.parametrize("kind", ["multi-positive", "multi-positive-siglip"])
@pytest.mark.parametrize("ordinal", [0.0, 0.5])
def test_multi_positive_matches_a_naive_double_loop(kind, ordinal):
    count, scale, bias = len(LABELS), 7.0, -2.0
    seen, read = (each.double() for each in embeddings(count))
    config = TrainConfig(loss=kind, positives="labels", ordinal=ordinal)
    weight = [[naive_overlap(LABELS[i], LABELS[j], i == j) for j in range(count)] for i in range(count)]
    if ordinal:
        for i, j in product(range(count), repeat=2):
            if LABELS[i][1:] == LABELS[j][1:] and min(LABELS[i][0], LABELS[j][0]) >= 0:
                weight[i][j] = max(weight[i][j], exp(-abs(LABELS[i][0] - LABELS[j][0]) / ordinal))
    product_of = (scale * seen @ read.T).tolist()
    wanted = 0.0
    for i, j in product(range(count), repeat=2):
        if kind == "multi-positive":
            for table in (product_of, [list(column) for column in zip(*product_of, strict=True)]):
                share = table[i][j] - log(sum(exp(value) for value in table[i]))
                wanted -= weight[i][j] / sum(weight[i]) * share / count / 2
        else:
            logit = product_of[i][j] + bias
            wanted += (weight[i][j] * log(1 + exp(-logit)) + (1 - weight[i][j]) * log(1 + exp(logit))) / count
    features = {
        "image_features": seen,
        "text_features": read,
        "scale": torch.tensor(scale),
        "bias": torch.tensor(bias),
    }
    targets = objective.Targets(torch.arange(count), torch.tensor(LABELS))
    assert objective.image_text(config, features, targets).item() == pytest.approx(wanted, rel=1e-6)


def test_the_identity_makes_plain_losses_of_those_with_several_positives():
    seen, read = embeddings()
    scale, bias, own = torch.tensor(10.0), torch.tensor(-3.0), torch.eye(8)
    assert losses.multi_positive(seen, read, scale, own).item() == pytest.approx(
        losses.infonce(seen, read, scale).item()
    )
    theirs = SigLipLoss()(seen, read, scale, bias).item()
    assert losses.multi_positive_siglip(seen, read, scale, bias, own).item() == pytest.approx(
        theirs, rel=1e-6
    )


def test_equal_strings_are_no_false_negatives_of_plain_infonce():
    seen, texts = embeddings(24)
    meaning = torch.arange(24) % 5
    leaves = [each.detach().requires_grad_() for each in (seen, texts[:5], torch.tensor(20.0))]

    def both(worded: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        def of(loss: Any, *more: Tensor) -> list[Tensor]:
            return gradients(loss(leaves[0], leaves[1][worded], leaves[2], *more), *leaves)

        return of(losses.infonce), of(losses.multi_positive, losses.same(meaning))

    for one, other in zip(*both(meaning), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    other_words = torch.arange(24) % 10 // 2  # the same five texts, given to other meanings
    assert abs(both(other_words)[0][0] - both(other_words)[1][0]) > 1e-2


def test_unknown_labels_are_not_absent_ones(tmp_path):
    made = rows(4, side=32)
    made[0] |= {"dr_grade": None, "findings": None}
    made[1] |= {"dr_grade": 3, "findings": ["drusen"]}
    made[2] |= {"findings": []}
    write_records(tmp_path / "a", [row(**each) for each in made], {"kind": "labels"}, (1, 0, 0))
    found = label_sets(read_table(tmp_path / "a", ["train"], COLUMNS))
    assert found[:3, 0].tolist() == [-1, 3, 0]
    assert [(each == -1).sum() for each in found[:3, 11:]] == [len(found[0]) - 11, 0, 0]
    assert (found[1, 11:] > 0).sum() == 1


@pytest.mark.parametrize("key", [{"positives": "labels"}, {"ordinal": 1.0}])
def test_one_right_text_knows_no_degrees(key):
    with pytest.raises(
        UserError, match="needs a loss with several right texts; set loss=multi-positive, not infonce"
    ):
        check(TrainConfig, key, "--set")


def _step(model: ClipConfig, loss: str, parts: list[int], cached: bool) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of one step in parts of some sizes; not cached, all parts stay in memory."""
    config = TrainConfig(model=model, loss=loss)  # type: ignore[arg-type]
    learner, accelerator = objective.Learner(config), Accelerator(cpu=True)
    drawn = torch.Generator().manual_seed(0)
    pictures = torch.rand(sum(parts), 3, 32, 32, generator=drawn)
    tokens = torch.randint(1, 20_000, (sum(parts), 6), generator=drawn)
    targets = objective.Targets(torch.arange(sum(parts)) % 3, torch.zeros(sum(parts), 4, dtype=torch.long))

    def forward(start: int, size: int) -> caching.Features:
        torch.manual_seed(start)
        return learner(pictures[start : start + size], tokens[start : start + size])

    def loss_of(features: caching.Features) -> tuple[Tensor, Any]:
        value = objective.image_text(config, features, targets)
        return value, value.item()

    starts = [sum(parts[:i]) for i in range(len(parts))]
    forwards = [partial(forward, start, size) for start, size in zip(starts, parts, strict=True)]
    if cached:
        value = caching.backward(accelerator, learner, forwards, loss_of)
    else:
        made = [each() for each in forwards]
        whole = {k: torch.cat([m[k] for m in made]) if made[0][k].ndim else made[0][k] for k in made[0]}
        loss_, value = loss_of(whole)
        loss_.backward()
    found = {name: p.grad for name, p in learner.named_parameters() if p.grad is not None}
    return value, found | {f"after {name}": buffer for name, buffer in learner.named_buffers()}


@pytest.mark.parametrize("loss", LOSSES)
def test_cached_gradients_are_those_of_the_whole_batch(loss):
    value, whole = _step(STILL, loss, [8], cached=False)
    cached_value, cached = _step(STILL, loss, [3, 3, 2], cached=True)
    assert cached_value == pytest.approx(value, rel=1e-6)
    assert set(cached) == set(whole) and "clip.logit_scale" in whole
    for name, gradient in whole.items():
        torch.testing.assert_close(cached[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_cached_gradients_are_exact_with_dropout_and_batch_norm():
    """Against all parts in memory at once: the same dropout in both passes, running statistics moved once."""
    value, whole = _step(LIVELY, "multi-positive", [4, 4], cached=False)
    cached_value, cached = _step(LIVELY, "multi-positive", [4, 4], cached=True)
    assert cached_value == pytest.approx(value, rel=1e-6)
    assert any("running_mean" in name for name in whole)
    for name, gradient in whole.items():
        torch.testing.assert_close(cached[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


SETTINGS = {
    "model": STILL.model_dump(mode="json"),
    "caption": "both",
    "loss": "multi-positive-siglip",
    "augment": {"crop": 1, "brightness": 0, "contrast": 0, "saturation": 0},
    "images": 64,
    "batch": 16,
    "warmup": 32,
    "save_every": 16,
    "lr": 2e-3,
}


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("records") / "a"
    write_records(path, rows(60, side=32), {"kind": "drawn"})
    return path


@pytest.mark.slow
def test_two_processes_with_cached_gradients_train_what_one_does(records, tmp_path):
    """Of a batch of 16, each of two processes sees 8, in parts of 4; the other sees all at once."""
    train(check(TrainConfig, SETTINGS, ""), records, tmp_path / "one")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**SETTINGS, "micro_batch": 4}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "clip", "train", "--config", str(tmp_path / "config.yaml")]
    command += ["--data", str(records), "--out", str(tmp_path / "two")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = (
        [row["loss"] for row in read_metrics(tmp_path / name / "metrics.jsonl")] for name in ("one", "two")
    )
    assert len(one) == 4 and two == pytest.approx(one, rel=1e-5)
    ends = [checkpoint.load(tmp_path / name / "ckpt.pt")["weights"] for name in ("one", "two")]
    first, second = (torch.cat([w.flatten() for w in each.values()]) for each in ends)
    assert float((first - second).norm() / first.norm()) < 1e-3  # Adam makes whole steps out of rounding


def test_a_bias_is_there_only_for_the_sigmoid_and_chinese_clip_never_sees_it():
    """Chinese-CLIP's loader refuses names that it does not know."""
    with_bias, without = (
        objective.Learner(TrainConfig(model=LIVELY, loss=loss)).clip for loss in ("siglip", "infonce")
    )
    assert with_bias.logit_bias is not None and with_bias.logit_bias.item() == -10
    assert without.logit_bias is None
    assert set(cn_clip.cn_clip_weights(with_bias)) == set(cn_clip.cn_clip_weights(without))
    back = cn_clip.ours(with_bias.config, cn_clip.cn_clip_weights(with_bias), "here")
    assert back.logit_bias is None and torch.equal(back.text_projection, with_bias.text_projection)
