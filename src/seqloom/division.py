"""What `seqloom split` does: a partition of a table and its audit, without fitting anything."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqloom.censored import as_written
from seqloom.config import strata_of
from seqloom.errors import ConfigError
from seqloom.files import write_json, write_parquet
from seqloom.findings import raise_errors
from seqloom.joined import read_tables
from seqloom.prediction import FORMATS, write_table
from seqloom.registry import validated
from seqloom.sections import Sections
from seqloom.split.base import ROLE_NAMES, TEST, Partition
from seqloom.split.make import make_partition
from seqloom.split.recommend import splitter_for
from seqloom.summary import data_facts
from seqloom.table import DataSection, Table
from seqloom.target import Target, TargetSection, find_target

SET = "set"
FOLD = "fold"


def divide(sections: Sections, out: Path | None, source: Any = None) -> dict[str, Any]:
    """The stable keys of `split --json`. `out`: a folder for the partition, its audit and the table with its new column, or a
    file (.csv, .tsv, .parquet) for that table alone.

    One fold gives a column `set` of train, valid, test (empty for unused rows), as `compare` reads it; several a column
    `fold`, the fold in which a row is tested.
    """
    started = time.monotonic()
    section = validated(DataSection, sections.get("data", {}), "[data]")
    wanted = validated(TargetSection, sections.get("target", {}), "[target]")
    table = read_tables(section, wanted.column, source, for_prediction=not wanted.column, censoring=wanted.censoring)
    raise_errors(table.findings)
    target = find_target(table, wanted) if wanted.column or table.roles.targets else None
    scores = target.read(table) if target is not None else np.zeros((table.n_rows, 1))
    splitter, why = splitter_for(sections.get("split", {}), table, target.task if target is not None else None)
    partition, audit = make_partition(
        splitter, table, scores, strata_of(target, scores) if target is not None else None
    )
    divided = _with_parts(table, partition)
    if out is not None:
        _write(out, table, target, section, partition, audit, divided)
    findings = [*table.findings, *audit.findings]
    return {
        "command": "split",
        "path": out.as_posix() if out is not None else table.source.path,
        "seconds": round(time.monotonic() - started, 3),
        "rows": table.n_rows,
        "splitter": {"kind": splitter.kind, **splitter.model_dump(mode="json")},
        "reason": why,
        "guarantee": splitter.guarantee,
        "counts": partition.counts(0),
        "folds": [partition.counts(fold) for fold in range(partition.n_folds)],
        "audit": audit.as_json(),
        "findings": [each.as_json() for each in findings],
    }


def _write(
    out: Path,
    table: Table,
    target: Target | None,
    section: DataSection,
    partition: Partition,
    audit: Any,
    divided: pa.Table,
) -> None:
    if out.suffix in FORMATS:
        write_table(divided, out)
        return
    if out.suffix:
        raise ConfigError(f"-o {out}: name a folder, or a file that ends in {', '.join(FORMATS)}")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "audit.json", audit.as_json())
    write_json(out / "data.json", data_facts(table, target, section))
    write_parquet(out / "partition.parquet", partition.as_table(table))
    write_parquet(out / "nearest.parquet", audit.nearest)
    write_table(divided, out / "table.csv")


def _with_parts(table: Table, partition: Partition) -> pa.Table:
    if partition.n_folds == 1:
        words = pa.array([*ROLE_NAMES[:3], None], pa.large_string())
        return as_written(table.with_column(_free(table, SET), words.take(pa.array(partition.roles[0]))))
    tested = partition.roles == TEST
    fold = pa.array(np.argmax(tested, axis=0), mask=~tested.any(axis=0))
    return as_written(table.with_column(_free(table, FOLD), fold))


def _free(table: Table, name: str) -> str:
    """The column's name; a column of the table that already has it is replaced only if it was the partition."""
    if name not in table.data.column_names or table.roles.set == name:
        return name
    return f"{name}_seqloom"
