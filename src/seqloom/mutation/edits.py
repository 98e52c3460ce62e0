"""How rows differ from one reference: substitutions in place, and at most one gap where the lengths differ.

That is what mutants of a protein look like. Two sequences with gaps in several places are compared by `seqloom.similarity`.
"""

from __future__ import annotations

import numpy as np

from seqloom.mutation.notation import NOTHING, Mutations
from seqloom.tokens import Tokens

CHUNK = 1 << 24
"""Symbols compared at once."""


def reach(length: np.ndarray | int) -> np.ndarray:
    """Most edits by which a row is still a variant of a reference of this length: a tenth of it, or two (one below 12).

    Two single mutants are two edits apart, so that fewer would leave short families in pieces.
    """
    length = np.asarray(length)
    return np.maximum(length // 10, np.minimum(length // 6, 2))


def edit_counts(reference: np.ndarray, tokens: Tokens) -> np.ndarray:
    """Edits of each row to `reference` (uint8 (L,)), int64 (N,); each residue of a gap counts as one."""
    counts = np.zeros(len(tokens), np.int64)
    for rows, ids in _by_length(tokens):
        if ids.shape[1] == len(reference):
            counts[rows] = (ids != reference).sum(1)
        else:
            _, mismatches = _gap(reference, ids)
            counts[rows] = mismatches + abs(ids.shape[1] - len(reference))
    return counts


def edits(reference: np.ndarray, tokens: Tokens) -> Mutations:
    """The edits that make each row of `reference` (uint8 (L,)), in ids, with sites from 1.

    A gap lies where it saves most substitutions, of equal places at the first; inserted residues have the site before them,
    or 1 at the very start.
    """
    parts = [_substitutions(reference, rows, ids) if ids.shape[1] == len(reference) else _with_gap(reference, rows, ids)
             for rows, ids in _by_length(tokens)]  # fmt: skip
    if not parts:
        return Mutations(*(np.zeros(0, kind) for kind in (np.int64, np.int64, np.uint8, np.uint8)))
    joined = Mutations(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    return joined.where(np.lexsort((joined.sites, joined.rows)))


def pair_counts(tokens: Tokens, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Edits between the rows of each pair, int64 (P,); `left` and `right` int64 (P,)."""
    lengths = tokens.lengths
    longer = lengths[left] > lengths[right]
    short, long = np.where(longer, right, left), np.where(longer, left, right)
    ends = np.cumsum(lengths[short])
    cuts = np.searchsorted(ends, np.arange(CHUNK, ends[-1] if len(ends) else 0, CHUNK))
    parts = [_counts(tokens, *each) for each in zip(np.split(short, cuts), np.split(long, cuts), strict=True)]
    return np.concatenate(parts)


def _counts(tokens: Tokens, short: np.ndarray, long: np.ndarray) -> np.ndarray:
    """As `pair_counts`, for pairs whose second row is not shorter, all at once."""
    widths = tokens.lengths[short]
    gaps = tokens.lengths[long] - widths
    ends = np.cumsum(widths)
    starts = ends - widths
    own = np.arange(ends[-1] if len(ends) else 0) - np.repeat(starts, widths)
    symbols = tokens.values[own + np.repeat(tokens.offsets[short], widths)]
    beside = own + np.repeat(tokens.offsets[long], widths)
    before = np.concatenate([[0], np.cumsum(symbols != tokens.values[beside])])
    counts = before[ends] - before[starts]  # with the gap behind all symbols
    uneven = np.flatnonzero(gaps > 0)
    if not len(uneven):
        return counts
    after = np.concatenate([[0], np.cumsum(symbols != tokens.values[beside + np.repeat(gaps, widths)])])
    # mismatches with the gap before each symbol: those before it in place, those from it on behind the gap
    costs = before[:-1] - np.repeat(before[starts], widths) + np.repeat(after[ends], widths) - after[:-1]
    filled = np.flatnonzero(widths > 0)
    counts[filled] = np.minimum(counts[filled], np.minimum.reduceat(costs, starts[filled]))
    return counts + gaps


def _matrix(tokens: Tokens, rows: np.ndarray) -> np.ndarray:
    """Rows of one length as uint8 (n, L)."""
    length = int(tokens.lengths[rows[0]])
    return tokens.values[tokens.offsets[rows][:, None] + np.arange(length)]


def _by_length(tokens: Tokens) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and their symbols, uint8 (n, L), in parts of one length and bounded size."""
    parts = []
    for length in np.unique(tokens.lengths):
        rows = np.flatnonzero(tokens.lengths == length)
        step = max(CHUNK // max(int(length), 1), 1)
        parts += [(each, _matrix(tokens, each)) for each in (rows[i : i + step] for i in range(0, len(rows), step))]
    return parts


def _gap(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where one gap makes sequences of two lengths most alike: symbols before it, and mismatches beside it, int64 (n,) each.

    `left`, `right`: uint8 (n, L) or (L,), of lengths that differ.
    """
    short, long = (left, right) if left.shape[-1] < right.shape[-1] else (right, left)
    width, gap = short.shape[-1], long.shape[-1] - short.shape[-1]
    before = short != long[..., :width]
    after = short != long[..., gap:]
    n_rows = max(len(np.atleast_2d(short)), len(np.atleast_2d(long)))
    costs = np.zeros((n_rows, width + 1), np.int64)
    np.cumsum(before, axis=1, out=costs[:, 1:])
    costs[:, :-1] += np.cumsum(after[:, ::-1], axis=1)[:, ::-1]
    place = costs.argmin(1)
    return place, costs[np.arange(n_rows), place]


def _substitutions(reference: np.ndarray, rows: np.ndarray, ids: np.ndarray) -> Mutations:
    row, place = np.nonzero(ids != reference)
    return Mutations(rows[row], place + 1, reference[place], ids[row, place])


def _with_gap(reference: np.ndarray, rows: np.ndarray, ids: np.ndarray) -> Mutations:
    length, width = len(reference), ids.shape[1]
    gap = abs(length - width)
    place, _ = _gap(reference, ids)
    own = np.arange(width) + np.where(np.arange(width) < place[:, None], 0, gap if width < length else 0)
    own = np.minimum(own, length - 1)  # places in the reference of every symbol of the row, once gaps are made in it
    if width > length:
        columns = np.arange(width)
        own = np.minimum(columns - np.clip(columns - place[:, None], 0, gap), length - 1)
        inserted = (columns >= place[:, None]) & (columns < place[:, None] + gap)
    else:
        inserted = np.zeros(ids.shape, bool)
    row, column = np.nonzero(~inserted & (ids != reference[own]))
    found = Mutations(rows[row], own[row, column] + 1, reference[own[row, column]], ids[row, column])
    repeated = np.repeat(np.arange(len(rows)), gap)
    at = np.repeat(place, gap) + np.tile(np.arange(gap), len(rows))
    nothing = np.full(len(repeated), NOTHING, np.uint8)
    if width > length:
        sites = np.maximum(np.repeat(place, gap), 1)
        gaps = Mutations(rows[repeated], sites, nothing, ids[repeated, at])
    else:
        gaps = Mutations(rows[repeated], at + 1, reference[at], nothing)
    return Mutations(*(np.concatenate(each) for each in zip(found, gaps, strict=True)))
