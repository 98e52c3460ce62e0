"""Blends of models: predictions put together, and what each member adds to them, part by part.

A blend can lose to its own best member: nets that are equal on blocks they know differ on blocks they do not, and the worse ones
pull the better one down. So members are put in order, and the best is named, by a score of validation rows; the parts then say
what every further member does. How predictions are scored is in `scores`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seqloom.errors import DataError
from seqloom.findings import Finding, finding
from seqloom.large.scores import Scored
from seqloom.resample import Floats, Ordering

How = Literal["mean", "rank", "logit"]
NEAREST = 2.0**-24
"""A probability nearer to 0 or 1 than this counts as this near: float32 has no number between it and 1."""


@dataclass(frozen=True)
class Gap:
    """How far one score is above another on the same rows, and the ends of its interval; NaN if undefined."""

    value: float
    low: float
    high: float

    @property
    def below(self) -> bool:
        """Whether the whole interval is below 0; False without interval."""
        return self.high < 0


@dataclass(frozen=True)
class Addition:
    """The blend of the first members in one part: its score, and what the last of them brought.

    `gain`: over the blend without its last member; None of the first. `over_best`: over the best member by validation rows, which
    is the first; None of itself.
    """

    part: str
    members: tuple[str, ...]
    value: float
    low: float
    high: float
    gain: Gap | None
    over_best: Gap | None


def blend(predictions: Mapping[str, np.ndarray], how: How = "mean") -> Floats:
    """One prediction of several, float64 (N, T); each is float (N, T).

    `mean` of probabilities. `logit`: mean of log-odds, as a probability; 0 and 1 count as `NEAREST` to them. `rank`: mean of
    ranks within each target, from 0 for the lowest to 1, equal scores having their mean rank (one row has .5): it takes any
    scores, but tells of a row only where it stands among those given, so that all rows of a part must be given at once.
    DataError for numbers that are no probabilities (any of `rank`: NaN); ValueError for none, or shapes that differ.
    """
    arrays = {name: np.asarray(each) for name, each in predictions.items()}
    if len({each.shape for each in arrays.values()}) != 1:
        raise ValueError(f"a blend of {({name: each.shape for name, each in arrays.items()}) or 'nothing'}")
    _check(arrays, how)
    total = np.zeros(next(iter(arrays.values())).shape)
    for each in arrays.values():
        total += each if how == "mean" else _ranks(each) if how == "rank" else _logit(each)
    total /= len(arrays)
    return 1 / (1 + np.exp(-total)) if how == "logit" else total


def best_first(valid: Scored, column: str | None = None) -> tuple[str, ...]:
    """Names of the models by their score of validation rows; undefined last, ties by name. `column`: the primary one if None."""
    scores = {name: valid.value(name, column or valid.primary) for name in valid.models}
    return tuple(sorted(scores, key=lambda name: (math.isnan(scores[name]), -np.nan_to_num(scores[name]), name)))


def additions(
    predictions: Mapping[str, Mapping[str, np.ndarray]],
    scored: Callable[[str, Mapping[str, np.ndarray]], Scored],
    order: Sequence[str],
    how: How = "mean",
    column: str | None = None,
) -> tuple[Addition, ...]:
    """By part, the first member alone, then the blend of the first two, and so on to all of them.

    `predictions` by part and model, float (N, T). `scored` gives the scores of some predictions of a part. `order`: as
    `best_first` has it, of validation rows; never by the rows of a part, which would choose what they are to judge.
    """
    found = []
    for part, own in predictions.items():
        blends = {str(k): blend({name: own[name] for name in order[:k]}, how) for k in range(2, len(order) + 1)}
        scores = scored(part, {"1": own[order[0]], **blends})
        at = column or scores.primary
        for k in range(1, len(order) + 1):
            found.append(
                Addition(
                    part,
                    tuple(order[:k]),
                    scores.value(str(k), at),
                    *scores.interval(str(k), at),
                    gain=Gap(*scores.difference(str(k), str(k - 1), at)) if k > 1 else None,
                    over_best=Gap(*scores.difference(str(k), "1", at)) if k > 1 else None,
                )
            )
    return tuple(found)


def blend_findings(steps: Iterable[Addition]) -> list[Finding]:
    """Warnings where the interval tells: `blend-loses` to its best member in a part, `member-hurts` by being added to it."""
    steps = list(steps)
    n_members = max((len(step.members) for step in steps), default=0)
    found = []
    for step in steps:
        if len(step.members) == n_members and step.over_best is not None and step.over_best.below:
            best = step.members[0]
            found.append(
                finding(
                    "blend-loses",
                    "warning",
                    f"{step.part}: the blend of all {n_members} ({', '.join(step.members)}) scores {step.value:.4f}, "
                    f"{_words(step.over_best)} less than {best} alone, the best on validation rows; for such rows use {best}",
                )
            )
        if step.gain is not None and step.gain.below:
            *before, last = step.members
            found.append(
                finding(
                    "member-hurts",
                    "warning",
                    f"{step.part}: {last} takes {_words(step.gain)} from {', '.join(before)}; leave it out for such rows",
                )
            )
    return found


def _words(gap: Gap) -> str:
    return f"{-gap.value:.4f} (95 % CI {-gap.high:.4f} to {-gap.low:.4f})"


def _ranks(scores: np.ndarray) -> Floats:
    """Mean rank of ties, 0 to 1, within each column."""
    ranks = np.full(scores.shape, 0.5)
    for t in range(scores.shape[1] if len(scores) > 1 else 0):
        ordering = Ordering(scores[:, t])
        ranks[ordering.order, t] = (ordering.start + ordering.stop - 1) / 2 / (len(scores) - 1)
    return ranks


def _logit(probabilities: np.ndarray) -> Floats:
    p = np.clip(probabilities.astype(np.float64), NEAREST, 1 - NEAREST)
    found: Floats = np.log(p) - np.log1p(-p)
    return found


def _check(arrays: Mapping[str, np.ndarray], how: How) -> None:
    problems = []
    for name, each in arrays.items():
        wrong = np.isnan(each) if how == "rank" else ~((each >= 0) & (each <= 1))
        if wrong.any():
            what = "no numbers" if how == "rank" else "no probabilities (0 to 1)"
            rows = ", ".join(str(row + 1) for row in np.flatnonzero(wrong.any(axis=1))[:5])
            problems.append(f"{int(wrong.sum()):,} predictions of {name} are {what}: rows {rows}")
    if problems:
        allowed = "" if how == "rank" else "; a blend by rank takes any scores"
        raise DataError("\n".join(problems) + allowed)
