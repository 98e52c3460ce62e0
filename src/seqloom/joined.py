"""Several tables as one: rows of further classes added, and a test table whose rows a set column tells from the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.errors import ConfigError, DataError
from seqloom.findings import Finding, finding
from seqloom.read.section import UNSAID, Censoring
from seqloom.table import DataSection, Table, read_table

SET_COLUMN = "(given tables)"
CLASS_COLUMN = "class"
ID_COLUMN = "id"
POSITIVE = "positive"
TEST_WORDS = ("test", "testing")
TRUE_WORDS = ("true", "1", "1.0", "yes")


def read_tables(
    section: DataSection,
    targets: tuple[str, ...] = (),
    source: Any = None,
    *,
    for_prediction: bool = False,
    censoring: Censoring = UNSAID,
) -> Table:
    """The table of `[data] table` (or `source`), with the rows of `[data] test` joined to it as test rows.

    `censoring`: what is said of targets that are bounds, in both tables.
    Rows of the test table are numbered on from the last row of the training table's source. Raises DataError when a column
    that is needed is not in both.
    """
    source = section.table if source is None else source
    if section.add:
        main = _with_classes(section, targets, source, for_prediction=for_prediction)
    else:
        main = read_table(source, section, targets, for_prediction=for_prediction, censoring=censoring)
    if not section.test:
        return main
    fixed = section.model_copy(
        update={
            "sequence": main.roles.sequences,
            "alphabet": {column: alphabet.name for column, alphabet in main.alphabets.items()},
            "set": "",
            "patch": "",
            "add": {},
        }
    )
    if main.wild_type is not None:
        known = {"wild_type": main.wild_type.sequence, "first_site": main.wild_type.first_site}
        fixed = fixed.model_copy(update=known)
    own = targets or main.roles.targets
    test = read_table(section.test, fixed, own, for_prediction=for_prediction, censoring=censoring)
    return _joined(main, test)


def _with_classes(section: DataSection, targets: tuple[str, ...], source: Any, *, for_prediction: bool) -> Table:
    """The table, and below it the rows of every table of `[data] add` with their class as target.

    They need a sequence column for each of the first table's; columns they lack are empty for them.
    """
    own = section.model_copy(update={"add": {}, "where": "", "replicates": "keep"})
    main = read_table(source, own, targets, for_prediction=True)
    if len(targets) > 1 or len(main.roles.targets) > 1:
        raise ConfigError(
            f"[data] add gives rows one class, and there are several targets ({', '.join(targets or main.roles.targets)}); "
            "name one with --target COLUMN"
        )
    target = next(iter(targets or main.roles.targets), CLASS_COLUMN)
    known = target in main.data.column_names
    label = main.text(target) if known else pa.array([POSITIVE] * main.n_rows, pa.large_string())
    ids = pa.chunked_array([main.ids])
    parts = [main.data.drop_columns([target] if known else []).append_column(target, label)]
    parts[0] = _replaced(parts[0], main.roles.id or ID_COLUMN, ids)
    found = list(main.findings)
    alphabets = next(iter(main.alphabets.values())).name if len(main.alphabets) == 1 else ""
    for name, path in section.add.items():
        own = DataSection(alphabet=alphabets)
        further = read_table(path, own, for_prediction=True)
        if len(further.roles.sequences) != len(main.roles.sequences):
            raise DataError(
                f"{further.source.name} has {len(further.roles.sequences)} sequence column(s) and {main.source.name} has "
                f"{len(main.roles.sequences)}; [data] add needs as many"
            )
        columns = {
            own_name: further.data[other]
            for own_name, other in zip(main.roles.sequences, further.roles.sequences, strict=True)
        }
        columns[target] = pa.array([name] * further.n_rows, pa.large_string())
        columns[main.roles.id or ID_COLUMN] = further.ids
        parts.append(pa.table(columns))
        found.append(
            finding(
                "added-class",
                "info",
                f"{further.n_rows:,} rows of class {name!r} were added from {further.source.name}",
            )
        )
        found += [each for each in further.findings if each.severity == "error"]
    data = pa.concat_tables(parts, promote_options="permissive")
    fixed = section.model_copy(
        update={
            "sequence": main.roles.sequences,
            "id": main.roles.id or ID_COLUMN,
            "add": {},
            "patch": "",
            "rename": {},
            "lookup": {},
            "header": "",
            "wild_type": main.wild_type.sequence if main.wild_type is not None else "",
        }
    )
    whole = read_table(data, fixed, (target,), for_prediction=for_prediction, origin=main.source)
    return replace(whole, findings=(*_once(found, whole.findings), *whole.findings))


def _replaced(data: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    if name in data.column_names:
        return data.set_column(data.column_names.index(name), name, values)
    return data.append_column(name, values)


def _once(found: list[Finding], said: tuple[Finding, ...]) -> list[Finding]:
    """What reading the parts found and reading the whole does not say again."""
    return [each for each in found if each.code not in {other.code for other in said}]


def _joined(main: Table, test: Table) -> Table:
    columns = [name for name in main.data.column_names if name in test.data.column_names]
    needed = [*main.roles.sequences, *main.roles.targets, *main.roles.covariates, *main.roles.context]
    needed += [each for each in (main.roles.group, main.roles.inequality) if each]
    absent = [name for name in needed if name not in columns]
    if absent:
        raise DataError(
            f"{test.source.name} lacks the column(s) {', '.join(map(repr, absent))} that {main.source.name} has; "
            f"it has {', '.join(test.data.column_names)}: rename them to match, as by --set 'data.rename={{old=\"new\"}}'"
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
        bounds=_bounds(main, test),
        signed=tuple(dict.fromkeys((*main.signed, *test.signed))),
    )


def _bounds(main: Table, test: Table) -> dict[str, np.ndarray]:
    """The bounds of both tables, in every target column that has them in one."""
    return {
        name: np.concatenate([each.bounds.get(name, np.zeros(each.n_rows, np.int8)) for each in (main, test)])
        for name in {**main.bounds, **test.bounds}
    }


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
