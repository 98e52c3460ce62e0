"""What a predictor is: a recipe that is fitted on training rows and predicts targets of any rows.

Numbers come in and go out on the model scale (see `seqloom.target`); classes as probabilities.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from seqloom.encode.base import FittedEncoder, Inputs, State
from seqloom.encode.tokens import FittedTokens
from seqloom.metrics import Task
from seqloom.registry import Recipe
from seqloom.target import Target
from seqloom.tokens import Tokens
from seqloom.training.settings import TrainSection

if TYPE_CHECKING:
    from seqloom.split.base import Partition
    from seqloom.table import Table


@dataclass(frozen=True)
class Dims:
    """The sizes a model needs to know, kept in its run folder."""

    task: Task
    n_targets: int
    """Target columns C."""
    n_outputs: int
    """T: columns, or classes of a multiclass target."""
    n_features: int = 0
    """D, for predictors that take features."""
    vocabulary: int = 0
    """V, for predictors that take tokens."""
    n_covariates: int = 0
    """Covariates beside the tokens; among features they are included in D."""
    alphabet: str = ""
    """Of the sequences behind the tokens, where they are one column."""
    longest: int = 0
    """Symbols of the longest training row, for predictors that take tokens; a row to predict may be longer."""
    symbols: tuple[int, ...] = ()
    """Symbols of each sequence column, padding not counted. The ids of the columns follow each other from 1 on; between columns
    stands a separator, id V - 1."""
    lengths: tuple[tuple[int, int], ...] = ()
    """Symbols of the shortest and the longest training row in each of several sequence columns; empty for one column."""

    @staticmethod
    def of(target: Target, inputs: Inputs, encoder: FittedEncoder, alphabet: str = "") -> Dims:
        """The sizes of this target and of these inputs, all of them of training rows, by the encoder that made them."""
        sizes = (target.task, len(target.columns), target.n_outputs)
        if inputs.features is not None:
            return Dims(*sizes, inputs.features.shape[1], alphabet=alphabet)
        assert inputs.tokens is not None
        assert isinstance(encoder, FittedTokens)
        longest = int(inputs.tokens.lengths.max(initial=0))
        symbols, lengths = encoder.symbols, _column_lengths(inputs.tokens, encoder)
        return Dims(*sizes, 0, encoder.vocabulary, inputs.covariates.shape[1], alphabet, longest, symbols, lengths)

    def as_json(self) -> dict[str, Any]:
        """The fields, for a file."""
        return vars(self).copy()


def _column_lengths(tokens: Tokens, encoder: FittedTokens) -> tuple[tuple[int, int], ...]:
    """Shortest and longest symbols of each of several columns in a joint stream."""
    if len(encoder.symbols) < 2:
        return ()
    between = np.flatnonzero(tokens.values == encoder.vocabulary - 1).reshape(len(tokens), len(encoder.symbols) - 1)
    starts = np.column_stack([tokens.offsets[:-1], between + 1])
    ends = np.column_stack([between, tokens.offsets[1:]])
    return tuple((int(each.min(initial=each.max(initial=0))), int(each.max(initial=0))) for each in (ends - starts).T)


@dataclass(frozen=True)
class Examples:
    """Inputs of N rows with their targets."""

    inputs: Inputs
    y: np.ndarray  # float64 (N, C), model scale, NaN = missing
    bounds: np.ndarray | None = None
    """int8 (N, C): the true value is at most y (-1), y (0) or at least y (1); None where all are y."""
    weights: np.ndarray | None = None
    """float64 (N, C): how much each target counts, 1 in the mean of training rows; None where all count alike."""
    groups: np.ndarray | None = None
    """int64 (N,): equal for rows of one group of the group column, -1 without a group; None for tables without such a column."""

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: np.ndarray) -> Examples:
        """The examples of `rows`, in that order."""
        others = (_taken(each, rows) for each in (self.bounds, self.weights, self.groups))
        return Examples(self.inputs.take(rows), self.y[rows], *others)

    def instances(self, *, weighs: bool) -> Examples:
        """The instances of rows that are bags as rows of their own, with the row's targets and bounds.

        `weighs`: each has an equal share of its row's weight, so that all rows count alike; 1 in the mean of instances.
        """
        sizes = self.inputs.sizes
        own = np.repeat(np.arange(len(self)), sizes)
        weights = _taken(self.weights, own)
        if weighs:
            share = (len(own) / max(len(self), 1) / sizes[own])[:, None]
            weights = share * (np.ones_like(self.y[own]) if weights is None else weights)
        bounds, groups = _taken(self.bounds, own), _taken(self.groups, own)
        return Examples(self.inputs.instances(), self.y[own], bounds, weights, groups)

    def known(self, column: int) -> Examples:
        """The rows whose target in this column is known, with that column alone."""
        rows = np.flatnonzero(~np.isnan(self.y[:, column]))
        bounds, weights = (None if each is None else each[rows][:, [column]] for each in (self.bounds, self.weights))
        return Examples(self.inputs.take(rows), self.y[rows][:, [column]], bounds, weights, _taken(self.groups, rows))


def _taken(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]


def _ignore(*_: object) -> None:
    """Nothing."""


@dataclass(frozen=True)
class Job:
    """Where and how one member is fitted."""

    dims: Dims
    seed: int = 0
    settings: TrainSection = field(default_factory=TrainSection)
    name: str = ""
    """Of the member, as no other member of the experiment is called."""
    folder: Path | None = None
    """Where checkpoints and curves are written; None keeps nothing."""
    monitor: Mapping[str, Examples] = field(default_factory=dict)
    """Examples scored after every epoch for the curves and never used for anything else."""
    score: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float] | None = None
    """The primary metric of (y, predictions, bounds), for the curves."""
    classes: tuple[str, ...] = ()
    """Names of the classes that y is an index of; empty where targets have no names of their own."""
    log: Callable[[str], None] = _ignore
    progress: Callable[[int, int], None] = _ignore
    """Told (epochs done, epochs at most)."""


Predict = Callable[[Any, Inputs], np.ndarray]


class Fitted(ABC):
    """A predictor that has seen its training rows.

    A member's `predict` never meets bags: it is given their instances, and what it says of those is averaged by row, here.
    """

    held_back: np.ndarray | None = None
    """Outputs (N, T) for the valid rows by a model that was not trained on them, where this one was; None where `predict` of the
    valid rows is just that. Not part of `state`."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "predict" in vars(cls):
            cls.predict = _row_by_row(cls.predict)  # type: ignore[method-assign, assignment]

    @abstractmethod
    def predict(self, inputs: Inputs) -> np.ndarray:
        """Float64 (N, T): values on the model scale, or probabilities."""

    @abstractmethod
    def state(self) -> State:
        """All that was learnt, as arrays; `recipe.restore(state, dims)` gives the model back."""


