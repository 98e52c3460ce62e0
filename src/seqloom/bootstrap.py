"""One fold scored in every draw of its test rows: rows, clusters and seeds taken again with replacement.

Decides what is drawn and from which random numbers; means over folds and intervals are made in `stats`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqloom.metrics import Task, macro, score_draws
from seqloom.resample import Counts, Floats, blocks

Labels = NDArray[Any]


@dataclass(frozen=True)
class Draws:
    """What to draw in one fold, and how often."""

    fold: int
    clusters: Labels | None
    n: int
    seed: int


@dataclass(frozen=True)
class ScoredFold:
    """Scores of one fold by variant: S seeds, M metrics, R draws, all float64.

    `n_units`: how many rows, or clusters, were drawn. `lone_cluster`: all rows are in one cluster, so that
    rows were drawn after all. `definable` (M,): the targets allow the metric. The ensemble is the mean
    prediction of the seeds; with one seed it is that seed.
    """

    n_rows: int
    n_units: int
    lone_cluster: bool
    definable: NDArray[np.bool_]
    members: Mapping[str, Floats]  # (S, M)
    draws: Mapping[str, Floats]  # (M, R), mean over drawn seeds
    ensemble: Mapping[str, Floats]  # (M,)
    ensemble_draws: Mapping[str, Floats]  # (M, R)


def score_fold(
    task: Task, y: Floats, predictions: Mapping[str, Sequence[Floats]], metrics: tuple[str, ...], plan: Draws
) -> ScoredFold:
    """Scores of every variant and seed, as they are and in every draw.

    y float64 (N, C) with a known target in every row; `predictions` per variant and seed float64 (N, T).
    Raises as `metrics.score`.
    """
    scored: list[Floats] = []
    seeds: dict[str, slice] = {}
    ensemble: dict[str, int] = {}
    for name, own in predictions.items():
        seeds[name] = slice(len(scored), len(scored) + len(own))
        scored += own if len(own) == 1 else [*own, np.mean(own, axis=0)]
        ensemble[name] = len(scored) - 1
    units = None if plan.clusters is None else np.unique(plan.clusters, return_inverse=True)[1]
    n_units = len(y) if units is None else int(units.max(initial=-1)) + 1
    lone = units is not None and n_units == 1
    if lone:
        units, n_units = None, len(y)
    values = _score_once(metrics, task, y, scored)
    counts = _draw(units, n_units, len(y), plan)
    drawn = np.concatenate([macro(part) for part in score_draws(metrics, task, y, scored, counts)], axis=2)
    return ScoredFold(
        n_rows=len(y),
        n_units=n_units,
        lone_cluster=lone,
        definable=_definable(task, y, scored[0].shape[1], metrics),
        members={name: values[place] for name, place in seeds.items()},
        draws={name: _draw_seeds(drawn[place], name, plan) for name, place in seeds.items()},
        ensemble={name: values[i] for name, i in ensemble.items()},
        ensemble_draws={name: drawn[i] for name, i in ensemble.items()},
    )


def _score_once(metrics: tuple[str, ...], task: Task, y: Floats, predictions: Sequence[Floats]) -> Floats:
    """The metrics of the rows as they are: float64 (predictions, M)."""
    (values,) = score_draws(metrics, task, y, predictions, [np.ones((1, len(y)), np.int32)])
    return macro(values)[..., 0]


def _definable(task: Task, y: Floats, n_outputs: int, metrics: tuple[str, ...]) -> NDArray[np.bool_]:
    """Whether the targets (M,) allow a metric: whether they have a score when they predict themselves."""
    perfect = np.eye(n_outputs)[y[:, 0].astype(np.intp)] if task == "multiclass" else np.nan_to_num(y)
    undefined: NDArray[np.bool_] = np.isnan(_score_once(metrics, task, y, [perfect])[0])
    return ~undefined


def _draw(units: NDArray[np.intp] | None, n_units: int, n_rows: int, plan: Draws) -> Iterator[Counts]:
    """Blocks of counts (R, N): as many units as there are, with replacement."""
    rng = np.random.default_rng([plan.seed, plan.fold])
    for block in blocks(plan.n, n_rows):
        counts = np.empty((block.stop - block.start, n_units), np.int32)
        for row in counts:
            row[:] = np.bincount(rng.integers(0, max(n_units, 1), n_units), minlength=n_units)
        yield counts if units is None else counts[:, units]


def _draw_seeds(values: Floats, name: str, plan: Draws) -> Floats:
    """Mean over seeds drawn with replacement: (S, M, R) to (M, R)."""
    n_seeds, _, n_draws = values.shape
    if n_seeds == 1:
        return np.asarray(values[0])
    # Seeded by name, not by place among the variants, so that another variant changes nothing here.
    rng = np.random.default_rng([plan.seed, plan.fold, zlib.crc32(name.encode())])
    chosen = rng.integers(0, n_seeds, (n_seeds, 1, n_draws))
    taken: Floats = np.take_along_axis(values, chosen, axis=0).mean(axis=0)
    return taken
