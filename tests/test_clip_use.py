"""Using a trained encoder: findings of photographs as people have them, what speaks for them, search."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import drawn, write_wide_or_normal
from PIL import Image
from typer.testing import CliRunner

from clip import embed, loading, prompts
from clip.apps import image_io, page, predict, saliency, search
from clip.commands.app import app
from clip.evaluation import zero_shot
from clip.model import checkpoints
from clip.model.encoders import ClipConfig, ImageTower, TextTower, build
from clip.training.config import TrainConfig
from clip.training.trainer import train
from synth.base import checkpoint
from synth.base.errors import UserError
from synth.data.images import Preprocessing, encode

TEXT = TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64)
MODEL = ClipConfig(
    image=ImageTower(layers=(1, 1, 1, 1), width=8),
    text=TEXT,
    embedding=32,
    preprocessing=Preprocessing(size=32),
)
VIT = MODEL.model_copy(
    update={
        "image": ImageTower(
            name="vit_base_patch32_clip_224",
            kwargs={"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8, "img_size": 32},
        )
    }
)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    return write_wide_or_normal(tmp_path_factory.mktemp("use") / "records", 160)


@pytest.fixture(scope="module")
def trained(records, tmp_path_factory) -> Path:
    config = TrainConfig(model=MODEL, caption="both", loss="multi-positive", images=1600, batch=16, warmup=80,
                         save_every=800, lr=5e-3)  # fmt: skip
    return train(config, records, tmp_path_factory.mktemp("use") / "run")


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("use") / "wide.png"
    Image.fromarray(drawn(5, glaucoma=1)).save(path)
    return path


def invoke(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refusal(*arguments: Any) -> str:
    """The one line with which a command refuses."""
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


def square(path: Path) -> np.ndarray:
    return MODEL.preprocessing(image_io.read(path))


# Photographs as people have them


def test_sixteen_bits_of_grey_are_read_by_their_full_range(tmp_path):
    grey = np.asarray(Image.fromarray(drawn(5, 1)).convert("L"))
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    assert np.ptp(square(tmp_path / "8.png")) > 100
    assert np.array_equal(square(tmp_path / "16.png"), square(tmp_path / "8.png"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_that_exif_turns_stands_upright(orientation, tmp_path):
    """What a camera held sideways writes, for each of the eight ways to hold it."""
    upright = Image.fromarray(drawn(5, 1))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> transposition by which it was stored
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "upright.png")
    assert np.array_equal(square(tmp_path / "turned.png"), square(tmp_path / "upright.png"))


def test_colours_of_print_and_palettes_and_transparency_are_read(tmp_path):
    picture = Image.fromarray(drawn(5, 1))
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    picture.convert("P").save(tmp_path / "palette.png")
    picture.convert("RGBA").save(tmp_path / "alpha.png")
    picture.save(tmp_path / "plain.png")
    plain = square(tmp_path / "plain.png").astype(int)
    for name in ("cmyk.jpg", "palette.png", "alpha.png"):
        assert np.abs(square(tmp_path / name) - plain).mean() < 8


def test_sixty_megapixels_are_read_and_look_as_the_small_photograph_does(tmp_path):
    picture = Image.fromarray(drawn(5, 1, side=244))
    picture.resize((7800, 7800), Image.Resampling.NEAREST).save(tmp_path / "large.jpg", quality=80)
    picture.save(tmp_path / "small.png")
    difference = square(tmp_path / "large.jpg").astype(int) - square(tmp_path / "small.png")
    assert np.abs(difference).mean() < 5


def test_what_cannot_be_read_is_refused_in_one_line(trained, tmp_path):
    whole = encode(drawn(5, 1, side=256))
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("a text", encoding="utf-8")
    (tmp_path / "empty.jpg").touch()
    Image.new("1", (12_000, 12_000)).save(tmp_path / "huge.png")
    Image.fromarray(np.zeros((64, 64), np.float32)).save(tmp_path / "deep.tif")
    reasons = {
        "cut.jpg": "damaged picture",
        "text.jpg": "not a picture",
        "empty.jpg": "not a picture",
        "huge.png": "12000x12000, 144 megapixels; at most 89 are read",
        "deep.tif": "32 bits per pixel",
        "absent.jpg": "no such picture",
    }
    for name, reason in reasons.items():
        line = refusal("predict", tmp_path / name, "--model", trained)
        assert f"{tmp_path / name}: {reason}" in line


# Findings


def test_findings_are_those_of_zero_shot_in_each_language(trained, wide):
    """Prompts are embedded once for all diseases; the classifier is the one that is evaluated."""
    model = loading.load_model(trained)
    reader = predict.Classifier(model)
    seen = embed.pixels(model, square(wide)[None])
    found = {row.key: row.model_dump() for row in reader.findings(square(wide), "both")}
    for name, task in prompts.tasks("diseases").items():
        row = found["dr_grade" if name == "dr" else name]
        classes = list(task.classes.values())
        for lang in ("zh", "en"):
            expected = zero_shot.classify(model, seen, classes, lang, "clip")[0, 1]
            assert row["by_language"][lang] == pytest.approx(expected, abs=1e-6)
        assert row["probability"] == pytest.approx(
            zero_shot.classify(model, seen, classes, "both", "clip")[0, 1], abs=1e-6
        )


def test_several_photographs_and_folders_are_read_and_the_damaged_one_is_named(trained, wide, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    Image.fromarray(drawn(6, 0)).save(folder / "narrow.png")
    (folder / "text.jpg").write_text("a text", encoding="utf-8")
    (folder / "notes.txt").write_text("is left alone", encoding="utf-8")
    result = invoke("predict", wide, folder, "--model", trained, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(line["image"]).name for line in lines] == ["wide.png", "narrow.png"]
    glaucoma = [next(row for row in line["diseases"] if row["key"] == "is_gc") for line in lines]
    assert glaucoma[0]["probability"] > 0.5 > glaucoma[1]["probability"]
    assert result.exit_code == 2
    assert f"{folder / 'text.jpg'}: not a picture" in result.stderr
    assert "1 of 3 photographs were refused" in result.stderr


def test_a_folder_without_pictures_is_refused(trained, tmp_path):
    assert "no pictures in this folder" in refusal("predict", tmp_path, "--model", trained)


# Saliency


def test_what_speaks_for_glaucoma_is_the_wide_disc(trained, wide):
    """The disc is all that tells the two apart; it must hold more than its share of the evidence."""
    reader = predict.Classifier(loading.load_model(trained))
    picture = square(wide)
    drops = saliency.occlusion(reader.model, picture, reader.axes["both"], cells=16)
    evidence = drops[reader.number("is_gc")].clip(min=0)
    bright = picture[..., 1].reshape(16, 2, 16, 2).mean(axis=(1, 3)) > 140
    assert 0.05 < bright.mean() < 0.4
    assert evidence[bright].sum() / evidence.sum() > 2 * bright.mean()


@pytest.mark.parametrize("config", [MODEL, VIT], ids=["resnet", "vit"])
def test_occlusion_equals_a_naive_loop_over_windows(config, wide):
    """In batches, for all findings at once, on towers of either kind."""
    model, picture = build(config, 1).eval(), square(wide)
    axes = np.random.default_rng(0).normal(size=(3, config.embedding))
    from synth.data.images import field_of_view

    inside = field_of_view(picture)
    whole = axes @ embed.pixels(model, picture[None])[0]
    total, count = np.zeros((3, 8, 8)), np.zeros((8, 8))
    for y in range(7):
        for x in range(7):
            covered = picture.copy()
            window = np.zeros_like(inside)
            window[4 * y : 4 * y + 8, 4 * x : 4 * x + 8] = True
            covered[window & inside] = picture[inside].mean(axis=0).round()
            drop = whole - axes @ embed.pixels(model, covered[None])[0]
            total[:, y : y + 2, x : x + 2] += drop[:, None, None]
            count[y : y + 2, x : x + 2] += 1
    found = saliency.occlusion(model, picture, axes, cells=8, batch=5)
    assert np.abs(found).max() > 1e-3
    assert found == pytest.approx(total / count, abs=1e-4)


def test_an_overlay_colours_for_and_against_and_leaves_the_surround_black():
    shown = drawn(5, 1, side=120)
    drops = np.zeros((6, 6))
    drops[2, 2], drops[3, 4] = 2.0, -1.0
    picture = saliency.overlay(shown, drops).astype(int)
    strongest = picture[45:55, 45:55].mean(axis=(0, 1))
    weaker = picture[65:75, 85:95].mean(axis=(0, 1))
    assert strongest[0] > strongest[2] + 100 and weaker[2] > weaker[0] + 20
    assert picture[:5, :5].max() < 10


def test_saliency_is_written_as_png_that_says_what_it_shows(trained, wide, tmp_path):
    out = tmp_path / "map.png"
    result = invoke("predict", wide, "--model", trained, "--saliency", out, "--finding", "is_gc", "--json")
    drawn_map = json.loads(result.stdout)["saliency"]
    with Image.open(out) as picture:
        assert picture.format == "PNG" and picture.size == (640, 640 + 40)  # the legend below
        assert picture.info["finding"] == drawn_map["finding"] == "is_gc"
        assert "occlusion" in picture.info["method"] and "no diagnosis" in picture.info["use"]
    assert drawn_map["for"] > 0
    assert "none of dr_grade" in refusal("predict", wide, "--model", trained, "--finding", "flu")


def test_the_maps_of_several_photographs_go_into_a_folder(trained, wide, tmp_path):
    assert "several into a folder" in refusal(
        "predict", wide, wide, "--model", trained, "--saliency", tmp_path / "map.png"
    )
    with pytest.raises(UserError, match=r"two photographs would become 'wide\.png'"):
        predict.maps(tmp_path, [wide, wide], [wide, wide])
    other = tmp_path / "narrow.png"
    Image.fromarray(drawn(6, 0)).save(other)
    result = invoke("predict", wide, other, "--model", trained, "--saliency", tmp_path / "maps")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["narrow.png", "wide.png"]


def test_a_vit_predicts_and_explains_too(wide, tmp_path):
    model = build(VIT, 2)
    checkpoint.save(
        tmp_path / "ckpt.pt", checkpoints.header(model, images=0) | {"weights": model.state_dict()}
    )
    result = invoke("predict", wide, "--model", tmp_path / "ckpt.pt", "--saliency", tmp_path / "map.png")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "map.png").is_file()


# Search


@pytest.fixture(scope="module")
def embedded(trained, records, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("use") / "embedded.parquet"
    embed.write(path, loading.load_model(trained), records)
    return path


@pytest.mark.parametrize(
    "text, wanted", [("疑似青光眼。", 1), ("Suspected glaucoma.", 1), ("未见明显异常。", 0)]
)
def test_a_text_finds_the_photographs_that_it_describes(text, wanted, trained, embedded, records):
    from synth.data.records import SPLITS, read_table

    table = read_table(records, SPLITS, ["id", "is_gc"])
    glaucoma = dict(zip(table["id"].to_pylist(), table["is_gc"].to_pylist(), strict=True))
    result = invoke("search", text, "--model", trained, "--embeddings", embedded, "--k", 12, "--json")
    found = json.loads(result.stdout)["found"]
    assert [hit["rank"] for hit in found] == list(range(1, 13))
    assert sum(glaucoma[hit["id"]] == wanted for hit in found) >= 10


def test_search_ranks_as_the_full_matrix_does(trained, embedded):
    model, rows = loading.load_model(trained), search.read(embedded)
    found = search.search(model, rows, "Suspected glaucoma.", 5)
    scores = [
        float(np.dot(vector, embed.texts(model, ["Suspected glaucoma."])[0])) for vector in rows.vectors
    ]
    best = sorted(range(len(scores)), key=lambda k: -scores[k])[:5]
    assert [hit.score for hit in found] == pytest.approx([scores[k] for k in best], abs=1e-6)
    assert len(search.search(model, rows, "眼", 10_000)) == len(scores)


def test_what_was_found_is_shown_as_pictures(trained, embedded, records, tmp_path):
    line = [
        "search",
        "疑似青光眼。",
        "--model",
        trained,
        "--embeddings",
        embedded,
        "--k",
        7,
        "--data",
        records,
    ]
    for name in ("found.png", "found.html"):
        assert invoke(*line, "--sheet", tmp_path / name).exit_code == 0
    with Image.open(tmp_path / "found.png") as sheet:
        assert sheet.size == (5 * search.SIDE, 2 * (search.SIDE + 18))
    html = (tmp_path / "found.html").read_text(encoding="utf-8")
    assert "疑似青光眼。" in html and html.count("data:image/jpeg;base64,") == 7
    assert "write .png or .html" in refusal(*line, "--sheet", tmp_path / "found.gif")


def test_search_refuses_what_it_cannot_compare(trained, embedded, tmp_path):
    (tmp_path / "text.parquet").write_text("a text", encoding="utf-8")
    line = ["search", "疑似青光眼。", "--model", trained, "--embeddings"]
    assert "write it with 'clip embed'" in refusal(*line, tmp_path / "absent.parquet")
    assert "no embeddings of 'clip embed'" in refusal(*line, tmp_path / "text.parquet")
    for name, vectors, message in (
        ("ragged", [[0.6, 0.8], [1.0]], "not lists of as many numbers each"),
        ("null", [[0.6, 0.8], None], "not lists of as many numbers each"),
        ("nan", [[0.6, 0.8], [float("nan"), 1.0]], "row 1: its embedding holds what is no number"),
    ):
        columns = {"id": ["a", "b"], "subject_id": ["a", "b"], "embedding": vectors}
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
        assert message in refusal(*line, tmp_path / f"{name}.parquet")
    assert "--sheet needs --data" in refusal(*line, embedded, "--sheet", tmp_path / "a.png")
    assert "is empty" in refusal("search", " ", "--model", trained, "--embeddings", embedded)
    other = build(MODEL.model_copy(update={"embedding": 16}), 0)
    with pytest.raises(UserError, match=r"embeddings of 32 numbers, the model makes 16"):
        search.search(other, search.read(embedded), "眼", 3, "e.parquet")
    with pytest.raises(UserError, match=r"e\.parquet: embeddings of another model"):
        search.search(build(MODEL, 7), search.read(embedded), "眼", 3, "e.parquet")


# The page


@pytest.fixture(scope="module")
def address(trained):
    with page.running(predict.Classifier(loading.load_model(trained))) as found:
        yield found


@pytest.fixture(scope="module")
def browser(address, tmp_path_factory):
    from chromium import PROGRAM, Browser

    if not PROGRAM:
        pytest.skip("no Chromium on this machine")
    with Browser(tmp_path_factory.mktemp("use") / "profile") as made:
        made.open(address)
        made.wait("!!document.querySelector('#photograph button')")
        yield made


def test_a_dropped_photograph_is_answered_in_both_languages_with_saliency(browser, trained, wide):
    browser.drop("#photograph", wide)
    browser.wait("document.querySelectorAll('.finding').length == 11")
    browser.wait("!!document.querySelector('#saliency img')")
    said = browser.run("document.querySelector('#findings').innerText")
    row = browser.run("document.querySelector('.finding[data-key=is_gc]').innerText").split()
    square = MODEL.preprocessing(image_io.read(wide))
    found = predict.Classifier(loading.load_model(trained)).findings(square)
    glaucoma = next(each for each in found if each.key == "is_gc")
    assert row[:2] == ["青光眼", "glaucoma"]
    assert f"{100 * glaucoma.probability:.0f}" in row
    assert "糖尿病视网膜病变" in said and "diabetic retinopathy" in said
    notice = browser.run("document.body.innerText")
    assert "For research only, not for diagnosis" in notice and "不能用于诊断" in notice


def test_a_text_named_jpg_is_refused_on_the_page_in_words(browser, tmp_path):
    browser.run("window.left = true; location.reload()")  # until it has gone, the old page answers
    browser.wait("!window.left && !!document.querySelector('#photograph button')")
    (tmp_path / "text.jpg").write_text("a text", encoding="utf-8")
    browser.drop("#photograph", tmp_path / "text.jpg")
    browser.wait("!!document.querySelector('#refused')")
    assert browser.run("document.querySelector('#refused').innerText").startswith(
        "photograph.jpg: not a picture"
    )


def test_the_page_asks_nobody_else_for_anything(browser, address):
    """Not even with the network up: the policy that the server sends lets the browser load nothing from elsewhere."""
    elsewhere = [
        each for each in browser.requests if not each.startswith((address, "data:", "blob:", "about:"))
    ]
    assert len(browser.requests) > 5
    assert elsewhere == []
    browser.run(
        "window.outcome = ''; addEventListener('securitypolicyviolation', e => outcome = e.blockedURI)"
    )
    browser.run("void fetch('https://example.org/').catch(() => 0)")
    browser.wait("outcome.startsWith('https://example.org')")
