"""Whole audits of tiny models, with confounds and leaks drawn at random: how many FAIL without a leak, or PASS one.

    python benchmarks/whole_audits.py --out docs/results/whole-audits.md --audits 40      # some twenty minutes of a core

Each audit draws its own patients, trains its own generator or encoder, releases its own pictures, and asks every question
that `privacy audit` asks, by the same call.  Half of them have no leak, and half of those another camera for non-members.
Repeated after a kill it goes on: what is finished waits in a hidden file beside the page until the page is written.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from privacy import auditing
from privacy.config import AuditConfig
from privacy.decisions import verdict
from privacy.report.schema import AuditReport
from privacy.statistics.inference import share
from privacy.validation.confounds import CONFOUNDS
from synth.base.runs import progress, write_text
from synth.data import images
from synth.data.records import Row

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import releases

NO_CONFOUND, NO_LEAK = "same cameras", "none"
CAMERAS = {name: change for name, change in CONFOUNDS.items() if change}
CONFIG = AuditConfig(**releases.QUICK, untrained_seeds=1, likelihood_patients=20, membership_references=0)
"""The generator that ships, of 256 pixels, is not asked: it takes longer than all the rest."""
PAGE = """# Whole audits of releases whose truth is known

`python benchmarks/whole_audits.py --out docs/results/whole-audits.md --audits {audits}`, {date}. Every audit draws 40 to 60 members and as many non-members with one photograph each, trains a
generator of 8 pixels and releases 60 pictures, or trains an encoder of 32 pixels, and is asked by `privacy.auditing.audit` with an attacker who has everything. Without a leak the models learnt from other patients. The
generator that ships is not asked beside them, and there is no independent generator, so T5 is not testable.

*Said* is the worst word of all questions about members and copies; *the leak's own* the worst word of the questions that the leak bears on.
{false}

| confound | leak | said | the leak's own | audits |
|---|---|---|---|---:|
"""


class Outcome(NamedTuple):
    """What one audit said."""

    confound: str
    leak: str
    said: str
    """The worst word about members and copies."""
    own: str
    """The worst word of the questions that the leak bears on; "–" without a leak."""
    failed: list[str]
    """Questions that FAILED."""


def _warped(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N, S, S, 3) uint8 displaced smoothly by up to 1.5 pixels, of other colours, half of them mirrored."""
    size, found = pictures.shape[1], []
    rows, columns = np.mgrid[:size, :size].astype(float)
    for picture in pictures:
        fields = gaussian_filter(rng.normal(size=(2, size, size)), (0, 8, 8))
        fields *= rng.uniform(0.5, 1.5) / np.abs(fields).max()
        at = [rows + fields[0], columns + fields[1]]
        moved = np.stack([map_coordinates(picture[..., c].astype(float), at, order=1) for c in range(3)], -1)
        moved = moved[:, ::-1] if rng.random() < 0.5 else moved
        found.append(moved * rng.uniform(0.85, 1.15, 3))
    return np.stack(found).clip(0, 255).round().astype(np.uint8)


LEAKS: dict[str, tuple[str, ...]] = {
    "a generator that learnt members by heart": (
        "T3 membership by what",
        "T3 the most exposed patients, by what",
    ),
    "an encoder that learnt their captions by heart": (
        "T3 membership by how",
        "T3 the most exposed patients, by how",
    ),
    "warped copies among the released pictures": ("T4 copies",),
}
"""Leak -> the questions that it bears on."""


def drawn(number: int, seed: int) -> tuple[str, str]:
    """Confound and leak of one audit: half without a leak, half of either with another camera."""
    rng = np.random.default_rng([seed, number])
    cameras, leaks = list(CAMERAS), list(LEAKS)
    confound = NO_CONFOUND if number // 2 % 2 else cameras[(number // 4) % len(cameras)]
    return confound, (leaks[int(rng.integers(len(leaks)))] if number % 2 else NO_LEAK)


