"""The checklist for people: one page in each language, a section of the data-set card, and lines for the terminal."""

from pathlib import Path

from privacy.checklist.answers import NAME
from privacy.checklist.checklist import Checklist
from privacy.checklist.items import SIGNS, items, principles
from synth.base import runs
from synth.base.templates import environment
from synth.base.translation import LANGUAGES, page_name

PAGE = "checklist.html"
_WORDS = {
    "en": {
        "title": "Ethics checklist",
        "answered": "Files and people have answered {n} of {of} questions.",
        "principles": "Principles of Ning et al. 2023 (TREGAI, arXiv 2311.02107); the wording of the items is visionclip's, and "
        "environmental cost is added. A mark is a file's or a person's; nothing is marked that was not answered.",
        "yes": "yes",
        "partly": "in part",
        "no": "no",
        "not applicable": "not applicable",
        "open": "not answered",
    },
    "zh": {
        "title": "伦理检查清单",
        "answered": "共 {of} 个问题，文件与人已回答 {n} 个。",
        "principles": "原则取自 Ning 等 2023（TREGAI，arXiv 2311.02107）；条目措辞为 visionclip 所拟，并增加了环境代价。每个标记均来自文件或"
        "人的回答；未回答者不作标记。",
        "yes": "是",
        "partly": "部分",
        "no": "否",
        "not applicable": "不适用",
        "open": "未回答",
    },
}


def write(home: Path, made: Checklist) -> None:
    """Write `checklist.json` and both pages, each whole or not at all."""
    runs.write_json(home / "checklist.json", made.model_dump())
    for language in LANGUAGES:
        runs.write_text(home / page_name(PAGE, language), html(made, language))


def html(made: Checklist, language: str) -> str:
    """One self-contained page; all that comes from files and people is escaped."""
    templates = environment(Path(__file__).parent.parent / "templates", language)
    return templates.get_template("checklist.html.j2").render(
        page=PAGE,
        t=_WORDS[language],
        signs=SIGNS,
        counts={mark: made.count(mark) for mark in SIGNS},
        groups=_groups(made, language),
    )


def _groups(
    made: Checklist, language: str
) -> list[tuple[str, list[tuple[str, str, str, list[tuple[str, str]]]]]]:
    """Principle -> its items: sign, mark, question, and sentences with their sources."""
    by_key = {each.key: each for each in made.items}
    groups = []
    for key, names in principles().items():
        rows = []
        for item in items():
            if item.principle == key:
                each = by_key[item.key]
                said = [(getattr(one, language), one.source) for one in each.evidence]
                rows.append((each.sign, each.mark, getattr(item, language), said))
        groups.append((names[0 if language == "en" else 1], rows))
    return groups


def section(made: Checklist) -> str:
    """Markdown for a card: both languages, one line an item."""
    return "\n\n".join(_section(made, language) for language in LANGUAGES) + "\n"


def _section(made: Checklist, language: str) -> str:
    t = _WORDS[language]
    counts = ", ".join(f"{t[mark]} {made.count(mark)}" for mark in SIGNS)
    lines = [f"## {t['title']}", f"{t['principles']} {counts}.", ""]
    for name, rows in _groups(made, language):
        lines.append(f"- **{name}**")
        for sign, mark, question, said in rows:
            text = " ".join(f"{_plain(one)} [{_plain(source)}]" for one, source in said)
            lines.append(f"  - {sign} {question} {t[mark]}. {text}".rstrip())
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text on one line, without what Markdown or HTML would take for more than text."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")


def lines(made: Checklist, home: Path) -> str:
    """The same for a terminal: counts, and what is open."""
    counts = ", ".join(f"{_WORDS['en'][mark]} {made.count(mark)}" for mark in SIGNS)
    left = [item.en for item, each in zip(items(), made.items, strict=True) if each.mark == "open"]
    rest = [f"{SIGNS['open']} {question}" for question in left]
    remedy = [f"fill in {home / NAME} and repeat the command"] if left else []
    return "\n".join([f"{len(made.items)} items: {counts}", *rest, *remedy, f"page: {home / PAGE}"])
