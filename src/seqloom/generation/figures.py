"""The drawings of a page about generators: identities, bits, columns, pairs of columns, maps, and how members learnt.

Samples are blue, held-out sequences orange, training sequences grey, in every drawing where the three meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from seqloom.report.plots import hexagons
from seqloom.report.svg import COLOURS, INK, Line, as_svg, draw, new_figure

SAMPLES, HELD_OUT, TRAIN = "c1", "c2", "muted"
SETS = ((SAMPLES, "samples"), (HELD_OUT, "held-out"), (TRAIN, "training"))
"""Colours of the page, and what they stand for."""
DOTTED = (1.0, 2.0)


def distributions(
    key: str,
    label: str,
    filled: np.ndarray,
    outlines: Mapping[str, np.ndarray],
    edges: np.ndarray,
    x: str,
    mark: float | None = None,
    filled_colour: str = SAMPLES,
) -> str:
    """Shares of numbers between edges (K + 1,): `filled` as bars, `outlines` of other sets by their colour; `mark`: a line."""
    figure, axes = new_figure(300, 210)
    if len(filled):
        axes.stairs(_shares(filled, edges), edges, fill=True, color=COLOURS[filled_colour], alpha=0.45)
    for colour, values in outlines.items():
        if len(values):
            axes.stairs(_shares(values, edges), edges, color=COLOURS[colour], linewidth=1.6)
    if mark is not None:
        axes.axvline(mark, color=INK, linewidth=1, dashes=DOTTED)
    axes.set(xlim=(edges[0], edges[-1]), xlabel=x, ylabel="share")
    axes.yaxis.set_major_locator(MaxNLocator(4))
    return as_svg(figure, key, label)


def column_entropies(key: str, label: str, train: np.ndarray, own: np.ndarray) -> str:
    """Entropy of each column, samples against training, bits (K,) each."""
    figure, axes = new_figure(300, 285)
    most = float(np.ceil(max(float(train.max(initial=0)), float(own.max(initial=0)), 1.0) * 2) / 2)
    _diagonal(axes, (0.0, most))
    axes.plot(train, own, "o", markersize=4, markeredgewidth=0, color=COLOURS["c1"], alpha=0.6)
    _square(axes, (-0.05, most), "training", "this set")
    return as_svg(figure, key, label)


def couplings(key: str, label: str, train: np.ndarray, own: np.ndarray, slope: float | None, limit: float) -> str:
    """Covariances of pairs, of any shape, own against training, as shaded hexagons; a line of the slope of their regression."""
    figure, axes = new_figure(300, 285)
    limits = (-limit, limit)
    x, y = (np.clip(each.ravel(), *limits) for each in (train, own))
    hexagons(axes, x, y, limits)
    _diagonal(axes, limits)
    if slope is not None and np.isfinite(slope):
        ends = np.array(limits)
        axes.plot(ends, slope * ends, color=COLOURS["c2"], linewidth=1.6, zorder=4)
    _square(axes, limits, "training", "this set")
    return as_svg(figure, key, label)


def cloud_map(key: str, label: str, sets: Mapping[str, np.ndarray], limits: tuple[np.ndarray, np.ndarray]) -> str:
    """Places (N, 2) of several sets by their colour, the first below the others, within limits (2,) and (2,)."""
    figure, axes = new_figure(300, 285)
    low, high = limits
    for order, (colour, places) in enumerate(sets.items()):
        x, y = np.clip(places, low, high).T
        alpha = 0.35 if colour == TRAIN else 0.6
        axes.plot(x, y, "o", markersize=3.4, markeredgewidth=0, color=COLOURS[colour], alpha=alpha, zorder=2 + order)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="first component", ylabel="second")
    axes.set_xticks([])
    axes.set_yticks([])
    return as_svg(figure, key, label)


def course(
    key: str,
    label: str,
    lines: Sequence[Line],
    y: str,
    guides: Sequence[float] = (),
    bounds: tuple[float, float] | None = None,
) -> str:
    """Lines against the sequences that a model has seen; `guides`: values drawn across, dotted; `bounds` of the axis."""
    figure, axes = new_figure(320, 210)
    for line in lines:
        draw(axes, line)
    for guide in guides:
        axes.axhline(guide, color=INK, linewidth=1, dashes=DOTTED, zorder=1)
    if bounds is not None:
        axes.set_ylim(*bounds)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.set(xlabel="sequences seen", ylabel=y)
    return as_svg(figure, key, label)


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    found: np.ndarray = counts / max(len(values), 1)
    return found


def _diagonal(axes: Axes, limits: tuple[float, float]) -> None:
    axes.plot(limits, limits, color=COLOURS["muted"], linewidth=1, zorder=3)


def _square(axes: Axes, limits: tuple[float, float], x: str, y: str) -> None:
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel=x, ylabel=y)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))


def _thousands(value: float, _: int | None = None) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
