"""Families of variants: which rows are mutants of one wild type, what it is, and how each row differs from it.

Nothing but the sequences is used, unless the wild type is named. What a partition makes of families is left to splitters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqloom.alphabet import Alphabet
from seqloom.mutation.consensus import Basis, Reference, consensus, exchange_odds
from seqloom.mutation.edits import edit_counts, edits, reach
from seqloom.mutation.linking import near_groups, nearest_reference
from seqloom.mutation.notation import Mutations
from seqloom.tokens import Tokens

MOST_CENTRES = 4
"""Wild types that a family of near ones may turn out to have; a library of double mutants would have hundreds."""
EXPLAINED = 0.9
"""Share of rows that must be single mutants of some centre before a family is divided among several."""
LEAST_SHARE = 0.05
"""Of a family's rows, which each of its centres has to have."""


@dataclass(frozen=True)
class Families:
    """F families of N rows; a row that differs from all others by more than a tenth of its length is in none."""

    label: np.ndarray  # int64 (N,), the family, -1 for none; the largest family is 0
    wild_types: Tokens  # F sequences in ids of the alphabet
    basis: tuple[Basis, ...]  # (F,), what each wild type rests on
    kin: np.ndarray  # int64 (F,), equal for families whose wild types are themselves variants of each other
    edits: np.ndarray  # int64 (N,), mutations of each row from its wild type, 0 for a wild type and where there is none
    mutations: Mutations  # all of them, in ids, with sites from 1

    def __len__(self) -> int:
        return len(self.basis)

    @property
    def certain(self) -> np.ndarray:
        """Whether a wild type was named or most rows of its family vouch for each of its residues, bool (F,)."""
        return np.array([each in ("named", "majority") for each in self.basis], bool)

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each family, int64 (F,)."""
        return np.bincount(self.label[self.label >= 0], minlength=len(self))


def families(
    tokens: Tokens,
    alphabet: Alphabet,
    groups: np.ndarray | None = None,
    wild_type: np.ndarray | None = None,
    *,
    one_family: bool = False,
) -> Families:
    """The families of N sequences, each of at least two distinct ones.

    `groups`: int64 (N,), rows that may be related, where something else knows; by default rows joined by steps of few edits.
    `wild_type`: uint8 (L,) in ids; rows that are nearer to it than half its length are its family, whatever else there is, and
    with `one_family` all rows are.
    """
    distinct, row_of, first = tokens.distinct()
    label = np.full(len(distinct), -1, np.int64)
    found: list[Reference] = []
    if wild_type is not None:
        own = (edit_counts(wild_type, distinct) * 2 < len(wild_type)) | one_family
        label[own] = 0
        found.append(Reference(wild_type, "named"))
    left = np.flatnonzero(label < 0)
    group = near_groups(distinct.take(left)) if groups is None else groups[first[left]]
    clusters = [left[rows] for rows in _clusters(group)]
    plain = np.zeros((alphabet.size, alphabet.size))
    parts = [_families_of(distinct.take(rows), plain) for rows in clusters]
    odds = _learnt_odds(distinct, clusters, parts, alphabet.size)
    for rows, part in zip(clusters, parts, strict=True):
        again = part if all(each.is_certain for each, _ in part) else _families_of(distinct.take(rows), odds)
        for reference, members in again:
            label[rows[members]] = len(found)
            found.append(reference)
    _adopt(distinct, label, found)
    return _described(tokens, label[row_of], found)


def mutations_of(tokens: Tokens, label: np.ndarray, wild_types: Tokens) -> Mutations:
    """The mutations, in ids with sites from 1, of each row from the wild type that `label` (int64 (N,), -1 for none) names."""
    order = np.argsort(label, kind="stable")
    starts = np.searchsorted(label[order], np.arange(len(wild_types) + 1))
    parts = [_no_mutations()]
    for family in np.unique(label[label >= 0]).tolist():
        rows = order[starts[family] : starts[family + 1]]
        reference = wild_types.values[wild_types.offsets[family] : wild_types.offsets[family + 1]]
        own = edits(reference, tokens.take(rows))
        parts.append(own._replace(rows=rows[own.rows]))
    mutations = Mutations(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    return mutations.where(np.lexsort((mutations.sites, mutations.rows)))


def no_families(n_rows: int) -> Families:
    """Of rows that are no variants."""
    empty = Tokens(np.zeros(0, np.uint8), np.zeros(1, np.int64))
    return Families(np.full(n_rows, -1), empty, (), np.zeros(0, np.int64), np.zeros(n_rows, np.int64), _no_mutations())


def _no_mutations() -> Mutations:
    return Mutations(*(np.zeros(0, kind) for kind in (np.int64, np.int64, np.uint8, np.uint8)))


def _clusters(group: np.ndarray) -> list[np.ndarray]:
    """Rows of each group of two or more, in order."""
    order = np.argsort(group, kind="stable")
    cuts = np.flatnonzero(np.diff(group[order])) + 1
    return [rows for rows in np.split(order, cuts) if len(rows) > 1]


def _families_of(tokens: Tokens, odds: np.ndarray) -> list[tuple[Reference, np.ndarray]]:
    """Wild types and their rows, int64, among related sequences.

    The most common length has the first wild type; rows of any length within its reach are its mutants, unless those of
    another length have a consensus that is nearer to them. What is out of reach is looked at again.
    """
    left = np.arange(len(tokens))
    found = []
    while len(left) > 1:
        lengths = tokens.lengths[left]
        width = np.bincount(lengths).argmax()
        core = left[lengths == width]
        if len(core) < 2:
            break
        reference = consensus(_matrix(tokens, core), odds)
        counts = edit_counts(reference.ids, tokens.take(left))
        near = counts <= reach(len(reference.ids))
        for other in np.unique(lengths[near & (lengths != width)]):
            alike = np.flatnonzero(lengths == other)
            if len(alike) > 1 and (counts[alike] > 1).mean() >= EXPLAINED:
                own = edit_counts(consensus(_matrix(tokens, left[alike]), odds).ids, tokens.take(left[alike]))
                near[alike] &= own.sum() >= counts[alike].sum()
        members = left[near]
        if len(members) > 1:
            found += _by_centre(tokens, members, reference)
        left = left[~near & (lengths != width)] if len(members) < 2 else left[~near]
    return found


def _matrix(tokens: Tokens, rows: np.ndarray) -> np.ndarray:
    length = int(tokens.lengths[rows[0]])
    return tokens.values[tokens.offsets[rows][:, None] + np.arange(length)]


def _by_centre(tokens: Tokens, rows: np.ndarray, reference: Reference) -> list[tuple[Reference, np.ndarray]]:
    """The family, or several where it is single mutants of a few wild types that are near each other."""
    whole = [(reference, rows)]
    ids = reference.ids
    counts = edit_counts(ids, tokens.take(rows))
    core = rows[tokens.lengths[rows] == len(ids)]
    if reference.basis == "first row" or (counts <= 1).mean() >= EXPLAINED or len(core) < 4:
        return whole
    matrix = _matrix(tokens, core)
    centres = [ids]
    while len(centres) < MOST_CENTRES:
        unexplained = np.min([(matrix != centre).sum(1) for centre in centres], axis=0) > 1
        centre = _next_centre(matrix[unexplained], ids)
        if centre is None:
            break
        centres.append(centre)
    distance = np.stack([edit_counts(centre, tokens.take(rows)) for centre in centres])
    nearest = distance.argmin(0)
    sizes = np.bincount(nearest, minlength=len(centres))
    explained = (distance.min(0) <= 1).mean()
    if len(centres) == 1 or explained < EXPLAINED or sizes.min() < max(LEAST_SHARE * len(rows), 2):
        return whole
    bases = [reference.basis, *("majority" if size > 2 else "ties" for size in sizes[1:].tolist())]
    return [(Reference(centre, basis), rows[nearest == place])  # type: ignore[arg-type]
            for place, (centre, basis) in enumerate(zip(centres, bases, strict=True))]  # fmt: skip


def _next_centre(ids: np.ndarray, reference: np.ndarray) -> np.ndarray | None:
    """What the rows (n, L) that share the most frequent substitution have in common, else the reference; None if alone."""
    row, site = np.nonzero(ids != reference)
    if not len(row):
        return None
    substitutions, counts = np.unique(site * 256 + ids[row, site], return_counts=True)
    if counts.max() < 2:
        return None
    shared_site, symbol = divmod(int(substitutions[counts.argmax()]), 256)
    holders = ids[ids[:, shared_site] == symbol]
    agreed = (holders == holders[0]).all(0) if len(holders) == 2 else 2 * (holders != reference).sum(0) > len(holders)
    median = np.sort(holders, axis=0)[len(holders) // 2]  # where more than half differ from the reference, mostly alike
    return np.where(agreed, holders[0] if len(holders) == 2 else median, reference).astype(np.uint8)


def _learnt_odds(
    distinct: Tokens, clusters: list[np.ndarray], parts: list[list[tuple[Reference, np.ndarray]]], n_symbols: int
) -> np.ndarray:
    """Which of two residues is likelier the wild type's, from the families whose wild type is certain."""
    wild, mutant = [np.zeros(0, np.uint8)], [np.zeros(0, np.uint8)]
    for rows, part in zip(clusters, parts, strict=True):
        for reference, members in part:
            same = rows[members][distinct.lengths[rows[members]] == len(reference.ids)]
            if reference.is_certain and len(same):
                found = edits(reference.ids, distinct.take(same))
                wild.append(found.wild)
                mutant.append(found.mutant)
    return exchange_odds(np.concatenate(wild), np.concatenate(mutant), n_symbols)


def _adopt(distinct: Tokens, label: np.ndarray, found: list[Reference]) -> None:
    """Give rows that no step of few edits joined to a family to the nearest wild type within reach, so that none is missed."""
    alone = np.flatnonzero(label < 0)
    if len(alone) and found:
        label[alone] = nearest_reference(distinct.take(alone), _sequences(found))


def _sequences(references: list[Reference]) -> Tokens:
    offsets = np.concatenate([[0], np.cumsum([len(each.ids) for each in references])])
    return Tokens(np.concatenate([each.ids for each in references]), offsets)


def _described(tokens: Tokens, label: np.ndarray, found: list[Reference]) -> Families:
    """Families, the largest first (a named one before all), with every row's mutations."""
    if not found:
        return no_families(len(tokens))
    sizes = np.bincount(label[label >= 0], minlength=len(found))
    order = np.lexsort((-sizes, np.array([each.basis != "named" for each in found])))
    place = np.append(np.argsort(order), -1)
    label = place[label]
    references = [found[each] for each in order]
    wild_types = _sequences(references)
    mutations = mutations_of(tokens, label, wild_types)
    bases = tuple(each.basis for each in references)
    return Families(label, wild_types, bases, near_groups(wild_types), mutations.counts(len(tokens)), mutations)
