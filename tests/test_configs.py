"""Settings: the recipes that ship and what they resolve to, sections given in part, names and paths."""

import json
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from clip.model.encoders import ClipConfig
from clip.training.config import TrainConfig as ClipTraining
from privacy.config import AuditConfig
from synth.base import recipes
from synth.base.config import Config, check, load
from synth.base.errors import UserError
from synth.data.images import Preprocessing
from synth.training.config import TrainConfig as SynthTraining

ROOT = Path(__file__).parent.parent
KINDS: dict[str, type[Config]] = {"clip": ClipTraining, "synth": SynthTraining, "privacy": AuditConfig}

CLIP = {  # size and name of the preprocessing, images, batch, image tower, its layers, width of the text tower
    "demo": (128, "fov-square", 20_000, 64, "resnet50_clip", (1, 1, 1, 1), 128),
    "eyeclip": (224, "fov-square", 12_800_000, 200, "vit_base_patch32_clip_quickgelu_224", None, 768),
    "eyeclip-legacy": (224, "fov-square", 12_800_000, 200, "vit_base_patch32_clip_quickgelu_224", None, 768),
    "eyeclip-tiny": (64, "fov-square", 100_000, 64, "vit_base_patch32_clip_quickgelu_224", None, 128),
    "tiny": (64, "fov-square", 100_000, 64, "resnet50_clip", (1, 1, 1, 1), 128),
    "tiny-plus": (64, "fov-square", 100_000, 64, "resnet50_clip", (1, 1, 1, 1), 128),
    "visionclip": (224, "squash", 25_600_000, 64, "resnet50_clip", None, 768),
    "visionclip-plus": (224, "fov-square", 25_600_000, 64, "resnet50_clip", None, 768),
    "visionclip-small": (224, "fov-square", 200_000, 64, "mobilenetv4_conv_small", None, 192),
    "visionclip-tiny": (64, "squash", 100_000, 64, "resnet50_clip", (1, 1, 1, 1), 128),
}
SYNTH = {  # size, images, batch, images of a forward pass, channels
    "fundus128": (128, 20_480_000, 256, "auto", (64, 64, 128, 192, 256)),
    "fundus128w": (128, 20_480_000, 256, "auto", (96, 128, 192, 256)),
    "fundus256": (256, 20_480_000, 256, "auto", (192, 384, 576)),
    "fundus256-small": (256, 160_000, 16, 16, (64, 80, 112, 128)),
    "fundus64": (64, 10_240_000, 256, "auto", (128, 192, 256)),
    "latent512": (512, 20_480_000, 256, "auto", (128, 192, 384, 576)),
    "odir64": (64, 160_000, 32, 16, (64, 96, 128, 160)),
    "phantom64": (64, 57_600, 32, 32, (64, 80, 112, 128)),
    "private64": (64, 1_024_000, 512, 16, (32, 64, 96)),
}
PRIVACY = {"quick": (60, 300, 2), "thorough": (1000, 5000, 10)}  # permutations, resamples, untrained encoders


def named(kind: str, name: str) -> Config:
    return load(KINDS[kind], Path(name))


@pytest.mark.parametrize("name", CLIP)
def test_a_recipe_of_clip_resolves_to_what_its_comments_say(name):
    found = load(ClipTraining, Path(name))
    seen = found.model.preprocessing
    image, text = found.model.image, found.model.text
    assert (
        seen.size,
        seen.name,
        found.images,
        found.batch,
        image.name,
        image.layers,
        text.width,
    ) == CLIP[name]


@pytest.mark.parametrize("name", SYNTH)
def test_a_recipe_of_synth_resolves_to_what_its_comments_say(name):
    found = load(SynthTraining, Path(name))
    network = found.network
    assert (
        found.preprocessing.size,
        found.images,
        found.batch,
        found.micro_batch,
        network.channels,
    ) == SYNTH[name]


