"""The sequences a run was fitted on, kept beside it so that it can tell how near new rows are to them.

Decides what is kept (`training.parquet`) and that new rows are searched as the audit searched test rows. What nearness is
worth is in `seqloom.domain`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqloom.errors import RunError
from seqloom.files import write_whole
from seqloom.roles import Roles
from seqloom.similarity.rows import nearest_rows
from seqloom.split.inputs import sequence_groups
from seqloom.table import Table

FILE = "training.parquet"
MOST_KEPT = 200_000
"""Distinct sequences kept; of more, a random sample."""
FACTS = b"seqloom"


@dataclass(frozen=True)
class TrainingRows:
    """Distinct sequences of train and valid rows."""

    sequences: pa.Table
    """A column per sequence column of the run."""
    n_distinct: int
    """How many there are; more than were kept if this is a sample."""
    n_rows: int
    """Of the table they are from: what is alike beyond chance depends on it."""
    exact: bool
    """Whether the audit compared all pairs; if not, new rows are searched by words too."""

    @property
    def note(self) -> str:
        """What a reader must know of identities; empty if there is nothing."""
        kept = self.sequences.num_rows
        if kept == self.n_distinct:
            return ""
        return (
            f"distances are to a random sample of {kept:,} of {self.n_distinct:,} training sequences: some rows are nearer to "
            "them than it is told"
        )

    def write(self, path: Path) -> None:
        """Write the file."""
        facts = {"n_distinct": self.n_distinct, "n_rows": self.n_rows, "exact": self.exact}
        table = self.sequences.replace_schema_metadata({FACTS: json.dumps(facts).encode()})
        write_whole(path, lambda draft: pq.write_table(table, draft, compression="zstd"))

    def identity(self, table: Table) -> np.ndarray:
        """Identity (for molecules: similarity) of each row to its nearest training row, float64 (N,); 0 where none is alike.

        MissingExtra for SMILES without RDKit.
        """
        names = table.roles.sequences
        columns = {
            name: pa.chunked_array([*own.chunks, table.sequences(name)], pa.large_string())
            for name, own in zip(names, self.sequences.columns, strict=True)
        }
        data = pa.table(columns)
        numbers = np.arange(1, data.num_rows + 1)
        both = Table(data, Roles(sequences=names), table.alphabets, table.source, (), numbers)
        n_kept = self.sequences.num_rows
        queries, references = np.arange(n_kept, data.num_rows), np.arange(n_kept)
        found = nearest_rows(both, queries, references, search="auto" if self.exact else "words", n_rows=self.n_rows)
        return found.best()[1].astype(np.float64)


def training_rows(table: Table, rows: np.ndarray, *, exact: bool, seed: int = 0) -> TrainingRows:
    """The distinct sequences of `rows` (int64, from 0) of a table, a random sample of them if there are very many."""
    own = table.take(rows)
    first = np.sort(np.unique(sequence_groups(own), return_index=True)[1])
    n_distinct = len(first)
    if n_distinct > MOST_KEPT:
        first = np.sort(np.random.default_rng(seed).choice(first, MOST_KEPT, replace=False))
    kept = own.take(first)
    columns = {name: kept.sequences(name).cast(pa.large_string()) for name in table.roles.sequences}
    return TrainingRows(pa.table(columns), n_distinct, table.n_rows, exact)


def read_training_rows(path: Path) -> TrainingRows | None:
    """What `write` wrote; None without the file, RunError if it is damaged."""
    if not path.exists():
        return None
    try:
        table = pq.read_table(path)
        facts = json.loads(table.schema.metadata[FACTS])
        return TrainingRows(table.cast(pa.schema([(name, pa.large_string()) for name in table.column_names])), **facts)
    except (pa.ArrowInvalid, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: damaged ({error}); copy the folder again, or fit the run again in a new one") from None
