"""The page of several models side by side, for people, in Chinese and English."""

from collections.abc import Iterator

from markupsafe import Markup

from clip.evaluation import forest
from clip.evaluation.languages import pages, translated
from clip.evaluation.report import METRICS, number
from clip.evaluation.results import Metric
from clip.evaluation.tables import Comparison
from synth.base.words import number_of, with_minus

PAGE = "comparison.html"
"""The file of the page; `page_name` has its Chinese."""


def html(comparison: Comparison, language: str) -> str:
    """One self-contained page."""
    templates = pages(language)
    templates.filters["number"] = lambda value: with_minus(translated(number(value), language))
    templates.filters["signed"] = lambda metric: with_minus(translated(signed(metric), language))
    return templates.get_template("comparison.html.j2").render(
        page=PAGE,
        answer=" ".join(translated(each, language) for each in answers(comparison)),
        comparison=comparison,
        models=list(comparison.models),
        metrics=METRICS,
        picture=Markup(forest.svg(comparison.headlines, language)),
        unpaired=any(not each for line in comparison.headlines for each in line.paired.values()),
    )


def answers(comparison: Comparison) -> Iterator[str]:
    """One sentence for each model but the first: in how many tests it is better or worse, with the whole interval."""
    tests = number_of(len(comparison.headlines), "test")
    first, *others = comparison.models
    for model in others:
        gaps = [each.differences[model] for each in comparison.headlines if model in each.differences]
        better, worse = sum(each.low > 0 for each in gaps), sum(each.high < 0 for each in gaps)
        yield (
            f"In {tests}, {model} is compared with {first}: in {better} the difference lies above 0 with its whole "
            f"95 % interval, in {worse} below."
        )
    if not others:
        yield f"In {tests} there is one model, and nothing to compare it with."


def signed(metric: Metric) -> str:
    """`+.012 (-.004 to +.028)`."""
    return f"{metric.value:+z.3f} ({metric.low:+z.3f} to {metric.high:+z.3f})"