def _row_by_row(predict: Predict) -> Predict:
    """`predict` of instances as one of rows that may be bags."""

    @wraps(predict)
    def of_rows(self: Any, inputs: Inputs) -> np.ndarray:
        return inputs.averaged(predict(self, inputs.instances())) if inputs.bags is not None else predict(self, inputs)

    return of_rows


class Predictor(Recipe, ABC):
    """A recipe for a model: the `[predictor]` section."""

    takes: ClassVar[Literal["features", "tokens", "groups"]] = "features"
    reads: ClassVar[str] = ""
    """Kind of the only encoder it makes sense with; '' leaves that to `[encoder]`."""
    stochastic: ClassVar[bool] = False
    """Whether another seed gives another model; if not, one member per fold is fitted whatever `train.seeds` says."""
    tasks: ClassVar[tuple[Task, ...]] = ("regression", "binary", "multiclass", "multilabel")
    """Kinds of target that it can model."""
    n_columns: ClassVar[int] = 0
    """Sequence columns that it needs; 0 takes any number."""
    baseline: ClassVar[bool] = False
    """Whether it stands in every comparison as a naive yardstick."""
    censored: ClassVar[Literal["loss", "imputed", "equal"]] = "imputed"
    """What becomes of targets that are bounds: the model's own loss knows them, they are replaced by what is expected beyond
    them (see `seqloom.predict.bounds`), or they are taken for values."""
    side_by_side: ClassVar[bool] = False
    """Whether `fit_members` is faster than one `fit` after another."""
    by_instance: ClassVar[bool] = True
    """Whether rows that are bags come to `fit` as their instances; one that does not look at inputs is better off without."""
    weighs_classes: ClassVar[bool] = False
    """Whether it learns by `Examples.weights`, and so takes `train.class_weight`."""

    def suits(self, table: Table, partition: Partition) -> bool:
        """Whether a baseline that nobody named has something to say about this table; yes by default."""
        return True

    def refusal(self, table: Table, target: Target) -> str:
        """Why it cannot be fitted to this target of this table, and what to do instead; '' where it can."""
        columns = table.roles.sequences
        if self.n_columns not in (0, len(columns)):
            others = [name for name in table.data.column_names if name not in table.roles.columns]
            return (
                f"predictor {self.kind!r} needs {self.n_columns} sequence columns, and the table has {len(columns)} "
                f"({', '.join(columns)}); name them with --sequence COLUMN,COLUMN (other columns: "
                f"{', '.join(others[:10]) or 'none'}), add one with [data] lookup, or take another predictor, such as mlp"
            )
        if target.task in self.tasks:
            return ""
        return f"predictor {self.kind!r} is for {' and '.join(self.tasks)}, and the task is {target.task}; take mlp"

    @abstractmethod
    def fit(self, train: Examples, valid: Examples, job: Job) -> Fitted:
        """Learn from `train`; `valid` may choose penalties and epochs, and may be empty.

        Called by `seqloom.predict.fitting`, after which there are bounds only where `censored` is "loss", and weights only where
        `weighs_classes`.
        """

    def fit_members(self, members: Sequence[tuple[Examples, Examples, Job]]) -> list[Fitted]:
        """Several members, each as by `fit` from (train, valid, job), whose dims are the same."""
        return [self.fit(*member) for member in members]

    @abstractmethod
    def restore(self, state: State, dims: Dims) -> Fitted:
        """The fitted model whose `state()` this is."""


