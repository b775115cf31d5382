"""Every documented verb answers `--help` at once, with its flags and an example."""

import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
from typer.testing import CliRunner

FLAGS = {
    "synth import": "--root --out --list --mapping --suggest",
    "synth phantom": "--n --out --masks",
    "synth train": "--data --out --config --set --dp-epsilon --dp-delta",
    "synth generate": "--n --model --out --seed --labels --steps --guidance --format --engine --shards --marks --dry-run",
    "synth distill": "--model --data --out --steps --config --set",
    "synth evaluate": "--data --real --out --size --features --config --set --show-training-photographs",
    "synth verify": "",
    "synth push": "--repo --private --licence --dry-run",
    "synth preview": "--out",
    "clip train": "--data --out --config --set",
    "clip doctor": "--data --split --json",
    "clip eval": "--model --data --benchmark --root --partial --task --lang --prompts --by --out",
    "clip compare": "--out --json",
    "clip benchmarks": "--json",
    "clip embed": "--model --data --out --split",
    "clip predict": "--model --lang --saliency --finding --json",
    "clip search": "--model --embeddings --k --sheet --data --json",
    "clip demo": "--model --port --browser",
    "clip export": "--out --to --config",
    "clip push": "--repo --licence --private --dry-run",
    "privacy audit": "--model --members --nonmembers --attackers --synthetic --attributes --out",
    "privacy canary plant": "--data --out --key --share --seed",
    "privacy canary score": "--key --members --out --generator --synthetic --model",
    "privacy power": "--patients --attacks --rate --power --json",
    "privacy selftest": "--seed --json",
    "privacy checklist": "--out --synthetic --generator --quality --evaluation --json",
}
"""The command lines that scripts, documents and tests rely on."""

PROBE = """
import json, sys
from importlib import import_module
from typer.testing import CliRunner
app = import_module(sys.argv[1] + ".commands.app").app
pages = {verb: CliRunner().invoke(app, [*verb.split(), "--help"]).output for verb in sys.argv[2:]}
print(json.dumps({"pages": pages, "loaded": list(sys.modules)}))
"""

HEAVY = {"torch", "torchvision", "pandas", "sklearn", "scipy", "pyarrow", "matplotlib", "transformers",
         "diffusers", "datasets", "timm", "accelerate", "statsmodels", "cn_clip", "jieba", "gradio", "onnx", "onnxruntime", "yaml"}  # fmt: skip


@cache
def help_of(command: str) -> dict[str, Any]:
    """The help pages of one command, asked for in a process of its own, and what that loaded."""
    verbs = ["", *(name.removeprefix(f"{command} ") for name in FLAGS if name.startswith(f"{command} "))]
    probe = [sys.executable, "-c", PROBE, command, *verbs]
    return json.loads(subprocess.run(probe, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("command", ["synth", "clip", "privacy"])
def test_help_loads_nothing_heavy(command):
    """This is what keeps every help page under a second."""
    assert HEAVY & set(help_of(command)["loaded"]) == set()


@pytest.mark.parametrize("command", ["synth", "clip", "privacy"])
def test_the_help_of_a_command_itself_gives_examples(command):
    assert f"    {command} " in help_of(command)["pages"][""].partition("Examples:")[2]


@pytest.mark.parametrize("name", FLAGS)
def test_help_shows_every_documented_flag_and_an_example(name):
    command, _, verb = name.partition(" ")
    page = help_of(command)["pages"][verb]
    assert f"Usage: {command}" in page or "Usage:" in page
    assert "Examples:" in page
    assert [flag for flag in FLAGS[name].split() if flag not in page.replace(",", " ").split()] == []


@pytest.mark.parametrize("command", ["synth", "clip", "privacy"])
def test_a_command_lists_its_verbs(command):
    page = help_of(command)["pages"][""].split()
    assert [name for name in FLAGS if name.split()[0] == command and name.split()[1] not in page] == []


def invoke(line: str) -> Any:
    from importlib import import_module

    command, *arguments = line.split()
    return CliRunner().invoke(import_module(f"{command}.commands.app").app, arguments)


@pytest.mark.parametrize("command", ["synth", "clip", "privacy"])
def test_a_command_says_its_version(command):
    result = invoke(f"{command} --version")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{command} (visionclip) ")
