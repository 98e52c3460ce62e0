"""What a model answers for the rows of a table, as columns: predictions, intervals or sets, distance and expected error.

Decides names of columns and what stands in them. Numbers come from the model and from `seqloom.uncertainty`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.target import Target
from seqloom.uncertainty import Uncertainty

JOINED = "|"
"""Between the classes of a set."""
INSIDE, OUTSIDE = "inside", "outside"


@dataclass(frozen=True)
class Prediction:
    """Predictions of N rows, averaged over members, and how far to believe them."""

    target: Target
    mean: np.ndarray  # float64 (N, T): score scale, or calibrated probabilities
    spread: np.ndarray | None  # float64 (N, T), standard deviation over members, original units; None with one member
    uncertainty: Uncertainty | None = None
    """None for a run that is not finished, or was made before this was measured."""
    identity: np.ndarray | None = None
    """Float64 (N,) to the nearest training row, 0 where none is alike; None if it was not looked for."""
    note: str = ""
    """Why there are no identities though they were wanted, or what to know of them."""

    def take(self, rows: np.ndarray) -> Prediction:
        """The predictions of some rows, int64 or bool."""
        spread, identity = (None if each is None else each[rows] for each in (self.spread, self.identity))
        return replace(self, mean=self.mean[rows], spread=spread, identity=identity)

    def columns(self) -> dict[str, pa.Array]:
        """Columns to append to a table: predictions and, as far as known, intervals or sets, distance, domain, expected error."""
        columns = prediction_columns(self.target, self.mean, self.spread)
        if self.uncertainty is not None:
            columns |= self._promised(columns)
        return columns | self.distance_columns()

    @property
    def inside(self) -> np.ndarray | None:
        """Which rows the model is at home with, bool (N,); None if it is not known."""
        if self.uncertainty is None or self.uncertainty.domain is None or self.identity is None:
            return None
        return self.uncertainty.domain.inside(self.identity)

    def distance_columns(self) -> dict[str, pa.Array]:
        """`nearest_identity`, `domain` and `expected_error`; none of them without identities."""
        inside = self.inside
        if inside is None:
            return {}
        assert self.uncertainty is not None
        assert self.uncertainty.domain is not None
        assert self.identity is not None
        expected = self.uncertainty.domain.expected(self.identity).value
        return {
            "nearest_identity": pa.array(self.identity, mask=self.identity <= 0),
            "domain": pa.array(np.where(inside, INSIDE, OUTSIDE).tolist(), pa.string()),
            "expected_error": pa.array(expected, mask=np.isnan(expected)),
        }

    def _promised(self, taken: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        """Ends of intervals, or sets."""
        assert self.uncertainty is not None
        if self.uncertainty.intervals is None:
            names = self.target.columns if self.target.task == "multilabel" else self.target.classes
            held = self.uncertainty.members(self.target, self.mean)
            return {_free("pred_set", taken): _sets(held, names)}
        low, high = self.uncertainty.bounds(self.target, self.mean)
        columns: dict[str, pa.Array] = {}
        for c, name in enumerate(self.target.columns):
            suffix = f"_{name}" if len(self.target.columns) > 1 else ""
            columns[_free(f"pred_low{suffix}", {**taken, **columns})] = pa.array(low[:, c])
            columns[_free(f"pred_high{suffix}", {**taken, **columns})] = pa.array(high[:, c])
        return columns


def prediction_columns(target: Target, mean: np.ndarray, spread: np.ndarray | None = None) -> dict[str, pa.Array]:
    """Prediction columns for outputs (N, T) on the score scale, in original units or as classes with probabilities."""
    columns: dict[str, pa.Array] = {}
    if target.task == "regression":
        original = target.to_original(mean)
        for index, name in enumerate(target.columns):
            suffix = f"_{name}" if len(target.columns) > 1 else ""
            columns[f"pred{suffix}"] = pa.array(original[:, index])
            if spread is not None:
                columns[f"pred{suffix}_sd"] = pa.array(spread[:, index])
        return columns
    if target.task == "multilabel":
        for index, name in enumerate(target.columns):
            columns[f"pred_{name}"] = pa.array(mean[:, index])
            if spread is not None:
                columns[f"pred_{name}_sd"] = pa.array(spread[:, index])
        return columns
    shares = np.concatenate([1 - mean, mean], axis=1) if target.task == "binary" else mean
    names = np.array(target.classes, dtype=object)
    chosen = (mean[:, 0] >= 0.5).astype(int) if target.task == "binary" else shares.argmax(1)
    columns["pred"] = pa.array(names[chosen], pa.string())
    columns |= {f"pred_{name}": pa.array(shares[:, index]) for index, name in enumerate(target.classes)}
    if spread is not None:
        chosen_spread = (
            spread[:, 0] if target.task == "binary" else np.take_along_axis(spread, chosen[:, None], 1)[:, 0]
        )
        columns["pred_spread" if "pred_sd" in columns else "pred_sd"] = pa.array(
            chosen_spread
        )  # a class may be called sd
    return columns


def _free(name: str, taken: Mapping[str, pa.Array]) -> str:
    """The name, with an underscore if it is taken: a class may be called set."""
    return f"{name}_" if name in taken else name


def _sets(held: np.ndarray, names: tuple[str, ...]) -> pa.Array:
    """Names of the classes in each row's set, bool (N, K), joined."""
    rows, places = np.nonzero(held)
    offsets = np.concatenate([[0], np.cumsum(held.sum(axis=1))]).astype(np.int32)
    assert len(rows) == offsets[-1]
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(names, pa.string()).take(pa.array(places)))
    return pc.binary_join(lists, JOINED)
