"""Partition: the role of every row in every fold, why a row is unused, and the first audit for leaks.

A splitter decides which rows are tested (and, if it knows, which are valid). What all splitters share is done here: the
inner split of training rows, rows without a target, rows whose inputs stand in training and test at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from seqloom.errors import DataError, LeakError
from seqloom.findings import Finding, finding
from seqloom.registry import Recipe
from seqloom.table import Table

TRAIN, VALID, TEST, UNUSED = range(4)
ROLE_NAMES = ("train", "valid", "test", "unused")

INNER_SHARE = 0.1
"""Share of training rows set aside for early stopping and penalties when the user names no valid rows."""


@dataclass(frozen=True)
class Partition:
    """The role of each row in each fold."""

    roles: np.ndarray  # int8 (folds, N): TRAIN, VALID, TEST or UNUSED
    reasons: tuple[str, ...] = ()  # why a row is unused, by code
    reason: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int16))  # (folds, N), -1 = in use

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.roles)

    def rows(self, fold: int, role: int) -> np.ndarray:
        """Rows with this role in this fold, int64."""
        return np.flatnonzero(self.roles[fold] == role)

    def counts(self, fold: int) -> dict[str, int]:
        """Rows by role."""
        numbers = np.bincount(self.roles[fold], minlength=4)
        return dict(zip(ROLE_NAMES, numbers.tolist(), strict=True))

    def without(self, rows: np.ndarray, why: str, folds: np.ndarray | None = None) -> Partition:
        """The partition with `rows` unused (in `folds`, default all), for the reason given."""
        chosen = np.zeros(self.roles.shape, bool)
        chosen[np.ix_(np.arange(self.n_folds) if folds is None else folds, rows)] = True
        chosen &= self.roles != UNUSED
        if not chosen.any():
            return self
        reason = self.reason if self.reason.size else np.full(self.roles.shape, -1, np.int16)
        reasons = self.reasons if why in self.reasons else (*self.reasons, why)
        return Partition(
            np.where(chosen, UNUSED, self.roles).astype(np.int8),
            reasons,
            np.where(chosen, reasons.index(why), reason).astype(np.int16),
        )

    def as_table(self, table: Table) -> pa.Table:
        """`partition.parquet`: row, id, fold, role, reason, and a hash of the row's inputs (see `input_hashes`)."""
        folds, n_rows = self.roles.shape
        names = pa.array([*ROLE_NAMES])
        why = pa.array([*self.reasons, ""])
        codes = self.reason if self.reason.size else np.full(self.roles.shape, -1)
        return pa.table(
            {
                "row": np.tile(table.row_numbers, folds),
                "id": pa.concat_arrays([table.ids.cast(pa.large_string())] * folds),
                "fold": np.repeat(np.arange(folds, dtype=np.int32), n_rows),
                "role": names.take(pa.array(self.roles.ravel())),
                "inputs": np.tile(input_hashes(table), folds),
                "reason": why.take(pa.array(np.where(codes < 0, len(self.reasons), codes).ravel())),
            }
        )


class Splitter(Recipe, ABC):
    """A recipe for a partition: the `[split]` section."""

    seed: int = 0
    """Seed of every random choice of the split."""
    shared: Literal["stop", "unused", "allow"] = "stop"
    """Test rows whose inputs also stand in training: stop the run, leave those training rows unused, or allow it."""

    @abstractmethod
    def assign(self, table: Table, strata: np.ndarray | None) -> Partition:
        """Roles of all rows. `strata`: class of each row, float64 (N,), NaN if unknown, or None for regression.

        A splitter may leave VALID empty; an inner split of its training rows is then made for it.
        """

    @property
    @abstractmethod
    def guarantee(self) -> str:
        """What holds for every test row of this partition, in one sentence."""

    def units(self, table: Table) -> np.ndarray:
        """What no part may divide: a number for each row, int64 (N,); rows that look alike to a model by default."""
        return seen_groups(table)


@dataclass(frozen=True)
class Audit:
    """What was found when a partition was checked against its table."""

    facts: Mapping[str, Any]
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """`audit.json`."""
        return {**self.facts, "findings": [each.as_json() for each in self.findings]}


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
    partition = _with_inner_split(partition, splitter.units(table), strata, splitter.seed)
    for fold in range(partition.n_folds):
        _refuse_empty_fold(partition, fold, table)
    return partition, _audit(partition, splitter, table, keys)


