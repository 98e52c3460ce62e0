"""What a run or experiment folder holds, finished or not, read into frozen values.

Decides what counts as planned and finished. Nothing is scored anew here: scores and intervals are those the folder holds.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow.compute as pc

from seqloom.errors import RunError
from seqloom.metrics import METRICS, default_metrics
from seqloom.report.members import Curves, Predictions, damaged, read_curves, read_predictions, read_table
from seqloom.stats import Interval

N_NAMED_ROWS = 5
CONFUSION = "confusion.json"
"""Holds the thresholds that confusion matrices were asked for, and the matrices."""


@dataclass(frozen=True)
class RunFacts:
    """One variant: its settings, how far it is, and its scores once it is finished."""

    name: str
    folder: Path
    settings: str
    """`resolved.toml` as text; empty without one."""
    resolved: Mapping[str, Any]
    finished: tuple[tuple[int, int], ...]
    """Fold and seed of every finished member."""
    planned: int
    """Members to fit; the most there can be as long as the run is not evaluated."""
    evaluated: bool
    baseline: bool = False
    scores: Mapping[str, Interval] = field(default_factory=dict)
    ensemble: Mapping[str, Interval] = field(default_factory=dict)
    differences: Mapping[str, Interval] = field(default_factory=dict)
    """By name of another variant: this one minus that one in the primary metric."""
    changes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    seconds: float | None = None
    curve: Mapping[str, float | None] | None = None
    """The primary metric at the `last` epoch, at the one kept (`early_stopped`), and at the `best_on_test`."""
    valid_scores: tuple[float, ...] = ()
    """The primary metric on valid rows of every finished member, NaN where undefined."""
    calibrators: tuple[Mapping[str, Any], ...] = ()
    """Of every member: `fold`, `seed`, `method`, `why`; empty for a regression."""

    @cached_property
    def uncertainty(self) -> Mapping[str, Any]:
        """What is known of the run's errors; empty if it was not measured."""
        return _json(self.folder / "uncertainty.json")

    @cached_property
    def predictions(self) -> Predictions | None:
        """Predictions of test rows; None as long as there are none."""
        return read_predictions(self.folder / "predictions.parquet")

    @cached_property
    def curves(self) -> Curves | None:
        """Losses and scores by epoch; None without a net."""
        return read_curves(self.folder)


@dataclass(frozen=True)
class Facts:
    """All that a report is made of. What the folder lacks is empty."""

    folder: Path
    kind: Literal["experiment", "run"]
    runs: tuple[RunFacts, ...]
    """Best first once they are evaluated."""
    verdict: str
    """Empty as long as nothing was compared."""
    task: str
    primary: str
    metrics: tuple[str, ...]
    board: Mapping[str, Any]
    data: Mapping[str, Any]
    audit: Mapping[str, Any]
    environment: Mapping[str, Any]
    config: str
    """What the user wrote; empty without an experiment file."""
    unused: tuple[Mapping[str, Any], ...]
    """Per reason: `reason`, `count`, `ids` of the first rows."""
    thresholds: tuple[tuple[float, ...], ...] = ()
    """What confusion matrices of a regression were asked for, each by the thresholds between its classes."""
    order: tuple[str, ...] = ()
    """Names of the variants as the settings have them."""

    @property
    def n_folds(self) -> int:
        """Folds of the partition; 0 if that is unknown."""
        return len(self.audit.get("folds", ()))

    @property
    def finished(self) -> int:
        """Members that are done, over all variants."""
        return sum(len(run.finished) for run in self.runs)

    @property
    def planned(self) -> int:
        """Members to fit, over all variants."""
        return sum(run.planned for run in self.runs)

    @property
    def log(self) -> bool:
        """Whether the target is learnt as a logarithm."""
        return str((self.data.get("target") or {}).get("transform", "")).startswith("log")

    @property
    def complete(self) -> bool:
        """Whether every variant is evaluated."""
        return bool(self.runs) and all(run.evaluated for run in self.runs)

    def higher_is_better(self, metric: str) -> bool:
        """Direction of a metric."""
        known: Mapping[str, bool] = self.board.get("higher_is_better", {})
        return known[metric] if metric in known else metric not in METRICS or METRICS[metric].higher_is_better


def read_facts(folder: Path) -> Facts:
    """The facts of an experiment or run folder; RunError if it is neither, or a file in it is damaged."""
    folder = folder.resolve()
    board, audit = _json(folder / "leaderboard.json"), _json(folder / "audit.json")
    n_folds = len(audit.get("folds", ()))
    kind, runs = _runs(folder, board, n_folds)
    rows = {row["variant"]: row for row in board.get("leaderboard", ())}
    runs = tuple(_scored(run, rows.get(run.name)) for run in runs)
    places = {name: place for place, name in enumerate(rows)}
    runs = tuple(sorted(runs, key=lambda run: places.get(run.name, len(places))))
    of_run = next((facts for facts in (_json(run.folder / "metrics.json") for run in runs) if facts), {})
    data = _json(folder / "data.json")
    return Facts(
        folder=folder,
        kind=kind,
        runs=runs,
        verdict=board.get("verdict", ""),
        task=board.get("task") or of_run.get("task") or (data.get("target") or {}).get("task", ""),
        primary=board.get("primary") or of_run.get("primary") or _usual_metric(runs, data),
        metrics=tuple(board.get("metrics") or of_run.get("metrics", {})),
        board=board,
        data=data,
        audit=audit,
        environment=_json(folder / "environment.json"),
        config=_text(folder / "config.toml"),
        unused=_unused(folder / "partition.parquet", audit),
        thresholds=tuple(map(tuple, _json(folder / CONFUSION).get("thresholds", ()))),
        order=tuple(_toml(folder / "resolved.toml").get("experiment", ())) or tuple(run.name for run in runs),
    )


