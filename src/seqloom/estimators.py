"""scikit-learn estimators: `fit(sequences, y)` and `predict(sequences)`, for pipelines and cross-validation.

They fit the same recipes as `seqloom.compare`, without a folder, a test part or a leaderboard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from seqloom.config import resolve
from seqloom.drafts import drafts
from seqloom.encode.base import FittedEncoder
from seqloom.findings import raise_errors
from seqloom.predict.base import Dims, Examples, Fitted, Job
from seqloom.predict.fitting import fit_model
from seqloom.sections import override
from seqloom.split.deal import inner_split
from seqloom.split.inputs import input_groups
from seqloom.table import DataSection, Table, read_table
from seqloom.target import Target

COLUMN = "sequence"


class SequenceEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share. X is N strings: a list, an array (N,) or (N, 1), or a column of a DataFrame.

    Parameters: `predictor`, a kind; `encoder`, a kind, or None for the usual one; `alphabet`, or "" to detect it; `settings`,
    `{"section.key": value}` for anything else; `seeds`, members whose predictions are averaged; `random_state`, the first seed.
    """

    def __init__(
        self,
        predictor: str = "linear",
        encoder: str | None = None,
        *,
        alphabet: str = "",
        settings: Mapping[str, Any] | None = None,
        seeds: int = 1,
        random_state: int = 0,
    ) -> None:
        self.predictor = predictor
        self.encoder = encoder
        self.alphabet = alphabet
        self.settings = settings
        self.seeds = seeds
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags

    def _fit(self, sequences: Any, y: np.ndarray, target: Target) -> None:
        text = _strings(sequences)
        if len(text) != len(y):
            raise ValueError(f"{len(text)} sequences and {len(y)} targets: give one target for each sequence")
        known = np.flatnonzero(~np.isnan(y))
        text, y = text.take(pa.array(known)), y[known]
        if not len(text):
            raise ValueError("no sequence with a target: there is nothing to fit")
        table = self._table(text)
        variant = resolve(drafts(self._sections(), ())[0], table, target)
        strata = None if target.task == "regression" else y
        valid = inner_split(input_groups(table), strata, self.random_state)
        rows = {True: np.flatnonzero(valid), False: np.flatnonzero(~valid)}
        self.target_ = target.fitted(y[rows[False]].reshape(-1, 1))
        self.encoder_: FittedEncoder = variant.encoder.fit(table.take(rows[False]))
        scaled = self.target_.to_model(y.reshape(-1, 1))
        parts = {held: Examples(self.encoder_.transform(table.take(own)), scaled[own]) for held, own in rows.items()}
        dims = Dims.of(self.target_, parts[False].inputs, self.encoder_, table.alphabet)
        self.members_: list[Fitted] = [
            fit_model(
                variant.predictor, parts[False], parts[True], Job(dims, seed, variant.train, classes=target.classes)
            )
            for seed in variant.seeds
        ]
        self.alphabet_ = table.alphabets[COLUMN].name

    def _outputs(self, sequences: Any) -> np.ndarray:
        check_is_fitted(self, "members_")
        inputs = self.encoder_.transform(self._table(_strings(sequences), self.alphabet_))
        outputs = np.mean([member.predict(inputs) for member in self.members_], axis=0)
        return self.target_.from_model(outputs)

    def _sections(self) -> dict[str, Any]:
        sections: dict[str, Any] = {"train": {"seeds": self.seeds, "seed": self.random_state}}
        sections["split"] = {"kind": "random"}  # scikit-learn divides the rows
        sections["predictor"] = {"kind": self.predictor}
        if self.encoder is not None:
            sections["encoder"] = {"kind": self.encoder}
        return override(sections, self.settings or {})

    def _table(self, text: pa.Array, alphabet: str = "") -> Table:
        section = DataSection(sequence=(COLUMN,), alphabet=alphabet or self.alphabet)
        table = read_table(pa.table({COLUMN: text}), section, for_prediction=True)
        raise_errors(table.findings)
        return table


class SequenceRegressor(RegressorMixin, SequenceEstimator):  # type: ignore[misc]
    """A model of a number from sequences, as a scikit-learn regressor."""

    def fit(self, X: Any, y: Any) -> SequenceRegressor:  # noqa: N803 - scikit-learn's name
        """Fit on N sequences and N numbers; NaN marks an unknown one."""
        values = _targets(y).astype(np.float64)
        if np.isinf(values).any():
            raise ValueError(f"y holds {np.isinf(values).sum()} infinite values; mend or leave out those rows")
        self._fit(X, values, Target("regression", ("y",), transform="standardise"))
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Float64 (N,)."""
        return self._outputs(X)[:, 0]


class SequenceClassifier(ClassifierMixin, SequenceEstimator):  # type: ignore[misc]
    """A model of classes from sequences, as a scikit-learn classifier."""

    def fit(self, X: Any, y: Any) -> SequenceClassifier:  # noqa: N803 - scikit-learn's name
        """Fit on N sequences and N classes of any kind that sorts."""
        values = _targets(y)
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise ValueError(f"y holds {np.isnan(values).sum()} NaN, which is no class; leave out those rows")
        check_classification_targets(values)
        self.classes_, indices = np.unique(values, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds {len(self.classes_)} class; a classifier needs two or more")
        names = tuple(map(str, self.classes_))
        task = "binary" if len(names) == 2 else "multiclass"
        self._fit(X, indices.astype(np.float64), Target(task, ("y",), classes=names))  # type: ignore[arg-type]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Float64 (N, classes), in the order of `classes_`."""
        outputs = self._outputs(X)
        return np.concatenate([1 - outputs, outputs], axis=1) if len(self.classes_) == 2 else outputs

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The likeliest class of each row, (N,)."""
        best = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[best])


def _strings(sequences: Any) -> pa.Array:
    """N strings from a list, an array (N,) or (N, 1), or a column; TypeError for anything else."""
    if isinstance(sequences, str):
        raise TypeError("one string was given; give a list of sequences")
    if hasattr(sequences, "__arrow_c_stream__") or isinstance(sequences, pa.Array):
        return _text(_column(sequences))
    values = _flat(sequences)
    odd = [value for value in values if not isinstance(value, str)]
    if odd:
        raise TypeError(f"sequences must be strings, and {odd[0]!r} is {type(odd[0]).__name__}")
    return pa.array(values, pa.large_string())


def _column(sequences: Any) -> pa.Array:
    """The one column of whatever speaks Arrow, as one array."""
    if hasattr(sequences, "columns"):
        table = pa.table(sequences)
        if table.num_columns != 1:
            raise ValueError(f"a table of {table.num_columns} columns was given; give its one column of sequences")
        sequences = table.column(0)
    return sequences if isinstance(sequences, pa.Array) else pa.chunked_array(sequences).combine_chunks()


def _text(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _text(column.dictionary).take(column.indices)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise TypeError(f"sequences must be strings, and the column given holds {kind}")
    return column.cast(pa.large_string())


def _targets(y: Any) -> np.ndarray:
    """y as an array (N,)."""
    if y is None:
        raise ValueError("a fit requires y to be passed, but the target y is None")
    return np.asarray(column_or_1d(y))


def _flat(sequences: Iterable[Any]) -> list[Any]:
    array = np.asarray(sequences, dtype=object)
    if array.ndim == 2 and array.shape[1] != 1:
        raise ValueError(f"sequences of shape {array.shape}: give one column of strings")
    return [str(value) if isinstance(value, np.str_) else value for value in array.reshape(-1)]
