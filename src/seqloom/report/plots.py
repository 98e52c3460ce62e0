"""The figures of a report as small inline SVG, and the curves they show.

Decides how a figure looks. Figures hold no text of the user's: names stand in the HTML around them. Colours are CSS
variables of the page, so that figures follow its light and dark dress.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import FuncFormatter, MaxNLocator

from seqloom.report.facts import Curves
from seqloom.report.words import LARGEST, MINUS, SMALLEST, TIMES, number
from seqloom.stats import Interval

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
BAND_SPREAD = 0.5
"""Share of a band's width over which the variants stand beside each other."""

SEARCH_GRID = np.linspace(0.0, 1.0, 201)
MOST_POINTS = 2_000
"""Up to so many rows are drawn as points, more as hexagons."""
HEXAGONS = 32  # across a panel
SHADES = np.linspace(0.18, 1.0, 7)
ONE = f"1.00{TIMES}"
MARGIN = 0.04
MOST_STRETCH = 0.5
"""Predictions outside the range of the targets widen the axes by no more than this share of it, on either side."""


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


@dataclass(frozen=True)
class Window:
    """The values that scatter plots of several variants show on both axes."""

    low: float
    high: float
    log: bool

    def place(self, values: np.ndarray) -> np.ndarray:
        """Values as they are drawn: the decimal logarithm on log axes; beyond the window, at its edge."""
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = np.log10(values) if self.log else values
        return np.clip(drawn, self.low, self.high)

    def outside(self, values: np.ndarray) -> int:
        """How many values lie beyond the window."""
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = np.log10(values) if self.log else values
        return int((~((drawn >= self.low) & (drawn <= self.high))).sum())


def window(target: np.ndarray, preds: Sequence[np.ndarray], *, log: bool) -> Window:
    """Limits that hold all targets (N,) and, as far as they are not wild, the predictions (N,) of every variant."""
    of = np.log10 if log else np.asarray
    low, high = float(of(target).min()), float(of(target).max())
    span = (high - low) or 1.0
    ends = np.array([np.quantile(of(pred), [0.002, 0.998]) for pred in preds])
    low = min(low, max(float(ends[:, 0].min()), low - MOST_STRETCH * span))
    high = max(high, min(float(ends[:, 1].max()), high + MOST_STRETCH * span))
    margin = MARGIN * ((high - low) or 1.0)
    return Window(low - margin, high + margin, log)


def predicted_against_true(
    key: str,
    label: str,
    target: np.ndarray,
    pred: np.ndarray,
    frame: Window,
    threshold: float | None,
    beyond: Sequence[tuple[str, np.ndarray, np.ndarray]] = (),
    *,
    dense: bool,
) -> tuple[str, int]:
    """Points, or hexagons shaded by rows if `dense`; and the rows of the darkest hexagon (0 for points).

    `beyond`: `<` or `>`, limits and predictions of rows that are bounds, drawn as triangles towards their true values.
    """
    figure, axes = _figure(300, 285)
    x, y = frame.place(target), frame.place(pred)
    limits = (frame.low, frame.high)
    axes.plot(limits, limits, color=COLOURS["muted"], linewidth=1, zorder=3)
    if threshold is not None:
        at = frame.place(np.array([threshold]))[0]
        for draw in (axes.axvline, axes.axhline):
            draw(at, color=COLOURS["muted"], linewidth=1, dashes=(1, 2), zorder=3)
    for sign, limit, own in beyond:
        places = (frame.place(limit), frame.place(own))
        axes.plot(*places, sign, markersize=4.5, markeredgewidth=0, color=COLOURS["c2"], alpha=0.5)
    most = 0
    if dense:
        most = _hexagons(axes, x, y, limits)
    else:
        axes.plot(x, y, "o", markersize=4, markeredgewidth=0, color=COLOURS["c1"], alpha=0.45 if len(x) > 200 else 0.65)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    for axis, name in ((axes.xaxis, "measured"), (axes.yaxis, "predicted")):
        axis.set_major_locator(MaxNLocator(5, integer=frame.log))
        axis.set_label_text(name + _readable(axis, limits, log=frame.log))
    return _svg(figure, key, label), most


