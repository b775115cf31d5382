"""Distillation: the loss against open_clip's; what the teacher sees and reads; a run that is resumed, cut into parts, shared."""

import os
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from killing import Work, kill_often
from open_clip.loss import DistillClipLoss
from pictures import drawn, rows, write_wide_or_normal
from PIL import Image
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from clip import embed, loading
from clip.model import checkpoints
from clip.model.encoders import ClipConfig, ImageTower, TextTower, standardise
from clip.training import batches, distillation
from clip.training.config import TrainConfig
from clip.training.distillation import Teacher
from clip.training.trainer import train
from synth.base import checkpoint
from synth.base.config import check
from synth.base.errors import UserError
from synth.base.runs import read_metrics, sha256
from synth.data.images import Preprocessing
from synth.data.records import read_table, write_records

CPU = torch.device("cpu")
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
TEXT = TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64, dropout=0.0)
STILL = ClipConfig(
    image=ImageTower(name="vit_tiny_patch16_224", kwargs=VIT),
    text=TEXT,
    embedding=16,
    preprocessing=Preprocessing(size=32),
)
"""Neither batch norm nor dropout: what it makes of a picture does not depend on the others, nor on chance."""
SMALL = ClipConfig(
    image=ImageTower(layers=(1, 1, 1, 1), width=8),
    text=TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64),
    embedding=24,
    preprocessing=Preprocessing(size=32),
)
TEACHER = TrainConfig(
    model=STILL, caption="both", loss="multi-positive", images=960, batch=16, warmup=160, save_every=960, lr=2e-3
)  # fmt: skip
UNCHANGED = {"crop": 1, "brightness": 0, "contrast": 0, "saturation": 0}
"""Each part of a batch draws its changes for itself; without them the parts can be compared with the whole."""


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("distillation") / "records"
    write_wide_or_normal(path, 200)
    return path


@pytest.fixture(scope="module")
def teacher(records, tmp_path_factory) -> Path:
    """Trained until it tells wide discs from others."""
    return train(TEACHER, records, tmp_path_factory.mktemp("distillation") / "teacher")


def student(teacher: Path | str, /, **changes: Any) -> TrainConfig:
    """A small run that is taught."""
    settings: dict[str, Any] = {
        "model": SMALL.model_dump(mode="json"),
        "caption": "both",
        "weights": {"distillation": 1.0},
        "teacher": str(teacher),
        "images": 64,
        "batch": 16,
        "warmup": 32,
        "save_every": 16,
        "lr": 2e-3,
    }
    return check(TrainConfig, settings | changes, "test")


def embeddings(size: int, seed: int, count: int = 8) -> tuple[Tensor, Tensor]:
    drawn = torch.randn(2, count, size, generator=torch.Generator().manual_seed(seed))
    seen, read = nn.functional.normalize(drawn, dim=2)
    return seen, read


def test_the_loss_and_its_gradients_equal_open_clips():
    """The teacher's embeddings are of another size than the student's, and its factor is another."""
    seen, read = (each.requires_grad_() for each in embeddings(5, 0))
    scale, shown = torch.tensor(10.0, requires_grad=True), embeddings(7, 1)
    theirs = DistillClipLoss()(seen, read, scale, *shown, torch.tensor(6.0))[1]
    ours = distillation.relations(seen, read, scale, 6.0 * shown[0] @ shown[1].T)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    of = (seen, read, scale)
    for mine, other in zip(torch.autograd.grad(ours, of), torch.autograd.grad(theirs, of), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-6)


