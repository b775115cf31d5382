"""README, tutorials and how-to pages: every command that they show parses and runs, every link leads somewhere, sentences are short."""

import ast
import base64
import json
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pages
import pictures
import pytest
import syntax
import torch
import typer
import yaml
from PIL import Image
from typer.testing import CliRunner

from synth.base.errors import UserError
from synth.data.records import write_records

ROOT = pages.ROOT
DOCS = sorted({*pages.READ_FIRST, *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")})
NOT_RUN = {
    "git clone": "needs a network; the tests stand in the clone",
    "cd": "the tests stand in a folder of their own",
    ".": "activates an environment; the tests run in one",
    "make": "each target is looked up in the Makefile; `make demo` and `make test` would run this very test",
    "python3": "makes an environment; the tests run in one",
    "pip install": "needs a network; its extras are looked up in pyproject.toml",
    "hf download": "needs a network",
    "s5cmd": "needs an object store",
    "rclone": "needs an object store",
    "clip eval --model runs/clip/ckpt.pt --model open_clip:ViT-B-32-quickgelu=openai": "needs others' weights; tests/test_clip_baselines.py compares drawn ones",
    "clip demo": "serves until Ctrl-C; tests/test_clip_page.py runs it",
    "synth push": "needs a hub; tests/test_publishing.py has one on loopback",
    "clip push": "needs a hub; tests/test_clip_hub.py has one on loopback",
    "privacy selftest": "takes minutes; tests/test_privacy_calibration.py runs it",
    "torchrun": "starts processes of its own; tests/test_processes.py does, and what it starts is parsed here",
    "jupyter": "tests/test_notebooks.py runs both notebooks",
}
"""What is not run where a page shows it, and why."""
if torch.__version__.startswith("2.6."):
    NOT_RUN["clip export runs/clip/ckpt.pt --to onnx"] = "torch 2.6 does not write batch norm in ONNX"


CHINESE, WORD = re.compile(r"[\u4e00-\u9fff]"), r"[^\W_][\w'’.,/×–-]*"


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def parse(words: list[str]) -> None:
    """Let the command's own parser read the words; the verb is not run."""
    command: Any = typer.main.get_command(import_module(f"{words[0]}.commands.app").app)
    rest = words[1:]
    context = None
    while hasattr(command, "commands"):
        assert rest and rest[0] in command.commands, f"no verb {rest[:1]} in {words}"
        command, rest = command.commands[rest[0]], rest[1:]
    context = command.make_context(words[0], list(rest), parent=context)
    context.close()


def ours(line: str) -> list[str] | None:
    """The words from synth, clip or privacy on, whatever starts them; None for other programs."""
    words = pages.words(re.sub(r"\s+[|&>].*", "", line))
    if words[:1] == ["torchrun"]:
        words = words[words.index("-m") + 1 :]
    return words if words and words[0] in pages.COMMANDS else None


def reason(line: str) -> str | None:
    """Why a line is not run."""
    return next((why for start, why in NOT_RUN.items() if f"{line} ".startswith(f"{start} ")), None)


@pytest.mark.parametrize("page", pages.TYPED, ids=page_id)
def test_a_fenced_block_says_what_it_holds_and_each_line_is_run_or_has_a_reason(page):
    for block in pages.blocks(page):
        assert block.language in pages.LANGUAGES, f"{block.where}: {block.language!r}"
        for line in pages.lines(block) if block.language == "sh" else ():
            assert ours(line) or reason(line) or line.startswith("python "), f"{block.where}: {line}"


@pytest.mark.parametrize("page", DOCS, ids=page_id)
def test_every_command_of_a_page_has_a_verb_flags_and_values_that_exist(page):
    for block in pages.blocks(page):
        if block.language not in ("sh", ""):
            continue
        for line in pages.lines(block):
            words = ours(line)
            if words and "…" not in line and "$" not in line:  # places for the reader's words
                try:
                    parse(words)
                except (typer.Exit, UserError, Exception) as error:  # whatever the parser says, of which line
                    pytest.fail(f"{block.where}: {line}: {error}")


@pytest.mark.parametrize("page", pages.TYPED, ids=page_id)
def test_what_is_installed_and_made_is_there(page):
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in pages.blocks(page):
        for line in pages.lines(block) if block.language == "sh" else ():
            words = shlex.split(line)
            if words[0] == "make":
                assert set(word for word in words[1:] if "=" not in word) <= targets, f"{block.where}: {line}"
            if words[:2] == ["pip", "install"]:
                named = re.findall(r"\[([\w,]+)\]", line)
                assert {each for group in named for each in group.split(",")} <= extras, (
                    f"{block.where}: {line}"
                )


@pytest.mark.parametrize("page", pages.TYPED, ids=page_id)
def test_a_command_within_a_sentence_has_flags_that_exist(page):
    for found in re.findall(r"`((?:synth|clip|privacy) [^`…]*)`", page.read_text(encoding="utf-8")):
        words = shlex.split(found)
        if any(word.startswith("--") for word in words) and not found.endswith(" --help"):
            known = flags(words)
            assert {word for word in words if word.startswith("--")} <= known, f"{page.name}: {found}"


def flags(words: list[str]) -> set[str]:
    """Every flag of the verb that the words begin with."""
    command: Any = typer.main.get_command(import_module(f"{words[0]}.commands.app").app)
    for word in words[1:]:
        if not hasattr(command, "commands"):
            break
        command = command.commands[word]
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("page", DOCS, ids=page_id)
def test_a_link_leads_to_a_file_and_a_heading_that_exist(page):
    """What mkdocs does not see too: README, and links out of docs/."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page_id(page)}: {target}"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), f"{page_id(page)}: {target}"


def anchors(page: Path) -> set[str]:
    """The addresses of a page's headings, as mkdocs makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (
        re.sub(r"[^a-z0-9_ -]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", each).lower()) for each in headings
    )
    return {re.sub(r"[ -]+", "-", each.strip()) for each in plain}


