"""Every page that a command writes, in a browser: nothing scrolls sideways on a phone, axe finds nothing grave, no request leaves.

The page of `synth evaluate` is in `test_judging.py`, where one is made.
"""

import base64
import re
from pathlib import Path

import languages
import numpy as np
import page as demo
import pytest
from accessibility import faults
from chromium import PROGRAM, Browser
from PIL import Image
from test_examples import demo_folder
from test_import_report import drawn, encoded, load, set_of

from clip.apps import search
from clip.evaluation import comparison
from clip.evaluation import languages as evaluation_languages
from clip.evaluation import report as evaluation
from clip.evaluation.provenance import DataProvenance, ModelProvenance
from clip.evaluation.results import Bin, ClassificationResult, EvaluationReport, Metric
from privacy import report as audit
from privacy import threats
from privacy.checklist import checklist
from privacy.checklist import page as ethics
from privacy.checklist.items import Evidence
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs
from privacy.decisions.decision import decide
from privacy.decisions.results import Result
from privacy.decisions.verdict import NOT_TESTABLE
from privacy.report import words
from privacy.report.counts import open_questions
from privacy.report.schema import AuditReport
from privacy.statistics.inference import Tested
from synth.base.forest import Row, forest
from synth.base.runs import write_text
from synth.base.stats import Estimate
from synth.base.translation import LANGUAGES, Catalogue, page_name
from synth.quality import report as quality
from synth.sampling.preview import legend, sheet

ROOT = Path(__file__).parent.parent
TEMPLATES, QUALITY = ROOT / "clip" / "evaluation" / "templates", ROOT / "synth" / "quality"
BOTH = (
    "eval/report.html",
    "compared/comparison.html",
    "demo/report.html",
    "found.html",
    "ethics/checklist.html",
)
"""Pages in English, each with its Chinese beside it; the audit's has tests of its own."""
PAGES = ("audit/report.html", "audit/report.zh.html", "import/import.html",
         *(page_name(name, language) for name in BOTH for language in LANGUAGES))  # fmt: skip


def audited(folder: Path) -> AuditReport:
    """An audit in which one question of three got an answer, each word in its turn."""
    questions = [
        each for row in threats.CATALOGUE if row.attack and row.key != "T1" for each in row.attack().QUESTIONS
    ]
    results = [_asked(each, place) for place, each in enumerate(questions)]
    return audit.build(
        Inputs(folder), decide(results), AuditConfig(detection_rounds=50), "privacy audit --out x"
    )


def _asked(question: Result, place: int) -> Result:
    if place % 3:
        return question._replace(
            missing=f"needs {Inputs.WHAT['members' if place % 3 == 1 else 'independent']}"
        )
    middle = question.scale.chance + (0.2 if place % 2 else 0.01)
    tested = Tested(Estimate(middle, middle - 0.05, middle + 0.05, 400), 1e-6 if place % 2 else 0.4)
    return question._replace(tested=tested, details={"roc": [[0.1, 0.3], [0.5, 0.8]]})