@pytest.mark.parametrize("name", PRIVACY)
def test_a_recipe_of_privacy_resolves_to_what_its_comments_say(name):
    found = load(AuditConfig, Path(name))
    assert (found.permutations, found.bootstrap, found.untrained_seeds) == PRIVACY[name]


@pytest.mark.parametrize("package, expected", [("clip", CLIP), ("synth", SYNTH), ("privacy", PRIVACY)])
def test_every_recipe_that_ships_is_written_down_here(package, expected):
    assert recipes.names(package) == sorted(expected)


@pytest.mark.parametrize("package", KINDS)
def test_recipes_lie_in_their_package_and_where_they_lay_before(package):
    """A wheel takes them from the package; `configs/` leads there, for commands that were written down."""
    inside = ROOT / package / "configs"
    assert not inside.is_symlink() and not any(path.is_symlink() for path in inside.iterdir())
    assert (ROOT / "configs" / package).resolve() == inside.resolve()
    assert load(KINDS[package], ROOT / "configs" / package / f"{recipes.names(package)[0]}.yaml")


def classes() -> Iterator[type[Config]]:
    """Every class of settings in the project."""
    for package in ("synth", "clip", "privacy"):
        for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            if module.name.rpartition(".")[2] != "__main__":
                import_module(module.name)
    todo = [Config]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind.__module__.split(".")[0] in ("synth", "clip", "privacy"):
            yield kind


def test_one_key_of_a_section_keeps_the_rest_of_its_default():
    """Of every section of every class, each key alone: what is said of one is not taken back from the others."""
    tried = []
    for kind in classes():
        for name, field in kind.model_fields.items():
            default = field.get_default(call_default_factory=True)
            for key in type(default).model_fields if isinstance(default, Config) else ():
                required = [other for other, each in kind.model_fields.items() if each.is_required()]
                assert not required, f"{kind}: give {required} here"
                made = check(kind, {name: {key: getattr(default, key)}}, "here")
                assert getattr(made, name) == default, (kind, name, key)
                tried.append(f"{kind.__name__}.{name}.{key}")
    assert "ClipConfig.preprocessing.name" in tried and "EvaluationConfig.classifier.preprocessing" in tried


def test_a_section_in_a_section_keeps_what_the_outer_default_says():
    class Outer(Config):
        model: ClipConfig = ClipConfig(embedding=7, preprocessing=Preprocessing(name="squash", size=32))

    found = check(Outer, {"model": {"preprocessing": {"size": 96}}}, "here").model
    assert (found.preprocessing.size, found.preprocessing.name, found.embedding) == (96, "squash", 7)
    found = check(Outer, {"model": {"context": 9}}, "here").model
    assert (found.preprocessing.size, found.context, found.embedding) == (32, 9, 7)


def test_an_assignment_changes_one_key_of_a_default_and_of_a_recipe():
    found = load(ClipTraining, None, ["model.preprocessing.name=squash"]).model.preprocessing
    assert (found.name, found.size) == ("squash", 224)
    found = load(ClipTraining, Path("visionclip"), ["model.preprocessing.size=96"]).model.preprocessing
    assert (found.name, found.size) == ("squash", 96)


@pytest.mark.parametrize("kind", [ClipTraining, SynthTraining])
def test_a_whole_dump_loads_as_it_was_written(kind):
    """Checkpoints and run folders hold these, with sizes that are not the defaults."""
    for name in recipes.names(kind.RECIPES):
        settings = load(kind, Path(name))
        dumped = json.loads(settings.model_dump_json())
        where = dumped.get("model", dumped)["preprocessing"]
        where["size"] = 64 if where["size"] != 64 else 128
        assert json.loads(check(kind, dumped, "here").model_dump_json()) == dumped


def test_a_section_built_in_code_is_taken_as_it_is():
    assert ClipConfig(preprocessing=Preprocessing(name="squash")).preprocessing.size == 64