@pytest.mark.parametrize("page", pages.READ_FIRST, ids=page_id)
def test_no_sentence_of_a_page_that_is_read_first_is_long(page):
    """40 words; of Chinese 90 characters."""
    for sentence in pages.sentences(page):
        chinese, words = len(CHINESE.findall(sentence)), len(re.findall(WORD, CHINESE.sub("", sentence)))
        assert chinese <= 90 and words <= 40, f"{words} words, {chinese} characters: {sentence}"


@pytest.mark.parametrize(
    "page",
    sorted({*(ROOT / "docs").rglob("*.md")} - {*pages.READ_FIRST, ROOT / "docs" / "log.md"}),
    ids=page_id,
)
def test_no_sentence_of_the_docs_is_longer_than_45_words(page):
    """Of Chinese 90 characters; the log, which says what failed and where, is not read from top to bottom."""
    assert [sentence for sentence in pages.sentences(page) if len(re.findall(WORD, CHINESE.sub("", sentence))) > 45
            or len(CHINESE.findall(sentence)) > 90] == []  # fmt: skip


def test_a_long_sentence_is_seen():
    """The rule above can fail."""
    page = ROOT / "docs" / "log.md"
    assert any(len(sentence.split()) > 40 for sentence in pages.sentences(page))


def test_the_two_readmes_show_the_same_commands_pictures_numbers_and_pages():
    english, chinese = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
    )
    for pattern in (
        r"!\[[^]]*\]\(([^)]+)\)",
        r"(?<![\d.–-])\.\d{2,3}\b",
        r"\d{1,3}(?:,\d{3})+",
        r"\d+(?:\.\d+)? %",
    ):
        assert sorted(re.findall(pattern, english)) == sorted(re.findall(pattern, chinese)), pattern
    both = [[pages.lines(block) for block in pages.blocks(ROOT / name) if block.language == "sh"]
            for name in ("README.md", "README.zh-CN.md")]  # fmt: skip
    assert both[0] == both[1]
    assert set(re.findall(r"\]\((docs/[^)]+)\)", english)) <= set(re.findall(r"\]\((docs/[^)]+)\)", chinese))


def test_the_glossary_has_every_label_metric_verdict_and_threat():
    from clip.evaluation.report import METRICS
    from privacy import threats
    from privacy.decisions import verdict
    from synth.data import vocabulary as words

    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    groups = (words.DISEASES, (words.DR,), words.DR_GRADES, words.FINDINGS, words.READABILITY, words.SIDES,
              words.MODALITIES, words.SEXES, words.RACES)  # fmt: skip
    for term in (term for group in groups for term in group):
        line = next((line for line in text.splitlines() if line.startswith(f"| `{term.key}` |")), "")
        assert term.en in line and term.zh in line, term.key
    for heading in (*METRICS.values(), *verdict.WORST):
        assert all(part in text for part in re.split(r", |@\d+", heading)), heading
    assert all(re.search(rf"\b{row.key}\b", text) for row in threats.CATALOGUE)


