"""The latest rows are tested: what a model trained on the past knows of the future."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import numpy as np
import pyarrow as pa
from pydantic import Field

from seqloom.errors import ConfigError, DataError
from seqloom.findings import N_NAMED_ROWS
from seqloom.read.numbers import MISSING_WORDS, is_text, parsed, present
from seqloom.registry import nearest, register
from seqloom.split.base import TEST, TRAIN, Partition, Splitter
from seqloom.split.measured import measured
from seqloom.table import Table

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SHORT_DATE = re.compile(r"\d{4}(-\d{2})?$")


@register("splitter", "time")
class TimeSplit(Splitter):
    """The latest rows, by a column of numbers or dates; every earlier row is trained on.

    Rows of one moment stand on one side, so shares are as near as moments allow; rows without a target are not counted. A
    date-time without a zone is in UTC, and a year or month stands for its first day.
    """

    column: str = ""
    """Column of the time: numbers (a year, a round), or dates such as 2021-03-04 or 2021-03-04T12:30."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of rows, the latest, that are tested when there is one fold and no `after`."""
    after: str = ""
    """First moment that is tested, instead of a share: 2020, or 2021-03-04."""
    folds: Annotated[int, Field(ge=1)] = 1
    """k > 1 cuts the rows into k + 1 stretches of time, or what follows `after` into k, and tests each that has a past."""

    def assign(self, table: Table, strata: np.ndarray | None) -> Partition:
        """Roles by time; rows of a stretch later than the tested one are unused in that fold."""
        times, dated = self._times(table)
        known = np.isfinite(times)
        starts = self._starts(times[known & measured(table)], table, dated=dated)
        ends = np.append(starts[1:], np.inf)
        roles = [
            np.where((times >= start) & (times < end), TEST, TRAIN) for start, end in zip(starts, ends, strict=True)
        ]
        partition = Partition(np.stack(roles).astype(np.int8))
        partition = partition.without(np.flatnonzero(~known), f"no time in column {self.column!r}")
        for fold, end in enumerate(ends[:-1]):
            later = np.flatnonzero(known & (times >= end))
            partition = partition.without(later, "later than the tested rows of this fold", np.array([fold]))
        return partition

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        return "every test row is later than every training row of its fold"

    def _times(self, table: Table) -> tuple[np.ndarray, bool]:
        """float64 (N,), NaN where missing: numbers, or, as the second part says, dates in microseconds since 1970."""
        names = table.data.column_names
        if self.column not in names:
            what = (
                f"no column {self.column!r}{nearest(self.column, names)}"
                if self.column
                else "needs the column of times"
            )
            raise ConfigError(
                f"[split] kind = 'time': {table.source.name}: {what}; name it with --set split.column=COLUMN; columns: "
                f"{', '.join(names[:30])}"
            )
        times, odd, dated = _moments(table.data[self.column].combine_chunks())
        if odd.any():
            rows = np.flatnonzero(odd)
            values = table.text(self.column).take(pa.array(rows[:N_NAMED_ROWS])).to_pylist()
            named = ", ".join(
                f"row {table.row_numbers[row]}: {value!r}" for row, value in zip(rows, values, strict=False)
            )
            raise DataError(
                f"{table.source.name}: column {self.column!r}: {len(rows)} of {table.n_rows} values are no "
                f"{'ISO dates' if dated else 'numbers'}, as the others are: {named}; write dates as 2021-03-04, mend the values, "
                f"or leave the cells empty"
            )
        return times, dated

    def _starts(self, times: np.ndarray, table: Table, *, dated: bool) -> np.ndarray:
        """The first moment of each tested stretch, float64 (folds,), rising."""
        moments, counts = np.unique(times, return_counts=True)
        before = np.concatenate([[0], np.cumsum(counts)])  # rows before each moment
        first = int(np.searchsorted(moments, self._after(dated=dated))) if self.after else 1
        if first == 0 or len(moments) - first < self.folds:
            raise DataError(self._too_few(moments, first, table))
        if self.after:
            goals = before[first] + np.arange(self.folds) / self.folds * (before[-1] - before[first])
        elif self.folds == 1:
            goals = np.array([(1 - self.test) * before[-1]])
        else:
            goals = np.arange(1, self.folds + 1) / (self.folds + 1) * before[-1]
        return moments[_nearest_rising(before[:-1], goals, first)]

    def _after(self, *, dated: bool) -> float:
        try:
            return _microseconds(self.after) if dated else float(self.after)
        except ValueError:
            wanted = "dates; write one such as 2021-03-04" if dated else "numbers; write one"
            raise ConfigError(f"[split] after = {self.after!r}: column {self.column!r} holds {wanted}") from None

    def _too_few(self, moments: np.ndarray, first: int, table: Table) -> str:
        where = f"{table.source.name}: column {self.column!r}"
        if self.after and first in (0, len(moments)):
            side = "earlier than" if first == 0 else "from"
            return (
                f"{where}: no row with a target is {side} {self.after}{' on' if first else ''}; move --set split.after"
            )
        what = (
            f"{len(moments) - first} distinct times from {self.after} on"
            if self.after
            else f"{len(moments)} distinct times"
        )
        needed = (
            f"cannot make {self.folds} stretches to test" if self.after else f"cannot make {self.folds + 1} stretches"
        )
        return f"{where}: {what} of rows with a target {needed}; use fewer folds (--folds), or another split"


def _nearest_rising(before: np.ndarray, goals: np.ndarray, first: int) -> np.ndarray:
    """Index of the moment at which each stretch starts, int64 (folds,): rising, from `first` on, nearest to the goals."""
    chosen: list[int] = []
    for index, goal in enumerate(goals):
        low = max(first, chosen[-1] + 1 if chosen else 0)
        high = len(before) - (len(goals) - index) + 1
        chosen.append(low + int(np.argmin(np.abs(before[low:high] - goal))))
    return np.array(chosen)


def _moments(column: pa.Array) -> tuple[np.ndarray, np.ndarray, bool]:
    """Times float64 (N,), NaN where missing or not finite, bool (N,), True where a value is no time, and whether by date.

    A column of text is read as what fewer of its values are not: numbers, or dates.
    """
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        stamps = column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False).cast(pa.int64())
        return stamps.to_numpy(zero_copy_only=False).astype(np.float64), np.zeros(len(column), bool), True
    times, odd = parsed(column)
    times = np.where(np.isfinite(times), times, np.nan)
    if not odd.any() or not is_text(kind):
        return times, odd, False
    dates, no_date = _dates(present(column, MISSING_WORDS))
    return (dates, no_date, True) if no_date.sum() <= odd.sum() else (times, odd, False)


def _dates(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds since 1970, float64 (N,), NaN where missing, and bool (N,), True where a value is no ISO date."""
    encoded = column.dictionary_encode()
    values = np.full(len(encoded.dictionary) + 1, np.nan)
    odd = np.zeros(len(values), bool)
    for index, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            values[index] = _microseconds(text)
        except ValueError:
            odd[index] = True
    codes = encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    return values[codes], odd[codes]


def _microseconds(text: str) -> float:
    """Since 1970, exact in a float64 for 285 years around it; ValueError for what is no ISO date."""
    text = text.strip()
    if SHORT_DATE.match(text):
        text = f"{text}-01" if "-" in text else f"{text}-01-01"
    moment = datetime.fromisoformat(text)
    return float(((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND)
