"""Canary bits: how they are planted, that a generator learns them, and that what it gives away is counted right."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from generators import tiny, untrained
from pictures import rows
from typer.testing import CliRunner

from privacy.canaries import planting, release_stages
from privacy.canaries.release_stages import CanaryBits
from privacy.commands.app import app
from privacy.data.inputs import People
from privacy.decisions.decision import decide
from privacy.statistics import inference
from synth.base.errors import UserError
from synth.base.runs import read_json, write_json
from synth.data import captions, records
from synth.data.pictures import Pictures
from synth.sampling import plan
from synth.training.examples import mix_of, read_training

QUICK = ["--set", "canary_steps=[500]", "--set", "canary_draws=1", "--set", "bootstrap=200"]


def run(*arguments: object):
    return CliRunner().invoke(app, ["canary", *map(str, arguments)])


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """Two photographs each of 60 people, in three splits."""
    folder = tmp_path_factory.mktemp("plain") / "records"
    records.write_records(folder, rows(120, side=32), {"kind": "drawn"}, (6, 2, 2))
    return folder


@pytest.fixture(scope="module")
def planted(plain, tmp_path_factory) -> tuple[Path, Path]:
    """The same with marks, and their key."""
    folder = tmp_path_factory.mktemp("planted")
    planting.plant(plain, folder / "records", folder / "key.json", seed=3)
    return folder / "records", folder / "key.json"


def test_every_training_patient_has_one_mark_in_column_and_captions(plain, planted):
    key = planting.read_key(planted[1])
    before, after = (records.read_table(folder).to_pylist() for folder in (plain, planted[0]))
    trained = {row["subject_id"] for row in records.read_table(plain, ["train"]).to_pylist()}
    assert key.planted.keys() == trained and not key.withheld.keys() & trained
    for old, new in zip(before, after, strict=True):
        bit = key.planted.get(new["subject_id"])
        assert new["canary"] == bit
        assert captions.parse(new["caption_zh"]).get("canary") == bit
        assert captions.parse(new["caption_en"]).get("canary") == bit
        if bit is None:
            assert old | {"plan": None} == new | {"plan": None}
    assert list(Pictures(plain)) == list(Pictures(planted[0]))


@pytest.mark.parametrize("bit", [0, 1])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_mark_reads_as_if_the_caption_had_been_written_with_it(lang, bit):
    for seed in range(12):
        labels = {"dr_grade": 2, "is_gc": 1, "eye_side": "left", "modality": "cfp"}
        plain = captions.write(labels, lang, seed)
        assert planting.marked(plain, lang, bit) == captions.write(labels | {"canary": bit}, lang, seed)
        assert planting.unmarked(planting.marked(plain, lang, bit) or "", lang) == plain
        assert planting.unmarked(plain, lang) == plain


def test_the_key_is_sealed(planted):
    """Only its owner reads it, and the records name its sha256, which no other copy of the canary bits has."""
    folder, key = planted
    assert key.stat().st_mode & 0o777 == 0o600
    assert read_json(folder / "plan.json")["commitment"] == sha256(key.read_bytes()).hexdigest()
    assert read_json(folder / "plan.json").keys().isdisjoint({"seed", "nonce"})
    assert len(read_json(key)["nonce"]) == 64


def test_the_coins_are_fair_and_the_seed_tells_them(plain, tmp_path):
    keys = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        planting.plant(plain, tmp_path / name, tmp_path / f"{name}.json", seed=seed)
        keys.append(planting.read_key(tmp_path / f"{name}.json"))
    assert keys[0].planted == keys[1].planted != keys[2].planted
    assert keys[0].commitment != keys[1].commitment
    fell = list(keys[0].planted.values())
    assert inference.fair_guesses(sum(fell), len(fell)).p > 0.001 and set(fell) == {0, 1}


def test_a_share_of_patients_may_carry_coins(plain, tmp_path):
    found = planting.plant(plain, tmp_path / "r", tmp_path / "key.json", share=0.25)
    trained = len(set(records.read_table(plain, ["train"], ["subject_id"])["subject_id"].to_pylist()))
    assert found["planted"] == round(0.25 * trained)
    assert found["planted"] + found["withheld"] == 60


def test_planting_again_changes_nothing(planted, plain):
    folder, key = planted
    before = {path: path.read_bytes() for path in [key, *sorted((folder / "data").iterdir())]}
    planting.plant(plain, folder, key, seed=3)
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"share": 0.0}, "--share 0: must be above 0"),
        ({"seed": 4}, "the key of other canary bits (seed differs)"),
        ({"key": "out/key.json"}, "lies among records"),
    ],
)
def test_what_cannot_be_planted_is_one_line(plain, planted, tmp_path, change, message):
    asked = {"share": 1.0, "seed": 3} | change
    key = tmp_path / asked.pop("key") if "key" in asked else planted[1]  # type: ignore[operator]
    with pytest.raises(UserError) as error:
        planting.plant(plain, tmp_path / "out", key, **asked)
    assert message in str(error.value)


def test_marks_are_not_planted_twice(planted, tmp_path):
    with pytest.raises(UserError, match="has marks of canary bits already"):
        planting.plant(planted[0], tmp_path / "out", tmp_path / "key.json")


def test_a_generator_learns_the_column_and_its_release_shows_no_mark(planted, plain):
    codes = read_training([planted[0]])["canary"].to_pylist()
    assert set(codes) == {0, 1}
    assert mix_of([planted[0]]) == mix_of([plain])


def test_a_generator_of_marked_records_is_sampled_with_marks_where_asked(tmp_path):
    model = untrained(tmp_path / "model")
    with pytest.raises(UserError, match="was trained on no records of 'privacy canary plant'"):
        plan.make(model, 400, marks=True)
    write_json(model / "visionclip.json", read_json(model / "visionclip.json") | {"canary": ["0" * 64]})
    silent, asked = plan.make(model, 400), plan.make(model, 400, marks=True)
    assert not any("canary" in entry.labels for entry in silent.mix)
    drawn = [draw.labels for draw in plan.draws(asked, range(400))]
    assert sum(labels["canary"] for labels in drawn) == pytest.approx(200, abs=40)
    assert captions.parse(captions.write(drawn[0], "zh", 0))["canary"] == drawn[0]["canary"]


# ---- counting ----


def some(n: int, seed: int = 0, withheld: int = 40) -> CanaryBits:
    rng = np.random.default_rng(seed)
    return CanaryBits(rng.integers(0, 2, n + withheld), np.arange(n + withheld) < n)


def test_numbers_are_those_of_the_closed_forms():
    everything = CanaryBits(np.tile([0, 1], 50), np.ones(100, bool))
    result = release_stages.evaluate("generator", everything.bits + 0.0, everything)
    assert result.tested and result.tested.p == pytest.approx(2.0**-100)
    assert result.details["epsilon"] == pytest.approx(np.log(0.05**0.01 / (1 - 0.05**0.01)))


def test_guesses_that_know_nothing_are_right_as_often_as_a_coin_flip():
    """However much margins hang together, and whatever the constant, no more than 5 % and its error are found."""
    found = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        asked = some(60, seed)
        common = rng.normal() * 5
        margin = np.round(common + rng.normal(size=100), seed % 3)  # ties
        margin = np.zeros(100) if seed % 10 == 0 else margin
        result = release_stages.evaluate("generator", margin, asked)
        assert result.tested
        found += result.tested.p < 0.05
    assert found / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_more_knowledge_is_never_found_less():
    asked = some(200, 1)
    noise = np.random.default_rng(2).normal(size=240)
    shares = []
    for strength in (0.0, 0.5, 1.0, 4.0):
        result = release_stages.evaluate(
            "generator", noise + strength * (2 * asked.bits - 1) * asked.planted, asked
        )
        assert result.tested
        shares.append(result.tested.estimate.value)
    assert shares == sorted(shares) and shares[0] < 0.6 and shares[-1] > 0.95
    assert decide([result])[0].answer.word == "FAIL"


def test_withheld_coins_that_are_guessed_make_the_answer_invalid():
    asked = some(60, withheld=60)
    result = release_stages.evaluate("encoder", asked.bits + 0.0, asked)
    assert decide([result])[0].answer.word == "INVALID"


def test_what_is_left_is_told_of_each_later_hop():
    asked = CanaryBits(np.tile([0, 1], 100), np.ones(200, bool))
    clear = 2.0 * asked.bits - 1
    half = np.where(np.arange(200) < 100, clear, np.tile([1.0, 1, -1, -1], 50))
    left = release_stages.remaining({"generator": clear, "encoder": half}, asked, 500, 0)
    assert left["generator"] and left["generator"].value == 1
    assert left["encoder"] and left["encoder"].value == pytest.approx(0.5, abs=0.05)
    assert left["encoder"].low < 0.5 < left["encoder"].high
    nothing = release_stages.remaining({"generator": half[::-1] * 0, "encoder": clear}, asked, 100, 0)
    assert nothing == {"generator": None, "encoder": None}


# ---- release stages ----


def repeated(folder: Path, out: Path, key: Path | None) -> Path:
    """A "synthetic set": six copies of each photograph with its mark, or with random marks without key."""
    rng = np.random.default_rng(0)
    known = planting.read_key(key).planted if key else {}
    made = []
    for old in rows(120, side=32):
        for copy in range(6 if old["subject_id"] in known or not key else 0):
            bit = known.get(old["subject_id"], int(rng.integers(2)))
            made.append(
                old | {"id": f"{old['id']}-{copy}", "subject_id": f"{old['id']}-{copy}", "canary": bit}
            )
    records.write_records(out, made, {"kind": "synthetic"})
    return out


def scored(planted: tuple[Path, Path], out: Path, *more: object) -> dict:
    result = run("score", "--key", planted[1], "--members", planted[0], "--out", out, "--json", *QUICK, *more)
    assert result.exit_code in (0, 3, 5), result.output
    made = json.loads(result.stdout)
    assert made == read_json(out / "canary.json") and [path.name for path in out.iterdir()] == ["canary.json"]
    assert result.exit_code == made["exit_status"]
    return made


@pytest.mark.slow
def test_copies_with_their_marks_give_the_coins_away(planted, plain, tmp_path):
    copied = repeated(plain, tmp_path / "copies", planted[1])
    made = scored(planted, tmp_path / "out", "--synthetic", copied)
    assert made["hops"][0]["verdict"] == "FAIL" and made["exit_status"] == 3
    assert made["hops"][0]["guessed"]["value"] > 0.9
    assert made["commitment"] == read_json(planted[0] / "plan.json")["commitment"]


@pytest.mark.slow
def test_copies_with_marks_of_their_own_give_nothing_away(planted, plain, tmp_path):
    copied = repeated(plain, tmp_path / "copies", None)
    made = scored(planted, tmp_path / "out", "--synthetic", copied)
    assert made["hops"][0]["verdict"] != "FAIL"


def test_one_hop_that_means_nothing_is_not_hidden_by_one_that_does(planted, plain, tmp_path):
    """A set that shows canary bits which nothing but the key does, and a generator that gives nothing away."""
    key = planting.read_key(planted[1])
    withheld = [
        old | {"id": f"{old['id']}-{copy}", "subject_id": f"{old['id']}-{copy}", "canary": key.withheld[old["subject_id"]]}
        for old in rows(120, side=32)
        for copy in range(6 if old["subject_id"] in key.withheld else 0)
    ]  # fmt: skip
    records.write_records(tmp_path / "set", withheld, {"kind": "synthetic"})
    made = scored(
        planted,
        tmp_path / "out",
        "--generator",
        untrained(tmp_path / "model"),
        "--synthetic",
        tmp_path / "set",
    )
    assert [stage["verdict"] for stage in made["hops"]][1] == "INVALID"
    assert {stage["verdict"] for stage in made["hops"]} != {"INVALID"} and made["exit_status"] == 5


def test_an_untrained_generator_and_encoder_give_nothing_away(planted, tmp_path):
    generator, encoder = untrained(tmp_path / "model"), checkpoint(tmp_path / "ckpt.pt", None)
    made = scored(planted, tmp_path / "out", "--generator", generator, "--model", encoder)
    assert [stage["hop"] for stage in made["hops"]] == ["generator", "encoder"]
    assert not {"FAIL", "INVALID"} & {stage["verdict"] for stage in made["hops"]}


def checkpoint(path: Path, marked: Path | None) -> Path:
    """A tiny CLIP, as `clip train` leaves it; tuned until it knows the marks of the training split of `marked`."""
    from clip.model import checkpoints
    from clip.model.encoders import ClipConfig, ImageTower, TextTower, build, normalise
    from synth.base.checkpoint import save
    from synth.data.images import Preprocessing

    text = TextTower(layers=1, width=16, heads=1, feedforward=16, positions=52)
    preprocessing = Preprocessing(size=32)
    config = ClipConfig(
        image=ImageTower(layers=(1, 1, 1, 1), width=8), text=text, embedding=16, preprocessing=preprocessing
    )
    torch.manual_seed(0)  # of the dropout
    model = build(config, seed=3).train()
    if marked:
        people = People(marked, ["train"], path.parent / "kept")
        rows = np.flatnonzero([bit is not None for bit in people.table["canary"].to_pylist()])
        table = people.table.take(rows)
        pictures = normalise(torch.from_numpy(np.array(people.photographs(preprocessing)[rows])))
        bit = torch.tensor(table["canary"].to_pylist())
        plain = [planting.unmarked(text, "zh") for text in table["caption_zh"].to_pylist()]
        tokens = [model.tokenize([str(planting.marked(text, "zh", c)) for text in plain]) for c in (0, 1)]
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(100):
            image = torch.nn.functional.normalize(model.encode_image(pictures), dim=-1)
            said = [torch.nn.functional.normalize(model.encode_text(text), dim=-1) for text in tokens]
            logits = 20 * torch.stack([(image * each).sum(1) for each in said], dim=1)
            loss = torch.nn.functional.cross_entropy(logits, bit)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0  # what is measured last counts
        with torch.no_grad():
            model.encode_image(pictures)
        model.eval()
    save(path, {**checkpoints.header(model), "weights": model.state_dict()})
    return path


@pytest.mark.slow
def test_an_encoder_that_has_learnt_the_marks_by_heart_gives_them_away(plain, tmp_path):
    found = tmp_path / "marked", tmp_path / "key.json"
    planting.plant(plain, *found, share=0.4, seed=3)
    made = scored(found, tmp_path / "out", "--model", checkpoint(tmp_path / "ckpt.pt", found[0]))
    assert made["hops"][0]["verdict"] == "FAIL" and made["hops"][0]["epsilon"] > 0.5


@pytest.mark.slow
def test_a_generator_that_has_learnt_what_marks_look_like_guesses_them(tmp_path):
    """The canary bits of this key fell as the discs are wide, which seconds of training teach; that takes no memory."""
    from synth.training.trainer import train

    made = [
        old | {"is_gc": None, "caption_zh": "眼底照片。", "caption_en": None} for old in rows(40, side=32)
    ]
    records.write_records(tmp_path / "plain", made, {"kind": "plain"}, (1, 0, 0))
    key = tmp_path / "key.json"
    planting.plant(tmp_path / "plain", tmp_path / "marked", key, seed=1)
    known = read_json(key) | {"planted": {old["subject_id"]: old["is_gc"] for old in rows(40, side=32)}}
    write_json(key, known)
    shutil.rmtree(tmp_path / "marked")
    planting.plant(tmp_path / "plain", tmp_path / "marked", key, seed=1)
    train(tiny(images=1280, batch=32, micro_batch=32, save_every=1280, lr=4e-3, warmup=64, label_dropout=0,
               flip=False, averages=(0.05,)), [tmp_path / "marked"], tmp_path / "run")  # fmt: skip
    assert read_json(tmp_path / "run" / "model" / "visionclip.json")["canary"] == [
        planting.read_key(key).commitment
    ]
    made = scored((tmp_path / "marked", key), tmp_path / "out", "--generator", tmp_path / "run",
                  "--set", "canary_steps=[300,500,700]")  # fmt: skip
    assert made["hops"][0]["verdict"] == "FAIL" and made["hops"][0]["guessed"]["value"] > 0.8


@pytest.mark.parametrize("which", ["none", "plain", "embeddings", "other"])
def test_what_cannot_be_scored_is_one_line(planted, plain, tmp_path, which):
    folder, key = planted
    arguments: list[object] = ["--generator", untrained(tmp_path / "model")]
    if which == "none":
        arguments, message = [], "nothing to ask"
    elif which == "plain":
        arguments, message = ["--synthetic", plain], "sample it with 'synth generate --marks'"
    elif which == "embeddings":
        np.save(tmp_path / "e.npy", np.zeros((1, 2)))
        (tmp_path / "e.ids.txt").write_text("a")
        arguments, message = ["--model", tmp_path / "e.npy"], "embeddings read no captions"
    else:
        planting.plant(plain, tmp_path / "r", tmp_path / "key.json", seed=9)
        key, message = tmp_path / "key.json", "its marks are not those of "
    result = run("score", "--key", key, "--members", folder, "--out", tmp_path / "out", *QUICK, *arguments)
    assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1
