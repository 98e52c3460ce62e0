"""The partition whose test rows stand to its training rows as the rows of a given table do to this one.

A score is worth something when what was tested resembles what will be asked. Two things are compared: how near each test row
is to its nearest training row, and how near test rows are to each other (variants of one new protein are near each other and
far from all training rows).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from seqloom.errors import ConfigError, DataError
from seqloom.findings import Finding
from seqloom.read.section import DataSection
from seqloom.registry import build, register
from seqloom.roles.find import Roles
from seqloom.similarity.memory import digest, remembered
from seqloom.similarity.rows import nearest_rows
from seqloom.split.base import TEST, TRAIN, VALID, Partition, Splitter
from seqloom.table import Table, read_table
from seqloom.tokens import join

MOST_ROWS = 2_000
"""Rows of each side by which geometry is measured; of more, a random sample."""
CANDIDATES: tuple[dict[str, Any], ...] = (
    {"kind": "random"},
    {"kind": "similarity", "identity": 0.9},
    {"kind": "similarity", "identity": 0.5},
    {"kind": "scaffold"},
    {"kind": "family"},
    {"kind": "position"},
    {"kind": "mutations"},
)


class Geometry(NamedTuple):
    """How test rows lie."""

    to_training: np.ndarray  # float32 (M,): identity of each test row to its nearest training row
    among_test: np.ndarray  # float32 (M,): identity of each test row to the nearest other test row


class Choice(NamedTuple):
    """The splitter taken, and how far from the wanted geometry each candidate is."""

    splitter: Splitter
    distances: dict[str, float]


@register("splitter", "like")
class LikeSplit(Splitter):
    """The split, of all that suit the table, whose geometry is nearest to that of a table you want predictions for.

    The distance is the mean difference of sorted identities (Wasserstein) to the nearest training row and to the nearest other
    test row. What was taken, and how near it comes, is said among the findings.
    """

    table: str = ""
    """Path of the table to resemble; only its sequences are read."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of rows that are tested."""

    def assign(self, table: Table, strata: np.ndarray | None) -> Partition:
        """Roles by the splitter that was taken."""
        return self._chosen(table).splitter.assign(table, strata)

    def units(self, table: Table) -> np.ndarray:
        """Those of the splitter that was taken."""
        return self._chosen(table).splitter.units(table)

    def looser_units(self, table: Table) -> Iterator[tuple[np.ndarray, str]]:
        """Those of the splitter that was taken."""
        return self._chosen(table).splitter.looser_units(table)

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        return "test rows lie to training rows as nearly as can be as the given table's rows do; none has the inputs of one"

    def findings(self, table: Table) -> tuple[Finding, ...]:
        """Which splitter was taken, and the distances of all."""
        choice = self._chosen(table)
        listed = ", ".join(
            f"{name} {value:.3f}" for name, value in sorted(choice.distances.items(), key=lambda each: each[1])
        )
        message = (
            f"the geometry of {self.table} is met best by {_name(choice.splitter)}; mean difference of identities by split: "
            f"{listed}. With it holds: {choice.splitter.guarantee}"
        )
        return (Finding("like", "info", message, len(choice.distances)), *choice.splitter.findings(table))

    def _chosen(self, table: Table) -> Choice:
        if not self.table:
            raise ConfigError("[split] kind = 'like' needs the table to resemble; name it with --set split.table=FILE")
        tokens = join([table.tokens(column) for column in table.roles.sequences])
        return remembered(("like", self.table, self.test, self.seed, digest(tokens)), lambda: self._choose(table))

    def _choose(self, table: Table) -> Choice:
        other = _sequences_of(self.table, table)
        both = _stacked(table, other)
        wanted = _geometry(both, np.arange(table.n_rows), np.arange(table.n_rows, both.n_rows), self.seed)
        distances: dict[str, float] = {}
        splitters: dict[str, Splitter] = {}
        for settings in CANDIDATES:
            splitter = build("splitter", {**settings, "seed": self.seed, "shared": self.shared})
            assert isinstance(splitter, Splitter)
            if "test" in type(splitter).model_fields:
                splitter = splitter.model_copy(update={"test": self.test})
            try:
                roles = splitter.assign(table, None).roles[0]
            except (DataError, ConfigError):  # a split that the table does not allow is no candidate
                continue
            own = _geometry(
                table, np.flatnonzero(np.isin(roles, (TRAIN, VALID))), np.flatnonzero(roles == TEST), self.seed
            )
            name = _name(splitter)
            distances[name] = round(_distance(own, wanted), 4)
            splitters[name] = splitter
        best = min(distances, key=lambda name: distances[name])
        return Choice(splitters[best], distances)


def _name(splitter: Splitter) -> str:
    identity = getattr(splitter, "identity", None)
    return splitter.kind if identity is None else f"{splitter.kind} at {identity:.0%}"


def _sequences_of(source: str, table: Table) -> Table:
    """The other table, its sequence columns found by the names of `table`'s, or by themselves where it has none of these."""
    columns = table.roles.sequences
    alphabets = {column: alphabet.name for column, alphabet in table.alphabets.items()}
    try:
        return read_table(source, DataSection(sequence=columns, alphabet=alphabets), for_prediction=True)
    except DataError as error:
        found = read_table(source, DataSection(), for_prediction=True)
        kinds = [found.alphabets[column].name for column in found.roles.sequences]
        if kinds != [alphabets[column] for column in columns]:
            raise error
        return found


def _stacked(table: Table, other: Table) -> Table:
    """The sequences of both tables, one below the other."""
    columns = table.roles.sequences
    arrays = [
        pa.concat_arrays(
            [side.sequences(name).cast(pa.large_string()) for side, name in ((table, own), (other, theirs))]
        )
        for own, theirs in zip(columns, other.roles.sequences, strict=True)
    ]
    data = pa.table(arrays, names=list(columns))
    numbers = np.arange(1, data.num_rows + 1)
    return replace(table, data=data, roles=Roles(sequences=columns), row_numbers=numbers, wild_type=None)


def _geometry(table: Table, fitted: np.ndarray, test: np.ndarray, seed: int) -> Geometry:
    draw = np.random.default_rng([seed, 0x6E0])
    asked = np.sort(draw.permutation(test)[:MOST_ROWS])
    to_training = nearest_rows(table, asked, fitted).best()[1]
    found = nearest_rows(table, asked, asked, most=2)
    others = found.queries != found.references
    among = np.zeros(len(asked), np.float32)
    np.maximum.at(among, found.queries[others], found.identity[others])
    return Geometry(to_training, among)


def _distance(left: Geometry, right: Geometry) -> float:
    from scipy.stats import wasserstein_distance

    pairs = ((left.to_training, right.to_training), (left.among_test, right.among_test))
    return float(
        np.mean([wasserstein_distance(one, other) if len(one) and len(other) else 1.0 for one, other in pairs])
    )
