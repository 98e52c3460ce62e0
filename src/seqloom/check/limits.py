"""Findings about the limits of an assay: one value, at an end of a numeric target, that is repeated far more than others.

Such a pile is what is left of measurements beyond the limit. Rows that are bounds, by their sign or by a limit the user named,
are not looked at: they are known for what they are (see `seqloom.censored`). Zero at an end is said in its own words, for it
may be true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from seqloom.check.bounds import measured
from seqloom.check.classes import class_targets
from seqloom.check.repeats import input_codes
from seqloom.check.rows import finding_at
from seqloom.findings import Finding
from seqloom.read.numbers import parsed

if TYPE_CHECKING:
    from seqloom.table import Table

FEWEST_DISTINCT = 30
"""A target with fewer distinct values is a scale of grades, where repeats mean nothing."""
FEWEST_ROWS, SMALLEST_SHARE = 20, 0.01
"""What a pile needs to be one: rows, and the share of all rows."""
TIMES = 5
"""How many times more often than any value near it. On 60 numeric columns of public tables the caps known to be such had
6.6 and more, rounded values and favourite numbers 4.2 and less."""
MOST_BEYOND, NEAR = 0.2, 0.4
"""Shares of rows: a pile is at an end if no more lie beyond it, and is held against the values of that many rows."""


class Pile(NamedTuple):
    """A value that is repeated at one end."""

    end: Literal["top", "bottom"]
    value: float
    n_rows: int
    times: float
    n_beyond: int


def assay_limits(table: Table) -> list[Finding]:
    """A finding for each end of each target of numbers where a pile stands."""
    found = []
    classes = class_targets(table)
    for name in table.roles.targets:
        values, odd = parsed(table.data[name].combine_chunks())
        if name in classes or odd.any():
            continue
        rows = np.flatnonzero(np.isfinite(values) & measured(table, name))
        for pile in piles(values[rows]):
            at = rows[values[rows] == pile.value]
            if _one_input_repeated(table, at):
                continue
            found.append(_finding(table, name, pile, at, len(rows)))
    return found


def piles(values: np.ndarray) -> list[Pile]:
    """The piles of `values`, float64 (N,) without NaN: at most one at the top and one at the bottom.

    None where there are few distinct values, nor at the bottom of counts (whole numbers from 0 or 1 on), where small numbers
    are common by nature.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) < FEWEST_DISTINCT:
        return []
    are_counts = bool(distinct[0] in (0, 1) and np.all(distinct == np.round(distinct)))
    top = _pile("top", distinct[::-1], counts[::-1])
    bottom = None if are_counts else _pile("bottom", distinct, counts)
    return [each for each in (top, bottom) if each is not None]


def _pile(end: Literal["top", "bottom"], distinct: np.ndarray, counts: np.ndarray) -> Pile | None:
    """The pile at the front of `distinct` (M,) with `counts` (M,), which are in order from that end."""
    total = int(counts.sum())
    beyond = np.cumsum(counts) - counts
    reached = np.flatnonzero(beyond <= MOST_BEYOND * total)
    at = int(reached[counts[reached].argmax()])
    count, value = int(counts[at]), float(distinct[at])
    others = np.where(np.arange(len(counts)) == at, 0, counts)
    near = np.cumsum(others) - others <= NEAR * (total - count)
    highest = int(others[near].max())
    if count < max(FEWEST_ROWS, SMALLEST_SHARE * total) or count < TIMES * highest:
        return None
    if value == 0 and beyond[at] > 0:  # no change, on a scale with two sides
        return None
    return Pile(end, value, count, count / highest, int(beyond[at]))


def _one_input_repeated(table: Table, rows: np.ndarray) -> bool:
    """Whether the pile is a wild type measured many times, say: most of its rows share their inputs."""
    codes = input_codes(table)
    return codes is not None and len(np.unique(codes[rows])) < len(rows) / 2


def _finding(table: Table, name: str, pile: Pile, rows: np.ndarray, n_rows: int) -> Finding:
    place = f"at the {pile.end}" if pile.n_beyond == 0 else f"near the {pile.end}"
    shown = f"{pile.value:.6g}"
    signed = table.roles.inequality is not None or name in table.bounds
    among = " of the rows that are no bound" if signed else ""
    head = (
        f"{table.source.name}: {shown} occurs {pile.n_rows:,} times ({pile.n_rows / n_rows:.1%}{among}) {place} of {name!r}, "
        f"{pile.times:.0f} times as often as any value near it"
    )
    cap = "cap_above" if pile.end == "top" else "cap_below"
    if pile.value == 0:
        message = (
            f"{head}: either nothing was there to be measured, or it was too little for the assay; if that is a limit, "
            f"a model of the mean takes it for a value, unless you type --set target.{cap}=0"
        )
        return finding_at(table, "zeros", "info", message, rows)
    sign = ">" if pile.end == "top" else "<"
    quoted = name if name.isidentifier() else f"`{name}`"
    message = (
        f"{head}: probably '{sign} {shown}', a limit of the assay; take these rows for bounds with "
        f'--set target.{cap}={pile.value!r}, or leave them out with --where "{quoted} != {pile.value!r}"'
    )
    return finding_at(table, "assay-limit", "warning", message, rows)
