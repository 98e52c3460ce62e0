"""A wild type, and the sequences that mutation lists make of it: where its first site is, and which lists do not fit it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.errors import DataError
from seqloom.findings import N_NAMED_ROWS
from seqloom.mutation.notation import ALLOWED, NOTHING, Lists, Mutations, written
from seqloom.read.fasta import read_fasta, strings
from seqloom.read.source import locate, read_contents

RESIDUES = re.compile(r"[A-Z*]{4,}|[a-z]{20,}")
"""A setting that reads so, and names no file, is the sequence itself."""
OFFSET = re.compile(r"\b(?:offset|first_site)=(\d+)")
MOST_NAMED = 10
LONGEST_NAME = 255


@dataclass(frozen=True)
class WildType:
    """The sequence that mutations are told from, in upper case."""

    sequence: str
    name: str
    """What messages call it."""
    first_site: int = 1
    """Number of its first residue."""
    hint: int | None = None
    """The first site that its FASTA header speaks of."""

    @property
    def letters(self) -> np.ndarray:
        """Its residues, uint8 (L,)."""
        return np.frombuffer(self.sequence.encode(), np.uint8)

    @property
    def described(self) -> str:
        """Its name and the numbers of its residues."""
        last = self.first_site + len(self.sequence) - 1
        return f"{self.name} ({len(self.sequence)} residues, sites {self.first_site} to {last})"


class Mutants(NamedTuple):
    """What became of N mutation lists."""

    sequences: pa.Array
    """large_string (N,), null where the list does not fit."""
    trouble: dict[int, str]
    """Why not, by row."""


def is_sequence(given: str) -> bool:
    """Whether a setting is a sequence rather than the name of a file."""
    return RESIDUES.fullmatch(given) is not None and (len(given) > LONGEST_NAME or not locate(given).exists())


def read_wild_types(given: str) -> list[WildType]:
    """The sequence itself, or the records of the FASTA file (or `data:` path) of that name; DataError if it has none."""
    if is_sequence(given):
        return [WildType(given.upper().rstrip("*"), "the given wild type")]
    contents = read_contents(given)
    records = read_fasta(contents).columns.select(["id", "description", "sequence"]).to_pylist()
    found = []
    for record in records:
        name = contents.name if len(records) == 1 else f"{record['id'] or 'a record'} of {contents.name}"
        hint = OFFSET.search(f"{record['id']} {record['description']}")
        sequence = record["sequence"].upper().rstrip("*")
        found.append(WildType(sequence, name, 1, int(hint[1]) if hint else None))
    odd = [each.name for each in found if not re.fullmatch(r"[A-Z]+", each.sequence)]
    if odd:
        raise DataError(
            f"[data] wild_type: {odd[0]} holds symbols that are no residues; write letters only, without gaps or stops inside"
        )
    return found


def fitting(
    lists: Lists, wild_types: list[WildType], first_site: int | None, numbers: np.ndarray, where: str
) -> WildType:
    """The wild type that the lists are of, with its first site.

    That is the only one, at the only offset, at which every wild-type letter of the lists agrees; a `first_site` that is
    given is taken as it is, and the FASTA header's hint decides between offsets. Raises DataError when none or several agree,
    with the first rows that do not by their `numbers`, int64 (N,).
    """
    told = _told_apart(lists.mutations)
    if first_site is not None:
        placed = [replace(each, first_site=first_site) for each in wild_types]
        fits = [each for each in placed if _agreeing(told, each).all()]
        if len(fits) == 1 or len(placed) == 1:
            return fits[0] if fits else placed[0]
    else:
        if not len(told.sites) and len(wild_types) == 1:  # nothing but the wild type: any number will do
            return wild_types[0]
        fits = [replace(each, first_site=int(site)) for each in wild_types for site in _offsets(told, each)]
        hinted = [each for each in fits if each.first_site == each.hint]
        if len(fits) == 1 or len(hinted) == 1:
            return hinted[0] if hinted else fits[0]
    raise DataError(_undecided(lists.mutations, wild_types, fits, first_site, numbers, where))


def applied(lists: Lists, wild_type: WildType, n_rows: int) -> Mutants:
    """The sequences of N mutation lists: a residue is replaced in its place, a deleted one is left out.

    A stop stands in its place as `*`, and what follows it stays, so that sites keep their numbers.
    """
    mutations, letters = lists.mutations, wild_type.letters
    trouble = {row: f"{word!r} is no mutation" for row, word in lists.unread.items()}
    places = mutations.sites - wild_type.first_site
    inside = (places >= 0) & (places < len(letters))
    agree = letters[np.where(inside, places, 0)] == mutations.wild
    twice = np.zeros(len(places), bool)
    twice[1:] = (mutations.rows[1:] == mutations.rows[:-1]) & (places[1:] == places[:-1])
    for each in np.flatnonzero(~inside | ~agree | twice):
        row, site, wild, mutant = (int(part[each]) for part in mutations)
        word = written(site, wild, mutant)
        if not inside[each]:
            why = f"{word} is outside the wild type, which ends at site {wild_type.first_site + len(letters) - 1}"
            why = (
                why if places[each] >= 0 else f"{word} is outside the wild type, which begins at {wild_type.first_site}"
            )
        elif not agree[each]:
            why = f"{word}, and the wild type has {chr(letters[places[each]])} at site {site}"
        else:
            why = f"{word}, and site {site} is mutated twice"
        trouble.setdefault(row, why)
    good = mutations.where(inside)
    text = np.tile(letters, n_rows)
    text[good.rows * len(letters) + good.sites - wild_type.first_site] = good.mutant
    keep = text != NOTHING
    total = np.concatenate([[0], np.cumsum(keep)])
    sequences = strings(text[keep], total[np.arange(n_rows + 1) * len(letters)])
    if trouble:
        bad = np.zeros(n_rows, bool)
        bad[list(trouble)] = True
        sequences = pc.if_else(pa.array(bad), pa.scalar(None, pa.large_string()), sequences)
    return Mutants(sequences, trouble)


def advice(lists: Lists, wild_type: WildType) -> str:
    """What to type when lists do not fit: another first site if all would fit there, and how mutations are written."""
    offsets = _offsets(_told_apart(lists.mutations), wild_type)
    if len(offsets) == 1 and int(offsets[0]) != wild_type.first_site:
        return f"all wild-type letters agree if the first site is {offsets[0]}: type --set data.first_site={offsets[0]}"
    return f"mend those rows; a list is written as {ALLOWED}"


def _told_apart(mutations: Mutations) -> Mutations:
    """The distinct sites with the wild-type letters that the lists give them, and the first row of each."""
    _, first = np.unique(mutations.sites * 256 + mutations.wild, return_index=True)
    return mutations.where(first)


def _agreeing(told: Mutations, wild_type: WildType) -> np.ndarray:
    """Which mutations (M,) agree with the wild type as it is numbered."""
    places = told.sites - wild_type.first_site
    inside = (places >= 0) & (places < len(wild_type.sequence))
    agree: np.ndarray = inside & (wild_type.letters[np.where(inside, places, 0)] == told.wild)
    return agree


def _offsets(told: Mutations, wild_type: WildType) -> np.ndarray:
    """First sites at which every letter agrees, int64, rising."""
    length, letters = len(wild_type.sequence), wild_type.letters
    if not len(told.sites) or not length:
        return np.zeros(0, np.int64)
    left = np.arange(told.sites.max() - length + 1, told.sites.min() + 1)
    for site, wild in zip(told.sites, told.wild, strict=True):
        left = left[letters[site - left] == wild]
    return left


def _undecided(
    mutations: Mutations,
    wild_types: list[WildType],
    fits: list[WildType],
    first_site: int | None,
    numbers: np.ndarray,
    where: str,
) -> str:
    if len(fits) > 1:
        listed = ", ".join(f"{each.first_site} ({each.name})" for each in fits[:MOST_NAMED])
        return (
            f"{where}: the mutations agree with the wild type at {len(fits)} first sites: {listed}; name the right one with "
            f"--set data.first_site=N" + (" and a FASTA file of that record alone" if len(wild_types) > 1 else "")
        )
    told = _told_apart(mutations)
    best = max((_best(told, each, first_site) for each in wild_types), key=lambda each: _agreeing(told, each).mean())
    odd = mutations.where(~_agreeing(mutations, best))
    rows, first = np.unique(odd.rows, return_index=True)
    shown = [
        f"row {numbers[row]}: {written(*(int(part[each]) for part in odd[1:]))}, and {_residue(best, int(odd.sites[each]))}"
        for row, each in zip(rows[:N_NAMED_ROWS], first[:N_NAMED_ROWS], strict=True)
    ]
    at = f"first site {first_site}" if first_site is not None else "no first site"
    closest = "" if first_site is not None else f"; at {best.first_site}, which fits best,"
    return (
        f"{where}: the mutations agree with [data] wild_type ({', '.join(each.name for each in wild_types[:5])}, "
        f"{len(best.sequence)} residues) at {at}{closest} {len(rows):,} rows disagree: {'; '.join(shown)}; mend those rows, name "
        f"the right wild type with --set data.wild_type=FILE, or its first site with --set data.first_site=N"
    )


def _best(told: Mutations, wild_type: WildType, first_site: int | None) -> WildType:
    """The wild type at the first site where most letters agree."""
    if first_site is not None:
        return replace(wild_type, first_site=first_site)
    sites = np.arange(told.sites.min() - len(wild_type.sequence) + 1, told.sites.max() + 1)[:100_000]
    placed = [replace(wild_type, first_site=int(site)) for site in sites]
    return max(placed, key=lambda each: int(_agreeing(told, each).sum()))


def _residue(wild_type: WildType, site: int) -> str:
    place = site - wild_type.first_site
    if not 0 <= place < len(wild_type.sequence):
        return "the wild type has no such site"
    return f"the wild type has {wild_type.sequence[place]} there"
