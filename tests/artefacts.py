"""Every kind of file that a command reads, tiny, and the command that reads it: what `fuzzing` damages."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from dicoms import content, dataset
from generators import untrained
from pictures import drawn, folder, rows
from PIL import Image
from test_clip_inputs import as_lmdb, as_tars
from test_sandbox import sets
from test_untrusted import MODEL

from clip.model import checkpoints
from clip.model.encoders import build
from clip.training import step
from synth.base import checkpoint

_CLIP = {"model.image": "{layers: [1, 1, 1, 1], width: 8}", "model.text": "{layers: 1, width: 32, heads: 2, feedforward: 64}",
         "model.embedding": 32, "model.preprocessing.size": 32, "batch": 8, "save_every": 8, "workers": 0}  # fmt: skip
_SYNTH = {"batch": 8, "micro_batch": 8, "save_every": 8, "snapshot_every": 8, "warmup": 0, "sheet": 0, "preprocessing.size": 16,
          "network.channels": "[16, 32]", "network.attention_from": 1}  # fmt: skip
_AUDIT = {"permutations": 60, "bootstrap": 100, "untrained_seeds": 1}
_ANSWERS = (0, 3, 4, 5)
"""How an audit ends that answers."""


class Artefact(NamedTuple):
    """Files that a verb reads."""

    files: str
    """Which of them are damaged: a pattern below the folder of good files."""
    line: tuple[str, ...]
    """The command, run in a copy of that folder; it writes below `out`, if at all."""
    written: str = ""
    """Its result, if that is not what it prints: a pattern below the folder."""
    own: bool = False
    """Whether they are a person's own words and data: another readable value in them is another wish, with another result."""
    exits: tuple[int, ...] = (0,)
    """How it ends where it has an answer."""
    rarely: bool = False
    """Whether its verb takes seconds: it has a quarter of the turns."""


def _words(line: str) -> tuple[str, ...]:
    return tuple(line.split())


_GENERATE = _words("synth generate --n 8 --steps 2 --workers 1")
_TRAIN = (*_words("clip train --data records --out encoder"), *sets(_CLIP | {"images": 16}))
_LEARN = (*_words("synth train --data records --out run"), *sets(_SYNTH | {"images": 16}))
_DISTIL = (*_words("synth distill --model run/model --data records --out student"),
           *sets({"images": 16, "batch": 8, "micro_batch": 8, "save_every": 8, "target_steps": 2}))  # fmt: skip
_READ = (*_words("clip train --out out"), *sets(_CLIP | {"images": 8}))
_PROBE = _words("privacy audit --attackers records --attributes sex --json --out")
_SEAL = (*_words("privacy audit --model ckpt.pt --members records --nonmembers records --attackers records --split validation"),
         *_words("--attributes sex --seal sealed --out controller"), *sets(_AUDIT))  # fmt: skip
