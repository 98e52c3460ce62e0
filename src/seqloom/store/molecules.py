"""Canonical SMILES of many molecules: by several processes, each piece once and for all.

This is by far the dearest step of packing, so a finished piece is kept in a folder, under the hash of its text and the version
of RDKit: an interrupted or repeated pack does not pay twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import pyarrow as pa

from seqloom.chemistry import canonical_or_none
from seqloom.errors import MissingExtra
from seqloom.files import write_whole
from seqloom.tokens import ragged_bytes

PIECE = 1024
"""Molecules of a piece: about a second of work, and few enough that many processes have one each."""
N_PIECES_ALONE = 1
"""So few are done in this process, as others take seconds to start."""


def cache_folder() -> Path:
    """Where finished pieces are kept: SEQLOOM_CACHE, or the folder that the system has for such things."""
    if given := os.environ.get("SEQLOOM_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser() / "seqloom" / "cache"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/seqloom").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "seqloom"


class Molecules:
    """Makes molecules canonical; MissingExtra without RDKit."""

    def __init__(self) -> None:
        try:
            import rdkit
        except ImportError:
            raise MissingExtra("making molecules canonical", "chem") from None
        self.made_by = f"RDKit {rdkit.__version__}"
        self.folder = cache_folder() / f"canonical-{rdkit.__version__}"
        self._pool: ProcessPoolExecutor | None = None

    def canonical(self, strings: pa.Array) -> tuple[pa.Array, np.ndarray]:
        """Canonical SMILES, large_string (N,), and which cannot be read, bool (N,); those stand as they were."""
        pieces = [strings.slice(start, PIECE) for start in range(0, len(strings), PIECE)]
        paths = [self._path(piece) for piece in pieces]
        made = [_kept(path) for path in paths]
        missing = [place for place, each in enumerate(made) if each is None]
        for place, texts in zip(missing, self._made([pieces[each] for each in missing]), strict=True):
            made[place] = pa.array(texts, pa.large_string())
            _keep(paths[place], made[place])
        whole = pa.concat_arrays([each for each in made if each is not None]) if made else strings
        return pa.compute.if_else(whole.is_valid(), whole, strings), whole.is_null().to_numpy(zero_copy_only=False)

    def close(self) -> None:
        """Let the other processes go, whatever they are at."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _made(self, pieces: list[pa.Array]) -> Iterator[list[str | None]]:
        if len(pieces) <= N_PIECES_ALONE or _n_cores() == 1:
            yield from (canonical_or_none(piece.to_pylist()) for piece in pieces)
            return
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(_n_cores(), context, initializer=_follow_parent)
        futures: list[Future[list[str | None]]] = [
            self._pool.submit(canonical_or_none, piece.to_pylist()) for piece in pieces
        ]
        yield from (each.result() for each in futures)

    def _path(self, piece: pa.Array) -> Path:
        text, offsets = ragged_bytes(piece)
        key = hashlib.sha256(offsets.tobytes() + text.tobytes()).hexdigest()
        return self.folder / key[:2] / f"{key[2:]}.arrow"


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _follow_parent() -> None:
    """End with the process that wants the work, however it ends; its interruptions are its own to see to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()


def _kept(path: Path) -> pa.Array | None:
    """A finished piece, None where there is none that can be read."""
    try:
        with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
            return reader.read_all()["smiles"].combine_chunks()
    except (OSError, pa.ArrowException):
        return None


def _keep(path: Path, made: pa.Array) -> None:
    table = pa.table({"smiles": made})

    def write(draft: Path) -> None:
        with pa.OSFile(str(draft), "wb") as file:
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            with pa.ipc.new_file(file, table.schema, options=options) as writer:
                writer.write_table(table)

    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not the store
        write_whole(path, write)
