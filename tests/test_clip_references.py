"""What learns from labels is right as often as independent implementations are, on three sets; seeds and threads change nothing."""

import json
import os
import subprocess
import sys
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import nn

from clip.augmentation.augment import Augment
from clip.evaluation import adapters, few_shot, finetune, linear
from clip.model.encoders import ClipConfig, ImageTower, TextTower, build, normalise
from synth.data.images import Preprocessing

TOLERANCE = 1e-3
"""By how much accuracies may differ."""
STRENGTHS = (0.1, 1.0, 10.0, 1000.0)


class Drawn(NamedTuple):
    """Embeddings of length 1 and their classes, of three parts."""

    train: tuple[np.ndarray, np.ndarray]
    held: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


SETS = {"apart": (2, 3.0, 0), "overlapping": (3, 0.7, 0), "unequal": (4, 1.2, 2)}
"""Classes, how far they lie apart, and how unequal they are."""


def embeddings(name: str, train: int = 240) -> Drawn:
    """Clouds in 24 directions of very unequal size, as those of an encoder."""
    classes, apart, unequal = SETS[name]
    rng = np.random.default_rng(len(name))
    centres = apart * rng.normal(size=(classes, 24)) * np.exp(-np.arange(24) / 6)
    shares = 1.0 / (1 + np.arange(classes)) ** unequal

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        truth = np.concatenate(
            [np.arange(classes), rng.choice(classes, count - classes, p=shares / shares.sum())]
        )
        points = centres[truth] + rng.normal(size=(count, 24)) * np.exp(-np.arange(24) / 8)
        return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), truth

    return Drawn(part(train), part(120), part(2000))


def right(probability: np.ndarray, truth: np.ndarray) -> float:
    return float((probability.argmax(axis=1) == truth).mean())


def area(truth: np.ndarray, probability: np.ndarray) -> float:
    """Scikit-learn's macro AUC, one class against the others."""
    return float(np.mean([roc_auc_score(truth == k, probability[:, k]) for k in np.unique(truth)]))


@pytest.mark.parametrize("name", SETS)
def test_a_linear_probe_is_right_as_often_as_scikit_learns_by_another_solver(name):
    drawn = embeddings(name)
    ours = linear.choose(*drawn.train, *drawn.held, STRENGTHS, balanced=True)
    features, truth = drawn.train[0].astype(float), drawn.train[1]
    theirs = [
        LogisticRegression(C=c, class_weight="balanced", solver="lbfgs", tol=1e-10, max_iter=50_000).fit(
            features, truth
        )
        for c in STRENGTHS
    ]
    best = max(
        theirs, key=lambda probe: area(drawn.held[1], probe.predict_proba(drawn.held[0].astype(float)))
    )
    test, answers = drawn.test[0].astype(float), drawn.test[1]
    assert ours.C == best.C and linear.has_converged(ours)
    assert right(ours.predict_proba(test), answers) == pytest.approx(
        right(best.predict_proba(test), answers), abs=TOLERANCE
    )
    order = np.random.default_rng(9).permutation(
        len(truth)
    )  # neither does the order of the photographs matter
    again = linear.choose(drawn.train[0][order], truth[order], *drawn.held, STRENGTHS, balanced=True)
    assert right(again.predict_proba(test), answers) == pytest.approx(
        right(ours.predict_proba(test), answers), abs=TOLERANCE
    )


def text_of(drawn: Drawn) -> adapters.Text:
    """Prototypes as prompts give them, near the classes and not on them; the scale of a CLIP in training."""
    features, truth = drawn.held
    means = np.stack([features[truth == k].mean(axis=0) for k in np.unique(truth)])
    means += 0.3 * np.random.default_rng(2).normal(size=means.shape) / means.shape[1] ** 0.5
    return adapters.Text(means / np.linalg.norm(means, axis=1, keepdims=True), 10.0)


def shots_of(drawn: Drawn, size: int) -> few_shot.Shots:
    places = np.concatenate([np.flatnonzero(drawn.train[1] == k)[:size] for k in np.unique(drawn.train[1])])
    return few_shot.Shots(drawn.train[0][places], drawn.train[1][places], *drawn.held, 0)


