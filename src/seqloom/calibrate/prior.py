"""Another prevalence than in training: what it makes of probabilities, how it is seen without targets, and when it matters.

Decides estimates and the judgement `differs`; warning and correcting are the caller's. All of it supposes that only the
shares of classes changed, not what rows of a class look like (prior or label shift). Unlabelled predictions cannot tell that
from inputs that changed (covariate shift), where corrected probabilities would be the wrong ones: warn, and correct only when
asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqloom.calibrate.inputs import probabilities
from seqloom.metrics import Task
from seqloom.resample import Floats, ratio

SIGNIFICANCE = 0.05
MATTERS = 0.05
"""A shift by which no probability changes by more than this is none to warn of."""
FEWEST_EXPECTED = 3.0
"""With fewer rows of a class to expect in either table a normal test of its mean alarms too often, and a bound is used; from here
on a class that is told without doubt, whose count is Poisson, alarms in at most 1 of 20."""
CHI2_95 = 3.841458820694124  # 95 % of a chi-square with one degree of freedom are below
MOST_STEPS, STEP = 1000, 1e-7  # of the EM algorithm; it ends when no share moves further


@dataclass(frozen=True)
class PriorReference:
    """How predictions look where the prevalence is that of training: mean and variance per output of N held-back rows.

    Against it a shift is seen even if probabilities are not calibrated.
    """

    task: Task
    mean: tuple[float, ...]
    variance: tuple[float, ...]
    n_rows: int

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain numbers; `from_json` makes an equal one."""
        return {**vars(self), "mean": list(self.mean), "variance": list(self.variance)}

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> PriorReference:
        """The reference that `as_json` wrote."""
        return PriorReference(**{**facts, "mean": tuple(facts["mean"]), "variance": tuple(facts["variance"])})


