"""Train a CLIP: ours beside Chinese-CLIP's own model and open_clip; our data path beside Chinese-CLIP's.

    python benchmarks/clip_train.py --quick

1. Pairs/s of a whole training step (towers, InfoNCE, gradients, AdamW) at RN50 + RoBERTa-base, 224 px, 52 tokens of context:
   ours as `clip train` runs it; `cn_clip`'s model and open_clip's `CustomTextCLIP` with its `ClipLoss`, each in the simplest
   correct loop.  Same random weights in ours and in cn_clip's, whose losses must agree; same batch, captions of ours.
2. Images/s per core from file to augmented, normalised batch with its tokens: ours from records of parquet, cn_clip's
   `LMDBDataset` with `use_augment` through a DataLoader from the same JPEGs of 224 px.  Ours three times: from the pictures that
   are decoded once (`once`, and what that costs spread over VisionCLIP's 32 epochs), decoding each time (`always`), and with the
   cameras of `visionclip-plus`.  Both squash, neither crops to the field of view, but for `fov`, which does.
3. Pairs/s per core that loader processes hand over at 224 px from shards of 256 px, as `decode: always` does, squashed and cropped to
   the field of view; open_clip's own webdataset loader, squashing, from tars of the same JPEGs and captions.  The figure for 8 is that
   of one times 8 where there are fewer cores, and the JSON says so.

One thread; the competitors take turns; seconds are of the processor, the best of several rounds.  On a GPU, part 1 runs there,
in bf16, by the clock.  The last line is JSON.
"""

import argparse
import base64
import gc
import json
import os
import pickle
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import lmdb
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from clip.augmentation.augment import Augment, augment
from clip.augmentation.camera import Camera
from clip.model.encoders import ClipConfig, TextTower, standardise
from clip.model.wordpiece import tokenize
from clip.training import batches, decoding
from clip.training.config import TrainConfig
from clip.training.objective import Learner
from synth import phantom
from synth.base import processes
from synth.base.config import check
from synth.data.images import Preprocessing
from synth.data.pictures import Pictures
from synth.data.records import read_table

torch.set_num_threads(1)

SIZE, SHARDS, CONTEXT, EPOCHS, WORKERS = 224, 256, 52, 32, 8
SQUASH = ClipConfig(preprocessing=Preprocessing(name="squash", size=SIZE))
FOV = ClipConfig(preprocessing=Preprocessing(size=SIZE))
CAMERAS = Camera(
    zoom=0.2, rotate=8, vignette=0.4, blur=0.006, gain=0.15, hue=6, gamma=0.25, noise=0.02, jpeg=50
)
GPU = torch.cuda.is_available()
PLACE = torch.device("cuda" if GPU else "cpu")
Step = Callable[[Tensor, Tensor], Tensor]


