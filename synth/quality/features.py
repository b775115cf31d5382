"""What photographs are compared by: a named function from pictures to vectors."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from synth.base import arrays, extras, networks
from synth.base.device import accelerator
from synth.base.errors import UserError
from synth.base.runs import sha256
from synth.classifier.classifier import load
from synth.sampling.engines.rows import Launch, computed

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which torchvision's weights expect
KNOWN = "own, random:NAME, timm:NAME=FILE, torchvision:NAME=FILE, inception:FILE"


class Features(NamedTuple):
    """A function from (B, S, S, 3) uint8 to (B, D), and the name under which its results are reported."""

    name: str
    call: Callable[[np.ndarray], np.ndarray]
    frechet: str = "Fréchet distance"
    kernel: str = "kernel distance"


def own(path: Path, place: torch.device | None = None) -> Features:
    """Those of the classifier that learnt from the real photographs, from its file, at `place`; None is the accelerator."""
    classifier, _ = load(path, place)
    config = classifier.config
    name = f"{config.architecture} trained on these real photographs, {config.preprocessing.size} px"
    return Features(name, classifier.features)


def parse(text: str, size: int, place: torch.device | None = None) -> Features:
    """The features that `--features` names, all but `own`, computed at `place`; None is the accelerator.

    Raises:
        UserError: unknown, or the weights do not fit.
    """
    place = place or accelerator()
    kind, _, rest = text.partition(":")
    name, _, file = rest.partition("=")
    if kind == "random" and rest:
        return Features(f"{rest} with random weights (seed 0), {size} px", _timm(rest, None, place))
    if kind in ("timm", "torchvision") and name and file:
        call = (_timm if kind == "timm" else _torchvision)(name, Path(file), place)
        return Features(f"{kind} {name}, weights {Path(file).name} ({sha256(Path(file))[:8]})", call)
    if kind == "inception" and rest:
        path = Path(rest)
        shown = (
            f"Inception of 2015 ({path.name}, {sha256(path)[:8] if path.is_file() else 'absent'}), {size} px"
        )
        return Features(shown, _inception(path, place), "FID", "KID")
    raise UserError(f"--features '{text}': known: {KNOWN}")


def extract(
    begin: Callable[[torch.device], Features],
    pictures: Path,
    count: int,
    path: Path,
    what: str,
    launch: Launch = Launch(),
) -> np.ndarray:
    """(N, D) float32 features of the first pictures in a file, computed once and kept in `path`.

    Args:
        begin:    opens the features on a device; is pickled where several processes compute.
        pictures: an array of (N or more, S, S, 3) uint8.

    Raises:
        UserError: the function gives something else than one vector a picture.
    """
    if not path.exists():
        parts = path.with_suffix(".parts")
        made = computed(partial(_begun, begin, pictures), count, parts, f"features of {what}", launch)
        arrays.write(path, made)
        shutil.rmtree(parts, ignore_errors=True)
    return arrays.read(path, (count, None))


def _begun(
    begin: Callable[[torch.device], Features], path: Path, place: torch.device
) -> Callable[[slice], np.ndarray]:
    features, pictures = begin(place), arrays.mapped(path)

    def compute(rows: slice) -> np.ndarray:
        found = np.asarray(features.call(np.asarray(pictures[rows])))
        if found.ndim != 2 or len(found) != rows.stop - rows.start or not np.isfinite(found).all():
            raise UserError(
                f"features '{features.name}': {found.shape} of {rows.stop - rows.start} pictures, or not finite; "
                "one vector a picture is needed"
            )
        return found

    return compute


def _timm(name: str, file: Path | None, place: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    import timm

    if not timm.is_model(name):
        raise UserError(f"--features: '{name}' is unknown to timm {timm.__version__}")
    torch.manual_seed(0)
    network = networks.build(name, 0)
    pretrained: Any = network.pretrained_cfg
    if file is None:
        return _network(network, place, None, pretrained["mean"], pretrained["std"])
    networks.load(network, file)
    return _network(network, place, pretrained["input_size"][-1], pretrained["mean"], pretrained["std"])


def _torchvision(name: str, file: Path, place: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    from torchvision import models

    if name not in models.list_models(models):
        raise UserError(f"--features: '{name}' is unknown to torchvision")
    network = models.get_model(name, weights=None)
    networks.load(network, file)
    for last in ("fc", "classifier", "head", "heads"):
        if hasattr(network, last):
            setattr(network, last, torch.nn.Identity())
    return _network(network, place, 224, _MEAN, _STD)


def _network(
    network: torch.nn.Module,
    place: torch.device,
    side: int | None,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Callable[[np.ndarray], np.ndarray]:
    network.eval().to(place)
    middle, spread = (torch.tensor(each).view(1, 3, 1, 1).to(place) for each in (mean, std))

    @torch.inference_mode()
    def call(pictures: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(np.array(pictures)).to(place).permute(0, 3, 1, 2).float() / 255
        if side and images.shape[-1] != side:
            images = torch.nn.functional.interpolate(images, size=side, mode="bicubic", antialias=True)
        return network((images.clamp(0, 1) - middle) / spread).flatten(1).cpu().numpy()

    return call


def _inception(path: Path, place: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    """The network of the published FID, resized to as clean-fid does (Parmar et al. 2022, 2104.11222)."""
    if path.name != "inception-2015-12-05.pt" or not path.is_file():
        raise UserError(f"{path}: give the file inception-2015-12-05.pt; other weights give no FID")
    extras.require(f"inception:{path}", "cleanfid")
    from cleanfid.inception_torchscript import InceptionV3W
    from cleanfid.resize import build_resizer

    try:
        network = InceptionV3W(str(path.parent), download=False).eval().to(place)
    except RuntimeError as error:
        raise UserError(f"{path}: not TorchScript or damaged ({str(error).splitlines()[0]})") from None
    resize = build_resizer("clean")

    @torch.inference_mode()
    def call(pictures: np.ndarray) -> np.ndarray:
        images = np.stack([resize(np.asarray(Image.fromarray(each))) for each in pictures])
        return network(torch.from_numpy(images).to(place).permute(0, 3, 1, 2)).cpu().numpy()

    return call
