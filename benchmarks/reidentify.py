"""Find the same eye at another visit: how often, at so many false matches, in the spaces in which the audit looks for copies.

    python benchmarks/reidentify.py records/grape --split all
    python benchmarks/reidentify.py records/odir5k --released synthetic --members train --nonmembers test

Records have `visit`, `eye_side` and, where it is known, `camera`.  Genuine pairs are two visits of one eye, the later one
looked up among the earlier; false ones are of other patients.  The score is the audit's: distance over that to the tenth-nearest
photograph of other patients.  The network of identity learns from each eye's first visit alone, as it learns from photographs
and not from releases.  Thresholds hold for all pairs; intervals draw patients (95 %).  The last line is JSON.

With `--released`, pictures of a generator are looked up among the photographs of members and non-members: how often is one
taken for a patient's eye, at thresholds of so many false matches of two patients' photographs, and more often for a member's?
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from privacy.scores import identity
from privacy.scores.duplicates import LOOK
from privacy.targets import registered
from synth.base import stats
from synth.data import pictures
from synth.data.records import data_fingerprint, parse_splits, read_table

RATES = (0.001, 0.01)
"""Of false pairs, that are taken for genuine ones."""
WIDE = "aligned by any shift, turn and zoom"
"""A candidate that the audit does not use."""
_BACKGROUND = 10
_SIDE = 32  # of a descriptor
_TURNS, _ZOOMS = (-12.0, -6.0, 0.0, 6.0, 12.0), (0.85, 0.93, 1.0, 1.08, 1.17)


class Visits(NamedTuple):
    """Photographs in the order of patient, eye and visit."""

    images: np.ndarray
    """(N, S, S, 3) uint8."""
    patient: np.ndarray
    """(N,) int."""
    eye: np.ndarray
    """(N,) int, of another number for each eye."""
    visit: np.ndarray
    """(N,) float."""
    camera: np.ndarray
    """(N,) str, empty where it is not known."""


class Pairs(NamedTuple):
    """Two photographs each, the later first."""

    later: np.ndarray
    earlier: np.ndarray


def read(folder: Path, splits: list[str]) -> Visits:
    """The photographs of a folder of records whose visit and eye are known."""
    table = read_table(folder, splits)
    columns = table.select(["subject_id", "eye_side", "visit", "camera"]).to_pydict()
    known = [
        i
        for i, (side, visit) in enumerate(zip(columns["eye_side"], columns["visit"], strict=True))
        if side and visit
    ]
    names = np.array([(columns["subject_id"][i], columns["eye_side"][i]) for i in known])
    visit = np.array([float(columns["visit"][i]) for i in known])
    patient = np.unique(names[:, 0], return_inverse=True)[1]
    eye = np.unique(["\0".join(name) for name in names], return_inverse=True)[1]
    order = np.lexsort((visit, eye, patient))
    camera = np.array([columns["camera"][i] or "" for i in known])
    images = pictures.pixels(folder, splits, LOOK, folder / ".cache")[np.array(known)]
    return Visits(images[order], patient[order], eye[order], visit[order], camera[order])


def distances(visits: Visits, steps: int, seed: int) -> dict[str, np.ndarray]:
    """Space -> (N, N) score of each photograph looked up as each other, smaller is more alike."""
    first = np.unique(visits.eye, return_index=True)[1]
    learnt, others = identity.embed(visits.images[first], visits.images, steps, seed)
    del learnt
    apart = np.sqrt((2 - 2 * others.astype(float) @ others.T).clip(0))
    known = registered.descriptors(visits.images)
    found = {"registered photographs": plain(known, known), "identity": apart, WIDE: aligned(known, known)}
    scores = {name: _scored(each, visits.patient) for name, each in found.items()}
    return scores | {f"{WIDE}, times identity": scores[WIDE] * scores["identity"]}


def plain(queries: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(Q, N) distance of (Q, 1024) and (N, 1024) descriptors at the best of the views that the audit tries."""
    import torch

    from synth.sampling.filters import copies

    pool = torch.from_numpy(known)
    found = [(copies.views(part) @ pool.T).amax(dim=0) for part in torch.from_numpy(queries).split(32)]
    return np.sqrt((2 - 2 * torch.cat(found).numpy().astype(float)).clip(0))


