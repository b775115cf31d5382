"""`privacy audit` from records to report: what it answers, what it refuses, and what it never says."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from privacy import report, targets
from privacy.advice import suggest as advice
from privacy.attacks.attribute_inference import evaluate
from privacy.attacks.population import Features
from privacy.commands.app import app
from privacy.config import AuditConfig
from privacy.data import attributes, phantoms
from privacy.data.inputs import Inputs, People
from privacy.decisions.decision import decide
from privacy.report.schema import AuditReport
from synth.base import checksums
from synth.data import images, records
from synth.sampling.engines import rows

QUICK = ["--set", "permutations=60", "--set", "bootstrap=100", "--set", "untrained_seeds=2"]
PATIENTS = 48


def run(*arguments: object):
    return CliRunner().invoke(app, ["audit", *map(str, arguments)])


def photograph(red: bool, rng: np.random.Generator) -> bytes:
    level = (190, 90, 40) if red else (60, 90, 190)
    return images.encode(rng.normal(level, 20, (24, 24, 3)).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def attackers(tmp_path_factory) -> Path:
    """Two photographs each of patients whose sex is their colour, whose age is unrelated, without race."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("attackers")
    rows = [
        records.row(
            id=f"{patient:03d}-{eye}",
            subject_id=f"p{patient:03d}",
            image={"bytes": photograph(patient % 2 == 0, rng), "path": None},
            sex="FM"[patient % 2],
            age=float(rng.integers(30, 80)),
            source="test",
        )
        for patient in range(PATIENTS)
        for eye in ("left", "right")
    ]
    records.write_records(folder, rows, {"source": "test"})
    return folder


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory) -> Path:
    """Embeddings of the same photographs, in an order of their own, that show sex plainly."""
    rng = np.random.default_rng(1)
    ids = [f"{patient:03d}-{eye}" for patient in range(PATIENTS) for eye in ("left", "right")]
    values = rng.normal(size=(len(ids), 6)).astype(np.float32)
    values[:, 0] += [4 * (int(name[:3]) % 2) for name in ids]
    order = rng.permutation(len(ids))
    folder = tmp_path_factory.mktemp("embeddings")
    table = pa.table({"id": [ids[i] for i in order], "embedding": [values[i].tolist() for i in order]})
    pq.write_table(table, folder / "e.parquet")
    np.save(folder / "e.npy", values[order])
    (folder / "e.ids.txt").write_text("\n".join(ids[i] for i in order))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A CLIP of a few thousand weights, as `clip train` would leave it."""
    from clip.model import checkpoints
    from clip.model.encoders import ClipConfig, ImageTower, TextTower, build
    from synth.base.checkpoint import save

    config = ClipConfig(
        image=ImageTower(layers=(1, 1, 1, 1), width=8),
        text=TextTower(layers=1, width=8, heads=1, feedforward=8, positions=52),
        embedding=16,
        preprocessing=images.Preprocessing(size=32),
    )
    model = build(config, seed=3)
    path = tmp_path_factory.mktemp("clip") / "ckpt.pt"
    save(path, {**checkpoints.header(model), "weights": model.state_dict()})
    return path


def test_an_audit_of_a_checkpoint_answers_what_can_be_answered(attackers, checkpoint, tmp_path):
    """Colour is in the pixels: any encoder reveals it, and training has no part in it."""
    result = run("--model", checkpoint, "--attackers", attackers, "--out", tmp_path, "--json", *QUICK)
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert made == json.loads((tmp_path / "report.json").read_text())
    age, sex, race = made["attributes"]
    assert sex["reveals"]["word"] == "REVEALS" and sex["training_adds"]["word"] != "REVEALS"
    assert age["reveals"]["word"] == "INCONCLUSIVE"
    assert race["reveals"]["word"] == "NOT TESTABLE" and "no record states it" in race["reveals"]["why"]
    assert [row["name"] for row in sex["rows"]] == [
        "the encoder", "untrained encoders", "pixels", "metadata", "nearest neighbours",
        "a small neural network", "permuted labels", "the prior"]  # fmt: skip
    assert [panel["verdict"] for panel in made["panels"]] == ["REVEALS", "NOT TESTABLE", "NOT TESTABLE"]
    assert made["model"]["sha256"] and made["attackers"]["fingerprint"] and made["model"]["preprocessing"]
    files = ["audit.json", "label.svg", "report.html", "report.json", "report.json.sha256", "report.zh.html"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files


def test_a_killed_audit_continues_without_embedding_again(attackers, checkpoint, tmp_path, monkeypatch):
    from privacy.scores import pixels

    def killed(*_):
        raise KeyboardInterrupt

    arguments = ["--model", checkpoint, "--attackers", attackers, "--out", tmp_path, *QUICK]
    with monkeypatch.context() as patch:
        patch.setattr(pixels, "features", killed)
        assert run(*arguments).exit_code != 0
    monkeypatch.setattr(targets.Encoder, "embed", killed)
    assert run(*arguments).exit_code == 0


@pytest.mark.slow
def test_two_processes_embed_to_the_bytes_of_one(attackers, checkpoint, tmp_path, monkeypatch):
    """The encoder, and an untrained control of mirrored photographs; 96 of them are two parts here."""
    monkeypatch.setattr(rows, "PART", 64)
    found = []
    for workers in (1, 2):
        inputs = Inputs(tmp_path / str(workers), encoder=targets.open_target(checkpoint, workers=workers))
        people = People(attackers, kept=tmp_path / "photographs")
        found.append([inputs.embeddings(people), inputs.embeddings(people, 1, mirrored=True)])
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*found, strict=True))
    assert len(found[0][0]) == 2 * PATIENTS and not np.allclose(*found[0])


def test_an_unknown_engine_is_one_line(attackers, checkpoint, tmp_path):
    result = run("--model", checkpoint, "--attackers", attackers, "--out", tmp_path, "--engine", "slurm")
    assert result.exit_code == 2 and result.stderr == "privacy: --engine 'slurm': known: local, ray\n"


@pytest.mark.parametrize("name", ["e.parquet", "e.npy"])
def test_embeddings_made_elsewhere_are_joined_by_id(attackers, embeddings, tmp_path, name):
    result = run("--model", embeddings / name, "--attackers", attackers, "--out", tmp_path,
                 "--attributes", "sex", "--json", *QUICK)  # fmt: skip
    sex = json.loads(result.stdout)["attributes"][0]
    assert sex["reveals"]["word"] == "REVEALS" and sex["rows"][0]["person"]["auc"]["value"] > 0.95
    assert sex["training_adds"]["word"] == "NOT TESTABLE"  # nobody can build them an untrained control


def test_a_record_without_an_embedding_is_an_error(attackers, embeddings, tmp_path):
    table = pq.read_table(embeddings / "e.parquet")
    pq.write_table(table.slice(1), tmp_path / "e.parquet")
    result = run(
        "--model", tmp_path / "e.parquet", "--attackers", attackers, "--out", tmp_path / "out", *QUICK
    )
    assert result.exit_code == 2
    assert "no embedding for 1 of 96 records, such as id" in result.stderr


def test_nothing_to_audit_is_one_line(tmp_path):
    result = run("--out", tmp_path / "report")
    assert result.exit_code == 2 and result.stderr.startswith("privacy: nothing to audit; give --model")
    assert not (tmp_path / "report").exists()


def test_embeddings_alone_are_not_testable(embeddings, tmp_path):
    result = run("--model", embeddings / "e.npy", "--out", tmp_path)
    assert result.exit_code == 4
    made = json.loads((tmp_path / "report.json").read_text())
    assert {panel["verdict"] for panel in made["panels"]} == {"NOT TESTABLE"}
    assert all("--attackers" in each["reveals"]["why"] for each in made["attributes"])


@pytest.mark.slow
def test_a_checkpoint_alone_is_tried_on_phantoms(checkpoint, tmp_path, monkeypatch):
    """Race colours a phantom's whole fundus: even random weights pass it on, and training has no part in it."""
    monkeypatch.setattr(phantoms, "PICTURES", 240)
    result = run("--model", checkpoint, "--out", tmp_path, "--attributes", "race", "--json", *QUICK)
    made = json.loads(result.stdout)
    assert made["attackers"]["phantoms"] and made["attackers"]["images"] == 240
    race = made["attributes"][0]
    assert race["reveals"]["word"] == "REVEALS" and race["training_adds"]["word"] != "REVEALS"
    assert "nobody" in (tmp_path / "report.html").read_text()
    assert [panel["verdict"] for panel in made["panels"][1:]] == ["NOT TESTABLE", "NOT TESTABLE"]


