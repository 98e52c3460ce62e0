"""Near duplicates of training rows among test rows: whether the partition leaks by them, and what to compare with instead.

Counted they are in `seqloom.split.audit`. Variants of one protein are near duplicates of each other, and a test may ask for
something new nevertheless. What is advised can be done: a lower threshold only where the table can be divided at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow.compute as pc

from seqloom.findings import Finding, Severity, finding
from seqloom.similarity.effort import Search
from seqloom.similarity.rows import alike_groups
from seqloom.split.base import Splitter
from seqloom.split.random import DealtSplitter
from seqloom.split.similarity import WANTED_TEST, SimilaritySplit, leaves_enough
from seqloom.table import Table

NEAR = 0.8
"""Identity from which two sequences are called near duplicates: of 25 residues, five may differ."""
THRESHOLDS = (0.5, 0.7, NEAR)
"""Identities at which a split may be made that leaves no near duplicates, the hardest first."""
MOST_SYMBOLS = 10_000_000
"""Larger tables are not grouped for the sake of advice."""
MUCH = 0.1
"""Share of test rows with a near duplicate in training from which the partition is said to leak."""
FEWEST_GROUPS = 5
ROWS_PER_GROUP = 3
"""Values of a column that may name groups of rows, and rows for each on average, at least."""


def near_finding(splitter: Splitter, table: Table, facts: Mapping[str, Any], alike: np.ndarray) -> Finding:
    """What to say of the test rows that are near duplicates of training rows, `alike` int64 (K,) by row number.

    `facts`: what the audit knows of the fold: `fold`, `counts`, `nearest`, `families`, and `targets_beyond_training` if any.
    """
    nearest, n_test = facts["nearest"], facts["counts"]["test"]
    measure = "Tanimoto similarity" if nearest["measure"] == "tanimoto" else "identity"
    every = " in every sequence column" if len(table.roles.sequences) > 1 else ""
    share = len(alike) / nearest["rows"]
    sample = "" if nearest["rows"] == n_test else f" (of a random sample of {n_test:,})"
    message = (
        f"{len(alike):,} of {nearest['rows']:,} test rows{sample} of fold {facts['fold']} ({share:.0%}) are near duplicates of "
        f"training rows ({NEAR:.0%} {measure} or more{every})"
    )
    code = "near-duplicates"
    severity: Severity = "info"
    new = _asked(facts)
    if share >= MUCH and new:
        message += f", as variants of one protein are; what the test asks for is still new: {new}"
    elif share >= MUCH:
        code, severity = "leaks", "warning"
        message += (
            ": this partition leaks. Its scores say how well near copies of training rows are recalled, not how good a model is "
            f"on new sequences; {_advice(splitter, table, facts)}"
        )
    return finding(code, severity, message, alike)


def _asked(facts: Mapping[str, Any]) -> str:
    """What at least half of the test rows have that no training row has, in words; empty where there is nothing."""
    families = facts["families"]
    parts = []
    if families is not None and families["more_mutations"] >= 0.5:
        low, high = families["test_mutations"]["min"], families["test_mutations"]["max"]
        there = f"{low} to {high}" if low != high else f"{high}"
        parts.append(f"{there} mutations, and training rows have at most {families['train_mutations']['max']}")
    if families is not None and families["new_site"] >= 0.5:
        parts.append(f"{families['new_site']:.0%} of test rows are mutated at a site that no training row has mutated")
    beyond = facts.get("targets_beyond_training", 0.0)
    if beyond >= 0.5:
        parts.append(f"{beyond:.0%} of test targets lie beyond the range of training targets")
    return "; ".join(parts)


def _advice(splitter: Splitter, table: Table, facts: Mapping[str, Any]) -> str:
    """What to do instead."""
    families = facts["families"]
    if families is not None and families["n_families"] == 1:
        return "compare with --split position or mutations"
    if isinstance(splitter, SimilaritySplit) and splitter.identity <= NEAR:
        return "compare all pairs with --set split.search=exact"
    kind = "" if isinstance(splitter, SimilaritySplit) else "--split similarity "
    search: Search = splitter.search if isinstance(splitter, SimilaritySplit) else "auto"
    if kind and sum(len(table.tokens(each).values) for each in table.roles.sequences) > MOST_SYMBOLS:
        return "compare with --split similarity"
    sizes = np.ones(0, np.int64)
    for identity in THRESHOLDS:
        sizes = np.bincount(alike_groups(table, identity, search).label)
        if leaves_enough(sizes, _tested_share(splitter)):
            return f"compare with {kind}--set split.identity={identity:g}"
    groups = _group_column(table)
    whole = f", or test whole groups with --split leave-one-group-out --group {groups}" if groups else ""
    return (
        f"no split by similarity does better, as at {NEAR:.0%} identity {sizes.max():,} of the {table.n_rows:,} rows are one "
        f"group: go by the scores below {NEAR:.0%} among those by band of identity in the report{whole}"
    )


def _tested_share(splitter: Splitter) -> float:
    """Share of rows that a fold tests."""
    if not isinstance(splitter, DealtSplitter):
        return WANTED_TEST
    return splitter.test if splitter.folds == 1 else 1 / splitter.folds


def _group_column(table: Table) -> str | None:
    """The first column without a role whose values might name groups, such as patients or subtypes."""
    for name in table.data.column_names:
        if name in table.roles.columns:
            continue
        n_values = pc.count_distinct(table.data[name]).as_py()
        if FEWEST_GROUPS <= n_values <= table.n_rows / ROWS_PER_GROUP:
            return str(name)
    return None
