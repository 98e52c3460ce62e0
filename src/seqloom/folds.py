"""The examples of a fold: encoder and scale of the target fitted on its training rows, and all its rows as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from seqloom.config import Variant
from seqloom.encode.base import FittedEncoder
from seqloom.plan import Plan, target_of
from seqloom.predict.base import Dims, Examples
from seqloom.split.base import TEST, TRAIN, VALID
from seqloom.table import Table
from seqloom.target import Target


@dataclass(frozen=True)
class Prepared:
    target: Target
    encoder: FittedEncoder
    dims: Dims
    examples: Mapping[int, Examples]  # by role


class Folds:
    """Encoded examples of the fold in hand, kept for all variants that share encoder and target settings."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._kept: dict[str, Prepared] = {}

    def prepared(self, variant: Variant, fold: int) -> Prepared:
        """Encoder and target scale fitted on the fold's training rows, and its rows as examples."""
        key = repr((fold, variant.resolved["encoder"], variant.resolved["target"]))
        if key not in self._kept:
            if len(self._kept) >= 4:  # a handful of encodings fits in memory; all folds of all encoders may not
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = self._prepare(variant, fold)
        return self._kept[key]

    def _prepare(self, variant: Variant, fold: int) -> Prepared:
        plan = self.plan
        rows = {role: plan.partition.rows(fold, role) for role in (TRAIN, VALID, TEST)}
        base = target_of(variant, plan.table, plan.target)
        scores = plan.scores if base == plan.target else base.read(plan.table)
        target = base.fitted(scores[rows[TRAIN]])
        encoder = variant.encoder.fit(plan.table.take(rows[TRAIN]))
        inputs = {role: encoder.transform(plan.table.take(own)) for role, own in rows.items()}
        bounds = plan.bounds if base == plan.target else base.bounds(plan.table)
        groups = _groups(plan.table)
        examples = {
            role: Examples(
                inputs[role],
                target.to_model(scores[own]),
                None if bounds is None else bounds[own],
                groups=None if groups is None else groups[own],
            )
            for role, own in rows.items()
        }
        return Prepared(target, encoder, Dims.of(target, inputs[TRAIN], encoder, plan.table.alphabet), examples)


def _groups(table: Table) -> np.ndarray | None:
    """The number of each row's group, int64 (N,), -1 where it has none; None without a group column."""
    if table.roles.group is None:
        return None
    codes = table.text(table.roles.group).dictionary_encode().indices
    return np.asarray(pc.fill_null(codes, -1).to_numpy(zero_copy_only=False), np.int64)
