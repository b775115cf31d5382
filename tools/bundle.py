"""One folder to install visionclip from without internet: wheels, documentation as HTML, examples, `install.sh`, checksums.

    python tools/bundle.py --out dist --python 3.12 --platform manylinux_2_28_x86_64

The two generators that ship are within the project's wheel.  With `--slim` the folder lacks what a GPU node has: `HOST`
and all that it brings in.  Needs uv, pip and mkdocs, as `make bundle` installs them.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from synth.base.errors import UserError

ROOT = Path(__file__).parent.parent
HOST = (
    "accelerate", "matplotlib", "numpy", "pillow", "pyarrow", "scikit-learn", "scipy", "statsmodels", "timm", "torch",
    "torchvision", "transformers",
)  # fmt: skip
"""What a machine that trains networks has; `--slim` leaves it and its dependencies out."""
KEPT = ("pydantic", "typer")
"""Packed all the same: some versions of `HOST` bring them in, and some do not."""
_CUDA = re.compile(r"(nvidia|cuda|triton)\b")
"""Names of what torch's build with CUDA brings in, and its build without does not."""
_SOURCE_ONLY = ("jieba", "jsonpath-rw")
"""Without a wheel, pure Python: one is built here."""


class Target(NamedTuple):
    """The machine that a bundle is for."""

    python: str
    """3.12, for example."""
    platform: str
    """`manylinux_MAJOR_MINOR_ARCHITECTURE`, by the oldest glibc that it may have."""

    @property
    def platforms(self) -> list[str]:
        """Tags of wheels that it takes, newest first."""
        glibc, architecture = self._parts()
        tags = [f"manylinux_2_{minor}_{architecture}" for minor in range(glibc, 4, -1)]
        older = [
            f"manylinux{name}_{architecture}"
            for name, minor in (("2014", 17), ("2010", 12), ("1", 5))
            if minor <= glibc
        ]
        return [*tags, *older, f"linux_{architecture}"]

    @property
    def uv_platform(self) -> str:
        """Its name to uv."""
        glibc, architecture = self._parts()
        return f"{architecture}-manylinux_2_{glibc}"

    def _parts(self) -> tuple[int, str]:
        match = re.fullmatch(r"manylinux_2_(\d+)_(x86_64|aarch64)", self.platform)
        if not match:
            raise UserError(
                f"--platform {self.platform}: write it as manylinux_2_28_x86_64 or manylinux_2_28_aarch64"
            )
        return int(match[1]), match[2]


def make(
    out: Path, target: Target, extras: list[str], constraints: Path, torch_index: str | None, slim: bool
) -> Path:
    """Write the folder below `out` and return it.

    Args:
        extras:      of the package, for example `evaluate`.
        constraints: versions of what is packed.
        torch_index: where torch without CUDA comes from; null is the build that the index offers.

    Raises:
        UserError: a wheel is not to be had, or the folder is there.
    """
    kind = "slim" if slim else "cpu" if torch_index else "full"
    folder = out / f"visionclip-{kind}-py{target.python}-{target.uv_platform}"
    if folder.exists():
        raise UserError(f"{folder}: is there; remove it, or choose another --out")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".bundle-") as temporary:
        made = Path(temporary) / "bundle"
        wheels = made / "wheels"
        wheels.mkdir(parents=True)
        pinned = pins(target, extras, constraints, slim, without_cuda=torch_index is not None)
        fetch(pinned, wheels, target, torch_index)
        shutil.rmtree(ROOT / "build", ignore_errors=True)  # setuptools packs what an earlier build left there
        project = build(".", wheels)
        document(made / "docs")
        copy_examples(made)
        write_installer(made, target, project, extras, slim)
        write_checksums(made)
        made.rename(folder)
    return folder


def pins(target: Target, extras: list[str], constraints: Path, slim: bool, without_cuda: bool) -> list[str]:
    """`name==version` of every library to pack."""
    wanted = _compiled("pyproject.toml", target, constraints, [f"--extra={extra}" for extra in extras])
    left_out: set[str] = set()
    if slim:
        left_out = _names(HOST, target, constraints) - _names(KEPT, target, constraints)
    return [
        line
        for line in wanted
        if _name(line) not in left_out and not (without_cuda and _CUDA.match(_name(line)))
    ]


def fetch(pinned: list[str], wheels: Path, target: Target, torch_index: str | None) -> None:
    """Download the wheels that the target takes; build those of pure Python that have none."""
    from_source = [line for line in pinned if _name(line) in _SOURCE_ONLY]
    special = [line for line in pinned if torch_index and _name(line) in ("torch", "torchvision")]
    rest = [line for line in pinned if line not in {*from_source, *special}]
    tags = [f"--platform={tag}" for tag in target.platforms]
    fixed = ["--no-deps", "--only-binary=:all:", f"--python-version={target.python}", "--implementation=cp", *tags, f"--dest={wheels}"]  # fmt: skip
    if special:
        _pip("download", *fixed, f"--index-url={torch_index}", *special)
    _pip("download", *fixed, *rest)
    for line in from_source:
        build(line, wheels)