def test_the_api_reference_has_every_public_name_and_no_other():
    listed = re.findall(
        r"^::: (\S+)$", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    public = [f"{name}.{each}" for name in pages.COMMANDS for each in import_module(name).__all__]
    assert sorted(listed) == sorted(public)


@pytest.mark.parametrize("page", ["docs/glossary.md", "docs/how-to/data-manager.md"])
def test_a_verdict_has_the_chinese_name_that_the_report_has(page):
    from privacy.decisions import verdict
    from privacy.report.words import WORDS

    text = (ROOT / page).read_text(encoding="utf-8")
    for word in verdict.WORST:
        assert f"| {word} | {WORDS['zh'][word]} |" in text, word


COMMON = {"ID", "NAME", "REPO", "FILE", "FOLDER", "CODE", "KEY", "VALUE", "ADDRESS", "OUT", "RECORDS", "RUN", "URL", "TODO", "PATH",
          "README", "CHANGELOG", "CITATION", "LICENSE", "NOT", "TESTABLE", "OK", "TORCH", "DIR", "PYTHON", "PICTURES", "KEPT", "HF_TOKEN",
          "UTF", "GB18030", "GB", "MB", "USA", "CUDA", "HF", "IEEE", "NOTICE", "TSV", "SIGTERM", "ONLY", "SAM", "US", "EU", "EPYC", "H200", "FLIP"}  # fmt: skip
"""Capitals that are no abbreviations of the field: places for the reader's words, files, units."""


@pytest.mark.parametrize("page", pages.READ_FIRST, ids=page_id)
def test_an_abbreviation_is_in_the_glossary(page):
    known = set(re.findall(r"[A-Za-z0-9@]+", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")))
    names = set(
        re.findall(r"[A-Za-z0-9]+", (ROOT / "docs" / "sources.md").read_text(encoding="utf-8").upper())
    )
    used = re.findall(
        r"(?<![\w./-])[A-Z][A-Z0-9]+(?![\w/]|-\d)", re.sub(r"https?://\S+", "", pages.prose(page))
    )
    assert set(used) - known - names - COMMON == set()


def test_a_message_of_the_troubleshooting_page_is_in_the_code():
    """`…` stands for what differs; what is ours stands in a text of the code."""
    nodes = (node for path in syntax.modules().values() for node in ast.walk(syntax.tree(path)))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    texts += [(ROOT / "Makefile").read_text(encoding="utf-8"), "CUDA out of memory"]  # the last is torch's
    everything = "\n".join(texts)
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^### `(.+)`$", page, re.MULTILINE)
    assert len(messages) > 15
    for message in messages:
        assert all(part.strip(" '`") in everything for part in message.split("…")), message


def drawn(folder: Path, count: int) -> list[Path]:
    """Pictures of discs, wide in every second."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for place in range(count):
        found.append(folder / f"p{place:03d}.png")
        Image.fromarray(pictures.drawn(place, place % 2)).save(found[-1])
    return found


def clinic_folder(home: Path) -> None:
    """`clinic/` as README has it: a table, and photographs of 200 people; the page itself has the mapping written."""
    rows = [
        f"{path.name},{path.stem},{place % 2},{30 + place % 50},{'FM'[place // 2 % 2]}"
        for place, path in enumerate(drawn(home / "clinic/photos", 200))
    ]
    (home / "clinic" / "visits.csv").write_text("\n".join(["file,patient,glaucoma,age,sex", *rows]) + "\n")


def idrid_folder(home: Path) -> None:
    """IDRiD in the layout of its owners, of 120 pictures."""
    rows = [
        f"{path.stem},{place % 2 * 2},{place % 2 * 2}"
        for place, path in enumerate(drawn(home / "IDRiD/images", 120))
    ]
    table = ["id_code,diagnosis,Risk of macular edema", *rows]
    (home / "IDRiD" / "labels.csv").write_text("\n".join(table) + "\n")


def with_records(home: Path) -> None:
    pictures.folder(home / "records", 160, shares=(6, 2, 2))


def with_generator(home: Path) -> None:
    """What the tutorial before leaves: records, and a generator that learnt from them."""
    with_records(home)
    run_line("synth train --config fundus256-small --start fundus256 --data records --out runs/generator")


def chinese_clip(home: Path) -> None:
    """Chinese-CLIP's raw tables, and records to judge on."""
    with_records(home)
    folder = home / "datasets" / "mine"
    folder.mkdir(parents=True)
    images, texts = [], []
    for place, path in enumerate(drawn(home / "drawn", 24)):
        images.append(f"{place}\t{base64.b64encode(path.read_bytes()).decode()}")
        text = ["未见明显异常。", "疑似青光眼。"][place % 2]
        texts.append(json.dumps({"text_id": place, "text": text, "image_ids": [place]}, ensure_ascii=False))
    (folder / "train_imgs.tsv").write_text("\n".join(images) + "\n")
    (folder / "train_texts.jsonl").write_text("\n".join(texts) + "\n", encoding="utf-8")


def open_clip_pairs(home: Path) -> None:
    """open_clip's CSV, and records to judge on."""
    with_records(home)
    said = ["no abnormality", "suspected glaucoma"]
    rows = [f"drawn/{path.name},{said[place % 2]}" for place, path in enumerate(drawn(home / "drawn", 24))]
    (home / "pairs.csv").write_text("\n".join(["filepath,title", *rows]) + "\n")


def encoder(path: Path, seed: int = 0) -> None:
    """A small encoder of random weights."""
    from clip.model import checkpoints
    from clip.model.encoders import ClipConfig, build
    from synth.base import checkpoint

    model = build(ClipConfig.model_validate(nested(pages.TOWERS)), seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(path, checkpoints.header(model, images=0) | {"weights": model.state_dict()})


def encoder_and_records(home: Path) -> None:
    """An encoder, records with grades, their embeddings and a photograph."""
    encoder(home / "runs/clip/ckpt.pt")
    graded = [each | {"dr_grade": place // 2 % 5} for place, each in enumerate(pictures.rows(160))]
    write_records(home / "records/odir", graded, {"kind": "drawn"}, (6, 2, 2))
    Image.fromarray(pictures.drawn(0, 1)).save(home / "photo.jpg")
    run_line("clip embed --model runs/clip/ckpt.pt --data records/odir --out odir.parquet")


def sets_to_judge_on(home: Path) -> None:
    """The same, phantoms with masks, REFUGE and IDRiD as their owners hand them out, and two encoders."""
    encoder_and_records(home)
    for seed, name in enumerate("ab"):
        encoder(home / f"{name}.pt", seed + 1)
    run_line("synth phantom --n 500 --size 128 --masks --out phantoms")
    for place in range(12):
        kind, letter = (("Non-Glaucoma", "n"), ("Glaucoma", "g"))[place % 2]
        found = home / "REFUGE" / "Training400" / kind / f"{letter}{place:04d}.jpg"
        found.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures.drawn(place, place % 2)).save(found)
    (home / "idrid" / "images").mkdir(parents=True)
    Image.fromarray(pictures.drawn(0, 0)).save(home / "idrid/images/IDRiD_01.jpg")
    masks = home / "A. Segmentation/2. All Segmentation Groundtruths/a. Training Set/3. Hard Exudates"
    masks.mkdir(parents=True)
    Image.new("L", (64, 64), 255).save(masks / "IDRiD_01_EX.tif")


GIVEN = {
    "docs/use.md": encoder_and_records,
    "docs/evaluation.md": sets_to_judge_on,
    "README.md": clinic_folder,
    "docs/tutorials/own-photographs.md": idrid_folder,
    "docs/tutorials/publish.md": with_generator,
    "docs/tutorials/chinese-clip.md": chinese_clip,
    "docs/tutorials/open-clip.md": open_clip_pairs,
    "docs/how-to/cost.md": with_records,
    "docs/how-to/regulator.md": encoder_and_records,
}
"""What a reader of a page has before its first command."""


def nested(assignments: list[str]) -> dict[str, Any]:
    """`["a.b=1"]` as {"a": {"b": 1}}."""
    found: dict[str, Any] = {}
    for each in assignments:
        key, value = each.split("=", 1)
        section, _, leaf = key.rpartition(".")
        (found.setdefault(section, {}) if section else found)[leaf] = yaml.safe_load(value)
    return found


def run_line(line: str) -> None:
    """Run one line as the page shows it, scaled down."""
    words = pages.words(line)
    if words[0] == "python":
        subprocess.run([sys.executable, ROOT / words[1], *words[2:]], check=True, capture_output=True)
        return
    small = pages.scaled(words)
    result = CliRunner().invoke(import_module(f"{words[0]}.commands.app").app, small[1:])
    allowed = pages.STATUS.get(pages.name(words), {0})
    if result.exit_code not in allowed:
        pytest.fail(
            f"{line}\n{' '.join(small)}\nstatus {result.exit_code}\n{result.output}\n{result.exception!r}"
        )


SAME = "README.zh-CN.md"
"""Not run by itself: a test above holds its commands to be those of README.md, which are."""


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in pages.TYPED if page.name != SAME], ids=page_id)
def test_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    """Every command, in an empty folder, in order; files that the page shows are written as it names them."""
    monkeypatch.chdir(tmp_path)
    towers = {"model": nested(pages.TOWERS)}
    (tmp_path / pages.SCALED).write_text(yaml.safe_dump(towers))
    GIVEN.get(page_id(page), lambda home: None)(tmp_path)
    for block in pages.blocks(page):
        named = re.match(r"# (\S+\.\w+)\n", block.text)
        if named:
            (tmp_path / named[1]).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, block.where, "exec"), {})
        for line in pages.lines(block) if block.language == "sh" else ():
            if reason(line) is None:
                run_line(line)


def test_the_citation_file_has_what_its_form_asks_for_and_the_version_of_the_package():
    """Citation File Format 1.2.0: keys that must be there, people by name, identifiers by their form."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(cited) and cited["cff-version"] == "1.2.0"
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    for work in (cited, *cited["references"]):
        assert work["title"] and work["authors"] and ("year" in work or work is cited)
        assert all({"name", "family-names"} & set(author) for author in work["authors"])
        assert re.fullmatch(r"10\.\d{4,9}/\S+", work.get("doi", "10.1000/none"))
    for name in ("README.md", "README.zh-CN.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        named = [value["value"] for work in cited["references"] for value in work.get("identifiers", [])]
        assert all(each in text for each in named) and "(CITATION.cff)" in text


def test_the_phantoms_of_the_features_page_hold_the_classes_that_its_commands_need():
    from collections import Counter

    from synth.data.records import split_of
    from synth.phantom import PhantomConfig, population

    text = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    config = PhantomConfig(size=96)
    counts = Counter()
    for index in range(2000):
        subject, nth, _ = population.place(config, index)
        counts[split_of(f"phantom-{subject:06d}"), population.labels(config, subject, nth)["is_gc"]] += 1
    assert (
        f"has {counts['test', 1]} with and {counts['test', 0]} without glaucoma, `train` has {counts['train', 1]}"
        in text
    )


@pytest.mark.parametrize("package", ["synth", "clip"])
def test_the_table_of_costs_has_every_recipe_and_each_page_names_recipes_that_exist(package):
    from synth.base import recipes

    names = set(recipes.names(package))
    table = (ROOT / "docs" / "how-to" / "cost.md").read_text(encoding="utf-8")
    assert {each for each in names if f"`{each}`" not in table} == set()
    for page in pages.READ_FIRST:
        text = page.read_text(encoding="utf-8")
        asked = re.findall(rf"{package} train [^`\n]*--config ([\w-]+)(?=[ `\n])", text)
        assert set(asked) <= names, page.name


def test_the_data_manager_reads_the_numbers_that_privacy_power_gives():
    from privacy.decisions import power

    text = power.text(power.table(0.5, 0.8, 1, None))
    page = (ROOT / "docs" / "how-to" / "data-manager.md").read_text(encoding="utf-8")
    for said, wanted in (("524 in each group (AUC below .55)", "AUC below 0.55: 524"), ("AUC .6 | 195 in", "0.6         195"),
                         ("of .55: 1,436", "0.55      1,436"), ("60 % read | 210 members", "0.6         210")):  # fmt: skip
        assert said in page and wanted in text


def test_a_command_that_a_report_suggests_has_flags_that_exist():
    from privacy import threats

    for remedy in {remedy for row in threats.CATALOGUE for remedy in row.remedies}:
        words = remedy.command.replace("…", "").split()
        assert words[0] in pages.COMMANDS
        assert {word for word in words if word.startswith("--")} <= flags(words), remedy.command