def test_a_student_that_is_its_teacher_already_learns_nothing(teacher, records, tmp_path):
    """So both see the same changed pictures and read the same captions; what captions teach beside it does move it."""
    start = {"image": str(teacher), "text": str(teacher)}
    # One step as large as the gradient: what Adam divides it by is about 1.  The second and last step has a rate of 0.
    step = {"images": 32, "weight_decay": 0, "eps": 1, "lr": 1.0, "warmup": 0}
    before = checkpoint.load(teacher)["weights"]
    moved = []
    for image_text in (0, 1):
        weights = {"image_text": image_text, "distillation": 1}
        config = student(teacher, model=STILL.model_dump(mode="json"), initial=start, weights=weights, **step)
        after = checkpoint.load(train(config, records, tmp_path / f"{image_text}"))["weights"]
        moved.append(max(float((after[name] - value).abs().max()) for name, value in before.items()))
    assert moved[0] < 1e-5 < 1e-3 < moved[1], moved


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(teacher, records, tmp_path):
    def work(out: Path) -> Work:
        return Work(train, (student(teacher, images=240), records, out), out / "config.json")

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    kill_often(work(killed), work(whole).finish(), kills=2)
    assert sha256(killed / "ckpt.pt") == sha256(whole / "ckpt.pt")
    head = checkpoints.load(whole / "ckpt.pt")[1]
    assert head.model_extra and head.model_extra["teacher"] == sha256(teacher)
    assert head.config and head.config["teacher"] == str(teacher)


def test_a_run_is_not_resumed_with_another_teacher(teacher, records, tmp_path):
    """Though its file has the name of the first."""
    file = tmp_path / "teacher.pt"
    file.write_bytes(teacher.read_bytes())
    config = student(file, images=16)
    train(config, records, tmp_path / "run")
    train(config, records, tmp_path / "run")
    content = checkpoint.load(file)
    content["weights"]["logit_scale"] += 0.1
    checkpoint.save(file, content)
    with pytest.raises(UserError, match=r"holds another run \(teacher is '"):
        train(config, records, tmp_path / "run")


def test_cached_gradients_train_what_the_whole_batch_does(teacher, records, tmp_path):
    """In parts of 4 as in one of 16; the student has neither batch norm nor dropout."""
    found = {}
    for parts in (None, 4):
        config = student(teacher, model=STILL.model_dump(mode="json"), augment=UNCHANGED, micro_batch=parts)
        train(config, records, tmp_path / f"{parts}")
        found[parts] = read_metrics(tmp_path / f"{parts}" / "metrics.jsonl")
    for key in ("loss", "loss_distillation", "loss_image_text"):
        whole, cached = ([line[key] for line in found[parts]] for parts in (None, 4))
        assert len(whole) == 4 and cached == pytest.approx(whole, rel=1e-5)
    ends = [checkpoint.load(tmp_path / name / "ckpt.pt")["weights"] for name in ("None", "4")]
    first, second = (torch.cat([w.flatten() for w in each.values()]) for each in ends)
    assert float((first - second).norm() / first.norm()) < 1e-3  # Adam makes whole steps out of rounding


WITHOUT_CAPTIONS = {
    "taught": {"weights": {"image_text": 0, "distillation": 1}, "micro_batch": 4},
    "compared": {"weights": {"image_text": 0, "image_image": 1}, "micro_batch": 4, "teacher": None},
    "painted": {
        "weights": {"image_text": 0, "reconstruction": 1},
        "masking": {"width": 32, "heads": 2, "depth": 1},
        "micro_batch": 8,
        "teacher": None,
    },
}
"""Neither tower, or not the whole of one, has a gradient from anything but the loss that counts."""


def _train_on_one_of_two(
    rank: int, ports: list[int], configs: dict[str, TrainConfig], data: Path, out: Path
) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "CUDA_VISIBLE_DEVICES": ""}
    for port, (name, config) in zip(ports, configs.items(), strict=True):
        os.environ["MASTER_PORT"] = str(port)
        train(config, data, out / name)
        AcceleratorState._reset_state(reset_partial_state=True)  # the end of a training closes its group


