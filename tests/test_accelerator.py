"""What embeds and predicts does so on the GPU that there is, and says there what it says on the CPU; a GPU that is none."""

import numpy as np
import pytest
import torch
from generators import CLASSIFIER
from gpus import OnGpu, entered, host

from clip.evaluation import segmenting
from clip.evaluation.segmenting import SegmentationConfig
from privacy.scores import identity
from synth.anatomy import network
from synth.base import checkpoint, device
from synth.classifier import classifier
from synth.quality import features
from synth.sampling.filters import copies

PICTURES = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), np.uint8)


def marks() -> np.ndarray:
    return network.mark(PICTURES)


def nearness() -> np.ndarray:
    search = copies.Search(copies.descriptor(PICTURES), np.arange(len(PICTURES)))
    return search.closeness(copies.descriptor(PICTURES[::-1]))[0]


def random_features() -> np.ndarray:
    return features.parse("random:test_resnet", 32).call(PICTURES)


@pytest.mark.parametrize("call", [marks, nearness, random_features], ids=lambda call: call.__name__)
def test_what_judges_photographs_computes_on_the_gpu(monkeypatch, call):
    expected = call()
    with entered(monkeypatch) as gpu:
        found = call()
        assert "a copy from the GPU" in gpu.waits  # it came from there
    assert np.allclose(found, expected, atol=1e-5)


def test_a_classifier_opens_on_the_gpu_and_predicts_there(monkeypatch, tmp_path):
    torch.manual_seed(0)
    model = classifier.Classifier(CLASSIFIER, ["is_gc"])
    values = {
        "config": CLASSIFIER.model_dump(mode="json"),
        "labels": ["is_gc"],
        "weights": model.state_dict(),
    }
    head = checkpoint.header(classifier.FORMAT, classifier.VERSION, **values)
    checkpoint.save(tmp_path / "classifier.pt", head)
    size = CLASSIFIER.preprocessing.size
    shown = np.random.default_rng(1).integers(0, 255, (5, size, size, 3), np.uint8)
    expected = classifier.load(tmp_path)[0].predict(shown)
    with entered(monkeypatch):
        opened, _ = classifier.load(tmp_path)
        assert all(isinstance(each, OnGpu) for each in opened.state_dict().values())
        assert np.allclose(opened.predict(shown), expected, atol=1e-5)


def test_views_and_masks_are_varied_on_the_gpu_as_on_the_cpu(monkeypatch):
    """For the second space of copies, and for segmentation; what is drawn is drawn on the host."""
    masks = np.arange(6 * 1024).reshape(6, 32, 32) % 2

    def varied(place: torch.device) -> list[torch.Tensor]:
        chance = torch.Generator().manual_seed(0)
        altered = identity._altered(identity._small(PICTURES, place), chance)
        pixels, truth = (torch.from_numpy(each).to(place) for each in (PICTURES, masks))
        return [altered, *segmenting.varied(SegmentationConfig(), pixels, truth, chance)]

    expected = varied(torch.device("cpu"))
    with entered(monkeypatch):
        found = [host(each) for each in varied(device.accelerator())]
    assert all(torch.allclose(a.float(), b.float(), atol=1e-4) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("number, place", [(0, "cuda:0"), (1, "cuda:1"), (5, "cuda:1")])
def test_processes_share_the_gpus_by_their_numbers(monkeypatch, number, place):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.accelerator(number) == torch.device(place)
