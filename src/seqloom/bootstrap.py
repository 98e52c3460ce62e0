"""One fold scored in every draw of its test rows: rows, clusters and seeds taken again with replacement.

Decides what is drawn and from which random numbers, and what each row or cluster has to say: the score is taken again
without it. Means over folds and intervals are made in `stats`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqloom.metrics import Bounds, Task, macro, score_draws
from seqloom.resample import Counts, Floats, blocks

Labels = NDArray[Any]

MOST_BLOCKS = 200
"""More units than these are left out in blocks: their influence costs a fifth of 1,000 draws at most."""


@dataclass(frozen=True)
class Draws:
    """What to draw in one fold, and how often."""

    fold: int
    units: NDArray[np.intp] | None
    """What each row (N,) belongs to, from 0 to `n_units`; None to draw rows."""
    n_units: int
    """Units to draw from: those of this fold and of all that share units with it, which are drawn as one."""
    stream: int
    """Folds that share units have the same one, so that they draw the same units."""
    n: int
    seed: int


class Drawn(NamedTuple):
    """One prediction of a fold, or the mean of several: M metrics, R draws, J units or blocks of them, all float64.

    `influence`: the score less the score without each block; NaN where there is none without it. Folds of one stream have
    the same blocks.
    """

    value: Floats  # (M,)
    draws: Floats  # (M, R)
    influence: Floats  # (M, J)


@dataclass(frozen=True)
class ScoredFold:
    """Scores of one fold by variant: S seeds, M metrics.

    `n_units`: how many rows, or clusters, were drawn. `lone_cluster`: all rows are in one cluster, so that
    rows were drawn after all. `stream`: as in `Draws`, and whether a lone cluster left it. `definable` (M,): the targets
    allow the metric. `mean`: of scores, over seeds, which are drawn too. The ensemble is the mean prediction of the seeds;
    with one seed it is that seed.
    """

    n_rows: int
    n_units: int
    lone_cluster: bool
    stream: tuple[int, bool]
    definable: NDArray[np.bool_]
    members: Mapping[str, Floats]  # float64 (S, M)
    mean: Mapping[str, Drawn]
    ensemble: Mapping[str, Drawn]


def draws_of(labels: Sequence[Labels] | None, sizes: Sequence[int], n: int, seed: int) -> list[Draws]:
    """What to draw in every fold. `labels`: per fold (N,), equal for related rows, those of different folds included.

    Folds that share a label, directly or through others, are drawn as one: a unit that is drawn is drawn in all of them.
    """
    if labels is None:
        return [Draws(fold, None, size, fold, n, seed) for fold, size in enumerate(sizes)]
    codes = np.unique(np.concatenate(labels), return_inverse=True)[1].reshape(-1)
    own = np.split(codes, np.cumsum(sizes)[:-1])
    stream = list(range(len(own)))
    first: dict[int, int] = {}
    for fold, units in enumerate(own):
        for other in {first.setdefault(unit, fold) for unit in np.unique(units).tolist()}:
            low, high = sorted((stream[fold], stream[other]))
            stream = [low if each == high else each for each in stream]
    found = []
    for fold, units in enumerate(own):
        joint = np.unique(np.concatenate([each for each, at in zip(own, stream, strict=True) if at == stream[fold]]))
        found.append(Draws(fold, np.searchsorted(joint, units), len(joint), stream[fold], n, seed))
    return found


def score_fold(
    task: Task,
    y: Floats,
    predictions: Mapping[str, Sequence[Floats]],
    metrics: tuple[str, ...],
    plan: Draws,
    bounds: Bounds | None = None,
) -> ScoredFold:
    """Scores of every variant and seed, as they are and in every draw; `bounds` (N, C) as in `metrics.score`.

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
    n_own = len(y) if plan.units is None else len(np.unique(plan.units))
    lone = plan.units is not None and n_own == 1
    if lone:
        plan, n_own = replace(plan, units=None, stream=plan.fold), len(y)
    values = _score_once(metrics, task, y, scored, bounds)
    counts = chain(_draw(len(y), plan), _leave_out(len(y), plan))
    again = np.concatenate([macro(part) for part in score_draws(metrics, task, y, scored, counts, bounds)], axis=2)
    drawn, influence = again[..., : plan.n], values[..., None] - again[..., plan.n :]
    return ScoredFold(
        n_rows=len(y),
        n_units=n_own,
        lone_cluster=lone,
        stream=(plan.stream, lone),
        definable=_definable(task, y, metrics, bounds),
        members={name: values[own] for name, own in seeds.items()},
        mean={
            name: Drawn(values[own].mean(axis=0), _draw_seeds(drawn[own], name, plan), influence[own].mean(axis=0))
            for name, own in seeds.items()
        },
        ensemble={name: Drawn(values[i], drawn[i], influence[i]) for name, i in ensemble.items()},
    )


def _score_once(
    metrics: tuple[str, ...], task: Task, y: Floats, predictions: Sequence[Floats], bounds: Bounds | None
) -> Floats:
    """The metrics of the rows as they are: float64 (predictions, M)."""
    (values,) = score_draws(metrics, task, y, predictions, [np.ones((1, len(y)), np.int32)], bounds)
    return macro(values)[..., 0]


def _definable(task: Task, y: Floats, metrics: tuple[str, ...], bounds: Bounds | None) -> NDArray[np.bool_]:
    """Whether the targets (M,) allow a metric: whether they have a score when they predict themselves."""
    perfect = np.nan_to_num(y)
    if task == "multiclass":  # numbered anew: a class that no model knows has no column in their predictions
        classes, own = np.unique(y[:, 0], return_inverse=True)
        y, perfect = own.reshape(-1, 1).astype(np.float64), np.eye(len(classes))[own.reshape(-1)]
    undefined: NDArray[np.bool_] = np.isnan(_score_once(metrics, task, y, [perfect], bounds)[0])
    return ~undefined


def _draw(n_rows: int, plan: Draws) -> Iterator[Counts]:
    """Blocks of counts (R, N): as many units as there are, with replacement."""
    n_units = n_rows if plan.units is None else plan.n_units
    rng = np.random.default_rng([plan.seed, plan.stream])
    for block in blocks(plan.n, n_rows):
        counts = np.empty((block.stop - block.start, n_units), np.int32)
        for row in counts:
            row[:] = np.bincount(rng.integers(0, max(n_units, 1), n_units), minlength=n_units)
        yield counts if plan.units is None else counts[:, plan.units]


def _leave_out(n_rows: int, plan: Draws) -> Iterator[Counts]:
    """Blocks of counts (R, N): every unit left out once, several together where there are more than `MOST_BLOCKS`."""
    n_units = n_rows if plan.units is None else plan.n_units
    size = -(-n_units // MOST_BLOCKS)
    # In random blocks: neighbours of the table may be alike.
    order = np.arange(n_units) if size < 2 else np.random.default_rng([plan.seed, plan.stream, 1]).permutation(n_units)
    block_of = order // max(size, 1)
    own = block_of if plan.units is None else block_of[plan.units]
    n_blocks = -(-n_units // size) if n_units > 1 else 0
    for part in blocks(n_blocks, n_rows):
        yield (own != np.arange(part.start, part.stop)[:, None]).astype(np.int32)


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