def search_curves(key: str, label: str, lines: Sequence[Line], x_label: str, y_label: str, guide: float | None) -> str:
    """ROC (guide None: the diagonal) or precision-recall curves (guide: the share of positives)."""
    figure, axes = _figure(400, 370)
    axes.plot([0, 1], [0, 1] if guide is None else [guide, guide], color=COLOURS["muted"], linewidth=1, dashes=(1, 2))
    for line in reversed(lines):  # the best on top
        _draw(axes, line)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x_label, ylabel=y_label)
    return _svg(figure, key, label)


def histogram(key: str, label: str, edges: np.ndarray, counts: np.ndarray, x: str, y: str, *, log: bool = False) -> str:
    """Bars of counts (K,) between edges (K + 1,); with `log` the edges are decimal logarithms."""
    figure, axes = _figure(400, 190)
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=COLOURS["c1"], edgecolor=PAPER, linewidth=0.5)
    axes.set_ylabel(y)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=counts.max() > 3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rows, _: f"{rows:,g}"))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=log))
    axes.set_xlabel(x + _readable(axes.xaxis, (float(edges[0]), float(edges[-1])), log=log))
    return _svg(figure, key, label)


def epochs(key: str, label: str, curves: Curves, tracks: Sequence[tuple[str, Pen]], y_label: str) -> str:
    """Mean over the members that reached an epoch, and a band from the lowest to the highest of them."""
    figure, axes = _figure(400, 240)
    for name, pen in tracks:
        track = curves.tracks[name]
        known = ~np.isnan(track).all(axis=0)
        if known.any():
            values = track[:, known]
            band = (np.nanmin(values, axis=0), np.nanmax(values, axis=0)) if len(values) > 1 else None
            _draw(axes, Line(curves.epoch[known], np.nanmean(values, axis=0), pen, band))
    axes.set(xlabel="epoch", ylabel=y_label)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return _svg(figure, key, label)


def scores_by_band(
    key: str, label: str, bands: Sequence[str], lines: Sequence[tuple[Pen, Sequence[Interval]]], x: str, y: str
) -> str:
    """Values with their intervals in every band, the variants side by side; what is undefined is left out."""
    figure, axes = _figure(max(400, 90 * len(bands) + 60), 260)
    offsets = np.linspace(-BAND_SPREAD / 2, BAND_SPREAD / 2, len(lines)) if len(lines) > 1 else np.zeros(1)
    for (pen, scores), offset in zip(lines, offsets, strict=True):
        at = np.arange(len(bands)) + offset
        value, low, high = np.array([(score.value, score.low, score.high) for score in scores]).T
        colour = COLOURS[pen.colour]
        known = ~np.isnan(value)
        axes.plot(at[known], value[known], color=colour, linewidth=0.8, alpha=0.5)
        axes.vlines(at, low, high, color=colour, linewidth=1.8)
        face = PAPER if pen.colour == "muted" else colour
        axes.plot(at, value, PLOT_MARKS[pen.mark], color=colour, markersize=6, markerfacecolor=face)
    axes.set_xticks(range(len(bands)), bands)
    axes.set(xlabel=x, ylabel=y, xlim=(-0.6, len(bands) - 0.4))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return _svg(figure, key, label)


def reliability_diagram(
    key: str,
    label: str,
    bins: Sequence[tuple[float, Interval]],
    before: Sequence[tuple[float, Interval]],
    pen: Pen,
) -> str:
    """Observed shares with their intervals against predicted ones, and without intervals what they were `before`."""
    figure, axes = _figure(300, 285)
    axes.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, dashes=(1, 2))
    if before:
        x, y = [at for at, _ in before], [share.value for _, share in before]
        axes.plot(x, y, "o-", color=COLOURS["muted"], linewidth=1, markersize=3, alpha=0.6)
    x, y, low, high = np.array([(at, share.value, share.low, share.high) for at, share in bins]).T
    axes.vlines(x, low, high, color=COLOURS[pen.colour], linewidth=1.4)
    axes.plot(x, y, PLOT_MARKS[pen.mark], color=COLOURS[pen.colour], markersize=5)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", xlabel="predicted", ylabel="observed")
    return _svg(figure, key, label)


