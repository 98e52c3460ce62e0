"""Valid rows: a part of the training rows of each fold, for early stopping, penalties and calibration.

They are whole units of the split, as test rows are. Where training rows hang together so much that whole units leave too few,
smaller units are taken, and that is said: choices are then made on near relatives of training rows. Test rows stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seqloom.errors import ConfigError
from seqloom.findings import Finding
from seqloom.split.base import TRAIN, VALID, Partition, Splitter
from seqloom.split.deal import INNER_SHARE, deal, inner_split
from seqloom.table import Table

FEWEST_VALID = 30
"""Valid rows that are enough whatever their share of the training rows."""
FEWEST_OF_CLASS = 5
"""Valid rows of a class that are enough."""
MOST_NAMED_FOLDS = 5


def with_inner_splits(
    partition: Partition, splitter: Splitter, table: Table, strata: np.ndarray | None
) -> tuple[Partition, tuple[Finding, ...]]:
    """Valid rows in every fold that has none, and what to know of them.

    With `inner` > 1 every fold is there as often as that, each time with other valid rows; ConfigError where the table names
    valid rows of its own. `strata` as for `Splitter.assign`.
    """
    n_inner = splitter.inner
    if n_inner > 1 and (partition.roles == VALID).any():
        raise ConfigError("[split] inner > 1 makes its own valid rows, and the table names some; leave inner out")
    roles = np.repeat(partition.roles, n_inner, axis=0)
    reason = np.repeat(partition.reason, n_inner, axis=0) if partition.reason.size else partition.reason
    units = splitter.units(table)
    looser: list[tuple[np.ndarray, str]] = []
    related: dict[str, list[int]] = {}
    for fold, own in enumerate(partition.roles):
        train = np.flatnonzero(own == TRAIN)
        if (own == VALID).any():
            continue
        classes = None if strata is None else strata[train]
        seed = splitter.seed + 7919 * (fold + 1)
        parts = _dealt(units[train], classes, n_inner, seed)
        if not _are_enough(parts, classes, n_inner):
            looser = looser or list(splitter.looser_units(table))
            for smaller, what in looser:
                instead = _dealt(smaller[train], classes, n_inner, seed)
                if _are_enough(instead, classes, n_inner):
                    parts = instead
                    related.setdefault(what, []).extend(range(fold * n_inner, (fold + 1) * n_inner))
                    break
        for inner in range(n_inner):
            roles[fold * n_inner + inner, train[parts == inner]] = VALID
    findings = tuple(_finding(what, folds) for what, folds in related.items())
    return replace(partition, roles=roles, reason=reason), findings


def _dealt(units: np.ndarray, classes: np.ndarray | None, n_inner: int, seed: int) -> np.ndarray:
    if n_inner == 1:
        return np.where(inner_split(units, classes, seed), 0, -1)
    return deal(units, classes, [1 / n_inner] * n_inner, seed)


def _are_enough(parts: np.ndarray, classes: np.ndarray | None, n_inner: int) -> bool:
    """Whether each inner fold has half of its share of all rows and of every class, or more than anyone needs."""
    share = INNER_SHARE if n_inner == 1 else 1 / n_inner
    for inner in range(n_inner):
        valid = parts == inner
        if valid.sum() < min(int(0.5 * share * len(parts)), FEWEST_VALID):
            return False
        for each in () if classes is None else np.unique(classes[~np.isnan(classes)]):
            own = classes == each
            if (valid & own).sum() < min(int(0.5 * share * own.sum()), FEWEST_OF_CLASS):
                return False
    return True


def _finding(what: str, folds: list[int]) -> Finding:
    named = ", ".join(map(str, folds[:MOST_NAMED_FOLDS])) + (", ..." if len(folds) > MOST_NAMED_FOLDS else "")
    message = (
        f"fold{'s' * (len(folds) > 1)} {named}: related training rows hang together too much to give valid rows of their own, so "
        f"{what}, and early stopping, penalties and calibration go by near relatives of training rows: probabilities may be "
        "too sure; test rows are as far from training rows as they were"
    )
    return Finding("related-valid-rows", "warning", message, len(folds))
