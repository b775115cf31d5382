"""An import that is killed, repeated, or repeated over other data; and what a slow or broken folder does to it."""

import csv
import errno
import io
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synth.base.disk_errors import file_error
from synth.base.errors import UserError
from synth.base.runs import atomic
from synth.data.records import read_table
from synth.sources import entries, reading
from synth.sources.importing import import_source

MAPPING = """table: t.csv
images: photos
columns:
  image: file
  subject_id: patient
  age: age
  dr_grade: {column: grade, values: {R0: 0, R2: 2}}
"""


def picture(tag):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(tag).integers(0, 256, (12, 12, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "BMP")  # of one size in bytes whatever it shows
    return buffer.getvalue()


def rows(path, *lines):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["file", "patient", "age", "grade"], *lines])


def line(i, grade="R0"):
    return [f"p{i}.bmp", f"s{i // 2}", 40 + i, grade]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "set"
    (folder / "photos").mkdir(parents=True)
    for i in range(20):
        (folder / "photos" / f"p{i}.bmp").write_bytes(picture(i))
    rows(folder / "t.csv", *map(line, range(20)))
    (folder / "mapping.yaml").write_text(MAPPING)
    return folder


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """Take the times of files that a test has just written for a proof of their content, as those of older ones are."""
    monkeypatch.setattr(reading, "_SETTLED", 0)


def load(root, out="out", **options):
    return import_source("folder", root, root / out, **({"mapping": root / "mapping.yaml"} | options))


def shards(out):
    return {path.name: path.read_bytes() for path in sorted((out / "data").iterdir())}


class Reads:
    """Counts the pictures that are read, and lets something happen at each."""

    def __init__(self, monkeypatch, happens=lambda path: None):
        self.names, self._read, self._happens = [], Path.read_bytes, happens
        monkeypatch.setattr(Path, "read_bytes", lambda path: self(path))

    def __call__(self, path):
        if path.suffix == ".bmp":
            self._happens(path)
            self.names.append(path.name)
        return self._read(path)


def test_every_picture_is_read_once_and_none_when_nothing_changed(root, monkeypatch):
    reads = Reads(monkeypatch)
    first = load(root)
    assert sorted(reads.names) == sorted(f"p{i}.bmp" for i in range(20))
    assert load(root) == first and len(reads.names) == 20


def test_a_killed_import_goes_on_where_it_was_and_ends_with_the_same_bytes(root, monkeypatch):
    load(root, "whole")

    def killed(path):
        if path.name == "p13.bmp":
            raise KeyboardInterrupt

    monkeypatch.setattr(entries, "_ROWS", 5)
    monkeypatch.setattr(reading, "READERS", 1)
    monkeypatch.setattr(reading, "_CHUNK", 1)
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        Reads(stopped, killed)
        load(root)
    assert not (root / "out" / "import.json").exists()
    reads = Reads(monkeypatch)
    load(root)
    assert sorted(reads.names) == sorted(f"p{i}.bmp" for i in range(13, 20))
    assert shards(root / "out") == shards(root / "whole")


def test_what_is_beside_the_data_changes_nothing(root):
    first = load(root)
    written = shards(root / "out")
    for name in ("Thumbs.db", "photos/Thumbs.db", "photos/.DS_Store", "notes.txt"):
        (root / name).write_bytes(b"x")
    (root / "mapping.yaml").write_text(
        "# the visits of 2024\n" + MAPPING.replace("age: age", "age: {column: age}")
    )
    moved = root.rename(root.with_name("moved"))
    assert load(moved) == first and shards(moved / "out") == written


def label(root):
    rows(root / "t.csv", *map(line, range(19)), line(19, "R2"))


def more(root):
    (root / "photos" / "p20.bmp").write_bytes(picture(20))
    rows(root / "t.csv", *map(line, range(21)))


def fewer(root):
    rows(root / "t.csv", *map(line, range(18)))


def absent(root):
    rows(root / "t.csv", *map(line, range(20)), ["p99.bmp", "s99", 50, "R0"])


