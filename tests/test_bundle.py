"""What a machine without internet installs from: what is packed, for whom, and what its installer refuses."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import bundle
import pytest

from synth.base.errors import UserError

TARGET = bundle.Target(f"{sys.version_info.major}.{sys.version_info.minor}", "manylinux_2_28_x86_64")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A slim bundle whose only wheel is a stand-in for the project's, of three commands."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "standing_in.py").write_text("def main():\n    pass\n")
    scripts = "".join(f'{name} = "standing_in:main"\n' for name in ("synth", "clip", "privacy"))
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "visionclip"\nversion = "9.9"\n[tool.setuptools]\npy-modules = ["standing_in"]\n'
        f"[project.scripts]\n{scripts}"
    )
    made = tmp_path / "bundle"
    (made / "wheels").mkdir(parents=True)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*build, "--wheel-dir", made / "wheels", package], check=True)
    (wheel,) = (made / "wheels").iterdir()
    bundle.write_installer(made, TARGET, wheel, [], slim=True)
    bundle.write_checksums(made)
    return made


def install(folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", folder / "install.sh", *map(str, arguments)]
    given = os.environ | {"PYTHON": sys.executable, "PIP_INDEX_URL": "http://127.0.0.1:9/"} | environment
    return subprocess.run(command, capture_output=True, text=True, env=given)


def test_the_installer_needs_no_index(folder, tmp_path):
    done = install(folder, tmp_path / "there")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there/bin/synth").exists() and "visionclip is installed" in done.stdout


def test_a_checkout_on_pythonpath_does_not_pass_for_what_is_installed(folder, tmp_path):
    (wheel,) = (folder / "wheels").iterdir()
    with zipfile.ZipFile(wheel) as content:
        content.extractall(tmp_path / "checkout")
    done = install(folder, tmp_path / "there", PYTHONPATH=str(tmp_path / "checkout"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there/bin/synth").exists()


def test_a_damaged_bundle_installs_nothing(folder, tmp_path):
    (wheel,) = (folder / "wheels").iterdir()
    wheel.write_bytes(wheel.read_bytes()[:-1])
    done = install(folder, tmp_path / "there")
    assert done.returncode == 2 and f"install.sh: {folder} is damaged; copy it again\n" in done.stderr
    assert not (tmp_path / "there").exists()


def test_another_python_is_refused(folder, tmp_path):
    script = folder / "install.sh"
    other = script.read_text().replace(TARGET.python, "3.99")
    script.write_text(other)
    bundle.write_checksums(folder)
    done = install(folder, tmp_path / "there")
    assert done.returncode == 2 and "has another Python than 3.99" in done.stderr
    done = install(folder, tmp_path / "elsewhere", PYTHON="python3.99")
    assert done.returncode == 2 and "no python3.99 here; name it: PYTHON=/path/to/python3.99" in done.stderr


def test_an_old_machine_takes_fewer_wheels_than_a_new_one():
    old, new = (bundle.Target("3.12", f"manylinux_2_{glibc}_x86_64").platforms for glibc in (17, 28))
    assert set(old) < set(new) and "manylinux2014_x86_64" in old and "manylinux_2_28_x86_64" not in old


@pytest.mark.parametrize("platform", ["linux_x86_64", "manylinux_2_28_riscv", "win_amd64", "../x"])
def test_a_platform_that_is_none_is_refused(platform, tmp_path):
    with pytest.raises(
        UserError, match=re.escape(f"--platform {platform}: write it as manylinux_2_28_x86_64")
    ):
        bundle.make(
            tmp_path, bundle.Target("3.12", platform), [], bundle.ROOT / "constraints.txt", None, True
        )
    assert list(tmp_path.iterdir()) == []


def test_the_demo_of_a_bundle_finds_its_configs(tmp_path):
    bundle.copy_examples(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"examples", "configs"}
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink() or path.name == "__pycache__"]
    line = [sys.executable, "examples/demo/run.py", "--help"]
    assert "--out" in subprocess.run(line, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert (tmp_path / "configs/synth/fundus256.yaml").is_file()


@pytest.mark.slow
def test_the_pages_of_a_bundle_have_no_search_that_a_browser_refuses_on_a_disk(tmp_path):
    bundle.document(tmp_path / "docs")
    assert "md-search" not in (tmp_path / "docs/index.html").read_text()
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".map" or "lunr." in path.name]
    assert not (tmp_path / "docs/search").exists()