def audited(root: Path, number: int, seed: int) -> Outcome:
    """One audit of a release of its own: a generator with pictures of it, or a CLIP."""
    rng = np.random.default_rng([seed, 1, number])
    confound, leak = drawn(number, seed)
    of_generator, of_encoder, copied = (leak == each for each in LEAKS)
    clip = of_encoder or (leak == NO_LEAK and number % 8 == 0)
    groups = ["others", "members", "nonmembers", *(["attackers"] if clip else [])]
    rows = {
        group: releases.patients(group, int(rng.integers(40, 61)), int(rng.integers(2**31)), each=1)
        for group in groups
    }
    if confound != NO_CONFOUND:
        _retaken(rows["nonmembers"], CAMERAS[confound], rng)
    people = {group: releases.write(root / group, each) for group, each in rows.items()}
    learnt = people["members" if of_generator or of_encoder else "others"]
    given: dict[str, Path] = {}
    if clip:
        given["model"] = releases.encoder(root / "ckpt.pt", learnt, int(rng.integers(40, 90)))
        given["attackers"] = people["attackers"].folder
    else:
        pictures = releases.eyes(60, int(rng.integers(2**31)))
        if copied:
            shown = np.stack([images.decode(row["image"]["bytes"]) for row in rows["members"]])
            copies = shown[rng.choice(len(shown), int(rng.integers(3, 19)), replace=False)]
            pictures[: len(copies)] = _warped(copies, rng)
        given["generator"] = releases.generator(root / "generator", learnt, int(rng.integers(80, 200)))
        given["synthetic"] = releases.released(root / "synthetic", pictures).folder
    report = auditing.audit(
        root / "report",
        members=people["members"].folder,
        nonmembers=people["nonmembers"].folder,
        nonmembers_split=("train",),
        config=CONFIG.model_copy(update={"seed": int(rng.integers(2**31))}),
        model=given.get("model"),
        generator=given.get("generator"),
        synthetic=given.get("synthetic"),
        attackers=given.get("attackers"),
    )
    return Outcome(confound, leak, *_said(report, leak))


def _retaken(
    rows: Sequence[Row],
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray],
    rng: np.random.Generator,
) -> None:
    shown = np.stack([images.decode(row["image"]["bytes"]) for row in rows]).astype(float)
    for row, picture in zip(rows, change(shown, rng).clip(0, 255).round().astype(np.uint8), strict=True):
        row["image"] = {"bytes": images.encode(picture), "path": None}


def _said(report: AuditReport, leak: str) -> tuple[str, str, list[str]]:
    words = {
        f"{each.threat} {each.attack}": each.verdict.word for each in report.results if each.panel != "anyone"
    }
    asked = {name: word for name, word in words.items() if word != verdict.NOT_TESTABLE}
    own = [word for name, word in asked.items() if name.startswith(LEAKS.get(leak, ("nothing",)))]
    worst = min(asked.values(), key=verdict.WORST.index)
    return (
        worst,
        min(own, key=verdict.WORST.index) if own else "–",
        [name for name, word in asked.items() if word == verdict.FAIL],
    )


def written(found: Sequence[Outcome]) -> str:
    """The page."""
    none, leaks = ([each for each in found if (each.leak == NO_LEAK) == silent] for silent in (True, False))
    false = _false("FAIL without a leak", sum(each.said == verdict.FAIL for each in none), len(none))
    false += _false(
        "PASS of every question that a leak bears on",
        sum(each.own == verdict.PASS for each in leaks),
        len(leaks),
    )
    plain = [each for each in leaks if each.confound == NO_CONFOUND]
    false += _false(
        "of the leaks beside the same cameras FAIL in their own questions",
        sum(each.own == verdict.FAIL for each in plain),
        len(plain),
    )
    head = PAGE.format(audits=len(found), date=datetime.now(UTC).date(), false=false)
    counted: dict[tuple[str, ...], int] = {}
    for each in sorted(found):
        counted[each[:4]] = counted.get(each[:4], 0) + 1
    return head + "".join(f"| {' | '.join(key)} | {count} |\n" for key, count in counted.items())


def _false(what: str, count: int, of: int) -> str:
    if not of:
        return ""
    rate = share(count, of)
    return f"\n- **{count} of {of}** {what} ({rate.low:.0%} to {rate.high:.0%})."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the page")
    parser.add_argument("--audits", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    kept = given.out.with_name(f".{given.out.stem}.jsonl")
    found = [Outcome(*json.loads(line)) for line in kept.read_text().splitlines()] if kept.exists() else []
    with progress("auditing", given.audits, unit="audits") as bar, open(kept, "a", encoding="utf-8") as file:
        bar.update(len(found))
        for number in range(len(found), given.audits):
            with TemporaryDirectory() as root:
                found.append(audited(Path(root), number, given.seed))
            print(json.dumps(found[-1]), file=file, flush=True)
            bar.update()
    write_text(given.out, written(found))


if __name__ == "__main__":
    main()
