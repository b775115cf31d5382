"""The page of several models side by side, for people, in Chinese and English."""

from pathlib import Path

from markupsafe import Markup

from clip.evaluation import forest, titles
from clip.evaluation.phrases import METRICS_ZH, WORDS, phrase
from clip.evaluation.report import METRICS, number
from clip.evaluation.results import Metric
from clip.evaluation.tables import Comparison
from synth.base.templates import environment

LANGUAGES = {"en": "", "zh": ".zh"}
"""Language -> what stands before the suffix of its files."""


def html(comparison: Comparison, language: str) -> str:
    """One self-contained page."""
    words = WORDS[language]
    headings = METRICS | (METRICS_ZH if language == "zh" else {})
    pages = environment(Path(__file__).parent / "templates")
    pages.filters["number"] = number
    pages.filters["signed"] = signed
    pages.filters["titled"] = lambda text: titles.title(text, language)
    pages.filters["judged"] = lambda name: titles.task(name, language)
    pages.filters["phrase"] = lambda text: phrase(text, language)
    return pages.get_template("comparison.html.j2").render(
        comparison=comparison,
        models=list(comparison.models),
        metrics=headings,
        language=language,
        t=words,
        other=f"comparison{LANGUAGES['zh' if language == 'en' else 'en']}.html",
        picture=Markup(forest.svg(comparison.headlines, language)),
        unpaired=any(not each for line in comparison.headlines for each in line.paired.values()),
    )


def signed(metric: Metric) -> str:
    """`+.012 (-.004 to +.028)`."""
    return f"{metric.value:+.3f} ({metric.low:+.3f} to {metric.high:+.3f})"
