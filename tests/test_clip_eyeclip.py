"""EyeCLIP's recipe: masked reconstruction, contrast between two pictures of a person, and both in the one loop."""

from collections.abc import Callable
from functools import partial
from math import isqrt, log
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import timm
import torch
from accelerate import Accelerator
from killing import Work, kill_often
from pydantic import ValidationError
from torch import Tensor, nn

from clip import embed
from clip.model import checkpoints
from clip.model.encoders import ClipConfig, ImageTower, TextTower
from clip.training import batches, losses, masking, objective, views
from clip.training.caching import backward
from clip.training.config import TrainConfig, Weights
from clip.training.masking import Decoder, Masking
from clip.training.objective import Learner
from clip.training.trainer import train
from synth.base.config import load
from synth.base.errors import UserError
from synth.base.processes import in_turn
from synth.base.runs import read_metrics, sha256
from synth.data import captions
from synth.data.images import Preprocessing, encode
from synth.data.records import SCHEMA, Row, read_table, row, write_records
from synth.phantom import PhantomConfig, record

ROOT = Path(__file__).parent.parent / "configs" / "clip"
MASKING = Masking(ratio=0.75, depth=1, width=32, heads=2)
LEGACY = MASKING.model_copy(update={"after_encoder": True})
PATCH, PATCHES = 8, 16


def vit(**kwargs) -> Any:
    """A vision transformer that sees 16 patches of 8 x 8 pixels."""
    torch.manual_seed(0)
    size: dict[str, Any] = {"img_size": 32, "patch_size": PATCH, "embed_dim": 32, "depth": 2, "num_heads": 2}
    return timm.create_model("vit_base_patch32_clip_224", num_classes=16, **size | kwargs).eval()


def decoder(tower: nn.Module, settings: Masking) -> Decoder:
    torch.manual_seed(1)
    return Decoder(tower, settings).eval()


