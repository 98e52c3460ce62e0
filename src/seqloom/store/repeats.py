"""Rows of one molecule that do not stand together, found in bounded memory whatever the number of rows.

Every row gets a 64-bit hash of its tokens and components; hashes are dealt into files by their highest bits, and each file is
sorted by itself. Two molecules of one hash are taken for one: among 10^8 rows that happens once in 3,700 stores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from seqloom.findings import N_NAMED_ROWS

RECORD = np.dtype([("hash", "<u8"), ("row", "<i8")])
COPIES = 6
"""Times its records that sorting a file takes."""
MOST_BITS = 9
"""So that no system's limit of open files is met."""
ODD = np.uint64(0x9E3779B97F4A7C15)
MIX = np.uint64(0xBF58476D1CE4E5B9)


class Repeats(NamedTuple):
    """Rows whose molecule is that of a row before."""

    number: int
    first: list[tuple[int, int]]
    """The first of them, each with the first row of its molecule."""


def find_repeats(chunks: Iterable[np.ndarray], n_rows: int, memory: int, folder: Path) -> Repeats:
    """Repeats among `chunks` of hashes, uint64, of `n_rows` rows in turn; files are made in `folder` for the time being."""
    bits = min(int(np.ceil(np.log2(max(n_rows * RECORD.itemsize * COPIES / memory, 1)))), MOST_BITS)
    count, first = 0, list[tuple[int, int]]()
    for records in _parts(chunks, bits, folder):
        order = np.argsort(records["hash"], kind="stable")  # rows of one hash stay in order
        hashes, rows = records["hash"][order], records["row"][order]
        again = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
        count += len(again)
        shown = again[np.argsort(rows[again])[:N_NAMED_ROWS]]
        origin = rows[np.searchsorted(hashes, hashes[shown])]
        first += zip(rows[shown].tolist(), origin.tolist(), strict=True)
    return Repeats(count, sorted(first)[:N_NAMED_ROWS])


def hashes_of(values: np.ndarray, offsets: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """A hash of tokens and components, uint64 (N,), of `values` uint8, `offsets` int64 (N + 1,), `ids` int32 (C, N).

    Eight tokens at a time are one number; each is mixed in as the finaliser of SplitMix64 does (Steele, Lea and Flood 2014).
    """
    lengths = np.diff(offsets)
    padded = np.concatenate([values, np.zeros(8, np.uint8)])
    words = np.lib.stride_tricks.as_strided(padded.view("<u1"), (len(values) + 1, 8), (1, 1))
    found = lengths.astype(np.uint64) * ODD
    rows, at = np.arange(len(lengths)), 0
    while len(rows := rows[lengths[rows] > at]):
        word = np.ascontiguousarray(words[offsets[rows] + at]).view("<u8")[:, 0]
        left = np.minimum(lengths[rows] - at, 8).astype(np.uint64)
        word = word & (np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64) - np.uint64(8) * left))
        found[rows] = _mixed(found[rows] ^ word)
        at += 8
    for each in ids:
        found = _mixed(found ^ each.astype(np.int64).view(np.uint64))
    return found


def _mixed(numbers: np.ndarray) -> np.ndarray:
    numbers = (numbers ^ (numbers >> np.uint64(30))) * MIX
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = (numbers ^ (numbers >> np.uint64(31))) + ODD
    return mixed


def _parts(chunks: Iterable[np.ndarray], bits: int, folder: Path) -> Iterator[np.ndarray]:
    """All records, those of one hash together."""
    if not bits:
        whole = [each for each in _records(chunks) if len(each)]
        if whole:
            yield np.concatenate(whole)
        return
    with TemporaryDirectory(prefix=".hashes-", dir=folder) as name:
        paths = [Path(name) / str(part) for part in range(1 << bits)]
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("wb")) for path in paths]
            for records in _records(chunks):
                part = (records["hash"] >> np.uint64(64 - bits)).astype(np.int64)
                order = np.argsort(part, kind="stable")
                ends = np.cumsum(np.bincount(part, minlength=len(paths)))
                for file, its in zip(files, np.split(records[order], ends[:-1]), strict=True):
                    file.write(its.tobytes())
        for path in paths:
            yield np.fromfile(path, RECORD)
            path.unlink()


def _records(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    at = 0
    for hashes in chunks:
        records = np.empty(len(hashes), RECORD)
        records["hash"], records["row"] = hashes, np.arange(at, at + len(hashes))
        at += len(hashes)
        yield records
