"""Average precision of large libraries: what it costs, and how often its intervals hold.

`python bench/ranking.py [device] [draws] [coverage]` prints one JSON line per figure (all three without a name).

device     average precision of 500,000 rows and three targets by `training.ranking` on the CPU, against scikit-learn, one core
draws      1,000 draws of four models and three targets on 400,000 rows, their mean and all targets pooled: seconds of one core
coverage   how often 95 % intervals hold the score that a library of other blocks has, and the difference of two models there:
           those of `large.scores`, of the draws as they are, and of rows drawn as if independent. Molecules of three components;
           what binds, and what a model gets wrong, is of single blocks, of pairs of them and of the molecule, in three mixtures
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy and torch are imported: one core for all

import numpy as np
import torch
from figures import medians, report
from sklearn.metrics import average_precision_score

from seqloom.large.scores import Scored, score
from seqloom.resample import Floats
from seqloom.training.ranking import average_precision

TIMES_FASTER, SECONDS = 2.5, 120.0
N_DRAWS = 200
"""For each simulated library."""
EVERYONE = (3_000, 3_000, 3_000), 1_000_000


def main() -> None:
    parts: dict[str, Callable[[int], None]] = {"device": on_device, "draws": draws, "coverage": coverage}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[], help=", ".join(parts))
    parser.add_argument("--libraries", type=int, default=400, help="simulated for each figure of coverage")
    arguments = parser.parse_args()
    for name in arguments.parts or parts:
        parts[name](arguments.libraries)


def on_device(_: int) -> None:
    """Against scikit-learn, target by target."""
    y, scores, _ = random_rows(500_000)
    p = 1 / (1 + np.exp(-scores))
    y_there, p_there = torch.from_numpy(y), torch.from_numpy(p)
    wanted = [average_precision_score(y[:, t], p[:, t]) for t in range(3)]
    error = float(np.abs(average_precision(p_there, y_there).numpy() - wanted).max())
    taken = medians(
        {
            "ours": lambda: average_precision(p_there, y_there),
            "rival": lambda: [average_precision_score(y[:, t], p[:, t]) for t in range(3)],
        }
    )
    protocol = (
        "500,000 rows, 3 targets, 1 % positive, float32, CPU, one core, medians of 5 in turns; rival scikit-learn"
    )
    ratio = taken["rival"] / taken["ours"]
    report(
        "device",
        ratio,
        "times faster",
        TIMES_FASTER,
        protocol,
        at_least=True,
        seconds=round(taken["ours"], 4),
        error=error,
    )


def draws(_: int) -> None:
    """The whole of `score`, sorting included."""
    y, scores, levels = random_rows(400_000)
    rng = np.random.default_rng(1)
    p = {name: scores + rng.normal(size=y.shape).astype(np.float32) * 0.3 for name in "abcd"}
    started = time.process_time()
    score(y, p, levels, targets=("a", "b", "c"), draws=1000)
    protocol = (
        "400,000 rows of three components, 1 % positive, 4 models, 3 targets, mean and micro, 1,000 draws, one core"
    )
    report("draws", time.process_time() - started, "s", SECONDS, protocol)


def random_rows(n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets and scores float32 (N, 3), levels (N, 3)."""
    rng = np.random.default_rng(0)
    y = (rng.random((n_rows, 3)) < 0.01).astype(np.float32)
    scores = (rng.normal(size=y.shape) + 2 * y).astype(np.float32)
    return y, scores, rng.integers(0, (60, 300, 400), size=(n_rows, 3))


# --- how often intervals hold -----------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A library to simulate: levels of its components, rows, and how much of what binds is of block, pair and molecule."""

    name: str
    sizes: tuple[int, int, int]
    n_rows: int
    block: float
    pair: float
    molecule: float