def features_of(inputs: Inputs) -> np.ndarray:
    """Float32 (N, D) of a predictor that takes features."""
    assert inputs.features is not None
    return inputs.features


def prior(y: np.ndarray, dims: Dims) -> np.ndarray:
    """What to predict without looking at the inputs, float64 (T,): mean, or share of each class."""
    if dims.task == "multiclass":
        counts = np.bincount(y[~np.isnan(y)].astype(np.int64), minlength=dims.n_outputs)
        return np.asarray(counts / max(counts.sum(), 1))
    known = ~np.isnan(y)
    fallback = 0.0 if dims.task == "regression" else 0.5
    return np.where(known.any(0), np.where(known, y, 0).sum(0) / np.maximum(known.sum(0), 1), fallback)


def indicator(y: np.ndarray, dims: Dims) -> np.ndarray:
    """Targets laid out as outputs, float64 (N, T), NaN where missing: class indices become 0/1 columns."""
    if dims.task != "multiclass":
        return y
    return np.where(np.isnan(y), np.nan, y == np.arange(dims.n_outputs))


def default_loss(
    y: np.ndarray,
    predicted: np.ndarray,
    dims: Dims,
    bounds: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> float:
    """Mean squared error, or mean log loss, over known targets; infinite when none is known.

    `bounds` (as in Examples) cost what `tobit_loss` says; `weights` (N, C) multiply the loss of each target.
    """
    known = ~np.isnan(y)
    if not known.any():
        return float("inf")
    if dims.task == "regression":
        errors = np.where(known, predicted - y, 0.0)
        each = errors[known] ** 2 if bounds is None else _with_bounds(errors, bounds, known, weights)[known]
    else:
        clipped = np.clip(predicted, 1e-7, 1 - 1e-7)
        if dims.task == "multiclass":
            rows = np.flatnonzero(known[:, 0])
            each = -np.log(clipped[rows, y[rows, 0].astype(np.int64)])
        else:
            each = -np.where(y[known] > 0, np.log(clipped[known]), np.log1p(-clipped[known]))
    return float(np.mean(each if weights is None else each * weights[known]))


def _with_bounds(errors: np.ndarray, bounds: np.ndarray, known: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The loss of every target, float64 (N, C); a predictor whose loss reads bounds is a net, so torch is there."""
    import torch

    from seqloom.training.tobit import tobit_loss

    own = None if weights is None else torch.from_numpy(weights)
    each = tobit_loss(torch.from_numpy(errors), torch.from_numpy(bounds), torch.from_numpy(known), own)
    return np.asarray(each.numpy(), np.float64)


def together(train: Examples, valid: Examples) -> Examples:
    """Training and valid rows as one, for a refit once the valid rows have made their choice."""
    if not len(valid):
        return train
    features = np.concatenate([features_of(train.inputs), features_of(valid.inputs)])
    both = None
    if train.weights is not None and valid.weights is not None:
        both = np.concatenate([train.weights, valid.weights])
    return Examples(Inputs(features=features), np.concatenate([train.y, valid.y]), weights=both)
