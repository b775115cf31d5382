"""Damaged files of many kinds, a few of each: an answer that is right, or one line.  `make fuzz` tries thousands."""

import os
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from artefacts import ARTEFACTS, Artefact, make
from forking import Died, forked
from fuzzing import FAULTS, Answer, answer, attempt, copied, invoke, judge
from generators import untrained
from mutations import ANY, mutate
from pictures import folder, rows
from test_sandbox import verbs
from test_untrusted import MODEL

from clip import inputs
from clip.apps import search
from clip.evaluation import report as evaluations
from clip.training import cost
from clip.training.config import TrainConfig
from privacy.report.schema import AuditReport
from privacy.targets.embeddings import Embeddings
from synth import pipeline
from synth.base import checkpoint
from synth.base.errors import UserError
from synth.data.records import read_table
from synth.data.shards import SPLITS
from synth.training import distillation

QUICK = {
    "records, verified": range(6), "records, preview": range(5), "records, embedded": range(2), "checkpoint, predict": range(3),
    "embeddings, searched": range(4), "mapping": range(3), "table": range(3), "photographs": range(2), "photograph, jpg": range(2),
    "photograph, dcm": range(2),
}  # fmt: skip
"""Artefact -> the seeds of its mutations."""
UNREAD = {
    "synth phantom", "synth evaluate", "clip benchmarks", "clip eval", "clip compare", "clip demo", "clip push", "privacy canary plant", "privacy power",
    "privacy selftest", "privacy checklist",
}  # fmt: skip
"""Verbs that read no file, or only kinds that another verb reads here."""


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("fuzz") / "good"
    place.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        make(place, invoke, trained=False)
    return place


