"""The natural sequences of a family: read, cleaned, divided into what is learnt from, what stops training and what is held out.

What is left out is counted and said; nothing is changed silently. Parts are divided by similarity, so that no held-out sequence
has a close relative among those that are learnt from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from seqloom.alphabet import Alphabet
from seqloom.errors import ConfigError, DataError
from seqloom.findings import Finding, finding, raise_errors
from seqloom.generate.base import Dims
from seqloom.generation.conditions import Condition
from seqloom.generation.settings import NaturalSection
from seqloom.quality.columns import sequence_weights
from seqloom.quality.family import Family
from seqloom.read.fasta import strings
from seqloom.registry import build, validated
from seqloom.sections import Sections
from seqloom.similarity.rows import alike_groups
from seqloom.split.audit import Audit
from seqloom.split.base import ROLE_NAMES, TRAIN, Partition, Splitter
from seqloom.split.make import make_partition
from seqloom.split.similarity import SimilaritySplit, leaves_enough
from seqloom.table import DataSection, Table, read_table
from seqloom.tokens import Tokens, ragged_bytes

HELD_OUT = 0.1
"""Share of sequences that are held out unless [split] says otherwise."""
LARGEST = 0.02
"""Components of more than this share of the sequences are learnt from: held-out sequences of two or three large subfamilies are
no measure of a family (of MinE two samples of them differed .69 as much as two training sequences; without, 1.05 as much)."""
IDENTITIES = (0.7, 0.8, 0.9)
"""Tried in this order; the first that leaves enough outside the largest component is taken."""
ALIKE = 0.8
"""Identity of the relatives that `balance` takes for one."""
FENCE = 3.0
"""Lengths further than this from the quartiles, in distances of the quartiles, are far out (Tukey 1977); see `lengths`."""
LEAST_SPREAD = math.log(1.1)
"""A family of sequences all of one length still has room for some a tenth longer or shorter, times FENCE."""
FEWEST = 10
"""Distinct sequences below which there is nothing to learn a distribution from, nor to hold out."""


@dataclass(frozen=True)
class Collection:
    """The distinct natural sequences, and which part each is of."""

    table: Table
    partition: Partition
    splitter: Splitter
    audit: Audit
    conditions: tuple[Condition, ...]
    findings: tuple[Finding, ...]
    n_read: int

    @property
    def alphabet(self) -> Alphabet:
        """Of the sequences."""
        return next(iter(self.table.alphabets.values()))

    @property
    def tokens(self) -> Tokens:
        """All N sequences."""
        return self.table.tokens()

    def rows(self, role: int) -> np.ndarray:
        """Rows of TRAIN, VALID or TEST, int64."""
        return self.partition.rows(0, role)

    def dims(self) -> Dims:
        """Sizes, of the sequences that are learnt from."""
        longest = int(self.tokens.take(self.rows(TRAIN)).lengths.max())
        return Dims(self.alphabet.name, longest, sum(each.width for each in self.conditions))

    def relatives(self, family: Family | None) -> np.ndarray:
        """How many training sequences each training sequence is `ALIKE` to, itself included, float64 (N,); 1 for all others.

        By the columns of the family, where there is one; else by whole components.
        """
        count, rows = np.ones(self.table.n_rows), self.rows(TRAIN)
        if family is None:
            label = alike_groups(self.table.take(rows), ALIKE).label
            count[rows] = np.bincount(label)[label]
        else:
            count[rows] = 1 / sequence_weights(family.aligned(self.tokens.take(rows)), family.n_letters + 1, ALIKE)
        return count

    def as_table(self, relatives: np.ndarray) -> pa.Table:
        """`naturals.parquet`: id, sequence, part, relatives, and the columns of the conditions."""
        names = pa.array([*ROLE_NAMES])
        columns = {
            "id": self.table.ids.cast(pa.large_string()),
            "sequence": self.table.sequences(),
            "part": names.take(pa.array(self.partition.roles[0])),
            "relatives": pa.array(relatives),
        }
        columns |= {each.column: self.table.data[each.column] for each in self.conditions if each.column not in columns}
        return pa.table(columns)


def read_collection(sections: Sections, data: Any = None) -> Collection:
    """The collection that `[data]`, `[natural]` and `[split]` describe; `data`: a DataFrame in place of `[data] table`.

    DataError where fewer than ten distinct sequences are left, where sequences hold gaps and nobody said to strip them.
    """
    section = validated(DataSection, sections.get("data", {}), "[data]")
    asked = validated(NaturalSection, sections.get("natural", {}), "[natural]")
    table = read_table(section.table if data is None else data, section, for_prediction=True)
    if len(table.roles.sequences) != 1:
        raise ConfigError(
            f"{table.source.name}: a generator writes one kind of sequence, and there are columns "
            f"{', '.join(table.roles.sequences)}; name one with --sequence COLUMN"
        )
    raise_errors([each for each in table.findings if each.code != "gaps"])
    n_read = table.n_rows
    table, said = _cleaned(table, asked)
    conditions = tuple(Condition.of(table, each, np.arange(table.n_rows)) for each in asked.condition)
    for condition in conditions:
        table, more = _without(table, condition.missing(table), "missing-condition", f"have no {condition.column}")
        said += more
    table, more = _distinct(table, conditions)
    said += more
    if table.n_rows < FEWEST:
        copies = f" ({n_read:,} rows were read)" if n_read > table.n_rows else ""
        raise DataError(
            f"{table.source.name}: {table.n_rows} distinct sequences to learn from{copies}; a generator "
            f"needs {FEWEST} at least, and hundreds to be of use"
        )
    splitter, reason = _splitter(sections.get("split", {}), table)
    partition, audit = make_partition(splitter, table, np.zeros((table.n_rows, 1)), None)
    if partition.n_folds > 1:
        raise ConfigError("[split] folds, inner: generators are fitted on one division; leave them out")
    said.append(Finding("split", "info", f"held out by {splitter.kind}: {reason}"))
    found = tuple(each for each in table.findings if each.code not in ("duplicate-inputs", "unused-columns"))
    return Collection(
        table,
        partition,
        splitter,
        audit,
        conditions,
        (*found, *said, *audit.findings),
        n_read,
    )


def _cleaned(table: Table, asked: NaturalSection) -> tuple[Table, list[Finding]]:
    """Sequences without gaps, of standard symbols, of usual length, matching what is asked."""
    name = table.roles.sequences[0]
    alphabet = table.alphabets[name]
    said: list[Finding] = []
    if alphabet.name != "smiles":
        table, said = ungapped(table, asked, name)
    table.tokens(name)  # DataError names symbols that the alphabet does not know
    table, more = _without(
        table, _odd(table, alphabet), "odd-symbols", f"hold symbols beside {alphabet.standard}, or none"
    )
    said += more
    if asked.matching:
        pattern = re.compile(asked.matching)
        away = np.array([pattern.search(each) is None for each in table.sequences(name).to_pylist()], bool)
        table, more = _without(table, away, "not-matching", f"do not match {asked.matching!r}")
        said += more
    low, high = asked.bounds or _fences(table.tokens(name).lengths)
    lengths = table.tokens(name).lengths
    table, more = _without(
        table,
        (lengths < low) | (lengths > high),
        "odd-lengths",
        f"are not of {low}..{high} symbols ([natural] lengths)",
    )
    return table, said + more


def ungapped(table: Table, asked: NaturalSection, name: str) -> tuple[Table, list[Finding]]:
    """The table with the gaps of column `name` stripped, if that is asked for; DataError where it holds any and it is not."""
    text, offsets = ragged_bytes(table.sequences(name))
    gap = (text == ord("-")) | (text == ord("."))
    if not gap.any():
        return table, []
    total = np.concatenate([[0], np.cumsum(gap)])
    rows = table.row_numbers[np.diff(total[offsets]) > 0]
    words = (
        f"{table.source.name}: {len(rows):,} of {table.n_rows:,} sequences hold gaps ('-' or '.'), as in an alignment"
    )
    if asked.gaps == "stop":
        raise DataError(
            f"{words}: first in row {rows[0]}; a generator writes sequences, so strip them: --set natural.gaps=strip"
        )
    kept = np.concatenate([[0], np.cumsum(~gap)])
    stripped = table.with_column(name, strings(text[~gap], kept[offsets]))
    return stripped, [finding("gaps-stripped", "warning", f"{words}; they were stripped", rows)]


def _odd(table: Table, alphabet: Alphabet) -> np.ndarray:
    """bool (N,): sequences with a symbol that is not standard, or with none at all."""
    tokens = table.tokens()
    total = np.concatenate([[0], np.cumsum(tokens.values > len(alphabet.standard))])
    return (np.diff(total[tokens.offsets]) > 0) | (tokens.lengths == 0)


def _fences(lengths: np.ndarray) -> tuple[int, int]:
    """Shortest and longest length that is not far out among these (N,); 1 and 1 without any."""
    if not len(lengths):
        return 1, 1
    low, high = np.quantile(np.log(np.maximum(lengths, 1)), [0.25, 0.75])
    reach = FENCE * max(high - low, LEAST_SPREAD)
    return max(math.floor(math.exp(low - reach)), 1), math.ceil(math.exp(high + reach))


def _without(table: Table, away: np.ndarray, code: str, words: str) -> tuple[Table, list[Finding]]:
    if not away.any():
        return table, []
    message = f"{table.source.name}: {int(away.sum()):,} of {table.n_rows:,} sequences {words}; they are left out"
    severity = "warning" if away.mean() > 0.05 else "info"
    said = [finding(code, severity, message, table.row_numbers[away])]  # type: ignore[arg-type]
    return table.take(np.flatnonzero(~away)), said


def _distinct(table: Table, conditions: tuple[Condition, ...]) -> tuple[Table, list[Finding]]:
    """The first of equal sequences; of sequences with conditions, of those that are equal in these, too."""
    parts = [table.sequences().to_pylist(), *(table.text(each.column).to_pylist() for each in conditions)]
    first = np.fromiter(
        dict(reversed([(key, row) for row, key in enumerate(zip(*parts, strict=True))])).values(), np.int64
    )
    first.sort()
    n_away = table.n_rows - len(first)
    if not n_away:
        return table, []
    message = f"{table.source.name}: {n_away:,} of {table.n_rows:,} sequences repeat an earlier one; they are left out"
    away = np.setdiff1d(np.arange(table.n_rows), first)
    return table.take(first), [finding("duplicates", "info", message, table.row_numbers[away])]


def _splitter(asked: Mapping[str, Any], table: Table) -> tuple[Splitter, str]:
    """The splitter asked for, else by similarity at the first identity that leaves enough to hold out."""
    if "kind" in asked and asked["kind"] != "similarity":
        splitter = build("splitter", asked)
        assert isinstance(splitter, Splitter)
        return splitter, "as asked for"
    given = {"test": HELD_OUT, "largest": LARGEST, **{key: value for key, value in asked.items() if key != "kind"}}
    if "identity" in given:
        return validated(SimilaritySplit, given, "[split]"), "as asked for"
    for identity in IDENTITIES:
        splitter = validated(SimilaritySplit, {**given, "identity": identity}, "[split]")
        if leaves_enough(np.bincount(splitter.units(table)), splitter.test):
            return splitter, f"no held-out sequence is {identity:.0%} identical to one that is learnt from"
    random = build(
        "splitter", {"kind": "random", **{key: value for key, value in given.items() if key in ("test", "seed")}}
    )
    assert isinstance(random, Splitter)
    return (
        random,
        "all sequences are related at 90 % identity, so they were divided at random, and held-out ones are close relatives",
    )
