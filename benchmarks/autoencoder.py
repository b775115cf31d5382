"""What a reader of photographs loses when it sees them through the autoencoder of a generator.

    python benchmarks/autoencoder.py --quick
    python benchmarks/autoencoder.py --data records/odir --model fundus256
    python benchmarks/autoencoder.py --data records/odir --reader quality/private/classifiers/real

The reader is a classifier that learns each disease from the photographs of split `train` as they are, or `--reader`,
one that has.  It then reads those of split `test`: as they are, through the autoencoder, through the autoencoder's
principal components without the decoder that was trained, through more or fewer components of the training
photographs, as JPEG of quality 75, and from half the pixels a side.  All AUCs are taken on the same resamples of
patients, so differences are paired (95 %).  Each view comes with the mean PSNR in dB, and with its precision and recall:
whether the reader's features of it lie among those of the training photographs, and reach all of them.  Repeat the
command to continue.  `--quick` draws phantoms and trains for a moment: its figures mean nothing.  The last line is JSON.
"""

import argparse
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from synth import phantom, pipeline
from synth.base import stats
from synth.base.config import check
from synth.classifier.classifier import Classifier, fit, load
from synth.classifier.classifier_config import ClassifierConfig
from synth.classifier.targets import TARGETS
from synth.data.images import Preprocessing
from synth.data.tensors import as_pictures, as_tensor
from synth.model.card import locate
from synth.model.latent import LatentSpace
from synth.phantom.population import PhantomConfig
from synth.quality import prdc, samples, utility
from synth.quality.samples import Sample

View = Callable[[np.ndarray], np.ndarray]
"""(N, S, S, 3) uint8 to what is left of them, of the same shape."""
PLAIN = "as they are"
CHANNELS = [16, 24, 32, 48]
COMPARED, NEIGHBOURS = 4096, 5
"""Photographs, at most, of which precision and recall are taken, and neighbours that make a ball."""
FITTED = 512
"""Training photographs that principal components are measured on."""
_BATCH = 32


def views(space: LatentSpace, train: np.ndarray, channels: list[int]) -> dict[str, View]:
    """What the photographs are seen through; `train` are those that other numbers of components are fitted to."""
    fitted = as_tensor(train[:FITTED])
    bare = cast(LatentSpace, LatentSpace.from_config(space.config))  # its decoder corrects nothing yet
    bare.load_state_dict(
        space.state_dict() | {k: v for k, v in bare.state_dict().items() if k.startswith("autoencoder.")}
    )
    return {
        PLAIN: lambda pictures: pictures,
        "autoencoder": _through(space),
        "principal components alone": _through(bare.eval()),
        **{f"{n} principal components": _through(_linear(space, n, fitted)) for n in channels},
        "JPEG, quality 75": _jpeg,
        "half the pixels a side": _halved,
    }


def _linear(space: LatentSpace, channels: int, images: torch.Tensor) -> LatentSpace:
    """A space of so many principal components of some images, whose decoder corrects nothing."""
    made = cast(
        LatentSpace, LatentSpace.from_config(dict(space.config) | {"channels": channels, "linear": True})
    )
    made.begin(images)
    made.fit(images)
    return made.eval()


def _through(space: LatentSpace) -> View:
    @torch.inference_mode()
    def seen(pictures: np.ndarray) -> np.ndarray:
        parts = (as_tensor(pictures[i : i + _BATCH]) for i in range(0, len(pictures), _BATCH))
        return np.concatenate(
            [as_pictures(space.decode(space.encode(part)).clamp(-1, 1)).numpy() for part in parts]
        )

    return seen


def _jpeg(pictures: np.ndarray) -> np.ndarray:
    def again(picture: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "jpeg", quality=75)
        return np.asarray(Image.open(file))

    return np.stack([again(picture) for picture in pictures])


def _halved(pictures: np.ndarray) -> np.ndarray:
    parts = (as_tensor(pictures[i : i + _BATCH]) for i in range(0, len(pictures), _BATCH))

    def seen(part: torch.Tensor) -> torch.Tensor:
        half = interpolate(part, scale_factor=0.5, mode="area")
        return interpolate(half, scale_factor=2, mode="bilinear").clamp(-1, 1)

    return np.concatenate([as_pictures(seen(part)).numpy() for part in parts])


def psnr(pictures: np.ndarray, seen: np.ndarray) -> float:
    """The mean over pictures, in dB."""
    pairs = zip(pictures, seen, strict=True)
    errors = np.array([np.square(one.astype(np.float32) - other).mean() for one, other in pairs])
    return float(np.mean(10 * np.log10(255**2 / errors.clip(1e-4))))


def reader(train: Sample, columns: list[int], config: ClassifierConfig, out: Path) -> Classifier:
    """The classifier of what `columns` of `TARGETS` say, taught by the photographs as they are."""
    names = [TARGETS[i] for i in columns]
    return load(fit(config, train.pictures, train.truth[:, columns], names, out, train.name))[0]


