"""A disease and a finding more, added in memory: what was trained before still opens and says the same, and knows it not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from generators import CLASSIFIER, tiny
from pictures import drawn, folder

from synth import pipeline
from synth.classifier import classifier
from synth.model import card
from synth.model.conditioning import LabelConditioning
from synth.model.labels import FIRST, LabelEncoding, current, of_generator
from synth.training.trainer import train

LABELS = {"dr_grade": 2, "is_gc": 1, "findings": ["exudate"], "eye_side": "left", "modality": "cfp"}
EXTEND = """
import sys
from synth.data import vocabulary as v
v.DISEASES = (v.Term("is_new", "新病", "new disease"), *v.DISEASES)
v.FINDINGS = (*v.FINDINGS[:3], v.Term("new_sign", "新征", "new sign"), *v.FINDINGS[3:])
v.FLAGS, v.FINDING_KEYS = (tuple(term.key for term in terms) for terms in (v.DISEASES, v.FINDINGS))
sys.path.insert(0, "tests")
"""


def extended(code: str, *arguments: object) -> str:
    """What Python code prints in a process whose vocabulary has two terms more than ours."""
    line = [sys.executable, "-c", EXTEND + code, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    root = Path(__file__).parent.parent
    done = subprocess.run(line, capture_output=True, text=True, cwd=root, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def picture(folder: Path) -> list:
    generator, _ = pipeline.load(folder)
    codes = torch.from_numpy(generator.conditioning.labels.code(LABELS))[None]
    noise = torch.randn(1, *generator.shape, generator=torch.Generator().manual_seed(0))
    steps = None if generator.config["student"] else 3
    return generator(codes, noise, steps).flatten()[::97].tolist()


PICTURES = """
import json
from test_extend_vocabulary import picture
from synth.data.vocabulary import FLAGS
from synth.model import card
from pathlib import Path
assert "is_new" in FLAGS
print(json.dumps([picture(Path(folder)) for folder in sys.argv[1:]]))
"""


@pytest.mark.slow
def test_shipped_generators_draw_the_same_for_the_same_labels():
    folders = [card.WEIGHTS / "fundus256", card.WEIGHTS / "fundus256-4"]
    assert json.loads(extended(PICTURES, *folders)) == [picture(each) for each in folders]


CLASSIFIED = """
import json
from pathlib import Path
import numpy as np
from pictures import drawn
from synth.classifier import classifier
from synth.classifier.targets import TARGETS
assert "is_new" in TARGETS
model, head = classifier.load(Path(sys.argv[1]))
shown = np.stack([drawn(i, i % 2, 16) for i in range(4)])
print(json.dumps([model.labels, model.predict(shown).tolist()]))
"""


@pytest.mark.slow
def test_a_classifier_opens_and_predicts_the_same(tmp_path):
    config = CLASSIFIER.model_copy(update={"images": 32})
    shown = np.stack([drawn(i, i % 2, 16) for i in range(16)])
    truth = np.stack([np.arange(16) % 2, np.arange(16) // 2 % 2], axis=1).astype(np.float32)
    path = classifier.fit(config, shown, truth, ["is_gc", "exudate"], tmp_path, "drawn")
    labels, predicted = json.loads(extended(CLASSIFIED, path))
    model, _ = classifier.load(path)
    assert tuple(labels) == model.labels == ("is_gc", "exudate")
    assert np.allclose(predicted, model.predict(shown[:4]), atol=1e-6)


TRAINED = """
import json
from pathlib import Path
from generators import tiny
from pictures import folder
from synth import pipeline
from synth.base.errors import UserError
from synth.sampling import plan
from synth.training.trainer import train
out, begun, old = map(Path, sys.argv[1:])
made = train(tiny(), [folder(out / "records")], out / "run")
generator, _ = pipeline.load(made)
train(tiny(images=64), [old], begun)  # goes on with the vocabulary that it was begun with
resumed, _ = pipeline.load(begun)
mix = out / "mix.yaml"
mix.write_text("mix: [{weight: 1, labels: {is_new: 1}}]")
plan.make(made, 4, labels=str(mix))
try:
    plan.make(begun / "model", 4, labels=str(mix))
except UserError as error:
    assert "was not trained with the label 'is_new'" in str(error)
else:
    raise AssertionError("a label that the generator does not know was taken")
print(json.dumps([list(generator.conditioning.labels.sizes), list(resumed.conditioning.labels.sizes)]))
"""


@pytest.mark.slow
def test_a_generator_trained_with_the_new_terms_has_them_and_an_old_run_resumes_without(tmp_path):
    old = folder(tmp_path / "records")
    train(tiny(), [old], tmp_path / "begun")
    new, resumed = json.loads(extended(TRAINED, tmp_path / "new", tmp_path / "begun", old))
    assert {"is_new", "new_sign"} <= set(new) and len(new) == len(current()) + 2
    assert resumed == list(current().sizes)
    # The new generator, in turn, opens where its terms are not known.
    generator, _ = pipeline.load(tmp_path / "new/run")
    labels = generator.conditioning.labels
    assert list(labels.sizes) == new and list(of_generator(tmp_path / "new/run/model").sizes) == new
    assert labels.code({"is_new": 1, "findings": ["new_sign"]}).tolist() != labels.unknown.tolist()


def test_labels_are_encoded_by_the_mapping_of_the_checkpoint():
    other = LabelEncoding(
        [["eye_side", ["right", "left"]], ["findings", ["drusen", "new"]], ["grade", [0, 1, 2]]]
    )
    assert list(other.sizes.items()) == [("eye_side", 2), ("drusen", 2), ("new", 2), ("grade", 3)]
    assert other.unknown.tolist() == [2, 2, 2, 3]
    assert other.code({"eye_side": "left", "grade": 2, "findings": ["new"], "is_gc": 1}).tolist() == [
        1,
        0,
        1,
        2,
    ]
    assert other.code({"grade": 7}).tolist() == other.unknown.tolist()
    assert other.mirror(other.code({"eye_side": "left"}))[0] == 0
    assert other.missing({"is_gc": 1, "is_dme": 0, "grade": 1, "findings": ["cataract"]}) == [
        "is_gc",
        "cataract",
    ]
    network = LabelConditioning(8, other.conditions)
    assert network.labels.sizes == other.sizes and len(network.table.weight) == 3 + 3 + 3 + 4


def test_the_first_mapping_is_what_null_means_and_still_todays():
    assert LabelEncoding().sizes == LabelEncoding(FIRST).sizes == current().sizes
    assert LabelEncoding().conditions is None and len(LabelEncoding()) == 40
    assert sum(size + 1 for size in LabelEncoding().sizes.values()) == 132


@pytest.mark.parametrize("conditions", [[["a", [0, 1]], ["a", [0, 1]]], [["a", []]], [["a"]], "abc"])
def test_a_mapping_that_is_none_is_refused(conditions):
    with pytest.raises((ValueError, TypeError)):
        LabelEncoding(conditions)
