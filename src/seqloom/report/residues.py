"""Figures of residues: a map of points with their letters, a chart of residues by position, bars of shares.

Decides how they look, on the pens of `svg`. Orange stands for more, blue for less, and the stronger the colour, the further.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import FuncFormatter, MaxNLocator

from seqloom.alphabet import PROTEIN
from seqloom.encode.descriptors import residue_hydropathy
from seqloom.report.svg import COLOURS, INK, PAPER, as_svg, new_figure

CLASS_COLOURS = ("c1", "c2", "c3", "c4", "c5")
SIDE, HEIGHT = 430, 400
DISC = 17.0
"""Pixels across the disc of a letter."""
ROUNDS = 300
LEVELS = 8
"""Shades of a colour: more could not be told apart, and each is one path."""
FAINT, FULL = 0.08, 0.85


def residue_map(
    key: str, label: str, places: np.ndarray, letters: str, shades: np.ndarray, names: tuple[str, str], *, ticks: bool
) -> str:
    """Discs with letters at places (K, 2), coloured by shades (K,) from -1 to 1; those that would cover others stand aside.

    Both axes have the same scale. A disc that stands aside is tied to its place by a line.
    """
    figure, axes = new_figure(SIDE, HEIGHT)
    centre = (places.max(0) + places.min(0)) / 2
    extent = float(max((places.max(0) - places.min(0)).max(), 1e-9))
    pixels = (places - centre) / extent * (HEIGHT - 90)
    moved = _apart(pixels)
    for (x, y), (at_x, at_y), letter, shade in zip(pixels, moved, letters, shades, strict=True):
        if abs(x - at_x) + abs(y - at_y) > DISC / 4:
            axes.plot([x, at_x], [y, at_y], color=COLOURS["muted"], linewidth=0.8, zorder=1)
            axes.plot([x], [y], "o", markersize=2.5, markeredgewidth=0, color=COLOURS["muted"], zorder=1)
        colour = to_rgba(*_colour(float(shade)))
        axes.plot([at_x], [at_y], "o", markersize=DISC, color=PAPER, markeredgewidth=0, zorder=2)
        axes.plot([at_x], [at_y], "o", markersize=DISC, color=colour, markeredgewidth=0, zorder=3)
        axes.annotate(letter, (at_x, at_y), ha="center", va="center_baseline", fontsize=11, color=INK, zorder=4)
    reach = max(float(np.abs(moved).max()) + DISC, (HEIGHT - 90) / 2)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel=names[0], ylabel=names[1])
    for axis, middle in ((axes.xaxis, centre[0]), (axes.yaxis, centre[1])):
        if ticks:
            _in_units(axis, float(middle), extent / (HEIGHT - 90), reach)
        else:
            axis.set_ticks([])
    if not ticks:
        _bare(axes)
    return as_svg(figure, key, label)


def ordered(symbols: str) -> np.ndarray:
    """The order in which a chart has these symbols, int64 (K,): amino acids from hydrophobic to hydrophilic, others as given."""
    if not set(PROTEIN.standard) <= set(symbols):
        return np.arange(len(symbols))
    of = residue_hydropathy()[PROTEIN.ids(symbols)]
    odd = [symbol not in PROTEIN.standard for symbol in symbols]
    return np.lexsort((-of, odd))


def shade_strip(key: str, low: str, middle: str, high: str) -> str:
    """What the colours of a map stand for: from -1 (`low`) to 1 (`high`)."""
    figure, axes = new_figure(SIDE, 44)
    steps = np.linspace(-1, 1, 2 * LEVELS + 1)
    for place, shade in enumerate(steps):
        axes.add_patch(PathPatch(_cells([(place, 0)]), facecolor=to_rgba(*_colour(float(shade))), edgecolor="none"))
    axes.set(xlim=(0, len(steps)), ylim=(0, 1))
    axes.set_xticks([0.5, len(steps) / 2, len(steps) - 0.5], [low, middle, high])
    axes.set_yticks([])
    _bare(axes)
    return as_svg(figure, key, f"colours from {low} to {high}")


def position_chart(
    key: str, label: str, values: np.ndarray, marked: np.ndarray, positions: Sequence[int], letters: str, full: float
) -> str:
    """Cells of values (P, K) by position and letter, in full colour from `full` on; NaN is empty, `marked` (P, K) has dots."""
    figure, axes = new_figure(70 + 26 * max(len(positions), 8), 40 + 15 * len(letters))
    shade = np.clip(np.nan_to_num(values) / full, -1, 1)
    level = np.rint(np.abs(shade) * LEVELS)
    for sign in (-1, 1):
        for step in range(1, LEVELS + 1):
            cells = np.argwhere((np.sign(shade) == sign) & (level == step))
            if len(cells):
                colour = to_rgba(*_colour(sign * step / LEVELS))
                axes.add_patch(PathPatch(_cells(cells), facecolor=colour, edgecolor="none"))
    x, y = np.nonzero(marked)
    axes.plot(x + 0.5, y + 0.5, "o", markersize=2.6, markeredgewidth=0, color=INK)
    axes.set(xlim=(0, len(positions)), ylim=(len(letters), 0))
    axes.set_xticks(np.arange(len(positions)) + 0.5, [_written(each) for each in positions])
    axes.set_yticks(np.arange(len(letters)) + 0.5, list(letters))
    axes.set_xlabel("position")
    _bare(axes)
    return as_svg(figure, key, label)


def share_bars(key: str, label: str, shares: np.ndarray, letters: str, top: float) -> str:
    """Shares (G, K) of letters in several classes as bars side by side, on an axis up to `top`."""
    figure, axes = new_figure(310, 150)
    width = 0.84 / len(shares)
    for place, (own, colour) in enumerate(zip(shares, CLASS_COLOURS, strict=False)):
        at = np.arange(len(letters)) - 0.42 + place * width
        axes.bar(at, np.nan_to_num(own), width, align="edge", color=COLOURS[colour], linewidth=0)
    axes.set(xlim=(-0.6, len(letters) - 0.4), ylim=(0, top))
    axes.set_xticks(range(len(letters)), list(letters), fontsize=9)
    axes.tick_params(axis="x", length=0)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
    return as_svg(figure, key, label)


def _colour(shade: float) -> tuple[str, float]:
    """Orange above 0, blue below, grey at 0, with how strong it is."""
    if not shade:
        return COLOURS["muted"], FAINT
    return COLOURS["c2" if shade > 0 else "c1"], FAINT + (FULL - FAINT) * min(abs(shade), 1.0)


def _apart(places: np.ndarray) -> np.ndarray:
    """Places (K, 2) in pixels, pushed from each other until discs do not cover each other."""
    moved = places + 1e-3 * np.random.default_rng(0).standard_normal(places.shape)  # equal places need a direction
    for _ in range(ROUNDS):
        apart = moved[:, None] - moved[None]
        distance = np.sqrt((apart**2).sum(-1)) + np.eye(len(moved)) * 1e9
        push = np.maximum(DISC - distance, 0.0)
        if not (push > 0.05).any():
            break
        moved = moved + (apart * (push / distance / 2)[..., None]).sum(1)
    return np.asarray(moved)


def _cells(cells: Sequence[tuple[int, int]] | np.ndarray) -> Outline:
    """Unit squares at (x, y), with a little room between them."""
    corners = np.array([(0.03, 0.03), (0.97, 0.03), (0.97, 0.97), (0.03, 0.97), (0.03, 0.03)])
    return Outline.make_compound_path(*(Outline(corners + np.asarray(cell), closed=True) for cell in cells))


def _in_units(axis: object, middle: float, unit: float, reach: float) -> None:
    """Round ticks in the units of the data on an axis of pixels."""
    ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(middle - reach * unit, middle + reach * unit)
    kept = [each for each in ticks if abs(each - middle) <= reach * unit]
    axis.set_ticks([(each - middle) / unit for each in kept], [_written(round(each, 9)) for each in kept])  # type: ignore[attr-defined]


def _written(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def _bare(axes: Axes) -> None:
    """Without frame and tick marks."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
