"""Stores: tables of sequences too large for memory, packed once into plain files and read in place.

`layout` says what the files are, `open_store` gives their arrays without reading them; `pack` writes them; `tokenise` and
`gather` are the two loops in which the time goes.
"""

from seqloom.store.layout import Manifest, is_store
from seqloom.store.rows import Store, open_store

__all__ = ["Manifest", "Store", "is_store", "open_store"]
