"""Where training should have stopped: every snapshot is attacked, and the latest that tells nothing is proposed."""

import json
from pathlib import Path

import pytest
from generators import tiny, untrained
from pictures import rows
from typer.testing import CliRunner

from privacy.advice import tradeoff
from privacy.canaries import planting
from privacy.commands.app import app
from privacy.decisions.results import AUC
from privacy.statistics.inference import Tested
from privacy.targets import snapshots
from synth.base.runs import read_json
from synth.base.stats import Estimate
from synth.data import records
from synth.training.trainer import train

QUICK = ["--set", "membership_steps=[300]", "--set", "canary_steps=[500]", "--set", "canary_draws=1"]


def run(*arguments: object):
    return CliRunner().invoke(app, ["suggest", *map(str, arguments)])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Two photographs each of 60 people, half of whom are trained on."""
    folder = tmp_path_factory.mktemp("data") / "records"
    records.write_records(folder, rows(120, side=32), {"kind": "drawn"}, (5, 0, 5))
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    """A run of seconds, which kept what it was after 32 and after 64 images."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny(images=64, warmup=0, snapshot_every=32), [data], folder)
    return folder


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> Path:
    """What `synth evaluate` writes of how much pictures teach, and nothing else of it."""
    folder = tmp_path_factory.mktemp("judged")
    mean = {"synthetic": {"value": 0.71, "low": 0.66, "high": 0.75}}
    utility = {"patients": 40, "headline": {"mean_auc": mean}}
    made = {"schema": {"name": "visionclip-evaluation", "version": 1}, "utility": utility}
    (folder / "report.json").write_text(json.dumps(made))
    return folder


def test_every_snapshot_is_attacked_and_drawn(data, trained, judged, tmp_path):
    groups = ["--members", data, "--nonmembers", data]
    result = run("--run", trained, *groups, "--evaluated", f"32={judged}", "--out", tmp_path / "out", *QUICK)
    assert result.exit_code == 0, result.output
    made = read_json(tmp_path / "out" / "tradeoff.json")
    early, late = made["points"]
    assert [early["images"], late["images"]] == snapshots.places(trained) == [32, 64]
    assert all(
        point["leak"]["low"] < point["leak"]["value"] < point["leak"]["high"] for point in (early, late)
    )
    assert early["leak"] != late["leak"]
    assert early["utility"]["value"] == 0.71 and late["utility"] is None
    assert made["proposed"] in (None, 32, 64) and made["why"] in result.output
    assert "0.710 (0.660 to 0.750)" in result.output and "not evaluated" in result.output
    assert "drawn-0" not in json.dumps(made)  # no patient
    assert "<svg" in (tmp_path / "out" / "tradeoff.svg").read_text()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["tradeoff.json", "tradeoff.svg"]


def test_with_a_key_coins_are_counted_and_no_strangers_are_needed(data, trained, tmp_path):
    planting.plant(data, tmp_path / "marked", tmp_path / "key.json", seed=3)
    groups = ["--members", data, "--key", tmp_path / "key.json"]
    result = run("--run", trained, *groups, "--out", tmp_path / "out", "--json", *QUICK)
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert made["leak"] == {"name": "share of canary bits guessed", "chance": 0.5}
    planted = len(planting.read_key(tmp_path / "key.json").planted)
    assert [point["leak"]["patients"] for point in made["points"]] == [planted, planted]


def point(images: int, low: float) -> tradeoff.Point:
    return tradeoff.Point(images, Tested(Estimate(low + 0.05, low, low + 0.1, 200), 0.5), None)


@pytest.mark.parametrize(
    "lows, wanted",
    [((0.45, 0.48, 0.52, 0.6), 20), ((0.45, 0.53, 0.48), 10), ((0.51, 0.4), None), ((0.4, 0.5), 20)],
)
def test_the_latest_snapshot_before_the_first_leak_is_proposed(lows, wanted):
    """A snapshot after one that leaked is not trusted, though it was not caught itself."""
    points = [point(10 * (place + 1), low) for place, low in enumerate(lows)]
    best = tradeoff.proposed(points, AUC)
    assert (best.images if best else None) == wanted
    assert tradeoff.as_dict(points, AUC, "run")["proposed"] == wanted
    assert tradeoff.lines(tradeoff.as_dict(points, AUC, "run")).count("*") == (wanted is not None)


def test_what_it_cannot_do_is_one_line(data, trained, judged, tmp_path):
    groups, out = ["--members", data, "--nonmembers", data], ["--out", tmp_path / "out"]
    for arguments, line in (
        ([], "give either --report, for what an audit found, or --run"),
        (["--run", trained], "--run needs --out FOLDER"),
        (["--run", untrained(tmp_path / "none"), *groups, *out], "no snapshots of averages"),
        (["--run", trained, "--members", data, *out], "--run needs --nonmembers RECORDS"),
        (
            ["--run", trained, *groups, *out, "--evaluated", f"48={judged}"],
            "no snapshot there; there are 32, 64",
        ),
        (["--run", trained, *groups, *out, "--evaluated", "early"], "takes IMAGES=REPORT"),
        (
            ["--run", trained, *groups, *out, "--evaluated", f"32={trained / 'config.json'}"],
            "no report of 'synth evaluate'",
        ),
    ):
        result = run(*arguments)
        assert result.exit_code == 2 and line in result.stderr and result.stderr.count("\n") == 1, (
            result.output
        )
