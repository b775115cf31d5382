"""Imports run down, and nobody else may own the name `clip`."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest
from syntax import PACKAGES, ROOT, modules, tree

from synth.base.config import Config

ALLOWED = {
    "synth.base": {"synth.base"},
    "synth.data": {"synth.base", "synth.data"},
    "synth.sources": {"synth.base", "synth.data", "synth.sources"},
    "synth.phantom": {"synth.base", "synth.data", "synth.phantom"},
    "synth.anatomy": {"synth.base", "synth.data", "synth.phantom", "synth.anatomy"},
    "synth": {"synth.base", "synth.data", "synth.sources", "synth.phantom", "synth.anatomy", "synth"},
    "clip": {
        "synth.base",
        "synth.data",
        "synth.sources",
        "synth.phantom",
        "synth.anatomy",
        "clip",
        "clip.apps.synthesis",
    },
    # The page draws with the generator that ships, and meets it through one door.
    "clip.apps.synthesis": {"synth.base", "synth.data", "synth.phantom", "synth", "clip"},
    "privacy": {"synth.base", "synth.data", "synth.phantom", "privacy"},
    # The top of the house meets generators and encoders through one door.
    "privacy.targets": {
        "synth.base",
        "synth.data",
        "synth.sources",
        "synth.phantom",
        "synth",
        "clip",
        "privacy",
    },
}
"""What each room may import; a room's name is the longest of these that a module's name begins with."""


class Import(NamedTuple):
    """One import statement: the module it stands in, what it imports, and whether it runs on import or never."""

    module: str
    target: str
    line: int
    at_top: bool
    for_types: bool = False
    """Under `if TYPE_CHECKING`."""


def room(module: str) -> str:
    """The longest key of `ALLOWED` that holds `module`."""
    return max((name for name in ALLOWED if f"{module}.".startswith(f"{name}.")), key=len)


def imports_of(module: str, path: Path) -> list[Import]:
    """Every import in a file, those inside functions too."""
    nodes = list(ast.walk(tree(path)))
    inner = {
        id(node)
        for function in nodes
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    typed = {
        id(node)
        for branch in nodes
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    found = []
    for node in nodes:
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
        found += [
            Import(module, name, node.lineno, id(node) not in inner, id(node) in typed) for name in names
        ]
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


def folder_of(module: str) -> str:
    """The folder that a module stands in; a module directly in a package, such as `synth.pipeline`, is a room of its own."""
    path = modules()[module]
    folder = ".".join(path.parent.relative_to(ROOT).parts)
    return module if folder in PACKAGES else folder


def arrows() -> Iterator[tuple[str, str]]:
    """Which module of ours imports which, inside functions too, but not for types alone."""
    known = modules()
    for found in ours():
        target = found.target if found.target in known else found.target.rpartition(".")[0]
        if not found.for_types:
            yield found.module, target


def circle(edges: set[tuple[str, str]]) -> list[str]:
    """One circle among `edges`, or nothing."""
    graph: dict[str, set[str]] = {}
    for source, target in edges:
        if source != target:
            graph.setdefault(source, set()).add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_circle_between_modules():
    assert circle(set(arrows())) == []


def test_no_circle_between_folders():
    assert circle({(folder_of(source), folder_of(target)) for source, target in arrows()}) == []


def test_a_circle_would_be_seen():
    assert circle({("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")})
    assert circle({("a", "b"), ("b", "c"), ("a", "c")}) == []


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
    """OpenAI's CLIP installs a clip/__init__.py too: ours is a lazy door for users, and no module of ours goes through it."""
    through = [f"{found.module}:{found.line} imports {found.target}" for found in ours()
               if found.target.startswith("clip.") and found.target.count(".") == 1
               and found.target not in modules() and found.module != "clip"]  # fmt: skip
    assert through == []
    init = ROOT / "clip" / "__init__.py"
    eager = [
        found.target
        for found in imports_of("clip", init)
        if found.target.split(".")[0] not in ("importlib", "typing")
    ]
    assert set(eager) <= {"clip.api.Encoder", "clip.api.load", "clip.apps.predict.Classifier"}
    for node in tree(init).body:
        if isinstance(node, ast.If):  # what is imported eagerly is for type checkers alone
            assert ast.unparse(node.test) == "TYPE_CHECKING"
        else:
            assert not isinstance(node, ast.ImportFrom) or node.module in ("importlib", "typing")


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


def test_every_dependency_is_imported():
    """A library that nothing imports is not asked for; those listed are used by their name on a command line or by another."""
    by_name = {
        "ruff",
        "visionclip",  # the extras that tests need
        "pytest",
        "pytest-timeout",
        "pytest-xdist",
        "pyright",
        "pip-audit",
        "mkdocs-material",
        "mkdocstrings",
    }
    indirect = {"accelerate", "starlette", "wandb", "onnxscript", "tensorboard", "ipykernel"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    declared = {re.split(r"[\[<>=~! ]", line)[0].lower() for line in lines}
    names = {
        "ray": "ray",
        "open-clip-torch": "open_clip",
        "python-stdnum": "stdnum",
        "pyyaml": "yaml",
        "scikit-learn": "sklearn",
        "pillow": "PIL",
        "clean-fid": "cleanfid",
        "python-gdcm": "gdcm",
    }
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in (*PACKAGES, "tests", "benchmarks", "examples")
        for path in (ROOT / folder).rglob("*.py")
    )
    imported = set(re.findall(r"^\s*(?:import|from)\s+([A-Za-z_0-9]+)", text, re.MULTILINE))
    unused = {
        name
        for name in declared - by_name - indirect
        if names.get(name, name.replace("-", "_")) not in imported
    }
    assert unused == set()


def test_every_setting_is_in_the_reference():
    """Each class of settings stands in docs/reference.md, which is made of their docstrings."""
    for module, path in modules().items():
        if "Config" in path.read_text(encoding="utf-8") and not module.endswith("__main__"):
            import_module(module)
    kinds, fresh = set(), {Config}
    while fresh:
        fresh = {each for kind in fresh for each in kind.__subclasses__()} - kinds
        kinds |= fresh
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    printed = {"BenchmarkSummary", "Exposure", "Overview"}  # what `clip benchmarks` prints is no setting
    names = sorted(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in kinds
        if kind.__module__ in modules() and kind.__name__ not in printed
    )
    assert [name for name in names if f"::: {name}\n" not in page] == []


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


def test_what_crosses_packages_is_typed():
    """No public function whose signature says `dict[str, Any]` is used by another package."""
    untyped: dict[str, set[str]] = {}
    for module, path in modules().items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                returns = ast.unparse(node.returns) if node.returns else ""
                if "dict[str, Any]" in ast.unparse(node.args) + returns:
                    untyped.setdefault(module, set()).add(node.name)
    found = []
    for module, path in modules().items():
        names = {each.target.rpartition(".")[2]: each.target for each in imports_of(module, path)}
        used = {(target.rpartition(".")[0], name) for name, target in names.items()}
        used |= {
            (names[node.value.id], node.attr)
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names
        }
        package = module.partition(".")[0]
        found += [
            f"{module} uses {home}.{name}"
            for home, name in used
            if home.partition(".")[0] != package and name in untyped.get(home, ())
        ]
    assert found == []
