"""Metrics: one definition of each, for the rows as they are and for any number of bootstrap draws of them.

Definitions are those of scikit-learn, scipy and rdkit where these have one; each metric says what it is
(`description`) and when there is none (`undefined`). A metric that cannot be computed is NaN, never 0; where
scikit-learn says 0 with reason (mcc) the metric says so. Tied predictions have no order among themselves: what
is counted at the top of a ranking is the mean over all orders they could stand in.

Targets y float64 (N, C): regression C columns; binary one column of 0/1; multiclass one column of class
indices; multilabel C columns of 0/1. Predictions p float64 (N, T): values, T = C; the probability of the
positive class, T = 1; one probability per class; one probability per column, T = C.

A missing target (NaN) is left out, column by column; several columns are averaged over those where the metric
is defined, and the others are counted. A NaN among the predictions of known targets leaves nothing to score: the
metric of that column is NaN; an infinite one has a place in an order and no other metric. A class index outside
0..T-1 is a class the model does not know: a class of its own, always wrong, to which it gave the probability 0.

A target may be a bound of the true one (`bounds` int8 (N, C), -1 at most, 1 at least): what a metric makes of these rows is
decided in `bounds`.

`base` says what a metric is, `regression`, `ranking`, `top` and `classes` hold them, `scoring` computes them,
`within` takes them group by group. What is drawn is decided in `bootstrap`, intervals in `stats`.
"""

from seqloom.metrics.base import Metric, Task, macro
from seqloom.metrics.bounds import Bounds, left_out
from seqloom.metrics.classes import THRESHOLD, PerClass, per_class
from seqloom.metrics.scoring import (
    METRICS,
    PROBABILITY_SLACK,
    Ranking,
    Scores,
    as_ranking,
    default_metrics,
    find_metric,
    score,
    score_draws,
    scores,
)
from seqloom.metrics.within import FEWEST_IN_GROUP, SummaryDraws, WithinGroups, draw_summaries, within_groups

__all__ = [
    "FEWEST_IN_GROUP",
    "METRICS",
    "PROBABILITY_SLACK",
    "THRESHOLD",
    "Bounds",
    "Metric",
    "PerClass",
    "Ranking",
    "Scores",
    "SummaryDraws",
    "Task",
    "WithinGroups",
    "as_ranking",
    "default_metrics",
    "draw_summaries",
    "find_metric",
    "left_out",
    "macro",
    "per_class",
    "score",
    "score_draws",
    "scores",
    "within_groups",
]
