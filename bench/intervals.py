"""Bootstrap intervals: what they cost, how often they hold, and how often a verdict is right.

`python bench/intervals.py [speed] [coverage] [verdicts]` prints one JSON line per figure (all three without a name).

speed      1,000 draws of 20,000 rows and five metrics, against a loop of scikit-learn over the draws, which is timed on a few
           draws of the same rows and multiplied up; both run in this process on one core
coverage   how often the 95 % interval of a simulated table holds the score of all rows there are, or the difference of two
           models: for rows, for related rows drawn by group, for few of them, for groups of very unequal size, for heavy-tailed
           and for unequal errors, and for rare positives
verdicts   on repeated comparisons of two models: how often a difference is claimed of two equal ones, and how often the better
           and the worse one is named where the true difference is two standard errors
"""

from __future__ import annotations

import argparse
import json
import os
import time
import tracemalloc
from collections.abc import Callable
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy is imported: one core for all

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats
from sklearn import metrics as sk

from seqloom.metrics import Task, default_metrics, score
from seqloom.stats import compare
from seqloom.verdict import verdict

N_ROWS, N_DRAWS, N_METRICS = 20_000, 1_000, 5
N_RIVAL_DRAWS = 5
MEGABYTE = 2**20

Array = NDArray[np.float64]
Loop = Callable[[Array, Array], object]

