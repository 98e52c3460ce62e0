"""The user's own partition, read from columns of the table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.errors import ConfigError, DataError
from seqloom.registry import nearest, register
from seqloom.split.base import TEST, TRAIN, UNUSED, VALID, Partition, Splitter
from seqloom.table import Table

WORDS = {
    "train": TRAIN, "training": TRAIN, "val": VALID, "valid": VALID, "validation": VALID, "dev": VALID,
    "test": TEST, "testing": TEST, "pred": UNUSED,
}  # fmt: skip
TRUE_WORDS = ("true", "1", "1.0", "yes")


@register("splitter", "columns")
class ColumnSplit(Splitter):
    """The partition that the table's own columns give.

    The set column says train, valid (val, validation, dev), test or pred; a validation column that is true marks valid rows
    among the training rows, as FLIP does.
    """

    def assign(self, table: Table, strata: np.ndarray | None) -> Partition:
        """Roles by the words of the columns; DataError names words that are none of the known ones."""
        if table.roles.set is None:
            raise ConfigError(
                "[split] kind = 'columns' needs a column of train/valid/test words; name it with --set data.set=COLUMN"
            )
        column = table.roles.set
        words = pc.utf8_lower(pc.utf8_trim_whitespace(table.text(column)))
        codes = pc.index_in(words, pa.array(list(WORDS), pa.large_string()))
        codes = codes.fill_null(-1).to_numpy(zero_copy_only=False)
        unknown = np.flatnonzero((codes < 0) & words.is_valid().to_numpy(zero_copy_only=False))
        if len(unknown):
            word = words[int(unknown[0])].as_py()
            raise DataError(
                f"{table.source.name}: column {column!r}: {len(unknown)} values are not train, valid, test or pred, first "
                f"{word!r} at row {table.row_numbers[unknown[0]]}{nearest(word, WORDS)}"
            )
        roles = np.where(codes < 0, UNUSED, np.array([*WORDS.values(), UNUSED])[codes]).astype(np.int8)
        if table.roles.validation is not None:
            marks = pc.utf8_lower(pc.utf8_trim_whitespace(table.text(table.roles.validation)))
            marked = pc.is_in(marks, pa.array(TRUE_WORDS, marks.type)).to_numpy(zero_copy_only=False)
            roles[marked & (roles == TRAIN)] = VALID
        in_use = np.where(roles == UNUSED, TRAIN, roles).astype(np.int8)
        reason = f"column {column!r} gives it no part"
        return Partition(in_use[None]).without(np.flatnonzero(roles == UNUSED), reason)

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        return "the table's own columns decide; what they let through is in the audit"