def turned(root):
    rows(root / "t.csv", *map(line, reversed(range(20))))


def value(root):
    (root / "mapping.yaml").write_text(MAPPING.replace("R2: 2", "R2: 3"))


def pixels(root):
    path = root / "photos" / "p3.bmp"
    before = path.stat()
    time.sleep(0.02)  # the clock of a file system is coarse
    path.write_bytes(picture(1000))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def gone(root):
    (root / "photos" / "p3.bmp").unlink()
    (root / "photos" / "p3.bmp").symlink_to("nowhere.bmp")


@pytest.mark.parametrize(
    "change, words",
    [
        (label, r"dr_grade of p19\.bmp was 0 and is 2"),
        (more, r"p20\.bmp is new here"),
        (fewer, r"p18\.bmp and 1 more are no longer here"),
        (absent, "rows of the table or their order"),
        (turned, "rows of the table or their order"),
        (value, r"mapping\.columns\.dr_grade\.values\.R2 is 2 there, 3 here"),
        (pixels, r"photos/p3\.bmp: has changed since"),
        (gone, r"photos/p3\.bmp: cannot be read now since"),
    ],
)
def test_a_change_is_refused_by_its_name(root, change, words):
    load(root)
    written = shards(root / "out")
    change(root)
    with pytest.raises(UserError, match=words + ".*choose another --out or delete the folder"):
        load(root)
    assert shards(root / "out") == written


@pytest.mark.parametrize("options, key", [({"shares": (7, 2, 1)}, "shares"), ({"size": 8}, "size")])
def test_other_settings_are_refused_by_their_name(root, options, key):
    load(root)
    with pytest.raises(UserError, match=rf"\({key} is .* there, .* here\)"):
        load(root, **options)


def test_a_change_within_a_killed_import_is_refused_too(root, monkeypatch):
    def killed(path):
        if path.name == "p13.bmp":
            raise KeyboardInterrupt

    monkeypatch.setattr(reading, "READERS", 1)
    monkeypatch.setattr(reading, "_CHUNK", 1)
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        Reads(stopped, killed)
        load(root)
    pixels(root)
    with pytest.raises(UserError, match=r"photos/p3\.bmp: has changed since"):
        load(root)


def test_several_readers_wait_at_a_time_and_keep_the_order(root, monkeypatch):
    here, most, lock = set(), [], threading.Lock()

    def slow(path):
        with lock:
            here.add(path)
            most.append(len(here))
        time.sleep(0.03 if path.name == "p0.bmp" else 0.005)
        with lock:
            here.discard(path)

    Reads(monkeypatch, slow)
    load(root, shares=(1, 0, 0))
    ids = read_table(root / "out", columns=["id"])["id"].to_pylist()
    assert max(most) > 3 and ids == [f"folder-p{i}" for i in range(20)]


def test_a_slow_folder_is_read_by_several_at_once_and_shows_how_far_it_is(root, tmp_path):
    """In a process of its own, in which every open of a picture waits."""
    shown, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    here = Path(__file__).parent
    slow = f"{tmp_path / 'most'}:0.05:{root / 'photos'}"
    paths = f"{here / 'slow_folder'}:{here.parent}"
    command = [sys.executable, "-m", "synth", "import", "folder", "--root", root, "--out", tmp_path / "out"]
    subprocess.run(
        [*map(str, command), "--mapping", str(root / "mapping.yaml"), "--json"],
        env=os.environ | {"PYTHONPATH": paths, "VISIONCLIP_SLOW": slow},
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        check=True,
    )
    os.close(terminal)
    with open(shown, "rb") as screen:
        lines = screen.read1(2**16).decode().replace("\r", "\n").split("\n")
    assert any(line.startswith("reading") and "0/20" in line for line in lines), lines
    assert int((tmp_path / "most").read_text()) > 3