def mean_roc(members: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray] | None:
    """False and true positive rates averaged over members of (y (N,) 0/1, score (N,)); None if none has both classes."""
    curves = []
    for y, score in members:
        tp, fp = _hits(y, score)
        if tp[-1] and fp[-1]:
            x, up = fp / fp[-1], tp / tp[-1]
            last = np.append(np.diff(x) > 0, True)  # at a vertical step the curve is at its top
            curves.append(np.interp(SEARCH_GRID, x[last], up[last]))
    if not curves:
        return None
    return np.append(0.0, SEARCH_GRID), np.append(0.0, np.mean(curves, axis=0))


def mean_precision(members: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray] | None:
    """Recall and precision averaged over members, so that the area is the mean average precision; None as in `mean_roc`."""
    curves = []
    grid = SEARCH_GRID[1:]
    for y, score in members:
        tp, fp = (counts[1:] for counts in _hits(y, score))
        if tp[-1] and fp[-1]:
            # The precision at a recall is that of the first threshold that reaches it.
            first = np.searchsorted(tp / tp[-1], grid - 1e-12)
            curves.append((tp / (tp + fp))[first])
    return (grid, np.mean(curves, axis=0)) if curves else None


def _hits(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives at no threshold and at each distinct score downwards."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(y) - 1)
    tp = np.cumsum(y[order])[ends]
    return np.append(0.0, tp), np.append(0.0, ends + 1 - tp)


def _hexagons(axes: Axes, x: np.ndarray, y: np.ndarray, limits: tuple[float, float]) -> int:
    drawn = axes.hexbin(x, y, gridsize=HEXAGONS, extent=(*limits, *limits), mincnt=1)
    counts = np.asarray(drawn.get_array())
    hexagon = drawn.get_paths()[0]
    outlines = [Outline(hexagon.vertices + centre, hexagon.codes) for centre in np.asarray(drawn.get_offsets())]
    drawn.remove()
    most = int(counts.max())
    shade = np.rint(np.log(counts) / max(math.log(most), 1e-9) * (len(SHADES) - 1)).astype(int)
    for level, alpha in enumerate(SHADES):  # one path per shade is a third of the bytes of one per hexagon
        own = [outline for outline, at in zip(outlines, shade, strict=True) if at == level]
        if own:
            whole = Outline.make_compound_path(*own)
            axes.add_patch(PathPatch(whole, facecolor=to_rgba(COLOURS["c1"], alpha), edgecolor="none"))
    return most


def _draw(axes: Axes, line: Line) -> None:
    colour = COLOURS[line.pen.colour]
    if line.band:
        axes.fill_between(line.x, *line.band, color=colour, alpha=0.15, linewidth=0)
    style = (0, line.pen.dashes) if line.pen.dashes else "-"
    marker = "o" if len(line.x) == 1 else ""
    axes.plot(line.x, line.y, color=colour, linewidth=line.pen.width, linestyle=style, marker=marker)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many CSS pixels. Its axes must be filled within `_svg`'s look, so that is entered here as well."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width * PIXEL, height * PIXEL), layout="constrained")
        axes = figure.add_subplot()
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    return figure, axes


def _svg(figure: Figure, key: str, label: str) -> str:
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


def _readable(axis: Axis, limits: tuple[float, float], *, log: bool) -> str:
    """Ticks without a power of ten of their own: it is given back, to stand in the label."""
    largest = max(map(abs, limits))
    power = 0 if log or not largest or SMALLEST <= largest < LARGEST else math.floor(math.log10(largest))
    if log:
        axis.set_major_formatter(FuncFormatter(_decade))
    elif power:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 10.0**power:g}".replace("-", MINUS)))
    return f" ({number(10.0**power).removeprefix(ONE)})" if power else ""


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
