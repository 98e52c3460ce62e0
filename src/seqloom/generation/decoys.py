"""Other families, which samples must not be mistaken for: a table with a sequence and the name of its family in each row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.alphabet import Alphabet
from seqloom.errors import ConfigError, DataError
from seqloom.generation.settings import JudgeSection
from seqloom.read.numbers import is_text
from seqloom.table import DataSection, Table, read_table

MOST_LABELS = 200


def read_decoys(asked: JudgeSection, alphabet: Alphabet) -> pa.Table | None:
    """Columns `label` and `sequence` of the decoys that `[judge]` names; None without any.

    Sequences with symbols beside the standard ones are left out. ConfigError for decoys of another alphabet.
    """
    if not asked.decoys:
        if asked.label:
            raise ConfigError(f"[judge] label = {asked.label!r}: name the table of decoys, too: --decoys TABLE")
        return None
    table = read_table(asked.decoys, DataSection(alphabet=alphabet.name), for_prediction=True)
    label = asked.label or _label(table)
    names = table.text(label) if label else pa.array(["decoys"] * table.n_rows, pa.large_string())
    tokens = table.tokens()
    total = np.concatenate([[0], np.cumsum(tokens.values > len(alphabet.standard))])
    usual = (np.diff(total[tokens.offsets]) == 0) & (tokens.lengths > 0) & ~np.asarray(pc.is_null(names))
    if not usual.any():
        raise DataError(
            f"{table.source.name}: none of its {table.n_rows:,} sequences is of standard symbols; name other decoys"
        )
    rows = pa.array(np.flatnonzero(usual))
    return pa.table({"label": names.take(rows), "sequence": table.sequences().take(rows)})


def _label(table: Table) -> str:
    """The column of families: the text column of fewest classes, two at least; '' where there is none."""
    used = {*table.roles.sequences, table.roles.id}
    counts = {
        name: pc.count_distinct(table.data[name]).as_py()
        for name in table.data.column_names
        if name not in used and is_text(table.data[name].type)
    }
    fit = {name: n for name, n in counts.items() if 2 <= n <= MOST_LABELS}
    return min(fit, key=lambda name: fit[name]) if fit else ""
