"""What is installed: a bill of materials that names all of it, and advisories that fail a check only where an update mends them."""

import json
import re
import tomllib
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import advisories
import pytest
import sbom
from cyclonedx.output.json import JsonV1Dot6
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def test_the_bill_of_materials_names_what_is_installed_and_what_requires_it():
    made = json.loads(JsonV1Dot6(sbom.bill()).output_as_string())
    found = {each["name"]: each for each in made["components"]}
    assert made["specVersion"] == "1.6"
    assert found["torch"]["version"] == version("torch")
    assert found["torch"]["purl"] == f"pkg:pypi/torch@{version('torch')}"
    requires = {each["ref"]: each.get("dependsOn", []) for each in made["dependencies"]}
    assert found["torch"]["bom-ref"] in requires[found["torchvision"]["bom-ref"]]


def test_every_version_that_is_pinned_has_the_hashes_of_its_files():
    pinned = set(
        re.findall(r"^[\w.-]+==[^\s;]+", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    )
    locked = (ROOT / "locks" / "hashes.txt").read_text("utf-8")
    hashed = set(re.findall(r"^([\w.-]+==[^\s;]+).*\n    --hash=sha256:[0-9a-f]{64}", locked, re.MULTILINE))
    # make installs uv by pip; lmdb depends on who installs (constraints.txt)
    assert {each for each in pinned - hashed if not each.startswith("uv==")} == set()
    assert {each.split("==")[0] for each in hashed - pinned} == {"lmdb"}


def test_a_lower_bound_is_a_version_that_the_lowest_lock_tests():
    """But of lmdb, whose 1.3 is what cn-clip pins, and of wandb, which nothing here can ask."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "locks" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if "==" in line)
    untested = {"lmdb", "wandb", "visionclip"}
    for line in chain(project["dependencies"], *project["optional-dependencies"].values()):
        asked = Requirement(line)
        for bound in (
            each for each in asked.specifier if each.operator == ">=" and asked.name not in untested
        ):
            assert Requirement(f"x=={bound.version}").specifier.contains(tested[asked.name]), (
                f"{line} and {tested[asked.name]}"
            )


@pytest.mark.parametrize(
    "package, status, words",
    [
        ({"vulns": [{"id": "PYSEC-1", "fix_versions": ["2.0"]}]}, 1, "mended in 2.0; raise it in constraints.txt"),
        ({"vulns": [{"id": "PYSEC-1", "fix_versions": []}]}, 0, "no version mends it yet"),
        ({"vulns": []}, 0, "1 packages looked up, 0 advisories"),
        ({"skip_reason": "not found"}, 0, "not looked up"),
    ],
)  # fmt: skip
def test_an_advisory_fails_the_check_where_an_update_mends_it(package, status, words, capsys):
    assert advisories.told({"dependencies": [{"name": "x", "version": "1.0"} | package]}) == status
    assert words in capsys.readouterr().out


def test_without_a_network_it_is_said_and_no_failure(monkeypatch, capsys):
    program = "import sys; sys.exit('ConnectionError: no route to host')"
    monkeypatch.setattr(advisories, "_COMMAND", (advisories.sys.executable, "-c", program))
    assert advisories.main() == 0
    assert capsys.readouterr().out == "advisories: not looked up (ConnectionError: no route to host)\n"