def test_records_that_state_no_attribute_are_an_error(attackers, embeddings, tmp_path):
    result = run("--model", embeddings / "e.npy", "--attackers", attackers, "--out", tmp_path,
                 "--attributes", "race")  # fmt: skip
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith(f"privacy: {attackers}: states none of race")


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["--members", "m"], "m: no such folder of records"),
        (["--generator", "g"], "g: no generator there"),
        (["--attributes", "age,height"], "unknown attribute 'height'"),
        (["--set", "permutation=5"], "did you mean 'permutations'?"),
    ],
)
def test_what_it_cannot_do_is_one_line(arguments, line, embeddings, tmp_path):
    result = run("--model", embeddings / "e.npy", "--out", tmp_path, *arguments)
    assert result.exit_code == 2 and line in result.stderr and result.stderr.count("\n") == 1


def test_a_pickled_npy_is_refused(attackers, tmp_path):
    np.save(tmp_path / "e.npy", np.array([{"a": 1}], object), allow_pickle=True)
    (tmp_path / "e.ids.txt").write_text("a")
    result = run("--model", tmp_path / "e.npy", "--attackers", attackers, "--out", tmp_path / "out")
    assert result.exit_code == 2 and "nothing in it was run" in result.stderr


def test_a_picture_of_two_patients_makes_the_audit_invalid(tmp_path, embeddings):
    """Else a probe would look its answer up."""
    rng = np.random.default_rng(0)
    twin = photograph(True, rng)
    rows = [
        records.row(
            id=f"{n:03d}-left", subject_id=f"p{n:03d}", sex="FM"[n % 2],
            image={"bytes": twin if n < 4 else photograph(n % 2 == 0, rng), "path": None},
        )
        for n in range(PATIENTS)
    ]  # fmt: skip
    records.write_records(tmp_path / "r", rows, {"source": "test"})
    result = run("--model", embeddings / "e.npy", "--attackers", tmp_path / "r", "--out", tmp_path / "out",
                 "--attributes", "sex", "--json", *QUICK)  # fmt: skip
    assert json.loads(result.stdout)["attributes"][0]["reveals"]["word"] == "INVALID"
    assert result.exit_code == 5