ARTEFACTS: dict[str, Artefact] = {
    "records, verified": Artefact("records/**/*", _words("synth verify records --json")),
    "records, embedded": Artefact("records/data/*", _words("clip embed --model ckpt.pt --data records --out out/e.parquet"), "out/e.parquet"),
    "records, preview": Artefact("records/data/*", _words("synth preview records --out out/sheet.png --count 4"), "out/sheet.png"),
    "tars of ours, verified": Artefact("tars/**/*", _words("synth verify tars --json")),
    "tars of ours, embedded": Artefact("tars/data/*", _words("clip embed --model ckpt.pt --data tars --out out/e.parquet"), "out/e.parquet"),
    "plan and set, continued": Artefact("set/**/*", (*_GENERATE, *_words("--model generator --out set")), "set/data/*.parquet"),
    "generator": Artefact("generator/**/*", (*_GENERATE, *_words("--model generator --out out")), "out/data/*.parquet", rarely=True),
    "checkpoint, doctor": Artefact("ckpt.pt", _words("clip doctor ckpt.pt --data records --json"), exits=(0, 3)),
    "checkpoint, predict": Artefact("ckpt.pt", _words("clip predict photo.png --model ckpt.pt --json")),
    "checkpoint, exported": Artefact("ckpt.pt", _words("clip export ckpt.pt --to hf --out out"), "out/*"),
    "exported folder": Artefact("hf/*", _words("clip export hf --to visionclip --out out/c.pt"), "out/c.pt"),
    "run of clip": Artefact("encoder/**/*", _TRAIN, "encoder/ckpt.pt", rarely=True),
    "run of synth": Artefact("run/**/*", _LEARN, "run/model/*/*", rarely=True),
    "run of distill": Artefact("student/**/*", _DISTIL, "student/model/*/*", rarely=True),
    "snapshots": Artefact("run/**/*", _words("synth average run --out out --length 0.1"), "out/unet/*.safetensors"),
    "config of clip": Artefact("clip.yaml", _words("clip train --data records --out out --config clip.yaml --dry-run"), own=True),
    "config of synth": Artefact("synth.yaml", _words("synth train --data records --out out --config synth.yaml --dry-run"), own=True, rarely=True),
    "config of audit": Artefact("audit.yaml", (*_PROBE, *_words("out --model ckpt.pt --config audit.yaml")), own=True, exits=_ANSWERS, rarely=True),
    "config of generate": Artefact("labels.yaml", (*_GENERATE, *_words("--model generator --out out --labels labels.yaml")), own=True, rarely=True),
    "mapping": Artefact("clinic/mapping.yaml", _words("synth import folder --root clinic --mapping clinic/mapping.yaml --out out"), own=True),
    "table": Artefact("clinic/t.csv", _words("synth import folder --root clinic --mapping clinic/mapping.yaml --out out"), own=True),
    "photographs": Artefact("clinic/photos/*", _words("synth import folder --root clinic --mapping clinic/mapping.yaml --out out"), own=True),
    "photograph, png": Artefact("photo.png", _words("clip predict photo.png --model ckpt.pt --json"), own=True),
    "photograph, jpg": Artefact("photo.jpg", _words("clip predict photo.jpg --model ckpt.pt --json"), own=True),
    "photograph, dcm": Artefact("photo.dcm", _words("clip predict photo.dcm --model ckpt.pt --json"), own=True),
    "list of pairs": Artefact("pairs/list.csv", (*_READ, *_words("--data pairs/list.csv")), "out/ckpt.pt", own=True, rarely=True),
    "tars of others": Artefact("webdataset/*", (*_READ, *_words("--data webdataset")), "out/ckpt.pt", own=True, rarely=True),
    "lmdb": Artefact("lmdb/**/*", (*_READ, *_words("--data lmdb")), "out/ckpt.pt", own=True, rarely=True),
    "embeddings, searched": Artefact("e.parquet", _words("clip search eye --model ckpt.pt --embeddings e.parquet --json")),
    "embeddings, audited": Artefact("e.[ni]*", (*_PROBE, "out", "--model", "e.npy", *sets(_AUDIT)), own=True, exits=_ANSWERS, rarely=True),
    "caches of an audit": Artefact("audit/[!r]*", (*_PROBE, "audit", "--model", "ckpt.pt", *sets(_AUDIT)), exits=_ANSWERS),
    "report of an audit, repeated": Artefact("audit/r*", (*_PROBE, "audit", "--model", "ckpt.pt", *sets(_AUDIT)), exits=_ANSWERS, rarely=True),
    "report of an audit": Artefact("audit/report.json", _words("privacy suggest --report audit --json")),
    "sealed scores": Artefact("sealed/*", _words("privacy verdict sealed/members.parquet sealed/nonmembers.parquet --out out --json"), exits=_ANSWERS),
    "canary key": Artefact("key.json", (*_words("privacy canary score --key key.json --members planted --generator generator --out out --json"),
                           *sets({"canary_steps": "[500]", "canary_draws": 1, "bootstrap": 100})), exits=(0, 3, 5), rarely=True),
    "card of a release": Artefact("set/*.*", _words("synth push set --repo me/set --licence cc-by-4.0 --dry-run"), own=True),
    "release": Artefact("set/data/*", _words("synth push set --repo me/set --licence cc-by-4.0 --dry-run")),
}  # fmt: skip


