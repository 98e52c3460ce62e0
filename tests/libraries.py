"""A simulated library and the store that is packed of it, for tests of what is learnt from stores."""

from pathlib import Path

import seqloom
from seqloom.library import Library, LibrarySettings, write_library

NAMES = {"target": "target1,target2,target3", "component": "block1,block2,block3"}


def packed_library(folder: Path, rows: int = 12_000, *, noise: float = 0.0, **packing: object) -> Path:
    """The folder `store` in `folder`, packed of `t.parquet` beside it: a fifth of its molecules are active."""
    write_library(Library.of(LibrarySettings(rows=rows, active=0.2, noise=noise)), folder / "t.parquet")
    seqloom.pack([folder / "t.parquet"], folder / "store", sequence="smiles", **{**NAMES, **packing})
    return folder / "store"
