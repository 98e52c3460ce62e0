"""Confusion matrices: of classes, of a probability called at one half, and of numbers divided at thresholds.

Decides which rows count and in which class they stand. Predictions of a row's seeds are averaged first; numbers are divided in
the units of the table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from seqloom.errors import ConfigError
from seqloom.report.facts import Facts, RunFacts
from seqloom.report.members import Predictions
from seqloom.report.words import DASH, plural

MOST_WITH_SHARES = 8
"""With more classes, shares of a row show in the shading alone."""
CALLED = 0.5
LEAST_SHARE = 0.005

Found = Sequence[tuple[RunFacts, Predictions]]


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix of one variant, laid out by rows of true classes."""

    name: str
    classes: tuple[str, ...]
    counts: np.ndarray  # int64 (K, K)
    of: str = ""
    """What the classes are classes of."""
    left_out: int = 0
    """Rows whose target is a bound that lies in several classes."""
    thresholds: tuple[float, ...] = ()

    @property
    def numbered(self) -> bool:
        """Whether classes go by number above the columns, because their names are too wide."""
        return sum(map(len, self.classes)) > 50

    @property
    def with_shares(self) -> bool:
        """Whether cells say their share of the row."""
        return len(self.classes) <= MOST_WITH_SHARES

    @property
    def columns(self) -> list[str]:
        """Headings of the columns."""
        return [str(place + 1) for place in range(len(self.classes))] if self.numbered else list(self.classes)

    @property
    def axes(self) -> str:
        """What rows and columns are."""
        if self.thresholds:
            side = "above" if self.classes[0].startswith("<") else "below"
            return f"rows are {self.of} as measured, columns as predicted; a threshold belongs to the range {side} it"
        return "rows are the true class, columns the predicted one"

    @property
    def note(self) -> str:
        """Which rows do not count."""
        if not self.left_out:
            return ""
        return f"{plural(self.left_out, 'row')} left out, whose bound does not tell the class."

    @property
    def rows(self) -> Iterator[Mapping[str, object]]:
        """Name, place, recall and cells (count, share, shade) of every true class."""
        for place, (name, counts) in enumerate(zip(self.classes, self.counts, strict=True)):
            total = counts.sum()
            shares = counts / max(total, 1)
            yield {
                "name": f"{place + 1} {name}" if self.numbered else name,
                "place": place,
                "recall": shares[place] if total else float("nan"),
                "cells": [
                    {
                        "count": int(n),
                        "share": share,
                        "percent": f"{100 * share:.0f}" if share >= LEAST_SHARE else "<1",
                        "shade": f"{share**0.5:.2f}".lstrip("0"),
                    }
                    for n, share in zip(counts, shares, strict=True)
                ],
            }

    def as_json(self) -> dict[str, Any]:
        """Counts, and shares of each true class, null for a class without rows."""
        totals = self.counts.sum(axis=1, keepdims=True)
        shares = np.where(totals > 0, self.counts / np.maximum(totals, 1), np.nan)
        return {
            "variant": self.name,
            "of": self.of,
            "thresholds": list(self.thresholds),
            "classes": list(self.classes),
            "counts": self.counts.tolist(),
            "shares": [[None if math.isnan(share) else share for share in row] for row in shares.tolist()],
            "left_out": self.left_out,
        }


