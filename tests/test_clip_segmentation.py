"""Segmentation transfer: masks, their geometry, Dice and IoU, towers with decoders, and the report."""

import hashlib
import json
from pathlib import Path
from typing import Any

import languages
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import f1_score, jaccard_score
from torch import nn
from typer.testing import CliRunner

from clip.commands.app import app
from clip.evaluation import masks, overlap, pyramid, segmenting
from clip.evaluation.coding import Coding
from clip.evaluation.pyramid import Segmenter
from clip.evaluation.segmenting import SegmentationConfig
from clip.model import checkpoints
from clip.model.encoders import ClipConfig, ImageTower, TextTower, build
from clip.zoo.foreign import Foreign, ForeignConfig
from clip.zoo.preprocessing import ForeignPreprocessing
from synth.base import checkpoint
from synth.base.errors import UserError
from synth.commands.app import app as synth
from synth.data.images import Preprocessing, encode
from synth.data.records import SPLITS, read_table

RESNET = ClipConfig(
    image=ImageTower(layers=(1, 1, 1, 1), width=8),
    text=TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64),
    embedding=32,
    preprocessing=Preprocessing(name="squash", size=32),
)
VIT = RESNET.model_copy(
    update={
        "image": ImageTower(
            name="vit_base_patch32_clip_224",
            kwargs={"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 4, "img_size": 32},
        )
    }
)
NESTED = Coding.model_validate({"classes": ["disc", "cup"], "nested": True})
PATIENTS, EYES = 20, 2


def photograph(seed: int, height: int = 48, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8, a bright disc with a brighter cup on red; and its mask, 1 disc, 2 cup."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    at = rng.uniform(0.2, 0.8, 2) * (height, width)
    far = np.hypot(y - at[0], x - at[1])
    mask = (far < 9).astype(np.uint8) + (far < 5)
    picture = np.array([[150, 60, 30], [230, 170, 90], [255, 250, 200]])[mask] + rng.normal(
        0, 4, (height, width, 3)
    )
    return picture.clip(0, 255).astype(np.uint8), mask


@pytest.fixture
def folder(tmp_path) -> Path:
    """`images/` and `masks/` of two eyes each of twenty people."""
    for name in ("images", "masks"):
        (tmp_path / "set" / name).mkdir(parents=True)
    for i in range(PATIENTS * EYES):
        picture, mask = photograph(i)
        name = f"p{i // EYES:02d}_{'LR'[i % EYES]}"
        (tmp_path / "set" / "images" / f"{name}.jpg").write_bytes(encode(picture))
        Image.fromarray(mask).save(tmp_path / "set" / "masks" / f"{name}.png")
    return tmp_path / "set"


@pytest.fixture(scope="module", params=[RESNET, VIT], ids=["resnet", "vit"])
def encoder(request, tmp_path_factory) -> Path:
    model, path = build(request.param), tmp_path_factory.mktemp("model") / "ckpt.pt"
    checkpoint.save(path, checkpoints.header(model) | {"weights": model.state_dict()})
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    model, path = build(RESNET), tmp_path_factory.mktemp("model") / "ckpt.pt"
    checkpoint.save(path, checkpoints.header(model) | {"weights": model.state_dict()})
    return path


def invoke(model: Path | str, data: Path, out: Path, *more: str) -> Any:
    settings = ["classes=[disc, cup]", "nested=true", r"subject=^(p\d+)_", "shares=[6, 2, 2]", "min_count=2", "n_bootstrap=50",
                "epochs=20", "batch=6", "turn=0", "width=16", "decoder_lr=1e-2", *more]  # fmt: skip
    line = ["eval", "--model", str(model), "--data", str(data), "--task", "segmentation", "--out", str(out)]
    return CliRunner().invoke(app, [*line, *(part for each in settings for part in ("--set", each))])


# What is measured


@pytest.mark.parametrize("nested", [False, True])
def test_dice_and_iou_of_a_class_are_f1_and_jaccard_of_its_pixels(nested):
    coding = Coding.model_validate({"classes": ["a", "b", "c"], "nested": nested})
    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 4, (2, 20, 30))
    counted = overlap.counts(coding.regions(truth), coding.regions(said))
    for k, (true, told) in enumerate(zip(coding.regions(truth), coding.regions(said), strict=True)):
        assert overlap.dice(counted)[k] == pytest.approx(f1_score(true.ravel(), told.ravel()))
        assert overlap.iou(counted)[k] == pytest.approx(jaccard_score(true.ravel(), told.ravel()))


def test_a_mean_over_photographs_is_what_two_loops_give_and_absent_classes_count_nowhere():
    """A class that is told where it is not scores 0; one that neither is nor is told is left out."""
    counted = np.array([[[4, 5, 6], [0, 0, 0]], [[0, 3, 0], [2, 2, 3]], [[1, 1, 1], [0, 0, 4]]])
    weights = np.array([[1.0, 1, 1], [2, 0, 1]])
    for row, weight in enumerate(weights):
        means = []
        for k in range(2):
            top = bottom = 0.0
            for photo, times in zip(counted, weight, strict=True):
                both, said, true = photo[k]
                if said + true:
                    top, bottom = top + times * 2 * both / (said + true), bottom + times
            means.append(top / bottom)
        assert overlap.statistic(overlap.dice(counted))(weights)[row] == pytest.approx(np.mean(means))


def test_a_mean_mask_of_equal_masks_is_that_mask():
    mask = photograph(0)[1]
    regions = NESTED.regions(np.stack([mask] * 4))
    assert (overlap.mean_mask(regions) == NESTED.regions(mask)).all()


# Masks and where they lie


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(name="fov-square", size=64),
        Preprocessing(name="squash", size=64),
        ForeignPreprocessing(name="shortest-side", size=64, resize=73),
    ],
    ids=["fov-square", "squash", "shortest-side"],
)
def test_a_mask_is_cut_as_its_photograph_is_and_laid_back_where_it_was(preprocessing):
    """Bright pixels of the square are those of the mask's square, and back on the photograph they are where they were."""
    height, width = 120, 170
    y, x = np.mgrid[:height, :width]
    mask = (np.hypot(y - 50, x - 95) < 16).astype(np.uint8)
    picture = np.zeros((height, width, 3), np.uint8)
    picture[np.hypot(y - 60, x - 90) < 58] = (150, 60, 30)
    picture[mask > 0] = (255, 250, 200)
    box = masks.shown(preprocessing, picture)
    square = preprocessing(encode(picture, 100))
    small = np.asarray(
        Image.fromarray(mask).transform((64, 64), Image.Transform.EXTENT, box, Image.Resampling.NEAREST)
    )
    bright = square.mean(axis=2) > 157
    assert _middle(small) == pytest.approx(_middle(bright), abs=0.4)
    assert small.sum() == pytest.approx(bright.sum(), rel=0.1)
    told = torch.nn.functional.one_hot(torch.tensor(small).long(), 2).permute(2, 0, 1).float()
    back = masks.spread(told, box, (height, width))
    assert _middle(back) == pytest.approx(
        _middle(mask), abs=1
    )  # pixels of the photograph, half of one of the square
    assert f1_score(mask.ravel(), back.ravel()) > 0.92


