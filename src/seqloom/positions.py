"""Which symbols stand where: how often each stands at each position of the sequences of several classes of rows.

Decides what a position is, into which classes the rows of a target fall, and by which test two classes differ. Figures of it are
in `seqloom.report.residues`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from seqloom.alphabet import UNKNOWN, Alphabet
from seqloom.errors import ConfigError
from seqloom.table import Table
from seqloom.target import Target
from seqloom.tokens import ragged_bytes

MOST_POSITIONS = 60
MOST_CLASSES = 8
MOST_LENGTHS = 20
"""With more distinct lengths, rows are put into bands of lengths."""
N_BANDS = 8
PART = re.compile(r"(-?\d+)(?:\.\.(-?\d+))?")


def read_positions(text: str) -> tuple[int, ...]:
    """Positions from 1 on, and negative ones from the end; ConfigError for what is no position.

    >>> read_positions("1..3,-2..-1")
    (1, 2, 3, -2, -1)
    """
    found: list[int] = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        match = PART.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if first * last <= 0 or first > last:
            raise ConfigError(
                f"--position {part}: write positions from 1 on, from the end as -1, -2, or a range that rises on one side, such "
                "as 1..9 or -3..-1"
            )
        found += range(first, last + 1)
    wanted = tuple(dict.fromkeys(found))
    if not 0 < len(wanted) <= MOST_POSITIONS:
        raise ConfigError(f"--position {text}: name 1 to {MOST_POSITIONS} positions, such as 1..9,-1")
    return wanted


class RowClasses(NamedTuple):
    """Classes of the rows of a table."""

    names: tuple[str, ...]
    """Of two, the second is the one looked for."""
    member: np.ndarray  # int64 (N,): which of them each row is of, -1 for none
    how: str
    """Where they are from, in words."""


def row_classes(table: Table, target: Target) -> RowClasses:
    """The classes of a target; of numbers, those on either side of its threshold, or of the median where it has none.

    A bound is on the side where it leaves no doubt, else of no class. ConfigError for several columns or very many classes.
    """
    if len(target.columns) > 1:
        raise ConfigError(
            f"positions are told by one column, and there are {', '.join(target.columns)}; name one with --by"
        )
    column, values = target.columns[0], target.read(table)
    if target.task == "multilabel":
        target = replace(target, classes=("0", "1"))
    if target.task != "regression":
        if len(target.classes) > MOST_CLASSES:
            raise ConfigError(
                f"--by {column} has {len(target.classes)} classes, and positions are told for {MOST_CLASSES} at most; keep some "
                "with --where"
            )
        return RowClasses(target.classes, _whole(values[:, 0]), f"the classes of {column}")
    how = f"[target] positive_{'below' if target.threshold_sign < 0 else 'above'}"
    if not target.threshold_sign:
        original = table.numeric(column)
        target = replace(target, positive_above=float(np.median(original[~np.isnan(original)])))
        how = "the median, as [target] has no positive_below or positive_above"
    below = target.positive_below is not None
    threshold = target.positive_below if target.positive_below is not None else target.positive_above
    names = (f"{column} {'>=' if below else '<='} {threshold:g}", f"{column} {'<' if below else '>'} {threshold:g}")
    return RowClasses(names, _whole(target.positives(values, target.bounds(table))[:, 0]), f"{column} divided by {how}")


@dataclass(frozen=True)
class SymbolCounts:
    """Rows by class, position and symbol: `counts` int64 (G, P, K), `rows` int64 (G, P), those that reach the position."""

    positions: tuple[int, ...]
    symbols: str
    counts: np.ndarray
    rows: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Of the rows that reach a position, float64 (G, P, K), NaN where there are none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.counts / self.rows[:, :, None])

    def contrast(self, group: int) -> Contrast:
        """How this class differs from all others together."""
        a, n = self.counts[group], np.broadcast_to(self.rows[group][:, None], self.counts[group].shape)
        b, m = self.counts.sum(0) - a, self.rows.sum(0)[:, None] - n
        told = (a + b > 0) & (n > 0) & (m > 0)
        odds = np.log2((a + 0.5) * (m - b + 0.5) / ((n - a + 0.5) * (b + 0.5)))
        p = np.full(a.shape, np.nan)
        p[told] = fisher(a[told], (n - a)[told], b[told], (m - b)[told])
        return Contrast(np.where(told, odds, np.nan), p, false_discovery(p))


class Contrast(NamedTuple):
    """A class held against others, all float64 (P, K), NaN where there is nothing to compare.

    `log2_odds`: the logarithm of the odds ratio, with half a row added to each of its four counts (Haldane 1956, Ann Hum Genet
    20:309). `p`: Fisher's exact test, two-sided. `q`: the false discovery rate over all of them (Benjamini and Hochberg 1995).
    """

    log2_odds: np.ndarray
    p: np.ndarray
    q: np.ndarray


def count_symbols(
    table: Table, column: str, positions: tuple[int, ...], member: np.ndarray, n_classes: int
) -> SymbolCounts:
    """Symbols of a sequence column at `positions` by class; rows whose `member` is -1 do not count.

    Symbols are the standard ones (of SMILES: those that occur) and, after them, others that stand at these positions.
    """
    alphabet = table.alphabets[column]
    text, offsets = ragged_bytes(table.sequences(column))
    ids, lengths = alphabet.look_up[text], np.diff(offsets)
    counts = np.zeros((n_classes, len(positions), UNKNOWN + 1), np.int64)
    rows = np.zeros((n_classes, len(positions)), np.int64)
    for place, position in enumerate(positions):
        own = np.flatnonzero((lengths >= abs(position)) & (member >= 0))
        at = ids[offsets[own] + position - 1 if position > 0 else offsets[own + 1] + position]
        pairs = member[own] * (UNKNOWN + 1) + at
        counts[:, place] = np.bincount(pairs, minlength=n_classes * (UNKNOWN + 1)).reshape(n_classes, -1)
        rows[:, place] = np.bincount(member[own], minlength=n_classes)
    symbols = _shown(alphabet, counts.sum((0, 1)))
    return SymbolCounts(positions, symbols, counts[:, :, alphabet.ids(symbols)], rows)


def fisher(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Two-sided p values of Fisher's exact test, float64 (M,), of the tables [[a, b], [c, d]], each int64 (M,)."""
    from scipy.stats import fisher_exact

    tables = np.stack([a, b, c, d], axis=1).reshape(-1, 2, 2)
    distinct, place = np.unique(tables, axis=0, return_inverse=True)
    p = np.array([float(fisher_exact(each).pvalue) for each in distinct])
    return np.minimum(p, 1.0)[place.reshape(-1)]