@pytest.mark.parametrize("name", SETS)
def test_a_probe_of_few_shots_is_right_as_often_as_scikit_learns(name):
    drawn = embeddings(name)
    shots = shots_of(drawn, 4)
    probability, chosen = few_shot.learn(few_shot.FewShotConfig(strengths=STRENGTHS), "linear", shots, None)
    theirs = LogisticRegression(C=chosen["C"], class_weight="balanced", tol=1e-10, max_iter=50_000)
    theirs.fit(shots.features.astype(float), shots.truth)
    found = right(probability(drawn.test[0]), drawn.test[1])
    assert found == pytest.approx(
        right(theirs.predict_proba(drawn.test[0].astype(float)), drawn.test[1]), abs=TOLERANCE
    )


@pytest.mark.parametrize("name", SETS)
def test_the_keys_of_tip_adapter_converge_to_the_optimum_that_scipy_finds(name):
    """By L-BFGS over a formula of numpy; AdamW's decay of weights leaves ours a little above."""
    drawn = embeddings(name)
    shots, text = shots_of(drawn, 2), text_of(drawn)
    start = adapters.tip(text, shots.features, shots.truth)
    tuned = adapters.tune_keys(start, shots.truth, 1500, 1e-2)
    values, answers = np.eye(len(text.prototypes))[shots.truth], torch.from_numpy(shots.truth)
    fixed = [
        torch.from_numpy(np.asarray(each, float))
        for each in (shots.features, values, text.logits(shots.features))
    ]

    def loss(keys: np.ndarray) -> tuple[float, np.ndarray]:
        """The cross-entropy of the shots and its slope."""
        moved = torch.from_numpy(keys.reshape(start.keys.shape)).requires_grad_()
        affinity = torch.exp(-start.sharpness * (1 - fixed[0] @ moved.T))
        made = nn.functional.cross_entropy(start.weight * affinity @ fixed[1] + fixed[2], answers)
        made.backward()
        return made.item(), np.asarray(moved.grad).ravel()

    ours, before = (loss(keys.astype(float).ravel())[0] for keys in (tuned.keys, start.keys))
    ends = minimize(
        loss, start.keys.astype(float).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200}
    )
    assert ours < before and ours <= ends.fun + 0.05
    expected = softmax(
        text.logits(drawn.test[0])
        + start.weight * np.exp(-start.sharpness * (1 - drawn.test[0] @ tuned.keys.T)) @ values,
        axis=1,
    )
    assert right(tuned.probability(drawn.test[0]), drawn.test[1]) == pytest.approx(
        right(expected, drawn.test[1]), abs=TOLERANCE
    )


@pytest.mark.parametrize("name", SETS)
def test_clip_adapter_is_what_a_plain_loop_of_its_formula_gives_and_its_seed_matters_little(name):
    drawn = embeddings(name)
    shots, text = shots_of(drawn, 8), text_of(drawn)
    ours = adapters.clip_adapter(text, shots.features, shots.truth, 0.2, 300, 1e-2, 0)
    generator = torch.Generator().manual_seed(0)
    first = (torch.randn(24, 6, generator=generator) * (2 / 24) ** 0.5).requires_grad_()
    second = torch.zeros(6, 24, requires_grad=True)
    optimizer = torch.optim.AdamW([first, second], lr=1e-2, eps=1e-4)
    seen, prototypes = torch.from_numpy(shots.features), torch.from_numpy(text.prototypes).float()
    for step in range(300):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 + np.cos(np.pi * step / 300)) / 2
        mixed = 0.2 * (seen @ first).clamp(min=0) @ second + 0.8 * seen
        logits = 10 * (mixed / mixed.norm(dim=1, keepdim=True)) @ prototypes.T
        loss = -(logits.log_softmax(dim=1))[torch.arange(len(seen)), torch.from_numpy(shots.truth)].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    plain = ours._replace(first=first.detach().numpy(), second=second.detach().numpy())
    test, answers = drawn.test
    assert right(ours.probability(test), answers) == pytest.approx(
        right(plain.probability(test), answers), abs=TOLERANCE
    )


# Fine-tuning

PLAIN = Augment(crop=1, stretch=1, brightness=0, contrast=0, saturation=0)
MODEL = ClipConfig(
    image=ImageTower(
        name="vit_tiny_patch16_224", kwargs={"img_size": 32, "embed_dim": 24, "depth": 1, "num_heads": 2}
    ),
    text=TextTower(layers=1, width=32, heads=2, feedforward=32, positions=64),
    embedding=16,
    preprocessing=Preprocessing(size=32),
)


