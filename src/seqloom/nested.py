"""Choosing among variants without looking at test rows: nested selection.

Inside the training rows of every outer fold, `split.inner` folds take turns at being the valid rows. The variant with the best
mean score on valid rows is taken for that outer fold, and only its predictions of the fold's test rows count. What is scored so
is the whole procedure, choice included; the best of many scores on test rows would flatter it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqloom.evaluation import Evaluated, evaluate
from seqloom.metrics import METRICS
from seqloom.plan import Plan
from seqloom.run import Member, Run
from seqloom.split.base import TEST

NAME = "(chosen)"


def nested(
    plan: Plan, folders: Mapping[str, Path], evaluated: Evaluated, clusters: list[np.ndarray] | None
) -> dict[str, Any] | None:
    """Which variant each outer fold chooses and what the chosen ones reach, with its interval.

    None where there are no inner folds, or nothing to choose from. Baselines that nobody named are not chosen.
    """
    inner = plan.variants[0].split.inner
    candidates = plan.asked
    if inner == 1 or len(candidates) < 2:
        return None
    metric = evaluated.metrics[0]
    sign = 1 if METRICS[metric].higher_is_better else -1
    chosen = []
    for outer in range(plan.partition.n_folds // inner):
        scores = {
            name: _valid_score(plan, folders[name], name, range(outer * inner, (outer + 1) * inner))
            for name in candidates
        }
        best = max(candidates, key=lambda name: -np.inf if np.isnan(scores[name]) else sign * scores[name])
        chosen.append(
            {"fold": outer, "variant": best, "valid": {name: _number(value) for name, value in scores.items()}}
        )
    predictions = [
        evaluated.predictions[str(chosen[fold // inner]["variant"])][fold] for fold in range(plan.partition.n_folds)
    ]
    tests = [plan.scores[plan.partition.rows(fold, TEST)] for fold in range(plan.partition.n_folds)]
    bounds = (
        None if plan.bounds is None else [plan.bounds[plan.partition.rows(fold, TEST)] for fold in range(len(tests))]
    )
    found = evaluate(plan.target, tests, {NAME: predictions}, plan.variants[0].report, clusters, bounds)
    most, times = Counter(str(each["variant"]) for each in chosen).most_common(1)[0]
    return {
        "inner": inner,
        "metric": metric,
        "chosen": chosen,
        "metrics": found.scores(NAME)["metrics"],
        "verdict": _verdict(found, chosen, most, times, len(candidates), inner),
    }


def _valid_score(plan: Plan, folder: Path, name: str, folds: Sequence[int] | range) -> float:
    """Mean over inner folds and seeds of the primary metric on valid rows; NaN if any is undefined."""
    variant = next(each for each in plan.variants if each.name == name)
    run = Run(folder, variant)
    return float(np.mean([run.valid_score(Member(fold, seed)) for fold in folds for seed in variant.seeds]))


def _verdict(
    found: Evaluated, chosen: Sequence[Mapping[str, Any]], most: str, times: int, n_candidates: int, inner: int
) -> str:
    own = found.main.interval(NAME)
    metric, n_folds = found.metrics[0], len(chosen)
    taken = f"{most} is chosen" if n_folds == 1 else f"{most} is chosen in {times} of {n_folds} folds"
    return (
        f"{taken} among {n_candidates} variants by {inner} inner folds; choosing so reaches {own.value:.3f} {metric} "
        f"(95 % CI {own.low:.3f}..{own.high:.3f}) on rows that had no part in the choice"
    )


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