def make(place: Path, invoke: Callable[..., Any], trained: bool = True) -> None:
    """Write the good files; `invoke` runs a command there.  Where not `trained`, only those that take no time."""
    folder(place / "records", 40)
    untrained(place / "generator")
    made = build(MODEL)
    checkpoint.save(
        place / "ckpt.pt", checkpoints.header(made, images=0, data=None) | {"weights": made.state_dict()}
    )
    _photographs(place)
    _settings(place)
    _pairs(place)
    invoke(*_words("clip embed --model ckpt.pt --data records --out e.parquet"))
    np.save(place / "e.npy", np.random.default_rng(0).normal(size=(40, 32)).astype(np.float32))
    (place / "e.ids.txt").write_text("".join(f"drawn-0-{n}\n" for n in range(40)))
    if trained:
        _results(invoke)


def _results(invoke: Callable[..., Any]) -> None:
    invoke(*_GENERATE, "--model", "generator", "--out", "set")
    invoke(*_GENERATE, "--model", "generator", "--out", "tars", "--format", "webdataset")
    _stop_midway(invoke)
    invoke(*_words("clip export ckpt.pt --to hf --out hf"))
    invoke(*_words("privacy canary plant --data records --out planted --key key.json"))
    invoke(*_PROBE, "audit", "--model", "ckpt.pt", *sets(_AUDIT))
    invoke(*_SEAL)


def _stop_midway(invoke: Callable[..., Any]) -> None:
    """Trainings that have seen 8 of their 16 images: two by a smaller goal, `clip train` by Ctrl-C in its second step."""
    for line in (_LEARN, _DISTIL):
        invoke(*line, "--set", "images=8")
    plain, calls = step._loss, []

    def stops(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(*arguments)

    with patch.object(step, "_loss", stops):
        invoke(*_TRAIN)


def _photographs(place: Path) -> None:
    picture = Image.fromarray(drawn(1, 0))
    picture.save(place / "photo.png")
    picture.save(place / "photo.jpg")
    (place / "photo.dcm").write_bytes(content(dataset()))
    (place / "clinic/photos").mkdir(parents=True)
    for number in range(6):
        Image.fromarray(drawn(number, 0)).save(place / f"clinic/photos/{number}.png")


def _settings(place: Path) -> None:
    table = "file,who,g,a\n" + "".join(f"{n}.png,p{n},{n % 2},{40 + n}\n" for n in range(6))
    (place / "clinic/t.csv").write_text(table)
    (place / "clinic/mapping.yaml").write_text(
        "table: t.csv\nimages: photos\ncolumns:\n  image: file\n  subject_id: who\n  age: a\n"
        "  is_gc: {column: g, values: {'0': 0, '1': 1}}\n"
    )
    (place / "clip.yaml").write_text(
        "images: 64\nbatch: 8\nlr: 0.001\nmodel: {image: {layers: [1, 1, 1, 1], width: 8}, text: {layers: 1, width: 32, heads: 2}, embedding: 32}\n"
    )
    (place / "synth.yaml").write_text(
        "images: 64\nbatch: 8\nmicro_batch: 8\nlr: 0.001\nsave_every: 32\npreprocessing: {size: 16}\n"
        "network: {channels: [16, 32], attention_from: 1}\n"
    )
    (place / "audit.yaml").write_text(json.dumps(_AUDIT))
    (place / "labels.yaml").write_text(
        "mix:\n- weight: 3\n  labels: {dr_grade: 0, eye_side: left}\n- weight: 1\n  labels: {is_gc: 1}\n"
    )


def _pairs(place: Path) -> None:
    made = [dict(each) for each in rows(20)]
    as_tars(made, place / "webdataset")
    pictures = {each["id"]: each["image"]["bytes"] for each in made}
    for split, some in (("train", made[:16]), ("valid", made[16:])):
        pairs = [(each["id"], n, each["caption_zh"]) for n, each in enumerate(some)]
        as_lmdb(pairs, {each["id"]: pictures[each["id"]] for each in some}, place / "lmdb" / split)
    (place / "pairs").mkdir()
    with open(place / "pairs/list.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption_zh", "subject_id", "age"])
        for each in made:
            (place / f"pairs/{each['id']}.jpg").write_bytes(each["image"]["bytes"])
            writer.writerow(
                [f"{each['id']}.jpg", each["caption_zh"].replace(",", "，"), each["subject_id"], "50"]
            )