def evaluated() -> EvaluationReport:
    """Two tasks, one with everything that a page can show; only the first is better than an answer without the picture."""
    good, poor = (
        {
            key: Metric(value=value, low=value - 0.1, high=value + 0.1)
            for key in ("balanced_accuracy", "macro_auc")
        }
        for value in (0.8, 0.5)
    )
    lines = {"zero-shot": {0: "zero-shot"}, "linear": {1: "linear, 1 shot", 4: "linear, 4 shots"}}
    shots = dict.fromkeys(["zero-shot", "linear, 1 shot", "linear, 4 shots"], poor)
    figure = {"model": "FLAIR", "metric": "macro_auc", "value": 0.9, "n": 100, "protocol": "the whole set", "source": "a paper",
              "inferred": True, "differs": ["100 photographs, ours 40", "the metric is inferred"]}  # fmt: skip
    shared = {"source": "labels of a set", "n": 40, "patients": 20, "classes": {"normal": 20, "is_gc": 20},
              "without_pictures": {"chance": {"balanced_accuracy": 0.5, "macro_auc": 0.5}}}  # fmt: skip
    part = {"attribute": "age", "n": 20, "patients": 9, "classes": {"normal": 20, "is_gc": 20}}
    whole = ClassificationResult.model_validate(
        shared | {
            "task": "few-shot", "name": "dr5", "title": "diabetic retinopathy, five grades", "metrics": shots,
            "prompts": {"normal": {"zh": ["正常眼底。"], "en": ["A normal fundus."]}},
            "reliability": {"zero-shot": [Bin(confidence=0.6, accuracy=0.7, n=40)]},
            "confusion": {"zero-shot": [[15, 5], [4, 16]]}, "chosen": {"linear, 1 shot": {"C": [1.0]}},
            "curve": {"x": "photographs per class", "lines": lines}, "left_out": {"drusen": 2},
            "train": {"n": 30, "patients": 15}, "validation": {"n": 10, "patients": 5}, "published": [figure],
            "notes": ["8, 16 shots are left out: one class has 5 patients to learn from."],
            "subgroups": [part | {"name": "40 to 49", "auc": {"zero-shot": poor["macro_auc"]}}, part | {"name": "below 40", "auc": {}}],
        }
    )  # fmt: skip
    first = shared | {
        "task": "zero-shot",
        "name": "is_gc",
        "title": "glaucoma",
        "metrics": {"zh": good, "en": good},
    }
    model = ModelProvenance(path="ckpt.pt", sha256="12" * 32, images=64, training_data=None,
                            preprocessing={"name": "fov-square", "version": 1, "size": 32}, training=None)  # fmt: skip
    data = DataProvenance(data="records", fingerprint="34" * 32, splits=["test"], rows=40)
    return EvaluationReport(command="clip eval", config={"rounds": 20}, checkpoint=model, data=data, libraries={"torch": "2"},
                            results=[ClassificationResult.model_validate(first), whole])  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    audit.write(folder / "audit", audited(folder / "cache"))
    evaluation.write(folder / "eval", evaluated())
    root = set_of(
        folder / "set", {f"a long name {i}.jpg": encoded(drawn(i)) for i in range(4)} | {"5.jpg": b"no picture"},
        [[f"a long name {i}.jpg", f"p{i}", 50 + i, "FM"[i % 2], "left", i] for i in range(4)] + [["5.jpg", "p9", 50, "F", "left", 0]],
    )  # fmt: skip
    load(root)
    (folder / "import").mkdir()
    write_text(folder / "import" / "import.html", (root / "out" / "import.html").read_text(encoding="utf-8"))
    demo.build(
        demo_folder(folder / "demo"),
        [{"name": "what they look like", "command": "synth phantom --n 6", "seconds": 75.4, "status": 0}],
    )
    hits = [search.Hit(rank, 0.9 / rank, f"an-id-of-a-photograph-{rank}", "p") for rank in range(1, 6)]
    for language in LANGUAGES:
        sheet = search.html(
            "疑似青光眼。", hits, [drawn(rank) for rank in range(1, 6)], "found.html", language
        )
        write_text(folder / page_name("found.html", language), sheet)
    two = [(name, EvaluationReport.model_validate(evaluated().as_json())) for name in ("a", "b")]
    (folder / "ethics").mkdir()
    leak = Evidence("FAIL.", "泄露（不通过）。", "report.json", "no")
    ethics.write(folder / "ethics", checklist.combine({"privacy.members": [leak]}, {}))
    comparison.write(folder / "compared", comparison.compare(two, "clip compare a b"))
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not PROGRAM:
        pytest.skip("no Chromium on this machine")
    with Browser(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


@pytest.mark.parametrize("name", BOTH)
def test_a_page_is_whole_in_both_languages(pages, name):
    languages.whole(pages / name, "CLIP FLAIR dr5 Ning TREGAI GDPR")


CATALOGUES = [(TEMPLATES, evaluation_languages.CATALOGUE, ["clip"]), (QUALITY, quality.CATALOGUE, ["synth"]),
              (Path(search.__file__).parent, search.CATALOGUE, ["clip"]),
              (Path(demo.__file__).parent, demo.CATALOGUE, ["examples/demo", "privacy/report"])]  # fmt: skip


@pytest.mark.parametrize("folder, catalogue, code", CATALOGUES, ids=lambda each: getattr(each, "name", ""))
def test_a_catalogue_has_every_text_of_its_pages_and_no_other(folder, catalogue, code):
    assert set(languages.messages(folder, catalogue)) - set(catalogue.pages) == set()
    assert languages.unused(folder, catalogue, [ROOT / each for each in [*code, "synth/base"]]) == set()


def test_english_in_a_chinese_page_an_entry_without_a_text_and_a_text_without_an_entry_are_noticed(tmp_path):
    """Else the tests above could not fail."""
    assert languages.english('<p>结果 of this</p><p lang="en">A title</p><code>clip eval</code>') == {
        "of",
        "this",
    }
    (tmp_path / "a.html.j2").write_text("{% trans %}A text{% endtrans %}")
    (tmp_path / "zh.yaml").write_text('{pages: {A page: 页}, code: {"No %(n)d such": 无}}')
    catalogue = Catalogue(tmp_path / "zh.yaml")
    assert set(languages.messages(tmp_path, catalogue)) == {"A text"}
    assert languages.unused(tmp_path, catalogue, [tmp_path]) == {"A page", "No %(n)d such"}


def test_a_text_of_code_is_translated_with_what_stands_in_it(tmp_path):
    entries = '{"%(n)d %% of %(what)s": "%(what)s的 %(n)d %%", "%(a)s, %(b)s": "%(a)s、%(b)s"}'
    (tmp_path / "zh.yaml").write_text(f"{{pages: {{}}, code: {entries}}}")
    catalogue = Catalogue(tmp_path / "zh.yaml", {"eyes": "眼"})
    assert (
        catalogue.translated("5 % of eyes") == "眼的 5 %"
        and catalogue.translated("eyes, a, eyes") == "眼、a、眼"
    )
    assert (
        catalogue.translated("some % of eyes") == "some % of eyes"
        and catalogue.translated("eyes", "en") == "eyes"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read_on_a_desk_and_on_a_phone_by_eye_and_by_ear(browser, pages, name):
    assert faults(browser, pages / name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PAGES if not name.startswith("import")])
def test_a_page_prints_to_two_pages(browser, pages, name):
    browser.open((pages / name).as_uri())
    browser.wait(f"document.readyState == 'complete' && location.href.endsWith('/{name}')")
    printed = base64.b64decode(browser.send("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= 2


@pytest.mark.slow
def test_what_is_wrong_with_a_page_is_noticed(browser, tmp_path):
    """Else the tests above could not fail."""
    page = tmp_path / "bad.html"
    page.write_text(
        '<html><body><img src="http://127.0.0.1:9/x.png"><div style="width: 2000px; color: #eee; background: #fff">pale</div>'
    )
    found = " ".join(faults(browser, page))
    for each in ("asks for http", "px wide", "color-contrast", "image-alt", "html-has-lang"):
        assert each in found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_begins_with_a_title_one_sentence_and_figures(pages, name):
    page = (pages / name).read_text(encoding="utf-8")
    assert re.search(r'(?s)<h1>[^<]*(<span[^>]*>)?[^<]+.*?</h1>\s*<p class="answer">\s*\S.*?</p>', page)
    assert "figure" in page and "prefers-color-scheme: dark" in page and "<script" not in page


def test_questions_that_were_not_tested_are_few_lines_that_say_how_to_test_them(pages, tmp_path):
    made = audited(tmp_path)
    untested = [each for each in made.results if each.verdict.word == NOT_TESTABLE]
    for language, name in audit.LANGUAGES.items():
        lines = open_questions(made, language)
        assert len(lines) <= 3 < 10 < len(untested) and sum(len(each.names) for each in lines) == len(
            untested
        )
        assert all("--members" in each.why or "--independent" in each.why for each in lines)
        table = re.search(
            r'(?s)<section class="second".*?</table>', (pages / "audit" / name).read_text("utf-8")
        )
        assert table and untested[0].attack not in table[0]


def test_a_verdict_has_the_colour_of_its_word_wherever_it_stands():
    page = audit.html(audited(Path("cache")))
    drawn = dict(re.findall(r'(?s)<div class="(\w+)"><span class="name">([^<]+)</span>', page)[::-1])
    assert {"FAIL", "PASS"} & set(drawn)
    assert not re.search(r'class="word FAIL">PASS|class="word PASS">FAIL', page)


def test_marks_and_intervals_stand_where_their_values_do():
    found = forest([Row("a", 0.5, 0.25, 0.75), Row("b", 1.0)], {"chance": 0.5}, low=0)
    assert found.bars[0][2:5] == (50.0, 25.0, 75.0) and found.marks == [("chance", 50.0)]
    assert found.bars[1].interval == "" and (found.left, found.right) == ("0.000", "1.000")
    assert (
        forest([Row("a", 0, -0.25, 0.75)]).bars[0].interval == "−0.250 – 0.750"
    )  # no hyphen beside the dash


@pytest.mark.parametrize("name", ["eval/report.html", "compared/comparison.html"])
def test_a_page_calls_a_class_by_its_name_and_heads_each_column_of_what_others_published(pages, name):
    page = (pages / name).read_text(encoding="utf-8")
    assert "glaucoma 20" in languages.shown(page) and "is_gc" not in languages.shown(page)
    heads = re.search(r"(?s)What others published</h\d>.*?<tr>(.*?)</tr>", page)
    assert heads and "<th></th>" not in heads[1]


def test_an_attack_in_chinese_names_its_threat_once(tmp_path):
    for each in audited(tmp_path).results:
        name = threats.threat(each.threat).name_zh
        assert words.naming(each, "zh").count(name) == 1


def test_no_caption_of_a_contact_sheet_is_cut_or_shortened():
    """DM would be read as diabetes; words run out of their tile."""
    labels = {
        "is_dm": 1,
        "is_gc": 1,
        "dr_grade": 2,
        "findings": ["haemorrhage", "exudate"],
        "eye_side": "right",
    }
    shown = legend(labels)
    assert "DM" not in " ".join(shown) and "moderate diabetic retinopathy" in shown[0]
    short, full = (sheet([np.zeros((96, 96, 3), np.uint8)], [lines], 1) for lines in (["normal"], shown))
    assert isinstance(full, Image.Image) and full.height > short.height