CASES = (
    Case("blocks decide", (30, 80, 80), 10_000, 0.55, 0.15, 0.2),
    Case("molecules decide", (30, 80, 80), 10_000, 0.2, 0.4, 0.65),
    Case("all decide", (100, 200, 200), 20_000, 0.4, 0.35, 0.3),
)
NOISE, RATE = 0.8, 0.01


def coverage(n_libraries: int) -> None:
    """Share of libraries whose interval holds the truth, and how wide intervals are on average."""
    for case in CASES:
        binds, models, _ = library(case, *EVERYONE, seed=10**6)
        cut = float(np.quantile(binds, 1 - RATE))
        y = (binds > cut).astype(np.float32)[:, None]
        everyone = score(y, models, np.zeros((len(y), 0), int), targets=["y"], draws=0)
        truth = {"score": everyone.value("a", "y"), "difference": everyone.difference("a", "b", "y")[0]}
        found: dict[tuple[str, str], list[tuple[bool, float]]] = {}
        for seed in range(n_libraries):
            binds, models, levels = library(case, case.sizes, case.n_rows, seed)
            y = (binds > cut).astype(np.float32)[:, None]
            blocks = score(y, models, levels, targets=["y"], draws=N_DRAWS, seed=seed)
            rows = score(y, models, levels[:, :0], targets=["y"], draws=N_DRAWS, seed=seed)
            for how, ends in (("ours", _ends(blocks)), ("draws as they are", _plain(blocks)), ("rows", _ends(rows))):
                for what, (low, high) in ends.items():
                    found.setdefault((how, what), []).append((low <= truth[what] <= high, high - low))
        for what in truth:
            held, width = np.mean(found["ours", what], axis=0).tolist()
            others = {
                how: {"held": round(own[0], 3), "width": round(own[1], 3)}
                for how in ("draws as they are", "rows")
                for own in [np.mean(found[how, what], axis=0).tolist()]
            }
            protocol = f"{n_libraries} libraries of {case.sizes} blocks, {case.n_rows:,} rows, {RATE:.0%} positive"
            report(
                f"coverage, {case.name}, {what}",
                held,
                "of intervals",
                None,
                protocol,
                width=round(width, 3),
                draws=N_DRAWS,
                **others,
            )


def _ends(scored: Scored) -> dict[str, tuple[float, float]]:
    return {"score": scored.interval("a", "y"), "difference": scored.difference("a", "b", "y")[1:]}


def _plain(scored: Scored) -> dict[str, tuple[float, float]]:
    """The middle 95 % of the draws."""
    drawn = {"score": scored.draws[:, 0, 0], "difference": scored.draws[:, 0, 0] - scored.draws[:, 1, 0]}
    return {name: (float(np.quantile(each, 0.025)), float(np.quantile(each, 0.975))) for name, each in drawn.items()}


def library(
    case: Case, sizes: tuple[int, int, int], n_rows: int, seed: int
) -> tuple[Floats, dict[str, Floats], np.ndarray]:
    """How well each row binds, float64 (N,), what two models say of it, (N, 1) each, and levels (N, 3)."""
    rng = np.random.default_rng(seed)
    levels = np.stack([rng.integers(0, n, n_rows) for n in sizes], axis=1)

    def of_blocks() -> Floats:
        return np.sum([rng.normal(size=n)[levels[:, k]] for k, n in enumerate(sizes)], axis=0)

    binds = case.block * of_blocks() + case.molecule * rng.normal(size=n_rows)
    for j, k in ((0, 1), (1, 2), (0, 2)):
        pairs = np.unique(levels[:, j] * sizes[k] + levels[:, k], return_inverse=True)[1]
        binds += case.pair * rng.normal(size=pairs.max() + 1)[pairs]
    both = of_blocks()  # what both models get wrong of the same blocks
    models = {
        name: (binds + NOISE * (0.42 * both + 0.3 * of_blocks() + 0.5 * rng.normal(size=n_rows)))[:, None]
        for name in "ab"
    }
    return binds, models, levels


if __name__ == "__main__":
    main()
