"""Imports run down, and nobody else may own the name `clip`."""

import ast
import re
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("synth", "clip", "privacy")

ALLOWED = {
    "synth.base": {"synth.base"},
    "synth.data": {"synth.base", "synth.data"},
    "synth.sources": {"synth.base", "synth.data", "synth.sources"},
    "synth": {"synth.base", "synth.data", "synth.sources", "synth"},
    "clip": {"synth.base", "synth.data", "synth.sources", "clip"},
    "privacy": {"synth.base", "synth.data", "privacy"},
    # The top of the house meets generators and encoders through one door.
    "privacy.targets": {"synth.base", "synth.data", "synth.sources", "synth", "clip", "privacy"},
}
"""What each room may import; a room's name is the longest of these that a module's name begins with."""


class Import(NamedTuple):
    """One import statement: the module it stands in, what it imports, and whether it runs on import."""

    module: str
    target: str
    line: int
    at_top: bool


def room(module: str) -> str:
    """The longest key of `ALLOWED` that holds `module`."""
    return max((name for name in ALLOWED if f"{module}.".startswith(f"{name}.")), key=len)


def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(module: str, path: Path) -> list[Import]:
    """Every import in a file, those inside functions too."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # from . import x
                here = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
                base = ".".join(here[: len(here) - node.level + 1] + ([base] if base else []))
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [Import(module, name, node.lineno, id(node) not in inner) for name in names]
    return found


@cache
def all_imports() -> tuple[Import, ...]:
    return tuple(found for module, path in modules().items() for found in imports_of(module, path))


def ours() -> list[Import]:
    return [found for found in all_imports() if found.target.split(".")[0] in PACKAGES]


def test_imports_run_down():
    wrong = [
        f"{found.module}:{found.line} imports {found.target}"
        for found in ours()
        if room(found.target).removesuffix(".targets") not in ALLOWED[room(found.module)]
    ]
    assert wrong == []


def test_the_audit_loads_its_targets_lazily():
    """`privacy --help` must not pay for the encoder; targets.py imports it inside functions."""
    eager = [
        f"{found.module}:{found.line} imports {found.target}"
        for found in ours()
        if found.module == "privacy.targets" and found.at_top and room(found.target) in ("clip", "synth")
    ]
    assert eager == []


@pytest.mark.parametrize("module, target", [("synth.base.runs", "synth.sampling.plan"), ("clip.training.batches", "synth.sampling.plan"),
                                            ("privacy.auditing", "clip.model.encoders")])  # fmt: skip
def test_an_arrow_that_runs_up_would_be_seen(module, target):
    assert room(target) not in ALLOWED[room(module)]


def test_a_relative_import_is_seen(tmp_path):
    path = tmp_path / "zeroshot.py"
    path.write_text("def f():\n    from ..privacy import cli\n")
    assert imports_of("clip.zeroshot", path) == [Import("clip.zeroshot", "privacy.cli", 2, False)]


def test_nothing_in_clip_is_mistaken_for_another_clip():
    """OpenAI's CLIP installs clip/clip.py, model.py and simple_tokenizer.py under the same name."""
    taken = {"clip.py", "model.py", "simple_tokenizer.py", "utils.py"}
    assert {path.name for path in (ROOT / "clip").rglob("*.py")} & taken == set()


def test_nothing_depends_on_clip_having_been_initialised():
    init = ROOT / "clip" / "__init__.py"
    body = ast.parse(init.read_text(encoding="utf-8")).body if init.exists() else []
    assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


def test_no_dependency_brings_a_second_clip():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(line for extra in extras for line in extra)]
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    names = {re.split(r"[\[<>=~! ]", line)[0].lower() for line in [*wanted, *pinned]}
    assert names & {"clip", "clip-anytorch", "openai-clip", "k-diffusion"} == set()


def test_every_imported_library_is_declared():
    """What is imported must be asked for in pyproject.toml, not merely be there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    declared = {re.split(r"[\[<>=~! ]", line)[0].lower() for line in lines}
    owners = packages_distributions()
    undeclared = set()
    for found in all_imports():
        top = found.target.split(".")[0]
        if top in PACKAGES or top not in owners:
            continue
        if not {name.lower().replace("_", "-") for name in owners[top]} & declared:
            undeclared.add(f"{found.module} imports {top}")
    assert undeclared == set()


def test_every_data_file_goes_into_the_wheel():
    """What package-data does not name is there in a checkout and missing after installation."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    forgotten = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
        if not any(path.match(pattern) for pattern in settings["package-data"][package])
    ]
    assert forgotten == []


def test_there_is_no_drawer_for_odds_and_ends():
    drawers = {"utils", "misc", "common", "helpers", "manager"}
    assert [name for name in modules() if set(name.split(".")) & drawers] == []
