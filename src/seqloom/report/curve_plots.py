"""The figures of training: scores, losses and learning rates by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator

from seqloom.report.members import Course
from seqloom.report.svg import COLOURS, PAPER, PLOT_MARKS, Line, Pen, as_svg, draw, new_figure

SIZES = {"large": (400, 260), "small": (300, 200), "tiny": (190, 130)}
LEAST_RATE = 1e-6
"""Rates below this share of the highest are not told apart from 0."""


@dataclass(frozen=True)
class Drawn:
    """A course, its pen, and the epoch kept (the mean of several), marked on it; None marks nothing."""

    course: Course
    pen: Pen
    kept: float | None = None


def by_epoch(
    key: str,
    label: str,
    drawn: Sequence[Drawn],
    y_label: str,
    frame: tuple[float, float],
    kept: Sequence[float] = (),
    size: str = "small",
) -> str:
    """Means with a band of one standard deviation, and short strokes at the foot where members are `kept`."""
    figure, axes = new_figure(*SIZES[size])
    for each in drawn:
        _course(axes, each)
    for epoch in sorted(set(kept)):
        axes.axvline(epoch, 0, 0.06, color=COLOURS["c3"], linewidth=1.4)
    axes.set(xlabel="epoch", ylabel=y_label, ylim=frame)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return as_svg(figure, key, label)


def rates(key: str, label: str, drawn: Sequence[Drawn], frame: tuple[float, float], size: str = "large") -> str:
    """Learning rates on a logarithmic axis."""
    figure, axes = new_figure(*SIZES[size])
    for each in drawn:
        draw(axes, Line(each.course.epoch, np.maximum(each.course.mean, frame[0]), each.pen))
    axes.set_yscale("log")
    axes.set(
        xlabel="epoch", ylabel="learning rate" if size != "tiny" else "rate", ylim=(frame[0] / 1.3, frame[1] * 1.3)
    )
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    axes.yaxis.set_minor_locator(LogLocator(subs=()))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return as_svg(figure, key, label)


def frame_of(courses: Sequence[Course]) -> tuple[float, float]:
    """Limits that hold all courses and their bands, unless a few numbers are wild: then all but these."""
    ends = [mean + sign * np.nan_to_num(spread) for _, mean, spread in courses for sign in (-1, 1)]
    values = np.concatenate(ends)
    low, high = float(values.min()), float(values.max())
    inner = np.quantile(values, [0.1, 0.9])
    if high - low > 5 * (inner[1] - inner[0]) > 0:
        low, high = (float(each) for each in np.quantile(values, [0.02, 0.98]))
    room = 0.04 * ((high - low) or abs(high) or 1.0)
    return low - room, high + room


def rate_frame(courses: Sequence[Course]) -> tuple[float, float]:
    """Limits of rates that hold all above a millionth of the highest."""
    values = np.concatenate([course.mean for course in courses])
    high = float(values.max())
    return max(float(values.min()), high * LEAST_RATE), high


def _course(axes: Axes, each: Drawn) -> None:
    epoch, mean, spread = each.course
    band = None if np.isnan(spread).all() else (mean - np.nan_to_num(spread), mean + np.nan_to_num(spread))
    draw(axes, Line(epoch, mean, each.pen, band))
    if each.kept is not None and len(epoch):
        at = float(np.interp(each.kept, epoch, mean))
        colour = COLOURS[each.pen.colour]
        face = PAPER if each.pen.colour == "muted" else colour
        axes.plot([each.kept], [at], PLOT_MARKS[each.pen.mark], color=colour, markersize=6, markerfacecolor=face)
