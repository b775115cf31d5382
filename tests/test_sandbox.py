"""Every verb on good files: it asks no address, starts no program, and writes nowhere but where it is told to."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from generators import untrained
from pictures import drawn, folder
from PIL import Image
from test_untrusted import MODEL

from clip.model import checkpoints
from clip.model.encoders import build
from synth.base import checkpoint
from synth.base.runs import sha256

HERE = Path(__file__).parent
ELSEWHERE = {
    "clip compare": "tests/test_clip_compare.py, which reads reports alone",
    "clip demo": "tests/test_clip_page.py",
    "privacy selftest": "tests/test_privacy_calibration.py",
}
"""Verbs that are watched by other tests: one serves, the other reads no file."""
_RUN = """
import json, sys
from importlib import import_module
from typer.testing import CliRunner
for line in json.load(sys.stdin):
    command, *rest = line
    result = CliRunner().invoke(import_module(f"{command}.commands.app").app, rest)
    error = result.exception
    print(json.dumps([line, result.exit_code, result.output[-600:], repr(error)]), flush=True)
"""
_TINY_CLIP = {
    "model.image": "{layers: [1, 1, 1, 1], width: 8}", "model.text": "{layers: 1, width: 32, heads: 2, feedforward: 64}",
    "model.embedding": 32, "model.preprocessing.size": 32, "images": 16, "batch": 8, "save_every": 16, "workers": 0,
}  # fmt: skip
_TINY_GENERATOR = {
    "images": 32, "batch": 16, "micro_batch": 16, "save_every": 32, "snapshot_every": 32, "warmup": 0, "sheet": 4,
    "preprocessing.size": 16, "network.channels": "[16, 32]", "network.attention_from": 1,
}  # fmt: skip
_QUICK = {"permutations": 60, "bootstrap": 100, "untrained_seeds": 1}


def sets(values: dict[str, Any]) -> list[str]:
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


def verbs() -> set[str]:
    """Every verb of the three commands."""
    found = set()
    for command in ("synth", "clip", "privacy"):
        app = import_module(f"{command}.commands.app").app
        groups = [
            (command, app),
            *((f"{command} {each.name}", each.typer_instance) for each in app.registered_groups),
        ]
        for name, group in groups:
            found |= {f"{name} {each.name or each.callback.__name__}" for each in group.registered_commands}
    return found


def lines(given: Path, out: Path) -> Iterator[tuple[Any, ...]]:
    """A line for each verb, in an order in which each finds what it reads."""
    records, model, generator = given / "records", given / "ckpt.pt", given / "generator"
    yield ("synth phantom", "--n", "12", "--size", "32", "--out", out / "phantom", "--masks")
    yield (
        "synth import",
        "folder",
        "--root",
        given / "clinic",
        "--mapping",
        given / "clinic/mapping.yaml",
        "--out",
        out / "import",
    )
    yield ("synth verify", records)
    yield ("synth preview", records, "--out", out / "sheet.png", "--count", "4")
    yield ("synth train", "--data", records, "--out", out / "run", *sets(_TINY_GENERATOR))
    yield ("synth average", out / "run", "--out", out / "averaged", "--length", "0.1")
    yield (
        "synth distill",
        "--model",
        out / "run",
        "--data",
        records,
        "--out",
        out / "student",
        *sets(
            {
                "images": 16,
                "batch": 8,
                "micro_batch": 8,
                "save_every": 16,
                "target_steps": 2,
            }
        ),
    )
    yield (
        "synth generate",
        "--model",
        generator,
        "--n",
        "48",
        "--steps",
        "2",
        "--labels",
        "uniform",
        "--workers",
        "1",
        "--out",
        out / "set",
    )
    yield (
        "synth generate",
        "--model",
        generator,
        "--n",
        "8",
        "--steps",
        "2",
        "--workers",
        "1",
        "--out",
        out / "tars",
        "--format",
        "webdataset",
    )
    yield (
        "synth evaluate",
        "--data",
        out / "set",
        "--real",
        records,
        "--out",
        out / "evaluated",
        "--workers",
        "1",
        "--config",
        given / "evaluate.yaml",
    )
    yield ("synth push", out / "set", "--repo", "me/set", "--licence", "cc-by-4.0", "--dry-run")
    yield ("clip train", "--data", records, "--out", out / "clip", *sets(_TINY_CLIP))
    yield ("clip doctor", model)
    yield ("clip eval", "--model", model, "--data", records, "--split", "all", "--out", out / "report")
    yield ("clip benchmarks", "refuge")
    yield ("clip predict", given / "photo.png", "--model", model, "--saliency", out / "saliency")
    yield ("clip embed", "--model", model, "--data", records, "--out", out / "e.parquet")
    yield (
        "clip search",
        "eye",
        "--model",
        model,
        "--embeddings",
        out / "e.parquet",
        "--data",
        records,
        "--sheet",
        out / "s.html",
    )
    for to in ("hf", "onnx"):
        yield ("clip export", model, "--to", to, "--out", out / to)
    yield ("clip push", model, "--repo", "me/clip", "--licence", "cc-by-4.0", "--dry-run")
    yield ("privacy canary plant", "--data", records, "--out", out / "planted", "--key", out / "key.json")
    golden = HERE / "golden"
    yield ("privacy canary score", "--key", golden / "key.json", "--members", golden / "planted", "--generator", golden / "generator",
           "--out", out / "scored", *sets({"canary_steps": "[500]", "canary_draws": 1, "bootstrap": 100}))  # fmt: skip
    yield ("privacy power", "--patients", "200")
    yield (
        "privacy audit",
        "--model",
        model,
        "--attackers",
        records,
        "--split",
        "validation",
        "--members",
        records,
        "--nonmembers",
        records,
        "--attributes",
        "sex",
        "--seal",
        out / "sealed",
        "--out",
        out / "audit",
        *sets(_QUICK),
    )
    yield (
        "privacy verdict",
        *(out / "sealed" / f"{group}.parquet" for group in ("members", "nonmembers")),
        "--out",
        out / "verdict",
    )
    yield ("privacy suggest", "--report", out / "audit")
    yield ("privacy checklist", "--out", out / "audit")


def test_no_verb_is_left_out(tmp_path):
    watched = {line[0] for line in lines(tmp_path, tmp_path)}
    assert watched | set(ELSEWHERE) == verbs()
    assert not watched & set(ELSEWHERE)


@pytest.fixture
def given(tmp_path) -> Path:
    """Good files, which nothing may change."""
    place = tmp_path / "given"
    folder(place / "records", 160)
    untrained(place / "generator")
    made = build(MODEL)
    checkpoint.save(
        place / "ckpt.pt", checkpoints.header(made, images=0, data=None) | {"weights": made.state_dict()}
    )
    Image.fromarray(drawn(1, 0)).save(place / "photo.png")
    (place / "clinic/photos").mkdir(parents=True)
    for number in range(6):
        Image.fromarray(drawn(number, 0)).save(place / f"clinic/photos/{number}.png")
    (place / "clinic/t.csv").write_text("file,who,g\n" + "".join(f"{n}.png,p{n},{n % 2}\n" for n in range(6)))
    (place / "clinic/mapping.yaml").write_text(
        "table: t.csv\nimages: photos\ncolumns:\n  image: file\n  subject_id: who\n  is_gc: {column: g, values: {'0': 0, '1': 1}}\n"
    )
    classifier = {"architecture": "test_resnet", "images": 64, "batch": 16, "warmup": 16, "min_count": 1, "save_every": 64,
                  "preprocessing": {"size": 16}}  # fmt: skip
    (place / "evaluate.yaml").write_text(json.dumps({"n_bootstrap": 20, "classifier": classifier}))
    return place


def contents(place: Path) -> dict[str, str]:
    return {str(path.relative_to(place)): sha256(path) for path in sorted(place.rglob("*")) if path.is_file()}


def run(words: list[list[str]], tmp_path: Path) -> tuple[list[Any], str, Path]:
    """What each line gave, what the fence has noted, and the home that was offered."""
    out, home, scratch, log = (tmp_path / name for name in ("out", "home", "scratch", "fence.log"))
    for place in (out, home, scratch):
        place.mkdir()
    log.touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "GRADIO", "XDG"))} | {
        "PYTHONPATH": f"{HERE / 'sandbox'}:{HERE.parent}", "VISIONCLIP_FENCE": f"{log}:{out}:{scratch}", "TMPDIR": str(scratch),
        "HOME": str(home), "MPLCONFIGDIR": str(scratch), "TORCHINDUCTOR_CACHE_DIR": str(scratch), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _RUN],
        input=json.dumps(words),
        env=environment,
        cwd=out,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return (
        [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[[")],
        log.read_text(),
        home,
    )


@pytest.mark.slow
def test_no_verb_leaves_its_folder_or_asks_the_network(given, tmp_path):
    before = contents(given)
    words = [[*line[0].split(), *map(str, line[1:])] for line in lines(given, tmp_path / "out")]
    found, noted, home = run(words, tmp_path)
    failed = [each for each in found if each[1] not in (0, 3)]  # 3: the doctor's word for what knows nothing
    assert failed == [], "\n".join(map(str, failed))
    assert len(found) == len(words)
    assert noted == ""
    assert list(home.rglob("*")) == []
    assert contents(given) == before
    assert {path.name for path in tmp_path.iterdir()} == {"given", "out", "home", "scratch", "fence.log"}


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')",
        "open('/tmp/visionclip-fence', 'w')",
        "import os; os.system('true')",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.rename('x', '/tmp/visionclip-fence')",
        "import multiprocessing as m; p = m.get_context('spawn').Process(target=open, args=('/tmp/visionclip-fence', 'w')); p.start(); p.join()",
    ],
)
def test_the_fence_sees(code, tmp_path):
    log = tmp_path / "log"
    log.touch()
    fence = {"PYTHONPATH": str(HERE / "sandbox"), "VISIONCLIP_FENCE": f"{log}:{tmp_path}"}
    (tmp_path / "x").touch()
    program = tmp_path / "program.py"
    program.write_text(f"if __name__ == '__main__':\n    {code}\n")
    subprocess.run([sys.executable, program], env=os.environ | fence, cwd=tmp_path, capture_output=True)
    assert log.read_text()
    assert not Path("/tmp/visionclip-fence").exists()
