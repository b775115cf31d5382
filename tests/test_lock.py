"""One writer a folder: a second is refused, one that is gone is not waited for."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from synth.base import lock
from synth.base.errors import UserError
from synth.base.lock import sole_writer

HOLD = "import sys, pathlib; from synth.base.lock import sole_writer\nwith sole_writer(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"


def other(folder: Path) -> subprocess.Popen:
    """Another process that holds the folder until its input ends."""
    made = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert made.stdout is not None and made.stdout.readline() == b"held\n"
    return made


def test_a_second_writer_is_refused_and_a_killed_one_is_forgotten(tmp_path):
    first = other(tmp_path / "run")
    with (
        pytest.raises(UserError, match=rf"process {first.pid} on .* writes there; wait for it, stop it"),
        lock.sole_writer(tmp_path / "run"),
    ):
        pass
    assert (tmp_path / "run" / lock.FILE).exists()
    first.kill()
    first.communicate()
    with lock.sole_writer(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / lock.FILE).read_text())["process"] == os.getpid()
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


def write(folder: Path, silent: float = 0, **changes: object) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / lock.FILE
    path.write_text(json.dumps(lock._identity() | changes))
    then = path.stat().st_mtime - silent
    os.utime(path, (then, then))


def test_a_number_that_another_process_has_now_is_no_writer(tmp_path):
    write(tmp_path, started="1")
    with lock.sole_writer(tmp_path):
        pass


@pytest.mark.parametrize("machine", ["elsewhere", None])
def test_a_writer_elsewhere_lives_as_long_as_it_gives_signs(machine, tmp_path):
    write(tmp_path, silent=60, machine=machine, host="node7")
    with pytest.raises(UserError, match="on node7"), lock.sole_writer(tmp_path):
        pass
    write(tmp_path, silent=3600, machine=machine, host="node7")
    with lock.sole_writer(tmp_path):
        pass
    assert not (tmp_path / lock.FILE).exists()


def test_a_lock_that_is_no_json_holds_until_it_is_old(tmp_path):
    (tmp_path / lock.FILE).write_text("half")
    with pytest.raises(UserError, match="another process writes there"), lock.sole_writer(tmp_path):
        pass
    os.utime(tmp_path / lock.FILE, (0, 0))
    with lock.sole_writer(tmp_path):
        pass


def test_a_refused_command_leaves_no_folder(tmp_path):
    with pytest.raises(UserError, match="x"), lock.sole_writer(tmp_path / "new"):
        raise UserError("x")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_nobody_can_write_to_needs_no_lock(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with sole_writer(tmp_path):
            assert not list(tmp_path.iterdir())
    finally:
        tmp_path.chmod(0o700)


def test_a_disk_that_is_mounted_read_only_needs_no_lock(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", refused)
    with sole_writer(tmp_path):
        assert not list(tmp_path.iterdir())
