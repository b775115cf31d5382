"""The report as a page in a browser: it asks for nothing, runs nothing, fits a screen and prints to two pages."""

import base64
import html
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from chromium import PROGRAM, Browser

from privacy import report, threats
from privacy.attacks import attribute_inference, captions, copies, disclosure
from privacy.attacks.population import Features
from privacy.config import AuditConfig
from privacy.data import attributes
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.decision import decide
from privacy.decisions.results import Result, ValidityCheck
from privacy.decisions.verdict import Answer, leak_verdict, training_verdict
from privacy.report import page
from privacy.report.chinese import translated
from privacy.report.schema import AuditReport
from privacy.scores import references, validity
from privacy.scores.guesses import GroupGuesses, Guesses
from privacy.scores.identifiers import Count
from privacy.scores.validity import ValidityChecks
from privacy.statistics.inference import Tested
from privacy.targets import training_records
from synth.base.stats import Estimate
from synth.data import images, records

EVIL = (
    "<script>document.title='taken'</script><img src=http://example.invalid/x onerror=document.title='taken'>"
)
CONFIG = AuditConfig(permutations=60, bootstrap=100, detection_rounds=50)
PATIENTS = 60
PAPER = {"A4": (8.27, 11.69), "Letter": (8.5, 11)}
"""Inches."""


