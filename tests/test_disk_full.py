"""A disk that is full, or a file that may not grow: one line, whoever writes."""

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import folder
from typer.testing import CliRunner

from clip.export import export
from clip.inputs import opened
from clip.model import checkpoints
from clip.model.encoders import ClipConfig, ImageTower, TextTower, build
from clip.training.decoding import squares
from synth.base import arrays, checkpoint, command, disk_errors, weights
from synth.base.errors import UserError
from synth.data.images import Preprocessing


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """While it lasts, the system lets no file grow beyond `size` bytes: the error of a full disk but for its number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def model(name: str = "resnet50_clip") -> ClipConfig:
    kwargs = {"img_size": 32, "patch_size": 16, "depth": 1, "embed_dim": 64, "num_heads": 1}
    image = (
        ImageTower(name=name, kwargs=kwargs)
        if name.startswith("vit")
        else ImageTower(layers=(1, 1, 1, 1), width=8)
    )
    text = TextTower(layers=1, width=64, heads=1, feedforward=64, positions=64)
    return ClipConfig(image=image, text=text, embedding=32, preprocessing=Preprocessing(size=32))


def test_an_array_is_refused_before_it_is_filled(tmp_path):
    """A file of holes that is mapped would be written to until a signal ends the process."""
    filled = []
    with (
        small_files(100_000),
        pytest.raises(UserError, match=r"a\.npy: larger than a file may be there; raise"),
    ):
        arrays.write_mapped(tmp_path / "a.npy", (1000, 1000), np.uint8, filled.append)
    assert not filled and not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [
    lambda path: checkpoint.save(path, {"weights": torch.zeros(1000_000)}),
    lambda path: weights.write(path, {"weights": torch.zeros(1000_000)}),
])  # fmt: skip
def test_weights_that_do_not_fit_are_one_line_and_leave_nothing(write, tmp_path):
    with small_files(100_000), pytest.raises(UserError, match=r"file: larger than a file may be there"):
        write(tmp_path / "file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["resnet50_clip", "vit_base_patch16_clip_quickgelu_224"])
def test_an_export_that_does_not_fit_is_one_line(name, tmp_path):
    config = model(name)
    checkpoint.save(
        tmp_path / "ckpt.pt", checkpoints.header(build(config)) | {"weights": build(config).state_dict()}
    )
    with small_files(200_000), pytest.raises(UserError, match=r"larger than a file may be there"):
        export(tmp_path / "ckpt.pt", tmp_path / "out", "hf")


def test_what_would_not_fit_is_told_before_work_begins(tmp_path):
    with pytest.raises(UserError, match=r"needs 1e\+09 GB, and .* GB are free; set decode=always"):
        disk_errors.check_room(tmp_path / "new" / "cache.npy", 10**18, "set decode=always")


def test_pictures_that_would_not_fit_are_told_before_one_is_decoded(tmp_path):
    source = opened(folder(tmp_path / "records", 10))
    enormous = Preprocessing(size=64).model_copy(update={"size": 2**26})
    with pytest.raises(UserError, match=r"GB are free; .* or set decode=always"):
        squares(source, "train", enormous, tmp_path / "cache", "once", 0)


def test_exported_weights_can_be_read_by_whoever_may_read_the_rest(tmp_path):
    for name in ("resnet50_clip", "vit_base_patch16_clip_quickgelu_224"):
        made = build(model(name))
        checkpoint.save(tmp_path / "ckpt.pt", checkpoints.header(made) | {"weights": made.state_dict()})
        export(tmp_path / "ckpt.pt", tmp_path / name, "hf")
        modes = {path.stat().st_mode for path in (tmp_path / name).rglob("*") if path.is_file()}
        assert modes == {(tmp_path / "ckpt.pt").stat().st_mode}, name


def test_words_of_libraries_that_tell_of_another_error_are_left_alone(tmp_path: Path):
    with pytest.raises(RuntimeError, match="os error 2"), disk_errors.writing(tmp_path):
        raise RuntimeError("no such file (os error 2)")


@pytest.mark.parametrize(
    "error, words",
    [
        (MemoryError(), "not enough memory; lower batch"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] can't allocate memory: 4 bytes"), "not enough memory"),
        (RuntimeError("could not create a primitive"), "not enough memory"),
        (OSError(errno.EMFILE, "Too many open files", "x"), "too many files are open; raise the limit"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x"), "a longer name than the disk takes"),
    ],
)
def test_what_a_machine_has_too_little_of_is_one_line(error, words):
    app = command.command("synth", "x")

    @app.command()
    def work() -> None:
        raise error

    @app.command()
    def rest() -> None:
        pass

    result = CliRunner().invoke(app, ["work"])
    assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1
