"""A student of few steps: what it learns, how it is sampled, resuming, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from generators import tiny
from pictures import folder
from typer.testing import CliRunner

from synth import pipeline
from synth.base.errors import UserError
from synth.base.runs import read_json, read_metrics, sha256, write_json
from synth.commands.app import app
from synth.diffusion.schedulers import STEPS, ddim_scheduler, noising
from synth.model.card import read_card, sums
from synth.model.labels import current
from synth.sampling import plan
from synth.training.distillation import DistillConfig, distill
from synth.training.teacher import TeacherTargets
from synth.training.trainer import train

TEACHER = tiny(images=96, save_every=96)
TINY = DistillConfig(images=96, batch=16, micro_batch=8, save_every=32, warmup=0, cooldown=0)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("records"), 60)


@pytest.fixture(scope="module")
def teacher(records, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "teacher"
    train(TEACHER, [records], out)
    return out


@pytest.fixture(scope="module")
def student(records, teacher, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "student"
    distill(TINY, teacher, [records], out)
    return out


def test_the_rate_rises_holds_and_falls_to_nothing():
    config = DistillConfig(images=3200, warmup=320, cooldown=0.25)
    shares = {seen: config.share(seen, 32) for seen in (0, 160, 288, 1600, 2400, 2800, 3168)}
    assert shares == pytest.approx({0: 0.1, 160: 0.6, 288: 1, 1600: 1, 2400: 1, 2800: 0.5, 3168: 0.04})
    assert DistillConfig(images=3200, warmup=0, cooldown=0).share(3168, 32) == 1


class Gaussian(torch.nn.Module):
    """The exact velocity of pictures whose every value is normal(0, deviation): its way to them is known."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation
        self.signal = noising().alphas_cumprod

    def forward(self, noisy, step, codes):
        signal = self.signal[step][:, None, None, None]
        variance = signal * self.deviation**2 + 1 - signal
        return (signal * (1 - signal)).sqrt() * (1 - self.deviation**2) / variance * noisy


