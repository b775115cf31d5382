"""What opens files of others stands in a few modules, each of which forbids code, the network and the disk to its library."""

import ast
import re
from collections.abc import Iterator

import pytest
import syntax

GATES: dict[str, set[str]] = {
    r"torch\.(load|jit\.load|hub\..+|package\..+)": {"synth.base.checkpoint"},
    r"(.+\.)?load_state_dict_from_url": set(),
    r"numpy\.(load|fromfile|memmap|genfromtxt|loadtxt|lib\.format\..+)": {"synth.base.arrays"},
    r"safetensors\.(.+\.)?(load|load_file|load_model|safe_open|save_file)": {"synth.base.weights"},
    r"yaml\..*load.*": {"synth.base.documents"},
    r"json\.load": set(),
    r"(pickle|_pickle|cloudpickle|dill|joblib|marshal|shelve)\..+": {"clip.inputs.lmdbs"},
    r"tarfile\.(open|TarFile)": {"synth.base.archives", "synth.data.shards"},  # which writes them
    r"(zipfile\.(ZipFile|Path|is_zipfile)|shutil\.unpack_archive|(gzip|bz2|lzma)\.open)": {"synth.base.archives"},
    r".+\.(extractall|extract)": set(),
    r"PIL\.Image\.open": {"synth.data.formats", "synth.data.dicom"},
    r"timm\.(.+\.)?(create_model|load_.+)": {"synth.base.networks"},
    r"open_clip\.(create_model.*|get_tokenizer|load_.+|model\..+)": {
        "clip.zoo.openclip", "clip.zoo.eyeclip", "clip.export.open_clip",
    },
    r"(.+\.)?(from_pretrained|from_single_file|load_lora_weights|load_ip_adapter)": {"synth.base.pretrained"},
    r"(transformers\.)?pipeline": set(),
    r"huggingface_hub\.(snapshot_download|hf_hub_download)": {"synth.base.pretrained", "clip.zoo.foreign"},
    r"datasets\.(load_.+|Dataset\..+)": set(),
    r"onnx\.load": {"clip.export.onnx"},  # what it has just written
    r"(pandas\.read_.+|cv2\.imread)": set(),
    r"openpyxl\.load_workbook": {"synth.sources.workbooks"},
    r"pydicom\.(dcmread|read_file)": {"synth.data.dicom"},
    r"lmdb\.open": {"clip.inputs.lmdbs"},
    r"(urllib\.request|requests|httpx2?|http\.client|ftplib)\..+": set(),
    r"(subprocess\..+|os\.(system|popen|exec.+|spawn.+|posix_spawn))": set(),
    r"(eval|exec|compile|__import__|runpy\..+|code\..+)": set(),
}  # fmt: skip
"""Calls by their full names -> the modules where they may stand; `exec` of a file is nowhere."""
HARMLESS = {"torch.compile", "synth.quality.features.extract", "re.compile", "pickle.UnpicklingError"}


def calls(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The full name and the line of each call, and of each class that is inherited from."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0]
                for a in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        used = (
            [node.func]
            if isinstance(node, ast.Call)
            else node.bases
            if isinstance(node, ast.ClassDef)
            else []
        )
        for each in used:
            first, dot, rest = ast.unparse(each).partition(".")
            yield names.get(first, first) + dot + rest, each.lineno


def outside(tree: ast.AST, module: str) -> list[str]:
    """The calls of a module that belong into a gate."""
    found = []
    for name, line in calls(tree):
        for pattern, gates in GATES.items():
            if re.fullmatch(pattern, name) and name not in HARMLESS and module not in gates:
                found.append(f"{module}:{line} calls {name}")
    return found


def test_no_module_opens_a_file_of_others_around_the_gates():
    found = [each for name, path in syntax.modules().items() for each in outside(syntax.tree(path), name)]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ntorch.load('x')",
        "import numpy as np\nnp.load('x')",
        "from numpy import load as open_it\nopen_it('x')",
        "def f():\n    from transformers import AutoModel\n    AutoModel.from_pretrained('x')",
        "import pickle\nclass Mine(pickle.Unpickler): pass",
        "from PIL import Image\nwith Image.open('x') as image: pass",
        "import timm\ntimm.create_model('x')",
        "import yaml\nyaml.safe_load('x')",
        "archive.extractall('x')",
        "from safetensors.torch import load_file\nload_file('x')",
        "eval('1')",
    ],
)
def test_a_call_around_the_gates_would_be_seen(code):
    assert len(outside(ast.parse(code), "synth.data.records")) == 1


def test_every_gate_is_used():
    """A gate that nothing goes through is a hole in the list."""
    used = {
        (pattern, name)
        for name, path in syntax.modules().items()
        for call, _ in calls(syntax.tree(path))
        for pattern in GATES
        if re.fullmatch(pattern, call) and call not in HARMLESS
    }
    assert {(pattern, name) for pattern, gates in GATES.items() for name in gates} - used == set()