def test_null_and_a_section_that_has_no_default_stand_for_themselves():
    assert load(SynthTraining, Path("private64")).dp is not None
    assert load(SynthTraining, Path("private64"), ["dp=null"]).dp is None
    with pytest.raises(UserError, match=r"unknown key 'dp\.drawz'; did you mean 'draws'\?"):
        load(SynthTraining, None, ["dp.epsilon=8", "dp.drawz=2"])


def test_lists_and_plain_mappings_are_replaced_whole():
    kwargs = load(
        ClipTraining, Path("eyeclip-tiny"), ["model.image.kwargs={img_size: 32}"]
    ).model.image.kwargs
    assert kwargs == {"img_size": 32}
    assert load(SynthTraining, Path("odir64"), ["averages=[0.2]"]).averages == (0.2,)


def test_a_bare_word_is_a_recipe_and_a_file_of_that_name_goes_before_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load(ClipTraining, Path("tiny")).model.embedding == 128
    (tmp_path / "tiny-plus").mkdir()  # a run, say: no file
    assert load(ClipTraining, Path("tiny-plus")).positives == "labels"
    (tmp_path / "tiny").write_text("images: 7\n")
    assert load(ClipTraining, Path("tiny")).images == 7
    (tmp_path / "mine.yaml").write_text("images: 9\n")
    assert load(ClipTraining, Path("mine.yaml")).images == 9


@pytest.mark.parametrize("wanted", ["tyni", "tiny.yaml", "nowhere/tiny.yaml", "nowhere/tiny"])
def test_an_unknown_name_is_answered_with_the_right_one(tmp_path, monkeypatch, wanted):
    from clip.commands.app import app

    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["train", "--data", "x", "--config", wanted, "--dry-run"])
    assert result.exit_code == 2
    assert result.stderr == (
        f"clip: {wanted}: no such file, and no recipe of that name; did you mean 'tiny'? known: {', '.join(CLIP)}\n"
    )


def test_what_has_no_recipes_takes_none(tmp_path, monkeypatch):
    """A student's settings are not a generator's, though many keys are called the same."""
    from synth.training.distillation import DistillConfig

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="odir64: no such file"):
        load(DistillConfig, Path("odir64"))
    with pytest.raises(UserError, match="no recipe of that name; 'fundus256' took its place"):
        load(SynthTraining, Path("latent256"))


def test_a_patch_holds_all_channels_of_its_latent():
    load(SynthTraining, Path("fundus256-small"), ["network.latent.channels=192"])
    with pytest.raises(UserError, match=r"latent.channels=193: a patch of 8 x 8 pixels has 192 numbers"):
        load(SynthTraining, Path("fundus256-small"), ["network.latent.channels=193"])


@pytest.mark.parametrize(
    "line", ["synth train", "clip train", "privacy audit", "privacy canary score", "privacy suggest"]
)
def test_help_lists_the_recipes(line):
    command, *verb = line.split()
    page = CliRunner().invoke(import_module(f"{command}.commands.app").app, [*verb, "--help"]).output
    assert f"({','.join(recipes.names(command))})" in "".join(page.split())  # lines are broken at hyphens too


def test_recipes_hold_only_what_differs():
    """A key that repeats the default would go stale with it."""
    for package, kind in KINDS.items():
        plain = json.loads(load(kind).model_dump_json())
        for name in recipes.names(package):
            given = yaml.safe_load((recipes.folder(package) / f"{name}.yaml").read_text())
            assert given and set(given) <= set(plain) | set(kind.model_fields)


def test_no_is_a_word_where_a_setting_knows_it(tmp_path):
    """YAML 1.1 reads it as false."""
    file = tmp_path / "run.yaml"
    file.write_text("precision: no\nflip: no\n")
    read = load(SynthTraining, file)
    assert (read.precision, read.flip) == ("no", False)
    assert load(SynthTraining, None, ["precision=no"]).precision == "no"
