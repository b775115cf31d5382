"""Every form of pairs that `clip train` takes, in every verb that takes data: what comes out is that of records."""

import base64
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import rows
from test_clip_evaluation import MODEL, invoke
from test_clip_inputs import as_lmdb, as_table, as_tars

from clip import inputs
from clip.evaluation import calls, curves
from clip.evaluation.calls import Calls
from clip.evaluation.results import ClassificationResult
from clip.inputs import photographs
from clip.inputs.sets import Columns, given
from clip.model import checkpoints
from clip.model.encoders import build
from clip.training import batches, summary
from clip.training.config import TrainConfig
from synth.base import checkpoint
from synth.base.errors import UserError
from synth.data.records import SPLITS, write_records

FORMS = (
    "records",
    "table",
    "jsonl",
    "tars",
    "parquet",
    "pairs",
    "hf-csv",
    "hf-jsonl",
    "lmdb",
    "tsv",
    "classes",
)
LABELLED = FORMS[:8]
"""Those that tell labels of ours."""
VERBS = {
    "embed": ("embed", "--data", "{data}", "--out", "{out}/e.parquet"),
    "retrieval": ("eval", "--data", "{data}", "--split", "all", "--task", "retrieval", "--out", "{out}/r", "--set", "n_bootstrap=20"),
    "zero-shot": ("eval", "--data", "{data}", "--split", "all", "--prompts", "is_gc", "--out", "{out}/z", "--set", "n_bootstrap=20"),
    "doctor": ("doctor", "{model}", "--data", "{data}"),
    "predict": ("predict", "{data}", "--json"),
    "search": ("search", "Glaucoma.", "--embeddings", "{out}/e.parquet", "--data", "{data}", "--sheet", "{out}/s.png", "--k", "3", "--json"),
}  # fmt: skip

SECONDS = ("zero-shot", "predict", "search")
"""Verbs that take seconds."""


@pytest.fixture(scope="module")
def made() -> list[dict]:
    return rows(20, side=32)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    network = build(MODEL, seed=0)
    path = tmp_path_factory.mktemp("forms") / "ckpt.pt"
    checkpoint.save(path, checkpoints.header(network) | {"weights": network.state_dict()})
    return path