def build(what: str, wheels: Path) -> Path:
    """Build the wheel of a requirement, or of `.`, which must be one for every machine.

    Raises:
        UserError: it is for this machine alone.
    """
    before = set(wheels.iterdir())
    _pip("wheel", "--no-deps", f"--wheel-dir={wheels}", what)
    (made,) = set(wheels.iterdir()) - before
    if not made.name.endswith("-none-any.whl"):
        raise UserError(f"{made.name}: was built for this machine alone; leave its extra out")
    return made


def document(folder: Path) -> None:
    """The pages as HTML that a browser opens from the disk, where it may not read an index: without search."""
    os.environ["SEARCH"] = "false"  # as mkdocs.yml asks for it
    _run("mkdocs", sys.executable, "-m", "mkdocs", "build", "--quiet", "--no-directory-urls", "--site-dir", str(folder.absolute()))  # fmt: skip
    scripts = folder / "assets" / "javascripts"
    for path in [
        *folder.rglob("*.map"),
        *(scripts / "lunr").rglob("*.js"),
        *(scripts / "workers").glob("*.js"),
    ]:
        path.unlink()  # for who mends the theme, and for the search


def copy_examples(folder: Path) -> None:
    """`examples/`, the demo among them, and the `configs/` that it names."""
    for name in ("examples", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))


def write_installer(folder: Path, target: Target, project: Path, extras: list[str], slim: bool) -> None:
    """Write `install.sh`."""
    version = project.name.split("-")[1]
    wanted = f"visionclip[{','.join(extras)}]=={version}" if extras else f"visionclip=={version}"
    text = (Path(__file__).parent / "install.sh").read_text(encoding="utf-8")
    for name, value in (
        ("@PYTHON@", target.python),
        ("@WANTED@", wanted),
        ("@OPTIONS@", "--system-site-packages" if slim else ""),
    ):
        text = text.replace(name, value)
    path = folder / "install.sh"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def write_checksums(folder: Path) -> None:
    """Write `SHA256SUMS` of every file, as sha256sum reads it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in paths
    ]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def size(folder: Path) -> float:
    """Of all files, in MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _compiled(what: str, target: Target, constraints: Path, options: list[str]) -> list[str]:
    given = ["--quiet", "--no-annotate", "--no-header", f"--constraints={constraints}", f"--python-version={target.python}",
             f"--python-platform={target.uv_platform}"]  # fmt: skip
    printed = _run("uv", str(Path(sys.executable).parent / "uv"), "pip", "compile", *given, *options, what)
    return [line.partition(";")[0].strip() for line in printed.splitlines() if "==" in line]


def _names(requirements: tuple[str, ...], target: Target, constraints: Path) -> set[str]:
    """These and all that they bring in."""
    with tempfile.NamedTemporaryFile("w", suffix=".in") as file:
        file.write("\n".join(requirements))
        file.flush()
        return {_name(line) for line in _compiled(file.name, target, constraints, [])}


def _name(pin: str) -> str:
    return pin.partition("==")[0].lower()


def _pip(*arguments: str) -> None:
    _run("pip", sys.executable, "-m", "pip", arguments[0], "--quiet", *arguments[1:])


def _run(name: str, *command: str) -> str:
    """What a command prints, run in the project's folder."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["it says nothing"]
        told = next((line for line in lines if "ERROR" in line or "×" in line), lines[-1])
        raise UserError(f"{name} ended with status {done.returncode} ({told.strip()}); mend that and repeat")
    return done.stdout


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("dist"), help="the bundle becomes a folder in it")
    parser.add_argument("--python", default="3.11", help="of the machine that it is for")
    parser.add_argument(
        "--platform", default="manylinux_2_28_x86_64", help="of that machine, by its oldest glibc"
    )
    parser.add_argument("--extra", action="append", default=[], help="an extra of the package; may repeat")
    parser.add_argument(
        "--constraints", type=Path, default=ROOT / "constraints.txt", help="versions of what is packed"
    )
    parser.add_argument("--torch-index", help="where torch without CUDA comes from")
    parser.add_argument("--slim", action="store_true", help="leave out what a GPU node has")
    given = parser.parse_args(arguments)
    target = Target(given.python, given.platform)
    try:
        folder = make(
            given.out.absolute(),
            target,
            given.extra,
            given.constraints.absolute(),
            given.torch_index,
            given.slim,
        )
    except UserError as error:
        print(f"bundle: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{folder}: {size(folder):.1f} MB; there: sh install.sh ENVIRONMENT")


if __name__ == "__main__":
    main()
