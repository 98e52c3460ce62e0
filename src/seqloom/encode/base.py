"""What an encoder is: a recipe that learns from training rows and then turns any rows into numbers.

A member decides how one sequence column becomes numbers; several columns, covariates, scaling and what is saved are done
once, here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np

from seqloom.alphabet import Alphabet
from seqloom.encode.views import ViewText, viewed
from seqloom.errors import DataError
from seqloom.findings import Finding
from seqloom.registry import Recipe
from seqloom.table import Table
from seqloom.tokens import Tokens

State = dict[str, np.ndarray]

MOST_FEATURE_BYTES = 6 * 2**30
"""A feature matrix larger than this is refused with advice, instead of filling the memory."""


@dataclass(frozen=True)
class Inputs:
    """What a predictor sees of N rows: either `features` or `tokens`.

    With `bags`, each row is a bag of one or more instances, and `features` (M, D), or `tokens` and `covariates`, are those of all
    instances in turn: a model is fitted on instances and predicts the mean over those of a row (see `seqloom.predict.fitting` and
    `Fitted.predict`).
    """

    features: np.ndarray | None = None  # float32 (N, D), covariates included
    tokens: Tokens | None = None  # N sequences
    covariates: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))  # float32 (N, C), with tokens
    bags: np.ndarray | None = None  # int64 (N + 1,): where the instances of each row begin and end among them

    def __len__(self) -> int:
        if self.bags is not None:
            return len(self.bags) - 1
        if self.features is not None:
            return len(self.features)
        assert self.tokens is not None
        return len(self.tokens)

    def take(self, rows: np.ndarray) -> Inputs:
        """The inputs of `rows`, in that order."""
        if self.bags is not None:
            instances, bags = _bags_of(self.bags, np.asarray(rows, np.int64))
            return replace(self.instances().take(instances), bags=bags)
        if self.features is not None:
            return Inputs(features=self.features[rows])
        assert self.tokens is not None
        return Inputs(tokens=self.tokens.take(rows), covariates=self.covariates[rows])

    @property
    def sizes(self) -> np.ndarray:
        """Instances of each row, int64 (N,): 1 without bags."""
        return np.ones(len(self), np.int64) if self.bags is None else np.diff(self.bags)

    def instances(self) -> Inputs:
        """The M instances as rows of their own."""
        return self if self.bags is None else replace(self, bags=None)

    def averaged(self, values: np.ndarray) -> np.ndarray:
        """The mean over the instances of each row of `values` (M, T), float64 (N, T)."""
        if self.bags is None or not len(self):
            return values[: len(self)]
        total = np.add.reduceat(values.astype(np.float64), self.bags[:-1], axis=0)
        return np.asarray(total / self.sizes[:, None])


def _bags_of(bags: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The instances of `rows` in turn, int64, and where those of each begin and end, int64 (len(rows) + 1,)."""
    sizes = np.diff(bags)[rows]
    own = np.concatenate([[0], np.cumsum(sizes)])
    return np.arange(own[-1]) + np.repeat(bags[rows] - own[:-1], sizes), own


class FittedEncoder(ABC):
    """An encoder that has seen its training rows."""

    @abstractmethod
    def transform(self, table: Table) -> Inputs:
        """Numbers for every row of any table with the same roles."""

    @abstractmethod
    def state(self) -> State:
        """All that was learnt, as arrays; `recipe.restore(state)` gives the encoder back."""

    def findings(self, table: Table) -> tuple[Finding, ...]:
        """What to know before the numbers of this table are believed, such as a column that it lacks; nothing by default."""
        return ()


class Encoder(Recipe, ABC):
    """A recipe for turning inputs into numbers: the `[encoder]` section."""

    gives: ClassVar[Literal["features", "tokens", "groups"]] = "features"
    """`groups` are features too, but one column of names in numbers: no model that weighs features can read them."""

    @abstractmethod
    def fit(self, table: Table) -> FittedEncoder:
        """Learn from the rows of `table`, all of them training rows."""

    @abstractmethod
    def restore(self, state: State) -> FittedEncoder:
        """The fitted encoder whose `state()` this is."""