@pytest.fixture(scope="module")
def on_two(teacher, records, tmp_path_factory) -> tuple[dict[str, TrainConfig], Path]:
    """What two processes train, each with its half of every batch."""
    still = {"model": STILL.model_dump(mode="json"), "images": 32}
    configs = {name: student(teacher, **(still | changes)) for name, changes in WITHOUT_CAPTIONS.items()}
    out = tmp_path_factory.mktemp("two")
    with ExitStack() as stack:
        free = [stack.enter_context(socket.socket()) for _ in configs]
        for each in free:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in free]
    spawn(_train_on_one_of_two, (ports, configs, records, out), nprocs=2)
    return configs, out


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_CAPTIONS)
def test_two_processes_train_what_one_does_without_the_loss_of_captions(name, on_two, records, tmp_path):
    """The one has the parts that the two have between them, so that the same is drawn for each."""
    configs, out = on_two
    train(configs[name], records, tmp_path / name)
    places = (tmp_path / name, out / name)
    one, two = ([line["loss"] for line in read_metrics(place / "metrics.jsonl")] for place in places)
    assert len(one) == 2 and two == pytest.approx(one, rel=1e-5)
    first, second = (
        torch.cat([w.flatten() for w in checkpoint.load(place / "ckpt.pt")["weights"].values()])
        for place in places
    )
    assert float((first - second).norm() / first.norm()) < 1e-3  # Adam makes whole steps out of rounding


def distance(model: Path, teacher: Path, records: Path) -> float:
    """Kullback-Leibler divergence of a model's choice among the captions of held-out people from the teacher's, in nats."""
    texts = sorted({*read_table(records, ["test"], ["caption_en"])["caption_en"].to_pylist()})
    chosen = []
    for path in (teacher, model):
        network = loading.load_model(path)
        logits = embed.images(network, records, ["test"]) @ embed.texts(network, texts).T
        chosen.append(
            torch.from_numpy(logits).double().mul(network.logit_scale.exp().item()).log_softmax(dim=1)
        )
    return float(nn.functional.kl_div(chosen[1], chosen[0], log_target=True, reduction="batchmean"))


@pytest.mark.slow
def test_a_taught_student_agrees_more_with_the_teacher(teacher, records, tmp_path):
    """On people whom neither has seen, after the same steps from the same weights."""
    far = {}
    for name, weights, who in (("taught", {"distillation": 1}, str(teacher)), ("told", {}, None)):
        model = STILL.model_copy(update={"embedding": 24}).model_dump(mode="json")
        steps = {"images": 960, "warmup": 160, "save_every": 960, "loss": "multi-positive", "seed": 1}
        config = student(teacher, model=model, weights=weights, teacher=who, **steps)
        far[name] = distance(train(config, records, tmp_path / name), teacher, records)
    assert far["taught"] < far["told"] / 2, far


