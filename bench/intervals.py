"""Bootstrap intervals: 1,000 draws of 20,000 rows and five metrics, against a loop of scikit-learn over the draws.

One JSON line per figure on standard output. The rival is timed on a few draws of the same rows and multiplied up;
both run in this process on one core.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats
from sklearn import metrics as sk
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from seqloom.metrics import Task, default_metrics
from seqloom.stats import compare

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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--draws", type=int, default=N_DRAWS)
    arguments = parser.parse_args()
    with threadpool_limits(1):
        for task in LOOPS:
            measure(task, arguments.rows, arguments.draws)


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