def input_groups(table: Table) -> np.ndarray:
    """A number for each row, int64 (N,), equal where all inputs are equal."""
    encoded = table.input_keys().dictionary_encode()
    indices: np.ndarray = encoded.indices.to_numpy(zero_copy_only=False)
    return indices.astype(np.int64)


def seen_groups(table: Table) -> np.ndarray:
    """As `input_groups`, without the context, which no model sees: the same peptide with two alleles is one."""
    return input_groups(replace(table, roles=replace(table.roles, context=())))


def input_hashes(table: Table) -> np.ndarray:
    """A 64-bit hash of what a model sees of each row (sequences and covariates), uint64 (N,).

    Equal in any table of equal inputs, so that a run can tell later whether it has seen a row; context columns, which the
    model does not see, play no part.
    """
    parts = [table.sequences(column).to_pylist() for column in table.roles.sequences]
    parts += [table.numeric(name).tolist() for name in table.roles.covariates]
    digests = b"".join(blake2b(repr(row).encode(), digest_size=8).digest() for row in zip(*parts, strict=True))
    return np.frombuffer(digests, "<u8")


def shuffled_units(units: np.ndarray, seed: int) -> np.ndarray:
    """The distinct `units`, int64, in an order that depends on the seed alone."""
    distinct = np.unique(units)
    return distinct[np.random.default_rng([seed, 0x5EED]).permutation(len(distinct))]


def smallest_unit(units: np.ndarray, seed: int) -> int:
    """The unit of the fewest rows, of several the first in random order."""
    order = shuffled_units(units, seed)
    distinct, counts = np.unique(units, return_counts=True)
    return int(order[np.argmin(counts[np.searchsorted(distinct, order)])])


def deal(units: np.ndarray, strata: np.ndarray | None, shares: list[float], seed: int) -> np.ndarray:
    """A part number for each row, int64 (N,), so that parts hold about `shares` of the rows of every stratum.

    Rows of one unit (equal inputs, or a group) go to one part. Units are dealt, largest first and ties in random order, to
    the part that is furthest below its share in the unit's own stratum.
    """
    order = shuffled_units(units, seed)
    place = np.empty(int(units.max(initial=-1)) + 1, np.int64)
    place[order] = np.arange(len(order))
    unit_of_row = place[units]
    sizes = np.bincount(unit_of_row, minlength=len(order))
    stratum = np.zeros(len(order), np.int64)
    if strata is not None:
        known = np.where(np.isnan(strata), -1, strata).astype(np.int64)
        stratum[unit_of_row[::-1]] = known[::-1] + 1
    part_of_unit = np.zeros(len(order), np.int64)
    for each in np.unique(stratum):
        own = np.flatnonzero(stratum == each)
        own = own[np.argsort(-sizes[own], kind="stable")]
        part_of_unit[own] = _deal_one_stratum(sizes[own], shares, seed + int(each))
    return part_of_unit[unit_of_row]


def _deal_one_stratum(sizes: np.ndarray, shares: list[float], seed: int) -> np.ndarray:
    parts = np.empty(len(sizes), np.int64)
    goal = np.array(shares) * sizes.sum()
    filled = np.zeros(len(shares))
    n_large = int((sizes > 1).sum())
    for index in range(n_large):
        part = int(np.argmax(goal - filled))
        parts[index] = part
        filled[part] += sizes[index]
    single = len(sizes) - n_large
    missing = np.maximum(goal - filled, 0)
    bounds = np.cumsum(missing / missing.sum() * single) if missing.sum() > 0 else np.full(len(shares), single)
    # A random start of the rounding, so that tiny strata do not all fall into the same part.
    offset = np.random.default_rng([seed, 0xDEA1]).random()
    parts[n_large:] = np.minimum(np.searchsorted(bounds, np.arange(single) + offset, side="right"), len(shares) - 1)
    return parts


def _without_shared(partition: Partition, keys: np.ndarray) -> Partition:
    for fold in range(partition.n_folds):
        roles = partition.roles[fold]
        in_test = np.isin(keys, keys[roles == TEST])
        rows = np.flatnonzero(in_test & ((roles == TRAIN) | (roles == VALID)))
        partition = partition.without(rows, "same inputs as a test row", np.array([fold]))
    return partition


