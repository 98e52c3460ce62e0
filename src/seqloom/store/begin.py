"""What is settled before a row is written: whether a folder holds this same store, what columns mean, whether there is room."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.alphabet import SMILES
from seqloom.errors import ConfigError, DataError, RunError
from seqloom.roles.recognise import recognise
from seqloom.store.intake import Columns, texts
from seqloom.store.layout import MANIFEST, Manifest, is_store, read_manifest
from seqloom.store.progress import Origin, Progress, differences, other_origins, read_progress
from seqloom.store.settings import Packing
from seqloom.store.sources import Shard, batches, check_columns, is_text, stamp
from seqloom.store.writer import check_space, needed_bytes

N_HEAD = 4096
"""Rows that are looked at."""
MOST_ROWS, LEAST_ROWS = 1 << 16, 1 << 8
"""Of a piece: enough that the cost of a call does not count, few enough to stay in a cache."""
PIECE_SHARE = 16
"""A piece of a table may be this part of the memory."""
OURS = ("*.draft", "values.u8", "lengths.u*", "starts.i64", "labels.u8", "ids-*.i*", "levels-*.json", "left_out.csv",
        "progress.json", ".*.tmp")  # fmt: skip
"""Files of a store, finished or not."""


def before_it(
    folder: Path, packing: Packing, origins: tuple[Origin, ...], shards: Sequence[Shard], *, overwrite: bool
) -> Manifest | Progress | None:
    """What a call before left in the folder, if it was asked the same of the same tables; RunError for anything else."""
    if overwrite and is_store(folder):
        _clear(folder)
        return None
    if (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        other = differences(manifest.asked, packing.asked)
        sizes = [(shard.path.name, shard.bytes) for shard in shards]
        if sizes != [(each.name, each.bytes) for each in manifest.sources]:
            other.append("tables: other ones, or of other sizes")
        _refuse(folder, other)
        return manifest
    progress = read_progress(folder)
    if progress is None:
        strange = [each.name for each in folder.iterdir() if not _is_ours(each)]
        if strange:
            raise RunError(f"{folder}: there are other files in it, such as {strange[0]!r}; name a new folder with -o")
        return None
    other = differences(progress.asked, packing.asked) + other_origins(progress.origins, origins)
    if progress.left_out and packing.bad_rows == "stop":
        other.append("bad_rows: skip before, stop now")
    _refuse(folder, other)
    return progress


def _refuse(folder: Path, other: list[str]) -> None:
    if other:
        raise RunError("\n".join([
            f"{folder}: holds a store that was asked for in another way:", *(f"  {line}" for line in other),
            "name a new folder with -o, or make it anew with --overwrite",
        ]))  # fmt: skip


def _is_ours(path: Path) -> bool:
    return any(path.match(pattern) for pattern in OURS) or path.name.startswith(".hashes-")


def _clear(folder: Path) -> None:
    """Take away a store; its manifest first, so that what remains of it is none."""
    for pattern in (MANIFEST, *OURS):
        for path in folder.glob(pattern):
            path.unlink()


def begun(folder: Path, packing: Packing, origins: tuple[Origin, ...], shards: Sequence[Shard]) -> Progress:
    """A new store, of which nothing is written: columns, alphabet and targets as the first rows have them, room enough."""
    wanted = Columns(packing.sequence, packing.target, packing.component, packing.entity_target, packing.value)
    check_columns(shards, {name: role for name, role in wanted.roles.items() if name})
    columns = [each for each in wanted.roles if each]
    head, filled = _head(shards, columns if packing.sequence else list(shards[0].types))
    sequence = packing.sequence or _sequence_column(head, packing)
    check_columns(shards, {sequence: "sequence"})
    strings = texts(head[sequence])
    alphabet = packing.alphabet or (SMILES.name if packing.canonical else "")
    if not alphabet:
        verdict = recognise(sequence, strings, is_sequence=True)
        if verdict is None:
            raise ConfigError(f"{filled.name}: the alphabet of {sequence!r} cannot be told; name it with --alphabet")
        alphabet = verdict.alphabet.name
    if packing.canonical and alphabet != SMILES.name:
        raise ConfigError(f"--canonical is for molecules, and {sequence!r} is {alphabet}; leave it out")
    row_bytes = max(head.select(list({sequence: None, **dict.fromkeys(columns)})).nbytes // head.num_rows, 1)
    most = max(packing.bytes // PIECE_SHARE // row_bytes, 1)
    size = int(np.clip(1 << (int(most).bit_length() - 1), LEAST_ROWS, MOST_ROWS))
    targets = packing.target
    if packing.long and not targets:
        targets = _named_targets(next(batches(filled, [packing.entity_target], size))[packing.entity_target])
    share = 1.0
    if packing.long and head.num_rows > 1:
        share = (1 + pc.sum(pc.not_equal(strings.slice(1), strings.slice(0, len(strings) - 1))).as_py()) / head.num_rows
    length = pc.mean(pc.binary_length(strings)).as_py() or 0.0
    n_rows = sum(shard.rows for shard in shards) * share
    check_space(folder, needed_bytes(n_rows, length, len(targets), len(packing.component), long=packing.long))
    nothing = (0,) * len(targets)
    return Progress(
        asked=packing.asked, origins=origins, sequence=sequence, alphabet=alphabet, targets=targets, size=size,
        known=nothing, positive=nothing,
    )  # fmt: skip


def _head(shards: Sequence[Shard], columns: Sequence[str]) -> tuple[pa.Table, Shard]:
    """The first rows of the first table that has any."""
    for shard in shards:
        for table in batches(shard, columns, N_HEAD):
            return table, shard
    raise DataError(f"{shards[0].name}: no rows" + (", nor in the other tables" if len(shards) > 1 else ""))


def _sequence_column(head: pa.Table, packing: Packing) -> str:
    """The one column that holds sequences; ConfigError where there are none or several."""
    named = {*packing.component, *packing.target, packing.entity_target, packing.value}
    text = [name for name in head.column_names if is_text(head[name].type) and name not in named]
    found = [name for name in text if recognise(name, texts(head[name])) is not None]
    if len(found) == 1:
        return found[0]
    what = f"{', '.join(map(repr, found))} may all be" if found else "no column can be seen to be"
    raise ConfigError(
        f"pack: {what} that of the sequences; name it with --sequence (there are {', '.join(head.column_names)})"
    )


def _named_targets(column: pa.ChunkedArray) -> tuple[str, ...]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return tuple(sorted(str(each) for each in pc.unique(column).to_pylist() if each not in (None, "")))


def origins_of(shards: Sequence[Shard]) -> tuple[Origin, ...]:
    return tuple(Origin(name=shard.name, stamp=stamp(shard)) for shard in shards)
