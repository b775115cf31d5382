"""How long the search for copies takes beside nearest neighbours by pixels: core-seconds of each part, and the projection for many more.

    python benchmarks/search.py              # 1,024 pictures beside 10,000 photographs
    python benchmarks/search.py --quick      # 256 beside 1,000

Pictures are drawn at random, since what they show changes no time.  Each part is timed for a quarter of the pictures and for
all, so that what is done once for each photograph is told from what is done for each pair.  Seconds are of the processor.
The peer is scikit-learn's search for nearest neighbours by pixels (L2), which finds no altered copy; ratios are to it.
The projections are of the numbers of this run, not measured.  The last line is JSON.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable

import numpy as np
from sklearn.neighbors import NearestNeighbors

from privacy.scores import aligned, mosaics
from privacy.targets import registered

SIDE = 64
CANDIDATES = 12  # the nearest as a whole, three of identity, two of each half
PEER = "peer: by pixels"
PROJECTED = ((100_000, 10_000), (1_000_000, 1_000_000))


def drawn(count: int, seed: int) -> np.ndarray:
    """(count, 64, 64, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, SIDE // 4, SIDE // 4, 3), np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def parts(among: np.ndarray) -> dict[str, Callable[[np.ndarray], object]]:
    """Part of the search -> what it does with (G, S, S, 3) pictures."""
    patient = np.arange(len(among))
    rows = np.random.default_rng(2).integers(0, len(among), (len(among), CANDIDATES))
    return {
        "registered photographs": lambda pictures: registered.nearest(pictures, among, patient),
        "halves": lambda pictures: mosaics.nearest(pictures, among, patient),
        "laid on candidates": lambda pictures: aligned.nearest(
            pictures, among, patient, rows[: len(pictures)]
        ),
        PEER: lambda pictures: (
            NearestNeighbors(n_neighbors=1, algorithm="brute")
            .fit(among.reshape(len(among), -1))
            .kneighbors(pictures.reshape(len(pictures), -1))
        ),
    }


def seconds(search: Callable[[np.ndarray], object], pictures: np.ndarray) -> float:
    """Of the processor."""
    start = time.process_time()
    search(pictures)
    return time.process_time() - start


def measure(pictures: int, photographs: int) -> dict[str, dict[str, float]]:
    """Part -> core-seconds in all, for each picture, and for what is done once, however many pictures there are."""
    shown, found = drawn(pictures, 0), {}
    for name, search in parts(drawn(photographs, 1)).items():
        search(shown[:1])  # libraries load, memory is taken
        few, whole = seconds(search, shown[: pictures // 4]), seconds(search, shown)
        each = (whole - few) / (pictures - pictures // 4)
        found[name] = {"whole": whole, "each": each, "once": max(whole - pictures * each, 0.0)}
    return found


def projected(found: dict[str, dict[str, float]], photographs: int, asked: tuple[int, int]) -> float:
    """Core-hours for so many pictures and photographs; only the pictures are laid, however many photographs there are."""
    times = asked[1] / photographs
    total = 0.0
    for name, part in found.items():
        if name == PEER:
            continue
        more = 1.0 if name.startswith("laid") else times
        total += more * (part["once"] + asked[0] * part["each"])
    return total / 3600


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=1024)
    parser.add_argument("--photographs", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="256 pictures and 1,000 photographs")
    given = parser.parse_args()
    pictures, photographs = (256, 1_000) if given.quick else (given.pictures, given.photographs)
    found = measure(pictures, photographs)
    for name, part in found.items():
        print(
            f"{name:26} {part['whole']:8.2f} core-seconds; {1000 * part['each']:9.2f} ms a picture, once {part['once']:.2f} s"
        )
    each = sum(part["each"] for name, part in found.items() if name != PEER)
    ratio = each / found[PEER]["each"]
    print(f"a picture costs {ratio:.1f} times what the peer takes")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{pictures} pictures beside {photographs:,} photographs; peak {peak:.2f} GiB")
    hours = {f"{g:,} beside {r:,}": projected(found, photographs, (g, r)) for g, r in PROJECTED}
    for name, value in hours.items():
        print(f"projected: {name}: {value:,.1f} core-hours")
    facts = {"benchmark": "search", "pictures": pictures, "photographs": photographs, "found": found, "times_peer": round(ratio, 2),
             "peak_gib": round(peak, 3), "projected_core_hours": hours}  # fmt: skip
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