def interval(score: Mapping[str, float | None]) -> Interval:
    """The interval written as `value`, `low`, `high`; null is NaN."""
    return Interval(
        *(math.nan if score.get(key) is None else float(score[key] or 0) for key in ("value", "low", "high"))
    )


def _runs(
    folder: Path, board: Mapping[str, Any], n_folds: int
) -> tuple[Literal["experiment", "run"], tuple[RunFacts, ...]]:
    resolved = _toml(folder / "resolved.toml")
    names = [row["variant"] for row in board.get("leaderboard", ())]
    if "experiment" in resolved or (not resolved and any(_is_run(folder / name) for name in names)):
        wanted = {**dict.fromkeys(names), **resolved.get("experiment", {})}
        return "experiment", tuple(_run(name, folder / name, n_folds, wanted[name]) for name in wanted)
    if not _is_run(folder):
        raise RunError(
            f"{folder}: not a run or experiment folder (it has no resolved.toml);"
            " name the folder that `seqloom compare` or `seqloom train` wrote with -o"
        )
    beside = sorted(path for path in (folder / "baselines").glob("*") if _is_run(path))
    own = next((name for name in names if name not in {path.name for path in beside}), None)
    name = own or _json(folder / "metrics.json").get("variant") or folder.name
    return "run", (
        _run(name, folder, n_folds),
        *(replace(_run(path.name, path, n_folds), baseline=True) for path in beside),
    )


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("resolved.toml", "metrics.json", "predictions.parquet"))


def _run(name: str, folder: Path, n_folds: int, resolved: Mapping[str, Any] | None = None) -> RunFacts:
    resolved = _toml(folder / "resolved.toml") or resolved or {}
    done = list(folder.glob("fold-*/seed-*/done"))
    finished = sorted(
        (int(path.parent.parent.name.removeprefix("fold-")), int(path.parent.name.removeprefix("seed-")))
        for path in done
    )
    return RunFacts(
        name=name,
        folder=folder,
        settings=_text(folder / "resolved.toml"),
        resolved=resolved,
        finished=tuple(finished),
        # Which predictors are fitted once per fold whatever `seeds` says is not written in the folder.
        planned=max(n_folds * int(resolved.get("train", {}).get("seeds", 1)), len(finished)),
        evaluated=False,
        valid_scores=tuple(float(_json(path).get("valid_score", math.nan)) for path in sorted(done)),
    )


def _usual_metric(runs: Sequence[RunFacts], data: Mapping[str, Any]) -> str:
    """The metric that comes first once there are scores; empty if that is not known."""
    asked = next(
        (run.resolved["report"]["metrics"] for run in runs if run.resolved.get("report", {}).get("metrics")), ()
    )
    task = (data.get("target") or {}).get("task", "")
    return str(next(iter(asked or default_metrics(task)))) if task else ""


def _scored(run: RunFacts, row: Mapping[str, Any] | None) -> RunFacts:
    """The run with what the leaderboard says of it, or else its own metrics."""
    own = _json(run.folder / "metrics.json")
    said = row or own
    if not said:
        return run
    members = said["members"] if isinstance(said["members"], int) else len(said["members"])
    return replace(
        run,
        planned=members,
        finished=run.finished or tuple((member["fold"], member["seed"]) for member in own.get("members", ())),
        evaluated=True,
        baseline=bool(row["baseline"]) if row else run.baseline,
        scores={name: interval(score) for name, score in said["metrics"].items()},
        ensemble={name: interval(score) for name, score in (said.get("ensemble") or {}).items()},
        differences={name: interval(score) for name, score in said.get("differences", {}).items()},
        changes=said.get("changes", {}),
        seconds=said.get("seconds"),
        curve=own.get("curve"),
        calibrators=tuple(
            {"fold": member["fold"], "seed": member["seed"], **member["calibrator"]}
            for member in own.get("members", ())
            if member.get("calibrator")
        ),
    )


def _unused(path: Path, audit: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    counts = {reason: count for reason, count in audit.get("unused", {}).items() if count}
    if not counts:
        return ()
    ids: dict[str, list[str]] = {reason: [] for reason in counts}
    if path.exists():
        table = read_table(path, columns=["row", "id", "reason"], filters=[("role", "=", "unused")])
        for reason in counts:
            own = table.filter(pc.equal(table["reason"], reason))
            ids[reason] = list(dict.fromkeys(own["id"].slice(0, 50).to_pylist()))[:N_NAMED_ROWS]
    return tuple({"reason": reason, "count": count, "ids": ids[reason]} for reason, count in counts.items())


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(_text(path) or "{}")
    except ValueError as error:
        raise damaged(path, error) from None
    return found


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except ValueError as error:
        raise damaged(path, error) from None
