"""What a run or experiment folder holds, finished or not, read into frozen values.

Decides what counts as planned and finished, and how predictions are averaged before they are drawn. Nothing is scored
anew here: scores and intervals are those the folder holds.
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

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seqloom.errors import RunError
from seqloom.metrics import METRICS
from seqloom.stats import Interval

N_NAMED_ROWS = 5


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
    def complete(self) -> bool:
        """Whether every variant is evaluated."""
        return bool(self.runs) and all(run.evaluated for run in self.runs)

    def higher_is_better(self, metric: str) -> bool:
        """Direction of a metric."""
        known: Mapping[str, bool] = self.board.get("higher_is_better", {})
        return known[metric] if metric in known else metric not in METRICS or METRICS[metric].higher_is_better


@dataclass(frozen=True)
class Predictions:
    """Test predictions of all members of a run, M = rows times seeds.

    `classes`: names in the order of `pred`, empty unless there is one target of classes. `target` holds values, class
    indices or 0/1; NaN where missing, or where it is a bound of the true value, which `limit` then holds, NaN elsewhere.
    """

    columns: tuple[str, ...]
    classes: tuple[str, ...]
    fold: np.ndarray  # int64 (M,)
    seed: np.ndarray  # int64 (M,)
    row: np.ndarray  # int64 (M,)
    target: np.ndarray  # float64 (M, columns)
    pred: np.ndarray  # float64 (M, T): values, or probabilities
    limit: np.ndarray  # float64 (M, columns)
    bounds: np.ndarray  # int8 (M, columns): 1 where the true value is at least the limit, -1 at most, 0 without a limit

    def members(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Target (N, columns) and pred (N, T) of each fold and seed."""
        return [(self.target[own], self.pred[own]) for own in self.member_rows()]

    def member_rows(self) -> list[np.ndarray]:
        """Where each fold and seed stands, int64 (N,)."""
        return _equal(np.stack([self.fold, self.seed], axis=1))

    def averaged(self) -> tuple[np.ndarray, np.ndarray]:
        """Target (N, columns) and pred (N, T), one line per fold and row, the seeds' predictions averaged."""
        first, place = self._lines
        n_seeds = np.bincount(place)
        sums = [np.bincount(place, weights=column) for column in self.pred.T]
        return self.target[first], np.stack(sums, axis=1) / n_seeds[:, None]

    def averaged_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Limits (N, columns) and bounds (N, columns) of the lines of `averaged`."""
        first, _ = self._lines
        return self.limit[first], self.bounds[first]

    @cached_property
    def _lines(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each fold and row stands first, int64 (N,), and the line of every prediction, int64 (M,)."""
        keys = np.stack([self.fold, self.row], axis=1)
        _, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        return first, place.reshape(-1)


@dataclass(frozen=True)
class Curves:
    """Losses and scores of S members over E epochs; NaN after a member stopped."""

    epoch: np.ndarray  # int64 (E,)
    tracks: Mapping[str, np.ndarray]  # float64 (S, E): train_loss, valid_loss, valid_score, test_score

    @property
    def n_members(self) -> int:
        """S."""
        return max((len(track) for track in self.tracks.values()), default=0)


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
        primary=board.get("primary") or of_run.get("primary", ""),
        metrics=tuple(board.get("metrics") or of_run.get("metrics", {})),
        board=board,
        data=data,
        audit=audit,
        environment=_json(folder / "environment.json"),
        config=_text(folder / "config.toml"),
        unused=_unused(folder / "partition.parquet", audit),
    )


def read_predictions(path: Path) -> Predictions | None:
    """The predictions of a run; None if there is no such file."""
    if not path.exists():
        return None
    table = _parquet(path)
    names = table.column_names
    bounds = {"target_bound" + name.removeprefix("target") for name in names if name.split("_")[0] == "target"}
    targets = [name for name in names if name.split("_")[0] == "target" and name not in bounds]
    after = [name for name in names[names.index(targets[-1]) + 1 :] if name not in bounds]
    single = targets == ["target"]
    classes = [name.removeprefix("pred_") for name in after if name != "pred"] if single and len(after) > 1 else []
    values = np.stack([_target(table[name], classes) for name in targets], axis=1)
    signs = np.stack([_signs(table, name) for name in targets], axis=1)
    return Predictions(
        columns=tuple(name.removeprefix("target_") for name in targets),
        classes=tuple(classes),
        **{name: table[name].to_numpy().astype(np.int64) for name in ("fold", "seed", "row")},
        target=np.where(signs == 0, values, np.nan),
        limit=np.where(signs == 0, np.nan, values),
        bounds=signs,
        pred=np.stack([table[name].to_numpy() for name in after if not (classes and name == "pred")], axis=1),
    )


def read_curves(folder: Path) -> Curves | None:
    """The curves of a run's members, finished or not; None if there are none."""
    tables = [_parquet(path) for path in sorted(folder.glob("fold-*/seed-*/curves.parquet"))]
    tables = [table for table in tables if len(table)]
    if not tables:
        return None
    epochs = np.unique(np.concatenate([table["epoch"].to_numpy() for table in tables]))
    tracks = {}
    for name in ("train_loss", "valid_loss", "valid_score", "test_score"):
        track = np.full((len(tables), len(epochs)), np.nan)
        for own, table in zip(track, tables, strict=True):
            if name in table.column_names:
                own[np.searchsorted(epochs, table["epoch"].to_numpy())] = table[name].to_numpy()
        tracks[name] = track
    return Curves(epochs, tracks)


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
    done = folder.glob("fold-*/seed-*/done")
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
    )


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
        table = _parquet(path, columns=["row", "id", "reason"], filters=[("role", "=", "unused")])
        for reason in counts:
            own = table.filter(pc.equal(table["reason"], reason))
            ids[reason] = list(dict.fromkeys(own["id"].slice(0, 50).to_pylist()))[:N_NAMED_ROWS]
    return tuple({"reason": reason, "count": count, "ids": ids[reason]} for reason, count in counts.items())


def _signs(table: pa.Table, name: str) -> np.ndarray:
    """The bounds of a target column, int8 (M,); 0 without a column of them."""
    signs = "target_bound" + name.removeprefix("target")
    if signs not in table.column_names:
        return np.zeros(len(table), np.int8)
    above, below = (np.asarray(pc.equal(table[signs], each).to_numpy()) for each in (">", "<"))
    return above.astype(np.int8) - below.astype(np.int8)


def _target(column: pa.ChunkedArray, classes: Sequence[str]) -> np.ndarray:
    if classes:
        return pc.index_in(column, pa.array(classes)).cast(pa.float64()).to_numpy()
    if not pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
    return column.to_numpy()


def _equal(keys: np.ndarray) -> list[np.ndarray]:
    """Indices of equal lines of keys (M, K), by ascending key."""
    _, place = np.unique(keys, axis=0, return_inverse=True)
    place = place.reshape(-1)
    order = np.argsort(place, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(place[order])) + 1)


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(_text(path) or "{}")
    except ValueError as error:
        raise _damaged(path, error) from None
    return found


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except ValueError as error:
        raise _damaged(path, error) from None


def _parquet(path: Path, **options: Any) -> pa.Table:
    try:
        return pq.read_table(path, **options)
    except pa.ArrowInvalid as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> RunError:
    return RunError(
        f"{path}: damaged ({error}); delete it and run the same compare or train command again to write it anew"
    )
