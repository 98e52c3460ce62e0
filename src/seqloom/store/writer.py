"""Files that grow by appending, as far as the last progress safe whatever happens: killed, interrupted, a full disk.

`Writer.append` adds rows, `Writer.secure` makes them safe. Drafts hold lengths as u32 and ids as i32 in the order of first
appearance; `seqloom.store.finish` makes the files of the store of them.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

from seqloom.errors import RunError
from seqloom.files import write_whole
from seqloom.store.layout import LABELS, LEFT_OUT, PROGRESS, VALUES, label_bytes
from seqloom.store.levels import Levels
from seqloom.store.progress import Progress

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LENGTHS_DRAFT, ORIGINS_DRAFT = "lengths.draft", "origins.draft"
ROW_BITS = 40
"""Of an entry of the draft of origins: below them the row, above them the table."""
NAMED = ("file", "row", "reason", "text")
Made = TypeVar("Made")


class Chunk:
    """Rows to append."""

    def __init__(
        self, values: np.ndarray, lengths: np.ndarray, labels: np.ndarray, ids: np.ndarray, origins: np.ndarray | None
    ) -> None:
        self.parts: dict[str, np.ndarray] = {VALUES: values, LENGTHS_DRAFT: lengths.astype("<u4"), LABELS: labels}
        for place, each in enumerate(ids):
            self.parts[ids_draft(place)] = each.astype("<i4", copy=False)
        if origins is not None:
            self.parts[ORIGINS_DRAFT] = origins.astype("<i8", copy=False)


class Writer:
    """The growing files of a store; opened where `progress` says they end."""

    def __init__(self, folder: Path, levels: Sequence[Levels], progress: Progress, *, long: bool) -> None:
        self.folder, self.levels = folder, levels
        names = [VALUES, LENGTHS_DRAFT, LABELS, *map(ids_draft, range(len(levels))), *([ORIGINS_DRAFT] if long else [])]
        names += [*map(levels_draft, range(len(levels))), LEFT_OUT]
        self._sizes = {name: progress.sizes.get(name, 0) for name in names}
        self._safe = dict(self._sizes)
        self._n_levels = [len(each.names) for each in levels]
        self._files: dict[str, io.FileIO] = {}
        self.unsafe = 0
        """Bytes since the last progress."""
        for name in names:
            self._open(name)

    def append(self, chunk: Chunk) -> None:
        """Add rows."""
        for name, part in chunk.parts.items():
            self._write(name, np.ascontiguousarray(part).data.cast("B") if part.size else b"")

    def leave_out(self, lines: Iterable[tuple[str, int, str, str]]) -> None:
        """Add rows to the list of those that are left out: table, row from 1, reason, text."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._sizes[LEFT_OUT]:
            writer.writerow(NAMED)
        writer.writerows(lines)
        self._write(LEFT_OUT, text.getvalue().encode())

    def secure(self, progress: Progress) -> Progress:
        """Make all rows so far safe, and say so in the progress file; the progress with the sizes of the files."""
        for place, each in enumerate(self.levels):
            new = each.names[self._n_levels[place] :]
            self._write(levels_draft(place), "".join(json.dumps(name) + "\n" for name in new).encode())
            self._n_levels[place] = len(each.names)
        for name, file in self._files.items():
            if self._sizes[name] != self._safe[name]:
                os.fsync(file.fileno())
        progress = progress.model_copy(update={"sizes": dict(self._sizes)})
        write_whole(self.folder / PROGRESS, lambda draft: _write_safely(draft, progress.model_dump_json(indent=1)))
        sync(self.folder)
        self._safe, self.unsafe = dict(self._sizes), 0
        return progress

    def cut_back(self) -> None:
        """Take away what is not safe, and so make room."""
        for name, file in self._files.items():
            file.truncate(self._safe[name])

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()

    def _open(self, name: str) -> None:
        path, size = self.folder / name, self._sizes[name]
        there = path.stat().st_size if path.exists() else 0
        if there < size:
            raise RunError(f"{path}: {there:,} bytes, and {size:,} were written; begin again with --overwrite")
        if not path.exists():
            path.touch()
        file = self._files[name] = path.open("r+b", buffering=0)
        file.truncate(size)
        file.seek(size)

    def _write(self, name: str, data: memoryview | bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._files[name].write(left) :]
        self._sizes[name] += len(data)
        self.unsafe += len(data)


def read_levels(folder: Path, n_components: int, progress: Progress) -> list[Levels]:
    """The levels of all components that are safe."""
    found = []
    for place in range(n_components):
        size = progress.sizes.get(levels_draft(place), 0)
        text = (folder / levels_draft(place)).read_bytes()[:size] if size else b""
        found.append(Levels([json.loads(line) for line in text.splitlines()]))
    return found


def ids_draft(place: int) -> str:
    """Name of the draft of ids of a component."""
    return f"ids-{place}.draft"


def levels_draft(place: int) -> str:
    """Name of the draft of its levels."""
    return f"levels-{place}.draft"


def sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to disk."""
    if path.is_dir() and os.name == "nt":  # folders cannot be opened there
        return
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def needed_bytes(n_rows: float, length: float, n_targets: int, n_components: int, *, long: bool) -> int:
    """Bytes on disk while a store of `n_rows` sequences of mean `length` is being finished, which is when there are most."""
    drafts = 4 + 4 * n_components + 8 * long
    return round(n_rows * (length + label_bytes(n_targets) + drafts + 1 + 2 * n_components))


def check_space(folder: Path, needed: int) -> None:
    """RunError if the disk has clearly less room than the estimate `needed`."""
    free = shutil.disk_usage(folder).free
    if needed * 0.9 > free:
        raise RunError(
            f"{folder}: the store needs about {needed / 1e9:,.3g} GB while it is written, by its first rows, and the disk has "
            f"{free / 1e9:,.3g} GB free; nothing was written. Make room, or name another disk with -o"
        )


def _write_safely(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    sync(path)


@contextmanager
def room(folder: Path, cut_back: Callable[[], None]) -> Iterator[None]:
    """RunError that says what to do where the disk is full; what is not safe is taken away first."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        cut_back()
        free = shutil.disk_usage(folder).free
        raise RunError(
            f"{error.filename or folder}: {error.strerror}, with {free / 1e9:,.3g} GB free now; what was written before is safe. "
            "Make room and run the same command: it goes on from there"
        ) from None


@contextmanager
def locked(folder: Path, doing: str = "packing") -> Iterator[None]:
    """Alone in the folder; RunError where another process is `doing` something into it.

    The lock ends with the process that has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: a file that one process writes is not shared there
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RunError(f"{folder}: another process is {doing} into this folder; wait for it, or name another") from None
    finally:
        os.close(number)