def _middle(region: np.ndarray) -> list[float]:
    return np.argwhere(region).mean(axis=0).tolist()


def test_a_mask_in_the_numbers_of_refuge_reads_as_one_in_ours(tmp_path):
    mask = photograph(3)[1]
    Image.fromarray(np.array([255, 128, 0], np.uint8)[mask]).save(tmp_path / "a.bmp")
    coding = Coding(classes={"disc": 128, "cup": 0}, background=255, nested=True)
    assert (coding.read(tmp_path / "a.bmp", (48, 64)) == mask).all()


def test_a_photograph_and_its_mask_are_moved_alike():
    pairs = [photograph(i, 64, 64) for i in range(12)]
    pixels, truth = (np.stack(each) for each in zip(*pairs, strict=True))
    config = SegmentationConfig(turn=40, zoom=0.3, colour=0)
    images, moved = segmenting.varied(
        config, torch.from_numpy(pixels), torch.from_numpy(truth), torch.Generator().manual_seed(0)
    )
    assert (moved.numpy() != truth).mean() > 0.05
    assert f1_score(moved.ravel() > 0, images[:, 1].ravel() * 255 > 115) > 0.95


def test_synth_phantom_writes_masks_beside_records_that_stay_as_they_are(tmp_path):
    """The ratio of the heights of cup and disc in the mask is what the phantom was drawn with."""
    import pyarrow.parquet as pq

    line = ["phantom", "--n", "6", "--size", "160", "--out"]
    assert CliRunner().invoke(synth, [*line, str(tmp_path / "a")]).exit_code == 0
    assert CliRunner().invoke(synth, [*line, str(tmp_path / "b"), "--masks"]).exit_code == 0
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file()]
    digests = [{f: hashlib.sha256((tmp_path / s / f).read_bytes()).digest() for f in files} for s in "ab"]
    assert digests[0] == digests[1]
    for truth in pq.read_table(tmp_path / "b" / "truth.parquet").to_pylist():
        mask = np.asarray(Image.open(tmp_path / "b" / "masks" / f"{truth['id']}.png"))
        assert set(np.unique(mask)) <= {0, 1, 2}
        if (mask > 0).any():
            disc, cup = ((mask >= k).any(axis=1).sum() for k in (1, 2))
            assert cup / disc == pytest.approx(truth["cup_to_disc"], abs=0.12)


