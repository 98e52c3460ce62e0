"""Labels of two classes as bits: read from a column, checked, and packed into bytes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.read.numbers import BOOLEAN, is_text, parsed
from seqloom.store.layout import label_bytes


def read_labels(column: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which rows are 1, which are known, and which are neither 0, 1 nor missing; bool (N,) each."""
    kind = column.type
    if not column.null_count and (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        values = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
        ones, known = values == 1, np.ones(len(values), bool)
        return ones, known, ~(ones | (values == 0))
    if is_text(kind) or pa.types.is_string_view(kind):
        column = column.cast(pa.large_string())
        truth = pc.fill_null(pc.match_substring_regex(column, BOOLEAN), False)
        if pc.any(truth).as_py():
            column = pc.if_else(truth, pc.replace_substring_regex(column, "^[tT].*", "1"), column)
            column = pc.if_else(truth, pc.replace_substring_regex(column, "^[fF].*", "0"), column)
    numbers, odd = parsed(column)
    known = ~np.isnan(numbers) & ~odd
    ones = numbers == 1
    return ones, known, odd | (known & ~ones & (numbers != 0))


def pack_labels(ones: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Bits as in the file of labels, uint8 (N, ceil(K / 4)), of bool (K, N) each; a label that is not known is 0 and 0."""
    n_targets, n_rows = ones.shape
    packed = np.zeros((n_rows, label_bytes(n_targets)), np.uint8)
    for target in range(n_targets):
        bits = (ones[target] & known[target]) | (known[target].view(np.uint8) << np.uint8(1))
        packed[:, target // 4] |= bits << np.uint8(2 * (target % 4))
    return packed