LOOPS: dict[Task, Loop] = {
    "regression": lambda y, p: (
        scipy_stats.spearmanr(y, p).statistic,
        scipy_stats.pearsonr(y[:, 0], p[:, 0]).statistic,
        sk.r2_score(y, p),
        sk.root_mean_squared_error(y, p),
        sk.mean_absolute_error(y, p),
    ),
    "binary": lambda y, p: (
        sk.roc_auc_score(y, p),
        sk.average_precision_score(y, p),
        sk.matthews_corrcoef(y[:, 0], p[:, 0] >= 0.5),
        sk.f1_score(y, p >= 0.5),
        sk.balanced_accuracy_score(y[:, 0], p[:, 0] >= 0.5),
    ),
    "multiclass": lambda y, p: (
        sk.f1_score(y, p.argmax(1), average="macro"),
        sk.accuracy_score(y, p.argmax(1)),
        sk.balanced_accuracy_score(y, p.argmax(1)),
        sk.matthews_corrcoef(y[:, 0], p.argmax(1)),
        sk.log_loss(y, p, labels=range(p.shape[1])),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[], help="speed, coverage, verdicts")
    parser.add_argument("--repeats", type=int, default=400, help="simulated tables for each figure of coverage")
    parser.add_argument(
        "--comparisons", type=int, default=200, help="simulated comparisons for each figure of verdicts"
    )
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--draws", type=int, default=N_DRAWS)
    arguments = parser.parse_args()
    parts = arguments.parts or ["speed", "coverage", "verdicts"]
    for task in LOOPS if "speed" in parts else ():
        measure(task, arguments.rows, arguments.draws)
    if "coverage" in parts:
        coverage(arguments.repeats)
    if "verdicts" in parts:
        verdicts(arguments.comparisons)


# --- how often intervals hold -----------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """Targets (N, 1), predictions of one model or of two, each (N, T), and the groups (N,) if rows are related."""

    y: Array
    p: list[Array]
    groups: NDArray[np.intp] | None = None


class Case(NamedTuple):
    """A table to simulate again and again: `n_rows` of `drawn`, in `n_groups` if these are not 0."""

    name: str
    task: Task
    metrics: tuple[str, ...]
    n_rows: int
    n_groups: int
    drawn: Callable[[Task, int, int, np.random.Generator], Rows]


def coverage(n_tables: int) -> None:
    """Share of simulated tables whose interval holds the score that all rows together would have."""
    for case in CASES:
        everyone = case.drawn(case.task, 400_000, case.n_groups and 20_000, np.random.default_rng(10**6))
        truth = {metric: truly(case.task, metric, everyone) for metric in case.metrics}
        held = dict.fromkeys(case.metrics, 0)
        for seed in range(n_tables):
            y, p, groups = case.drawn(case.task, case.n_rows, case.n_groups, np.random.default_rng(seed))
            predictions = {name: [[own]] for name, own in zip("ab", p, strict=False)}
            clusters = None if groups is None else [groups]
            found = compare(case.task, [y], predictions, case.metrics, clusters=clusters, seed=seed)
            for metric in case.metrics:
                interval = found.interval("a", metric) if len(p) == 1 else found.difference("a", "b", metric)
                held[metric] += interval.low <= truth[metric] <= interval.high
        for metric in case.metrics:
            line = {"figure": "coverage of 95 % intervals", "case": case.name, "task": case.task, "metric": metric}
            size = {"rows": case.n_rows, "groups": case.n_groups, "tables": n_tables}
            error = (0.95 * 0.05 / n_tables) ** 0.5
            share = {"value": round(held[metric] / n_tables, 4), "error": round(error, 4)}
            print(json.dumps(line | size | share), flush=True)


def truly(task: Task, metric: str, rows: Rows) -> float:
    """The score of the one model, or that of the first less that of the second."""
    first, *second = (score(metric, task, rows.y, p) for p in rows.p)
    return first - sum(second)


def normal(task: Task, n_rows: int, n_groups: int, rng: np.random.Generator) -> Rows:
    """A fair model; rows of a group share part of target and error."""
    return related(task, rng.integers(0, n_groups, n_rows) if n_groups else np.arange(n_rows), n_groups, rng)


def unequal_groups(task: Task, n_rows: int, n_groups: int, rng: np.random.Generator) -> Rows:
    """The same with the k-th group as large as 1 / k of the first; all rows there are have groups of one size."""
    shares = 1 / np.arange(1, n_groups + 1) ** (n_rows < 100_000)
    return related(task, rng.choice(n_groups, n_rows, p=shares / shares.sum()), n_groups, rng)


def related(task: Task, groups: NDArray[np.intp], n_groups: int, rng: np.random.Generator) -> Rows:
    groups, n_rows = np.sort(groups), len(groups)
    latent, noise = rng.normal(size=(n_rows, 1)), rng.normal(size=(n_rows, 1))
    if n_groups:
        own, error = rng.normal(size=(2, n_groups, 1))
        latent, noise = (latent + own[groups]) / 2**0.5, (noise + error[groups]) / 2**0.5
    return Rows(*of_task(task, latent, latent + noise), groups if n_groups else None)


def of_task(task: Task, latent: Array, seen: Array) -> tuple[Array, list[Array]]:
    """Targets and the model's predictions from what is and what the model sees."""
    if task == "regression":
        return latent, [seen]
    if task == "binary":
        return (latent > 1).astype(float), [1 / (1 + np.exp(1 - seen))]
    y = np.digitize(latent, [-1.0, 0.0, 1.0]).astype(float)
    p = np.exp(-((seen - np.array([-1.5, -0.5, 0.5, 1.5])) ** 2))
    return y, [p / p.sum(axis=1, keepdims=True)]


def heavy_tails(_task: Task, n_rows: int, _n_groups: int, rng: np.random.Generator) -> Rows:
    """Errors of Student's t with three degrees of freedom: the variance of a squared error is infinite."""
    y = rng.normal(size=(n_rows, 1))
    return Rows(y, [y + rng.standard_t(3, size=(n_rows, 1)) / 3**0.5])


def uneven_errors(_task: Task, n_rows: int, _n_groups: int, rng: np.random.Generator) -> Rows:
    """Errors that grow with the target."""
    y = rng.normal(size=(n_rows, 1))
    return Rows(y, [y + 0.7 * np.exp(y) * rng.normal(size=(n_rows, 1))])


def two_models(_task: Task, n_rows: int, _n_groups: int, rng: np.random.Generator) -> Rows:
    """Models that share half of their errors; the second's are larger."""
    y, shared, one, other = rng.normal(size=(4, n_rows, 1))
    return Rows(y, [y + 0.7 * (shared + one), y + 0.9 * (shared + other)])


def two_models_of_heavy_tails(_task: Task, n_rows: int, _n_groups: int, rng: np.random.Generator) -> Rows:
    """The same with errors of Student's t with three degrees of freedom."""
    y, (shared, one, other) = rng.normal(size=(n_rows, 1)), rng.standard_t(3, size=(3, n_rows, 1)) / 3**0.5
    return Rows(y, [y + 0.7 * (shared + one), y + 0.9 * (shared + other)])


CASES = (
    Case("normal", "regression", ("spearman", "pearson", "rmse", "mae", "r2"), 200, 0, normal),
    Case("normal", "regression", ("spearman", "pearson", "rmse"), 1_000, 0, normal),
    Case("normal", "regression", ("spearman", "rmse"), 30, 0, normal),
    Case("normal", "binary", ("auroc", "average_precision", "mcc", "f1", "brier"), 500, 0, normal),
    Case("normal", "multiclass", ("macro_f1", "accuracy", "mcc"), 500, 0, normal),
    Case("normal", "regression", ("spearman", "rmse"), 1_000, 50, normal),
    Case("normal", "regression", ("spearman", "rmse"), 400, 20, normal),
    Case("normal", "regression", ("spearman", "rmse"), 400, 10, normal),
    Case("normal", "binary", ("auroc",), 1_000, 50, normal),
    Case("unequal groups", "regression", ("spearman", "pearson", "rmse", "mae"), 1_000, 50, unequal_groups),
    Case("16 % positive", "binary", ("auroc", "average_precision", "f1"), 60, 0, normal),
    Case("heavy-tailed errors", "regression", ("spearman", "pearson", "rmse", "mae"), 200, 0, heavy_tails),
    Case("uneven errors", "regression", ("spearman", "rmse", "mae"), 200, 0, uneven_errors),
    Case("two models", "regression", ("spearman", "rmse", "mae"), 200, 0, two_models),
    Case("two models", "regression", ("spearman", "rmse", "mae"), 50, 0, two_models),
    Case("two models, heavy tails", "regression", ("spearman", "pearson", "rmse"), 200, 0, two_models_of_heavy_tails),
)


# --- how often a verdict is right ---------------------------------------------------------------------------------------


def verdicts(n_comparisons: int) -> None:
    """Claims of the verdict on two models of equal skill, and on two whose skill differs by two standard errors."""
    cases: tuple[tuple[Task, str, int], ...] = (
        ("regression", "spearman", 500),
        ("binary", "auroc", 500),
        ("regression", "spearman", 60),
    )
    for task, metric, n_rows in cases:
        unequal = 1.0
        for _ in range(3):  # a worse model also varies more
            seeds = range(10**4, 10**4 + 1000)
            spread = np.std([difference(rivals(task, n_rows, unequal, seed), task, metric) for seed in seeds])
            unequal = skill_for(task, metric, 2 * float(spread))
        for name, skill in (("two equal models", 1.0), ("a difference of two standard errors", unequal)):
            claims = {"better": 0, "worse": 0, "none": 0}
            for seed in range(n_comparisons):
                y, a, b = rivals(task, n_rows, skill, seed)
                words = verdict(compare(task, [y], {"a": [[a]], "b": [[b]]}, [metric], seed=seed))
                claims[
                    "better" if "a is better than b" in words else "worse" if "b is better than a" in words else "none"
                ] += 1
            line = {"figure": "claims of the verdict", "case": name, "task": task, "metric": metric, "rows": n_rows}
            shares = {claim: round(n / n_comparisons, 4) for claim, n in claims.items()}
            print(json.dumps({**line, "comparisons": n_comparisons, **shares}), flush=True)


def rivals(task: str, n_rows: int, skill: float, seed: int) -> tuple[Array, Array, Array]:
    """Targets and the predictions of two models with errors of their own; the second's are `skill` times as large."""
    rng = np.random.default_rng(seed)
    latent, shared, one, other = rng.normal(size=(4, n_rows, 1))
    a, b = latent + 0.7 * shared + 0.7 * one, latent + skill * (0.7 * shared + 0.7 * other)
    if task == "binary":
        return (latent > 0.5).astype(float), 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-b))
    return latent, a, b


