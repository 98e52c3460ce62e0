"""A matplotlib figure as small inline SVG that follows the page's light and dark dress, and the pens it is drawn with.

Decides how every figure looks. Figures hold no text of the user's: names stand in the HTML around them. Colours are CSS
variables of the page.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from seqloom.report.words import LARGEST, MINUS, SMALLEST, TIMES, number

# The look of a figure. Colours are those of the template's light dress; each is replaced by its variable.
COLOURS = {"c1": "#0072b2", "c2": "#c84e00", "c3": "#00805c", "c4": "#a64d84", "c5": "#9c6f00", "muted": "#6b7075"}
INK, PAPER = "#1b1e22", "#fefefe"
PIXEL = 1 / 72  # inches: SVG units of matplotlib are 1/72 inch, so figures measured in these are in CSS pixels
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), INK),
}

MARKS = {
    "circle": "M4 0A4 4 0 1 1-4 0A4 4 0 1 1 4 0z",
    "square": "M-3.6-3.6h7.2v7.2h-7.2z",
    "triangle": "M0-4.5L4.7 3.6h-9.4z",
    "diamond": "M0-5L5 0L0 5L-5 0z",
    "inverted": "M0 4.5L4.7-3.6h-9.4z",
    "plus": "M-1.7-4.6h3.4v2.9h2.9v3.4h-2.9v2.9h-3.4v-2.9h-2.9v-3.4h2.9z",
    "cross": "M-4.4-2.6l1.8-1.8L0-1.8l2.6-2.6 1.8 1.8L1.8 0l2.6 2.6-1.8 1.8L0 1.8l-2.6 2.6-1.8-1.8L-1.8 0z",
}

PLOT_MARKS = dict(zip(MARKS, "os^DvPX", strict=True))
ONE = f"1.00{TIMES}"


@dataclass(frozen=True)
class Pen:
    """How a variant is drawn in every figure: a colour of the page, dashes in units of the width, a mark for points."""

    colour: str
    dashes: tuple[float, ...] = ()
    width: float = 1.8
    mark: str = "circle"

    @property
    def outline(self) -> str:
        """The path of the mark around 0, 0."""
        return MARKS[self.mark]

    @property
    def dasharray(self) -> str:
        """The dashes as SVG has them."""
        return " ".join(f"{dash * self.width:g}" for dash in self.dashes)


@dataclass(frozen=True)
class Line:
    """A line of a figure."""

    x: np.ndarray
    y: np.ndarray
    pen: Pen
    band: tuple[np.ndarray, np.ndarray] | None = None


def draw(axes: Axes, line: Line) -> None:
    """A line and its band; a lone point as a dot."""
    colour = COLOURS[line.pen.colour]
    if line.band:
        axes.fill_between(line.x, *line.band, color=colour, alpha=0.15, linewidth=0)
    style = (0, line.pen.dashes) if line.pen.dashes else "-"
    marker = "o" if len(line.x) == 1 else ""
    axes.plot(line.x, line.y, color=colour, linewidth=line.pen.width, linestyle=style, marker=marker)


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many CSS pixels. Its axes must be filled within `as_svg`'s look, so that is entered here as well."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width * PIXEL, height * PIXEL), layout="constrained")
        axes = figure.add_subplot()
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    return figure, axes


def as_svg(figure: Figure, key: str, label: str) -> str:
    """The figure as an `<svg>` element for HTML. `key` is its id in the page; `label` says what it shows."""
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": key}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    view = re.search(r'viewBox="([^"]*)"', text)
    assert view
    body = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    for pattern, new in _SHORTER:
        body = re.sub(pattern, new, body, flags=re.DOTALL)
    for name, colour in {**COLOURS, "paper": PAPER}.items():
        body = body.replace(colour, f"var(--{name})")
    body, rules = _classes(body.replace(INK, "currentColor"), key)
    return f'<svg id="{key}" viewBox="{view[1]}" role="img" aria-label="{label}">{rules}{body}</svg>'


def readable(axis: Axis, limits: tuple[float, float], *, log: bool) -> str:
    """Ticks without a power of ten of their own: it is given back, to stand in the label."""
    largest = max(map(abs, limits))
    power = 0 if log or not largest or SMALLEST <= largest < LARGEST else math.floor(math.log10(largest))
    if log:
        axis.set_major_formatter(FuncFormatter(_decade))
    elif power:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 10.0**power:g}".replace("-", MINUS)))
    return f" ({number(10.0**power).removeprefix(ONE)})" if power else ""


def _classes(body: str, key: str) -> tuple[str, str]:
    """Styles that stand more than once become classes of this figure."""
    styles = re.findall(r'style="([^"]*)"', body)
    often = [style for style in dict.fromkeys(styles) if styles.count(style) > 1]
    rules = []
    for place, style in enumerate(often):
        body = body.replace(f'style="{style}"', f'class="s{place}"')
        rules.append(f"#{key} .s{place}{{{style}}}")
    return body, f"<style>{''.join(rules)}</style>" if rules else ""


def _shorter_numbers(match: re.Match[str]) -> str:
    """Coordinates to a tenth of a pixel, without the blanks SVG does not need."""
    numbers = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), match[2])
    tight = re.sub(r" ?([MLCQzZ]) ?", r"\1", " ".join(numbers.split()))
    return f'{match[1]}="{tight}"'


def _decade(value: float, _: int | None = None) -> str:
    """10 to the `value` for an axis of decimal logarithms."""
    if not -3 <= value <= 5:
        return number(10.0**value).removeprefix(ONE)
    return f"{10**value:,.0f}" if value >= 0 else f"{10**value:g}"


_SHORTER: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"<metadata>.*?</metadata>", ""),
    (r"<style.*?</style>", ""),
    (r"<!--.*?-->", ""),
    (r'<g id="[^"]*"', "<g"),
    (r" ?font-family: [^;\"]*;?", ""),
    (r' transform="rotate\(-0 [^"]*\)"', ""),
    (r"xlink:href", "href"),
    (r'\b(d|x|y|width|height)="([^"]*)"', _shorter_numbers),
    (r">\s+<", "><"),
    (r"<defs></defs>|<g></g>", ""),
)