# What learns


@pytest.mark.parametrize("config", [RESNET, VIT], ids=["resnet", "vit"])
def test_a_frozen_tower_keeps_every_weight_and_statistic(config, folder):
    model = build(config).eval()
    before = {name: value.clone() for name, value in model.visual.state_dict().items()}
    with masks.opened(folder, None, (1, 1, 1)) as (records, _):
        part = masks.read(records, ["train"], folder / "masks", NESTED, config.preprocessing)
    settings = SegmentationConfig(epochs=2, width=8)
    wanted: dict[segmenting.Mode, bool] = {"frozen": True, "full": False}
    for mode, same in wanted.items():
        network, _ = segmenting.learn(settings, mode, model, part, part, NESTED)
        after = network.model.visual.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before) == same
    assert all(torch.equal(before[name], value) for name, value in model.visual.state_dict().items())


@pytest.mark.parametrize("config", [RESNET, VIT], ids=["resnet", "vit"])
def test_a_pyramid_grows_coarser_and_a_tower_takes_larger_squares(config):
    model = build(config).eval()
    pyramid.fit(model, 64, "model")
    network = Segmenter(model, 3, 8)
    levels = network.pyramid(torch.zeros(1, 3, 64, 64))
    sides = [level.shape[-1] for level in levels]
    assert sides == sorted(set(sides), reverse=True)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 64, 64)


@pytest.mark.slow
def test_an_encoder_with_a_decoder_finds_discs_that_the_mean_mask_does_not(encoder, folder, tmp_path):
    result = invoke(encoder, folder, tmp_path / "out", "modes=[frozen]", "epochs=25")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    every, disc, cup = report["results"]
    assert [each["name"] for each in report["results"]] == [
        "segmentation",
        "segmentation-disc",
        "segmentation-cup",
    ]
    assert every["n"] == EYES * every["patients"]
    assert every["n"] + every["train"]["n"] + every["validation"]["n"] == PATIENTS * EYES
    for row in every["metrics"]:
        for key in ("dice", "iou"):
            one = every["metrics"][row][key]
            assert one["low"] <= one["value"] <= one["high"]
            assert one["value"] == pytest.approx(
                (disc["metrics"][row][key]["value"] + cup["metrics"][row][key]["value"]) / 2
            )
    assert disc["differences"]["frozen - mean mask"]["low"] > 0
    assert disc["differences"]["frozen - mean mask"]["value"] == pytest.approx(
        disc["metrics"]["frozen"]["dice"]["value"] - disc["without_pictures"]["mean mask"]["dice"]
    )
    assert Image.open(tmp_path / "out" / every["sheet"]).width == 2 * 192
    assert 'src="segmentation.png"' in (tmp_path / "out" / "report.html").read_text()
    languages.whole(tmp_path / "out" / "report.html")


