"""What needs no net: how frequent positives are, and how frequent they are among the rows of each building block.

A net that is no better than its blocks on rows of known blocks has read nothing in the sequences that their names do not tell.
Neither is a run: a row of new blocks has no score but the prevalence.
"""

from __future__ import annotations

import numpy as np

from seqloom.large.plan import PIECE, StorePlan
from seqloom.resample import Floats
from seqloom.store.layout import BLOCK

PRIOR_ROWS = 20.0
"""Rows of mean prevalence that every block begins with: those of few rows stay near it."""


def baseline_predictions(plan: StorePlan) -> dict[str, dict[str, Floats]]:
    """Of `constant`, and of `blocks` where there are components: by part, float64 (M, T) for its tested rows."""
    positive, known = _counts(plan)
    share = (positive[0][0] + 0.5) / (known[0][0] + 1)
    found = {"constant": {part: np.tile(share, (len(rows), 1)) for part, rows in plan.test_rows.items()}}
    if plan.by_component:
        found["blocks"] = {part: _by_blocks(plan, rows, positive, known) for part, rows in plan.test_rows.items()}
    return found


def _by_blocks(plan: StorePlan, rows: np.ndarray, positive: list[Floats], known: list[Floats]) -> Floats:
    """Log-odds of every block of a row over those of all rows, added up, as probabilities (M, T)."""
    share = (positive[0][0] + 0.5) / (known[0][0] + 1)
    logit = _logit(share)
    total = np.tile(logit, (len(rows), 1))
    for place, name in enumerate(plan.drawn.held, start=1):
        rate = (positive[place] + PRIOR_ROWS * share) / (known[place] + PRIOR_ROWS)
        own = plan.store.components[name][rows].astype(np.int64)  # -1, for none, is the last: no row of it was counted
        total += (_logit(rate) - logit)[own]
    return np.asarray(1 / (1 + np.exp(-total)))


def _counts(plan: StorePlan) -> tuple[list[Floats], list[Floats]]:
    """Positive and known training rows: of all (1, T), then by level of each component (levels + 1, T)."""
    store, train = plan.store, plan.drawn.part("train")
    sizes = [1, *(len(held) for held in plan.drawn.held.values())]
    n_targets = len(store.manifest.targets)
    positive, known = ([np.zeros((size, n_targets)) for size in sizes] for _ in range(2))
    n_blocks = -(-len(store) // BLOCK)
    for start in range(0, n_blocks, PIECE):
        blocks = np.arange(start, min(start + PIECE, n_blocks))
        rows = start * BLOCK + np.flatnonzero(train.within(blocks))
        labels = store.labels(rows)
        ids = [np.zeros(len(rows), np.int64)]
        ids += [store.components[name][rows].astype(np.int64) for name in plan.drawn.held]
        for place, (own, size) in enumerate(zip(ids, sizes, strict=True)):
            there = own >= 0
            for target in range(n_targets):
                column = labels[:, target]
                known[place][:, target] += np.bincount(own[there & ~np.isnan(column)], minlength=size)
                positive[place][:, target] += np.bincount(own[there & (column == 1)], minlength=size)
    return positive, known


def _logit(p: Floats) -> Floats:
    return np.asarray(np.log(p) - np.log1p(-p))
