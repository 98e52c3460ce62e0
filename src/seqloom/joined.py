"""A training table and a test table as one table, whose set column says which row came from which."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.errors import DataError
from seqloom.findings import finding
from seqloom.table import DataSection, Table, read_table

SET_COLUMN = "(given tables)"
TEST_WORDS = ("test", "testing")
TRUE_WORDS = ("true", "1", "1.0", "yes")


def read_tables(
    section: DataSection, targets: tuple[str, ...] = (), source: Any = None, *, for_prediction: bool = False
) -> Table:
    """The table of `[data] table` (or `source`), with the rows of `[data] test` joined to it as test rows.

    Rows of the test table are numbered on from the last row of the training table's source. Raises DataError when a column
    that is needed is not in both.
    """
    main = read_table(section.table if source is None else source, section, targets, for_prediction=for_prediction)
    if not section.test:
        return main
    fixed = section.model_copy(
        update={
            "sequence": main.roles.sequences,
            "alphabet": {column: alphabet.name for column, alphabet in main.alphabets.items()},
            "set": "",
            "patch": "",
        }
    )
    if main.wild_type is not None:
        known = {"wild_type": main.wild_type.sequence, "first_site": main.wild_type.first_site}
        fixed = fixed.model_copy(update=known)
    test = read_table(section.test, fixed, targets or main.roles.targets, for_prediction=for_prediction)
    return _joined(main, test)


def _joined(main: Table, test: Table) -> Table:
    columns = [name for name in main.data.column_names if name in test.data.column_names]
    needed = [*main.roles.sequences, *main.roles.targets, *main.roles.covariates, *main.roles.context]
    needed += [each for each in (main.roles.group, main.roles.inequality) if each]
    absent = [name for name in needed if name not in columns]
    if absent:
        raise DataError(
            f"{test.source.name} lacks the column(s) {', '.join(map(repr, absent))} that {main.source.name} has; "
            f"it has {', '.join(test.data.column_names)}: rename them to match"
        )
    below = _cast(test, columns, main.data.schema)
    data = pa.concat_tables([main.data.select(columns), below]).append_column(SET_COLUMN, _sets(main, test))
    reasons = {**main.roles.reasons, SET_COLUMN: f"train: {main.source.name}; test: {test.source.name}"}
    roles = replace(
        main.roles,
        set=SET_COLUMN,
        validation=None,
        id=main.roles.id if main.roles.id in columns else None,
        reasons=reasons,
    )
    joined = finding("test-table", "info", f"{test.n_rows:,} test rows were joined from {test.source.name}")
    last = int(main.row_numbers.max(initial=0))
    return replace(
        main,
        data=data,
        roles=roles,
        findings=(*main.findings, *test.findings, joined),
        row_numbers=np.concatenate([main.row_numbers, test.row_numbers + last]),
    )


def _cast(test: Table, columns: list[str], schema: pa.Schema) -> pa.Table:
    arrays = []
    for name in columns:
        try:
            arrays.append(test.data[name].cast(schema.field(name).type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise DataError(
                f"{test.source.name}: column {name!r} is {test.data.schema.field(name).type} there and "
                f"{schema.field(name).type} in the training table; make them alike"
            ) from None
    return pa.table(arrays, schema=pa.schema([schema.field(name) for name in columns]))


def _sets(main: Table, test: Table) -> pa.ChunkedArray:
    """The training table's own words, its own test rows aside; `test` for all rows of the test table."""
    words = pa.array(["train"] * main.n_rows, pa.large_string())
    if main.roles.set is not None:
        own = pc.utf8_lower(pc.utf8_trim_whitespace(main.text(main.roles.set)))
        words = pc.if_else(pc.is_in(own, pa.array(TEST_WORDS, own.type)), "pred", own)
    if main.roles.validation is not None:
        marks = pc.utf8_lower(pc.utf8_trim_whitespace(main.text(main.roles.validation)))
        marked = pc.and_(pc.is_in(marks, pa.array(TRUE_WORDS, marks.type)), pc.starts_with(words, "train"))
        words = pc.if_else(marked, "valid", words)
    return pa.chunked_array([words.cast(pa.large_string()), pa.array(["test"] * test.n_rows, pa.large_string())])
