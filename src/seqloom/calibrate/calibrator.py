"""Calibrators: immutable maps from a model's probabilities to calibrated ones, as plain numbers.

Decides how a map is applied and written down; which one, and its numbers, are found in `seqloom.calibrate.fit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from seqloom.calibrate.inputs import probabilities
from seqloom.metrics import Task
from seqloom.resample import Floats

Method = Literal["none", "temperature", "platt", "isotonic"]

CLIP = 1e-9
"""Logits are taken of probabilities no nearer to 0 or 1 than this: what float32 can tell from 1, with room below."""


@dataclass(frozen=True)
class Curve:
    """A rising map of one column of probabilities.

    `temperature`, `platt`: the logit times `slope` plus `intercept` (temperature: 1 / slope, intercept 0).
    `isotonic`: straight lines between `knots` and their `values`, level beyond the ends. `none`: as it is.
    """

    method: Method = "none"
    slope: float = 1.0
    intercept: float = 0.0
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def apply(self, p: Floats) -> Floats:
        """Calibrated probabilities of any shape; NaN stays NaN."""
        if self.method == "none":
            return p
        if self.method == "isotonic":
            return np.interp(p, self.knots, self.values)
        return sigmoid(self.slope * logit(p) + self.intercept)

    def as_json(self) -> dict[str, Any]:
        """`method` and the numbers it has."""
        numbers: dict[str, Any] = {}
        if self.method == "isotonic":
            numbers = {"knots": list(self.knots), "values": list(self.values)}
        elif self.method != "none":
            numbers = {"slope": self.slope, "intercept": self.intercept}
        return {"method": self.method, **numbers}

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> Curve:
        """The curve that `as_json` wrote."""
        lists = {name: tuple(facts.get(name, ())) for name in ("knots", "values")}
        return Curve(facts["method"], facts.get("slope", 1.0), facts.get("intercept", 0.0), **lists)


@dataclass(frozen=True)
class Calibrator:
    """A fitted map of probabilities (N, T) to calibrated ones.

    `curves`: one per column; one for all classes together when a multiclass target has a temperature. Order
    is kept: temperature and platt never reverse a ranking, isotonic may tie what was apart; among several
    classes the order within a row is kept by a temperature only.
    """

    task: Task
    name: str
    """The method; `mixed` when the columns of a multilabel target differ in it."""
    curves: tuple[Curve, ...]
    why: str
    """One sentence: which, from how many rows, log loss before and after; or why there is none."""
    n_rows: int
    """Held-back rows it was fitted on."""
    log_loss_before: float | None = None
    """Of the probabilities as they are; None when it was not measured."""
    log_loss_after: float | None = None
    """Of calibrated probabilities, cross-validated over the held-back rows."""

    def apply(self, p: Floats) -> Floats:
        """Calibrated probabilities float64 (N, T); a multiclass row with a NaN is NaN, as it cannot add up to 1.

        DataError for numbers outside 0..1, ValueError for another number of columns.
        """
        p = probabilities(self.task, p)
        joint = self.task == "multiclass" and self.name == "temperature"
        if not joint and p.shape[1] != len(self.curves):
            raise ValueError(f"the calibrator is for {len(self.curves)} columns, predictions have {p.shape[1]}")
        return apply_curves(self.task, self.curves, p)

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain numbers and text; `from_json` makes an equal one."""
        return {**vars(self), "curves": [curve.as_json() for curve in self.curves]}

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> Calibrator:
        """The calibrator that `as_json` wrote."""
        return Calibrator(**{**facts, "curves": tuple(Curve.from_json(each) for each in facts["curves"])})


def apply_curves(task: Task, curves: tuple[Curve, ...], p: Floats) -> Floats:
    """Probabilities (N, T) through one curve per column, or through one softmax with a temperature."""
    if all(curve.method == "none" for curve in curves):
        return p
    if task == "multiclass" and len(curves) == 1:
        return softmax(curves[0].slope * np.log(np.clip(p, CLIP, 1.0)))
    applied = np.stack([curve.apply(p[:, k]) for k, curve in enumerate(curves)], axis=1)
    if task != "multiclass":
        return applied
    return applied / np.clip(applied.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny, None)


def logit(p: Floats) -> Floats:
    """Logarithm of the odds, of probabilities clipped at `CLIP`."""
    p = np.clip(p, CLIP, 1 - CLIP)
    odds: Floats = np.log(p) - np.log1p(-p)
    return odds


def sigmoid(z: Floats) -> Floats:
    """Probability of log odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -700.0, 700.0))))  # exp(710) is no float64


def softmax(z: Floats) -> Floats:
    """Shares (N, T) in proportion to exp(z)."""
    shares = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
