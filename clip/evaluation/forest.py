"""A forest plot as SVG: for each test a row for each model, its name and value above its interval, so that no line runs through text."""

from collections.abc import Iterator, Sequence
from textwrap import wrap
from unicodedata import east_asian_width
from xml.sax.saxutils import escape

from clip.evaluation.languages import translated
from clip.evaluation.report import METRICS, estimate
from clip.evaluation.tables import Headline

WIDTH = 360
"""Units across, which are pixels on a narrow telephone; it grows with the page."""
_LETTER = 6.2  # units of a letter of 11; one of Chinese takes two
_LEFT, _RIGHT = 8, 352
_STYLE = """
  .forest { color: #1f2933; background: transparent; font: 11px system-ui, "Noto Sans CJK SC", sans-serif }
  .forest text { fill: currentColor } .forest .test { font-weight: 650 } .forest .small { opacity: .7 }
  .forest .line { stroke: #0072b2; stroke-width: 2 } .forest .dot { fill: #0072b2 }
  .forest .rest .line { stroke: #a34700 } .forest .rest .dot { fill: #a34700 }
  .forest .chance { stroke: currentColor; stroke-dasharray: 2 2; opacity: .6 } .forest .axis { stroke: currentColor; opacity: .35 }
  @media (prefers-color-scheme: dark) { .forest { color: #e4e7eb }
    .forest .line { stroke: #56b4e9 } .forest .dot { fill: #56b4e9 } .forest .rest .line { stroke: #f0a35e } .forest .rest .dot { fill: #f0a35e } }
"""


def svg(headlines: Sequence[Headline], language: str = "en") -> str:
    """The plot, which needs no other file; light and dark as the reader has it."""
    y, parts = 4.0, []
    for line in headlines:
        drawn = list(_panel(line, y, language))
        parts += drawn[:-1]
        y = float(drawn[-1])
    label = escape(translated("Values and intervals", language), {'"': "&quot;"})
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="forest" viewBox="0 0 {WIDTH} {y:.0f}" width="100%" '
        f'style="max-width:{2 * WIDTH}px" role="img" aria-label="{label}"><style>{_STYLE}</style>{"".join(parts)}</svg>'
    )


def _panel(line: Headline, y: float, language: str) -> Iterator[str]:
    """The markup of one test from `y` downwards, and last the place below it."""
    metric = translated(METRICS.get(line.metric) or line.metric, language)
    counts = translated(f"{line.n} photographs of {line.patients} patients", language)
    for text, kind in [
        *((each, "test") for each in _lines(translated(line.title, language))),
        (f"{metric} · {counts}", "small"),
    ]:
        y += 14
        yield f'<text x="{_LEFT}" y="{y:.0f}" class="{kind}">{escape(text)}</text>'
    low, high = _ends(line)
    scale = (_RIGHT - _LEFT) / (high - low)
    top = y + 4
    for k, (model, value) in enumerate(line.values.items()):
        y += 18
        row = f" ({translated(line.rows[model], language)})"
        places = [_LEFT + (each - low) * scale for each in (value.low, value.high, value.value)]
        yield (
            f'<g class="{"rest" if k else "first"}"><text x="{_LEFT}" y="{y:.0f}">{escape(shortened(model, 33 - width(row)) + row)}</text>'
            f'<text x="{_RIGHT}" y="{y:.0f}" text-anchor="end">{translated(estimate(value), language)}</text>'
            f'<line class="line" x1="{places[0]:.1f}" x2="{places[1]:.1f}" y1="{y + 8:.0f}" y2="{y + 8:.0f}"/>'
            f'<circle class="dot" cx="{places[2]:.1f}" cy="{y + 8:.0f}" r="3.5"/></g>'
        )
        if line.chance is not None:
            x = _LEFT + (line.chance - low) * scale
            yield f'<line class="chance" x1="{x:.1f}" x2="{x:.1f}" y1="{y + 3:.0f}" y2="{y + 14:.0f}"/>'
        y += 10
    assert y > top
    yield f'<line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{y + 8:.0f}" y2="{y + 8:.0f}"/>'
    yield f'<text class="small" x="{_LEFT}" y="{y + 20:.0f}">{low:z.2f}</text>'
    yield f'<text class="small" x="{_RIGHT}" y="{y + 20:.0f}" text-anchor="end">{high:z.2f}</text>'
    yield f"{y + 34:.0f}"


def _ends(line: Headline) -> tuple[float, float]:
    """The ends of the scale: what holds all intervals, and chance, with a little room."""
    values = [end for each in line.values.values() for end in (each.low, each.high, each.value)]
    values += [] if line.chance is None else [line.chance]
    room = max(0.02, 0.05 * (max(values) - min(values)))
    return min(values) - room, max(values) + room


def width(text: str) -> int:
    """Letters wide; a Chinese one counts two."""
    return sum(2 if east_asian_width(each) in "WF" else 1 for each in text)


def shortened(text: str, letters: int) -> str:
    """A text of at most so many letters: of a longer one its beginning and, as paths tell by it, its end."""
    if width(text) <= letters:
        return text
    head, tail = "", ""
    while width(head) < letters // 3:
        head += text[len(head)]
    while width(head) + width(tail) + width(text[-len(tail) - 1]) < letters:
        tail = text[len(text) - len(tail) - 1 :]
    return f"{head}…{tail}"


def _lines(title: str) -> list[str]:
    """A title in lines that fit."""
    most = int((_RIGHT - _LEFT) / _LETTER)
    wide = width(title) > len(title)
    return wrap(title, most // 2 if wide else most) or [title]