def people(folder: Path) -> People:
    """A few records of a folder, a patient, a race and captions whose names are scripts."""
    rows = [
        records.row(
            id=f"{i:03d}{EVIL}",
            subject_id=f"p{i:03d}{EVIL}",
            image={"bytes": images.encode(np.full((8, 8, 3), i, np.uint8)), "path": None},
            race=EVIL if i % 2 else "asian",
            sex="FM"[i // 2 % 2],
            age=30.0 + i % 7,
            caption_en=f"{EVIL} of patient no 12345678",
            caption_zh=f"{EVIL} 65岁男性",
        )
        for i in range(PATIENTS)
    ]
    records.write_records(folder, rows, {"kind": "test"}, (1, 0, 0))
    return People(folder, kept=folder / ".cache")


def asked(question: Result, place: int) -> Result:
    """A question with an answer: each word has its turn, and every reason is a long one."""
    low, high = (
        (0.55, 0.75) if place % 4 == 0 else (-0.02, 0.09) if question.scale.chance == 0 else (0.44, 0.58)
    )
    tested = Tested(Estimate((low + high) / 2, low, high, 400), 1e-6 if place % 4 == 0 else 0.2)
    check = ValidityCheck("baseline separability", place % 4 == 2, f"{validity.RECORDS}, the groups differ (AUC 0.612, 0.551 to 0.673); "
                "draw both from the same source at random")  # fmt: skip
    if place % 4 == 3:
        return question._replace(missing=f"needs {Inputs.WHAT['independent']}; {Inputs.WHAT['attackers']}")
    control = ("non-members against non-members", tested.estimate)
    return question._replace(
        tested=tested,
        checks=(check,),
        compared=(control,),
        notes=("what labels tell of an attribute is medicine; what words add to it is a slip of the pen",),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> AuditReport:
    """A report in which everything was asked, and all that comes from data is hostile."""
    # No name of a folder holds a slash, but a path does.
    folder = tmp_path_factory.mktemp("report") / "<script>document.title='taken'<" / "script>"
    groups, rng = people(folder), np.random.default_rng(0)
    sexes = rng.normal(size=(PATIENTS, 4)) + [[3.0 * (i // 2 % 2), 0, 0, 0] for i in range(PATIENTS)]
    features = Features(sexes, [rng.normal(size=(PATIENTS, 4))], rng.normal(size=(PATIENTS, 4)))
    tasks = {name: attributes.task(groups.cohort, name) for name in ("age", "sex", "race")}
    judged = attribute_inference.evaluate(tasks, features, CONFIG)
    stratum = np.array([EVIL if i % 2 else "asian" for i in range(PATIENTS)], object)
    guessed = [Guesses(rng.random(PATIENTS) < share, stratum, np.zeros(PATIENTS)) for share in (0.9, 0.5)]
    inputs = Inputs(
        folder / ".cache",
        encoder=SimpleNamespace(metadata={"path": EVIL, "sha256": EVIL, "kind": "test"}),  # type: ignore[arg-type]
        synthetic=groups,
        members=groups,
        nonmembers=groups,
    )
    results = [
        disclosure.evaluate("race", {disclosure.ENCODER: GroupGuesses(*guessed)}, ValidityChecks((), ()))
    ]
    results += [captions.attack(Inputs(folder / ".cache", synthetic=groups), CONFIG)[0]]
    questions = [
        each for row in threats.CATALOGUE if row.attack and row.key != "T1" for each in row.attack().QUESTIONS
    ]
    done = {(each.threat, each.attack) for each in results}
    left = [each for each in questions if (each.threat, each.attack) not in done]
    results += [asked(question, place) for place, question in enumerate(left)]
    return report.build(inputs, decide([*judged, *results]), CONFIG, f"privacy audit --members {EVIL}")


FIELD = set(
    re.findall(
        r"\w+",
        "AUC MAE CLIP SimA PIA SecMI CLiD EDPB HIPAA PIPL WP DeLong Anonymeter asian schema test phantom",
    )
)


def leftovers(chinese: str) -> set[str]:
    """English words of a page: not those of commands, files, settings and the abbreviations of the field."""
    settings = "设置|版本|模型 [^<]*|预处理|攻击者的记录"
    unread = rf"(?s)<(style|code|title)>.*?</\1>|<tr><th>(?:{settings})</th>.*?</tr>|<a href.*?</a>"
    shown = re.sub(unread, " ", chinese)
    shown = html.unescape(re.sub(r"<[^>]*>", " ", shown)).replace(EVIL, " ")
    shown = re.sub(
        r"--given [a-z+]+|--\w+( [A-Z]+\b)?|\b[\w-]+\.(?:csv|pt|parquet)\b|visionclip-privacy\S*|synth train",
        " ",
        shown,
    )
    return {word for word in re.findall(r"[A-Za-z]{2,}", shown)} - FIELD


def test_the_chinese_page_holds_no_english_sentence(made):
    assert leftovers(report.html(made, "zh")) == set()
    assert {"released", "pictures"} <= leftovers(report.html(made, "en"))


REVEALED = Answer(verdict.REVEALS, "", "")
SAID = [
    leak_verdict(Estimate(0.8, 0.7, 0.9, 90), 1e-6, 0.5, 0.52, 0.6, "AUC").why,
    leak_verdict(Estimate(0.4, 0.3, 0.45, 90), 0.9, 0.5, 0.52, 0.6, "AUC").why,
    training_verdict(REVEALED, {"untrained encoders": Estimate(0.02, -0.02, 0.07, 90)}, True, "auc").why,
    training_verdict(REVEALED, {"pixels": Estimate(0.2, -0.1, 0.7, 90)}, True, "mae").why,
    *(
        f"reference separability: {references.separability(name, Tested(Estimate(0.8, 0.7, 0.9, 90), 1e-6)).why}"
        for name in (references.UNTRAINED, references.INDEPENDENT, references.SHIPPED)
    ),
    f"baseline separability: {validity.CAMERA}, at 64 pixels, the groups differ (AUC 0.812, 0.700 to 0.900); draw both from the same source at random",
    "duplicates: 1.2% of the non-members have a picture that a member has, saved again; remove duplicates",
    *copies.evaluate_search((np.ones(3), np.ones(2)), (np.ones(3), np.ones(2)), 500).notes,
    "3 of 500 released pictures copy photographs of 3 patients, all of them said not to be trained on",
    "the upper bound is below 0.6, yet 3 of 500 released pictures copy photographs of 3 patients, 2 of them said not to be trained on: this attack overlooks them",
    f"the upper bound is below 0.6, yet {training_records.doubt({'--generator': ['12' * 8]}, '34' * 8, Path('/7'), None)}",
    captions.evaluate_identifiers(
        Count(9, 2, Counter({"name": 2, "year of birth": 1}), Counter(), 0)
    ).suspected,
    "the sex of too few members and non-members is known",
    "too few patients of the same race in both groups",
]


@pytest.mark.parametrize("said", SAID)
def test_what_a_report_says_seldom_is_chinese_too(said):
    told = translated(said)
    assert leftovers(told) - {"visionclip"} == set(), told
    assert not re.search(r"[一-鿿）]\s*[;:]|[：；]\s|其(?:age|sex|race)", told), told


def test_the_name_of_a_column_stays_as_the_records_have_it():
    said = translated("no record states it; add the column 'sex' to --attackers")
    assert said == "没有记录写明；请在 --attackers 中加入列 'sex'"


def test_every_panel_of_both_pages_says_why(made):
    for language in page.LANGUAGES:
        panels = re.findall(r'(?s)<section class="panel.*?</section>', report.html(made, language))
        assert len(panels) == 3 and all(re.search(r'<p class="muted">[^<]{4,}</p>', each) for each in panels)


@pytest.mark.parametrize(
    "word, sentences",
    [
        (verdict.INCONCLUSIVE, ("none is ruled out: the answer is INCONCLUSIVE.", "也未能排除：尚无定论。")),
        (
            verdict.PASS,
            ("No leak about training patients was found by what was asked.", "已检验的各问未发现"),
        ),
    ],
)
def test_a_page_that_found_no_leak_says_first_whether_one_is_ruled_out(made, word, sentences):
    panels = [each.model_copy(update={"verdict": word}) for each in made.panels]
    ended = made.model_copy(update={"panels": panels, "exit_status": 0})
    for language, sentence in zip(page.LANGUAGES, sentences, strict=True):
        first = report.html(ended, language).partition('class="answer">')[2].partition("</p>")[0]
        assert sentence in first


def test_where_nothing_was_asked_about_training_patients_the_page_says_so(made):
    panels = [
        each.model_copy(update={"verdict": verdict.NOT_TESTABLE, "answered": 0}) for each in made.panels
    ]
    page = report.html(made.model_copy(update={"panels": panels, "exit_status": 0}))
    assert '<p class="answer">Nothing could be asked about training patients' in page


def test_a_negative_number_has_a_minus_sign(made):
    assert not re.search(
        r"[>(]-[.\d]", report.html(made).partition("How to repeat")[0].partition("</style>")[2]
    )


def test_the_first_page_counts_patients(made):
    assert re.search(r"Of 60 patients, up to \d+ (more than by chance|can be known)", report.html(made))
    assert re.search(r"在 60 名患者中，[^。]*至多 \d+ 名", report.html(made, "zh"))


@pytest.fixture(scope="module")
def browser(made, tmp_path_factory):
    if not PROGRAM:
        pytest.skip("no Chromium on this machine")
    folder = tmp_path_factory.mktemp("pages")
    report.write(folder, made)
    with Browser(folder / "profile") as opened:
        opened.send(
            "Emulation.setDeviceMetricsOverride", width=1280, height=800, deviceScaleFactor=1, mobile=False
        )
        yield opened, folder


def show(opened: Browser, path: Path) -> None:
    opened.requests.clear()
    opened.complaints.clear()
    opened.open(path.as_uri())
    opened.wait(f"document.readyState == 'complete' && location.href.endsWith('/{path.name}')")


@pytest.mark.parametrize("name", [*page.LANGUAGES.values(), "label.svg"])
def test_the_report_opens_without_a_request_or_a_complaint(browser, name):
    opened, folder = browser
    show(opened, folder / name)
    assert opened.requests == [(folder / name).as_uri()]
    assert opened.complaints == []


@pytest.mark.parametrize("name", page.LANGUAGES.values())
def test_what_data_say_is_text(browser, name):
    """Names of folders and patients' race; captions are in no report, but one that states who somebody is fails it."""
    opened, folder = browser
    show(opened, folder / name)
    assert opened.run("document.title.startsWith('taken')") is False
    assert (
        opened.run("document.querySelectorAll('script, img, iframe, object, link, base, form').length") == 0
    )
    text = opened.run("document.body.textContent")
    assert text.count(EVIL) >= 4  # encoder, race as a class and as a group, command
    assert "<script>document.title='taken'</script>" in text.replace(EVIL, "")  # the folder
    assert "12345678" not in text
    attributes = "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).map(a => a.name)"
    assert not [each for each in opened.run(attributes) if each.startswith("on")]


@pytest.mark.parametrize("name", page.LANGUAGES.values())
def test_the_summary_fits_a_screen(browser, name):
    opened, folder = browser
    show(opened, folder / name)
    assert 300 < opened.run("document.querySelector('main').getBoundingClientRect().bottom") <= 800
    assert opened.run("document.documentElement.scrollWidth") <= 1280


@pytest.mark.parametrize("paper", PAPER)
@pytest.mark.parametrize("name", page.LANGUAGES.values())
def test_it_prints_to_two_pages(browser, name, paper):
    opened, folder = browser
    show(opened, folder / name)
    width, height = PAPER[paper]
    printed = opened.send("Page.printToPDF", paperWidth=width, paperHeight=height)["data"]
    assert len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed))) == 2


def test_the_worst_answers_are_on_the_first_page(made):
    """However many attacks there are, what failed is not among those left out for want of room."""
    first = report.html(made).partition("</main>")[0]
    failed = [each for each in made.results if each.verdict.word == verdict.FAIL]
    assert len(failed) >= 4
    for each in failed:
        assert f"{each.threat} {each.attack}" in first
