"""A small store of blocks from all over a large one: a probe of a hundred million rows takes no longer than one of thousands."""

from __future__ import annotations

import numpy as np

from seqloom.store.layout import BLOCK
from seqloom.store.rows import Store

N_BLOCKS = 64


def sampled(store: Store, n_blocks: int = N_BLOCKS) -> Store:
    """`n_blocks` whole blocks at equal distances, in memory; a store that has no more is given back as it is.

    Its folder is that of the large store, whose levels it has.
    """
    n_whole = len(store) // BLOCK
    if len(store) <= n_blocks * BLOCK:
        return store
    chosen = np.linspace(0, n_whole - 1, n_blocks).astype(np.int64)
    values = [store.values[store.starts[block] : store.starts[block + 1]] for block in chosen]
    ends = np.cumsum([0, *map(len, values)], dtype=np.int64)
    rows = (chosen[:, None] * BLOCK + np.arange(BLOCK)).ravel()
    manifest = store.manifest.model_copy(update={"rows": len(rows), "tokens": int(ends[-1])})
    components = {name: ids[rows] for name, ids in store.components.items()}
    return Store(
        store.folder, manifest, np.concatenate(values), store.lengths[rows], ends, store.packed_labels[rows], components
    )