def aligned(queries: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(Q, N) distance of (Q, 1024) and (N, 1024) descriptors at the best of all shifts, `_TURNS` and `_ZOOMS`.

    Shifts are those of whole pixels, all at once by the correlation theorem.
    """
    import torch
    from torch.nn.functional import affine_grid, grid_sample, normalize

    frequencies = torch.fft.rfft2(torch.from_numpy(known).view(-1, _SIDE, _SIDE)).conj()
    best = torch.full((len(queries), len(known)), -1.0)
    for turn, zoom in ((turn, zoom) for turn in _TURNS for zoom in _ZOOMS):
        cos, sin = zoom * np.cos(np.deg2rad(turn)), zoom * np.sin(np.deg2rad(turn))
        how = torch.tensor([[[cos, -sin, 0], [sin, cos, 0]]], dtype=torch.float32)
        maps = torch.from_numpy(queries).view(-1, 1, _SIDE, _SIDE)
        grid = affine_grid(how.expand(len(maps), -1, -1), list(maps.shape), align_corners=False)
        views = grid_sample(maps, grid, align_corners=False).flatten(1)
        views = normalize(views - views.mean(dim=1, keepdim=True), dim=1).view(-1, _SIDE, _SIDE)
        for row, view in enumerate(torch.fft.rfft2(views)):
            likeness = torch.fft.irfft2(view * frequencies, s=(_SIDE, _SIDE)).flatten(1)
            best[row] = torch.maximum(best[row], likeness.amax(dim=1))
    return np.sqrt((2 - 2 * best.numpy().astype(float)).clip(0))


def _scored(distance: np.ndarray, patient: np.ndarray, queries: np.ndarray | None = None) -> np.ndarray:
    """Over that to the tenth-nearest photograph of other patients; `queries` says of whom rows are, if not as columns."""
    others = np.where((patient if queries is None else queries)[:, None] != patient[None], distance, np.inf)
    beside = np.partition(others, _BACKGROUND - 1, axis=1)[:, _BACKGROUND - 1]
    return distance / beside[:, None].clip(1e-9)


def genuine(visits: Visits) -> Pairs:
    """All pairs of visits of one eye."""
    later, earlier = np.nonzero((visits.eye[:, None] == visits.eye) & (visits.visit[:, None] > visits.visit))
    return Pairs(later, earlier)


def false_pairs(visits: Visits) -> Pairs:
    """All pairs of photographs of two patients, each way."""
    return Pairs(*np.nonzero(visits.patient[:, None] != visits.patient))


def kinds(visits: Visits, pairs: Pairs) -> dict[str, np.ndarray]:
    """Name -> (n,) bool of the pairs: all, on one camera or on two, and each pair of cameras."""
    first, second = visits.camera[pairs.earlier], visits.camera[pairs.later]
    told = (first != "") & (second != "")
    found = {
        "all": np.ones(len(first), bool),
        "one camera": told & (first == second),
        "two cameras": told & (first != second),
    }
    names = np.array([" to ".join(each) for each in zip(first, second, strict=True)])
    return found | {name: told & (names == name) for name in np.unique(names[told])}


def sensitivity(
    score: np.ndarray, visits: Visits, rounds: int, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Kind of pair -> rate of false matches -> share of genuine pairs found, with an interval over patients."""
    right, wrong = genuine(visits), false_pairs(visits)
    order = np.argsort(score[wrong], kind="stable")
    wrong = Pairs(wrong.later[order], wrong.earlier[order])
    drawn = stats.draws(int(visits.patient.max()) + 1, rounds, seed)[:, visits.patient]
    shares: dict[str, dict[float, list[float]]] = {
        name: {rate: [] for rate in RATES} for name in kinds(visits, right)
    }
    for weights in drawn:
        total = np.cumsum(weights[wrong.later] * weights[wrong.earlier])
        bars = [score[wrong][min(np.searchsorted(total, rate * total[-1]), len(total) - 1)] for rate in RATES]
        for name, chosen in kinds(visits, right).items():
            weight = weights[right.later[chosen]]
            for rate, bar in zip(RATES, bars, strict=True):
                hit = score[right.later[chosen], right.earlier[chosen]] < bar
                shares[name][rate].append(
                    float((weight * hit).sum() / weight.sum()) if weight.sum() else np.nan
                )
    return {name: _told(name, each, visits, right) for name, each in shares.items()}


def _told(
    name: str, shares: Mapping[float, list[float]], visits: Visits, right: Pairs
) -> dict[str, dict[str, float]]:
    chosen = kinds(visits, right)[name]
    people = len(np.unique(visits.patient[right.later[chosen]]))
    found = {}
    for rate, values in shares.items():
        each = stats.estimate(np.array(values), people)
        found[f"{rate:g}"] = {
            "value": round(each.value, 4),
            "low": round(each.low, 4),
            "high": round(each.high, 4),
            "pairs": int(chosen.sum()),
            "patients": people,
        }
    return found


def released(
    made: np.ndarray,
    members: tuple[np.ndarray, np.ndarray],
    others: tuple[np.ndarray, np.ndarray],
    rounds: int,
    seed: int,
) -> dict[str, dict[str, dict[str, float]]]:
    """Rate of false matches -> share of pairs of a released picture and a patient's photograph that pass for one eye.

    Args:
        made: (R, S, S, 3) uint8 released pictures.
        members, others: (N, S, S, 3) uint8 photographs and (N,) patient of each, of two groups that share no patient.

    Returns:
        For each rate, of `members`, `non-members` and their `difference`, the mean over patients with its interval;
        and of `reached by one` the share of patients of each group with at least one match, members first.
    """
    known = registered.descriptors(np.concatenate([members[0], others[0]]))
    patient = np.unique(np.concatenate([members[1], others[1]]), return_inverse=True)[1]
    real = _scored(plain(known, known), patient)
    drawn = _scored(plain(registered.descriptors(made), known), patient, queries=np.full(len(made), -1))
    false = np.sort(real[patient[:, None] != patient])
    groups = patient[: len(members[0])], patient[len(members[0]) :]
    found = {}
    for rate in RATES:
        hits = drawn < false[int(rate * len(false))]
        each = np.bincount(patient, hits.mean(axis=0)) / np.bincount(patient)
        one = np.bincount(patient, hits.any(axis=0)) > 0
        shares = [_over(each[np.unique(group)], rounds, seed + i) for i, group in enumerate(groups)]
        reached = [_over(one[np.unique(group)], rounds, seed + i) for i, group in enumerate(groups)]
        people = [len(np.unique(group)) for group in groups]
        told = {
            "members": stats.estimate(shares[0], people[0]),
            "non-members": stats.estimate(shares[1], people[1]),
            "difference": stats.estimate(shares[0] - shares[1], sum(people)),
            "members reached by one": stats.estimate(reached[0], people[0]),
            "non-members reached by one": stats.estimate(reached[1], people[1]),
        }
        found[f"{rate:g}"] = {
            name: {
                "value": round(e.value, 5),
                "low": round(e.low, 5),
                "high": round(e.high, 5),
                "patients": e.patients,
            }
            for name, e in told.items()
        }
    return found


def _over(values: np.ndarray, rounds: int, seed: int) -> np.ndarray:
    """(1 + rounds,) means of one value a patient, patients drawn anew."""
    weights = stats.draws(len(values), rounds, seed)
    return weights @ values / weights.sum(axis=1)


def group(folder: Path, splits: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(N, S, S, 3) photographs of a folder of records and the (N,) patient of each."""
    patient = np.array(read_table(folder, splits)["subject_id"].to_pylist())
    return pictures.pixels(folder, splits, LOOK, folder / ".cache"), patient


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("records", type=Path, help="with the columns visit, eye_side and camera")
    parser.add_argument("--split", default="all", help="train, validation, test or all")
    parser.add_argument(
        "--released", type=Path, help="a set of `synth generate`, looked up among members and non-members"
    )
    parser.add_argument("--pictures", type=int, default=2000, help="of --released, the first ones")
    parser.add_argument(
        "--members", default="train", help="with --released, the split that its generator learnt"
    )
    parser.add_argument("--nonmembers", default="test", help="with --released, the split that it never saw")
    parser.add_argument("--steps", type=int, default=300, help="of the network of identity")
    parser.add_argument("--rounds", type=int, default=1000, help="resamples of patients")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.released:
        sides = [group(asked.records, list(parse_splits(each))) for each in (asked.members, asked.nonmembers)]
        made = group(asked.released, ["train"])[0][: asked.pictures]
        answer = released(made, sides[0], sides[1], asked.rounds, asked.seed)
        for rate, each in answer.items():
            print(f"where {rate} of pairs of two patients pass for one eye")
            for name, r in each.items():
                print(
                    f"  {name:28} {r['value']:.5f} [{r['low']:.5f}, {r['high']:.5f}] of {r['patients']} patients"
                )
        print(json.dumps({"benchmark": "reidentify released", "records": data_fingerprint(asked.records)[:16],
                          "released": data_fingerprint(asked.released)[:16], "pictures": len(made), "found": answer}))  # fmt: skip
        return
    visits = read(asked.records, list(parse_splits(asked.split)))
    found = {
        space: sensitivity(score, visits, asked.rounds, asked.seed)
        for space, score in distances(visits, asked.steps, asked.seed).items()
    }
    for space, each in found.items():
        print(space)
        for name, rates in each.items():
            cells = [
                f"{r['value']:.3f} [{r['low']:.3f}, {r['high']:.3f}] at {rate}" for rate, r in rates.items()
            ]
            print(f"  {name:40} {next(iter(rates.values()))['pairs']:5} pairs  {'   '.join(cells)}")
    print(json.dumps({"benchmark": "reidentify", "records": data_fingerprint(asked.records)[:16], "steps": asked.steps,
                      "photographs": len(visits.eye), "eyes": len(np.unique(visits.eye)), "found": found}))  # fmt: skip


if __name__ == "__main__":
    main()
