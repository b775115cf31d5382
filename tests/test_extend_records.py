"""What is added later does not lock out what was written before: a disease, a finding, an importer, an engine."""

import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from generators import untrained
from pictures import drawn, rows

from synth import sources
from synth.base.errors import UserError
from synth.data.images import encode
from synth.data.pictures import Pictures
from synth.data.records import LABELS, read_table, write_records
from synth.release import draw_shards
from synth.sampling import engines, plan
from synth.sampling.engines import local
from synth.sampling.verify import verify
from synth.sources.importing import import_source
from synth.sources.pictures import Photo

GOLDEN = Path(__file__).parent / "golden" / "records-1"
"""Records as version 1 of the vocabulary had them, written by visionclip 0.3."""

_EXTENDED = """
import sys
from pathlib import Path
from synth.data import vocabulary

# One disease and one finding more, before anything else has read the vocabulary.
vocabulary.DISEASES += (vocabulary.Term("is_new", "新病", "new disease"),)
vocabulary.FLAGS = tuple(term.key for term in vocabulary.DISEASES)
vocabulary.FINDINGS += (vocabulary.Term("new_sign", "新体征", "new sign"),)
vocabulary.FINDING_KEYS = tuple(term.key for term in vocabulary.FINDINGS)

from synth.data import captions
from synth.data.pictures import Pictures
from synth.data.records import COLUMNS, LABELS, read_table, row, write_records
from synth.data.vocabulary import READABILITY_KEYS
from synth.publishing.publish import republish
from synth.sampling.verify import verify

assert "is_new" in LABELS and "is_new" in COLUMNS
for folder in map(Path, sys.argv[1:3]):
    table = read_table(folder)
    assert table.column_names == [name for name in COLUMNS if name != "image"]
    assert table["is_new"].null_count == len(table) == len(Pictures(folder)) > 0, folder
    assert table["is_gc"].null_count == 0
    assert sum(verify(folder)["rows"].values()) == len(table)
    republish(folder)

out = Path(sys.argv[3])
labels = {"is_new": 1, "findings": ["new_sign"]}
caption = captions.write(labels, "en", 0)
assert "new disease" in caption and captions.parse(caption)["is_new"] == 1
data = {"bytes": Pictures(folder)[0], "path": None}
made = [
    row(id=str(i), subject_id=str(i), image=data, caption_zh=captions.write(labels, "zh", i), caption_en=caption, **labels)
    for i in range(10)
]
write_records(out, made, {"kind": "new"})
table = read_table(out)
assert table["is_new"].to_pylist() == [1] * 10 and table["findings"].to_pylist() == [["new_sign"]] * 10
assert sum(verify(out)["rows"].values()) == 10
"""


def test_records_written_before_a_disease_and_a_finding_were_added_still_read(tmp_path):
    golden, before = shutil.copytree(GOLDEN, tmp_path / "golden"), tmp_path / "before"
    write_records(before, rows(20, side=16), {"kind": "drawn"})
    line = [sys.executable, "-c", _EXTENDED, str(golden), str(before), str(tmp_path / "after")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_records_of_version_1_are_whole():
    table = read_table(GOLDEN)
    assert sum(verify(GOLDEN)["rows"].values()) == len(table) == len(Pictures(GOLDEN)) == 8
    assert table["caption_en"].null_count == 0 and {"is_gc", *LABELS} <= set(table.column_names)


def test_a_set_is_imported_by_a_module_and_a_row(tmp_path, monkeypatch):
    """What CONTRIBUTING says an importer takes: `photos(root, report)`, and one row of `SOURCES`."""

    def photos(root, report):
        report.total = 2
        for i, path in enumerate(sorted(root.glob("*.jpg"))):
            yield Photo(path.name, path.read_bytes, {"id": path.stem, "subject_id": str(i), "is_gc": i})

    module = types.ModuleType("synth.sources.mine")
    monkeypatch.setattr(module, "photos", photos, raising=False)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sources.SOURCES, "mine", sources.Source("mine", "CC BY 4.0", "me", "mine"))
    (tmp_path / "root").mkdir()
    for i in range(2):
        (tmp_path / "root" / f"{i}.jpg").write_bytes(encode(drawn(i, i)))
    made = import_source("mine", tmp_path / "root", tmp_path / "out", (1, 0, 0))
    assert made["citation"] == "me" and read_table(tmp_path / "out")["is_gc"].to_pylist() == [0, 1]


def test_shards_are_drawn_by_an_engine_of_a_module_and_a_row(tmp_path, monkeypatch):
    """An engine is a function `draw(job)` that yields rows and shards, and one row of `ENGINES`."""
    drawn_by = []

    def draw(job):
        drawn_by.extend(job.shards)
        yield from local.alone(job.work, job.shards)

    module = types.ModuleType("mine")
    monkeypatch.setattr(module, "draw", draw, raising=False)
    monkeypatch.setitem(sys.modules, "mine", module)
    monkeypatch.setitem(engines.ENGINES, "mine", "mine")
    model = untrained(tmp_path / "model")
    wanted = plan.make(model, 8, steps=1, batch=4)
    assert draw_shards(wanted, model, tmp_path / "out", engine="mine") == len(drawn_by) > 0
    assert verify(tmp_path / "out")["rows"]["train"] == 6
    with pytest.raises(UserError, match="--engine 'ours': known: local, ray, mine"):
        draw_shards(wanted, model, tmp_path / "out", engine="ours")