def difference(rivals_: tuple[Array, Array, Array], task: Task, metric: str) -> float:
    """Score of the first model minus that of the second."""
    y, a, b = rivals_
    return score(metric, task, y, a) - score(metric, task, y, b)


def skill_for(task: Task, metric: str, wanted: float) -> float:
    """How much larger the second model's errors are for the first to be better by `wanted`, by halving on 200,000 rows."""
    low, high = 1.0, 4.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if difference(rivals(task, 200_000, middle, 7), task, metric) < wanted else (low, middle)
        )
    return (low + high) / 2


# --- what they cost -----------------------------------------------------------------------------------------------------


def measure(task: Task, n_rows: int, n_draws: int) -> None:
    """Time and memory of one variant, and time of ten on the same draws."""
    y, p = table(task, n_rows)
    names = default_metrics(task)[:N_METRICS]

    def intervals(n_variants: int) -> None:
        compare(task, [y], {f"v{i}": [[p]] for i in range(n_variants)}, names, draws=n_draws)

    one = seconds(lambda: intervals(1))
    rival = seconds(lambda: redraw(LOOPS[task], y, p)) / N_RIVAL_DRAWS * n_draws
    figure(f"intervals of {task}: {', '.join(names)}", one, "s", "scikit-learn on repeated rows", rival / one)
    ten = seconds(lambda: intervals(10))
    figure(f"ten variants of {task}", ten, "s", "ten times one variant", 10 * one / ten)
    tracemalloc.start()
    intervals(1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    figure(f"peak memory of {task}", peak / MEGABYTE, "MB", "all draws as float64", 8 * n_rows * n_draws / peak)


def table(task: Task, n_rows: int) -> tuple[Array, Array]:
    """Targets and predictions of a fair model."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(n_rows, 1))
    seen = latent + rng.normal(size=(n_rows, 1))
    if task == "regression":
        return latent, seen
    if task == "binary":
        return (latent > 1).astype(float), 1 / (1 + np.exp(1 - seen))
    y = np.digitize(latent, [-1.0, 0.0, 1.0]).astype(float)
    p = np.exp(-((seen - np.array([-1.5, -0.5, 0.5, 1.5])) ** 2))
    return y, p / p.sum(axis=1, keepdims=True)


def redraw(loop: Loop, y: Array, p: Array) -> None:
    """The bootstrap as it is usually written."""
    rng = np.random.default_rng(0)
    for _ in range(N_RIVAL_DRAWS):
        rows = rng.integers(0, len(y), len(y))
        loop(y[rows], p[rows])


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds, the better of two runs."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def figure(name: str, value: float, unit: str, against: str, ratio: float) -> None:
    """One line of the results."""
    line = {"figure": name, "value": round(value, 3), "unit": unit, "against": against, "ratio": round(ratio, 2)}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
