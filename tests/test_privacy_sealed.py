"""A sealed audit: the auditor says what the controller's audit says, from scores that name nobody."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import releases
from typer.testing import CliRunner

from privacy import report
from privacy.attacks import embedded, exposed, linkage, membership
from privacy.commands.app import app
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs
from privacy.decisions.decision import decide
from privacy.decisions.results import Scored
from privacy.report.schema import AuditReport
from privacy.sealed import salt, score_files, verdicts

PATIENTS = {"attackers": 60, "members": 26, "nonmembers": 24}
QUICK = ("folds=3", "permutations=60", "bootstrap=100", "untrained_seeds=1", "detection_rounds=50", "copies_steps=5",
         "copies_permutations=999", "likelihood_labels=1", "likelihood_patients=20", "likelihood_steps=[100,500]")  # fmt: skip


def run(*arguments: object):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def controller(tmp_path) -> AuditReport:
    """What an audit of drawn scores says, which are sealed: of all patients, of the most exposed, of embeddings, of links."""
    rng, config = np.random.default_rng(0), AuditConfig(detection_rounds=50)
    ids = [
        np.array([f"{group}-{number:03d}" for number in range(40)], object) for group in ("member", "other")
    ]
    results = [linkage.QUESTIONS[1]._replace(missing="needs nothing that is here")]
    for question, judge, width in (
        (membership.GENERATOR, membership.with_scores, 1),
        (exposed.question(membership.GENERATOR), exposed.with_scores, 1),
        (embedded.QUESTION, embedded.with_scores, 4),
        (linkage.QUESTIONS[0], linkage.with_verification_scores, 1),
    ):
        members, nonmembers = rng.normal(0.5, 1, (40, width)), rng.normal(size=(40, width))
        scored = Scored(question, members, nonmembers, *ids)
        told = (members, nonmembers) if width > 1 else (members[:, 0], nonmembers[:, 0])
        results.append(judge(question, *told, config)._replace(scored=scored, named=("member-001",)))
    made = report.build(
        Inputs(tmp_path / "report" / ".cache"), decide(results), config, "privacy audit /home"
    )
    sealed = score_files.write(tmp_path / "sealed", tmp_path / "report" / salt.KEY, made, results)
    return made.model_copy(update={"sealed": sealed})


@pytest.fixture
def sealed(controller, tmp_path) -> list[Path]:
    return [tmp_path / "sealed" / f"{group}.parquet" for group in ("members", "nonmembers")]


def test_scores_alone_give_every_answer_of_the_controller(controller, sealed, tmp_path):
    """To the last bit, in whichever order the files are given; what no scores are there of is as it was said."""
    done = run("verdict", *reversed(sealed), "--out", tmp_path / "judged")
    made = AuditReport.read(tmp_path / "judged" / "report.json")
    assert done.exit_code == made.exit_status == controller.exit_status
    assert made.model_copy(update={"command": controller.command}) == controller
    assert len(controller.sealed.scored) == 4 and controller.sealed.of == 5
    page = (tmp_path / "judged" / "report.html").read_text()
    assert f"Sealed audit {controller.sealed.commitment[:12]}: 4 of 5 questions" in page


def test_a_sealed_patient_is_a_salted_id_and_its_place_says_nothing(controller, sealed, tmp_path):
    rows = pq.read_table(sealed[0]).to_pylist()
    key = tmp_path / "report" / salt.KEY
    whose = {salt.salted(salt.key(key), f"member-{number:03d}") for number in range(40)}
    assert {row["patient"] for row in rows} == whose
    order = [row["patient"] for row in rows if row["attack"].startswith("T8")]
    assert order == sorted(order)
    kept = sealed[0].read_bytes() + json.dumps(rows).encode()
    assert all(secret not in kept for secret in (b"member-0", b"/home", key.read_bytes().strip()))
    assert key.stat().st_mode & 0o777 == 0o600


def changed(path: Path, out: Path, change) -> Path:
    """A copy whose rows or metadata are other ones."""
    table = pq.read_table(path)
    rows, metadata = table.to_pylist(), dict(table.schema.metadata)
    change(rows, metadata)
    pq.write_table(
        pa.Table.from_pylist(rows, table.schema.remove_metadata()).replace_schema_metadata(metadata), out
    )
    return out


def test_what_was_changed_is_refused(controller, sealed, tmp_path):
    members, nonmembers = sealed

    def score(rows, metadata):
        rows[3]["score"] += 1e-12

    def leave(rows, metadata):
        rows.pop()

    def words(rows, metadata):
        metadata[b"statement"] = metadata[b"statement"].replace(b'"exit_status": ', b'"exit_status": 1')

    def anew(rows, metadata):
        words(rows, metadata)
        metadata[b"commitment"] = hashlib.sha256(metadata[b"statement"]).hexdigest().encode()

    for number, change in enumerate((score, leave, words)):
        one = changed(members, tmp_path / f"{number}.parquet", change)
        done = run("verdict", one, nonmembers, "--out", tmp_path / "judged")
        assert done.exit_code == 2 and done.stderr.startswith(
            f"privacy: {one}: scores or statement were changed"
        )
        assert done.stderr.count("\n") == 1
    both = [changed(path, tmp_path / f"anew-{path.name}", anew) for path in sealed]
    true = controller.sealed.commitment
    done = run("verdict", *both, "--commitment", true, "--out", tmp_path / "judged")
    assert done.exit_code == 2 and done.stderr.startswith(
        f"privacy: --commitment {true[:12]}: the files were sealed as"
    )
    assert not (tmp_path / "judged" / "report.json").exists()


def test_files_that_are_not_of_one_audit_are_refused(controller, sealed, tmp_path):
    members, nonmembers = sealed

    def salted_anew(rows, metadata):
        statement = json.loads(metadata[b"statement"])
        statement["key"] = "0" * 64
        metadata[b"statement"] = json.dumps(statement, ensure_ascii=False).encode()
        metadata[b"commitment"] = hashlib.sha256(metadata[b"statement"]).hexdigest().encode()

    def of_another_model(rows, metadata):
        statement = json.loads(metadata[b"statement"])
        statement["report"]["model"] = {"sha256": "0" * 64}
        metadata[b"statement"] = json.dumps(statement, ensure_ascii=False).encode()
        metadata[b"commitment"] = hashlib.sha256(metadata[b"statement"]).hexdigest().encode()

    for what, change in (("the key of the salted ids", salted_anew), ("the encoder", of_another_model)):
        other = changed(nonmembers, tmp_path / "other.parquet", change)
        done = run("verdict", members, other, "--out", tmp_path / "judged")
        assert done.exit_code == 2 and f"sealed in two audits ({what} differs)" in done.stderr
    for given in ([members], [members, members], [members, nonmembers, nonmembers]):
        done = run("verdict", *given, "--out", tmp_path / "judged")
        assert done.exit_code == 2 and "takes one file of members and one of nonmembers" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_file_that_holds_no_scores_is_one_line(tmp_path):
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    for name, what in (("a", "no sealed scores"), ("b", "damaged parquet"), ("c", "no such file")):
        done = run("verdict", tmp_path / f"{name}.parquet", "--out", tmp_path / "judged")
        assert done.exit_code == 2 and what in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "judged" / "report.json").exists()


@pytest.mark.parametrize("folder, what", [("report", "is --out too"), ("full", "holds 'notes.txt'")])
def test_a_folder_that_cannot_be_sent_is_refused(tmp_path, folder, what):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    done = run("audit", "--generator", tmp_path, "--members", tmp_path, "--nonmembers", tmp_path,
               "--out", tmp_path / "report", "--seal", tmp_path / folder)  # fmt: skip
    assert done.exit_code == 2 and what in done.stderr and done.stderr.count("\n") == 1


def test_sealing_needs_both_groups(tmp_path):
    done = run("audit", "--generator", tmp_path, "--out", tmp_path / "report", "--seal", tmp_path / "sealed")
    assert done.exit_code == 2 and "give --members and --nonmembers" in done.stderr


@pytest.mark.slow
def test_the_audit_of_a_release_is_judged_again_without_it(tmp_path):
    """Every panel and answer; no id, folder or picture is in what was sealed; and a finished audit seals no more."""
    people = {
        group: releases.people(tmp_path / group, count, seed)
        for seed, (group, count) in enumerate(PATIENTS.items(), 1)
    }
    releases.released(tmp_path / "synthetic", people["members"].photographs(releases.SMALL)[:40])
    releases.encoder(tmp_path / "ckpt.pt")
    releases.generator(tmp_path / "generator", None, 0)
    options = [
        part for group in (*PATIENTS, "synthetic", "generator") for part in (f"--{group}", tmp_path / group)
    ]
    options += [part for each in QUICK for part in ("--set", each)]
    options += [
        "--model",
        tmp_path / "ckpt.pt",
        "--members-split",
        "all",
        "--nonmembers-split",
        "all",
        "--out",
        tmp_path / "report",
    ]
    done = run("audit", *options, "--seal", tmp_path / "sealed")
    ours = json.loads((tmp_path / "report" / "report.json").read_text())
    assert done.exit_code == ours["exit_status"], done.output
    files = [tmp_path / "sealed" / f"{group}.parquet" for group in ("members", "nonmembers")]
    run("verdict", *files, "--out", tmp_path / "judged")
    theirs = json.loads((tmp_path / "judged" / "report.json").read_text())
    for key in ("panels", "attributes", "results", "exit_status", "sealed", "config", "given"):
        assert ours[key] == theirs[key], key
    answered = {f"{each['threat']} {each['attack']}" for each in ours["results"] if each["estimate"]}
    assert (
        answered & set(verdicts.JUDGES) == set(ours["sealed"]["scored"])
        and len(ours["sealed"]["scored"]) >= 6
    )
    kept = b"".join(
        path.read_bytes() + json.dumps(pq.read_table(path).to_pylist()).encode() for path in files
    )
    names = [str(tmp_path), *(name for each in people.values() for name in (*each.ids, *each.subjects))]
    assert [name for name in names if name.encode() in kept] == [] and b"JFIF" not in kept
    done = run("audit", *options, "--seal", tmp_path / "elsewhere")
    assert done.exit_code == 2 and "lacks the scores" in done.stderr