def test_a_network_folder_that_goes_away_loses_no_picture(root, monkeypatch):
    def away(path):
        if path.name == "p7.bmp":
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))

    monkeypatch.setattr(reading, "READERS", 1)
    monkeypatch.setattr(reading, "_CHUNK", 1)
    with monkeypatch.context() as broken:
        Reads(broken, away)
        with pytest.raises(
            UserError, match=r"p7\.bmp: cannot be read \(.*\); see that the folder is connected"
        ):
            load(root)
    reads = Reads(monkeypatch)
    assert load(root)["kept"] == 20 and len(reads.names) == 13


def test_an_input_that_cannot_be_read_is_no_failed_output(root, monkeypatch):
    def refused(path):
        if path.name == "p7.bmp":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    Reads(monkeypatch, refused)
    result = load(root)
    assert result["kept"] == 19 and [told["files"] for told in result["reasons"].values()] == [["p7.bmp"]]


def test_an_error_of_an_input_passes_through_what_is_being_written(tmp_path):
    error = PermissionError(errno.EACCES, "Permission denied", "/somewhere/else/x.jpg")
    with pytest.raises(PermissionError), atomic(tmp_path / "shard.parquet"):
        raise error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "number, words",
    [
        (errno.EACCES, "cannot be read (Permission denied); mend its permissions, or those of its folder"),
        (errno.EISDIR, "a folder, where a file is needed"),
        (errno.EIO, "cannot be reached (Input/output error); see that the disk or network folder is connected, and repeat the command"),
    ],
)  # fmt: skip
def test_an_unreadable_file_is_named_with_what_helps(tmp_path, monkeypatch, number, words):
    path = tmp_path / "x.jpg"
    path.touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    error = file_error(path, OSError(number, os.strerror(number), str(path)))
    assert isinstance(error, UserError) and str(error) == f"{path}: {words}"


def test_a_folder_that_cannot_be_written_is_still_called_so(tmp_path):
    path = tmp_path / "new.json"
    error = file_error(path, PermissionError(errno.EACCES, "Permission denied", str(path)))
    assert str(error) == f"{path}: cannot be written (Permission denied); choose another --out"


def test_records_of_an_earlier_version_are_refused_in_words(root):
    load(root)
    plan = root / "out" / "plan.json"
    plan.write_text(
        '{"kind": "import", "source": "folder", "root": "/x", "content": "0", "shares": [8, 1, 1]}'
    )
    with pytest.raises(
        UserError, match="imported by an earlier visionclip; its records can be used as they are"
    ):
        load(root)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["reading", "writing"])
def test_an_import_that_is_killed_by_the_system_ends_with_the_same_bytes(tmp_path, phase):
    """SIGKILL once a portion of pictures is kept, or once shards are being written."""
    folder = tmp_path / "set"
    (folder / "photos").mkdir(parents=True)
    for i in range(4400):
        (folder / "photos" / f"p{i}.bmp").write_bytes(picture(i))
    rows(folder / "t.csv", *map(line, range(4400)))
    (folder / "mapping.yaml").write_text(MAPPING.replace("  age: age\n", ""))
    whole, out = tmp_path / "whole", tmp_path / "killed"
    import_source("folder", folder, whole, mapping=folder / "mapping.yaml")
    begun = out / ".import" if phase == "reading" else out / "data"
    command = [sys.executable, "-m", "synth", "import", "folder", "--root", folder, "--out", out]
    command += ["--mapping", folder / "mapping.yaml"]
    killed = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not list(begun.glob("read-*.pq" if phase == "reading" else ".*")) and killed.poll() is None:
        time.sleep(0.002)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert entries.portions(out / ".import") and not (out / "import.json").exists()
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    shards = [path.relative_to(whole) for path in sorted((whole / "data").iterdir())]
    assert shards == [path.relative_to(out) for path in sorted((out / "data").iterdir())]
    assert all((whole / name).read_bytes() == (out / name).read_bytes() for name in shards)
    assert (whole / "import.json").read_bytes() == (out / "import.json").read_bytes()