def pictures(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def orders(count: int) -> Tensor:
    return masking.shuffled(count, PATCHES, torch.Generator().manual_seed(3))


def repainted(images: Tensor, chosen: Tensor) -> Tensor:
    """The same pictures with noise in the patches that (B, R) `chosen` numbers, row by row."""
    changed = images.clone()
    for picture, numbers in zip(changed, chosen.tolist(), strict=True):
        for patch in numbers:
            y, x = (PATCH * part for part in divmod(patch, 32 // PATCH))
            picture[:, y : y + PATCH, x : x + PATCH] = torch.rand(3, PATCH, PATCH)
    return changed


def seen_by_blocks(tower: Any, run: Callable[[], Any]) -> list[Tensor]:
    """What enters each block of the tower while `run()` runs."""
    entered: list[Tensor] = []
    hooks = [
        block.register_forward_pre_hook(lambda _, given: entered.append(given[0])) for block in tower.blocks
    ]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return entered


@pytest.mark.parametrize("kwargs", [{}, {"reg_tokens": 2}, {"class_token": False, "global_pool": "avg"}],
                         ids=["class token", "registers", "no class token"])  # fmt: skip
def test_the_encoder_never_sees_what_is_removed(kwargs):
    tower, images, order = vit(**kwargs), pictures(3), orders(3)
    paint = decoder(tower, MASKING)
    changed = repainted(images, order[:, paint.kept :])
    assert not torch.equal(images, changed)
    first, second = (
        seen_by_blocks(tower, lambda each=each: masking.reconstruction(tower, paint, each, order))
        for each in (images, changed)
    )
    assert len(first) == 2 and first[0].shape == (3, tower.num_prefix_tokens + 4, 32)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    kept = order[:, : paint.kept]
    assert torch.equal(masking.visible(tower, images, kept), masking.visible(tower, changed, kept))
    other = masking.visible(tower, repainted(images, kept), kept)
    assert not torch.allclose(masking.visible(tower, images, kept), other)


def test_the_published_masking_lets_the_encoder_see_everything():
    tower, images, order = vit(), pictures(3), orders(3)
    paint = decoder(tower, LEGACY)
    changed = repainted(images, order[:, paint.kept :])
    first, second = (
        seen_by_blocks(tower, lambda each=each: masking.reconstruction(tower, paint, each, order))
        for each in (images, changed)
    )
    assert first[0].shape == (3, PATCHES, 32)
    kept = order[:, : paint.kept, None].expand(-1, -1, 32)
    # What is kept still enters the first block as it was, and has heard of what is removed by the second.
    assert torch.equal(first[0].gather(1, kept), second[0].gather(1, kept))
    assert not torch.allclose(first[1].gather(1, kept), second[1].gather(1, kept))


def test_with_everything_kept_the_encoder_is_the_tower_itself():
    tower, images = vit(), pictures(2)
    everything = torch.arange(PATCHES).expand(2, -1)
    tokens = masking.visible(tower, images, everything)
    assert torch.allclose(tokens, tower.forward_features(images), atol=1e-6)


def test_the_published_masking_does_not_know_where_a_patch_is():
    """The same patches in other places: the same tokens in other places, as if nothing had been moved."""
    tower, images, moved = (
        vit(),
        pictures(2),
        torch.randperm(PATCHES, generator=torch.Generator().manual_seed(5)),
    )
    rows = masking.cut(images, PATCH, PATCH)[:, moved].unflatten(1, (4, 4)).unflatten(3, (PATCH, PATCH, 3))
    scattered = rows.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
    assert torch.equal(masking.cut(scattered, PATCH, PATCH), masking.cut(images, PATCH, PATCH)[:, moved])
    everything = torch.arange(PATCHES).expand(2, -1)
    with torch.no_grad():
        before, after = (masking.outputs(tower, each) for each in (images, scattered))
        assert torch.allclose(before[:, moved], after, atol=1e-5)
        before, after = (masking.visible(tower, each, everything)[:, 1:] for each in (images, scattered))
        assert not torch.allclose(before[:, moved], after, atol=1e-2)


def test_the_published_masking_paints_all_removed_patches_alike():
    """Without positions nothing tells one mask from another; with positions every patch is painted for itself."""
    tower, images, order = vit(), pictures(4), orders(4)
    with torch.no_grad():
        for settings, alike in ((LEGACY, True), (MASKING, False)):
            paint = decoder(tower, settings)
            kept = order[:, : paint.kept]
            if settings.after_encoder:
                tokens = masking.outputs(tower, images).gather(1, kept[:, :, None].expand(-1, -1, 32))
            else:
                tokens = masking.visible(tower, images, kept)
            painted = paint(tokens, order)
            assert painted.shape == (4, PATCHES - paint.kept, PATCH * PATCH * 3)
            assert torch.allclose(painted, painted[:, :1].expand_as(painted), atol=1e-5) == alike


@pytest.mark.parametrize("settings", [MASKING, LEGACY, MASKING.model_copy(update={"normalised": True})],
                         ids=["MASKING", "LEGACY", "normalised"])  # fmt: skip
def test_the_loss_is_that_of_a_masked_autoencoder_written_out(settings):
    """Unshuffled, patch by patch, as the papers draw it."""
    tower, images, order = vit(), pictures(3), orders(3)
    paint = decoder(tower, settings)
    restore = order.argsort(dim=1)
    with torch.no_grad():
        tokens = masking.outputs(tower, images) if settings.after_encoder else None
        kept = order[:, : paint.kept]
        if tokens is not None:
            tokens = torch.stack([row[numbers] for row, numbers in zip(tokens, kept, strict=True)])
        else:
            tokens = masking.visible(tower, images, kept)
        hidden = paint.embed(tokens)
        first, rest = hidden[:, :1], hidden[:, 1:]  # a class token, or what passes for one
        shuffled = torch.cat([rest, paint.mask.expand(3, PATCHES - rest.shape[1], -1)], dim=1)
        patches = torch.stack([row[back] for row, back in zip(shuffled, restore, strict=True)])
        states = paint.blocks(torch.cat([first, patches + paint.positions], dim=1))
        painted = paint.paint(paint.norm(states))[:, 1:]
        expected = []
        for image, numbers, guess in zip(images, order[:, paint.kept :].tolist(), painted, strict=True):
            errors = []
            for patch in numbers:
                y, x = (PATCH * part for part in divmod(patch, 32 // PATCH))
                truth = image[:, y : y + PATCH, x : x + PATCH].permute(1, 2, 0).flatten()
                if settings.normalised:
                    truth = (truth - truth.mean()) / (truth.var() + 1e-6).sqrt()
                errors.append(((guess[patch] - truth) ** 2).mean())
            expected.append(torch.stack(errors).mean())
        found = masking.reconstruction(tower, paint, images, order)
    assert torch.allclose(found, torch.stack(expected), rtol=1e-5)


@pytest.mark.parametrize(
    "patches, ratio, kept", [(49, 0.8, 9), (64, 0.75, 16), (10 * 10, 0.8, 20), (4, 0.99, 1), (4, 0.01, 3)]
)
def test_at_least_one_patch_is_kept_and_one_removed(patches, ratio, kept):
    side = isqrt(patches)
    tower = vit(img_size=(side * 4, patches // side * 4), patch_size=4)
    assert Decoder(tower, MASKING.model_copy(update={"ratio": ratio})).kept == kept


def test_a_tower_without_patches_is_refused():
    with pytest.raises(UserError, match="no vision transformer, so it has no patches to remove"):
        Decoder(timm.create_model("resnet10t", num_classes=4), MASKING)
    with pytest.raises(UserError, match="as a single patch"):
        Decoder(vit(patch_size=32), MASKING)


def second_sight(image: np.ndarray) -> np.ndarray:
    """The same retina as another machine shows it: grey, inverted, its field of view cut to the middle."""
    grey = 255 - image[..., 1].astype(int)
    part = grey[len(grey) // 8 : -len(grey) // 8, len(grey) // 8 : -len(grey) // 8]
    return np.repeat(part.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    """Phantoms, healthy and myopic, seen by two machines; only photographs of the first have captions, and not all."""
    path = tmp_path_factory.mktemp("eyeclip") / "records"
    clear = {"second": 0, "cataract": 0, "finding": 0, "unreadable": 0}
    config = PhantomConfig(size=32, prevalence={"normal": 1, "is_pm": 1}, **clear)
    rows: list[Row] = []
    for index in range(60):
        made, phantom = record(config, index)
        bare = made | {"caption_zh": None, "caption_en": None}
        told = {"caption_en": captions.write({"is_pm": made["is_pm"]}, "en", 0)}
        other = {"bytes": encode(second_sight(phantom.image)), "path": None}
        rows += [
            bare | (told if index % 5 else {}),
            bare | {"id": f"{made['id']}-ffa", "modality": "ffa", "image": other},
        ]
    write_records(path, rows, {"kind": "two machines"})
    return path


ALL: tuple[views.Relation, ...] = ("augmented", "visits", "eyes", "modalities")


def people(told: list[tuple[str, str | None, str | None]], relations: tuple[views.Relation, ...] = ALL):
    """People of (subject, side, modality)."""
    rows = [row(id=str(i), subject_id=who, eye_side=side, modality=modality, image={"bytes": b"", "path": None})
            for i, (who, side, modality) in enumerate(told)]  # fmt: skip
    return views.related(pa.Table.from_pylist(rows, SCHEMA), relations)


@pytest.mark.parametrize(
    "relations, expected",
    [
        (("augmented",), {"augmented": [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]}),
        (("visits",), {"visits": [(0, 1)]}),
        (("eyes",), {"eyes": [(0, 2), (0, 4), (1, 2), (1, 4), (2, 4)]}),
        (("modalities",), {"modalities": [(0, 3), (1, 3)]}),
        (("eyes", "modalities"), {"eyes": [(0, 2), (0, 4), (1, 2), (1, 4), (2, 4)],
                                  "modalities": [(0, 3), (1, 3), (2, 3), (3, 4)]}),
    ],
    ids=",".join,
)  # fmt: skip
def test_relations_pair_what_they_name(relations, expected):
    """Picture 4 is of an unknown side, which may be the other one."""
    told = [
        ("a", "left", "cfp"),
        ("a", "left", "cfp"),
        ("a", "right", "cfp"),
        ("a", "left", "oct"),
        ("a", None, "cfp"),
    ]
    everyone = people([*told, ("b", "left", "cfp")], relations)
    found = {name: [tuple(pair) for pair in pairs.tolist()]
             for name, pairs in views.pairs(everyone, np.arange(5)).items()}  # fmt: skip
    assert found == expected


def test_nobody_to_compare_is_refused_by_the_name_of_the_relation():
    with pytest.raises(UserError, match="nobody has two pictures related by modalities; add 'augmented'"):
        people([("a", "left", "cfp"), ("a", "right", "cfp"), ("b", "left", "oct")], ("modalities",))


def test_both_pictures_are_of_one_person_and_the_walk_never_ends():
    told = [(f"p{i % 7}", ("left", "right")[i // 7 % 2], ("cfp", "oct")[i // 14]) for i in range(28)]
    everyone = people([*told, ("alone", "left", "cfp")], ("visits", "eyes", "modalities"))
    first, second = views.batch(everyone, 3, 0, 700)
    assert (everyone.subject[first] == everyone.subject[second]).all() and (first != second).all()
    assert len(np.unique(everyone.subject[first])) == 7, "one picture alone has no partner"
    assert (np.bincount(everyone.subject[first]) == 100).all(), "everybody comes equally often"
    within = everyone.subject[first].reshape(100, 7)
    assert all(len(set(epoch)) == 7 for epoch in within.tolist())
    other_modality = (everyone.modality[first] != everyone.modality[second]).mean()
    assert 0.4 < other_modality < 0.6, "relations are drawn before pairs"
    assert set(zip(first.tolist(), second.tolist(), strict=True)) >= {(0, 14), (14, 0)}


def test_what_is_drawn_is_a_function_of_seed_and_position():
    everyone = people(
        [(f"p{i // 4}", ("left", "right")[i % 2], ("cfp", "oct")[i // 2 % 2]) for i in range(40)]
    )
    pixels = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1).repeat(3, axis=3)
    together, subject = views.others(pixels, everyone, True, 7, 90, 16)
    halves, subjects = zip(
        *(views.others(pixels, everyone, True, 7, start, 8) for start in (90, 98)), strict=True
    )
    assert list(together) == ["first", "second", "whole"]
    assert all(
        torch.equal(drawn, torch.cat([half[use] for half in halves])) for use, drawn in together.items()
    )
    assert subject is not None and torch.equal(subject, torch.cat(subjects))
    other, _ = views.others(pixels, everyone, True, 8, 90, 16)
    assert all(not torch.equal(together[use], other[use]) for use in together)
    ten_epochs, nobody = views.others(pixels, None, True, 7, 0, 400)
    assert nobody is None and list(ten_epochs) == ["whole"]
    assert (np.bincount(ten_epochs["whole"][:, 0, 0, 0].numpy()) == 10).all()


def test_a_person_who_is_in_the_batch_twice_is_no_negative_of_himself():
    generator = torch.Generator().manual_seed(0)
    first, second = (nn.functional.normalize(torch.randn(6, 4, generator=generator), dim=1) for _ in range(2))
    subject, scale = torch.tensor([0, 1, 0, 2, 1, 0]), torch.tensor(10.0)
    logits = (10 * first @ second.T).double().numpy()
    expected = 0.0
    for table in (logits, logits.T):
        for i in range(6):
            negatives = [j for j in range(6) if subject[j] != subject[i]]
            expected -= (table[i, i] - np.log(np.exp(table[i, [i, *negatives]]).sum())) / 12
    found = views.contrast(first, second, scale, subject)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    plain = views.contrast(first, second, scale, torch.arange(6))
    assert plain.item() == pytest.approx(losses.infonce(first, second, scale).item())

    alone = views.contrast(first[:3], second[:3], scale, torch.tensor([4, 4, 4]))
    assert alone.item() == 0, "nobody else is in the batch"


SMALL = ClipConfig(
    image=ImageTower(name="vit_base_patch32_clip_quickgelu_224",
                     kwargs={"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2,
                             "weight_init": "moco"}),
    text=TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64),
    embedding=32,
    preprocessing=Preprocessing(size=32),
)  # fmt: skip
EYECLIP = TrainConfig(
    model=SMALL, caption="en", loss="multi-positive", weights=Weights(image_image=1, reconstruction=1),
    masking=MASKING, images=960, batch=16, warmup=160, save_every=160, lr=5e-3, weight_decay=0.01,
)  # fmt: skip
PARTS = ("loss_image_text", "loss_image_image", "loss_reconstruction")


def metrics(run: Path) -> list[dict[str, float]]:
    lines = read_metrics(run / "metrics.jsonl")
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.mark.slow
def test_all_three_losses_fall(records, tmp_path):
    train(EYECLIP, records, tmp_path / "run")
    lines = metrics(tmp_path / "run")
    first, last = lines[0], lines[-1]
    assert all(last[part] < 0.9 * first[part] for part in PARTS), (first, last)
    assert all(last[part] < 0.95 * log(16) for part in PARTS[:2]), "better than guessing among 16"
    assert first["loss"] == pytest.approx(sum(first[part] for part in PARTS), rel=1e-5)


def test_the_published_masking_trains_too(records, tmp_path):
    train(EYECLIP.model_copy(update={"masking": LEGACY, "images": 320}), records, tmp_path / "run")
    first, last = metrics(tmp_path / "run")
    assert last["loss_reconstruction"] < first["loss_reconstruction"]


@pytest.mark.slow
def test_five_kills_at_random_moments_change_no_bit(records, tmp_path):
    config = EYECLIP.model_copy(update={"images": 320, "save_every": 64})

    def work(out: Path) -> Work:
        return Work(train, (config, records, out), out / "config.json")

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    kill_often(work(killed), work(whole).finish())
    assert sha256(killed / "ckpt.pt") == sha256(whole / "ckpt.pt")
    assert metrics(whole) == metrics(killed)


def test_the_checkpoint_holds_the_encoder_and_not_the_decoder(records, tmp_path):
    train(EYECLIP.model_copy(update={"images": 16}), records, tmp_path / "run")
    model, head = checkpoints.load(tmp_path / "run" / "ckpt.pt")
    assert embed.images(model, records, ["test"]).shape[1] == 32
    of_all = {"image_text": 1.0, "image_image": 1.0, "reconstruction": 1.0, "distillation": 0.0}
    assert head.config and head.config["weights"] == of_all


def test_a_loss_of_no_weight_costs_and_draws_nothing(records, tmp_path):
    """The towers, the captioned pictures and their changes do not depend on what else is trained."""
    plain = EYECLIP.model_copy(update={"weights": Weights(), "images": 16})
    assert not hasattr(Learner(plain), "decoder")
    alone, beside = Learner(plain), Learner(EYECLIP)
    for name, weight in alone.state_dict().items():
        assert torch.equal(weight, beside.state_dict()[name])
    train(plain, records, tmp_path / "plain")
    train(EYECLIP.model_copy(update={"images": 16}), records, tmp_path / "all")
    a, b = (metrics(tmp_path / name)[0] for name in ("plain", "all"))
    assert a["loss"] == b["loss_image_text"]


def test_parts_that_fit_into_memory_give_the_gradient_of_the_whole_batch():
    config = EYECLIP.model_copy(update={"weights": Weights(image_image=1)})
    generator = torch.Generator().manual_seed(0)
    shown, first, second = (torch.rand(12, 3, 32, 32, generator=generator) for _ in range(3))
    tokens = torch.randint(1, 100, (12, 8), generator=generator)
    targets = objective.Targets(torch.arange(12), torch.zeros(12, 1), torch.arange(12) // 3)

    def gradients(width: int) -> list[Tensor]:
        learner = Learner(config).eval()  # nothing is dropped
        parts = [slice(at, at + width) for at in range(0, 12, width)]
        forwards = [
            partial(learner, shown[at], tokens[at], {"first": first[at], "second": second[at]})
            for at in parts
        ]
        backward(Accelerator(cpu=True), learner, forwards, lambda features: (
            objective.total(config, objective.named_losses(config, features, targets)), None))  # fmt: skip
        return [parameter.grad for parameter in learner.parameters() if parameter.grad is not None]

    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(gradients(12), gradients(4), strict=True))


@pytest.mark.parametrize("name", ["eyeclip", "eyeclip-legacy", "eyeclip-tiny"])
def test_the_recipes_are_whole(name):
    config = load(TrainConfig, ROOT / f"{name}.yaml")
    assert config.weights.image_text and config.weights.image_image and config.weights.reconstruction
    with torch.device("meta"):
        learner = Learner(config)
    assert learner.decoder.patches == (64 if name == "eyeclip-tiny" else 49)
    assert learner.decoder.kept == (12 if name == "eyeclip-tiny" else 9)


def test_the_recipes_differ_in_the_masking_alone():
    right, published = (load(TrainConfig, ROOT / f"{name}.yaml") for name in ("eyeclip", "eyeclip-legacy"))
    assert published == right.model_copy(update={"masking": Masking(after_encoder=True)})


def test_an_unknown_relation_is_refused():
    with pytest.raises(ValidationError, match="'augmented', 'visits', 'eyes' or 'modalities'"):
        TrainConfig.model_validate({"relations": ["siblings"]})
    with pytest.raises(ValueError, match="width=50 must be a multiple of 4 and of heads=5"):
        Masking(width=50, heads=5)


def drawn(pairs: batches.Pairs, span: range) -> batches.Batch:
    return batches.batch(pairs, 5, span.start, len(span))


def test_processes_that_decode_hand_over_what_needs_no_caption(records, tmp_path):
    pairs = batches.load(records, "train", SMALL, "en", tmp_path, "always")
    pairs = pairs._replace(people=views.load(records, "train", ALL), whole=True)
    spans = [range(0, 4), range(4, 8)]
    here, there = (list(in_turn(partial(drawn, pairs), spans, workers)) for workers in (0, 1))
    for a, b in zip(here, there, strict=True):
        assert a.others and b.others and list(a.others) == list(b.others) == ["first", "second", "whole"]
        assert all(torch.equal(a.others[use], b.others[use]) for use in a.others)
        assert a.subject is not None and b.subject is not None and torch.equal(a.subject, b.subject)
    captioned = {i for i, text in enumerate(read_table(records, ["train"])["caption_en"].to_pylist()) if text}
    assert set(pairs.rows.tolist()) == captioned and len(pairs.pixels) > len(captioned)
    shown = views.everybody(len(pairs.pixels), 5, 0, len(pairs.pixels))
    assert sorted(shown) == list(range(len(pairs.pixels))), "all pictures are reconstructed"
