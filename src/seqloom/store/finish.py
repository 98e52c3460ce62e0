"""The files of a store out of the drafts that were streamed: narrow types, alphabetical ids, starts, hashes, and the manifest.

Drafts are read and not changed: whatever happens, the same can be done again, with the same bytes. (Not by `tofile`, which does
not say that a disk is full.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from seqloom.errors import DataError
from seqloom.files import write_json, write_whole
from seqloom.store.layout import (
    BLOCK,
    ID_TYPES,
    LABELS,
    LEFT_OUT,
    LENGTH_TYPES,
    MANIFEST,
    PROGRESS,
    STARTS,
    VALUES,
    ComponentFacts,
    FileFacts,
    Manifest,
    TargetFacts,
    ids_file,
    levels_file,
)  # fmt: skip
from seqloom.store.levels import Levels, alphabetical
from seqloom.store.progress import Progress
from seqloom.store.repeats import Repeats, find_repeats, hashes_of
from seqloom.store.sources import Shard
from seqloom.store.writer import LENGTHS_DRAFT, ORIGINS_DRAFT, ROW_BITS, ids_draft, sync
from seqloom.tokens import Tokens

STRETCH = 64 * BLOCK
"""Rows of a draft that are read at once."""


def narrow_lengths(folder: Path, progress: Progress) -> str:
    """Write lengths in the narrowest type that holds them, and starts; the type."""
    kind = next(name for name, dtype in LENGTH_TYPES.items() if progress.longest <= np.iinfo(dtype).max)
    starts = [np.zeros(0, np.int64)]

    def write(draft: Path) -> None:
        total = 0
        with draft.open("wb") as out:
            for lengths in _stretches(folder / LENGTHS_DRAFT, np.dtype("<u4")):
                out.write(lengths.astype(LENGTH_TYPES[kind]).data)
                ends = total + np.cumsum(lengths, dtype=np.int64)
                starts.append((ends - lengths)[::BLOCK])
                total = int(ends[-1])
        starts.append(np.array([total]))

    write_whole(folder / f"lengths.{kind}", write)
    write_whole(folder / STARTS, lambda draft: draft.write_bytes(np.concatenate(starts).astype("<i8").tobytes()))
    return kind


def alphabetical_ids(folder: Path, place: int, name: str, levels: Levels) -> ComponentFacts:
    """Write the ids and levels of the component at `place`, in alphabetical order and without levels that no row has."""
    used = np.zeros(len(levels.names) + 1, bool)
    for ids in _stretches(folder / ids_draft(place), np.dtype("<i4")):
        used[ids] = True
    names, new = alphabetical(levels.names, used[:-1])
    kind = "i16" if len(names) <= np.iinfo(np.int16).max else "i32"
    new = new.astype(ID_TYPES[kind])

    def write(draft: Path) -> None:
        with draft.open("wb") as out:
            for ids in _stretches(folder / ids_draft(place), np.dtype("<i4")):
                out.write(new[ids].data)

    write_whole(folder / ids_file(place, kind), write)
    write_json(folder / levels_file(place), names)
    return ComponentFacts(name=name, levels=len(names), type=kind)


def repeats_in(folder: Path, progress: Progress, n_components: int, memory: int) -> Repeats:
    """Rows whose molecule, by tokens and components, is that of a row before."""
    chunks = (hashes_of(each.values, each.offsets, ids) for each, ids in _molecules(folder, n_components))
    return find_repeats(chunks, progress.rows, memory // 4, folder)


def repeats_message(folder: Path, repeats: Repeats, shards: Sequence[Shard]) -> str:
    """What is wrong, where, and what to type."""
    origins = np.memmap(folder / ORIGINS_DRAFT, "<i8", "r")

    def where(row: int) -> str:
        file, at = divmod(int(origins[row]), 1 << ROW_BITS)
        return f"{shards[file].name} row {at + 1:,}"

    named = [f"  {where(row)}: the molecule of {where(first)}" for row, first in repeats.first]
    return "\n".join([
        f"{repeats.number:,} times rows of one molecule (equal sequence and components) do not stand together, so that its "
        "labels cannot be put into one row:",
        *named,
        "sort the table by molecule and pack it again, or keep them as rows of their own with --repeats keep",
    ])  # fmt: skip


def write_manifest(folder: Path, manifest: Manifest, shards: Sequence[Shard], say: Callable[[str], None]) -> Manifest:
    """Write the manifest with the hashes of all files and tables, and take away the drafts; what was written."""
    names = [VALUES, manifest.lengths_file, STARTS, LABELS]
    names += [ids_file(place, each.type) for place, each in enumerate(manifest.components)]
    names += [levels_file(place) for place in range(len(manifest.components))]
    names += [LEFT_OUT] * bool(manifest.left_out)
    for name in names:
        sync(folder / name)
    say("hashing")
    files = tuple(_facts(folder / name, name) for name in names)
    sources = tuple(_facts(shard.path, shard.path.name) for shard in shards)
    manifest = manifest.model_copy(update={"files": files, "sources": sources, "made_by": made_by()})
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    sync(folder / MANIFEST)
    sync(folder)
    remove_drafts(folder, keep_left_out=bool(manifest.left_out))
    return manifest


def remove_drafts(folder: Path, *, keep_left_out: bool) -> None:
    """Take away what a finished store does not need; the progress last."""
    for path in folder.glob("*.draft"):
        path.unlink()
    if not keep_left_out:
        (folder / LEFT_OUT).unlink(missing_ok=True)
    (folder / PROGRESS).unlink(missing_ok=True)


def made_by() -> str:
    """`seqloom` and its version."""
    try:
        return f"seqloom {version('seqloom')}"
    except PackageNotFoundError:  # run from its sources
        return "seqloom"


def target_facts(progress: Progress) -> tuple[TargetFacts, ...]:
    """Name, known and positive labels of every target."""
    counts = zip(progress.targets, progress.known, progress.positive, strict=True)
    return tuple(TargetFacts(name=name, known=known, positive=positive) for name, known, positive in counts)


def check_sizes(folder: Path, progress: Progress) -> None:
    """DataError where no row is there to make a store of."""
    if not progress.rows:
        left = ", ".join(f"{count:,} {reason}" for reason, count in progress.left_out.items())
        raise DataError(f"{folder}: no row could be packed{f' (left out: {left})' if left else ''}")


def _molecules(folder: Path, n_components: int) -> Iterator[tuple[Tokens, np.ndarray]]:
    """Tokens and ids of all rows, a stretch at a time; read, not mapped, so that no more is ever held."""
    streams = [_stretches(folder / ids_draft(place), np.dtype("<i4")) for place in range(n_components)]
    with (folder / VALUES).open("rb") as values:
        for lengths in _stretches(folder / LENGTHS_DRAFT, np.dtype("<u4")):
            offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
            ids = [next(each) for each in streams]
            tokens = np.fromfile(values, np.uint8, int(offsets[-1]))
            yield Tokens(tokens, offsets), np.stack(ids) if ids else np.zeros((0, len(lengths)), np.int32)


def _stretches(path: Path, dtype: np.dtype) -> Iterator[np.ndarray]:
    with path.open("rb") as file:
        while len(part := np.fromfile(file, dtype, STRETCH)):
            yield part


def _facts(path: Path, name: str) -> FileFacts:
    with path.open("rb") as file:
        return FileFacts(name=name, bytes=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())
