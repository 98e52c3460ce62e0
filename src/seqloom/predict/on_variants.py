"""What baselines of variants share: least squares, or logistic regression, on one or two numbers of a row's mutations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from seqloom.alphabet import PROTEIN
from seqloom.encode.base import Inputs, State
from seqloom.encode.substitutions import IS_VARIANT
from seqloom.encode.wild_types import families_unasked
from seqloom.mutation.variants import chain_alphabet
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor, features_of, prior
from seqloom.predict.linear import FittedLinear, Linear

if TYPE_CHECKING:
    from seqloom.split.base import Partition
    from seqloom.table import Table

PENALTY = 1e-3
"""L2 penalty on standardised numbers: too weak to be seen, and enough where classes are told apart without error."""
FEWEST_OF_ONE_WILD_TYPE = 10
"""Natural relatives fall into many small families, whose wild types are guesses and whose mutations say nothing."""


class LinearOnVariants(Predictor):
    """A linear model of few numbers of the encoder `substitutions`; rows that are no variants get the training mean."""

    reads = "substitutions"
    baseline = True

    numbers: ClassVar[tuple[int, ...]]
    """Columns of the encoder."""

    def suits(self, table: Table, partition: Partition) -> bool:
        """Whether half of the rows or more are variants of proteins of which the table has `FEWEST_OF_ONE_WILD_TYPE` each."""
        found = families_unasked(table) if chain_alphabet(table) is PROTEIN else None
        if found is None:
            return False
        sizes = np.append(found.sizes, 0)[found.label]
        return 2 * int((sizes >= FEWEST_OF_ONE_WILD_TYPE).sum()) >= table.n_rows and bool(found.edits.any())

    def fit(self, train: Examples, valid: Examples, job: Job) -> Fitted:
        """The model of those training rows that are variants; none where a target is known for no variant."""
        mean = prior(train.y, job.dims)
        own = train.take(np.flatnonzero(_are_variants(train.inputs)))
        if np.isnan(own.y).all(0).any():
            return FittedOnVariants(self.numbers, None, mean)
        numbers = features_of(own.inputs)[:, list(self.numbers)].astype(np.float64)
        centre, spread = numbers.mean(0), numbers.std(0)
        spread = np.where(spread > 0, spread, 1.0)
        scaled = Examples(Inputs(features=(numbers - centre) / spread), own.y)
        dims = replace(job.dims, n_features=len(self.numbers))
        nothing = scaled.take(np.zeros(0, np.int64))
        model = Linear(penalty=PENALTY).fit(scaled, nothing, replace(job, dims=dims))
        assert isinstance(model, FittedLinear)
        coef = model.coef / spread
        return FittedOnVariants(
            self.numbers, replace(model, coef=coef, intercept=model.intercept - coef @ centre), mean
        )

    def restore(self, state: State, dims: Dims) -> Fitted:
        """The model of `state()`."""
        model = FittedLinear(state["coef"], state["intercept"], dims.task) if "coef" in state else None
        return FittedOnVariants(self.numbers, model, state["mean"])


@dataclass(frozen=True)
class FittedOnVariants(Fitted):
    """A linear model for variants, and the training mean for other rows."""

    numbers: tuple[int, ...]
    model: FittedLinear | None
    mean: np.ndarray  # float64 (T,)

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Values or probabilities, (N, T)."""
        answers = np.tile(self.mean, (len(inputs), 1))
        rows = np.flatnonzero(_are_variants(inputs))
        if self.model is not None and len(rows):
            answers[rows] = self.model.predict(Inputs(features=features_of(inputs)[rows][:, list(self.numbers)]))
        return answers

    def state(self) -> State:
        """`mean`, and where there is a model its `coef` and `intercept`."""
        return {"mean": self.mean} | (self.model.state() if self.model is not None else {})


def _are_variants(inputs: Inputs) -> np.ndarray:
    return features_of(inputs)[:, IS_VARIANT] > 0
