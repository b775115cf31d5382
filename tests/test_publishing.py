"""Cards, Croissant and the push to a hub: what is stated, what is refused, and that every byte arrives."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from generators import tiny
from hubstub import TOKEN, environment, serving
from huggingface_hub import DatasetCard, InferenceClient, ModelCard
from pictures import folder, rows
from typer.testing import CliRunner

from synth.base.errors import UserError
from synth.base.hub import CHECKLIST
from synth.base.runs import read_json, sha256, write_json
from synth.commands.app import app
from synth.data.records import SCHEMA, claim, read_table, write_records
from synth.data.shards import shard_name
from synth.model.card import TrainingSource
from synth.provenance import publication
from synth.provenance.publication import Publication
from synth.provenance.training_data import inherited, training_sources
from synth.publishing.croissant import write_croissant
from synth.sampling.plan import Plan, shards
from synth.sources import SOURCES
from synth.training.trainer import train

TINY = tiny()


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def of(path: Path, source: str, count: int = 40, seed: int = 0) -> Path:
    """Drawn records that say they come from `source`."""
    made = [row | {"source": source} for row in rows(count, seed)]
    write_records(path, made, {"kind": "import", "source": source})
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    base = tmp_path_factory.mktemp("run")
    return train(
        TINY, [of(base / "idrid", "idrid"), of(base / "phantoms", "phantom", 20, 1)], base / "run"
    ).parent


@pytest.fixture(scope="module")
def synthetic(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic") / "set"
    named = ("--model", run, "--n", 30, "--steps", 2, "--batch", 8, "--workers", 1, "--out", out)
    result = invoke("generate", *named)
    assert result.exit_code == 0, result.output
    return out


def front(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---")[1])


# ---------------------------------------------------------------- whose photographs, which licence


def test_origins_count_photographs_and_people_of_every_source(tmp_path):
    found = training_sources([of(tmp_path / "a", "idrid"), of(tmp_path / "b", "phantom", 20, 1)])
    assert [(o.source, o.licence) for o in found] == [("idrid", "CC BY 4.0"), ("phantom", "Apache-2.0")]
    table = read_table(tmp_path / "a", ["train"], ["subject_id"])
    assert (found[0].images, found[0].subjects) == (
        len(table),
        len(set(table["subject_id"].to_pylist())),
    )
    assert found[0].citation == SOURCES["idrid"].citation


@pytest.mark.parametrize(
    "licences, expected",
    [
        (["CC BY 4.0"], "cc-by-4.0"),
        (["Apache-2.0"], "apache-2.0"),
        (["CC BY 4.0", "Apache-2.0"], "cc-by-4.0"),
        (["CC BY 4.0", "CC BY-NC-SA 4.0, research only"], "cc-by-nc-sa-4.0"),
        (["CC BY 4.0", "research use, no redistribution"], None),
        (["unknown"], None),
        (["yours"], None),
        ([], None),
    ],
)
def test_a_licence_is_inherited_only_where_all_sources_allow_one(licences, expected):
    assert (
        inherited([TrainingSource(source="", title="", licence=licence, citation="") for licence in licences])
        == expected
    )


def test_a_generator_trained_on_synthetic_records_inherits_through_them(synthetic):
    (origin,) = training_sources([synthetic])
    assert inherited([origin]) == "cc-by-4.0" and SOURCES["idrid"].citation in origin.citation


@pytest.mark.parametrize(
    "licence, expected",
    [
        ("CC BY 4.0", {"license": "cc-by-4.0"}),
        ("cc-by-4.0", {"license": "cc-by-4.0"}),
        (
            "Clinic X data use agreement, https://x.org/dua",
            {
                "license": "other",
                "license_name": "clinic-x-data-use-agreement",
                "license_link": "https://x.org/dua",
            },
        ),
    ],
)
def test_a_licence_reaches_the_front_matter_in_words_that_the_hub_takes(licence, expected):
    assert publication.front(Publication(licence=licence).licence) == expected


# ---------------------------------------------------------------- cards and Croissant


def test_the_card_states_licence_sources_and_counts_per_split(synthetic):
    text = (synthetic / "README.md").read_text()
    assert front(synthetic)["license"] == "cc-by-4.0"
    assert SOURCES["idrid"].citation in text and "https://creativecommons.org/licenses/by/4.0/" in text
    split = {
        name: read_table(synthetic, [name], ["is_gc"])["is_gc"].to_pylist()
        for name in ("train", "validation", "test")
    }
    counts = " | ".join(str(values.count(1)) for values in split.values())
    known = sum(value is not None for values in split.values() for value in values)
    ill = sum(values.count(1) for values in split.values())
    assert f"| `is_gc` | glaucoma | {counts} | {30 - known} | {ill / known:.1%} |" in text


def test_every_label_of_the_card_has_a_meaning_and_every_table_stands_below_its_heading(synthetic):
    text = (synthetic / "README.md").read_text()
    assert "| `eye_side` left | left eye |" in text and "|  |" not in text
    assert "## Splits\n| split | rows |" in text


def test_the_command_on_the_card_makes_the_same_files(run, synthetic, tmp_path):
    (line,) = [
        line
        for line in (synthetic / "README.md").read_text().splitlines()
        if line.startswith("synth generate")
    ]
    words = line.replace("MODEL", str(run)).replace("again", str(tmp_path / "again")).split()[1:]
    assert invoke(*words, "--workers", 1).exit_code == 0
    for name in (shard.name for shard in shards(Plan.read(synthetic / "plan.json"))):
        assert sha256(tmp_path / "again" / name) == sha256(synthetic / name)


def test_croissant_validates_and_names_every_shard_with_its_sha256(synthetic):
    import mlcroissant

    opened = mlcroissant.Dataset(jsonld=synthetic / "croissant.json")
    assert not opened.metadata.issues.errors
    stated = {
        f["name"]: f["sha256"]
        for f in read_json(synthetic / "croissant.json")["distribution"]
        if "sha256" in f
    }
    assert stated == {str(p.relative_to(synthetic)): sha256(p) for p in synthetic.glob("data/*.parquet")}
    assert len(list(opened.records("records"))) == 30


def test_a_set_of_tars_has_a_card_and_a_croissant_that_opens_it(run, tmp_path):
    import mlcroissant

    named = ("--model", run, "--n", 10, "--steps", 1, "--workers", 1, "--format", "webdataset")
    assert invoke("generate", *named, "--out", tmp_path / "set").exit_code == 0
    assert front(tmp_path / "set")["configs"][0]["data_files"][0]["path"] == "data/train-*.tar"
    opened = mlcroissant.Dataset(jsonld=tmp_path / "set/croissant.json")
    assert not opened.metadata.issues.errors
    images, records = (list(opened.records(name)) for name in ("images", "records"))
    assert len(images) == 10 and images[0]["images/content"].size == (16, 16)
    assert [i["images/id"] for i in images] == [r["records/id"] for r in records]
    assert json.loads(records[0]["records/content"])["id"].encode() == records[0]["records/id"]
    described = read_json(tmp_path / "set/croissant.json")["recordSet"][1]["field"][1]["description"]
    assert all(f"{column} (" in described for column in json.loads(records[0]["records/content"]))
    listed = json.loads(invoke("push", tmp_path / "set", "--repo", "me/set", "--dry-run", "--json").stdout)
    assert sum(name.endswith(".tar") for name in listed["files"]) == len(
        list(tmp_path.glob("set/data/*.tar"))
    )


def test_croissant_of_two_hundred_shards_validates(tmp_path):
    """A million photographs in shards of five thousand."""
    import mlcroissant

    plan = Plan.model_construct(n=1_000_000, rows_per_shard=5000, format="parquet")
    for shard in shards(plan):
        write_json((tmp_path / shard.name).with_suffix(".json"), {"sha256": "0" * 64})
        (tmp_path / shard.name).write_bytes(b"")
    write_croissant(tmp_path, plan, "large", "cc-by-4.0", Publication(), [])
    opened = mlcroissant.Dataset(jsonld=tmp_path / "croissant.json")
    assert not opened.metadata.issues.errors
    assert len(read_json(tmp_path / "croissant.json")["distribution"]) == 200 + 1


def test_a_card_has_no_date_until_it_is_published(synthetic):
    """A plan that is sampled again must give the same bytes."""
    assert "datePublished" not in read_json(synthetic / "croissant.json")


def test_the_model_card_attributes_what_the_generator_learnt_from(run):
    text, known = (run / "model/README.md").read_text(), read_json(run / "model/visionclip.json")
    assert front(run / "model")["license"] == "cc-by-4.0"
    assert "Porwal et al. 2018, doi:10.3390/data3030025" in text and "Not a medical device" in text
    assert [origin["source"] for origin in known["trained_on"]] == ["idrid", "phantom"]


@pytest.mark.parametrize(
    "name, keys",
    [
        (
            "set",
            "license pretty_name language multilinguality annotations_creators task_categories size_categories tags configs",
        ),
        ("model", "license library_name pipeline_tag tags"),
    ],
)
def test_a_card_says_what_the_hub_asks_for_in_words_that_it_knows(run, synthetic, name, keys):
    """Tasks are those that the hub's own client has; the card leads to what its publishers had to settle."""
    folder = synthetic if name == "set" else run / "model"
    card = (DatasetCard if name == "set" else ModelCard).load(folder / "README.md")
    told = card.data.to_dict()
    assert [key for key in keys.split() if not told.get(key)] == []
    tasks = told.get("task_categories") or [told["pipeline_tag"]]
    assert [task for task in tasks if not hasattr(InferenceClient, task.replace("-", "_"))] == []
    assert CHECKLIST in card.text


