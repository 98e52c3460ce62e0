"""What `seqloom inspect STORE` finds out: rows, alphabet, lengths, targets, components, bytes, and where it all came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seqloom.store.rows import open_store

STRETCH = 1 << 20


def store_facts(folder: Path | str) -> dict[str, Any]:
    """The stable keys of `inspect --json` of a store; DataError for one that is unfinished or damaged.

    Of the arrays only the lengths are read, in stretches.
    """
    store = open_store(folder)
    manifest = store.manifest
    counts = np.zeros(manifest.longest + 1, np.int64)
    for start in range(0, len(store), STRETCH):
        counts += np.bincount(store.lengths[start : start + STRETCH], minlength=len(counts))
    size = sum(each.bytes for each in manifest.files)
    return {
        "command": "inspect",
        "path": Path(folder).as_posix(),
        "rows": manifest.rows,
        "alphabet": manifest.alphabet,
        "sequence": manifest.sequence,
        "lengths": _lengths(counts),
        "targets": [each.model_dump() for each in manifest.targets],
        "components": [each.model_dump() for each in manifest.components],
        "bytes": size,
        "bytes_per_row": round(size / max(manifest.rows, 1), 2),
        "rewrites": [list(each) for each in manifest.rewrites],
        "canonical": manifest.canonical,
        "sources": [each.model_dump() for each in manifest.sources],
        "left_out": manifest.left_out,
        "repeats": manifest.repeats,
        "made_by": manifest.made_by,
        "findings": [],
    }


def _lengths(counts: np.ndarray) -> dict[str, float]:
    """Of lengths that occur counts[length] times, as `numpy.quantile` has it where rows at both sides are of one length."""
    below = np.cumsum(counts)
    last = int(below[-1]) - 1

    def at(place: int) -> int:
        return int(np.searchsorted(below, place, side="right"))

    return {
        "min": at(0),
        "median": (at(last // 2) + at((last + 1) // 2)) / 2,
        "p99": at(round(last * 0.99)),
        "max": at(last),
        "mean": round(float((counts * np.arange(len(counts))).sum() / max(last + 1, 1)), 2),
    }