def clock() -> float:
    """Seconds of the processor, or of the day when a GPU works."""
    if GPU:
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def best(rounds: int, runs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """The shortest of `rounds` times of each run, in seconds, after one that is not counted."""
    seconds = dict.fromkeys(runs, float("inf"))
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = clock()
            run()
            if turn:
                seconds[name] = min(seconds[name], clock() - start)
    return seconds


def infonce(seen: Tensor, read: Tensor, scale: Tensor) -> Tensor:
    """Chinese-CLIP's loss, as its trainer writes it for one process."""
    logits, target = scale * seen @ read.T, torch.arange(len(seen), device=seen.device)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def ours() -> tuple[nn.Module, Step]:
    """`Learner` as the trainer uses it; pictures come in [0, 1]."""
    from clip.training import objective

    config = TrainConfig(model=SQUASH)
    learner = Learner(config).to(PLACE)
    learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def step(images: Tensor, tokens: Tensor) -> Tensor:
        features = learner(images.contiguous(memory_format=torch.channels_last), tokens)
        targets = objective.Targets(tokens[:, 0], tokens[:, :1])  # plain InfoNCE asks for neither
        return objective.total(config, objective.named_losses(config, features, targets))

    return learner, step


def chinese_clip() -> tuple[nn.Module, Step]:
    import cn_clip.clip
    from cn_clip.clip.model import CLIP as ChineseCLIP

    configs = Path(cn_clip.clip.__file__).parent / "model_configs"
    settings = {}
    for name in ("RN50", "RoBERTa-wwm-ext-base-chinese"):
        settings |= json.loads((configs / f"{name}.json").read_text())
    settings["vision_layers"] = json.loads(settings["vision_layers"])
    model = ChineseCLIP(**settings).float().to(PLACE)
    return model, lambda images, tokens: infonce(*model(standardise(images), tokens))


def open_clip(scratch: Path) -> tuple[nn.Module, Step]:
    from open_clip import ClipLoss
    from open_clip.model import CustomTextCLIP

    from clip.model.encoders import _text_tower

    _text_tower(TextTower()).config.save_pretrained(scratch / "bert")  # pyright: ignore
    text = {"hf_model_name": str(scratch / "bert"), "hf_model_pretrained": False, "hf_proj_type": "linear",
            "hf_pooler_type": "cls_last_hidden_state_pooler"}  # fmt: skip
    vision: Any = {"image_size": SIZE, "layers": [3, 4, 6, 3], "width": 64}
    model, loss = CustomTextCLIP(1024, vision, text).to(PLACE), ClipLoss()  # type: ignore[arg-type]
    return model, lambda images, tokens: loss(*model(standardise(images), tokens)[:3])


def trained(model: nn.Module, loss: Step, images: Tensor, tokens: Tensor) -> Callable[[], None]:
    """One step of training."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.2)

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=GPU):
            value = loss(images, tokens)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure_training(batch: int, rounds: int, texts: list[str], scratch: Path) -> dict[str, float]:
    """Pairs/s of the three."""
    from clip.export.cn_clip import cn_clip_weights

    images = torch.rand(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).to(PLACE)
    tokens = tokenize((texts * batch)[:batch], CONTEXT).to(PLACE)
    (learner, mine), (theirs, chinese), (peer, opened) = ours(), chinese_clip(), open_clip(scratch)
    assert isinstance(learner, Learner)
    theirs.load_state_dict(cn_clip_weights(learner.clip), strict=False)
    with torch.inference_mode():
        for model in (learner, theirs):
            model.eval()
        first, second = mine(images, tokens).item(), chinese(images, tokens).item()
        for model in (learner, theirs):
            model.train()
    assert abs(first - second) < 1e-4 * max(1, abs(second)), f"losses differ: {first}, {second}"
    seconds = best(rounds, {"ours": trained(learner, mine, images, tokens),
                            "cn_clip": trained(theirs, chinese, images, tokens),
                            "open_clip": trained(peer, opened, images, tokens)})  # fmt: skip
    return {name: batch / spent for name, spent in seconds.items()}


def as_lmdb(records: Path, out: Path) -> Path:
    """The training pairs of records as Chinese-CLIP's own builder lays them out."""
    pictures, texts = Pictures(records, ["train"]), read_table(records, ["train"], ["caption_zh"])
    pairs = [pickle.dumps((i, i, text)) for i, text in enumerate(texts["caption_zh"].to_pylist())]
    encoded = [base64.b64encode(pictures[i]) for i in range(len(pictures))]
    for name, count, values in (("pairs", b"num_samples", pairs), ("imgs", b"num_images", encoded)):
        (out / name).mkdir(parents=True)
        with lmdb.open(str(out / name), map_size=2**32) as base, base.begin(write=True) as writing:
            for i, value in enumerate(values):
                writing.put(str(i).encode(), value)
            writing.put(count, str(len(values)).encode())
    return out


def epoch(pairs: batches.Pairs, settings: Augment, batch: int) -> None:
    """Once through the pairs, as the training loop takes them."""
    count = len(pairs.rows)
    for at in range(0, count, batch):
        part = batches.batch(pairs, 0, at, min(batch, count - at))
        standardise(augment(part.pixels, settings, torch.Generator().manual_seed(at)))


def their_epoch(data: Any, batch: int) -> None:
    for _ in torch.utils.data.DataLoader(data, batch, shuffle=True):
        pass


def load(records: Path, model: ClipConfig, store: Path, decode: decoding.Decode) -> batches.Pairs:
    return batches.load(records, "train", model, "zh", store, decode)


def measure_data(records: Path, batch: int, rounds: int, scratch: Path) -> dict[str, float]:
    """Images/s per core of the two data paths."""
    from cn_clip.training.data import LMDBDataset

    theirs = LMDBDataset(str(as_lmdb(records, scratch / "lmdb")), "train", CONTEXT, True, SIZE)
    start = time.process_time()
    once = load(records, SQUASH, scratch / "once", "once")
    decoded = time.process_time() - start
    always, field = (load(records, model, scratch / "always", "always") for model in (SQUASH, FOV))
    light, plus = Augment(), Augment(crop=1, camera=CAMERAS)
    count = len(once.rows)
    seconds = best(rounds, {"cn_clip": lambda: their_epoch(theirs, batch),
                            "once": lambda: epoch(once, light, batch),
                            "once, cameras": lambda: epoch(once, plus, batch),
                            "always": lambda: epoch(always, light, batch),
                            "always, fov": lambda: epoch(field, light, batch)})  # fmt: skip
    seconds["once, with decoding over 32 epochs"] = seconds["once"] + decoded / EPOCHS
    return {name: count / spent for name, spent in seconds.items()}


def as_tars(records: Path, out: Path, count: int) -> list[str]:
    """The training pairs of records in `count` tars, as open_clip reads them."""
    from webdataset.writer import TarWriter

    pictures, texts = Pictures(records, ["train"]), read_table(records, ["train"], ["caption_zh"])
    captions = texts["caption_zh"].to_pylist()
    out.mkdir()
    paths = [str(out / f"{number}.tar") for number in range(count)]
    for number, path in enumerate(paths):
        with TarWriter(path) as tar:
            for i in range(number, len(pictures), count):
                tar.write({"__key__": f"{i:06d}", "jpg": pictures[i], "txt": captions[i]})
    return paths


def hand_over(pairs: batches.Pairs, batch: int, count: int, workers: int) -> None:
    """`count` pairs in batches, by loader processes as `clip train` has them."""
    spans = [range(at, at + batch) for at in range(0, count, batch)]
    for _ in processes.in_turn(partial(taken, pairs), spans, workers):
        pass


def their_hand_over(tars: list[str], batch: int, workers: int) -> None:
    from open_clip.transform import image_transform
    from open_clip_train.data import get_wds_dataset

    asked = SimpleNamespace(val_data=tars, val_num_samples=None, batch_size=batch, workers=workers)
    transform = image_transform(SIZE, is_train=False, resize_mode="squash")
    for _ in get_wds_dataset(asked, transform, is_train=False, tokenizer=words).dataloader:
        pass


def words(text: str) -> Tensor:
    return tokenize([text], CONTEXT)


def measure_loaders(records: Path, batch: int, rounds: int, scratch: Path) -> dict[str, float]:
    """Pairs/s of loader processes, per core and by the clock."""
    workers = min(WORKERS, os.cpu_count() or 1)
    squash, field = (load(records, model, scratch / "always", "always") for model in (SQUASH, FOV))
    epochs = 8
    count = epochs * len(squash.rows)
    tars = as_tars(records, scratch / "tars", workers) * epochs
    ways = {
        "squash": partial(hand_over, squash, batch, count, workers),
        "fov": partial(hand_over, field, batch, count, workers),
        "open_clip, squash": partial(their_hand_over, tars, batch, workers),
    }
    found = {"workers": float(workers)}
    for _ in range(rounds):
        for name, way in ways.items():
            start, spent = time.perf_counter(), processors()
            way()
            gc.collect()  # processes of a loader end, and are counted, when it is gone
            rates = {
                "per core": count / (processors() - spent),
                "clock": count / (time.perf_counter() - start),
            }
            for unit, rate in rates.items():
                found[f"{name}, {unit}"] = max(found.get(f"{name}, {unit}", 0.0), rate)
    return found


def taken(pairs: batches.Pairs, span: range) -> batches.Batch:
    return batches.batch(pairs, 0, span.start, len(span))


def processors() -> float:
    """Seconds of the processor of this process and of those of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="8 pairs a step and 3 rounds; 128 pictures")
    parser.add_argument("--part", choices=["training", "data", "loaders"], help="one of the three alone")
    asked = parser.parse_args()
    batch, rounds, count = (8, 3, 160) if asked.quick else (32, 5, 640)
    parts = [asked.part] if asked.part else ["training", "data", "loaders"]
    facts: dict[str, Any] = {"benchmark": "clip_train", "size": SIZE, "batch": batch, "rounds": rounds,
                             "device": str(PLACE), "cores": os.cpu_count(), "ratio": {}}  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        phantom.write(check(phantom.PhantomConfig, {"size": SIZE}, "phantom"), count, scratch / "records")
        texts = read_table(scratch / "records", ["train"], ["caption_zh"])["caption_zh"].to_pylist()
        if "training" in parts:
            rates = facts["pairs/s"] = measure_training(batch, rounds, texts, scratch)
            for peer in ("cn_clip", "open_clip"):
                facts["ratio"][f"training, {peer}"] = rates["ours"] / rates[peer]
        if "data" in parts:
            rates = facts["images/s/core"] = measure_data(scratch / "records", 32, rounds, scratch)
            facts["ratio"] |= {
                f"data, {way}": rates[way] / rates["cn_clip"] for way in rates if way != "cn_clip"
            }
        if "loaders" in parts:
            shards = scratch / f"records-{SHARDS}"
            phantom.write(check(phantom.PhantomConfig, {"size": SHARDS}, "phantom"), count, shards)
            rates = facts["loaders, pairs/s"] = measure_loaders(shards, 32, rounds, scratch)
            ways = ("squash", "fov", "open_clip, squash")
            facts["loaders of 8, pairs/s"] = {way: 8 * rates[f"{way}, per core"] for way in ways}
            facts["ratio"]["loaders, open_clip"] = (
                rates["squash, per core"] / rates["open_clip, squash, per core"]
            )
            facts["loaders of 8 are"] = "measured" if rates["workers"] == WORKERS else "8 times one core"
    for kind in ("pairs/s", "images/s/core", "loaders, pairs/s", "loaders of 8, pairs/s", "ratio"):
        for name, value in facts.get(kind, {}).items():
            print(f"{kind}: {name} {value:,.2f}")
    facts |= {"machine": platform.machine(),
              "versions": {name: version(name) for name in ("visionclip", "torch", "timm", "cn-clip", "open-clip-torch")}}  # fmt: skip
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
