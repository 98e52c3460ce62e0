"""From predictions to a leaderboard: which metrics fit the target, what they are taken of, and the facts that are kept.

The metrics themselves are in `metrics`, their intervals in `stats`, scores of parts of the test rows in `slices`. A regression
target with a threshold is scored twice: as values, and as a search for the rows beyond the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seqloom.chance import FEW_ROWS, PERMUTATIONS, Chance, by_chance
from seqloom.metrics import METRICS, Task, default_metrics, find_metric, score
from seqloom.run import Member, Run
from seqloom.sections import ReportSection
from seqloom.stats import Comparison, VariantScores
from seqloom.stats import compare as compare_scores
from seqloom.target import Target
from seqloom.verdict import verdict

RANKING = ("auroc", "average_precision")
"""What a regression target with a threshold is scored by beside the metrics of values."""
SEARCHES = (*RANKING, "bedroc", "enrichment")
"""Metrics of the order in which predictions put rows beyond the threshold and the others."""
CALLS = ("f1", "mcc", "balanced_accuracy", "accuracy")
"""Metrics of calling rows beyond the threshold by the side of it their predictions lie on."""
BOOTSTRAP_SEED = 0
FEWEST_PERMUTATIONS = 100

Predictions = Mapping[str, Sequence[Sequence[np.ndarray]]]


@dataclass(frozen=True)
class Evaluated:
    """All variants scored on the test rows."""

    target: Target
    metrics: tuple[str, ...]
    parts: Mapping[str, Comparison]  # the comparison each metric belongs to
    predictions: Predictions  # score scale, by variant, fold and seed
    by_chance: Mapping[str, Chance] = field(default_factory=dict)
    """Of few test rows: the primary metric of the best model against permuted targets."""
    bounds: Sequence[np.ndarray] | None = None
    """Per fold int8 (N, columns): where true scores lie, as `evaluate` was told."""

    @property
    def main(self) -> Comparison:
        """The comparison of the primary metric."""
        return self.parts[self.metrics[0]]

    def scores(self, variant: str) -> dict[str, Any]:
        """Intervals of every metric, and of the ensemble of seeds."""
        merged = {metric: self.parts[metric].scores(variant) for metric in self.metrics}
        return {
            "metrics": {metric: own.metrics[metric].as_json() for metric, own in merged.items()},
            "ensemble": _ensemble(merged),
        }

    def members(self, variant: str) -> list[dict[str, float]]:
        """The metrics of every member, fold by fold, seed by seed."""
        merged = {metric: self.parts[metric].scores(variant).members for metric in self.metrics}
        return [
            {metric: merged[metric][index].metrics[metric] for metric in self.metrics}
            for index in range(len(merged[self.metrics[0]]))
        ]

    def leaderboard_json(
        self,
        command: str,
        folder: Path,
        seconds: float,
        baselines: Collection[str],
        changes: Mapping[str, Any],
        fit_seconds: Mapping[str, float],
    ) -> dict[str, Any]:
        """`leaderboard.json`, best variant first."""
        rows = [
            {
                "variant": row["variant"],
                "baseline": row["variant"] in baselines,
                "members": row["members"],
                **self.scores(row["variant"]),
                "differences": row["differences"],
                "seconds": round(fit_seconds[row["variant"]], 3),
                "changes": changes[row["variant"]],
            }
            for row in self.main.as_json()
        ]
        return {
            "command": command,
            "path": folder.as_posix(),
            "seconds": round(seconds, 3),
            "task": self.target.task,
            "primary": self.metrics[0],
            "scale": self.target.scale_name,
            "metrics": list(self.metrics),
            "higher_is_better": {metric: METRICS[metric].higher_is_better for metric in self.metrics},
            "draws": self.main.n_draws,
            "resampled": self.main.resampled,
            "notes": list(dict.fromkeys(note for part in self.parts.values() for note in part.notes)),
            "by_chance": {name: each.as_json() for name, each in self.by_chance.items()},
            "verdict": verdict(self.main, baselines, self.by_chance),
            "baselines": sorted(baselines),
            "leaderboard": rows,
        }


def evaluate(
    target: Target,
    tests: Sequence[np.ndarray],
    predictions: Predictions,
    report: ReportSection,
    clusters: Sequence[np.ndarray] | None = None,
    bounds: Sequence[np.ndarray] | None = None,
    *,
    permute: Collection[str] = (),
) -> Evaluated:
    """Scores of all variants. `tests`: targets per fold, score scale (N, columns); `predictions` likewise (N, T).

    `clusters`: per fold labels (N,) of related rows, which intervals draw together. `bounds`: per fold int8 (N, columns), where
    true scores lie; None where targets are no bounds. `permute`: the best of these variants is held against
    permuted targets as well, where rows are few.
    """
    metrics = metrics_of(target, report.metrics)
    parts: dict[str, Comparison] = {}
    as_values = [metric for metric in metrics if not _of_threshold(target, metric)]
    as_search = [metric for metric in metrics if _of_threshold(target, metric)]
    if as_values:
        whole = compare_scores(
            target.task,
            tests,
            predictions,
            as_values,
            clusters=clusters,
            draws=report.draws,
            seed=BOOTSTRAP_SEED,
            bounds=bounds,
        )
        parts |= dict.fromkeys(as_values, whole)
    positives = _positives(target, tests, bounds) if as_search else []
    for kinds in (SEARCHES, CALLS):
        own = [metric for metric in as_search if metric in kinds]
        if not own:
            continue
        beyond = {
            name: [[_beyond(target, p, own[0]) for p in seeds] for seeds in folds]
            for name, folds in predictions.items()
        }
        whole = compare_scores(
            _search_task(target), positives, beyond, own, clusters=clusters, draws=report.draws, seed=BOOTSTRAP_SEED
        )
        undecided = _undecided(tests, positives, own)
        parts |= dict.fromkeys(own, replace(whole, notes=(*whole.notes, *undecided)))
    main = parts[metrics[0]]
    best = [name for name in main.order if name in permute and clusters is None and main.n_units < FEW_ROWS][:1]
    by_chance = _by_chance(target, tests, {name: predictions[name] for name in best}, metrics, bounds)
    return Evaluated(target, metrics, parts, predictions, by_chance, bounds)


def _positives(target: Target, tests: Sequence[np.ndarray], bounds: Sequence[np.ndarray] | None) -> list[np.ndarray]:
    """0/1/NaN per fold (N, columns): on which side of the threshold true scores lie."""
    own = bounds if bounds is not None else [None] * len(tests)
    return [target.positives(scores, each) for scores, each in zip(tests, own, strict=True)]


def _undecided(tests: Sequence[np.ndarray], positives: Sequence[np.ndarray], metrics: Sequence[str]) -> list[str]:
    """A note on rows whose bounds leave open on which side of the threshold they lie."""
    known = [~np.isnan(scores).all(axis=1) for scores in tests]
    n = sum(int((own & np.isnan(held).all(axis=1)).sum()) for own, held in zip(known, positives, strict=True))
    n_known = sum(int(own.sum()) for own in known)
    what = (
        f"{n:,} of {n_known:,} test rows are left out, whose bounds do not tell on which side of the threshold they lie"
    )
    return [f"{', '.join(metrics)}: {what}"] if n else []


def _by_chance(
    target: Target,
    tests: Sequence[np.ndarray],
    predictions: Predictions,
    metrics: Sequence[str],
    bounds: Sequence[np.ndarray] | None,
) -> dict[str, Chance]:
    """The primary metric of the mean prediction of each variant against permuted targets, of measured rows."""
    metric = metrics[0]
    task, y, left = as_scored(target, metric, tests, bounds)
    if left is not None:
        y = [np.where(own == 0, scores, np.nan) for scores, own in zip(y, left, strict=True)]
    found = {}
    for name, folds in predictions.items():
        means = [predicted_as_scored(target, metric, np.mean(seeds, axis=0)) for seeds in folds]
        n = max(PERMUTATIONS // len(target.columns), FEWEST_PERMUTATIONS)  # the mean of many columns varies little
        found[name] = by_chance(metric, task, y, means, n=n)
    return found


def as_scored(
    target: Target, metric: str, tests: Sequence[np.ndarray], bounds: Sequence[np.ndarray] | None
) -> tuple[Task, list[np.ndarray], Sequence[np.ndarray] | None]:
    """What a metric is taken of: task, targets per fold (N, columns), and bounds, if they are still to be answered for.

    Targets of a metric of the threshold are 0 or 1, NaN where a bound does not tell.
    """
    if _of_threshold(target, metric):
        return _search_task(target), _positives(target, tests, bounds), None
    return target.task, list(tests), bounds


def predicted_as_scored(target: Target, metric: str, predicted: np.ndarray) -> np.ndarray:
    """Predictions (N, T) on the score scale as the metric wants them."""
    return _beyond(target, predicted, metric) if _of_threshold(target, metric) else predicted


def evaluate_single(
    target: Target,
    scores: np.ndarray,
    predicted: np.ndarray,
    report: ReportSection,
    bounds: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
) -> dict[str, Any]:
    """Metrics with intervals of one set of predictions (N, T) for targets (N, columns), both on the score scale; `bounds` (N,
    columns) and `clusters` (N,) as for `evaluate`."""
    given = [None if each is None else [each] for each in (clusters, bounds)]
    evaluated = evaluate(target, [scores], {"run": [[predicted]]}, report, given[0], bounds=given[1])
    return {
        "task": target.task,
        "primary": evaluated.metrics[0],
        "scale": target.scale_name,
        "resampled": evaluated.main.resampled,
        "metrics": evaluated.scores("run")["metrics"],
        "notes": list(dict.fromkeys(note for part in evaluated.parts.values() for note in part.notes)),
    }


def metrics_of(target: Target, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """The metrics asked for, or those usual for the target; ConfigError for one that does not fit it."""
    usual = (*default_metrics(target.task), *(RANKING if target.threshold_sign else ()))
    metrics = tuple(asked) or usual
    for metric in metrics:
        if not _of_threshold(target, metric):
            find_metric(metric, target.task)
    return metrics


def score_of(target: Target, asked: Sequence[str]) -> Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]:
    """The primary metric as a function of model-scale targets (N, columns), outputs (N, T), and bounds (N, columns) if there are
    any; NaN where undefined."""

    def primary(y: np.ndarray, outputs: np.ndarray, bounds: np.ndarray | None) -> float:
        return primary_score(target, asked, target.from_model(y), target.from_model(outputs), bounds)

    return primary


def primary_score(
    target: Target, asked: Sequence[str], scores: np.ndarray, predicted: np.ndarray, bounds: np.ndarray | None
) -> float:
    """The primary metric of predictions (N, T) for targets (N, columns), both on the score scale; NaN where undefined."""
    metric = metrics_of(target, asked)[0]
    task, (own,), left = as_scored(target, metric, [scores], None if bounds is None else [bounds])
    return score(metric, task, own, predicted_as_scored(target, metric, predicted), None if left is None else left[0])


def on_scale_of(common: Target, own: Target, scores: np.ndarray) -> np.ndarray:
    """Predictions on the score scale all variants are compared on, whatever transform each was trained with."""
    return scores if own.transform == common.transform else common.to_score(own.to_original(scores))


def run_metrics(evaluated: Evaluated, run: Run, members: Sequence[Member]) -> dict[str, Any]:
    """`metrics.json` of a run: members, intervals, and what its curves say of other epochs."""
    name = run.variant.name
    return {
        "variant": name,
        "task": evaluated.target.task,
        "primary": evaluated.metrics[0],
        "scale": evaluated.target.scale_name,
        "members": [
            {"fold": member.fold, "seed": member.seed, "metrics": scores}
            for member, scores in zip(members, evaluated.members(name), strict=True)
        ],
        **evaluated.scores(name),
        "curve": _curve(run, members, evaluated),
    }


def _curve(run: Run, members: Sequence[Member], evaluated: Evaluated) -> dict[str, float | None] | None:
    """The primary metric at the last epoch, at the epoch kept, and (optimistic) at the epoch best on test rows.

    All three are of the rows that curves watch (at most `predict.net.MONITOR_ROWS`), so that they compare.
    """
    import pyarrow.parquet as pq

    paths = [run.member_folder(member) / "curves.parquet" for member in members]
    if not all(path.exists() for path in paths):
        return None
    best = np.nanmax if METRICS[evaluated.metrics[0]].higher_is_better else np.nanmin
    curves = [pq.read_table(path) for path in paths]
    tests = [curve["test_score"].to_numpy() for curve in curves]
    if not all(np.isfinite(test).any() for test in tests):
        return None
    kept = [int(np.nanargmin(curve["valid_loss"].to_numpy())) for curve in curves]
    return {
        "last": float(np.mean([test[-1] for test in tests])),
        "early_stopped": float(np.mean([test[epoch] for test, epoch in zip(tests, kept, strict=True)])),
        "best_on_test": float(np.mean([best(test) for test in tests])),
    }


def _ensemble(merged: Mapping[str, VariantScores]) -> dict[str, Any] | None:
    found = {metric: own.ensemble[metric].as_json() for metric, own in merged.items() if own.ensemble is not None}
    return found or None


def _of_threshold(target: Target, metric: str) -> bool:
    return bool(target.threshold_sign) and metric in (*SEARCHES, *CALLS)


def _search_task(target: Target) -> Literal["binary", "multilabel"]:
    return "binary" if len(target.columns) == 1 else "multilabel"


def _beyond(target: Target, predicted: np.ndarray, metric: str) -> np.ndarray:
    """How far predictions (N, T) lie beyond the threshold; for metrics of calls, in 0..1 with the threshold just below 0.5.

    Both are lines, so that the mean of several predictions is what is said of their mean.
    """
    beyond = target.beyond(predicted)
    if metric not in CALLS:
        return beyond
    share = np.clip(0.5 + beyond / (1000 * max(abs(target.cut), 1.0)), 0.0, 1.0)
    return np.where(beyond > 0, np.maximum(share, 0.5), np.minimum(share, np.nextafter(0.5, 0.0)))