def test_suggestions_follow_from_verdicts(attackers, checkpoint, tmp_path):
    run("--model", checkpoint, "--attackers", attackers, "--out", tmp_path, *QUICK)
    said = CliRunner().invoke(app, ["suggest", "--report", str(tmp_path), "--json"])
    found = json.loads(said.stdout)
    assert [change["threats"] for change in found["changes"]] == [["T1"]]  # sex is revealed, nothing failed
    assert {each["attack"] for each in found["open"] if each["threat"] == "T1"} == {"age", "race"}
    plain = CliRunner().invoke(app, ["suggest", "--report", str(tmp_path)]).stdout
    for word, what in advice._MORE.items():
        asked = [each["attack"] for each in found["open"] if each["word"] == word]
        assert plain.count(what) == bool(asked) and all(f" {attack}" in plain for attack in asked)
    path = tmp_path / "report.json"
    report = json.loads(path.read_text())
    report["results"] = [
        {"threat": "T4", "attack": "copies", "verdict": {"word": "FAIL", "patients_needed": None}}
    ]
    checksums.write_json(path, report)
    changes = json.loads(CliRunner().invoke(app, ["suggest", "--report", str(path), "--json"]).stdout)[
        "changes"
    ]
    assert "--reject-copies" in changes[0]["command"] and changes[-1]["threats"] == ["T1"]
    checksums.write_json(path, report | {"schema": {"name": report["schema"]["name"], "version": 99}})
    refused = CliRunner().invoke(app, ["suggest", "--report", str(path)])
    assert refused.exit_code == 2 and "schema 99" in refused.stderr and refused.stderr.count("\n") == 1


def hostile() -> AuditReport:
    """A report about a race whose name is a script."""
    rng = np.random.default_rng(0)
    columns = {
        "id": [f"{i:03d}" for i in range(60)],
        "subject_id": [f"p{i:03d}" for i in range(60)],
        "race": ["<script>alert(1)</script>" if i % 2 else "other & more" for i in range(60)],
    }
    cohort = attributes.cohort(columns)
    encoder = rng.normal(size=(60, 4)) + [[3.0 * (i % 2), 0, 0, 0] for i in range(60)]
    config = AuditConfig(permutations=60, bootstrap=100)
    features = Features(encoder, [rng.normal(size=(60, 4))], rng.normal(size=(60, 4)))
    judged = evaluate({"race": attributes.task(cohort, "race")}, features, config)
    named = SimpleNamespace(metadata={"path": "<b>", "sha256": "0", "kind": "test"})
    return report.build(Inputs(Path("unused"), encoder=named), decide(judged), config, "privacy audit")  # type: ignore[arg-type]


def test_hostile_names_are_escaped():
    page = report.html(hostile())
    assert "<script>" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b>" not in page


def test_the_page_needs_nothing_from_elsewhere():
    page = report.html(hostile())
    assert re.findall(r"(?:src|href)=\S+|url\(|@import", page) == ['href="report.zh.html"']


def test_every_row_of_an_attribute_and_every_point_of_its_curve_is_drawn():
    made = hostile()
    [race] = [each for each in made.attributes if each.rows]
    rows = [row.name for row in race.rows if "auc" in row.person]
    points = [f"{point.training_patients} patients" for point in race.curve]
    drawn = re.findall(r'<span class="name">([^<]*)</span>\s*<svg', report.html(made))
    assert drawn == [*rows, *points] and rows[0] == "the encoder" and len(points) == 3


def test_no_report_says_that_anything_is_safe(attackers, checkpoint, tmp_path):
    made = hostile()
    run("--model", checkpoint, "--attackers", attackers, "--out", tmp_path, *QUICK)
    words = [
        report.html(made),
        report.summary(made),
        json.dumps(made.as_json()),
        (tmp_path / "report.html").read_text(),
    ]
    room = Path(attributes.__file__).parent
    sources = [path.read_text() for path in [*room.rglob("*.py"), *room.glob("templates/*")]]
    assert [found for text in words + sources for found in re.findall(r"(?i).{0,40}safe.{0,40}", text)] == []