def losses(
    model: Classifier,
    train: Sample,
    test: Sample,
    columns: list[int],
    seen: dict[str, View],
    n_bootstrap: int,
) -> list[dict[str, Any]]:
    """For each view its PSNR, precision and recall and, for each disease, its AUC and how much that is below the AUC of the pictures as they are."""
    n = min(len(train.patients), len(test.patients), COMPARED)
    reference, whose = model.features(train.pictures[:n]), (train.patients[:n], test.patients[:n])
    pictures = {name: view(test.pictures) for name, view in seen.items()}
    scores = {name: utility.scores(model, columns, each) for name, each in pictures.items()}
    areas, patients = utility.areas(scores, test, columns, n_bootstrap, seed=0)

    def told(values: np.ndarray) -> dict[str, float | None]:
        return utility.plain(stats.estimate(values, patients))

    return [
        {
            "view": name,
            "psnr": round(psnr(test.pictures, pictures[name]), 2) if name != PLAIN else None,
            **{
                key: utility.plain(each)
                for key, each in prdc.measure(
                    reference, model.features(pictures[name][:n]), whose, NEIGHBOURS, 50, 0
                ).items()
                if key in ("precision", "recall")
            },
            "mean_auc": told(areas[name].mean(axis=0)),
            "mean_lost": told((areas[PLAIN] - areas[name]).mean(axis=0)),
            "diseases": {
                TARGETS[i]: {
                    "positives": int((test.truth[:, i] == 1).sum()),
                    "known": int((~np.isnan(test.truth[:, i])).sum()),
                    "auc": told(areas[name][j]),
                    "lost": told(areas[PLAIN][j] - areas[name][j]),
                }
                for j, i in enumerate(columns)
            },
        }
        for name in seen
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="records with the splits train and test")
    parser.add_argument("--model", default="fundus256", help="a generator whose denoiser sees latents")
    parser.add_argument("--out", type=Path, default=Path("autoencoder-benchmark"), help="to continue from")
    parser.add_argument(
        "--reader", type=Path, help="a trained classifier instead, as 'synth evaluate' leaves one"
    )
    parser.add_argument("--architecture", default="mobilenetv4_conv_small", help="of the reader")
    parser.add_argument("--images", type=int, default=30_720, help="that the reader sees")
    parser.add_argument("--reported", type=int, default=20, help="held-out positives that a disease needs")
    parser.add_argument("--quick", action="store_true", help="some phantoms and a reader of a moment")
    asked = parser.parse_args()
    if not asked.quick and not asked.data:
        parser.error("give --data RECORDS, or --quick")
    with TemporaryDirectory() as scratch:
        out = Path(scratch) if asked.quick else asked.out
        folder = asked.data or _phantoms(out / "phantoms")
        generator = pipeline.load(locate(Path(asked.model)))[0]
        if not isinstance(generator.space, LatentSpace):
            parser.error(f"--model {asked.model}: its denoiser sees no latents")
        size = Preprocessing(size=generator.size)
        values: dict[str, Any] = {
            "architecture": asked.architecture,
            "preprocessing": size.model_dump(),
            "images": asked.images,
        }
        if asked.quick:
            values |= {"images": 256, "warmup": 0, "save_every": 256}
        config = check(ClassifierConfig, values, "the reader")
        train, test = (
            samples.draw(folder, [split], 1_000_000, size, out / ".cache", 0, split)
            for split in ("train", "test")
        )
        if asked.reader:
            model, _ = load(asked.reader)
            if model.config.preprocessing != size:
                parser.error(f"--reader {asked.reader}: sees {model.config.preprocessing}, not {size}")
            columns = [TARGETS.index(name) for name in model.labels]
        else:
            columns = utility.testable(train, test, config, 5 if asked.quick else asked.reported, folder)
            model = reader(train, columns, config, out / "reader")
        through = views(generator.space, train.pictures, CHANNELS)
        found = losses(model, train, test, columns, through, 100 if asked.quick else 1000)
    for view in found:
        lying, reached = view["precision"], view["recall"]
        print(f"{view['view']:28} {view['psnr'] or '':>6} dB  precision {lying['value']:.3f} ({lying['low']:.3f} to {lying['high']:.3f})"
              f"  recall {reached['value']:.3f} ({reached['low']:.3f} to {reached['high']:.3f})")  # fmt: skip
        rows = {"mean": {"auc": view["mean_auc"], "lost": view["mean_lost"]}, **view["diseases"]}
        for name, each in rows.items():
            auc, lost = each["auc"], each["lost"]
            of = f"{each['positives']:4} of {each['known']:5}" if "positives" in each else ""
            print(f"  {name:14} {of:13}  AUC {auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})"
                  f"  lost {lost['value']:+.4f} ({lost['low']:+.4f} to {lost['high']:+.4f})")  # fmt: skip
    print(json.dumps({"benchmark": "autoencoder", "quick": asked.quick, "model": asked.model, "photographs": len(test.patients),
                      "patients": len(np.unique(test.patients)), "views": found}))  # fmt: skip


def _phantoms(folder: Path) -> Path:
    phantom.write(PhantomConfig(size=256), 300, folder)
    return folder


if __name__ == "__main__":
    main()