def test_training_longer_keeps_what_a_person_said_of_the_model(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    publication.update(copy / "model", licence="CC BY-NC 4.0", title="mine")
    longer = TINY.model_copy(update={"images": 64})
    train(longer, [run.parent / "idrid", run.parent / "phantoms"], copy)
    assert front(copy / "model")["license"] == "cc-by-nc-4.0"
    assert "# mine" in (copy / "model/README.md").read_text()


# ---------------------------------------------------------------- refusals


def refusal(*arguments: object) -> str:
    result = invoke("push", *arguments)
    line = result.stderr.splitlines()[-1].strip()
    assert result.exit_code == 2 and line.startswith("synth: "), result.output
    return line


def test_a_patients_photographs_are_not_pushed(tmp_path):
    real = of(tmp_path / "real", "odir5k")
    assert "not synthetic (source odir5k)" in refusal(real, "--repo", "me/set")
    said = ("--real-photographs-may-be-published", "--licence", "cc0-1.0", "--dry-run")
    result = invoke("push", real, "--repo", "me/set", *said, "--json")
    assert result.exit_code == 0
    assert "plan.json" not in json.loads(result.stdout)["files"], "it names folders of this machine"


def test_real_photographs_under_a_synthetic_plan_are_not_pushed(synthetic, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(synthetic, copy)
    mixed = [row | {"source": "odir5k"} for row in rows(30)]
    shutil.rmtree(copy / "data")
    plan = read_json(copy / "plan.json")
    write_records(copy, mixed, plan)
    assert claim(copy, plan) and "not synthetic" in refusal(copy, "--repo", "me/set")


def test_an_incomplete_or_damaged_folder_is_not_pushed(synthetic, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(synthetic, copy)
    shard = next(copy.glob("data/test-*.parquet"))
    content = bytearray(shard.read_bytes())
    content[200] ^= 1
    shard.write_bytes(content)
    assert "sha256 differs" in refusal(copy, "--repo", "me/set")
    shard.unlink()
    shard.with_suffix(".json").unlink()
    assert "missing" in refusal(copy, "--repo", "me/set")


def test_without_a_licence_nothing_is_pushed(tmp_path):
    from synth.phantom import PhantomConfig, write

    write(PhantomConfig(size=32), 20, tmp_path / "phantoms")
    assert invoke("push", tmp_path / "phantoms", "--repo", "me/set", "--dry-run").exit_code == 0
    drawn = folder(tmp_path / "drawn", 20)
    why = refusal(drawn, "--repo", "me/set", "--real-photographs-may-be-published")
    assert "no licence set" in why and "drawn: unknown" in why and "--licence" in why


@pytest.mark.parametrize("repo", ["me", "me/", "me/a b", "a/b/c", "me/-x-"])
def test_a_name_that_is_no_repository_is_refused(synthetic, repo):
    assert "write it as NAME/REPO" in refusal(synthetic, "--repo", repo)


def test_offline_is_one_line_and_a_dry_run_needs_no_network(synthetic):
    assert "HF_HUB_OFFLINE=1" in refusal(synthetic, "--repo", "me/set")
    before = {p: sha256(p) for p in synthetic.rglob("*") if p.is_file()}
    result = invoke("push", synthetic, "--repo", "me/set", "--dry-run", "--json")
    listed = json.loads(result.stdout)
    assert listed["type"] == "dataset" and listed["licence"] == "cc-by-4.0" and listed["bytes"] > 0
    assert {p: sha256(p) for p in synthetic.rglob("*") if p.is_file()} == before


def test_a_licence_of_two_lines_is_refused(synthetic):
    with pytest.raises(UserError, match="one line"):
        publication.update(synthetic, licence="a\nb")


# ---------------------------------------------------------------- the push itself, to a hub on loopback


def push(hub, tmp_path: Path, *arguments: object, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """`synth push` in a process of its own: `huggingface_hub` reads its environment once."""
    command = [sys.executable, "-m", "synth", *map(str, arguments)]
    return subprocess.run(
        command, env=environment(hub.url, tmp_path / "home", token), capture_output=True, text=True
    )


@pytest.mark.slow
def test_every_byte_of_a_set_arrives_and_a_repeated_push_sends_nothing(synthetic, tmp_path):
    copy = tmp_path / "set"
    shutil.copytree(synthetic, copy)
    with serving() as hub:
        result = push(hub, tmp_path, "push", copy, "--repo", "me/set", "--private", "--json")
        assert result.returncode == 0, result.stderr
        there = hub.repos["datasets/me/set"]
        assert there["private"]
        assert there["files"] == {
            str(p.relative_to(copy)): p.read_bytes() for p in copy.rglob("*") if p.is_file()
        }
        assert read_json(copy / "croissant.json")["url"] == f"{hub.url}/datasets/me/set"
        assert "datePublished" in read_json(copy / "croissant.json")
        result = push(hub, tmp_path, "push", copy, "--repo", "me/set")
        assert result.returncode == 0 and hub.commits == 1, result.stderr


@pytest.mark.slow
def test_a_broken_push_is_one_line_and_resumes(synthetic, tmp_path):
    copy = tmp_path / "set"
    shutil.copytree(synthetic, copy)
    with serving() as hub:
        hub.refused_uploads = 1
        result = push(hub, tmp_path, "push", copy, "--repo", "me/set")
        assert result.returncode == 2 and "repeat the command to continue" in result.stderr, result.stderr
        kept = len(hub.objects)
        result = push(hub, tmp_path, "push", copy, "--repo", "me/set")
        assert result.returncode == 0 and kept < len(hub.objects) == len(list(copy.glob("data/*.parquet")))


@pytest.mark.slow
def test_a_generator_goes_to_a_model_repository_and_opens_from_there(run, tmp_path):
    from synth.pipeline import load

    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    with serving() as hub:
        result = push(hub, tmp_path, "push", copy, "--repo", "me/model")
        assert result.returncode == 0, result.stderr
        for name, content in hub.repos["models/me/model"]["files"].items():
            path = tmp_path / "down" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    assert load(tmp_path / "down")[1].images == 32
    assert "hf download me/model" in (tmp_path / "down/README.md").read_text()


@pytest.mark.slow
def test_what_the_hub_refuses_is_one_line(synthetic, tmp_path):
    copy = tmp_path / "set"
    shutil.copytree(synthetic, copy)
    with serving() as hub:
        hub.repos["datasets/me/open"] = {"private": False, "files": {}}
        hub.repos["datasets/me/other"] = {"private": True, "files": {shard_name("train", 0, 9): b"x"}}
        cases = {
            ("me/set", "hf_wrong"): "answers 401",
            ("me/open", TOKEN): "exists and is public",
            ("me/other", TOKEN): "holds other data (data/train-00000-of-00009.parquet)",
        }
        for (repo, token), message in cases.items():
            result = push(hub, tmp_path, "push", copy, "--repo", repo, "--private", token=token)
            assert result.returncode == 2 and message in result.stderr, result.stderr
            assert result.stderr.splitlines()[-1].startswith("synth: ")
    result = push(hub, tmp_path, "push", copy, "--repo", "me/set")
    assert result.returncode == 2 and "cannot be reached" in result.stderr


@pytest.mark.slow
def test_generate_pushes_once_all_shards_are_there(run, tmp_path):
    named = ("--model", run, "--n", 20, "--steps", 1, "--batch", 4, "--workers", 1, "--out", tmp_path / "set")
    with serving() as hub:
        part = push(hub, tmp_path, "generate", *named, "--push-to-hub", "me/set", "--shards", "0/2")
        assert part.returncode == 0 and not hub.repos, part.stderr
        whole = push(
            hub, tmp_path, "generate", *named, "--push-to-hub", "me/set", "--licence", "cc-by-sa-4.0"
        )
        assert whole.returncode == 0, whole.stderr
        files = hub.repos["datasets/me/set"]["files"]
    assert b"license: cc-by-sa-4.0" in files["README.md"]
    assert {f for f in files if f.endswith(".parquet")} == {
        s.name for s in shards(Plan.read(tmp_path / "set/plan.json"))
    }


def test_generate_refuses_before_it_draws_what_the_push_would_refuse(run, tmp_path):
    named = ("--model", run, "--n", 20, "--out", tmp_path / "set", "--push-to-hub")
    for repo, message in {"me": "NAME/REPO", "me/set": "HF_HUB_OFFLINE=1"}.items():
        result = invoke("generate", *named, repo)
        assert result.exit_code == 2 and message in result.stderr
    assert not (tmp_path / "set").exists()


def test_every_column_but_lists_is_a_field_of_croissant(synthetic):
    (records,) = read_json(synthetic / "croissant.json")["recordSet"]
    assert [field["name"] for field in records["field"]] == [n for n in SCHEMA.names if n != "findings"]
