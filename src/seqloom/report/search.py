"""Predictions seen as a search for positives: what ROC and precision-recall curves are drawn of.

Decides which rows are positives. Curves are averaged and drawn in `plots`.
"""

from __future__ import annotations

import numpy as np

from seqloom.report.facts import Facts
from seqloom.report.members import Predictions


def search_of(facts: Facts, predicted: Predictions) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Per member 0/1 (N,) and a score (N,), high for positives; None if the target has no positives."""
    if facts.task == "binary":
        if len(predicted.classes) != 2:
            return None
        pairs = [(y[:, 0], p[:, 1]) for y, p in predicted.members()]
    else:
        target = facts.data.get("target") or {}
        below, above = target.get("positive_below"), target.get("positive_above")
        if (below is None and above is None) or len(predicted.columns) != 1 or "auroc" not in facts.metrics:
            return None
        sign, threshold = (-1, float(below)) if below is not None else (1, float(target["positive_above"]))
        # Turned so that positives are above. A limit decides as in `Target.positives`: beyond the threshold, or at it.
        y, limit = (sign * each[:, 0] for each in (predicted.target, predicted.limit))
        threshold, side = sign * threshold, sign * predicted.bounds[:, 0]
        hit = np.where(np.isnan(y), np.nan, y > threshold)
        hit[(side > 0) & (limit >= threshold)] = 1
        hit[(side < 0) & (limit <= threshold)] = 0
        pairs = [(hit[rows], sign * predicted.pred[rows, 0]) for rows in predicted.member_rows()]
    return [(y[known], p[known]) for y, p in pairs for known in (~np.isnan(y) & ~np.isnan(p),)]


def positives_of(facts: Facts, predicted: Predictions) -> str:
    """What is searched for, in words."""
    columns = ((facts.data.get("target") or {}).get("columns")) or predicted.columns
    if facts.task == "binary":
        return f"{columns[0]} = {predicted.classes[1]}"
    target = facts.data["target"]
    below = target.get("positive_below")
    return f"{columns[0]} below {below:g}" if below is not None else f"{columns[0]} above {target['positive_above']:g}"
