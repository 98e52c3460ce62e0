"""The first rows of tables, packed into a store for the time being: how long a row takes, and rows for a probe to learn from."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from seqloom.errors import DataError
from seqloom.registry import validated
from seqloom.store.layout import Manifest, read_manifest
from seqloom.store.pack import pack
from seqloom.store.settings import Packing
from seqloom.store.sources import Shard, batches, look_at

FEW, MANY = 20_000, 300_000
"""Rows that are packed twice: what a store costs whatever its size is the time of few, and a row the difference between both."""
PIECE = 10_000
MOST_BYTES = 2**28
"""Held of the tables at once; of wide ones fewer rows are packed."""
CANONICAL = 500
"""Molecules that are made canonical: half a second of work."""


@dataclass(frozen=True)
class Packed:
    """What packing the first rows of some tables has told."""

    folder: Path
    """The store; gone when the caller is done."""
    manifest: Manifest
    table_rows: int
    """Of the tables, looked at."""
    all_rows: int
    """Of the tables in all; a guess for text."""
    exact: bool
    """Whether it is none."""
    row_seconds: float
    """For a row of the store."""
    canonical_seconds: float | None
    """For a molecule and core; None where none is asked for."""
    formats: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows that a store of the whole tables will have."""
        return max(round(self.all_rows * self.manifest.rows / max(self.table_rows, 1)), 1)


@contextmanager
def packed_piece(tables: Sequence[str | Path], settings: Mapping[str, Any]) -> Iterator[Packed]:
    """The first rows of `tables`, packed as `settings` of `seqloom pack` say, until the caller is done.

    Molecules are not made canonical here but for some, as each costs a thousand times as much as all else.
    """
    packing = validated(Packing, settings, "plan")
    shards = look_at(tables)
    plain = {
        **packing.model_dump(exclude={"canonical"}),
        "alphabet": packing.alphabet or ("smiles" * packing.canonical),
    }
    with TemporaryDirectory(prefix="seqloom-plan-") as name:
        folder = Path(name)
        many = _first_rows(shards, MANY)
        few = many.slice(0, FEW)
        files = {}
        for part, table in (("few", few), ("many", many)):
            (folder / part).mkdir()
            files[part] = _written(shards[0], table, folder / part / shards[0].path.name)  # as messages name it
        taken = {}
        for part in ("few", "few", "many"):  # the first call loads and compiles
            started = time.perf_counter()
            pack([files[part]], folder / f"{part}-store", overwrite=True, **plain)
            taken[part] = time.perf_counter() - started
        made = read_manifest(folder / "many-store")
        rows = {"few": read_manifest(folder / "few-store").rows, "many": made.rows}
        yield Packed(
            folder / "many-store", made, many.num_rows, sum(shard.rows for shard in shards),
            all(shard.format == "parquet" for shard in shards), _row_seconds(taken, rows),
            _canonical_seconds(few, made.sequence, packing) if packing.canonical else None,
            tuple(sorted({shard.format for shard in shards})),
        )  # fmt: skip


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _first_rows(shards: Sequence[Shard], n: int) -> pa.Table:
    """Up to n rows, all columns; DataError where there are none."""
    held: list[pa.Table] = []
    for shard in shards:
        for table in batches(shard, list(shard.types), PIECE):
            held.append(table)
            if sum(each.num_rows for each in held) >= n or sum(each.nbytes for each in held) >= MOST_BYTES:
                break
        else:
            continue
        break
    if not sum(table.num_rows for table in held):
        raise DataError(f"{shards[0].name}: no rows" + (", nor in the other tables" if len(shards) > 1 else ""))
    return pa.concat_tables(held, promote_options="permissive").slice(0, n)


def _written(shard: Shard, table: pa.Table, path: Path) -> Path:
    """A file like the one the rows come from, as what is read costs as much as what is written."""
    if shard.format == "parquet":
        pq.write_table(table, path)
    elif shard.format == "arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=PIECE)
    elif shard.compression:
        with pa.CompressedOutputStream(str(path), shard.compression) as stream:
            pyarrow.csv.write_csv(table, stream)
    else:
        pyarrow.csv.write_csv(table, path)
    return path


def _row_seconds(taken: Mapping[str, float], rows: Mapping[str, int]) -> float:
    more = rows["many"] - rows["few"]
    if more >= rows["few"] and taken["many"] > taken["few"]:
        return (taken["many"] - taken["few"]) / more
    return taken["many"] / max(rows["many"], 1)


def _canonical_seconds(table: pa.Table, sequence: str, packing: Packing) -> float:
    """Of one molecule on one core; MissingExtra without RDKit. No cache is read or written."""
    from seqloom.chemistry import canonical_or_none

    strings = table[sequence].slice(0, CANONICAL).cast(pa.large_string())
    for old, new in packing.rewrites:
        strings = pa.compute.replace_substring(strings, old, new)
    texts = [each or "" for each in strings.to_pylist()]
    canonical_or_none(texts[:1])
    started = time.perf_counter()
    canonical_or_none(texts)
    return (time.perf_counter() - started) / max(len(texts), 1)