@pytest.mark.slow
def test_the_same_command_gives_the_same_report(plain, folder, tmp_path):
    made = []
    for _ in range(2):
        assert invoke(plain, folder, tmp_path / "out", "modes=[full, untrained]", "epochs=2").exit_code == 0
        made.append((tmp_path / "out" / "report.json").read_text())
    assert made[0] == made[1]


def test_eyes_of_one_patient_are_never_in_two_splits(folder):
    with masks.opened(folder, r"^(p\d+)_", (1, 1, 1)) as (records, imported):
        people = [set(read_table(records, [split])["subject_id"].to_pylist()) for split in SPLITS]
        assert imported is not None and imported["kept"] == PATIENTS * EYES
    assert all(people) and sum(map(len, people)) == len(set.union(*people)) == PATIENTS


# What is refused


def refused(result: Any) -> str:
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize(
    "spoil, told",
    [
        (lambda f: Image.fromarray(np.zeros((48, 60), np.uint8)).save(f / "p03_L.png"), "p03_L.png: 60 x 48 pixels, its photograph has 64 x 48"),
        (lambda f: Image.fromarray(np.full((48, 64), 7, np.uint8)).save(f / "p03_L.png"), "p03_L.png: 7 is the number of no class; known: 0 background, 1 disc, 2 cup"),
        (lambda f: Image.new("RGB", (64, 48)).save(f / "p03_L.png"), "p03_L.png: a colour picture (RGB)"),
        (lambda f: (f / "p03_L.png").write_text("no picture"), "p03_L.png: no mask that can be read"),
        (lambda f: (f / "p03_L.png").unlink(), "no mask of 'p03_L'; add p03_L.png"),
        (lambda f: Image.new("L", (64, 48)).save(f / "p03_L.bmp"), "two masks of 'p03_L', p03_L.bmp and p03_L.png; take one out"),
        (lambda f: f.rename(f.with_name("other")), "masks: no such folder of masks"),
    ],
    ids=["size", "number", "colour", "text", "missing", "two", "folder"],
)  # fmt: skip
def test_a_mask_that_does_not_fit_is_refused_in_one_line(spoil, told, plain, folder, tmp_path):
    spoil(folder / "masks")
    assert told in refused(invoke(plain, folder, tmp_path / "out"))


@pytest.mark.parametrize(
    "setting, told",
    [
        (r"subject=^p\d+", "has no group"),
        (r"subject=^(q\d+)", "finds no patient in its name"),
        ("classes={disc: 0}", "numbers must differ"),
        ("min_count=30", "no class is on 30 photographs of train and of test"),
        ("modes=[whole]", "modes.0='whole'"),
        ("size=0", "size=0"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_one_line(setting, told, plain, folder, tmp_path):
    assert told in refused(invoke(plain, folder, tmp_path / "out", "modes=[frozen]", setting))


def test_classes_that_nobody_names_are_asked_for(plain, folder, tmp_path):
    line = [
        "eval",
        "--model",
        str(plain),
        "--data",
        str(folder),
        "--task",
        "segmentation",
        "--out",
        str(tmp_path),
    ]
    assert "name the classes with --set 'classes=[disc, cup]'" in refused(CliRunner().invoke(app, line))
    assert "leave it out" in refused(CliRunner().invoke(app, [*line, "--prompts", "disc"]))


def test_a_tower_without_levels_is_refused():
    how = ForeignPreprocessing(name="squash", size=32)
    other = Foreign(
        ForeignConfig(kind="cn_clip", name="none", embedding=4, preprocessing=how), nn.Linear(4, 4)
    )
    with pytest.raises(UserError, match=r"its image tower \(Linear\) is not timm's"):
        pyramid.fit(other, 32, "cn_clip:FILE")
