"""The split of a table when the user names none: as hard as the table allows, and why."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from seqloom.errors import DataError, MissingExtra
from seqloom.mutation.variants import families_of
from seqloom.registry import build
from seqloom.similarity.effort import Search
from seqloom.similarity.rows import alike_groups
from seqloom.split.base import Splitter
from seqloom.split.near import THRESHOLDS
from seqloom.split.similarity import WANTED_TEST, leaves_enough
from seqloom.table import Table

IDENTITIES = (*THRESHOLDS, 0.9)
"""Tried in this order; the first at which enough rows lie outside the largest component is taken."""
MOST_SYMBOLS = 300_000_000
"""Tables of more symbols are not compared unasked: it would take longer than most models."""
FEWEST_SITES = 10
"""Mutated sites below which sites cannot be held out: the numbers of mutations are."""
FEWEST_ROWS = 30
"""Rows to train on and to test that a split of variants must leave; of small tables a twentieth."""


class Recommendation(NamedTuple):
    """`[split]` settings, and the reason in words."""

    settings: dict[str, Any]
    reason: str


def splitter_for(asked: dict[str, Any], table: Table, task: str | None = None) -> tuple[Splitter, str]:
    """The splitter of the `[split]` settings asked for, or where they name no kind the one recommended; and why."""
    settings, reason = dict(asked), "as asked for"
    if "kind" not in asked:
        found = recommended(table, task)
        settings, reason = {**found.settings, **asked}, found.reason
    splitter = build("splitter", settings)
    assert isinstance(splitter, Splitter)
    return splitter, reason


def recommended(table: Table, task: str | None = None, search: Search = "auto") -> Recommendation:
    """What `compare` does when no split is named; `task` of the target, if it is known. `search` as the split by similarity has
    it: whether one can be made is told soonest by words."""
    if table.roles.set is not None:
        return Recommendation({"kind": "columns"}, f"column {table.roles.set!r} gives the partition")
    if table.roles.group is not None:
        return Recommendation({"kind": "group"}, f"rows of one {table.roles.group!r} are related")
    dealt = "stratified" if task in ("binary", "multiclass") else "random"
    try:
        n_symbols = sum(len(table.tokens(column).values) for column in table.roles.sequences)
        if n_symbols > MOST_SYMBOLS:
            return Recommendation(
                {"kind": dealt},
                f"{n_symbols:,} symbols are many to compare unasked; related rows may stand on both sides: --split similarity",
            )
        return _by_similarity(table, search) or _by_mutations(table) or Recommendation(
            {"kind": dealt}, f"at {IDENTITIES[-1]:.0%} identity nearly all rows are still joined, and they are no variants that "
            "can be divided by their mutations"
        )  # fmt: skip
    except (DataError, MissingExtra) as error:
        return Recommendation({"kind": dealt}, f"rows could not be compared ({str(error).splitlines()[0]})")


def _by_similarity(table: Table, search: Search) -> Recommendation | None:
    too_low = ""
    for identity in IDENTITIES:
        sizes = np.bincount(alike_groups(table, identity, search).label)
        share = float(sizes.max(initial=0)) / max(table.n_rows, 1)
        if leaves_enough(sizes, WANTED_TEST):
            reason = f"{len(sizes):,} groups of rows alike at {identity:.0%} identity, the largest of {share:.0%} of the rows"
            return Recommendation({"kind": "similarity", "identity": identity}, reason + too_low)
        if table.n_rows < 4:
            return None
        too_low = f"; at {identity:.0%} one group has {share:.0%}"
    return None


def _by_mutations(table: Table) -> Recommendation | None:
    if any(table.alphabets[column].name == "smiles" for column in table.roles.sequences):
        return None
    found = families_of(table)
    variants = int((found.label >= 0).sum())
    # Natural relatives fall into many small families, of which sites say little.
    if 2 * variants < table.n_rows or 2 * int(found.sizes.max(initial=0)) < table.n_rows:
        return None
    sites = np.unique(found.label[found.mutations.rows] * (1 << 32) + found.mutations.sites)
    what = f"{variants:,} of {table.n_rows:,} rows are variants of {len(found):,} wild type(s)"
    if len(sites) >= FEWEST_SITES and _leaves_rows("position", table):
        return Recommendation({"kind": "position"}, f"{what}; sites are held out, as identity cannot divide them")
    if _leaves_rows("mutations", table):
        return Recommendation(
            {"kind": "mutations"}, f"{what}, mutated at {len(sites)} sites; the test has more mutations than training"
        )
    return None


def _leaves_rows(kind: str, table: Table) -> bool:
    """Whether the split of this kind leaves enough rows on both sides: rows of many mutations have some at most sites."""
    splitter = build("splitter", {"kind": kind})
    assert isinstance(splitter, Splitter)
    try:
        counts = splitter.assign(table, None).counts(0)
    except DataError:
        return False
    return min(counts["train"], counts["test"]) >= min(FEWEST_ROWS, 0.05 * table.n_rows)
