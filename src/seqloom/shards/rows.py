"""Rows of a table become rows with predictions, or with the reason why there is none; one bad row stops no other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.errors import ConfigError, DataError
from seqloom.model import Model
from seqloom.prediction import unreadable
from seqloom.read.numbers import parsed
from seqloom.shards.plan import Plan, without_source

FEATURE_BYTES = 1 << 27
"""What the features of a piece may take, with the copies that are made of them."""
COPIES = 24
"""Bytes of a feature in all of these."""
MOST_ROWS, LEAST_ROWS = 1 << 13, 1 << 7
"""Of a piece: so many that the cost of a call does not count."""
REFUSED = "refused by the run"
"""What reasons that name a row's own trouble are counted as."""
MOST_REFUSED = 1024
"""So many rows are refused one by one before a table of which no row could be predicted is given up."""


class Hopeless(Exception):
    """No row of a table can be predicted."""


class Made(NamedTuple):
    """N rows as they are written."""

    table: pa.Table
    reasons: Counter[str]
    outside: int


class Part(NamedTuple):
    """Predictions of some rows, null where there is none, and why."""

    predictions: pa.Table
    reasons: list[str | None]
    refused: int
    outside: int


@dataclass
class Rows:
    """Predicts the rows of one table, a piece at a time."""

    model: Model
    plan: Plan
    domain: bool
    predicted: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)

    def of(self, piece: pa.Table, at: int) -> Made:
        """A piece (N,), whose first row is row `at` of its table, from 0.

        Hopeless where the run refuses one row after another and has predicted none.
        """
        reasons = self._without_row(piece)
        known = np.flatnonzero([each is None for each in reasons])
        shown = piece.select(self.plan.inputs)
        part = Part(self._nothing(len(reasons)), reasons, 0, 0)
        if len(known):
            some = shown if len(known) == len(reasons) else shown.take(pa.array(known))
            part = _spread(self._parts(some, at + 1 + known), known, reasons)
        kept = _as(piece, self.plan.kept)
        written = pa.chunked_array([pa.array(part.reasons, pa.string())])
        counts = Counter(each for each in part.reasons if each is not None)
        if part.refused:
            counts = Counter({each: n for each, n in counts.items() if not each.startswith(REFUSED)})
            counts[REFUSED] = part.refused
        columns = [*kept.columns, *part.predictions.columns, written]
        return Made(pa.table(columns, schema=self.plan.schema), counts, part.outside)

    def _without_row(self, piece: pa.Table) -> list[str | None]:
        """Why a value that the run looks up cannot be, of each row: a table without one known value could not be read."""
        reasons: list[str | None] = [None] * piece.num_rows
        for name, file in self.plan.lookups.items():
            if name in piece.column_names:
                text = pc.fill_null(piece[name].cast(pa.large_string()), "")
                values = pc.utf8_trim_whitespace(text).combine_chunks().dictionary_encode()
                missing = file.rows_of(values.dictionary.to_pylist()) < 0
                for row in np.flatnonzero(missing[values.indices.to_numpy()]):
                    reasons[row] = f"{name} has no row in the look-up"
        return reasons

    def _parts(self, piece: pa.Table, numbers: np.ndarray) -> Part:
        """All rows at once; where the run refuses them, each half, down to the row that it refuses."""
        try:
            part = self._at_once(piece, numbers)
        except DataError as error:
            if piece.num_rows > 1:
                half = piece.num_rows // 2
                first = self._parts(piece.slice(0, half), numbers[:half])
                return _joined(first, self._parts(piece.slice(half), numbers[half:]))
            return self._refusal(without_source(str(error).partition("\n")[0]))
        self.predicted += piece.num_rows - sum(each is not None for each in part.reasons)
        return part

    def _nothing(self, n: int) -> pa.Table:
        return pa.table([pa.nulls(n, each.type) for each in self.plan.predictions], schema=self.plan.predictions)

    def _refusal(self, why: str) -> Part:
        self.refused += 1
        if self.refused >= MOST_REFUSED and not self.predicted:
            raise Hopeless(why)
        return Part(self._nothing(1), [f"{REFUSED}: {why}"], 1, 0)

    def _at_once(self, piece: pa.Table, numbers: np.ndarray) -> Part:
        table = replace(self.model.read(piece, self.plan.section), row_numbers=numbers)
        reasons: list[str | None] = [None] * table.n_rows
        for name in table.roles.covariates:
            for row in np.flatnonzero(parsed(table.data[name])[1]):
                reasons[row] = f"{name} is no number"
        numeric = np.flatnonzero([each is None for each in reasons])
        if len(numeric):
            for row, why in zip(numeric, unreadable(table.take(numeric)), strict=True):
                reasons[row] = why
        good = np.flatnonzero([each is None for each in reasons])
        prediction = self.model.no_prediction(fast=not self.domain)
        if len(good):
            prediction = self.model.predict(table.take(good), fast=not self.domain)
            if self.domain and prediction.identity is None:
                raise ConfigError(f"predict --domain: {prediction.note}")
        take = _places(good, table.n_rows)
        columns = [values.take(take) for values in prediction.columns().values()]
        inside = prediction.inside
        outside = 0 if inside is None else int((~inside).sum())
        return Part(pa.table(columns, schema=self.plan.predictions), reasons, 0, outside)


def piece_rows(model: Model) -> int:
    """Rows of a piece: as many as keep the features that the run makes of them in bounds."""
    widest = max(model.n_features, 1)
    most = FEATURE_BYTES // COPIES // widest
    return int(np.clip(1 << (most.bit_length() - 1 if most else 0), LEAST_ROWS, MOST_ROWS))


def _as(piece: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Columns of a piece in the types of the first table; DataError where they hold something else."""
    try:
        return piece.select(wanted.names).cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"a column is of another type than in the first table ({error})") from None


def _places(rows: np.ndarray, n: int) -> pa.Array:
    """Where each of `n` rows is among `rows`, int64 (n,), null where it is not."""
    place = np.full(n, -1, np.int64)
    place[rows] = np.arange(len(rows))
    return pa.array(np.maximum(place, 0), mask=place < 0)


def _spread(part: Part, rows: np.ndarray, reasons: list[str | None]) -> Part:
    """The same among more rows, which have reasons of their own; `rows` are its places."""
    if len(rows) == len(reasons):
        return part
    whole = list(reasons)
    for row, why in zip(rows, part.reasons, strict=True):
        whole[row] = why
    return part._replace(predictions=part.predictions.take(_places(rows, len(reasons))), reasons=whole)


def _joined(first: Part, second: Part) -> Part:
    return Part(
        pa.concat_tables([first.predictions, second.predictions]),
        first.reasons + second.reasons,
        first.refused + second.refused,
        first.outside + second.outside,
    )
