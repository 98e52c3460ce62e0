"""Split-conformal intervals of a regression: prediction plus or minus a quantile of held-back residuals.

Decides the score, |residual| or |residual| / spread, and the floor of a spread; ranks and groups are in `quantiles`. The
scale is the caller's: targets, predictions and spread must be on one, the same at fitting and later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqloom.calibrate.inputs import row_labels
from seqloom.calibrate.quantiles import LEVELS, Quantiles, fit_quantiles
from seqloom.resample import Floats

SPREAD_FLOOR = 0.1
"""A spread counts as no less than this share of the median one of held-back rows: that members agree may be chance."""


@dataclass(frozen=True)
class ConformalIntervals:
    """Intervals that hold the target of a new row with at least the chance of their level, column by column."""

    columns: tuple[Quantiles, ...]
    """One per target."""
    floors: tuple[float, ...]
    """Least spread of each target; empty when intervals are of one width (per group)."""
    notes: tuple[str, ...]
    """What a reader must know: too few rows, pooled groups, a spread that was of no use."""

    @property
    def is_normalised(self) -> bool:
        """Whether width follows the spread of each row."""
        return bool(self.floors)

    def halfwidth(
        self,
        n_rows: int,
        level: float | None = None,
        *,
        spread: Floats | None = None,
        groups: NDArray[np.generic] | None = None,
    ) -> Floats:
        """Half the width of the intervals, float64 (N, C), infinite with too few held-back rows.

        `level`: by default the first. `groups` (N,) as text; a label not seen in fitting takes the pooled quantile.
        ValueError if intervals follow a spread and none is given; ConfigError for a level it was not fitted at.
        """
        labels = row_labels(groups, n_rows)
        halves = np.stack([each.at(level, labels, n_rows) for each in self.columns], axis=1)
        if not self.is_normalised:
            return halves
        if spread is None:
            raise ValueError("these intervals follow the spread of each row: give `spread` (N, C)")
        return halves * _floored(np.asarray(spread, np.float64), np.array(self.floors))

    def interval(
        self,
        p: Floats,
        level: float | None = None,
        *,
        spread: Floats | None = None,
        groups: NDArray[np.generic] | None = None,
    ) -> tuple[Floats, Floats]:
        """Low and high ends (N, C) for predictions p (N, C); arguments as `halfwidth`. A NaN prediction: -inf to inf."""
        half = self.halfwidth(len(p), level, spread=spread, groups=groups)
        middle, half = np.where(np.isnan(p), 0.0, p), np.where(np.isnan(p), np.inf, half)
        return middle - half, middle + half

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain numbers and text; `from_json` makes an equal one."""
        columns = [each.as_json() for each in self.columns]
        return {"columns": columns, "floors": list(self.floors), "notes": list(self.notes)}

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> ConformalIntervals:
        """The intervals that `as_json` wrote."""
        columns = tuple(Quantiles.from_json(each) for each in facts["columns"])
        return ConformalIntervals(columns, tuple(facts["floors"]), tuple(facts["notes"]))


def fit_intervals(
    y: Floats,
    p: Floats,
    levels: Sequence[float] = LEVELS,
    *,
    spread: Floats | None = None,
    groups: NDArray[np.generic] | None = None,
    names: Sequence[str] = (),
) -> ConformalIntervals:
    """Intervals from targets y (N, C), NaN where missing, and predictions p (N, C) of held-back rows (Papadopoulos et al. 2002).

    `spread` (N, C), as of ensemble members, makes width follow it (Lei et al. 2018, JASA 113:1094, section 5.2); one that
    is 0 in half of the rows is not used, and a note says so. `groups` (N,) of any labels, compared as text: quantiles per
    group (Mondrian). `names` (C,) of targets, for notes. A NaN prediction counts as an infinite residual.

    ConfigError for a level not between 0 and 1; ValueError for shapes that do not fit or a spread that is negative or, beside a
    finite prediction, NaN.
    """
    y, p = np.asarray(y, np.float64), np.asarray(p, np.float64)
    if y.ndim != 2 or y.shape != p.shape:
        raise ValueError(f"targets {y.shape} and predictions {p.shape} do not fit each other")
    labels = row_labels(groups, len(y))
    known = ~np.isnan(y)
    residuals = np.where(known & np.isnan(p), np.inf, np.abs(y - p))
    floors, notes = _floors(spread, p, known)
    if floors:
        residuals = residuals / _floored(np.asarray(spread, np.float64), np.array(floors))
    columns = []
    for c in range(y.shape[1]):
        rows = known[:, c]
        columns.append(fit_quantiles(residuals[rows, c], levels, None if labels is None else labels[rows]))
        where = f"{names[c] if names else f'target {c + 1}'}: " if y.shape[1] > 1 else ""
        notes += [where + note for note in columns[-1].notes("groups", "its intervals are infinite")]
    return ConformalIntervals(tuple(columns), floors, tuple(notes))


def _floors(spread: Floats | None, p: Floats, known: NDArray[np.bool_]) -> tuple[tuple[float, ...], list[str]]:
    """Least spread per target from held-back rows; none, with a note, where the median of a target's spread is 0."""
    if spread is None:
        return (), []
    given = np.asarray(spread, np.float64)
    if given.shape != p.shape or bool((given < 0).any()) or bool((np.isnan(given) & ~np.isnan(p)).any()):
        raise ValueError(f"a spread of 0 or more is needed for each prediction {p.shape}, got {given.shape}")
    usable = known & ~np.isnan(given)
    medians = [float(np.median(given[usable[:, c], c])) if usable[:, c].any() else 0.0 for c in range(p.shape[1])]
    if min(medians, default=0.0) <= 0:
        return (), ["the spread is 0 in half of the held-back rows or more: intervals are of one width"]
    return tuple(SPREAD_FLOOR * median for median in medians), []


def _floored(spread: Floats, floors: Floats) -> Floats:
    return np.maximum(np.where(np.isnan(spread), 0.0, spread), floors)