class FeatureEncoder(Encoder):
    """An encoder that turns each sequence column into fixed-length vectors, one column at a time.

    A member writes `learn` and `encode`; vectors of several sequence columns stand side by side, covariates last.
    """

    scales: ClassVar[bool] = True
    """Whether features are standardised by training rows (not for one-hot, where 0 and 1 already compare)."""

    view: ViewText = ""
    """Part of each sequence that is encoded: `first3+last3`, `first4`, `last2` with any numbers, or `first3+mask+last3`, which
    keeps the length and makes the middle unknown symbols; nothing is all of it. Rows too short to have a middle stay whole."""

    def learn(self, tokens: Tokens, alphabet: Alphabet) -> State:
        """What a column's training rows teach; nothing by default."""
        return {}

    @abstractmethod
    def encode(self, tokens: Tokens, alphabet: Alphabet, state: State) -> np.ndarray:
        """Float32 (N, D) for N sequences of a column; D depends on `state` and the alphabet alone."""

    def fit(self, table: Table) -> FittedEncoder:
        """Learn each sequence column, then the scale of every feature and covariate."""
        columns = table.roles.sequences
        learnt = tuple(self.learn(self.seen(table, column), table.alphabets[column]) for column in columns)
        fitted = FittedFeatures(self, learnt, np.zeros(0), np.ones(0))
        raw = fitted.unscaled(table)
        mean, std = scale_of(raw)
        if not self.scales:
            own = raw.shape[1] - len(table.roles.covariates)
            mean[:own], std[:own] = 0.0, 1.0
        return FittedFeatures(self, learnt, mean, std)

    def seen(self, table: Table, column: str) -> Tokens:
        """What the view leaves of a sequence column."""
        return viewed(table.tokens(column), table.alphabets[column], self.view)

    def restore(self, state: State) -> FittedEncoder:
        """The fitted encoder whose `state()` this is."""
        learnt: list[State] = [{} for _ in range(int(state["columns"][0]))]
        for key, value in state.items():
            if key.startswith("column/"):
                _, index, name = key.split("/")
                learnt[int(index)][name] = value
        return FittedFeatures(self, tuple(learnt), state["mean"], state["std"])


@dataclass(frozen=True)
class FittedFeatures(FittedEncoder):
    """A FeatureEncoder with what it learnt: the state of each sequence column in turn, and the scale of every feature."""

    recipe: FeatureEncoder
    learnt: tuple[State, ...]
    mean: np.ndarray  # float64 (D,)
    std: np.ndarray  # float64 (D,)

    def transform(self, table: Table) -> Inputs:
        """Features float32 (N, D)."""
        raw = self.unscaled(table)
        if self.recipe.scales or table.roles.covariates:
            raw = ((raw - self.mean) / self.std).astype(np.float32)
        return Inputs(features=raw)

    def unscaled(self, table: Table) -> np.ndarray:
        """Features before scaling, float32 (N, D)."""
        parts = [
            self.recipe.encode(self.recipe.seen(table, column), table.alphabets[column], state)
            for column, state in zip(table.roles.sequences, self.learnt, strict=True)
        ]
        parts.append(covariates_of(table))
        return np.concatenate(parts, axis=1)

    def state(self) -> State:
        """Arrays by name: `column/<index>/<name>`, how many `columns`, `mean`, `std`."""
        flat = {
            f"column/{index}/{name}": value for index, state in enumerate(self.learnt) for name, value in state.items()
        }
        return flat | {"columns": np.array([len(self.learnt)]), "mean": self.mean, "std": self.std}


def scale_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column of `values` (N, D), float64 (D,); 1 where a column never varies."""
    if not len(values):
        return np.zeros(values.shape[1]), np.ones(values.shape[1])
    std = values.std(0, dtype=np.float64)
    return values.mean(0, dtype=np.float64), np.where(std > 1e-12, std, 1.0)


def covariates_of(table: Table) -> np.ndarray:
    """Numeric covariates, float32 (N, C); DataError names rows without a value."""
    columns = [table.numeric(name) for name in table.roles.covariates]
    if not columns:
        return np.zeros((table.n_rows, 0), np.float32)
    values = np.stack(columns, axis=1)
    bad = ~np.isfinite(values)
    if bad.any():
        rows, where = np.nonzero(bad)
        numbers = ", ".join(str(table.row_numbers[row]) for row in np.unique(rows)[:5])
        raise DataError(
            f"{table.source.name}: covariate {table.roles.covariates[where[0]]!r} is missing or not finite in "
            f"{len(np.unique(rows))} rows (rows {numbers}); mend them or filter them with --where"
        )
    return values.astype(np.float32)


def refuse_huge(n_rows: int, n_features: int, kind: str, advice: str) -> None:
    """DataError when float32 (n_rows, n_features) would be larger than `MOST_FEATURE_BYTES`."""
    if n_rows * n_features * 4 > MOST_FEATURE_BYTES:
        raise DataError(
            f"encoder {kind!r} would make {n_features:,} features for each of {n_rows:,} rows "
            f"({n_rows * n_features * 4 / 2**30:.0f} GiB); {advice}"
        )
