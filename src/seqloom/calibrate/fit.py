"""Which calibrator, and its numbers, from held-back rows.

Decides when there is too little to fit on, which method is clearly better in cross-validation, and how far a map fitted on few
rows may go: a temperature is drawn to 1, and a perfect record on 30 rows is no certainty, so platt and isotonic count rows that
were not seen (rule of succession).
How a map is applied is in `seqloom.calibrate.calibrator`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seqloom.calibrate.calibrator import CLIP, Calibrator, Curve, Method, apply_curves, logit, sigmoid, softmax
from seqloom.calibrate.inputs import classes, probabilities, row_weights
from seqloom.errors import ConfigError
from seqloom.metrics import Task
from seqloom.resample import Floats

FEWEST_ROWS = 30
"""With fewer known held-back rows nothing is fitted."""
FEWEST_FOR_PLATT = 100
"""`auto` tries platt from here on: of fewer rows cross-validation cannot tell whether it is better."""
FEWEST_FOR_ISOTONIC = 1000
"""`auto` tries isotonic from here on; with fewer rows it overfits (Niculescu-Mizil and Caruana 2005, ICML)."""
N_FOLDS = 5
CLEARLY = 1.0
"""`auto` takes a less simple method only when the mean gain in log loss is above this many of its standard errors."""
SLOPE_SPREAD = 0.2
"""Standard deviation of a normal prior at 1 on the factor on logits that is 1 / temperature. Fifty rows weigh about as much. It
was chosen among 0.2, 0.3, 0.5 and 1 on small cuts of the tables that `bench/calibration.py few` measures it on."""
LOWEST_SLOPE, HIGHEST_SLOPE = 0.01, 100.0
"""Bounds of the factor on logits. It is never below 0: a calibrator does not turn a ranking round."""
UNSEEN_ROWS = 2.0
"""Rows at the common prevalence that are added to every level of an isotonic map, so that none is 0 or 1."""

_CANDIDATES: tuple[tuple[Method, int], ...] = (
    ("temperature", FEWEST_ROWS), ("platt", FEWEST_FOR_PLATT), ("isotonic", FEWEST_FOR_ISOTONIC),
)  # fmt: skip
"""Simple ones first, and how many rows `auto` tries each from."""
_METHODS = tuple(method for method, _ in _CANDIDATES)
_IDENTITY = Curve()


@dataclass(frozen=True)
class _Held:
    """Known held-back rows of one target: y (n,) class indices, p (n, T), weights (n,) that add up to the effective n."""

    task: Task
    y: NDArray[np.intp]
    p: Floats
    weights: Floats

    def take(self, rows: NDArray[np.intp]) -> _Held:
        return _Held(self.task, self.y[rows], self.p[rows], self.weights[rows])


@dataclass(frozen=True)
class _Fitted:
    """What was found for one target: curves, and what is said of them. `detail` is empty where the method says it all."""

    method: Method
    curves: tuple[Curve, ...]
    detail: str
    n_rows: int
    before: float | None = None
    after: float | None = None


def fit_calibrator(
    task: Task,
    y: Floats,
    p: Floats,
    method: Literal["auto"] | Method = "auto",
    *,
    weights: Floats | None = None,
    names: Sequence[str] = (),
    seed: int = 0,
) -> Calibrator:
    """A calibrator of probabilities p (N, T) from targets y (N, C), NaN where missing, of held-back rows.

    `temperature` divides logits by one number (Guo et al. 2017, ICML), near 1 where rows are few, per column if multilabel.
    `platt` is logistic on the logit per column with Platt's smoothed targets (Platt 1999); `isotonic` a rising step map per
    column. Of several classes, these two calibrate each against the rest and then add up to 1. `auto` takes a temperature unless
    `platt`, from 100 rows on, or `isotonic`, from 1,000 on, is clearly better in 5-fold cross-validation (`seed` deals the
    folds); a multilabel target's columns choose by themselves.

    It is `none`, with the reason in `why`, where fewer than 30 rows of weight above 0 are known, these are of one class, or
    their predictions are all equal or NaN. A class without known rows keeps its map. `weights` (N,): any scale; they count
    as as many rows as their effective number, (sum of w)^2 / sum of w^2. `names` (T,): of classes or columns, for `why`.

    ConfigError for an unknown method; DataError for probabilities outside 0..1 or negative weights; ValueError for shapes
    and tasks that do not fit.
    """
    if method not in (known := ("auto", "none", *_METHODS)):
        raise ConfigError(f"calibration method {method!r}: no such method; available: {', '.join(known)}")
    p = probabilities(task, p)
    y = classes(task, y, p)
    w = row_weights(weights, len(p))
    named = tuple(names) or tuple(str(k) for k in range(p.shape[1]))
    if task != "multilabel":
        fitted = _fit_target(task, y[:, 0], p, w, method, named, seed)
        why = f"{_described(fitted)}: {fitted.detail}"
        return Calibrator(task, fitted.method, fitted.curves, why, fitted.n_rows, fitted.before, fitted.after)
    parts = [_fit_target("binary", y[:, c], p[:, [c]], w, method, named, seed) for c in range(p.shape[1])]
    chosen = {part.method for part in parts}
    return Calibrator(
        task,
        chosen.pop() if len(chosen) == 1 else "mixed",
        tuple(curve for part in parts for curve in part.curves),
        _summary(parts, named),
        int((~np.isnan(y).all(axis=1) & (w > 0)).sum()),
        _mean([part.before for part in parts]),
        _mean([part.after for part in parts]),
    )


def _fit_target(
    task: Task,
    y: Floats,
    p: Floats,
    weights: Floats,
    method: Literal["auto"] | Method,
    names: Sequence[str],
    seed: int,
) -> _Fitted:
    """The calibrator of one target: y (N,), p (N, T)."""
    known = ~np.isnan(y) & (weights > 0)
    w = weights[known]
    held = _Held(task, y[known].astype(np.intp), p[known], w * w.sum() / max(float((w**2).sum()), 1e-300))
    identity = (_IDENTITY,) * p.shape[1]
    reason = _unfit(held, names)
    if reason:
        return _Fitted("none", identity, reason, len(w))
    losses = _losses(held, held.p)
    before = _weighted_mean(losses, held.weights)
    rows = f"{len(w):,} held-back rows"
    if method == "none":
        said = f"as asked on {rows}; log loss {before:.3f} as it is"
        return _Fitted("none", identity, said, len(w), before, before)
    chosen, *others = [
        each for each, fewest in _CANDIDATES if method == each or (method == "auto" and len(w) >= fewest)
    ]
    best = _cross_validated(chosen, held, seed)
    for each in others:
        after = _cross_validated(each, held, seed)
        if _clearly_less(after, best, held.weights):
            chosen, best = each, after
    curves, after_loss = _fit(chosen, held), _weighted_mean(best, held.weights)
    detail = f"{rows}, log loss {before:.3f} before and {after_loss:.3f} after ({N_FOLDS}-fold cross-validation)"
    return _Fitted(chosen, curves, detail + _remarks(chosen, curves, held, names), len(w), before, after_loss)


def _unfit(held: _Held, names: Sequence[str]) -> str:
    """Why nothing can be fitted on these rows; empty if it can."""
    n = len(held.y)
    if n == 0:
        return "no held-back row has a known target"
    if n < FEWEST_ROWS:
        return f"only {n} held-back rows have a known target, calibration needs {FEWEST_ROWS}"
    missing = int(np.isnan(held.p).any(axis=1).sum())
    if missing:
        return f"the predictions of {missing} of {n:,} held-back rows are NaN"
    if (held.y == held.y[0]).all():
        of = f" ({names[held.y[0]]})" if held.task == "multiclass" else ""
        return f"all {n:,} held-back rows with a known target are of one class{of}"
    return f"the predictions of all {n:,} held-back rows are the same" if (held.p == held.p[0]).all() else ""


def _remarks(method: Method, curves: tuple[Curve, ...], held: _Held, names: Sequence[str]) -> str:
    """What a reader must know of this fit beyond its loss."""
    text = ""
    if any(curve.method in ("temperature", "platt") and curve.slope <= LOWEST_SLOPE * 1.001 for curve in curves):
        text += "; held-back rows give the predictions next to no weight"
    absent = [names[k] for k, curve in enumerate(curves) if method != "temperature" and curve.method == "none"]
    if absent:
        text += f"; no held-back row is {', '.join(absent[:5])}, kept as predicted"
    if method == "isotonic" and len(held.y) < FEWEST_FOR_ISOTONIC:
        text += f"; isotonic overfits below {FEWEST_FOR_ISOTONIC:,} rows"
    return text


def _described(fitted: _Fitted) -> str:
    return f"temperature {1 / fitted.curves[0].slope:.3g}" if fitted.method == "temperature" else fitted.method


def _summary(parts: Sequence[_Fitted], names: Sequence[str]) -> str:
    """One sentence for many columns: how many of each method, mean loss, and the columns that fell back."""
    methods = [part.method for part in parts]
    counted = ", ".join(f"{each} for {methods.count(each)}" for each in ("none", *_METHODS) if each in methods)
    before, after = _mean([part.before for part in parts]), _mean([part.after for part in parts])
    text = f"of {len(parts)} columns {counted}"
    if before is not None:
        text += f"; mean log loss {before:.3f} before and {after:.3f} after ({N_FOLDS}-fold cross-validation)"
    fallen = [f"{name}: {part.detail}" for name, part in zip(names, parts, strict=True) if part.before is None]
    return text + "".join(f"; {each}" for each in fallen[:5]) + (f"; {len(fallen) - 5} more" if len(fallen) > 5 else "")


def _mean(values: Sequence[float | None]) -> float | None:
    measured = [value for value in values if value is not None]
    return float(np.mean(measured)) if measured else None


def _cross_validated(method: Method, held: _Held, seed: int) -> Floats:
    """Losses (n,) of rows calibrated by the other folds; classes are dealt evenly."""
    shuffled = np.random.default_rng(seed).permutation(len(held.y))
    fold = np.empty(len(held.y), np.intp)
    fold[shuffled[np.argsort(held.y[shuffled], kind="stable")]] = np.arange(len(held.y)) % N_FOLDS
    losses = np.empty(len(held.y))
    for k in range(N_FOLDS):
        out = np.flatnonzero(fold == k)
        own = held.take(out)
        losses[out] = _losses(own, apply_curves(held.task, _fit(method, held.take(np.flatnonzero(fold != k))), own.p))
    return losses


def _losses(held: _Held, p: Floats) -> Floats:
    """-ln of the probability given to the true class, (n,), clipped as the metric `log_loss` is."""
    given = np.where(held.y == 1, p[:, 0], 1 - p[:, 0]) if held.task == "binary" else p[np.arange(len(p)), held.y]
    epsilon = np.finfo(np.float64).eps
    return np.asarray(-np.log(np.clip(given, epsilon, 1 - epsilon)))


def _clearly_less(losses: Floats, than: Floats, weights: Floats) -> bool:
    gain = than - losses
    mean = _weighted_mean(gain, weights)
    error = np.sqrt((weights**2 * (gain - mean) ** 2).sum()) / weights.sum()
    return bool(mean > CLEARLY * error)


def _weighted_mean(values: Floats, weights: Floats) -> float:
    return float((weights * values).sum() / weights.sum())


def _fit(method: Method, held: _Held) -> tuple[Curve, ...]:
    """Curves of one target, as `Calibrator` holds them."""
    if method == "temperature":
        return (Curve("temperature", slope=_temperature_slope(held)),)
    one_column = _platt if method == "platt" else _isotonic
    if held.task == "binary":
        return (one_column(held.y == 1, held.p[:, 0], held.weights),)
    return tuple(one_column(held.y == k, held.p[:, k], held.weights) for k in range(held.p.shape[1]))


def _temperature_slope(held: _Held) -> float:
    """1 / temperature: the factor on logits with the least log loss, drawn to 1 by `SLOPE_SPREAD`.

    The loss is convex, so its slope has one root.
    """
    from scipy.optimize import brentq

    if held.task == "binary":
        z = logit(held.p[:, 0])
        behind = np.stack([np.zeros(len(z)), np.where(held.y == 1, -z, z)], axis=1)
    else:
        z = np.log(np.clip(held.p, CLIP, 1.0))
        behind = z - z[np.arange(len(z)), held.y][:, None]

    def gradient(slope: float) -> float:
        given = softmax(slope * behind)
        return float(held.weights @ (given * behind).sum(axis=1) + (slope - 1) / SLOPE_SPREAD**2)

    if gradient(LOWEST_SLOPE) >= 0:
        return LOWEST_SLOPE
    return float(brentq(gradient, LOWEST_SLOPE, HIGHEST_SLOPE)) if gradient(HIGHEST_SLOPE) > 0 else HIGHEST_SLOPE


def _platt(is_class: NDArray[np.bool_], p: Floats, weights: Floats) -> Curve:
    """Logistic on the logit with smoothed targets; as it is where only one class is there."""
    from scipy.optimize import minimize

    n_in, n_out = float(weights[is_class].sum()), float(weights[~is_class].sum())
    if is_class.all() or not is_class.any():
        return _IDENTITY
    aim = np.where(is_class, (n_in + 1) / (n_in + 2), 1 / (n_out + 2))
    z = logit(p)
    shares = weights / weights.sum()

    def loss(x: Floats) -> tuple[float, Floats]:
        a = x[0] * z + x[1]
        missed = shares * (sigmoid(a) - aim)
        return float(shares @ (np.logaddexp(0.0, a) - aim * a)), np.array([missed @ z, missed.sum()])

    found = minimize(
        loss,
        np.array([1.0, 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(LOWEST_SLOPE, HIGHEST_SLOPE), (None, None)],
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500},
    )
    return Curve("platt", slope=float(found.x[0]), intercept=float(found.x[1]))


def _isotonic(is_class: NDArray[np.bool_], p: Floats, weights: Floats) -> Curve:
    """The rising map of least squares; each level is then drawn to the prevalence by `UNSEEN_ROWS`."""
    from sklearn.isotonic import IsotonicRegression

    if is_class.all() or not is_class.any():
        return _IDENTITY
    y = is_class.astype(np.float64)
    level = IsotonicRegression(out_of_bounds="clip").fit(p, y, weights).predict(p)
    block = np.unique(level, return_inverse=True)[1].reshape(-1)
    n = np.bincount(block, weights)
    common = _weighted_mean(y, weights)
    share = (np.bincount(block, weights * y) + UNSEEN_ROWS * common) / (n + UNSEEN_ROWS)
    # Small levels are drawn further than large ones beside them, so the order is restored once more.
    share = IsotonicRegression().fit(np.arange(len(n)), share, n + UNSEEN_ROWS).predict(np.arange(len(n)))
    first, last = np.full(len(n), np.inf), np.full(len(n), -np.inf)
    np.minimum.at(first, block, p)
    np.maximum.at(last, block, p)
    knots, at = np.unique(np.stack([first, last], axis=1).reshape(-1), return_index=True)
    values = np.repeat(share, 2)[at]
    return Curve("isotonic", knots=tuple(knots.tolist()), values=tuple(values.tolist()))
