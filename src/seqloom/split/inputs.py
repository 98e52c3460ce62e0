"""What a row gives a model, as numbers: which rows are the same input, and a hash that later runs know it by."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

import numpy as np

from seqloom.connected import connected
from seqloom.table import Table


def input_groups(table: Table) -> np.ndarray:
    """A number for each row, int64 (N,), equal where all inputs are equal."""
    encoded = table.input_keys().dictionary_encode()
    indices: np.ndarray = encoded.indices.to_numpy(zero_copy_only=False)
    return indices.astype(np.int64)


def seen_groups(table: Table) -> np.ndarray:
    """As `input_groups`, without the context, which no model sees: the same peptide with two alleles is one."""
    return input_groups(replace(table, roles=replace(table.roles, context=())))


def input_hashes(table: Table) -> np.ndarray:
    """A 64-bit hash of what a model sees of each row (sequences and covariates), uint64 (N,).

    Equal in any table of equal inputs, so that a run can tell later whether it has seen a row; context columns, which the
    model does not see, play no part.
    """
    parts = [table.sequences(column).to_pylist() for column in table.roles.sequences]
    parts += [table.numeric(name).tolist() for name in table.roles.covariates]
    digests = b"".join(blake2b(repr(row).encode(), digest_size=8).digest() for row in zip(*parts, strict=True))
    return np.frombuffer(digests, "<u8")


def joined(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Connected components of rows that share either number, int64 (N,)."""
    n_left, n_right = int(left.max(initial=-1)) + 1, int(right.max(initial=-1)) + 1
    return connected(left, n_left + right, n_left + n_right)[left]