@pytest.fixture(scope="module")
def forms(made, tmp_path_factory) -> dict[str, Path]:
    """The same twenty pictures in each form."""
    root = tmp_path_factory.mktemp("forms")
    write_records(root / "records", [dict(each) for each in made], {"kind": "drawn"})
    as_table(made, root / "table")
    as_tars(made, root / "tars")
    told = [
        {key: each[key] for key in ("subject_id", "caption_zh", "caption_en", "dr_grade", "is_gc")}
        for each in made
    ]
    (root / "jsonl").mkdir()
    lines = [
        each | {"image": f"../table/photos/{row['id']}.jpg"} for each, row in zip(told, made, strict=True)
    ]
    (root / "jsonl" / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (root / "parquet").mkdir()
    pictures = [{"image": each["image"], "id": each["id"]} for each in made]
    table = pa.Table.from_pylist([a | b for a, b in zip(pictures, told, strict=True)])
    pq.write_table(table, root / "parquet" / "train.parquet")
    for each, words in zip(made, told, strict=True):
        stem = root / "pairs" / each["id"]
        stem.parent.mkdir(exist_ok=True)
        stem.with_suffix(".jpg").write_bytes(each["image"]["bytes"])
        stem.with_suffix(".json").write_text(json.dumps(words))
        picture = root / "classes" / ("wide" if each["is_gc"] else "narrow") / f"{each['id']}.jpg"
        picture.parent.mkdir(exist_ok=True, parents=True)
        picture.write_bytes(each["image"]["bytes"])
    lines = [{"file_name": f"{each['id']}.jpg", **words} for each, words in zip(made, told, strict=True)]
    for form in ("hf-csv", "hf-jsonl"):  # image folders of Hugging Face
        (root / form / "train").mkdir(parents=True)
        for each in made:
            (root / form / "train" / f"{each['id']}.jpg").write_bytes(each["image"]["bytes"])
    (root / "hf-jsonl" / "train" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with open(root / "hf-csv" / "train" / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    pairs = [(each["id"], str(i), each["caption_zh"]) for i, each in enumerate(made)]
    as_lmdb(pairs, {each["id"]: each["image"]["bytes"] for each in made}, root / "lmdb" / "train")
    (root / "tsv").mkdir()
    encoded = {each["id"]: base64.urlsafe_b64encode(each["image"]["bytes"]).decode() for each in made}
    (root / "tsv" / "train_imgs.tsv").write_text("".join(f"{key}\t{text}\n" for key, text in encoded.items()))
    texts = [
        {"text_id": i, "text": each["caption_zh"], "image_ids": [each["id"]]} for i, each in enumerate(made)
    ]
    (root / "tsv" / "train_texts.jsonl").write_text("".join(json.dumps(each) + "\n" for each in texts))
    return {form: root / form for form in FORMS}


def run(verb: str, data: Path, model: Path, out: Path) -> Any:
    words = [word.format(data=data, out=out, model=model) for word in VERBS[verb]]
    return invoke(*words, *(() if verb == "doctor" else ("--model", model)))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_works_in_every_verb_or_is_refused_in_one_line(form, forms, model, tmp_path):
    lacking = {"zero-shot"} - ({"zero-shot"} if form in LABELLED else set())
    lacking |= {"retrieval"} if form == "classes" else set()
    quick = {verb for verb in VERBS if verb not in SECONDS or form in ("table", "lmdb", "classes")}
    for verb in VERBS:  # the others by the same readers, in the test below
        if verb in quick:
            answers(verb, form, lacking, forms, model, tmp_path)
    assert len(pq.read_table(tmp_path / "e.parquet")) == 20


@pytest.mark.slow
@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("table", "lmdb", "classes")])
def test_every_other_form_works_in_every_other_verb_or_is_refused_in_one_line(form, forms, model, tmp_path):
    """With the test above it is the product of both lists."""
    for verb in ("embed", *SECONDS):
        answers(
            verb, form, {"zero-shot"} - ({"zero-shot"} if form in LABELLED else set()), forms, model, tmp_path
        )


def answers(verb: str, form: str, lacking: set[str], forms: dict[str, Path], model: Path, out: Path) -> None:
    """A verb works on a form, or, as one of `lacking`, refuses it in one line."""
    result = run(verb, forms[form], model, out)
    if verb in lacking:
        assert result.exit_code == 2 and result.stderr.count("\n") == 1, (verb, result.stderr)
    else:  # an untrained encoder is SICK
        assert result.exit_code == (3 if verb == "doctor" else 0), (verb, result.stderr)


def test_numbers_are_those_of_records(forms, model, tmp_path):
    found = {}
    for form in ("records", "tars"):
        for verb, folder in (("retrieval", "r"), ("zero-shot", "z")):
            run(verb, forms[form], model, tmp_path / form)
            report = json.loads((tmp_path / form / folder / "report.json").read_text())
            found[form] = found.get(form, {}) | {
                (each["name"], row, key): metric["value"]
                for each in report["results"]
                for row, metrics in each["metrics"].items()
                for key, metric in metrics.items()
            }
    assert {name for name, _, _ in found["tars"]} == {"image-to-text", "text-to-image", "is_gc"}
    for key, value in found["tars"].items():
        assert value == pytest.approx(found["records"][key], abs=1e-6), key


def test_a_picture_with_several_captions_is_one_photograph_and_each_caption_is_right(made, tmp_path):
    pairs = [(made[i // 2]["id"], str(i), f"说法{i}") for i in range(8)]
    data = as_lmdb(
        pairs, {each["id"]: each["image"]["bytes"] for each in made[:4]}, tmp_path / "lmdb" / "test"
    ).parent
    assert len(photographs.table(data, ["test"])) == len(photographs.pictures(data, ["test"])) == 4
    said = photographs.captions(data, ["test"], "caption_zh")
    assert [sorted(each) for each in said] == [[f"说法{2 * i}", f"说法{2 * i + 1}"] for i in range(4)]


def test_ones_own_classes_are_judged_by_ones_own_words(forms, model, tmp_path):
    classes = tmp_path / "cup.yaml"
    classes.write_text("classes:\n  big: {folders: wide, zh: 大, en: big}\n  narrow: {zh: 小, en: small}\n")
    base = ("eval", "--model", model, "--split", "all", "--classes", classes, "--set", "n_bootstrap=20")
    done = invoke(*base, "--data", forms["classes"], "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    [result] = json.loads(done.stdout)["results"]
    assert result["classes"] == {"big": 10, "narrow": 10} and result["prompts"]["big"] == {
        "zh": ["大"],
        "en": ["big"],
    }
    classes.write_text("classes:\n  wide: {zh: 大, en: big}\n  none: {zh: 小, en: small}\n")
    left = invoke(*base, "--data", forms["classes"], "--out", tmp_path / "out2")
    assert left.exit_code == 2 and "10 in 'narrow'" in left.stderr


def test_each_photographs_probabilities_are_a_table_and_who_is_taken_for_whom_a_picture(
    forms, model, tmp_path
):
    asked = ("--split", "all", "--prompts", "is_gc", "--set", "n_bootstrap=20", "--set", "probabilities=true")
    done = invoke("eval", "--model", model, "--data", forms["records"], *asked, "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    [result] = json.loads((tmp_path / "report.json").read_text())["results"]
    lines = list(csv.DictReader((tmp_path / "is_gc.csv").read_text(encoding="utf-8").splitlines()))
    names = list(result["classes"])
    assert len(lines) == 20 and all(
        abs(sum(float(line[f"zh {name}"]) for name in names) - 1) < 1e-5 for line in lines
    )
    called = [max(names, key=lambda name, line=line: float(line[f"zh {name}"])) for line in lines]
    right = np.mean([one == line["class"] for one, line in zip(called, lines, strict=True)])
    assert right == pytest.approx(result["metrics"]["zh"]["accuracy"]["value"], abs=1e-6)
    assert (tmp_path / "is_gc.csv").stat().st_mode & 0o777 == 0o600
    same = pq.read_table(tmp_path / "is_gc.parquet").to_pylist()
    assert [row["id"] for row in same] == [line["id"] for line in lines]
    assert same[0][f"en {names[1]}"] == pytest.approx(float(lines[0][f"en {names[1]}"]))
    assert (tmp_path / "is_gc.parquet").stat().st_mode & 0o777 == 0o600
    counted = np.array(result["confusion"]["zh"])
    assert counted.sum(axis=1).tolist() == list(result["classes"].values()) and np.trace(counted) == sum(
        one == line["class"] for one, line in zip(called, lines, strict=True)
    )
    assert "Confusion matrix: true class down" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "is_gc-confusion.svg").read_text(encoding="utf-8").startswith("<svg")


def test_an_id_that_a_spreadsheet_would_run_is_text(tmp_path):
    made = Calls(["=1+1"], ["p"], ["a", "b"], np.array([1]), {"zh": np.array([[0.25, 0.75]])})
    calls.write(tmp_path / "x.csv", made)
    assert (tmp_path / "x.csv").read_text().splitlines()[1] == "'=1+1,p,b,0.25,0.75"
    assert calls.confusion(made.truth, made.probability["zh"]).tolist() == [[0, 0], [0, 1]]


def test_classes_with_chinese_names_are_drawn_by_these_names():
    made = ClassificationResult(task="zero-shot", name="x", title="t", source="s", classes={"视杯扩大": 0, "正常": 1},
                                confusion={"both": [[0, 0], [0, 1]]})  # fmt: skip
    assert curves.confusions(made).count("视杯扩大</text>") == 2


# Several sets


def test_sets_are_mixed_by_their_weights_and_shown(forms, tmp_path, made):
    other = write_other(tmp_path / "other")
    both = given([str(forms["records"]), f"{other}=2.5"])
    counts = [len(batches.caption_table(path, "train", "zh").rows) for path in (forms["records"], other)]
    mixed = batches.caption_table(both, "train", "zh")
    assert len(mixed.rows) == 2 * counts[0] + 5 * counts[1]
    assert len(photographs.table(both)) == len(photographs.pictures(both)) == 30
    ids = inputs.opened(both).table("train", ["id"])["id"].to_pylist()
    pictures = inputs.opened(both).pictures("train")
    known = {each["id"]: each["image"]["bytes"] for each in [*made, *rows(10, seed=7, side=32)]}
    assert all(pictures[row] == known[key] for row, key in enumerate(ids))
    told = [*summary.lines(TrainConfig(), both)]
    assert any("5 times an epoch" in line for line in told)
    assert (
        inputs.opened(both).fingerprint
        != inputs.opened(given([str(forms["records"]), str(other)])).fingerprint
    )


def write_other(path: Path) -> Path:
    write_records(path, [dict(each) for each in rows(10, seed=7, side=32)], {"kind": "other"})
    return path


@pytest.mark.parametrize(
    "words, message",
    [
        (["{a}", "{a}"], "is given twice; give it once"),
        (["{a}=x"], "a weight is a number"),
        (["{a}=0"], "a weight is above 0"),
    ],
)
def test_what_cannot_be_mixed_is_refused(words, message, forms):
    with pytest.raises(UserError, match=message):
        given([word.format(a=forms["records"]) for word in words])


def test_somebody_on_two_sides_of_two_sets_is_refused(forms, made, tmp_path):
    as_table(made, tmp_path / "moved")
    with open(tmp_path / "moved" / "list.csv", encoding="utf-8") as file:
        lines = [*csv.DictReader(file)]
    side = {
        person: split
        for split in SPLITS
        for person in photographs.table(forms["records"], [split])["subject_id"].to_pylist()
    }
    with open(tmp_path / "moved" / "list.csv", "w", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*lines[0], "split"])
        writer.writeheader()
        writer.writerows(
            line | {"split": "test" if side[line["subject_id"]] == "train" else "train"} for line in lines
        )
    with pytest.raises(UserError, match=r"is in split .*, but in .*keep everyone on one side"):
        inputs.opened(given([str(forms["records"]), str(tmp_path / "moved")]))


def test_several_sets_are_judged_one_by_one_and_embedded_together(forms, model, tmp_path):
    other, both = write_other(tmp_path / "other"), tmp_path / "both"
    sets = ("--data", forms["records"], "--data", other)
    base = ("eval", "--model", model, "--split", "all", "--prompts", "is_gc", "--prompts", "is_dme")
    done = invoke(*base, *sets, "--out", both, "--set", "n_bootstrap=20", "--set", "min_count=2")
    assert done.exit_code == 0, done.stderr
    assert {path.parent.parent.name for path in both.rglob("report.json")} == {"data-1", "data-2"}
    assert invoke("embed", "--model", model, *sets, "--out", tmp_path / "e.parquet").exit_code == 0
    assert len(pq.read_table(tmp_path / "e.parquet")) == 30
    weighted = invoke("embed", "--model", model, "--data", f"{other}=2", "--out", tmp_path / "e.parquet")
    assert weighted.exit_code == 2 and "weights are for training" in weighted.stderr
    taken = invoke(*base, "--task", "retrieval", *sets, "--out", both)
    assert taken.exit_code == 2 and "--task retrieval takes one; give it once" in taken.stderr


def test_two_photographs_of_one_id_in_two_sets_are_both_there_or_refused(made, model, tmp_path):
    """Lists count their files: 1.jpg of the one hospital is not that of the other."""
    for number in range(2):
        (tmp_path / f"{number}" / "a").mkdir(parents=True)
        (tmp_path / f"{number}" / "a" / "1.jpg").write_bytes(made[number]["image"]["bytes"])
    words = [str(tmp_path / "0"), str(tmp_path / "1")]
    both = photographs.pictures(given(words))
    assert {both[0], both[1]} == {made[number]["image"]["bytes"] for number in range(2)}
    assert len(photographs.table(given(words))) == len(both) == 2
    taken = invoke(
        "embed", "--model", model, "--data", words[0], "--data", words[1], "--out", tmp_path / "e.parquet"
    )
    assert taken.exit_code == 2 and "id 'a/1.jpg' is in it more than once" in taken.stderr


# What a list calls its columns, and what is damaged


def test_columns_are_read_by_the_names_that_are_given(made, tmp_path):
    as_table(made, tmp_path)
    (tmp_path / "list.csv").unlink()
    lines = [f'photos/{each["id"]}.jpg,"{each["caption_en"]}",x' for each in made]
    (tmp_path / "own.csv").write_text("\n".join(["path,report,other", *lines]))
    data = tmp_path / "own.csv"
    with pytest.raises(UserError, match="column 'image' is missing"):
        inputs.opened(data)
    source = inputs.opened(given([str(data)], Columns("path", "report")))
    found = [
        text for split in SPLITS for text in source.table(split, ["caption_en"])["caption_en"].to_pylist()
    ]
    assert sorted(found) == sorted(each["caption_en"] for each in made)
    assert any("columns left out: other" in note for note in source.notes)
    with pytest.raises(UserError, match="column 'absent' is missing; it has path, report, other"):
        inputs.opened(given([str(data)], Columns("absent")))


def test_damaged_pictures_are_left_out_up_to_a_share(made, tmp_path):
    as_table(made, tmp_path)
    broken = made[3]["id"]
    (tmp_path / "photos" / f"{broken}.jpg").write_bytes(b"\xff\xd8\xff no picture")
    source = inputs.opened(given([str(tmp_path)], skip_damaged=0.1))
    ids = [key for split in SPLITS for key in source.table(split, ["id"])["id"].to_pylist()]
    assert len(ids) == sum(len(source.pictures(split)) for split in SPLITS) == 19
    assert f"photos/{broken}.jpg" not in ids and any(
        "1 damaged of 20 pictures" in note for note in source.notes
    )
    with pytest.raises(UserError, match=r"1 of 20 pictures are damaged, more than --skip-damaged 0\.01"):
        inputs.opened(given([str(tmp_path)], skip_damaged=0.01))


# What training says of its data


def test_what_is_cut_empty_or_no_caption_is_told_before_training(made, tmp_path):
    as_table(made, tmp_path)
    with open(tmp_path / "list.csv", encoding="utf-8") as file:
        lines = [*csv.DictReader(file)]
    said = ["long " * 80, "   ", "nan", "", *["fine"] * 16]
    with open(tmp_path / "list.csv", "w", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*lines[0], "split"])
        writer.writeheader()
        for line, text in zip(lines, said, strict=True):
            writer.writerow(line | {"caption_en": text, "split": "train"})
    config = TrainConfig(caption="en", batch=64)
    told = "\n".join(summary.lines(config, tmp_path))
    assert "train 18 pairs of 3 different captions, 2 of 20 pictures have no caption" in told
    assert "1 caption is cut to model.context=52 tokens (longest 82); set model.context=82" in told
    assert "1 caption is 'nan', as a table writes an empty cell" in told
    assert "batch=64 is more than its 18 pairs" in told
    assert "is_gc (0 10, 1 10)" in told
    assert len(batches.caption_table(tmp_path, "train", "en").rows) == 18
    assert np.all(np.diff(batches.caption_table(tmp_path, "train", "en").rows) > 0)


def test_white_space_alone_is_no_caption_of_records_either(made, tmp_path):
    write_records(
        tmp_path,
        [each | {"caption_en": " \t" if i % 2 else "fine"} for i, each in enumerate(made)],
        {"kind": "x"},
    )
    told = next(summary.lines(TrainConfig(caption="en"), tmp_path))
    assert "6 of 12 pictures have no caption, of 6 it is white space alone" in told
