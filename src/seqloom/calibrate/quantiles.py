"""Conformal quantiles: the score that a new row exceeds with at most the chance promised, pooled or per group.

Decides the rank, what happens with too few rows, and which groups stand alone (Mondrian); what a score is, is decided in
`intervals` and `sets`. The promise (Vovk et al. 2005): if held-back rows and new ones are exchangeable, a new row's score is at
most the quantile with a probability of at least the level, on average over rows (of a group) and choices of held-back rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqloom.errors import ConfigError
from seqloom.resample import Floats

LEVELS = (0.9,)
FEWEST_IN_GROUP = 30
"""A group with fewer held-back rows takes the pooled quantile."""
_ROUNDING = 1e-9  # 0.9 * 10 must not become rank 10 by its last digit


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of the scores of held-back rows at some levels; infinite where there are too few rows for a level."""

    levels: tuple[float, ...]
    n_rows: int
    pooled: tuple[float, ...]
    """One per level."""
    groups: Mapping[str, tuple[float, ...]]
    """Of the groups with enough rows."""
    small: Mapping[str, int]
    """Rows of the groups that take the pooled quantile."""

    def at(self, level: float | None, labels: NDArray[np.str_] | None, n_rows: int) -> Floats:
        """The quantile of each row (N,) at a level, by default the first; an unknown label takes the pooled one.

        ConfigError for a level it was not fitted at.
        """
        place = self.place(level)
        if labels is None or not self.groups:
            return np.full(n_rows, self.pooled[place])
        names, which = np.unique(labels, return_inverse=True)
        return np.array([self.groups.get(str(each), self.pooled)[place] for each in names])[which.reshape(-1)]

    def place(self, level: float | None) -> int:
        """Index of a level; ConfigError for one it was not fitted at."""
        if level is None:
            return 0
        if level not in self.levels:
            raise ConfigError(f"level {level}: fitted at {', '.join(map(str, self.levels))}; choose one of these")
        return self.levels.index(level)

    def notes(self, what: str, unbounded: str) -> tuple[str, ...]:
        """What a reader must know: levels with too few rows, groups that were pooled. `what` a group is called."""
        said = [
            f"a level of {level:g} needs {rows_needed(level)} held-back rows, there are {self.n_rows}: {unbounded}"
            for level in self.levels
            if self.n_rows < rows_needed(level)
        ]
        if self.small:
            fewest = max(FEWEST_IN_GROUP, *map(rows_needed, self.levels))
            named = ", ".join(f"{name} ({n})" for name, n in list(self.small.items())[:5])
            more = f" and {len(self.small) - 5} more" if len(self.small) > 5 else ""
            said.append(f"{what} with fewer than {fewest} held-back rows take the pooled quantile: {named}{more}")
        return tuple(said)

    def as_json(self) -> dict[str, Any]:
        """Everything; an infinite quantile is null."""
        return {
            "levels": list(self.levels),
            "n_rows": self.n_rows,
            "pooled": _plain(self.pooled),
            "groups": {name: _plain(values) for name, values in self.groups.items()},
            "small": dict(self.small),
        }

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> Quantiles:
        """The quantiles that `as_json` wrote."""
        return Quantiles(
            tuple(facts["levels"]),
            facts["n_rows"],
            _read(facts["pooled"]),
            {name: _read(values) for name, values in facts["groups"].items()},
            dict(facts["small"]),
        )


def conformal_quantile(scores: Floats, level: float) -> float:
    """The ceil((n + 1) level)-th smallest of scores (n,); infinite if there are not so many.

    >>> conformal_quantile(np.arange(1.0, 10.0), 0.9), conformal_quantile(np.arange(1.0, 9.0), 0.9)
    (9.0, inf)
    """
    rank = math.ceil((len(scores) + 1) * level - _ROUNDING)
    return math.inf if rank > len(scores) else float(np.partition(scores, max(rank - 1, 0))[max(rank - 1, 0)])


def rows_needed(level: float) -> int:
    """Fewest held-back rows with which a quantile at the level is finite: ceil(1 / (1 - level)) - 1."""
    return math.ceil(1 / (1 - level) - 1e-6) - 1


def fit_quantiles(scores: Floats, levels: Sequence[float], labels: NDArray[np.str_] | None = None) -> Quantiles:
    """Quantiles of scores (n,), infinite ones allowed, of all rows and of every label (n,) with enough of them.

    ConfigError for a level that is not between 0 and 1.
    """
    if not levels or not all(0 < level < 1 for level in levels):
        raise ConfigError(f"levels {list(levels)}: shares between 0 and 1 are needed, such as 0.9")
    own: dict[str, tuple[float, ...]] = {}
    small: dict[str, int] = {}
    fewest = max(FEWEST_IN_GROUP, *map(rows_needed, levels))
    for name, inside in () if labels is None else _by_label(scores, labels):
        if len(inside) < fewest:
            small[name] = len(inside)
        else:
            own[name] = tuple(conformal_quantile(inside, level) for level in levels)
    pooled = tuple(conformal_quantile(scores, level) for level in levels)
    return Quantiles(tuple(levels), len(scores), pooled, own, small)


def _by_label(scores: Floats, labels: NDArray[np.str_]) -> Iterator[tuple[str, Floats]]:
    """Every label and the scores of its rows."""
    names, which = np.unique(labels, return_inverse=True)
    order = np.argsort(which.reshape(-1), kind="stable")
    parts = np.split(scores[order], np.cumsum(np.bincount(which.reshape(-1), minlength=len(names)))[:-1])
    yield from zip(names.tolist(), parts, strict=True)


def _plain(values: tuple[float, ...]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]


def _read(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(math.inf if value is None else value for value in values)
