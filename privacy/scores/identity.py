"""The second space of copies: what stays of a photograph when it is mirrored, turned, cropped, re-coloured.

A small network learns from the photographs themselves, and from no label, to tell each from all others however it was
altered (SimCLR, Chen et al. 2020, 2002.05709; a copy detector of this kind: Dar et al. 2024, 2402.01054).  Both groups
teach it, and it is never told which group is which, so that membership dealt anew would give the same network.
"""

from typing import TYPE_CHECKING

import numpy as np

from synth.base import ties
from synth.base.runs import progress

if TYPE_CHECKING:
    from torch import Generator, Tensor, device
    from torch.nn import Module

SIDE = 32
DIMENSIONS = 64
_BATCH = 64
_TEMPERATURE = 0.1
_RATE = 2e-3
_BACKGROUND = 10


def embed(learnt: np.ndarray, others: np.ndarray, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Learn from (N, S, S, 3) uint8 photographs, and embed them and (G, S, S, 3) others.

    Args:
        steps: of training, 64 photographs each.

    Returns:
        (N, 64) and (G, 64) float32 of length 1; an altered photograph is near to itself.
    """
    import torch

    from synth.base.device import accelerator, moved

    place = accelerator()
    photographs = _small(learnt, place)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network().to(place)
    chance = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    with progress("learning who is who", steps, unit="steps") as bar:
        for _ in range(steps):
            rows = moved(torch.randperm(len(photographs), generator=chance)[:_BATCH], place)
            views = torch.cat([_altered(photographs[rows], chance), _altered(photographs[rows], chance)])
            loss = _contrast(network(_standard(views)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.update()
    return _embedded(network.eval(), photographs), _embedded(network, _small(others, place))


def nearest(
    pictures: np.ndarray, among: np.ndarray, patient_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How near each of (G, D) vectors comes to the nearest of (R, D), and which that is.

    Returns:
        (G,) distance over that to the tenth-nearest of other patients, at most 1, as in `privacy.targets.registered`;
        (G,) int.
    """
    pictures, among = pictures.astype(float), among.astype(float)  # squares of what is near cancel
    closeness, index = np.empty(len(pictures)), np.empty(len(pictures), int)
    lengths = (among**2).sum(axis=1)
    for first in range(0, len(pictures), _BATCH):
        part = pictures[first : first + _BATCH]
        squares = lengths - 2 * part @ among.T + (part**2).sum(axis=1, keepdims=True)
        here = slice(first, first + len(part))
        found, beside = ranked(squares, patient_ids)
        closeness[here] = (np.linalg.norm(part - among[found], axis=1) / beside).clip(max=1)
        index[here] = found
    return closeness, index


def ranked(squares: np.ndarray, patient_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(G,) int the nearest of (R,) photographs, whose patients are given, and (G,) how far the tenth-nearest of other patients is.

    Args:
        squares: (G, R) float64 distances, squared.
    """
    found = ties.first_smallest(squares)
    distance = np.sqrt(squares.clip(0))
    farthest = distance.max(axis=1, keepdims=True)  # stands for patients who are not there
    others = np.where(patient_ids[None] != patient_ids[found][:, None], distance, farthest)
    rank = min(_BACKGROUND, squares.shape[1]) - 1
    return found, np.partition(others, rank, axis=1)[:, rank].clip(1e-9)


def candidates(pictures: np.ndarray, among: np.ndarray, count: int) -> np.ndarray:
    """(G, count) int rows of those of (R, D) vectors that are nearest to each of (G, D), all of length 1, in no order."""
    count = min(count, len(among))
    parts = [
        np.argpartition(-(pictures[first : first + _BATCH] @ among.T), count - 1, axis=1)[:, :count]
        for first in range(0, len(pictures), _BATCH)
    ]
    return np.concatenate(parts)


def _network() -> "Module":
    from torch import nn

    def block(inside: int, outside: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inside, outside, 3, stride=2, padding=1)
        return [convolution, nn.GroupNorm(4, outside), nn.ReLU()]

    layers = [*block(3, 32), *block(32, 64), *block(64, 128), nn.Flatten(), nn.Linear(2048, DIMENSIONS)]
    return nn.Sequential(*layers)


def _small(photographs: np.ndarray, place: "device") -> "Tensor":
    """(N, 3, 32, 32) float in [0, 1], on a device."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    parts = [
        adaptive_avg_pool2d(
            torch.from_numpy(np.array(photographs[i : i + 512])).to(place).permute(0, 3, 1, 2).float(), SIDE
        )
        for i in range(0, len(photographs), 512)
    ]
    return torch.cat(parts) / 255


def _altered(images: "Tensor", chance: "Generator") -> "Tensor":
    """Each turned, enlarged, shifted, mirrored, re-coloured and made noisy at random; `chance` is the host's."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    from synth.base.device import moved

    def uniform(low: float, high: float, *shape: int) -> "Tensor":
        return moved(low + (high - low) * torch.rand(len(images), *shape, generator=chance), images.device)

    turn, zoom = torch.deg2rad(uniform(-20, 20)), uniform(0.85, 1.15)
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cos, sin = zoom * torch.cos(turn), zoom * torch.sin(turn)
    x, y = uniform(-0.1, 0.1), uniform(-0.1, 0.1)
    how = torch.stack(
        [torch.stack([mirror * cos, -sin, x], dim=1), torch.stack([mirror * sin, cos, y], dim=1)], dim=1
    )
    turned = grid_sample(
        images, affine_grid(how, list(images.shape), align_corners=False), align_corners=False
    )
    light = turned.clamp(1e-4, 1) ** uniform(0.7, 1.4, 1, 1, 1) * uniform(0.7, 1.3, 3, 1, 1)
    noise = moved(torch.randn(images.shape, generator=chance), images.device)
    return light + uniform(-0.06, 0.06, 3, 1, 1) + 0.03 * noise


def _standard(images: "Tensor") -> "Tensor":
    """Mean 0 and deviation 1 in each channel of each picture: no colour, no exposure."""
    centred = images - images.mean(dim=(2, 3), keepdim=True)
    return centred / centred.std(dim=(2, 3), keepdim=True).clamp(min=1e-3)


def _contrast(embedded: "Tensor") -> "Tensor":
    """NT-Xent of (2B, D), the two views of a photograph B rows apart (2002.05709, eq. 1)."""
    import torch
    from torch.nn.functional import cross_entropy, normalize

    unit = normalize(embedded, dim=1)
    rows = torch.arange(len(unit), device=unit.device)
    likeness = (unit @ unit.T / _TEMPERATURE).masked_fill(
        torch.eye(len(unit), dtype=torch.bool, device=unit.device), -torch.inf
    )
    return cross_entropy(likeness, rows.roll(len(unit) // 2))


def _embedded(network: "Module", photographs: "Tensor") -> np.ndarray:
    """(N, D): the mean of a photograph and its mirror image, of length 1."""
    import torch
    from torch.nn.functional import normalize

    parts = []
    with torch.inference_mode():
        for first in range(0, len(photographs), 512):
            images = _standard(photographs[first : first + 512])
            both = normalize(network(images), dim=1) + normalize(network(images.flip(-1)), dim=1)
            parts.append(normalize(both, dim=1))
    return torch.cat(parts).cpu().numpy()
