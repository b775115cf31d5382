"""Benchmarks: their facts, the rows that see no picture, layouts, numbers that must be right, who has learnt from them."""

import csv
import json
from pathlib import Path
from typing import Any

import languages
import numpy as np
import openpyxl
import pytest
from pictures import drawn
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, roc_auc_score
from test_clip_evaluation import MODEL, invoke, refusal

from clip import benchmarks, embed, loading, prompts
from clip.benchmarks import layouts
from clip.benchmarks.opening import counts, differences, opened
from clip.evaluation import core, zero_shot
from clip.evaluation.summary import baselines
from clip.model import checkpoints
from clip.model.encoders import build
from synth.base import checkpoint
from synth.base.config import check
from synth.base.errors import UserError
from synth.data.images import encode
from synth.data.pictures import Pictures
from synth.data.records import SPLITS, read_table
from synth.sources.report import Report

FOURTEEN = ("idrid", "aptos", "messidor2", "papila", "glaucoma-fundus", "jsiec", "retina", "octid", "octdl",
            "retina-image-bank", "mi", "stroke", "dementia", "pd")  # fmt: skip


def picture(path: Path, seed: int, wide: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(drawn(seed, wide, 24)))


def table(path: Path, header: tuple[str, ...], lines: list[tuple[Any, ...]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    return path


# Facts


def test_all_sets_that_the_papers_judge_are_there():
    anchors = ("messidor2", "messidor", "fives", "refuge", "refuge1200", "odir200x3", "hygd", "ophthalvqa")
    assert {*FOURTEEN, *anchors} <= set(benchmarks.every())
    sizes = {name: benchmarks.named(name).n for name in anchors}
    assert (sizes["messidor2"], sizes["fives"], sizes["refuge"], sizes["refuge1200"]) == (
        1744,
        800,
        400,
        1200,
    )


@pytest.mark.parametrize(
    "name, files, counted",
    [
        ("palm", ["P0001", "N0001", "H0001", "P0002"], {"absent": 2, "pathologic_myopia": 2}),
        ("grape", ["1_OD_1", "1_OS_1", "1_OS_2"], {"right": 1, "left": 2}),
    ],
)
def test_palm_and_grape_are_read_from_their_own_layouts(name, files, counted, tmp_path):
    folder = {"palm": "PALM-Training400", "grape": "CFP"}[name]
    for seed, stem in enumerate(files):
        picture(tmp_path / folder / f"{stem}.jpg", seed)
    if name == "grape":
        grape_workbook(tmp_path / "VF and clinical information.xlsx", files)
    with opened(name, tmp_path, partial=True) as read:
        benchmark = benchmarks.named(name)
        [task] = prompts.tasks(read.prompts).values()
        assert counts(read.records, benchmark, task) == counted
        assert len({*read_table(read.records, columns=["subject_id"])["subject_id"].to_pylist()}) == (
            4 if name == "palm" else 1
        )


def grape_workbook(path: Path, files: list[str]) -> None:
    """Its two sheets, each below two rows of headers."""
    visits = [[*stem.split("_"), 0, f"{stem}.jpg"] for stem in files]
    eyes = dict.fromkeys((patient, eye, 50, "F", "OAG") for patient, eye, *_ in visits)
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, header, lines in (
        ("Baseline", ["Subject Number", "Laterality", "Age", "Gender", "Category of Glaucoma"], eyes),
        (
            "Follow-up",
            ["Subject Number", "Laterality", "Visit Number", "Interval Years", "Corresponding CFP"],
            visits,
        ),
    ):
        sheet = book.create_sheet(name)
        for line in (header, [None, None, None, None, "0"], *lines):
            sheet.append(line)
    book.save(path)


def test_every_task_of_a_benchmark_has_its_classes_in_its_order():
    """Otherwise counts would be compared with those of another class."""
    for name, benchmark in benchmarks.every().items():
        for task in benchmark.prompts:
            [one] = prompts.tasks(task).values()
            assert list(one.classes) == list(benchmark.classes or {}), (name, task)


def test_a_benchmark_whose_classes_do_not_add_up_is_refused():
    facts = benchmarks.named("refuge").model_dump() | {"n": 401}
    with pytest.raises(UserError, match="n=401, but its classes hold 400"):
        check(benchmarks.Benchmark, facts, "refuge.yaml")


def test_published_counts_alone_give_the_rows_that_see_no_picture():
    """What makes published tables ambiguous: .900 and .583 are no achievement, and only AUC and ACA say so."""
    refuge, messidor = baselines("refuge")["majority"], baselines("messidor2")["majority"]
    assert (round(refuge["accuracy"], 3), refuge["macro_auc"]) == (0.900, 0.500)
    assert (round(messidor["accuracy"], 3), round(messidor["balanced_accuracy"], 3)) == (0.583, 0.200)
    assert baselines("mi") == {}


def test_the_rows_that_see_no_picture_are_those_of_sklearn():
    """Calling every photograph of MESSIDOR-2 normal."""
    sizes = [held.n or 0 for held in (benchmarks.named("messidor2").classes or {}).values()]
    truth = np.repeat(np.arange(5), sizes)
    said, flat = np.zeros_like(truth), np.full((len(truth), 5), 0.2)
    rows = baselines("messidor2")["majority"]
    assert rows["accuracy"] == pytest.approx((said == truth).mean())
    assert rows["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, said))
    assert rows["macro_auc"] == pytest.approx(roc_auc_score(truth, flat, multi_class="ovr"))
    assert rows["kappa"] == pytest.approx(cohen_kappa_score(truth, said, weights="quadratic"))


def test_numbers_that_nobody_looked_up_are_unknown():
    """A remembered number that is wrong would refuse a set that is whole."""
    for name, benchmark in benchmarks.every().items():
        assert "remembered" not in benchmark.counted, name
        if benchmark.counted.startswith("not looked up"):
            assert {benchmark.n, *(held.n for held in (benchmark.classes or {}).values())} == {None}, name


def test_the_ledger_names_benchmarks_that_are_there_and_keeps_unknown_apart_from_no():
    for baseline in benchmarks.ledger().values():
        assert set(baseline.benchmarks) <= set(benchmarks.every())
    seen = {
        name: benchmarks.leaks(name)["flair"].images for name in ("aptos", "idrid", "idrid-test", "stroke")
    }
    assert seen == {"aptos": True, "idrid": True, "idrid-test": False, "stroke": None}
    assert benchmarks.leaks("aptos")["clip"].labels is None


# Numbers that must be right


@pytest.fixture(scope="module")
def refuge(tmp_path_factory) -> Path:
    """400 tiny pictures in REFUGE's own layout and number."""
    root = tmp_path_factory.mktemp("sets") / "REFUGE"
    for i in range(400):
        name = f"Glaucoma/g{i:04d}" if i < 40 else f"Non-Glaucoma/n{i:04d}"
        picture(root / "Training400" / f"{name}.jpg", i, int(i < 40))
    return root


def test_a_whole_set_is_opened_and_is_gone_afterwards(refuge):
    with opened("refuge", refuge) as it:
        assert it.summary.differs == ()
        assert it.splits == SPLITS and it.prompts == "glaucoma"
        assert len(read_table(it.records)) == 400
    assert not it.records.exists()


def test_a_set_that_lacks_pictures_is_refused_with_what_is_missing(refuge, tmp_path):
    """One of glaucoma is gone, and one picture stands twice."""
    for path in refuge.rglob("*.jpg"):
        copy = tmp_path / path.relative_to(refuge)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "Training400/Glaucoma/g0007.jpg").unlink()
    with pytest.raises(UserError) as error, opened("refuge", tmp_path):
        pass
    assert "399 of 400 pictures, glaucoma 39 of 40; get 'refuge' at https://refuge" in str(error.value)
    assert "--partial" in str(error.value)
    with opened("refuge", tmp_path, partial=True) as it:
        assert it.summary.differs == ("399 of 400 pictures, glaucoma 39 of 40",)


def test_files_that_a_set_holds_twice_are_no_difference_but_lost_ones_are():
    aptos, report = benchmarks.named("aptos"), Report("aptos")
    found = {name: held.n or 0 for name, held in (aptos.classes or {}).items()}
    found |= {"none": found["none"] - 3, "mild": found["mild"] - 1}
    assert differences(aptos, found, report)[0].startswith("3658 of 3662 pictures, none 1802 of 1805")
    report.dropped["same file twice"] = 3
    report.dropped["same file twice and labelled differently, the first kept"] = 1
    assert differences(aptos, found, report) == []
    report.dropped["same file twice"] = 2
    assert differences(aptos, found, report)


# Layouts


def read(name: str, root: Path, task: str | None = None) -> list[dict[str, Any]]:
    with opened(name, root, task, partial=True) as it:
        rows = read_table(it.records).to_pylist()
        [asked] = prompts.tasks(it.prompts).values()
        numbers = asked.classify(read_table(it.records))
        split = [split for split in SPLITS for _ in range(len(read_table(it.records, [split])))]
    return [
        row | {"class": list(asked.classes)[k], "split": s}
        for row, k, s in zip(rows, numbers, split, strict=True)
    ]


def test_lists_as_eyeclip_has_them_tell_classes_by_number_or_name(tmp_path):
    for i in range(6):
        picture(tmp_path / f"images/{i}.jpg", i)
    lines = [("images/0.jpg", 0, "train"), ("images/1.jpg", 38, "train"), ("images/2.jpg", "macular hole", "val"),
             ("images/3.jpg", "8.MH", "test"), ("images/4.jpg", "ARMD", "test"), ("gone.jpg", 1, "test")]  # fmt: skip
    listed = table(tmp_path / "list.csv", ("impath", "class", "split"), lines)
    with pytest.raises(UserError, match=r"list.csv line 6: class='ARMD' is no class of 'jsiec'"):
        read("jsiec", listed)
    lines[4] = ("images/4.jpg", "2.0.BRVO", "test")
    rows = read("jsiec", table(listed, ("impath", "class", "split"), lines))
    assert [(row["class"], row["split"]) for row in rows] == [
        ("normal", "train"), ("pathologic_myopia", "train"), ("macular_hole", "validation"),
        ("macular_hole", "test"), ("brvo", "test"),
    ]  # fmt: skip
    assert rows[0]["source"] == "jsiec/normal" and rows[0]["dr_grade"] is None


def test_lists_as_flair_has_them_are_found_below_another_folder_and_tell_the_patient(tmp_path):
    lines = []
    for i, told in enumerate(("normal", "pathologic myopia", "cataract", "normal")):
        name = f"{i // 2}_{('left', 'right')[i % 2]}.jpg"
        picture(tmp_path / "preprocessed_images" / name, i)
        lines.append((i, f"08_ODIR-5K/preprocessed_images/{name}", "[]", f"['{told}']"))
    table(tmp_path / "08_ODIR200x3.csv", ("", "image", "atributes", "categories"), lines)
    rows = sorted(read("odir200x3", tmp_path), key=lambda row: row["id"])
    assert [row["class"] for row in rows] == ["normal", "pathologic_myopia", "cataract", "normal"]
    assert len({row["subject_id"] for row in rows}) == 2


def test_a_list_gets_the_pictures_of_its_own_folders_and_names_its_lines(tmp_path):
    for i, name in enumerate(("a/1", "b/1", "1")):
        picture(tmp_path / f"{name}.jpg", i)
    lines = [("set/b/1.jpg", 0), ("set/c/1.jpg", 0), ("../1.jpg", 0), ("a/1", 0), ("", "")]
    listed = table(tmp_path / "list.csv", ("impath", "class"), lines)
    with opened("octid", listed, partial=True) as it:
        ids = read_table(it.records)["id"].to_pylist()
        kept = dict(zip(ids, Pictures(it.records), strict=True))
    assert kept == {
        f"octid-{id_}": (tmp_path / name).read_bytes()
        for id_, name in (("a-1", "a/1.jpg"), ("set-b-1", "b/1.jpg"))
    }
    table(listed, ("impath", "class"), [*lines, ("1.jpg", "no class")])
    with pytest.raises(UserError, match=r"list.csv line 7: class='no class'"):
        read("octid", listed)
    table(listed, ("impath", "class"), [("x/1", 0)])
    (tmp_path / "x").mkdir()
    (tmp_path / "a" / "1.jpg").rename(tmp_path / "x" / "1.jpg")
    picture(tmp_path / "x" / "1.png", 4)
    with pytest.raises(UserError, match=r"list.csv line 2: 'x/1' could be x/1.jpg or x/1.png"):
        read("octid", listed)


def test_pictures_of_one_stem_in_the_folder_of_a_class_have_ids_of_their_own(tmp_path):
    for i, suffix in enumerate(("jpg", "png")):
        picture(tmp_path / f"NORMAL/1.{suffix}", i)
    assert {row["id"] for row in read("octid", tmp_path)} == {"octid-NORMAL-1.jpg", "octid-NORMAL-1.png"}


def test_folders_of_classes_are_read_with_the_splits_above_them(tmp_path):
    """RETFound's layout and names."""
    for i, (split, name) in enumerate(
        [("train", "anormal_control"), ("val", "bearly_glaucoma"), ("test", "cadvanced_glaucoma")]
    ):
        picture(tmp_path / split / name / f"{i}.png", i)
    picture(tmp_path / "test" / "masks" / "9.png", 9)
    rows = read("glaucoma-fundus", tmp_path)
    assert [(row["class"], row["split"]) for row in rows] == [
        ("normal", "train"), ("early", "validation"), ("advanced", "test")
    ]  # fmt: skip
    assert all(row["modality"] == "cfp" for row in rows)


def test_oct_sets_are_not_called_photographs(tmp_path):
    picture(tmp_path / "NORMAL/1.jpg", 1)
    assert [row["modality"] for row in read("octid", tmp_path)] == ["oct"]


def test_what_cannot_be_read_says_where_the_set_is_to_be_had(tmp_path):
    picture(tmp_path / "somewhere/1.jpg", 1)
    with pytest.raises(
        UserError, match=r"nor a folder called as a class of 'octid': normal, amd.*borealisdata"
    ):
        read("octid", tmp_path)
    with pytest.raises(UserError, match="'mi' is not public; give a list of your own pictures"):
        read("mi", tmp_path)
    with pytest.raises(UserError, match=r"its classes are not published; give --prompts FILE.yaml"):
        read("retina-image-bank", table(tmp_path / "l.csv", ("impath", "class"), [("somewhere/1.jpg", "x")]))


def test_ones_own_file_of_classes_opens_a_set_whose_classes_are_not_published(tmp_path):
    classes = {
        name: {"where": {"source": f"retina-image-bank/{name}"}, "zh": [zh], "en": [name]}
        for name, zh in (("retinoschisis", "视网膜劈裂"), ("coats", "外层渗出性视网膜病变"))
    }
    task = {"tasks": {"rare": {"title": "rare", "source": "ours", "classes": classes}}}
    (tmp_path / "rare.yaml").write_text(json.dumps(task))
    for i in range(2):
        picture(tmp_path / f"{i}.jpg", i)
    listed = table(
        tmp_path / "list.csv", ("impath", "class"), [("0.jpg", "coats"), ("1.jpg", "retinoschisis")]
    )
    rows = sorted(read("retina-image-bank", listed, str(tmp_path / "rare.yaml")), key=lambda row: row["id"])
    assert [row["class"] for row in rows] == ["coats", "retinoschisis"]


def test_a_list_beside_pictures_is_found_and_two_are_refused(tmp_path):
    one = table(tmp_path / "a.csv", ("impath", "class"), [("x.jpg", 0)])
    table(tmp_path / "b.csv", ("ID", "Patient"), [(1, 2)])
    assert layouts.listed(tmp_path) == one
    table(tmp_path / "c.csv", ("impath", "class"), [("x.jpg", 0)])
    with pytest.raises(UserError, match=r"a.csv and c.csv are lists of pictures"):
        layouts.listed(tmp_path)


# The protocol


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> Path:
    path, model = tmp_path_factory.mktemp("model") / "ckpt.pt", build(MODEL, seed=0)
    checkpoint.save(path, checkpoints.header(model) | {"weights": model.state_dict()})
    return path


def test_clip_eval_judges_a_whole_benchmark_and_tells_who_has_learnt_from_it(refuge, untrained, tmp_path):
    """With the names, template and averaging of FLAIR; every number is sklearn's of the same embeddings."""
    result = invoke("eval", "--model", untrained, "--benchmark", "refuge", "--root", refuge, "--prompts", "names-refuge",
                    "--aggregation", "flair", "--lang", "en", "--set", "n_bootstrap=20", "--out", tmp_path, "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    [judged] = report["results"]
    assert judged["classes"] == {"absent": 360, "glaucoma": 40}
    assert judged["without_pictures"]["majority"]["accuracy"] == pytest.approx(0.9)
    model = loading.load_model(untrained)
    texts = embed.texts(model, ["A fundus photograph of no glaucoma", "A fundus photograph of glaucoma"])
    with opened("refuge", refuge) as it:
        scores = embed.images(model, it.records) @ texts.T
        truth = np.array(read_table(it.records)["is_gc"].to_pylist())
    found = judged["metrics"]["en"]
    assert found["macro_auc"]["value"] == pytest.approx(roc_auc_score(truth, scores[:, 1] - scores[:, 0]))
    said = scores.argmax(axis=1)
    assert found["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(truth, said))
    assert report["data"]["benchmark"]["leaks"]["flair"]["images"] is False
    page = (tmp_path / "report.html").read_text()
    assert "models trained on it" in page and "registration with the challenge" in page
    languages.whole(tmp_path / "report.html", "REFUGE")


def test_a_benchmark_that_is_not_whole_is_refused_by_the_command(untrained, tmp_path):
    picture(tmp_path / "Images/a.jpg", 1)
    table(tmp_path / "Labels.csv", ("Image Name", "Patient", "Label"), [("a.jpg", 1, "GON+")])
    line = refusal(
        "eval", "--model", untrained, "--benchmark", "hygd", "--root", tmp_path, "--out", tmp_path / "out"
    )
    assert "not 'hygd' as published: 1 of 747 pictures, absent 0 of 199, glaucoma 1 of 548" in line
    assert "physionet.org" in line


def test_clip_benchmarks_tells_what_is_known():
    assert "messidor2" in invoke("benchmarks").stdout
    told = invoke("benchmarks", "refuge").stdout
    assert "majority  accuracy 0.900" in told and "flair: no" in told
    assert refusal("benchmarks", "refuges").endswith("did you mean 'refuge'?\n")
    assert json.loads(invoke("benchmarks", "stroke", "--json").stdout)["get"] is None


def test_expert_knowledge_stands_in_both_languages_beside_the_name():
    for kind in ("dr5", "fives", "refuge", "odir", "rp_mh"):
        expert, names = prompts.tasks(f"expert-{kind}"), prompts.tasks(f"names-{kind}")
        for name, each in expert[f"expert-{kind}"].classes.items():
            bare = names[f"names-{kind}"].classes[name]
            assert len(each.zh) == len(each.en)
            assert set(bare.en) <= set(each.en) and set(bare.zh) <= set(each.zh)


def test_matched_probabilities_have_the_prior_on_average_and_keep_the_order_within_a_class():
    rng = np.random.default_rng(0)
    skewed = rng.dirichlet(np.ones(3), 500) * [0.02, 1, 0.1]
    skewed /= skewed.sum(axis=1, keepdims=True)
    prior = np.array([0.5, 0.3, 0.2])
    found = zero_shot.matched(skewed, prior)
    assert found.mean(axis=0) == pytest.approx(prior, abs=1e-6)
    odds = found / skewed
    assert odds / odds[:, :1] == pytest.approx(np.tile(odds[0] / odds[0, 0], (500, 1)))
    assert zero_shot.matched(found, prior) == pytest.approx(found)


def test_matching_the_prior_undoes_a_bias_of_the_words():
    """One class's prompts lie nearer to everything; called are then all photographs alike."""
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1], 100)
    score = np.stack([rng.normal(0, 1, 200) - truth, rng.normal(0, 1, 200) + truth + 8], axis=1)
    probability = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    matched = zero_shot.matched(probability, np.ones(2))
    before, after = (balanced_accuracy_score(truth, p.argmax(axis=1)) for p in (probability, matched))
    assert before == 0.5 and after > 0.7
    assert roc_auc_score(truth, matched[:, 1]) == pytest.approx(roc_auc_score(truth, probability[:, 1]))


IMPORTED = [name for name, each in benchmarks.every().items() if each.importer and each.prompts]


@pytest.mark.parametrize("within", [(), ("test",)])
@pytest.mark.parametrize("name", IMPORTED)
def test_a_set_that_an_import_knows_is_read_from_folders_of_classes_too(name, within, tmp_path):
    """As RETFound's authors hand them out: beside the set's own layout, [SPLIT/]CLASS/picture."""
    task = next(iter(prompts.tasks(benchmarks.named(name).prompts[0]).values()))
    for place, each in enumerate(task.classes):
        picture(tmp_path.joinpath(*within, each, f"{place}.png"), place)
    report = Report(name)
    found = [*layouts.pictures(name, benchmarks.named(name), tmp_path, task, report)]
    paths = [each.photo.path for each in found if each.photo.path]
    assert sorted(path.parent.name for path in paths) == sorted(task.classes)
    assert {each.split for each in found} == {within[0] if within else None}
    assert not report.dropped


def test_no_message_names_a_folder_that_is_gone(tmp_path):
    """Neither of a set that holds nothing, nor of one on which a task cannot be judged."""
    picture(tmp_path / "refuge" / "unnamed" / "1.png", 0)
    with (
        pytest.raises(UserError, match=r"refuge: no picture of 'refuge' could be read"),
        opened("refuge", tmp_path / "refuge", partial=True),
    ):
        pass
    for place, each in enumerate(("glaucoma", "normal")):
        picture(tmp_path / "refuge" / "test" / each / "1.png", place)
    with pytest.raises(UserError) as raised, opened("refuge", tmp_path / "refuge", partial=True) as found:
        core.labels(found.records, ["validation"])
    assert str(raised.value).startswith(f"{tmp_path / 'refuge'}: no records in validation")
