"""From a splitter to a partition that is ready for fitting: inner splits made, shared inputs and empty folds answered for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seqloom.errors import ConfigError, DataError
from seqloom.split.audit import Audit, audit, refuse_shared
from seqloom.split.base import TEST, TRAIN, VALID, Partition, Splitter
from seqloom.split.deal import deal, inner_split
from seqloom.split.inputs import input_groups
from seqloom.table import Table


def make_partition(
    splitter: Splitter, table: Table, targets: np.ndarray, strata: np.ndarray | None
) -> tuple[Partition, Audit]:
    """The splitter's partition made ready for fitting, and its audit.

    `targets`: score-scale (N, columns); rows without any target become unused. Raises LeakError when test inputs stand in
    training and the user did not allow it, DataError when a fold has no training or no test rows.
    """
    partition = splitter.assign(table, strata)
    partition = partition.without(np.flatnonzero(np.isnan(targets).all(axis=1)), "no target")
    keys = input_groups(table)
    if splitter.shared == "unused":
        partition = _without_shared(partition, keys)
    partition = _with_inner_splits(partition, splitter, table, strata)
    for fold in range(partition.n_folds):
        _refuse_empty_fold(partition, fold, table)
    refuse_shared(partition, splitter, table, keys)
    return partition, audit(partition, splitter, table, targets, keys)


def _without_shared(partition: Partition, keys: np.ndarray) -> Partition:
    for fold in range(partition.n_folds):
        roles = partition.roles[fold]
        in_test = np.isin(keys, keys[roles == TEST])
        rows = np.flatnonzero(in_test & ((roles == TRAIN) | (roles == VALID)))
        partition = partition.without(rows, "same inputs as a test row", np.array([fold]))
    return partition


def _with_inner_splits(partition: Partition, splitter: Splitter, table: Table, strata: np.ndarray | None) -> Partition:
    """Valid rows in every fold that has none; with `inner` > 1 every fold as often as that, each with other valid rows."""
    units = splitter.units(table)
    n_inner = splitter.inner
    if n_inner > 1 and (partition.roles == VALID).any():
        raise ConfigError("[split] inner > 1 makes its own valid rows, and the table names some; leave inner out")
    roles = np.repeat(partition.roles, n_inner, axis=0)
    reason = np.repeat(partition.reason, n_inner, axis=0) if partition.reason.size else partition.reason
    for fold, own in enumerate(partition.roles):
        train = np.flatnonzero(own == TRAIN)
        if (own == VALID).any():
            continue
        classes = None if strata is None else strata[train]
        seed = splitter.seed + 7919 * (fold + 1)
        if n_inner == 1:
            roles[fold, train[inner_split(units[train], classes, seed)]] = VALID
            continue
        parts = deal(units[train], classes, [1 / n_inner] * n_inner, seed)
        for inner in range(n_inner):
            roles[fold * n_inner + inner, train[parts == inner]] = VALID
    return replace(partition, roles=roles, reason=reason)


def _refuse_empty_fold(partition: Partition, fold: int, table: Table) -> None:
    counts = partition.counts(fold)
    for role in ("train", "test"):
        if not counts[role]:
            reasons = f" (unused rows: {', '.join(partition.reasons)})" if partition.reasons else ""
            raise DataError(
                f"{table.source.name}: fold {fold} has no {role} rows among {table.n_rows}{reasons}; "
                "use fewer folds, another split, or a larger table"
            )
