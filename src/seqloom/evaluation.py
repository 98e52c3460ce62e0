"""From predictions to a leaderboard: which metrics fit the target, what they are taken of, and the facts that are kept.

The metrics themselves are in `metrics`, their intervals in `stats`. A regression target with a threshold is scored twice: as
values, and as a search for the rows beyond the threshold. The primary metric is also taken within bands of identity between
test rows and their nearest training rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seqloom.config import ReportSection
from seqloom.metrics import METRICS, default_metrics, find_metric, score
from seqloom.run import Member, Run
from seqloom.split.audit import BANDS
from seqloom.stats import Comparison, VariantScores
from seqloom.stats import compare as compare_scores
from seqloom.target import Target
from seqloom.verdict import verdict

RANKING = ("auroc", "average_precision")
"""What a regression target with a threshold is scored by beside the metrics of values."""
BOOTSTRAP_SEED = 0
FEWEST_IN_BAND = 30
"""Test rows of a band of identity at least; neighbouring bands with fewer are merged."""
FEWEST_IN_FOLD = 10
"""The same on average over folds, in each of which a band is scored by itself."""

Predictions = Mapping[str, Sequence[Sequence[np.ndarray]]]


@dataclass(frozen=True)
class Evaluated:
    """All variants scored on the test rows."""

    target: Target
    metrics: tuple[str, ...]
    parts: Mapping[str, Comparison]  # the comparison each metric belongs to
    predictions: Predictions  # score scale, by variant, fold and seed

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
            "verdict": verdict(self.main, baselines),
            "baselines": sorted(baselines),
            "leaderboard": rows,
        }


def evaluate(
    target: Target,
    tests: Sequence[np.ndarray],
    predictions: Predictions,
    report: ReportSection,
    clusters: Sequence[np.ndarray] | None = None,
) -> Evaluated:
    """Scores of all variants. `tests`: targets per fold, score scale (N, columns); `predictions` likewise (N, T).

    `clusters`: per fold labels (N,) of related rows, which intervals draw together.
    """
    metrics = metrics_of(target, report.metrics)
    parts: dict[str, Comparison] = {}
    as_values = [metric for metric in metrics if not _ranks(target, metric)]
    as_search = [metric for metric in metrics if _ranks(target, metric)]
    if as_values:
        whole = compare_scores(
            target.task, tests, predictions, as_values, clusters=clusters, draws=report.draws, seed=BOOTSTRAP_SEED
        )
        parts |= dict.fromkeys(as_values, whole)
    if as_search:
        positives = [target.positives(scores) for scores in tests]
        ranked = {
            name: [[_search_score(target, p) for p in seeds] for seeds in folds] for name, folds in predictions.items()
        }
        whole = compare_scores(
            _search_task(target),
            positives,
            ranked,
            as_search,
            clusters=clusters,
            draws=report.draws,
            seed=BOOTSTRAP_SEED,
        )
        parts |= dict.fromkeys(as_search, whole)
    return Evaluated(target, metrics, parts, predictions)


def evaluate_single(target: Target, scores: np.ndarray, predicted: np.ndarray, report: ReportSection) -> dict[str, Any]:
    """Metrics with intervals of one set of predictions (N, T) for targets (N, columns), both on the score scale."""
    evaluated = evaluate(target, [scores], {"run": [[predicted]]}, report)
    return {
        "task": target.task,
        "primary": evaluated.metrics[0],
        "scale": target.scale_name,
        "resampled": evaluated.main.resampled,
        "metrics": evaluated.scores("run")["metrics"],
    }


def scores_by_identity(
    evaluated: Evaluated,
    tests: Sequence[np.ndarray],
    identities: Sequence[np.ndarray],
    report: ReportSection,
    clusters: Sequence[np.ndarray] | None = None,
    *,
    inner: int = 1,
    likeness: str = "identity",
) -> dict[str, Any]:
    """What `leaderboard.json` says of the primary metric within bands of identity to the nearest training row.

    `identities`: per fold float (N,), NaN for test rows that were not looked at; these are left out and counted. `tests` and
    `clusters` as for `evaluate`. `inner`: folds in a row that test the same rows. A band holds its lower end, and the last one
    its upper end too. Where fewer than two bands are left, `by_identity` is empty and a note says why.
    """
    known = [~np.isnan(scores).all(axis=1) for scores in tests]
    looked_at = [own & np.isfinite(identity) for own, identity in zip(known, identities, strict=True)]
    n_all, n_looked_at = (sum(int(own.sum()) for own in each) // inner for each in (known, looked_at))
    place = [np.searchsorted(np.array(BANDS) - 1e-6, each, side="right") - 1 for each in identities]
    inside = np.concatenate([each[own] for each, own in zip(place, looked_at, strict=True)])
    counts = np.bincount(inside, minlength=len(BANDS)) // inner
    fewest = max(FEWEST_IN_BAND, FEWEST_IN_FOLD * len(tests) // inner)
    bands = _merged(counts, fewest)
    scored = []
    for first, last in bands if len(bands) > 1 else ():
        chosen = [own & (first <= at) & (at <= last) for own, at in zip(looked_at, place, strict=True)]
        scored.append(
            {
                "from": BANDS[first],
                "to": (*BANDS, BANDS[-1])[last + 1],
                "rows": int(counts[first : last + 1].sum()),
                **_scores_of_rows(evaluated, tests, chosen, report, clusters),
            }
        )
    return {
        "by_identity": scored,
        "by_identity_left_out": n_all - n_looked_at,
        "by_identity_note": _why_no_bands(counts, fewest, likeness) if len(bands) < 2 else "",
    }


def _merged(counts: np.ndarray, fewest: int) -> list[tuple[int, int]]:
    """First and last of the bands that make each merged band: the smallest joins its smaller neighbour until all have enough.

    Bands without rows are passed over, so that a merged band ends where there are rows.
    """
    bands = [(int(band), int(band), int(counts[band])) for band in np.flatnonzero(counts)]
    while len(bands) > 1 and min(n for *_, n in bands) < fewest:
        least = min(range(len(bands)), key=lambda at: bands[at][2])
        beside = [at for at in (least - 1, least + 1) if 0 <= at < len(bands)]
        low, high = sorted((least, min(beside, key=lambda at: bands[at][2])))
        bands[low : high + 1] = [(bands[low][0], bands[high][1], bands[low][2] + bands[high][2])]
    return [(first, last) for first, last, _ in bands]


def _scores_of_rows(
    evaluated: Evaluated,
    tests: Sequence[np.ndarray],
    chosen: Sequence[np.ndarray],
    report: ReportSection,
    clusters: Sequence[np.ndarray] | None,
) -> dict[str, Any]:
    """The primary metric of every variant on the chosen rows, bool (N,) per fold, best variant of the whole first."""
    primary = evaluated.metrics[0]
    part = evaluate(
        evaluated.target,
        [scores[own] for scores, own in zip(tests, chosen, strict=True)],
        {
            name: [[p[own] for p in seeds] for seeds, own in zip(folds, chosen, strict=True)]
            for name, folds in evaluated.predictions.items()
        },
        report.model_copy(update={"metrics": (primary,)}),
        None if clusters is None else [labels[own] for labels, own in zip(clusters, chosen, strict=True)],
    ).main
    return {
        "resampled": part.resampled,
        "notes": list(part.notes),
        "scores": {name: part.interval(name).as_json() for name in evaluated.main.order},
    }


def _why_no_bands(counts: np.ndarray, fewest: int, likeness: str) -> str:
    held = np.flatnonzero(counts)
    if not len(held):
        return "no test row was compared with training rows, so there are no scores by band"
    what = f"of {likeness} to the nearest training row"
    if len(held) > 1:
        return f"too few test rows for scores by band {what}: of {counts.sum():,}, no two bands have {fewest} each"
    low, high = BANDS[held[0]], (*BANDS, BANDS[-1])[held[0] + 1]
    where = f"{low:.0%} to {high:.0%}" if low < high else f"{high:.0%}"
    return f"all {counts.sum():,} test rows lie in one band {what} ({where}), so there are no scores by band"


def metrics_of(target: Target, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """The metrics asked for, or those usual for the target; ConfigError for one that does not fit it."""
    usual = (*default_metrics(target.task), *(RANKING if target.threshold_sign else ()))
    metrics = tuple(asked) or usual
    for metric in metrics:
        if not _ranks(target, metric):
            find_metric(metric, target.task)
    return metrics


def score_of(target: Target, asked: Sequence[str]) -> Callable[[np.ndarray, np.ndarray], float]:
    """The primary metric as a function of model-scale targets (N, columns) and outputs (N, T); NaN where undefined."""
    metric = metrics_of(target, asked)[0]

    def primary(y: np.ndarray, outputs: np.ndarray) -> float:
        scores, predicted = target.from_model(y), target.from_model(outputs)
        if _ranks(target, metric):
            return score(metric, _search_task(target), target.positives(scores), _search_score(target, predicted))
        return score(metric, target.task, scores, predicted)

    return primary


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
    kept = [int(np.argmin(curve["valid_loss"].to_numpy())) for curve in curves]
    return {
        "last": float(np.mean([test[-1] for test in tests])),
        "early_stopped": float(np.mean([test[epoch] for test, epoch in zip(tests, kept, strict=True)])),
        "best_on_test": float(np.mean([best(test) for test in tests])),
    }


def _ensemble(merged: Mapping[str, VariantScores]) -> dict[str, Any] | None:
    found = {metric: own.ensemble[metric].as_json() for metric, own in merged.items() if own.ensemble is not None}
    return found or None


def _ranks(target: Target, metric: str) -> bool:
    return bool(target.threshold_sign) and metric in RANKING


def _search_task(target: Target) -> Literal["binary", "multilabel"]:
    return "binary" if len(target.columns) == 1 else "multilabel"


def _search_score(target: Target, predicted: np.ndarray) -> np.ndarray:
    """Higher = more likely beyond the threshold."""
    return target.threshold_sign * target.to_original(predicted)