@dataclass(frozen=True)
class PriorShift:
    """Shares of the classes (or of positives, per column) in training and, estimated, in a table without targets."""

    train: tuple[float, ...]
    test: tuple[float, ...]
    low: tuple[float, ...]
    """Ends of 95 % likelihood intervals; they take the probabilities for calibrated."""
    high: tuple[float, ...]
    p_value: float
    """Of no shift, over all outputs together (Bonferroni); NaN if it cannot be told."""
    differs: bool
    """Whether to warn: p below 0.05, and some probability would change by more than 0.05."""
    n_rows: int
    why: str

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain numbers and text; undefined numbers are null."""
        lists = {
            name: [None if np.isnan(v) else v for v in getattr(self, name)] for name in ("train", "test", "low", "high")
        }
        return {**vars(self), **lists, "p_value": None if np.isnan(self.p_value) else self.p_value}


def prevalence(task: Task, y: Floats, n_outputs: int) -> Floats:
    """Shares (T,) in targets y (N, C), NaN where missing: of each class if multiclass, else of positives per column.

    NaN for a column without a known target.
    """
    known = ~np.isnan(y)
    if task == "multiclass":
        counts = np.bincount(y[known].astype(np.intp), minlength=n_outputs).astype(np.float64)
        return ratio(counts, np.full(n_outputs, counts.sum()))
    return ratio(np.where(known, y, 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64))


def prior_shift(task: Task, p: Floats, train: Sequence[float] | Floats, test: Sequence[float] | Floats) -> Floats:
    """Probabilities p (N, T) of a model trained at prevalence `train` (T,), as they are at prevalence `test` (T,).

    Odds are multiplied by those of test over those of train (Elkan 2001, IJCAI, theorem 2; Saerens et al. 2002, Neural
    Computation 14:21, equation 2.4). Several classes are weighted so and add up to 1; their shares are made to. The
    weight of a class that was not in training is 1.

    ValueError for shares outside 0..1 or of another number, or for a binary training prevalence of 0 or 1.

    >>> prior_shift("binary", np.array([[0.5], [0.8]]), [0.5], [0.2]).round(3).tolist()
    [[0.2], [0.5]]
    """
    p = probabilities(task, p)
    old, new = _shares(task, train, p.shape[1]), _shares(task, test, p.shape[1])
    if task == "multiclass":
        weighted = p * np.where(old > 0, new / np.where(old > 0, old, 1.0), 1.0)
        return ratio(weighted, weighted.sum(axis=1, keepdims=True))
    if ((old <= 0) | (old >= 1)).any():
        raise ValueError(f"a training prevalence of {old.tolist()}: both classes are needed in training")
    up, down = p * new / old, (1 - p) * (1 - new) / (1 - old)
    return ratio(up, up + down)


def estimate_prevalence(task: Task, p: Floats, train: Sequence[float] | Floats) -> Floats:
    """Shares (T,) that make unlabelled predictions p (N, T) likeliest, given those of training.

    That is where the EM algorithm of Saerens et al. 2002 ends; with two classes, where the likelihood is concave, it is
    found as the root of its slope. Rows with a NaN are left out; NaN without rows, or where training had one class only.
    """
    p = probabilities(task, p)
    old = _shares(task, train, p.shape[1])
    p = p[~np.isnan(p).any(axis=1)]
    if not len(p):
        return np.full(len(old), np.nan)
    if task == "multiclass":
        return _by_em(_relative(p, old), old)
    return np.array([_most_likely(p[:, c], each) for c, each in enumerate(old)])


def prior_reference(task: Task, p: Floats, weights: Floats | None = None) -> PriorReference:
    """The reference made by predictions p (N, T) of held-back rows, which have the prevalence of training; NaN rows left out.

    `weights` (N, T) give them that prevalence if they have another; they count as as many rows as their least effective
    number, (sum of w)^2 / sum of w^2.
    """
    p = probabilities(task, p)
    known = ~np.isnan(p).any(axis=1)
    w = np.ones_like(p[known]) if weights is None else np.asarray(weights, np.float64)[known]
    p = p[known]
    n = ratio(w.sum(axis=0) ** 2, (w**2).sum(axis=0))
    if not len(p) or not n.min() >= 2:
        return PriorReference(task, (0.0,) * p.shape[1], (0.0,) * p.shape[1], 0)
    mean = (w * p).sum(axis=0) / w.sum(axis=0)
    variance = (w * (p - mean) ** 2).sum(axis=0) / w.sum(axis=0) * n / (n - 1)
    return PriorReference(task, tuple(mean.tolist()), tuple(variance.tolist()), int(n.min() + 1e-9))


def detect_prior_shift(
    task: Task,
    p: Floats,
    train: Sequence[float] | Floats,
    reference: PriorReference | None = None,
    *,
    names: Sequence[str] = (),
) -> PriorShift:
    """Whether unlabelled predictions p (N, T) come from another prevalence than `train` (T,), and from which.

    With a `reference` of held-back rows their means are compared, output by output (pooled t test; for a rare class the bound of
    Hoeffding 1963, theorem 1): right for exchangeable rows whatever the probabilities are worth. Without one a likelihood-ratio
    test takes the probabilities at their word and the training prevalence for exact. Both take rows for independent. A
    reference of fewer than two rows is none. `names` (T,) of classes or columns, for `why`; binary: one, of the positive class.

    Raises as `prior_shift`.
    """
    p = probabilities(task, p)
    old = _shares(task, train, p.shape[1])
    p = p[~np.isnan(p).any(axis=1)]
    new = estimate_prevalence(task, p, old)
    if not len(p):
        nan = (float("nan"),) * len(old)
        return PriorShift(tuple(old.tolist()), nan, nan, nan, float("nan"), False, 0, "no row has a prediction")
    ends = np.array([_interval(*path) for path in _paths(task, p, old, new)])
    if reference is not None and reference.n_rows > 1:
        value, tested = _from_reference(p, reference), f"against {reference.n_rows:,} held-back rows"
    else:
        value, tested = _from_likelihood(task, p, old, new), "by likelihood"
    moved = np.nan_to_num(_most_moved(old, new))
    differs = bool(value < SIGNIFICANCE and moved.max() > MATTERS)
    why = f"{_verdict(old, new, ends, moved, value, names)} (p {value:.2g}; {len(p):,} rows {tested})"
    low, high = ends.T.tolist()
    return PriorShift(tuple(old.tolist()), tuple(new.tolist()), tuple(low), tuple(high), value, differs, len(p), why)


def _verdict(old: Floats, new: Floats, ends: Floats, moved: Floats, p_value: float, names: Sequence[str]) -> str:
    """What is said of the output that moved most; `ends` (T, 2) of intervals, `moved` (T,) changes of probabilities."""
    k = int(moved.argmax())
    of = f" of {names[k]}" if names else f" of output {k + 1}" if len(old) > 1 else ""
    if np.isnan(new[k]):
        return f"prevalence{of} cannot be told: training had one class only"
    here = f"prevalence{of} in this table ({new[k]:.1%}, 95 % CI {ends[k, 0]:.1%} to {ends[k, 1]:.1%})"
    if not p_value < SIGNIFICANCE:
        return f"{here} does not detectably differ from training ({old[k]:.1%})"
    if moved[k] <= MATTERS:
        return f"{here} differs too little from training ({old[k]:.1%}) to matter"
    return f"{here} differs from training ({old[k]:.1%}): probabilities are off"


def _shares(task: Task, given: Sequence[float] | Floats, n_outputs: int) -> Floats:
    shares = np.asarray(given, np.float64).reshape(-1)
    if (
        len(shares) != n_outputs
        or not ((shares >= 0) & (shares <= 1)).all()
        or (task == "multiclass" and not shares.any())
    ):
        raise ValueError(f"{n_outputs} prevalences from 0 to 1 are needed, got {shares.tolist()}")
    return shares / shares.sum() if task == "multiclass" else shares


def _relative(p: Floats, old: Floats) -> Floats:
    """Probabilities (N, K) over the prevalence of training; 0 for a class that was not there."""
    return np.asarray(np.where(old > 0, p / np.where(old > 0, old, 1.0), 0.0))


def _two(p: Floats, old: float) -> tuple[Floats, Floats]:
    """Relative likelihoods (N,) of a row as a positive and as a negative."""
    return p / old, (1 - p) / (1 - old)


def _by_em(relative: Floats, shares: Floats) -> Floats:
    """Shares (K,) of greatest likelihood, from relative likelihoods (N, K) and shares to begin with."""
    for _ in range(MOST_STEPS):
        weighted = relative * shares
        after = np.asarray((weighted / np.maximum(weighted.sum(axis=1, keepdims=True), 1e-300)).mean(axis=0))
        if np.abs(after - shares).max() < STEP:
            return after
        shares = after
    return shares


def _most_likely(p: Floats, old: float) -> float:
    """The share of positives of greatest likelihood; that of training where all are equally likely."""
    from scipy.optimize import brentq

    if not 0 < old < 1:
        return float("nan")
    inside, outside = _two(p, old)
    if np.allclose(inside, outside, rtol=0, atol=1e-9):
        return old

    def slope(share: float) -> float:
        mixed = share * inside + (1 - share) * outside
        return float(((inside - outside) / np.maximum(mixed, 1e-300)).mean())

    if slope(0.0) <= 0:
        return 0.0
    return 1.0 if slope(1.0) >= 0 else float(brentq(slope, 0.0, 1.0, xtol=1e-12))


def _paths(task: Task, p: Floats, old: Floats, new: Floats) -> Iterator[tuple[Floats, Floats, float]]:
    """Per output the relative likelihoods (N,) of a row inside and outside of it, and its estimated share.

    Of several classes, the others' shares go along as the covariance of the estimates says, so that the likelihood of the
    mixture is that of the share with all else at its best (to first order); a class estimated at 0 takes from the others
    in proportion.
    """
    if task != "multiclass":
        for c, each in enumerate(old):
            yield (*_two(p[:, c], each if 0 < each < 1 else 0.5), float(new[c]))
        return
    relative = _relative(p, old)
    mixed = np.maximum(relative @ new, 1e-300)
    held = np.flatnonzero(new > 1e-9)
    slopes = relative[:, held] / mixed[:, None]
    centre = np.eye(len(held)) - 1 / len(held)
    covariance = np.linalg.pinv(centre @ (slopes.T @ slopes) @ centre)
    for k, share in enumerate(new):
        along = np.eye(len(new))[k] - new
        own = np.flatnonzero(held == k)
        if len(held) > 1 and len(own) and covariance[own[0], own[0]] > 0:
            along = np.zeros(len(new))
            along[held] = covariance[own[0]] / covariance[own[0], own[0]]
        change = relative @ along
        yield mixed + (1 - share) * change, mixed - share * change, float(share)


def _interval(inside: Floats, outside: Floats, share: float) -> tuple[float, float]:
    """Shares whose likelihood is too near the greatest to be ruled out at 95 %."""
    from scipy.optimize import brentq

    if np.isnan(share):
        return np.nan, np.nan

    def short(at: float) -> float:
        return 2 * (_log_likelihood(inside, outside, share) - _log_likelihood(inside, outside, at)) - CHI2_95

    low = 0.0 if short(0.0) <= 0 else brentq(short, 0.0, share)
    high = 1.0 if short(1.0) <= 0 else brentq(short, share, 1.0)
    return float(low), float(high)


def _log_likelihood(inside: Floats, outside: Floats, share: float) -> float:
    return float(np.log(np.maximum(share * inside + (1 - share) * outside, 1e-300)).sum())


def _from_likelihood(task: Task, p: Floats, old: Floats, new: Floats) -> float:
    """p-value of the likelihood-ratio test; of several columns the least, times their number."""
    from scipy.special import chdtrc

    if task == "multiclass":
        relative = _relative(p, old)
        gain = float(
            np.log(np.maximum(relative @ new, 1e-300)).sum() - np.log(np.maximum(relative @ old, 1e-300)).sum()
        )
        return float(chdtrc(max(int((old > 0).sum()) - 1, 1), max(2 * gain, 0.0)))
    values = []
    for c in np.flatnonzero((old > 0) & (old < 1)):
        two = _two(p[:, c], old[c])
        gain = _log_likelihood(*two, float(new[c])) - _log_likelihood(*two, float(old[c]))
        values.append(float(chdtrc(1, max(2 * gain, 0.0))))
    return min(1.0, min(values) * len(values)) if values else float("nan")


def _from_reference(p: Floats, reference: PriorReference) -> float:
    """p-value of equal means in new and held-back rows: the least of all outputs, times their number."""
    from scipy.special import stdtr

    n, n0 = len(p), reference.n_rows
    mean, mean0 = p.mean(axis=0), np.array(reference.mean)
    within = (n - 1) * p.var(axis=0, ddof=1) if n > 1 else np.zeros(p.shape[1])
    # Pooled: the variance of a few rows without a positive says nothing, that of held-back rows does.
    pooled = (within + (n0 - 1) * np.array(reference.variance)) / (n + n0 - 2)
    error = np.maximum(np.sqrt(pooled * (1 / n + 1 / n0)), 1e-9)  # of constants: the rounding of their means
    values = 2 * stdtr(n + n0 - 2, -np.abs(mean - mean0) / error)
    rare = np.minimum(mean0, 1 - mean0) * min(n, n0) < FEWEST_EXPECTED
    values = np.where(rare, _bound(mean, mean0, n, n0), values)
    return float(min(1.0, values.min() * (1 if len(values) <= 2 and reference.task != "multilabel" else len(values))))


def _bound(mean: Floats, mean0: Floats, n: int, n0: int) -> Floats:
    """A p-value of equal means that holds for any numbers in 0..1.

    n KL(mean, true mean) exceeds t with a chance of at most 2 exp(-t), and the sum of two such with at most
    4 (1 + t - ln 4) exp(-t); at the pooled mean the sum is least.
    """
    pooled = (n * mean + n0 * mean0) / (n + n0)
    t = n * _divergence(mean, pooled) + n0 * _divergence(mean0, pooled)
    return np.asarray(np.minimum(1.0, 4 * (1 + np.maximum(t - np.log(4), 0.0)) * np.exp(-t)))


def _divergence(a: Floats, b: Floats) -> Floats:
    """Kullback-Leibler divergence of shares, in nats."""
    tiny = 1e-300
    a, b = np.clip(a, 0.0, 1.0), np.clip(b, 1e-12, 1 - 1e-12)
    return np.asarray(a * np.log(np.maximum(a, tiny) / b) + (1 - a) * np.log(np.maximum(1 - a, tiny) / (1 - b)))


def _most_moved(old: Floats, new: Floats) -> Floats:
    """By how much a probability changes at most, per output (T,); NaN where unknown.

    Odds that are multiplied by r move a probability furthest where it goes from 1 / (1 + sqrt r) to sqrt r / (1 + sqrt r).
    """
    a, b = np.clip(old, 1e-9, 1 - 1e-9), np.clip(new, 1e-9, 1 - 1e-9)
    root = np.sqrt(b / (1 - b) * (1 - a) / a)
    return np.asarray(np.where((old > 0) & (old < 1), np.abs(root - 1) / (root + 1), np.nan))
