"""Memory that a step of training frees is kept for the next one.

The C library gives large freed blocks back to the system, and every page of them is cleared again when the next step asks for
it: a third of the time of 15 LSTMs trained side by side. As batches differ in width, so do blocks, and what is kept falls to
pieces: every `SECONDS` all of it is given back once, or a training of minutes would hold twice what it needs. Only glibc is told;
elsewhere nothing happens.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of `mallopt`, from malloc.h."""
KEPT = 2**30
"""Bytes at the end of the heap that may stay unused, and the least size of a block outside of it, while nets train."""
SECONDS = 5.0
LARGEST_OWN = 2**25
"""The largest block that glibc itself learns to keep in the heap, of which twice as much may then stay unused."""


@contextmanager
def kept_memory() -> Iterator[None]:
    """Freed memory stays with the process inside, and is given back at the end."""
    library = _glibc()
    if library is None:
        yield
        return
    # Before 2.35 glibc refuses the first of these; to set the other alone would leave it with its smallest blocks.
    if not (library.mallopt(M_MMAP_THRESHOLD, KEPT) or library.mallopt(M_MMAP_THRESHOLD, LARGEST_OWN)):
        yield
        return
    library.mallopt(M_TRIM_THRESHOLD, KEPT)
    over = threading.Event()
    trimmer = threading.Thread(target=_trim, args=(library, over), name="trim", daemon=True)
    trimmer.start()
    try:
        yield
    finally:
        over.set()
        trimmer.join()
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_OWN)
        library.mallopt(M_TRIM_THRESHOLD, 2 * LARGEST_OWN)
        library.malloc_trim(0)


def _trim(library: ctypes.CDLL, over: threading.Event) -> None:
    """Give back what is free now and then; ctypes lets the other threads run meanwhile."""
    while not over.wait(SECONDS):
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library of this process, if it is glibc."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt") else None
