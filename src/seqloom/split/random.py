"""Random partitions: held out once, or k-fold; by class when there are classes, or by groups.

Rows with equal inputs always stay together, so no random partition tests a row it has trained on.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from seqloom.errors import ConfigError, DataError
from seqloom.registry import register
from seqloom.split.base import TEST, TRAIN, Partition, Splitter
from seqloom.split.deal import deal, smallest_unit
from seqloom.split.inputs import joined, seen_groups
from seqloom.table import Table


class DealtSplitter(Splitter):
    """Deals units of rows into a test part, or into folds of which each is tested once."""

    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of rows that are tested when there is one fold."""
    folds: Annotated[int, Field(ge=1)] = 1
    """1 holds out `test` of the rows once; k > 1 tests every row once, in k folds."""

    def strata(self, strata: np.ndarray | None) -> np.ndarray | None:
        """What is balanced between the parts; nothing by default."""
        return None

    def assign(self, table: Table, strata: np.ndarray | None) -> Partition:
        """Roles by dealing the units; no valid rows, the inner split is made later."""
        units = self.units(table)
        n_units = len(np.unique(units))
        if n_units < max(self.folds, 2):
            raise DataError(
                f"{table.source.name}: {n_units} distinct {self._unit_name(table)} cannot make {max(self.folds, 2)} parts; "
                f"use fewer folds (--folds) or a larger table"
            )
        if self.folds == 1:
            parts = deal(units, self.strata(strata), [1 - self.test, self.test], self.seed)
            if (parts == parts[0]).all():  # a table so small that rounding leaves one part empty
                parts = (units == smallest_unit(units, self.seed)).astype(np.int64)
            return Partition(np.where(parts == 1, TEST, TRAIN).astype(np.int8)[None])
        parts = deal(units, self.strata(strata), [1 / self.folds] * self.folds, self.seed)
        parts = _with_every_part(parts, units, self.folds, self.seed)
        return Partition(np.stack([np.where(parts == fold, TEST, TRAIN) for fold in range(self.folds)]).astype(np.int8))

    def _unit_name(self, table: Table) -> str:
        return "inputs"


@register("splitter", "random")
class RandomSplit(DealtSplitter):
    """Rows at random.

    Flatters any model when rows are related: near copies of test rows stand in training.
    """

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        return "no test row has the same inputs as a training row; similar rows may stand on both sides"


@register("splitter", "stratified")
class StratifiedSplit(DealtSplitter):
    """Rows at random, each class in equal shares in every part.

    As `random`, for classes; rows without a class are dealt as a class of their own.
    """

    def strata(self, strata: np.ndarray | None) -> np.ndarray | None:
        """The classes."""
        return strata

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        return "as random, with every class in about equal shares in all parts; similar rows may stand on both sides"


@register("splitter", "group")
class GroupSplit(DealtSplitter):
    """Whole groups at random: a group is tested or trained on, never both.

    Groups are read from the table's group column (`--group COLUMN`); a row without a group is a group of its own.
    """

    def units(self, table: Table) -> np.ndarray:
        """Groups, joined where they share a row's inputs."""
        if table.roles.group is None:
            raise ConfigError("[split] kind = 'group' needs a group column; name it with --group COLUMN")
        encoded = table.text(table.roles.group).dictionary_encode().indices
        codes = encoded.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        if codes.max(initial=-1) == 0 and not (codes < 0).any():
            name, only = table.roles.group, table.text(table.roles.group)[0].as_py()
            raise DataError(
                f"{table.source.name}: column {name!r} has one group ({only!r}) in all {table.n_rows:,} rows, and a split by "
                "groups needs two at least; name another with --group COLUMN, or use another split, as --split similarity"
            )
        alone = codes < 0
        codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
        return joined(codes, seen_groups(table))

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        return "no test row shares its group or its inputs with a training row"

    def _unit_name(self, table: Table) -> str:
        return f"groups in column {table.roles.group!r}"


def _with_every_part(parts: np.ndarray, units: np.ndarray, n_parts: int, seed: int) -> np.ndarray:
    """`parts` (N,) in which none of the `n_parts` is empty; there are as many units at least.

    Where units are few and unequal, shares rounded to whole units can leave a part without any.
    """
    parts = parts.copy()
    for part in range(n_parts):
        if (parts == part).any():
            continue
        n_units = [len(np.unique(units[parts == each])) for each in range(n_parts)]
        own = parts == int(np.argmax(n_units))
        parts[own & (units == smallest_unit(units[own], seed))] = part
    return parts