class Learning(torch.nn.Module):
    """One factor per step of the student: all that is needed to follow a Gaussian teacher."""

    def __init__(self, teacher: Gaussian, steps: int) -> None:
        super().__init__()
        start = torch.tensor([999 - 1000 // steps * k for k in range(steps)])
        probe = torch.ones(steps, 1, 1, 1)
        self.factors = torch.nn.Parameter(teacher(probe, start, None).flatten().detach())

    def forward(self, noisy, step, codes):
        return self.factors[(999 - step) * len(self.factors) // 1000][:, None, None, None] * noisy


@torch.no_grad()
def drawn(network: torch.nn.Module, steps: int, noise: torch.Tensor) -> torch.Tensor:
    schedule, codes = ddim_scheduler(), torch.zeros(len(noise), len(current().unknown), dtype=torch.int64)
    schedule.set_timesteps(steps)
    for step in schedule.timesteps:
        velocity = network(noise, step.expand(len(noise)), codes)
        noise = schedule.step(velocity, step, noise, return_dict=False)[0]  # type: ignore[arg-type]
    return noise


@pytest.mark.parametrize("steps", [4, 2])
def test_a_student_lands_where_its_teacher_does_and_the_untuned_network_does_not(steps):
    torch.manual_seed(0)
    teacher = Gaussian(0.3)
    student = Learning(teacher, steps)
    targets = TeacherTargets(teacher, None, steps, total=40, guidance=1, target_steps=40 // steps)
    noise = torch.randn(64, 1, 4, 4)
    wanted = drawn(teacher, 40, noise)
    before = float((drawn(student, steps, noise) - wanted).square().mean())
    optimizer = torch.optim.Adam(student.parameters(), 0.02)
    losses = []
    for _ in range(300):
        clean, fresh = 0.3 * torch.randn(64, 1, 4, 4), torch.randn(64, 1, 4, 4)
        codes = torch.zeros(64, len(current().unknown), dtype=torch.int64)
        loss = targets.loss(student, clean, fresh, codes, torch.randint(0, STEPS, (64,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    after = float((drawn(student, steps, noise) - wanted).square().mean())
    assert sum(losses[-20:]) < 0.05 * sum(losses[:20])
    assert after < 0.01 * before


def test_a_teacher_is_a_better_student_of_itself_the_more_steps_it_may_take():
    torch.manual_seed(0)
    teacher = Gaussian(0.3)
    clean, noise, time = 0.3 * torch.randn(250, 1, 4, 4), torch.randn(250, 1, 4, 4), torch.arange(0, 1000, 4)
    codes = torch.zeros(250, len(current().unknown), dtype=torch.int64)

    def loss(steps: int) -> float:
        return float(TeacherTargets(teacher, None, steps, 500, 1, 1).loss(teacher, clean, noise, codes, time))

    assert loss(250) < 1e-5 < loss(4)


def test_guidance_of_the_teacher_is_what_the_student_learns():
    """A teacher whose velocity is told by the label: guided twice, it is twice as far from the untold one."""

    class Told(torch.nn.Module):
        def forward(self, noisy, step, codes):
            return (codes[:, 0] == 0).float()[:, None, None, None].expand_as(noisy) * 0.5

    codes = torch.from_numpy(current().unknown).repeat(8, 1)
    codes[:, 0] = 0
    clean = noise = torch.zeros(8, 1, 2, 2)
    middle, late = torch.full((8,), 500), torch.full((8,), 10)

    class Twice(torch.nn.Module):
        def forward(self, noisy, step, codes):
            return torch.ones_like(noisy)

    targets = TeacherTargets(Told(), None, 4, total=40, guidance=2, target_steps=10)
    assert float(targets.loss(Twice(), clean, noise, codes, middle)) < 0.01
    assert float(TeacherTargets(Told(), None, 4, 40, 1, 10).loss(Twice(), clean, noise, codes, middle)) > 0.2
    unguided = TeacherTargets(Told(), None, 250, total=500, guidance=2, target_steps=2)
    assert float(unguided.loss(Twice(), clean, noise, codes, late)) == pytest.approx(0.25, abs=0.01)


def test_a_student_is_a_generator_of_its_own_steps(student, teacher):
    loaded, known = pipeline.load(student)
    assert loaded.config["student"] == {"steps": 4, "guidance": 2.0}
    assert known.distilled and known.distilled.images == 96 and known.images == 96
    assert known.distilled.teacher == plan.weights_fingerprint(teacher / "model")
    assert read_json(student / "model/mix.json") == read_json(teacher / "model/mix.json")
    codes, noise = torch.from_numpy(current().unknown).repeat(2, 1), torch.randn(2, *loaded.shape)
    assert torch.equal(loaded(codes, noise), loaded(codes, noise, steps=4, guidance=1))
    opened = pipeline.FundusPipeline.from_pretrained(student / "model")
    assert torch.equal(opened(codes, noise), loaded(codes, noise))
    configs = [path.read_text() for path in (student / "model").glob("*/*.json")]
    assert configs and not any(str(teacher.parent) in text for text in configs)  # no folder of this machine
    assert [row["images"] for row in read_metrics(student / "metrics.jsonl")] == [32, 64, 96]


def test_a_picture_of_a_student_takes_one_evaluation_per_step(student):
    loaded, _ = pipeline.load(student)
    calls = []
    loaded.unet.register_forward_hook(lambda *_: calls.append(1))
    loaded(torch.from_numpy(current().unknown).repeat(2, 1), torch.randn(2, *loaded.shape))
    assert len(calls) == 4


def weights(run: Path) -> dict[str, str]:
    return {p.parent.name: sha256(p) for p in sorted((run / "model").rglob("*.safetensors"))}


@pytest.mark.slow
def test_a_resumed_student_equals_an_uninterrupted_one(student, teacher, records, tmp_path):
    for images in (32, 64, 96):
        distill(TINY.model_copy(update={"images": images}), teacher, [records], tmp_path / "run")
    assert weights(tmp_path / "run") == weights(student)
    assert sha256(tmp_path / "run/state.pt") == sha256(student / "state.pt")
    assert read_metrics(tmp_path / "run/metrics.jsonl") == read_metrics(student / "metrics.jsonl")
    before = (tmp_path / "run/state.pt").stat().st_mtime_ns
    distill(TINY, teacher, [records], tmp_path / "run")
    assert (tmp_path / "run/state.pt").stat().st_mtime_ns == before


def test_a_student_of_two_steps_comes_from_one_of_four(student, records, tmp_path):
    config = TINY.model_copy(update={"steps": 2, "images": 32})
    distill(config, student, [records], tmp_path / "two")
    loaded, _ = pipeline.load(tmp_path / "two")
    assert loaded.config["student"] == {"steps": 2, "guidance": 2.0}


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_generate_takes_the_steps_of_a_student(student, tmp_path):
    line = (
        "generate",
        "--model",
        student,
        "--n",
        16,
        "--batch",
        8,
        "--out",
        tmp_path / "few",
        "--workers",
        1,
    )
    result = invoke(*line)
    assert result.exit_code == 0, result.output
    asked = read_json(tmp_path / "few/plan.json")
    assert (asked["steps"], asked["guidance"]) == (4, 1.0) and "student" in asked["solver"]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--steps", 20], "--steps 20: the generator was distilled to 4 steps with guidance 2 in it; leave"),
        (
            ["--guidance", 3],
            "--guidance 3: the generator was distilled to 4 steps with guidance 2 in it; leave",
        ),
    ],
)
def test_a_student_is_not_asked_for_what_it_was_not_made_for(student, tmp_path, flags, message):
    result = invoke("generate", "--model", student, "--n", 5, "--out", tmp_path / "out", *flags)
    assert result.exit_code == 2 and result.stderr.startswith(f"synth: {message}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "settings, message",
    [
        (["steps=3"], "--set: steps=3 must divide 1000"),
        (["batch=20"], "--set: batch=20 must be a multiple of micro_batch=16"),
        (["teacher_steps=10"], "teacher_steps=10: must divide 1000 and be a multiple of the student's 4"),
        (["target_steps=3"], "target_steps=3: must divide the 10 of the teacher's steps in one step"),
    ],
)
def test_steps_that_do_not_go_together_are_one_clear_line(teacher, records, tmp_path, settings, message):
    flags = [part for setting in settings for part in ("--set", setting)]
    result = invoke("distill", "--model", teacher, "--data", records, "--out", tmp_path / "out", *flags)
    assert result.exit_code == 2 and result.stderr.startswith(f"synth: {message}"), result.stderr
    assert result.stderr.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_student_cannot_be_taught_more_than_it_holds(student, records, tmp_path):
    with pytest.raises(
        UserError, match=r"teacher_steps=20, guidance=None: the teacher is a student of 4 steps"
    ):
        distill(
            TINY.model_copy(update={"steps": 2, "teacher_steps": 20}), student, [records], tmp_path / "out"
        )
    with pytest.raises(UserError, match="teacher_steps=4: must divide 1000"):
        distill(TINY, student, [records], tmp_path / "out")


def test_another_teacher_in_the_same_run_folder_is_refused(student, teacher, records, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(teacher / "model", other)
    (other / "mix.json").write_text("[]\n")
    card = read_card(other)
    write_json(other / "visionclip.json", card.replaced(files=sums(other)).to_json())
    with pytest.raises(UserError, match=r"holds another run \(teacher is"):
        distill(TINY, other, [records], student)


def test_photographs_do_not_void_the_privacy_of_a_teacher(teacher, records, tmp_path):
    private = tmp_path / "private"
    shutil.copytree(teacher / "model", private)
    known = json.loads((private / "visionclip.json").read_text())
    spent = {
        "epsilon": 8.0,
        "delta": 1e-5,
        "unit": "patient (subject_id)",
        "patients": 24,
        "noise_multiplier": 1.0,
    }
    spent |= {"clipping_norm": 1.0, "accountant": "prv", "steps": 6, "sampling_rate": 0.5}
    (private / "visionclip.json").write_text(json.dumps(known | {"differential_privacy": spent}))
    with pytest.raises(UserError, match=r"photographs would void the differential privacy of .*private"):
        distill(TINY, private, [records], tmp_path / "out")
    line = ("generate", "--model", private, "--n", 16, "--batch", 8, "--steps", 2, "--workers", 1)
    assert invoke(*line, "--out", tmp_path / "drawn").exit_code == 0
    made = distill(TINY.model_copy(update={"images": 32}), private, [tmp_path / "drawn"], tmp_path / "out")
    guarantee = pipeline.read_card(made).differential_privacy
    assert guarantee and guarantee.to_json() == spent


def test_a_student_may_begin_with_another_of_the_same_teacher(student, teacher, records, tmp_path):
    config = TINY.model_copy(update={"images": 16, "save_every": 16, "guidance": 3.0, "lr": 1e-9})
    run = tmp_path / "run"
    distill(config, teacher, [records], run, student)
    begun, _ = pipeline.load(student)
    tuned, known = pipeline.load(run)
    for name, value in begun.unet.state_dict().items():
        assert torch.allclose(tuned.unet.state_dict()[name], value, atol=1e-6), name
    assert tuned.config["student"] == {"steps": 4, "guidance": 3.0}
    assert known.distilled and known.distilled.start == plan.weights_fingerprint(student / "model")
    said = CliRunner().invoke(
        app, ["distill", "--model", str(teacher), "--start", str(teacher), "--data", str(records),
              "--out", str(tmp_path / "other")])  # fmt: skip
    assert said.exit_code == 2 and "no student of this --model" in said.stderr
    with pytest.raises(UserError, match="holds another run"):  # another beginning is another run
        distill(config, teacher, [records], run)


def test_what_a_student_learnt_is_carried_to_a_generator_that_began_with_its_teacher(
    student, teacher, records, tmp_path
):
    """In the same space, so that the map between spaces is the identity: the student's weights less its teacher's, added."""
    shutil.copytree(teacher, tmp_path / "teacher")
    shutil.copytree(student, tmp_path / "student")
    later = train(tiny(images=32), [records], tmp_path / "later", tmp_path / "teacher")
    config = TINY.model_copy(update={"images": 16, "save_every": 16, "lr": 1e-9})
    distill(config, later, [records], tmp_path / "run", tmp_path / "student")
    first, taught, tuned, made = (
        pipeline.load(tmp_path / name)[0].unet.state_dict() for name in ("teacher", "student", "later", "run")
    )
    for name, value in made.items():
        assert torch.allclose(value, tuned[name] + taught[name] - first[name], atol=1e-4), name
    assert any(not torch.equal(taught[name], first[name]) for name in first)
    shutil.rmtree(tmp_path / "teacher")
    with pytest.raises(UserError, match="its teacher neither ships nor lies in"):
        distill(config, later, [records], tmp_path / "other", tmp_path / "student")


def test_uneven_steps_follow_a_teacher_to_the_end():
    """Every step of a split is asked as often, and a network that is exact draws by them what it draws evenly."""
    targets = TeacherTargets(Gaussian(0.5), None, 4, 40, 1, None, (4, 6, 12, 18))
    place, ahead, end = targets._places_at(torch.arange(1000))
    asked = {each: int((place == each).sum()) for each in place.unique().tolist()}
    assert asked == {0: 125, 2: 125, 4: 125, 7: 125, 10: 125, 16: 125, 22: 125, 31: 125}
    assert (place + ahead <= end).all() and sorted(set(end.tolist())) == [4, 10, 22, 40]
    assert targets.student["times"] == [999, 899, 749, 449]


def test_a_student_of_uneven_steps_is_saved_and_drawn_as_such(student, teacher, records, tmp_path):
    config = TINY.model_copy(update={"images": 16, "save_every": 16, "split": (4, 6, 12, 18)})
    distill(config, teacher, [records], tmp_path / "run", student)
    loaded, _ = pipeline.load(tmp_path / "run")
    codes, noise = torch.from_numpy(current().unknown).repeat(2, 1), torch.randn(2, *loaded.shape)
    asked = []
    loaded.unet.register_forward_pre_hook(lambda _, given: asked.append(int(given[1])))
    drawn = loaded(codes, noise)
    assert asked == loaded.config["student"]["times"] == [999, 899, 749, 449]
    opened = pipeline.FundusPipeline.from_pretrained(tmp_path / "run/model")
    assert torch.equal(opened(codes, noise), drawn)
    with pytest.raises(UserError, match="add up to teacher_steps=40"):
        distill(config.model_copy(update={"split": (4, 6)}), teacher, [records], tmp_path / "other")
