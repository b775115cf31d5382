"""Make the weights of the network that marks anatomy, which ship with the package: some ten minutes of a core.

    python tools/anatomy.py --out synth/weights/anatomy.safetensors

It learns from phantoms alone, so nothing is needed but the package.
"""

import argparse
from pathlib import Path

from synth.anatomy.network import WEIGHTS
from synth.anatomy.training import AnatomyConfig, write
from synth.base.config import load


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="file to write")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of AnatomyConfig"
    )
    given = parser.parse_args()
    write(load(AnatomyConfig, None, given.set), given.out)


if __name__ == "__main__":
    main()
