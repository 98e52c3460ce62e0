"""The figures of predictions, errors and counts, and the curves they show. How a figure looks is decided in `svg`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import FuncFormatter, MaxNLocator

from seqloom.report.svg import COLOURS, PAPER, PLOT_MARKS, Line, Pen, as_svg, draw, new_figure, readable
from seqloom.stats import Interval

BAND_SPREAD = 0.5
"""Share of a band's width over which the variants stand beside each other."""

SEARCH_GRID = np.linspace(0.0, 1.0, 201)
MOST_POINTS = 2_000
"""Up to so many rows are drawn as points, more as hexagons."""
HEXAGONS = 32  # across a panel
SHADES = np.linspace(0.18, 1.0, 7)
MARGIN = 0.04
MOST_STRETCH = 0.5
"""Predictions outside the range of the targets widen the axes by no more than this share of it, on either side."""


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
    figure, axes = new_figure(300, 285)
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
        most = hexagons(axes, x, y, limits)
    else:
        axes.plot(x, y, "o", markersize=4, markeredgewidth=0, color=COLOURS["c1"], alpha=0.45 if len(x) > 200 else 0.65)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    for axis, name in ((axes.xaxis, "measured"), (axes.yaxis, "predicted")):
        axis.set_major_locator(MaxNLocator(5, integer=frame.log))
        axis.set_label_text(name + readable(axis, limits, log=frame.log))
    return as_svg(figure, key, label), most


def search_curves(key: str, label: str, lines: Sequence[Line], x_label: str, y_label: str, guide: float | None) -> str:
    """ROC (guide None: the diagonal) or precision-recall curves (guide: the share of positives)."""
    figure, axes = new_figure(400, 370)
    axes.plot([0, 1], [0, 1] if guide is None else [guide, guide], color=COLOURS["muted"], linewidth=1, dashes=(1, 2))
    for line in reversed(lines):  # the best on top
        draw(axes, line)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x_label, ylabel=y_label)
    return as_svg(figure, key, label)


def histogram(key: str, label: str, edges: np.ndarray, counts: np.ndarray, x: str, y: str, *, log: bool = False) -> str:
    """Bars of counts (K,) between edges (K + 1,); with `log` the edges are decimal logarithms."""
    figure, axes = new_figure(400, 190)
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=COLOURS["c1"], edgecolor=PAPER, linewidth=0.5)
    axes.set_ylabel(y)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=counts.max() > 3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rows, _: f"{rows:,g}"))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=log))
    axes.set_xlabel(x + readable(axes.xaxis, (float(edges[0]), float(edges[-1])), log=log))
    return as_svg(figure, key, label)


def scores_by_band(
    key: str, label: str, bands: Sequence[str], lines: Sequence[tuple[Pen, Sequence[Interval]]], x: str, y: str
) -> str:
    """Values with their intervals in every band, the variants side by side; what is undefined is left out."""
    figure, axes = new_figure(max(400, 90 * len(bands) + 60), 260)
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
    return as_svg(figure, key, label)


def reliability_diagram(
    key: str,
    label: str,
    bins: Sequence[tuple[float, Interval]],
    before: Sequence[tuple[float, Interval]],
    pen: Pen,
) -> str:
    """Observed shares with their intervals against predicted ones, and without intervals what they were `before`."""
    figure, axes = new_figure(300, 285)
    axes.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, dashes=(1, 2))
    if before:
        x, y = [at for at, _ in before], [share.value for _, share in before]
        axes.plot(x, y, "o-", color=COLOURS["muted"], linewidth=1, markersize=3, alpha=0.6)
    x, y, low, high = np.array([(at, share.value, share.low, share.high) for at, share in bins]).T
    axes.vlines(x, low, high, color=COLOURS[pen.colour], linewidth=1.4)
    axes.plot(x, y, PLOT_MARKS[pen.mark], color=COLOURS[pen.colour], markersize=5)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", xlabel="predicted", ylabel="observed")
    return as_svg(figure, key, label)


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


def hexagons(axes: Axes, x: np.ndarray, y: np.ndarray, limits: tuple[float, float]) -> int:
    """Hexagons between `limits` on both axes, shaded by the logarithm of the points (N,) in each; the points of the fullest."""
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
