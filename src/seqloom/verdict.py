"""What a comparison says, in plain words: which variant is best, by how much, and whether that can be told.

A difference is detectable when its paired 95 % interval excludes 0. Nothing is corrected for having looked at
several variants: the best of many equals looks a little better than it is.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from seqloom.chance import Chance
from seqloom.metrics import METRICS
from seqloom.stats import Comparison, Interval


def verdict(
    comparison: Comparison, baselines: Collection[str] = (), by_chance: Mapping[str, Chance] = MappingProxyType({})
) -> str:
    """A few clauses on the primary metric, joined by semicolons.

    `baselines`: names of the naive variants among those compared. If no model is detectably better than the best
    of them, that comes first; then the best variant and its nearest rival; then what is undefined. A difference
    is told as the advantage of the variant named first: positive is better, also where lower scores are. `by_chance`: scores
    of few rows held against permuted targets; a best model that may be chance is said to be so, last.
    """
    metric = METRICS[comparison.primary]
    scored = [name for name in comparison.order if not math.isnan(comparison.interval(name).value)]
    if not scored:
        return f"no verdict: {metric.name} is undefined for every variant ({metric.undefined})"
    models = [name for name in scored if name not in baselines]
    naive = [name for name in scored if name in baselines]
    best, rivals = scored[0], scored[1:2]
    clauses = [_score(comparison, best, alone=not rivals)]
    clauses += [_rivalry(comparison, best, rival) for rival in rivals]
    if models and naive:
        clauses = _with_baseline(comparison, models, naive[0], clauses)
    missing = [name for name in comparison.order if name not in scored and name not in baselines]
    if missing:
        clause = f"{metric.name} is undefined for {', '.join(missing)} ({metric.undefined})"
        clauses = [*clauses, clause] if models else [clause, *clauses]
    elif len(comparison.order) == 1:
        clauses.append("there is no other variant to compare it with")
    chance = by_chance.get(models[0]) if models else None
    if chance is not None and chance.is_likely and math.isfinite(chance.p_value):
        reached = f"{chance.reached:,.{_decimals([chance.reached], [])}f}"
        clauses.append(
            f"{models[0]} may be chance: one in twenty models that know nothing reaches {reached} {metric.name} on these "
            f"few rows (permutation p = {chance.p_value:.2f})"
        )
    return "; ".join(clauses)


def _score(comparison: Comparison, name: str, *, alone: bool) -> str:
    score = comparison.interval(name)
    value, interval = _numbers(score)
    metric = comparison.primary
    lower = "" if METRICS[metric].higher_is_better else "lower is better, "
    if alone:
        return f"{name} has {value} {metric} ({lower}{interval})"
    return f"{name} has the best {metric}, {value} ({lower}{interval})"


def _rivalry(comparison: Comparison, best: str, rival: str) -> str:
    advantage = _advantage(comparison, best, rival)
    value, interval = _numbers(advantage)
    metric = comparison.primary
    if advantage.low > 0:
        return f"{best} is better than {rival} by {value} {metric} ({interval})"
    if math.isnan(advantage.low):
        return f"whether {best} is better than {rival} cannot be told ({value} {metric}, {interval})"
    seen = _could_see(comparison, best, rival)
    return f"no detectable difference between {best} and {rival} ({value} {metric}, {interval}{seen})"


def _could_see(comparison: Comparison, a: str, b: str) -> str:
    """How large a difference would have been seen."""
    size = comparison.detectable(a, b)
    if not math.isfinite(size) or size == 0:
        return ""
    return f", a true one of {size:,.{_decimals([size], [size])}f} would be detected four times in five"


def _with_baseline(comparison: Comparison, models: Sequence[str], baseline: str, clauses: list[str]) -> list[str]:
    """The clauses with what is to be said of the best baseline: first if no model beats it, else last."""
    metric = comparison.primary
    value, interval = _numbers(_advantage(comparison, models[0], baseline))
    better = [name for name in models if _advantage(comparison, name, baseline).low > 0]
    if not better:
        first = f"no model is detectably better than the baseline {baseline!r}"
        repeated = {models[0], baseline} == set(comparison.order[:2])  # the rivalry would say it again
        first += f": the advantage of {models[0]} is {value} {metric} ({interval})"
        if all(_advantage(comparison, name, baseline).high < 0 for name in models):
            loss, loss_interval = _numbers(-_advantage(comparison, models[0], baseline))
            first = f"the baseline {baseline!r} is better than every model"
            first += f": than {models[0]}, the best of them, by {loss} {metric} ({loss_interval})"
        return [first, *(clauses[:1] if repeated else clauses)]
    if better[0] != models[0]:
        other, other_interval = _numbers(_advantage(comparison, better[0], baseline))
        return [
            *clauses,
            f"{models[0]} is not detectably better than the baseline {baseline!r} ({value} {metric}, {interval}),"
            f" but {better[0]} is ({other} {metric}, {other_interval})",
        ]
    if comparison.order[1] == baseline:
        return clauses
    return [
        *clauses,
        f"{models[0]} is better than the baseline {baseline!r} by {value} {metric} ({interval})",
    ]


def _advantage(comparison: Comparison, a: str, b: str) -> Interval:
    difference = comparison.difference(a, b)
    return difference if METRICS[comparison.primary].higher_is_better else -difference


def _numbers(interval: Interval) -> tuple[str, str]:
    """The value and "95 % CI low..high", all to the same decimals; "no 95 % CI" without an interval."""
    bounds = [each for each in (interval.low, interval.high) if math.isfinite(each)]
    decimals = _decimals([interval.value, *bounds], bounds)
    value, *ends = (f"{round(each, decimals) + 0.0:,.{decimals}f}" for each in (interval.value, *bounds))
    return value, f"95 % CI {'..'.join(ends)}" if ends else "no 95 % CI"


def _decimals(shown: Sequence[float], bounds: Sequence[float]) -> int:
    """Three; fewer for large numbers, four digits in all; more where a bound is not 0 but would look it."""
    largest = max(abs(each) for each in shown)
    decimals = 3 if largest < 10 else max(0, 3 - math.floor(math.log10(largest)))
    while decimals < 9 and any(each and round(each, decimals) == 0 for each in bounds):
        decimals += 1
    return decimals
