"""The report's section on settings varied together: the primary metric of every combination, as a heat map.

Decides from what variants of one predictor have otherwise whether they are a grid, and how it is laid out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from seqloom.report.facts import Facts, RunFacts
from seqloom.report.words import number, plain
from seqloom.stats import Interval

FEWEST = 4
"""Variants of a grid at least."""
MOST_KEYS = 3
LEAST_FILLED = 0.75
"""Share of the combinations that must be there: fewer are settings varied one at a time."""
CONTRAST = 3.0
"""Shades reach down so many times as far below the best as the median is: one that failed would make all others alike."""
KIND = "predictor.kind"


@dataclass(frozen=True)
class Cell:
    """A combination: its variant and score."""

    run: RunFacts
    score: Interval
    shade: str
    is_best: bool
    is_like_best: bool
    """Whether no difference to the best of the grid is detectable."""

    @property
    def text(self) -> str:
        """The score."""
        return number(self.score.value)


@dataclass(frozen=True)
class HeatMap:
    """Two settings, all others being equal."""

    title: str
    row_key: str
    column_key: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]


@dataclass(frozen=True)
class GridSection:
    """The heat maps of one grid."""

    title: str
    text: str
    maps: tuple[HeatMap, ...]


def grid_sections(facts: Facts) -> tuple[GridSection, ...]:
    """A section for every grid of two or three settings."""
    scored = [run for run in _in_order(facts) if not run.baseline and facts.primary in run.scores]
    kinds = list(dict.fromkeys(_kind(run) for run in scored))
    whole = _section(facts, scored, "") if len(kinds) > 1 else None
    if whole is not None:
        return (whole,)
    found = (_section(facts, [run for run in scored if _kind(run) == kind], kind) for kind in kinds)
    return tuple(section for section in found if section is not None)


def _in_order(facts: Facts) -> list[RunFacts]:
    runs = {run.name: run for run in facts.runs}
    return [runs[name] for name in dict.fromkeys([*facts.order, *runs]) if name in runs]


def _kind(run: RunFacts) -> str:
    return str(run.resolved.get("predictor", {}).get("kind", ""))


def _section(facts: Facts, runs: Sequence[RunFacts], kind: str) -> GridSection | None:
    keys = _keys(runs)
    if len(runs) < FEWEST or not 2 <= len(keys) <= MOST_KEYS:
        return None
    settings = {run.name: {key: _value(run, key, runs) for key in keys} for run in runs}
    levels = {key: _levels([settings[run.name][key] for run in runs]) for key in keys}
    by_place = {tuple(plain(settings[run.name][key]) for key in keys): run for run in runs}
    n_cells = math.prod(len(own) for own in levels.values())
    if len(by_place) < len(runs) or len(runs) < LEAST_FILLED * n_cells:
        return None
    rows, columns, *third = sorted(keys, key=lambda key: -len(levels[key]))
    cells = _cells(facts, runs)
    maps = []
    for fixed in product(*(levels[key] for key in third)):
        lines = []
        for row in levels[rows]:
            line: list[Cell | None] = []
            for column in levels[columns]:
                here = {rows: row, columns: column, **dict(zip(third, fixed, strict=True))}
                run = by_place.get(tuple(here[key] for key in keys))
                line.append(None if run is None else cells[run.name])
            lines.append((row, tuple(line)))
        title = ", ".join(f"{key} = {value}" for key, value in zip(third, fixed, strict=True))
        maps.append(HeatMap(title, rows, columns, tuple(levels[columns]), tuple(lines)))
    return GridSection(
        " by ".join((facts.primary, " and ".join(keys))) + (f", {kind}" if kind else ""), _text(facts), tuple(maps)
    )


def _keys(runs: Sequence[RunFacts]) -> list[str]:
    """Settings in which variants of one predictor differ, and the predictor itself if there are several."""
    keys = [KIND] if len({_kind(run) for run in runs}) > 1 else []
    return list(dict.fromkeys([*keys, *(key for run in runs for key in run.changes)]))


def _value(run: RunFacts, key: str, runs: Sequence[RunFacts]) -> Any:
    """The setting of a variant: its own change, or what those of its kind that changed it have it changed from."""
    if key == KIND:
        return _kind(run)
    if key in run.changes:
        return run.changes[key][1]
    section, _, name = key.partition(".")
    own: Mapping[str, Any] = run.resolved.get(section, {})
    if name in own:
        return own[name]
    return next((each.changes[key][0] for each in runs if key in each.changes and _kind(each) == _kind(run)), None)


def _levels(values: Sequence[Any]) -> list[str]:
    """Different values as text: numbers rising, others as they came."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        values = sorted(values)
    return list(dict.fromkeys(plain(value) for value in values))


def _cells(facts: Facts, runs: Sequence[RunFacts]) -> dict[str, Cell]:
    sign = 1 if facts.higher_is_better(facts.primary) else -1
    values = np.array([sign * run.scores[facts.primary].value for run in runs])
    known = values[~np.isnan(values)]
    if not len(known):
        return {run.name: Cell(run, run.scores[facts.primary], "0", False, False) for run in runs}
    top = float(known.max())
    low = max(float(known.min()), top - CONTRAST * max(top - float(np.median(known)), 1e-12))
    best = runs[int(np.nanargmax(values))]
    found = {}
    for run, value in zip(runs, values, strict=True):
        share = 1.0 if top == low else min(max((value - low) / (top - low), 0.0), 1.0)
        difference = best.differences.get(run.name)
        alike = difference is not None and not math.isnan(difference.low) and not difference.excludes_zero
        shade = "0" if math.isnan(value) else f"{share:.2f}"
        found[run.name] = Cell(run, run.scores[facts.primary], shade, run is best, run is best or alike)
    return found


def _text(facts: Facts) -> str:
    better = "higher" if facts.higher_is_better(facts.primary) else "lower"
    return (
        f"The {facts.primary} of every combination on test rows, mean over members ({better} is better, and darker). Outlined: "
        "the best, in bold, and those whose paired difference to it cannot be told from 0. The best of many equals looks better "
        "than it is; to choose by a grid, use seqloom tune."
    )