def false_discovery(p: np.ndarray) -> np.ndarray:
    """False discovery rates of p values of any shape, NaN where they are; together, after Benjamini and Hochberg 1995."""
    from scipy.stats import false_discovery_control

    q = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q


class LengthShares(NamedTuple):
    """How the rows of one length, or of a band of lengths, are divided into classes."""

    shortest: int
    longest: int
    counts: tuple[int, ...]


def classes_by_length(lengths: np.ndarray, member: np.ndarray, n_classes: int) -> tuple[LengthShares, ...]:
    """Rows of every class by length; by bands of about as many rows each where there are many distinct lengths."""
    lengths, member = lengths[member >= 0], member[member >= 0]
    edges = np.unique(lengths)
    if len(edges) > MOST_LENGTHS:
        edges = np.unique(np.quantile(lengths, np.linspace(0, 1, N_BANDS + 1)[:-1], method="higher"))
    band = np.searchsorted(edges, lengths, side="right") - 1
    found = []
    for place in range(len(edges)):
        own = band == place
        counts = np.bincount(member[own], minlength=n_classes)
        found.append(LengthShares(int(lengths[own].min()), int(lengths[own].max()), tuple(counts.tolist())))
    return tuple(found)


def position_facts(counts: SymbolCounts, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Positions with their symbols: rows of every class, and for every symbol that occurs counts, shares, log-odds and q.

    Log-odds and q are of the last of two classes against the first, and of each of several against all others.
    """
    told = range(1, 2) if len(names) == 2 else range(len(names))
    contrasts = [counts.contrast(group) for group in told]
    facts = []
    for place, position in enumerate(counts.positions):
        symbols = [
            {
                "symbol": symbol,
                "counts": counts.counts[:, place, k].tolist(),
                "shares": counts.shares[:, place, k].tolist(),
                "log2_odds": [float(each.log2_odds[place, k]) for each in contrasts],
                "p": [float(each.p[place, k]) for each in contrasts],
                "q": [float(each.q[place, k]) for each in contrasts],
            }
            for k, symbol in enumerate(counts.symbols)
            if counts.counts[:, place, k].any()
        ]
        facts.append({"position": position, "rows": counts.rows[:, place].tolist(), "symbols": symbols})
    return facts


def _whole(values: np.ndarray) -> np.ndarray:
    """Class indices, int64 (N,), -1 for NaN."""
    return np.where(np.isnan(values), -1, np.nan_to_num(values)).astype(np.int64)


def _shown(alphabet: Alphabet, n_of_id: np.ndarray) -> str:
    present = [each for index, each in enumerate(alphabet.symbols, start=1) if n_of_id[index]]
    standard = present if alphabet.name == "smiles" else list(alphabet.standard)
    return "".join(dict.fromkeys([*standard, *present]))
