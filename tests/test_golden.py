"""What the last commit before the second plan wrote (371a6de) opens, samples, resumes and verifies."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from clip.commands.app import app as clip
from privacy.commands.app import app as privacy
from synth.base.checkpoint import versions
from synth.commands.app import app as synth
from synth.data.pictures import Pictures
from synth.data.records import read_table
from synth.pipeline import FundusPipeline

GOLDEN = Path(__file__).parent / "golden"
GENERATE = ("generate", "--model", str(GOLDEN / "generator"), "--n", "40", "--seed", "5", "--steps", "2")


def invoke(app, *arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def pixels(folder: Path) -> np.ndarray:
    pictures = Pictures(folder)
    opened = [Image.open(io.BytesIO(pictures[row])) for row in range(len(pictures))]
    return np.stack([np.asarray(each.convert("RGB")) for each in opened]).astype(int)


def test_a_generator_opens():
    assert FundusPipeline.from_pretrained(GOLDEN / "generator").size == 16


@pytest.mark.slow
@pytest.mark.skipif(
    json.loads((GOLDEN / "synthetic/plan.json").read_text())["libraries"] != versions(),
    reason="a half-drawn set is finished by the versions of libraries that began it",
)
def test_a_set_that_was_half_drawn_is_finished_with_the_pictures_that_were_missing(tmp_path):
    """The same plan: shards that are there stay, and those drawn now are those of then, but for a processor's rounding."""
    out = tmp_path / "synthetic"
    shutil.copytree(GOLDEN / "synthetic", out)
    there = {path: path.read_bytes() for path in out.glob("data/*.parquet")}
    invoke(synth, *GENERATE, "--out", out)
    assert there == {path: path.read_bytes() for path in there}
    assert json.loads((out / "plan.json").read_text()) == json.loads(
        (GOLDEN / "synthetic/plan.json").read_text()
    )
    drawn, expected = pixels(out), pixels(GOLDEN / "whole")
    assert drawn.shape == expected.shape and np.abs(drawn - expected).mean() < 0.5
    columns = ["id", "subject_id", "caption_en", "caption_zh", "dr_grade", "is_gc", "findings"]
    assert read_table(out, columns=columns).equals(read_table(GOLDEN / "whole", columns=columns))
    invoke(synth, "verify", out)


def test_records_are_read():
    table = read_table(GOLDEN / "records", columns=["id", "dr_grade", "sex"])
    assert table.num_rows == 24 and table["id"][0].as_py() == "phantom-000000-0"
    assert table["sex"].null_count == 0


def test_an_encoder_gives_the_features_that_it_gave(tmp_path):
    from clip import load

    invoke(
        clip,
        "embed",
        "--model",
        GOLDEN / "encoder.pt",
        "--data",
        GOLDEN / "records",
        "--out",
        tmp_path / "e.parquet",
    )
    import pyarrow.parquet as pq

    expected = np.load(GOLDEN / "features.npz")
    features = np.array(pq.read_table(tmp_path / "e.parquet")["embedding"].to_pylist())
    assert features == pytest.approx(expected["image"], abs=1e-4)
    texts = load(GOLDEN / "encoder.pt").encode_texts(["青光眼", "a fundus photograph of glaucoma"])
    assert np.asarray(texts) == pytest.approx(expected["text"], abs=1e-4)


def test_the_key_of_canaries_fits_the_records_that_they_were_planted_in(tmp_path):
    arguments = ["canary", "score", "--key", GOLDEN / "key.json", "--members", GOLDEN / "planted"]
    arguments += [
        "--generator",
        GOLDEN / "generator",
        "--out",
        tmp_path / "canary",
        "--config",
        "quick",
        "--json",
    ]
    result = CliRunner().invoke(privacy, [str(each) for each in arguments])
    assert result.exit_code in (0, 4), result.output
    assert json.loads(result.stdout)
