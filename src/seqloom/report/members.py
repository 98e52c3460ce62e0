"""What the members of a run left: predictions of test rows, and curves of training.

Decides how both are averaged over members before they are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seqloom.errors import RunError

TRACKS = ("lr", "train_loss", "valid_loss", "valid_score", "test_score")


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

    def averaged(self, *, log: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Target (N, columns) and pred (N, T), one line per fold and row, the seeds' predictions averaged.

        `log`: geometric means, of a target that is learnt as a logarithm.
        """
        first, place = self._lines
        n_seeds = np.bincount(place)
        with np.errstate(divide="ignore", invalid="ignore"):
            sums = [np.bincount(place, weights=column) for column in (np.log(self.pred) if log else self.pred).T]
        means = np.stack(sums, axis=1) / n_seeds[:, None]
        return self.target[first], np.exp(means) if log else means

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
    """Losses, scores and learning rates of S members over E epochs; NaN after a member stopped."""

    epoch: np.ndarray  # int64 (E,)
    tracks: Mapping[str, np.ndarray]  # float64 (S, E): lr, train_loss, valid_loss, valid_score, test_score

    @property
    def n_members(self) -> int:
        """S."""
        return max((len(track) for track in self.tracks.values()), default=0)

    @property
    def n_epochs(self) -> np.ndarray:
        """Epochs that each member ran, int64 (S,)."""
        return np.asarray((~np.isnan(self.tracks["train_loss"])).sum(axis=1))

    @property
    def kept(self) -> np.ndarray:
        """The epoch whose weights each member keeps, that of its lowest loss on valid rows, int64 (S,)."""
        return np.asarray(self.epoch[self._kept_at])

    def course(self, track: str) -> Course:
        """Mean and standard deviation over members, as far as half of the members went."""
        values = self.tracks[track]
        n = (~np.isnan(values)).sum(axis=0)
        known = (n > 0) & (2 * n >= self.n_members)
        own, n = values[:, known], n[known]
        mean = np.nansum(own, axis=0) / n
        squares = np.nansum((own - mean) ** 2, axis=0)
        spread = np.sqrt(np.divide(squares, n - 1, out=np.full(len(n), np.nan), where=n > 1))
        return Course(self.epoch[known], mean, spread)

    def test_scores(self, *, higher_is_better: bool) -> Mapping[str, float | None] | None:
        """Mean over members of the score on test rows at the `last` epoch, at the one kept (`early_stopped`) and at the
        `best_on_test`; None unless every member has one."""
        values, rows = self.tracks["test_score"], np.arange(self.n_members)
        if not np.isfinite(values).any(axis=1).all():
            return None
        best = np.nanmax if higher_is_better else np.nanmin
        found = {
            "last": values[rows, np.maximum(self.n_epochs - 1, 0)],
            "early_stopped": values[rows, self._kept_at],
            "best_on_test": best(values, axis=1),
        }
        return {name: float(np.mean(each)) for name, each in found.items()}

    @property
    def _kept_at(self) -> np.ndarray:
        losses = self.tracks["valid_loss"]
        return np.argmin(np.where(np.isnan(losses), np.inf, losses), axis=1)


class Course(NamedTuple):
    """A quantity over the epochs, all (E,): mean over members and standard deviation (NaN of one member)."""

    epoch: np.ndarray
    mean: np.ndarray
    spread: np.ndarray


def read_predictions(path: Path) -> Predictions | None:
    """The predictions of a run; None if there is no such file."""
    if not path.exists():
        return None
    table = read_table(path)
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
    tables = [read_table(path) for path in sorted(folder.glob("fold-*/seed-*/curves.parquet"))]
    tables = [table for table in tables if len(table)]
    if not tables:
        return None
    epochs = np.unique(np.concatenate([table["epoch"].to_numpy() for table in tables]))
    tracks = {}
    for name in TRACKS:
        track = np.full((len(tables), len(epochs)), np.nan)
        for own, table in zip(track, tables, strict=True):
            if name in table.column_names:
                own[np.searchsorted(epochs, table["epoch"].to_numpy())] = table[name].to_numpy()
        tracks[name] = track
    return Curves(epochs, tracks)


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


def read_table(path: Path, **options: Any) -> pa.Table:
    """A Parquet file; RunError if it is damaged."""
    try:
        return pq.read_table(path, **options)
    except pa.ArrowInvalid as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: Exception) -> RunError:
    """What to say of a file that cannot be read."""
    return RunError(
        f"{path}: damaged ({error}); delete it and run the same compare or train command again to write it anew"
    )