def squares(classes: int, noise: int, seed: int) -> tuple[finetune.Squares, finetune.Squares]:
    """Squares whose colour tells the class, but for noise: to learn from, and to judge on."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(60, 190, (classes, 3))

    def part(count: int) -> finetune.Squares:
        truth = np.arange(count) % classes
        pixels = (
            colours[truth][:, None, None]
            + rng.normal(0, noise, (count, 1, 1, 3))
            + rng.normal(0, 20, (count, 32, 32, 3))
        )
        return finetune.Squares(pixels.clip(0, 255).astype(np.uint8), np.arange(count), truth)

    return part(32), part(200)


@pytest.mark.parametrize(("classes", "noise", "seed"), [(2, 10, 0), (2, 40, 1), (3, 25, 2)], ids=SETS)
def test_fine_tuning_is_right_as_often_as_a_plain_loop_over_the_same_tower(classes, noise, seed):
    """Whole batches and equal rates, so that nothing of ours but the loop is left: no draw, no augmentation."""
    train, test = squares(classes, noise, seed)
    config = finetune.FinetuneConfig(
        epochs=40, batch=32, lr=1e-3, head_lr=1e-2, layer_decay=1, weight_decay=0, smoothing=0, augment=PLAIN
    )
    model = build(MODEL, seed=seed)
    tuned, epoch = finetune.tune(config, "full", model, train, train, classes, 0)
    theirs, head = deepcopy(model.visual).train(), nn.Linear(16, classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.AdamW(
        [{"params": theirs.parameters(), "lr": 1e-3}, {"params": head.parameters(), "lr": 1e-2}],
        weight_decay=0,
    )
    rates = [group["lr"] for group in optimizer.param_groups]
    pictures, truth = normalise(torch.from_numpy(train.pixels)), torch.from_numpy(train.truth)
    for step in range(epoch):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min((step + 1) / 4, (1 + np.cos(np.pi * step / 40)) / 2)
        logits = head(4 * nn.functional.normalize(theirs(pictures), dim=1))
        loss = nn.functional.cross_entropy(
            logits, truth, torch.tensor(32 / classes / np.bincount(train.truth)).float()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        seen: Any = theirs.eval()(normalise(torch.from_numpy(test.pixels)))
        expected = head(4 * nn.functional.normalize(seen, dim=1)).softmax(dim=1).numpy()
    found = finetune.probability(tuned, test)
    assert right(found, test.truth) == pytest.approx(right(expected, test.truth), abs=TOLERANCE)
    assert right(found, test.truth) > 1.3 / classes


@pytest.mark.parametrize("name", SETS)
def test_threads_change_no_answer_of_a_probe(name):
    drawn, threads = embeddings(name), torch.get_num_threads()
    made = []
    for count in (1, 2):
        torch.set_num_threads(count)
        probe = linear.choose(*drawn.train, *drawn.held, STRENGTHS, balanced=True)
        adapter = adapters.clip_adapter(text_of(drawn), *shots_of(drawn, 4)[:2], 0.2, 50, 1e-2, 0)
        made.append(
            [right(each(drawn.test[0]), drawn.test[1]) for each in (probe.predict_proba, adapter.probability)]
        )
    torch.set_num_threads(threads)
    assert made[0] == pytest.approx(made[1], abs=TOLERANCE)


def answers(threads: int = 1, seed: int = 0) -> list[float]:
    """How often probe, adapter and fine-tuned tower are right, on each set."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    made = []
    for place, name in enumerate(SETS):
        drawn = embeddings(name)
        probe = linear.choose(*drawn.train, *drawn.held, STRENGTHS, balanced=True)
        train, test = squares(SETS[name][0], 10, place)
        config = finetune.FinetuneConfig(epochs=40, batch=32, lr=1e-3, head_lr=1e-2, augment=PLAIN)
        tuned, _ = finetune.tune(config, "full", build(MODEL, seed=place), train, train, SETS[name][0], seed)
        made += [right(probe.predict_proba(drawn.test[0]), drawn.test[1])]
        made += [right(finetune.probability(tuned, test), test.truth)]
    torch.set_num_threads(before)
    return made


@pytest.mark.slow
def test_neither_seeds_nor_threads_nor_processors_change_what_is_learnt_to_its_end():
    """A processor of another kind is one that may use fewer instructions, in a process of its own."""
    expected = answers()
    assert answers(threads=2) == pytest.approx(expected, abs=TOLERANCE)
    assert answers(seed=1) == pytest.approx(expected, abs=TOLERANCE)
    older = {"OPENBLAS_CORETYPE": "Haswell", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    line = "import json; from tests.test_clip_references import answers; print(json.dumps(answers()))"
    done = subprocess.run(
        [sys.executable, "-c", line], env={**os.environ, **older}, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == pytest.approx(expected, abs=TOLERANCE)
