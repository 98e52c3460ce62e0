"""From a splitter to a partition that is ready for fitting: inner splits made, shared inputs and empty folds answered for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seqloom.errors import DataError
from seqloom.split.audit import Audit, alike_tested, audit, refuse_shared
from seqloom.split.base import TEST, TRAIN, VALID, Partition, Splitter
from seqloom.split.inner import with_inner_splits
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
    partition, noticed = with_inner_splits(partition, splitter, table, strata)
    for fold in range(partition.n_folds):
        _refuse_empty_fold(partition, fold, table)
    refuse_shared(partition, splitter, table, keys)
    found = audit(partition, splitter, table, targets, keys)
    repaired = _without_alike(partition, splitter, table, found)
    if repaired is not partition:
        partition, found = repaired, audit(repaired, splitter, table, targets, keys)
    return partition, replace(found, findings=(*found.findings, *noticed))


def _without_shared(partition: Partition, keys: np.ndarray) -> Partition:
    for fold in range(partition.n_folds):
        roles = partition.roles[fold]
        in_test = np.isin(keys, keys[roles == TEST])
        rows = np.flatnonzero(in_test & ((roles == TRAIN) | (roles == VALID)))
        partition = partition.without(rows, "same inputs as a test row", np.array([fold]))
    return partition


def _without_alike(partition: Partition, splitter: Splitter, table: Table, found: Audit) -> Partition:
    """The partition without test rows that are as alike to training rows as the split was to keep together: pairs that search
    by words missed. As it is where that would leave a fold without a test row."""
    above = alike_tested(splitter, found.nearest)
    repaired = partition
    for fold in np.unique(above["fold"].to_numpy()).tolist():
        numbers = above["row"].to_numpy()[above["fold"].to_numpy() == fold]
        rows = np.flatnonzero(np.isin(table.row_numbers, numbers))
        why = "alike to a training row, in a pair that the split did not compare"
        repaired = repaired.without(rows, why, np.arange(fold, fold + splitter.inner))
    return repaired if all(repaired.counts(fold)["test"] for fold in range(repaired.n_folds)) else partition


def _refuse_empty_fold(partition: Partition, fold: int, table: Table) -> None:
    counts = partition.counts(fold)
    for role in ("train", "test"):
        if not counts[role]:
            reasons = f" (unused rows: {', '.join(partition.reasons)})" if partition.reasons else ""
            raise DataError(
                f"{table.source.name}: fold {fold} has no {role} rows among {table.n_rows}{reasons}; "
                "use fewer folds, another split, or a larger table"
            )