@pytest.mark.parametrize("name", QUICK)
def test_a_damaged_file_is_an_answer_that_is_right_or_one_line(name, good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copied(ARTEFACTS[name], good, tmp_path / "whole")
    expected = answer(ARTEFACTS[name], tmp_path / "whole")
    assert expected.status in ARTEFACTS[name].exits and not expected.error
    found = [attempt(name, seed, good, tmp_path / "work", expected.result) for seed in QUICK[name]]
    assert [each for each in found if each.kind in FAULTS] == []
    assert {each.kind for each in found} != {"unchanged"}


def test_every_verb_that_reads_files_is_given_damaged_ones():
    tried = {" ".join(each.line[: 3 if each.line[1] == "canary" else 2]) for each in ARTEFACTS.values()}
    assert tried | UNREAD == verbs()
    assert not tried & UNREAD


@pytest.mark.parametrize(
    "given, kind",
    [
        (Answer(0, "right", "", 0, ""), "unchanged"),
        (Answer(0, "wrong", "", 0, ""), "silent"),
        (Answer(2, "", "synth: data/a.parquet: damaged; copy it again", 1, ""), "refused"),
        (Answer(2, "", "synth: damaged; copy it again", 1, ""), "unclear"),
        (Answer(2, "", "synth: data/a.parquet: damaged", 2, ""), "unclear"),
        (Answer(1, "", "", 0, "KeyError: 'x' (a.py:1)"), "traceback"),
        (Answer(1, "", "", 0, ""), "traceback"),
    ],
)
def test_outcomes_are_told_apart(given, kind):
    assert judge(Artefact("data/*", ("synth", "verify")), ["a.parquet"], "right", given)[0] == kind


def test_a_process_that_dies_is_an_outcome_too():
    assert forked(lambda: [1, "x"]) == [1, "x"]
    with pytest.raises(Died) as death:
        forked(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert death.value.status == -signal.SIGKILL


def test_a_mutation_is_a_function_of_its_seed(tmp_path):
    for seed in range(40):
        made = []
        for name in ("a", "b"):
            path = tmp_path / name / "x.bin"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bytes(range(256)) * 4)
            how = mutate(path, seed)
            made.append((how, path.read_bytes() if path.is_file() else path.is_symlink()))
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        assert made[0] == made[1]
    assert len(ANY) > 5


# What it found, each as a test of its own


@pytest.mark.parametrize("column", ["is_amd", "id"])
def test_a_column_that_stands_twice_is_one_line(column, tmp_path):
    records = folder(tmp_path / "records", 4, shares=(1, 0, 0))
    [path] = (records / "data").glob("train-*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.append_column(column, table.column(column)), path)
    with pytest.raises(UserError, match=f"{path}: damaged parquet"):
        read_table(records, ["train"])


def test_embeddings_without_names_are_refused(good, tmp_path):
    table = pq.read_table(good / "e.parquet")
    path = tmp_path / "e.parquet"
    pq.write_table(table.set_column(0, "id", [[None] * len(table)]), path)
    with pytest.raises(UserError, match="'id' is not a name in every row"):
        search.read(path)
    with pytest.raises(UserError, match="an id is null"):
        Embeddings(path)
    pq.write_table(table.append_column("id", table.column("id")), path)
    for read in (search.read, Embeddings):
        with pytest.raises(UserError, match=str(path)):
            read(path)


@pytest.mark.parametrize(
    "content", ['{"schema": {"name": "visionclip-privacy-report", "version": 3}}', '{"schema": []}', "[]"]
)
def test_a_report_of_an_audit_that_is_damaged_is_one_line(content, tmp_path):
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(UserError, match=r"report\.json: (damaged at|no report of 'privacy audit')"):
        AuditReport.read(tmp_path / "report.json")


def test_a_count_of_0_in_the_end_of_a_strangers_parquet_is_one_line_or_no_row_less(tmp_path):
    """The end says 6, which is 12 there, for the file, its group and each column: one at a time becomes 0."""
    path, refused = tmp_path / "a.parquet", 0
    images = [{"bytes": each["image"]["bytes"], "path": None} for each in rows(6)]
    columns = {"image": images, "text": [f"an eye {i}" for i in range(6)]}
    pq.write_table(pa.table(columns), path, compression="none", write_statistics=False)
    whole = path.read_bytes()
    end = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for place in (at for at in range(end, len(whole) - 8) if whole[at] == 12):
        path.write_bytes(whole[:place] + b"\0" + whole[place + 1 :])
        try:
            found = inputs.opened(path)
            assert sum(found.table(split, ["id"]).num_rows for split in SPLITS) == 6
        except UserError as error:
            refused += str(path) in str(error)
    assert refused >= 3


@pytest.mark.parametrize("results", ["null", "[{}]", '[{"task": []}]', '"x"'])
def test_a_report_of_an_evaluation_that_is_damaged_is_one_line(results, tmp_path):
    (tmp_path / "report.json").write_text(f'{{"results": {results}}}')
    with pytest.raises(UserError, match=r"report\.json: no report of 'clip eval'"):
        evaluations.read(tmp_path / "report.json")


def test_a_checkpoint_behind_whose_end_more_follows_is_refused(good, tmp_path):
    path = tmp_path / "ckpt.pt"
    path.write_bytes((good / "ckpt.pt").read_bytes() + b"\0" * 700)
    with pytest.raises(UserError, match=f"{path}: damaged, the checksum of its begin or end differs"):
        checkpoint.load(path)


def test_pictures_too_small_for_a_tower_are_one_line():
    tower = {"layers": [1, 1, 1, 1], "width": 8}
    small = MODEL.model_dump() | {"image": tower, "preprocessing": {"size": 16}}
    with pytest.raises(
        UserError, match=r"model\.preprocessing\.size=16: 'resnet50_clip' does not take pictures"
    ):
        cost.counted(TrainConfig.model_validate({"model": small}))


def test_a_card_that_tells_another_network_is_one_line(tmp_path):
    teacher, card = pipeline.load(untrained(tmp_path / "generator"))
    for network in ({"network": {"channels": [16, 16], "attention_from": 1}}, {}, {"network": 5}):
        with pytest.raises(UserError, match=r"generator/visionclip\.json: "):
            distillation._untuned(tmp_path / "generator", teacher, card.replaced(config=network))
