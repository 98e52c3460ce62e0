"""What a row gives a model, as numbers: which rows are the same input, and a hash that later runs know it by.

One molecule is one input in whatever spelling, if RDKit is there to tell; hashes, which run folders keep, are of the text.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from seqloom.chemistry import canonical
from seqloom.connected import connected
from seqloom.errors import MissingExtra
from seqloom.roles import Roles
from seqloom.table import Table


def input_groups(table: Table) -> np.ndarray:
    """A number for each row, int64 (N,), equal where all inputs are equal; SMILES are compared as text without RDKit."""
    return _numbered(table, table.roles)


def seen_groups(table: Table) -> np.ndarray:
    """As `input_groups`, without the context, which no model sees: the same peptide with two alleles is one."""
    return _numbered(table, replace(table.roles, context=()))


def sequence_groups(table: Table) -> np.ndarray:
    """As `input_groups`, by the sequences alone."""
    return _numbered(table, replace(table.roles, covariates=(), context=()))


def input_hashes(table: Table) -> np.ndarray:
    """A 64-bit hash of what a model sees of each row (sequences and covariates), uint64 (N,).

    Equal in any table of equal inputs, so that a run can tell later whether it has seen a row; context columns, which the
    model does not see, play no part. SMILES count by their text, with RDKit or without.
    """
    parts = [table.sequences(column).to_pylist() for column in table.roles.sequences]
    parts += [table.numeric(name).tolist() for name in table.roles.covariates]
    digests = b"".join(blake2b(repr(row).encode(), digest_size=8).digest() for row in zip(*parts, strict=True))
    return np.frombuffer(digests, "<u8")


def joined(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Connected components of rows that share either number, int64 (N,)."""
    n_left, n_right = int(left.max(initial=-1)) + 1, int(right.max(initial=-1)) + 1
    return connected(left, n_left + right, n_left + n_right)[left]


def _numbered(table: Table, roles: Roles) -> np.ndarray:
    """A number for each row, int64 (N,), equal where the inputs that `roles` name are equal."""
    spelt = table
    for column in roles.sequences:
        if table.alphabets[column].name == "smiles":
            spelling = table.remembered("one spelling", column, partial(_one_spelling, table.sequences(column)))
            spelt = spelt.with_column(column, spelling)
    named = spelt if roles == spelt.roles else replace(spelt, roles=roles)
    encoded = named.input_keys().dictionary_encode()
    indices: np.ndarray = encoded.indices.to_numpy(zero_copy_only=False)
    return indices.astype(np.int64)


def _one_spelling(smiles: pa.Array) -> pa.Array:
    """Canonical SMILES, large_string (N,); as they are without RDKit, or where it cannot read them."""
    try:
        return pa.array(canonical(smiles.to_pylist()), pa.large_string())
    except MissingExtra:
        return smiles