def checked(facts: Facts, asked: Sequence[str | Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    """Thresholds of every matrix asked for, such as `500` or `50,500,5000`, rising; ConfigError for what cannot be one.

    Numbers alone have thresholds: classes have their matrix without being asked.
    """
    columns = (facts.data.get("target") or {}).get("columns", ())
    if asked and facts.task != "regression":
        raise ConfigError(
            f"--confusion: thresholds divide numbers, and {', '.join(columns) or 'the target'} is {facts.task}, "
            "whose confusion matrices are in the report as they are; leave --confusion out"
        )
    if asked and len(columns) > 1:
        raise ConfigError(
            f"--confusion: thresholds are of one target, and there are {len(columns)} ({', '.join(columns[:5])}); "
            "compare one of them by itself with --target"
        )
    return tuple(dict.fromkeys(_thresholds(each) for each in asked))


def matrices(facts: Facts, found: Found) -> list[list[Confusion]]:
    """For every division into classes the matrix of every variant, best first; empty where there are no classes."""
    if facts.task == "multiclass":
        return [[_of_classes(run, predicted) for run, predicted in found]]
    if facts.task == "binary":
        return [[_of_classes(run, predicted) for run, predicted in found if len(predicted.classes) == 2]]
    if facts.task != "regression" or len(found[0][1].columns) != 1:
        return []
    target = facts.data.get("target") or {}
    own = [float(target[key]) for key in ("positive_below", "positive_above") if target.get(key) is not None]
    asked = list(dict.fromkeys([*((each,) for each in own), *facts.thresholds]))
    return [[_of_numbers(facts, *each, thresholds) for each in found] for thresholds in asked]


def confusion_json(facts: Facts) -> list[dict[str, Any]]:
    """The matrices of all variants, one division into classes after the other."""
    found = [(run, run.predictions) for run in facts.runs if run.predictions is not None]
    return [each.as_json() for own in (matrices(facts, found) if found else ()) for each in own]


def _thresholds(asked: str | Sequence[float]) -> tuple[float, ...]:
    parts = asked.split(",") if isinstance(asked, str) else asked
    shown = asked if isinstance(asked, str) else ",".join(f"{each:g}" for each in asked)
    try:
        values = tuple(float(part) for part in parts)
    except ValueError:
        values = ()
    rising = all(low < high for low, high in pairwise(values))
    if not values or not rising or not all(map(math.isfinite, values)):
        raise ConfigError(
            f"--confusion {shown}: give rising numbers in the units of the table, such as --confusion 50,500,5000"
        )
    return values


def _of_classes(run: RunFacts, predicted: Predictions) -> Confusion:
    """Counts by the most probable class; of two classes, by a probability of one half or more."""
    target, pred = predicted.averaged()
    known = ~np.isnan(target[:, 0])
    called = (pred[:, 1] >= CALLED).astype(np.int64) if len(predicted.classes) == 2 else pred.argmax(axis=1)
    counts = _counts(target[known, 0].astype(np.int64), called[known], len(predicted.classes))
    return Confusion(run.name, predicted.classes, counts)


def _of_numbers(facts: Facts, run: RunFacts, predicted: Predictions, thresholds: tuple[float, ...]) -> Confusion:
    """Counts by the range that numbers lie in. A bound counts where all it allows lies in one range."""
    target = facts.data.get("target") or {}
    # A threshold belongs to the range above it, unless positives are those above: they begin beyond it.
    closed_above = target.get("positive_above") is not None
    y, p = (each[:, 0] for each in predicted.averaged(log=facts.log))
    limit, bounds = (each[:, 0] for each in predicted.averaged_limits())
    bounds = np.where(np.isnan(limit), 0, bounds)
    truth = np.where(np.isnan(y), -1, _place(y, thresholds, closed_above=closed_above))
    # As for a search: a bound at the threshold decides.
    least = (bounds > 0) & (_place(limit, thresholds, closed_above=False) == len(thresholds))
    most = (bounds < 0) & (_place(limit, thresholds, closed_above=True) == 0)
    truth = np.where(least, len(thresholds), np.where(most, 0, truth))
    known = (truth >= 0) & ~np.isnan(p)
    called = _place(p, thresholds, closed_above=closed_above)
    return Confusion(
        run.name,
        _ranges(thresholds, closed_above=closed_above),
        _counts(truth[known], called[known], len(thresholds) + 1),
        _of(facts),
        int(((bounds != 0) & (truth < 0)).sum()),
        thresholds,
    )


def _of(facts: Facts) -> str:
    """The name of the target column, with its unit where that is known."""
    target = facts.data.get("target") or {}
    name = str(next(iter(target.get("columns", ())), "target"))
    return f"{name} (nM)" if target.get("transform") == "log50k" else name


def _place(values: np.ndarray, thresholds: Sequence[float], *, closed_above: bool) -> np.ndarray:
    return np.searchsorted(np.array(thresholds), values, side="left" if closed_above else "right")


def _ranges(thresholds: Sequence[float], *, closed_above: bool) -> tuple[str, ...]:
    shown = [f"{each:,.10g}" for each in thresholds]
    below, above = ("≤", ">") if closed_above else ("<", "≥")
    return (f"{below} {shown[0]}", *(f"{low}{DASH}{high}" for low, high in pairwise(shown)), f"{above} {shown[-1]}")


def _counts(truth: np.ndarray, called: np.ndarray, k: int) -> np.ndarray:
    return np.bincount(truth * k + called, minlength=k * k).reshape(k, k)
