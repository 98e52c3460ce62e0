"""Replicates: rows with the same inputs, merged into one by the rule of `[data] replicates`.

Rows are the same only if their set (train, valid, test) and the sign of their target agree as well: a merged row stands on
one side, and no bound is averaged with a value (the mean of bounds of one side is a bound of that side). Which targets are
classes is told by `seqloom.check.classes`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.check.classes import class_targets, classes_of
from seqloom.check.repeats import input_codes
from seqloom.check.rows import finding_at, first_rows
from seqloom.errors import DataError
from seqloom.findings import Finding
from seqloom.read.numbers import parsed
from seqloom.read.section import ReplicateRule

if TYPE_CHECKING:
    from seqloom.table import Table


class Groups(NamedTuple):
    """Which rows are replicates of each other."""

    of_row: np.ndarray  # int64 (N,): group of each row, in the order groups first appear
    first: np.ndarray  # int64 (groups,): first row of each

    @property
    def n_groups(self) -> int:
        """Groups, single rows among them."""
        return len(self.first)


class Merged(NamedTuple):
    """One target, a value per group."""

    values: pa.Array  # (groups,), null where no row of the group has one, or where classes tie
    conflicts: np.ndarray  # bool (groups,): no value can stand for the group


def aggregated(table: Table, rule: ReplicateRule) -> Table:
    """The table with one row for each group of replicates, in the order of their first rows.

    Numbers: their `mean`, `median` or `first` known value; classes: the most frequent one (or the `first`), and groups whose
    classes tie are dropped. `drop-conflicting` keeps groups whose known values agree and drops the others. With several
    targets, the one in conflict is emptied, and the group dropped if nothing else is known of it. Every other column is that
    of the group's first row. What was merged and dropped is added to the findings. Raises DataError if nothing is left. With
    `keep`, without a target, and where a value is no number (an error that `check` has found), it is the table itself.
    """
    targets = table.roles.targets
    classes = class_targets(table)
    groups = _groups(table) if targets and rule != "keep" else None
    if groups is None or _has_stray_words(table, classes):
        return table
    merged = [_merged(table.data[name].combine_chunks(), groups, rule, is_class=name in classes) for name in targets]
    keep = ~_dropped(merged)
    if not keep.any():
        raise DataError(
            f"{table.source.name}: [data] replicates = {rule!r} leaves no row: the targets of all equal inputs differ; "
            "use --set data.replicates=mean, or name the column that tells them apart with --set data.context=COLUMN"
        )
    result = table.take(groups.first[keep])
    for name, each in zip(targets, merged, strict=True):
        result = result.with_column(name, each.values.filter(pa.array(keep)))
    return replace(
        result, findings=(*table.findings, *_findings(table, groups, keep, rule, _words(rule, classes, merged, keep)))
    )


def _groups(table: Table) -> Groups | None:
    codes = input_codes(table)
    if codes is None:
        return None
    for name in (table.roles.set, table.roles.validation):
        if name is not None:
            words = pc.fill_null(pc.utf8_trim_whitespace(table.text(name)), "").dictionary_encode()
            pairs = codes * len(words.dictionary) + words.indices.to_numpy(zero_copy_only=False)
            codes = np.unique(pairs, return_inverse=True)[1]
    for signs in table.bounds.values():
        codes = np.unique(codes * 3 + signs + 1, return_inverse=True)[1]
    _, first, group = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return Groups(place[group], first[order])


def _has_stray_words(table: Table, classes: tuple[str, ...]) -> bool:
    return any(parsed(table.data[name])[1].any() for name in table.roles.targets if name not in classes)


def _merged(column: pa.Array, groups: Groups, rule: ReplicateRule, *, is_class: bool) -> Merged:
    if is_class:
        codes = classes_of(column).codes
        known = np.flatnonzero(codes >= 0)
        values = codes[known].astype(np.float64)
    else:
        numbers = parsed(column)[0]
        known = np.flatnonzero(~np.isnan(numbers))
        values = numbers[known]
    group = groups.of_row[known]
    differ = _differ(group, values, groups.n_groups)
    chosen = _first_known(group, known, groups.n_groups)
    conflicts = differ if rule == "drop-conflicting" else np.zeros(groups.n_groups, bool)
    if is_class and rule in ("mean", "median"):
        chosen, conflicts = _majority(group, codes[known], known, groups.n_groups)
    own = column.take(pa.array(chosen, mask=chosen < 0))
    if is_class or rule in ("first", "drop-conflicting"):
        return Merged(pc.if_else(pa.array(conflicts), None, own), conflicts)
    # Groups that agree keep their value to the last bit: (x + x + x) / 3 may not be x.
    average = _means if rule == "mean" else _medians
    averages = np.where(differ, average(group, values, groups.n_groups), parsed(own)[0])
    return Merged(pa.array(averages, mask=np.isnan(averages)), conflicts)


def _differ(group: np.ndarray, values: np.ndarray, n_groups: int) -> np.ndarray:
    """bool (groups,): more than one value."""
    low, high = np.full(n_groups, np.inf), np.full(n_groups, -np.inf)
    np.minimum.at(low, group, values)
    np.maximum.at(high, group, values)
    return low < high


def _first_known(group: np.ndarray, known: np.ndarray, n_groups: int) -> np.ndarray:
    """int64 (groups,): the first row of each group that has a value, -1 where none has."""
    rows = np.full(n_groups, -1, np.int64)
    present, position = np.unique(group, return_index=True)
    rows[present] = known[position]
    return rows


def _majority(group: np.ndarray, codes: np.ndarray, known: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """int64 (groups,): a row of the most frequent class, -1 where there is none; bool (groups,): two classes tie."""
    n_classes = int(codes.max(initial=0)) + 1
    pairs, position, votes = np.unique(group * n_classes + codes, return_index=True, return_counts=True)
    owner = pairs // n_classes
    most = np.zeros(n_groups, np.int64)
    np.maximum.at(most, owner, votes)
    wins = votes == most[owner]
    rows = np.full(n_groups, -1, np.int64)
    rows[owner[wins]] = known[position[wins]]
    return rows, np.bincount(owner[wins], minlength=n_groups) > 1


def _means(group: np.ndarray, values: np.ndarray, n_groups: int) -> np.ndarray:
    counts = np.bincount(group, minlength=n_groups)
    return np.bincount(group, values, minlength=n_groups) / np.maximum(counts, 1)


def _medians(group: np.ndarray, values: np.ndarray, n_groups: int) -> np.ndarray:
    values = values[np.lexsort((values, group))]
    counts = np.bincount(group, minlength=n_groups)
    starts = np.cumsum(counts) - counts
    last = max(len(values) - 1, 0)  # empty groups point anywhere; nobody asks for their median
    lower = np.minimum(starts + np.maximum(counts - 1, 0) // 2, last)
    upper = np.minimum(starts + counts // 2, last)
    return (values[lower] + values[upper]) / 2 if len(values) else np.zeros(n_groups)


def _dropped(merged: list[Merged]) -> np.ndarray:
    """bool (groups,): in conflict, and without a value for any target."""
    conflicts = np.any([each.conflicts for each in merged], axis=0)
    empty = np.all([each.values.is_null().to_numpy(zero_copy_only=False) for each in merged], axis=0)
    return conflicts & empty


def _words(rule: ReplicateRule, classes: tuple[str, ...], merged: list[Merged], keep: np.ndarray) -> str:
    """What stands for a group, and how many targets of kept groups nothing can stand for."""
    average = "the most frequent class" if classes else f"the {rule} of the target"
    agreed = {
        "first": "the first known value of the target",
        "drop-conflicting": "the value of the target they agree on",
    }
    n_emptied = sum(int((each.conflicts & keep).sum()) for each in merged)
    return agreed.get(rule, average) + (f" ({n_emptied:,} in conflict were emptied)" if n_emptied else "")


def _findings(table: Table, groups: Groups, keep: np.ndarray, rule: ReplicateRule, what: str) -> list[Finding]:
    sizes = np.bincount(groups.of_row, minlength=groups.n_groups)
    found = []
    several = np.flatnonzero((sizes > 1)[groups.of_row] & keep[groups.of_row])
    if len(several):
        n_groups = int((keep & (sizes > 1)).sum())
        message = (
            f"{table.source.name}: {len(several):,} rows of equal inputs were merged into {n_groups:,} by [data] replicates = "
            f"{rule!r}: {what}, all other columns of the first row: {first_rows(table, several)}"
        )
        found.append(finding_at(table, "replicates-merged", "info", message, several))
    lost = np.flatnonzero(~keep[groups.of_row])
    if len(lost):
        why = "differ in their target" if rule == "drop-conflicting" else "tie between classes"
        message = (
            f"{table.source.name}: {len(lost):,} rows of equal inputs in {_counted(int((~keep).sum()))} were dropped by [data] "
            f"replicates = {rule!r}, because they {why}: {first_rows(table, lost)}"
        )
        found.append(finding_at(table, "replicates-dropped", "warning", message, lost))
    return found


def _counted(n_groups: int) -> str:
    return "1 group" if n_groups == 1 else f"{n_groups:,} groups"
