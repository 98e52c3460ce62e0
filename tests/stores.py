"""Stores for tests, written from what `seqloom.store.layout` says of the files and by nothing that the tests are of."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from seqloom.alphabet import SMILES
from seqloom.store import Store, open_store
from seqloom.store.layout import (
    BLOCK,
    LABELS,
    LENGTH_TYPES,
    MANIFEST,
    STARTS,
    VALUES,
    Manifest,
    TargetFacts,
    label_bytes,
)
from seqloom.store.native import has_numba

# In continuous integration numba is there; were it not, these tests fail.
NO_NUMBA = not has_numba() and not os.environ.get("CI")
NUMBA = pytest.param(
    True, marks=pytest.mark.skipif(NO_NUMBA, reason="no numba; type: pip install 'seqloom[fast]'"), id="numba"
)
BOTH_FORMS = pytest.mark.parametrize("native", [pytest.param(False, id="numpy"), NUMBA])


def write_store(
    folder: Path, values: np.ndarray, lengths: np.ndarray, labels: np.ndarray | None = None, type_: str = "u8"
) -> Store:
    """A store of N rows in SMILES symbols; `labels` (N, K) of 0, 1 or NaN."""
    folder.mkdir(parents=True, exist_ok=True)
    n, labels = len(lengths), np.zeros((len(lengths), 0)) if labels is None else labels
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    packed = np.zeros((n, label_bytes(labels.shape[1])), np.uint8)
    for k in range(labels.shape[1]):
        known = ~np.isnan(labels[:, k])
        bits = (labels[:, k] == 1) | known << 1
        packed[:, k // 4] |= (bits << 2 * (k % 4)).astype(np.uint8)
    values.astype(np.uint8).tofile(folder / VALUES)
    lengths.astype(LENGTH_TYPES[type_]).tofile(folder / f"lengths.{type_}")
    np.append(offsets[:-1:BLOCK], offsets[-1]).astype("<i8").tofile(folder / STARTS)
    packed.tofile(folder / LABELS)
    targets = tuple(TargetFacts(name=f"y{k}", known=0, positive=0) for k in range(labels.shape[1]))
    manifest = Manifest(
        alphabet="smiles", symbols=SMILES.symbols, rows=n, tokens=int(offsets[-1]), longest=int(lengths.max(initial=0)),
        length_type=type_, sequence="smiles", targets=targets,
    )  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps(manifest.model_dump(mode="json")))
    return open_store(folder)


def random_store(folder: Path, lengths: np.ndarray, type_: str = "u8", seed: int = 0) -> Store:
    """A store of random symbols."""
    values = np.random.default_rng(seed).integers(1, SMILES.size, int(lengths.sum()), dtype=np.uint8)
    return write_store(folder, values, lengths, type_=type_)