def test_the_teacher_sees_and_reads_as_open_clip_does(tmp_path):
    """At its own size, in its own colour scale, with its own tokenizer; its file is told by its sha256."""
    import open_clip

    torch.manual_seed(0)
    theirs = open_clip.create_model("ViT-S-32-alt").eval()
    file = tmp_path / "epoch_3.pt"
    torch.save({"state_dict": theirs.state_dict()}, file)
    ours = Teacher(f"open_clip:ViT-S-32-alt={file}", CPU)
    assert ours.fingerprint == sha256(file)
    write_records(tmp_path / "records", rows(20, side=32), {"kind": "drawn"})
    pairs = batches.load(tmp_path / "records", "train", STILL, "zh", tmp_path)
    pairs = ours.encode_captions(tmp_path / "records", "zh", pairs)
    captions = read_table(tmp_path / "records", ["train"], ["caption_en"])["caption_en"].to_pylist()
    batch = batches.batch(pairs, 0, 0, 6)
    shown = torch.rand(6, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    rows_shown = [
        int(np.flatnonzero((pairs.pixels[pairs.rows] == each.numpy()).all(axis=(1, 2, 3)))[0])
        for each in batch.pixels
    ]
    assert batch.teacher_captions is not None
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer("ViT-S-32-alt")([captions[pairs.rows[i]] for i in rows_shown])
        expected = theirs(standardise(shown), tokens)
    logits = expected[2] * expected[0] @ expected[1].T
    torch.testing.assert_close(
        ours.logits(ours.encode_images(shown), batch.teacher_captions), logits, atol=1e-4, rtol=1e-4
    )


def test_a_smaller_picture_is_brought_to_the_teachers_size(teacher):
    """A teacher of 32 px sees of a picture of 64 px what it sees of the same in 32, antialiased."""
    model = loading.load_model(teacher)
    large = np.stack([np.asarray(drawn(seed, seed % 2, 64)) for seed in range(6)])
    small = np.stack(
        [np.asarray(Image.fromarray(each).resize((32, 32), Image.Resampling.BICUBIC)) for each in large]
    )
    seen = Teacher(str(teacher), CPU).encode_images(torch.from_numpy(large).permute(0, 3, 1, 2).float() / 255)
    assert seen.numpy() == pytest.approx(embed.pixels(model, small), abs=0.02)


def partly_captioned(data: Path) -> list[dict[str, Any]]:
    """Records of which the first has no Chinese caption; what is said of split train."""
    made = rows(20, side=32)
    made[0]["caption_zh"] = None
    write_records(data, made, {"kind": "partly"}, (1, 0, 0))
    return read_table(data, ["train"], ["caption_zh", "caption_en"]).to_pylist()


def who_learnt(caption: str, teacher: Path, out: Path) -> Teacher:
    """The teacher, had it been trained on captions of one language."""
    content = checkpoint.load(teacher)
    content["config"]["caption"] = caption
    checkpoint.save(out / "teacher.pt", content)
    return Teacher(str(out / "teacher.pt"), CPU)


@pytest.mark.parametrize("caption, learnt, expected", [
    ("zh", "both", ("zh",)), ("zh", "en", ("en",)), ("both", "en", ("en", "en")), ("both", "both", ("zh", "en")),
])  # fmt: skip
def test_a_teacher_reads_the_students_captions_where_it_can(caption, learnt, expected, teacher, tmp_path):
    """Else what the same photographs have in its own language."""
    data = tmp_path / "records"
    said = partly_captioned(data)
    pairs = batches.load(data, "train", STILL, caption, tmp_path)
    assert len(pairs.rows) == (19 if caption == "zh" else 20)
    pairs = who_learnt(learnt, teacher, tmp_path).encode_captions(data, caption, pairs)
    read = batches.caption_table(data, "train", learnt if learnt == "en" else caption).texts
    assert pairs.teacher_captions is not None
    for row, numbers in zip(pairs.rows, pairs.teacher_captions, strict=True):
        wanted = [said[row][f"caption_{lang}"] or said[row]["caption_en"] for lang in expected]
        assert [read[number] for number in numbers] == wanted


def test_what_a_teacher_cannot_read_is_refused(teacher, tmp_path):
    data = tmp_path / "records"
    partly_captioned(data)
    pairs = batches.load(data, "train", STILL, "en", tmp_path)
    with pytest.raises(
        UserError, match=r"1 of 20 pictures of split train have no caption_zh, the language of teacher="
    ):
        who_learnt("zh", teacher, tmp_path).encode_captions(data, "en", pairs)


def test_a_teacher_without_a_text_tower_is_refused(records, tmp_path):
    """In one line, before anything is written."""
    tower = VisionTransformer(img_size=32, patch_size=16, embed_dim=192, depth=1, num_heads=3, num_classes=0)
    torch.save(
        {"model": tower.state_dict() | {"mask_token": torch.zeros(1, 1, 64)}}, tmp_path / "RETFound.pth"
    )
    with pytest.raises(UserError) as refused:
        train(student(f"retfound:{tmp_path / 'RETFound.pth'}"), records, tmp_path / "run")
    assert "retfound has no text tower" in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("changes, message", [
    ({"teacher": None}, r"weights.distillation=1 needs a teacher; set teacher=FILE"),
    ({"weights": {}}, r"teacher=a.pt would teach nothing; set weights.distillation=1, or teacher=null"),
])  # fmt: skip
def test_a_teacher_and_its_weight_go_together(changes, message):
    with pytest.raises(UserError, match=message):
        student("a.pt", **changes)