def _with_inner_split(partition: Partition, units: np.ndarray, strata: np.ndarray | None, seed: int) -> Partition:
    roles = partition.roles.copy()
    for fold in range(partition.n_folds):
        train = np.flatnonzero(roles[fold] == TRAIN)
        if not (roles[fold] == VALID).any():
            own = None if strata is None else strata[train]
            roles[fold, train[inner_split(units[train], own, seed + 7919 * (fold + 1))]] = VALID
    return replace(partition, roles=roles)


def inner_split(units: np.ndarray, strata: np.ndarray | None, seed: int) -> np.ndarray:
    """Which of the training rows become valid, bool (N,): about `INNER_SHARE` of them; none of fewer than four rows."""
    n_rows = len(units)
    if n_rows < 4:
        return np.zeros(n_rows, bool)
    chosen = deal(units, strata, [1 - INNER_SHARE, INNER_SHARE], seed) == 1
    if not chosen.any():
        chosen = units == smallest_unit(units, seed)
    return chosen if not chosen.all() else np.zeros(n_rows, bool)


def _refuse_empty_fold(partition: Partition, fold: int, table: Table) -> None:
    counts = partition.counts(fold)
    for role in ("train", "test"):
        if not counts[role]:
            reasons = f" (unused rows: {', '.join(partition.reasons)})" if partition.reasons else ""
            raise DataError(
                f"{table.source.name}: fold {fold} has no {role} rows among {table.n_rows}{reasons}; "
                "use fewer folds, another split, or a larger table"
            )


def _audit(partition: Partition, splitter: Splitter, table: Table, keys: np.ndarray) -> Audit:
    folds, findings, n_shared = [], [], 0
    for fold in range(partition.n_folds):
        roles = partition.roles[fold]
        fitted = np.unique(keys[(roles == TRAIN) | (roles == VALID)])
        shared = np.flatnonzero((roles == TEST) & np.isin(keys, fitted))
        n_shared += len(shared)
        folds.append(
            {
                "fold": fold,
                "counts": partition.counts(fold),
                "shared_inputs": len(shared),
                "named_rows": table.row_numbers[shared[:5]].tolist(),
            }
        )
        if len(shared):
            findings.append(_shared_finding(shared, fold, splitter, table))
        if not partition.counts(fold)["valid"]:
            findings.append(
                finding("no-inner-split", "warning", f"fold {fold} is too small for valid rows; training rows stand in")
            )
    if n_shared and splitter.shared == "stop":
        raise LeakError("\n".join(each.message for each in findings if each.code == "shared-inputs"))
    unused = {why: int((partition.reason == code).any(axis=0).sum()) for code, why in enumerate(partition.reasons)}
    for why, count in unused.items():
        if count:
            rows = table.row_numbers[np.flatnonzero((partition.reason == partition.reasons.index(why)).any(axis=0))]
            findings.append(finding("unused-rows", "info", f"{count:,} rows are unused: {why}", rows))
    facts = {
        "splitter": {"kind": splitter.kind, **splitter.model_dump(mode="json")},
        "guarantee": splitter.guarantee,
        "folds": folds,
        "unused": unused,
    }
    return Audit(facts, tuple(findings))


def _shared_finding(shared: np.ndarray, fold: int, splitter: Splitter, table: Table) -> Finding:
    columns = [*table.roles.context, *table.roles.sequences, *table.roles.covariates]
    what = "pairs" if len(columns) == 2 else "inputs"
    few = table.take(shared[:3])
    cells = [few.text(name).to_pylist() for name in columns]
    named = "; ".join(" ".join(_shortened(str(cell)) for cell in row) for row in zip(*cells, strict=True))
    message = (
        f"{len(shared):,} shared {what} ({', '.join(columns)}): test rows of fold {fold} whose {what} also stand in training, "
        f"for instance {named}"
    )
    advice = (
        ""
        if splitter.shared == "allow"
        else (
            "; leave those training rows out with --set split.shared=unused, or keep them with --set split.shared=allow"
        )
    )
    return finding(
        "shared-inputs",
        "warning" if splitter.shared == "allow" else "error",
        message + advice,
        table.row_numbers[shared],
    )


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
