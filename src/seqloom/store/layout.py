"""The files of a store, and what its manifest says of them.

```
STORE/
  manifest.json      what is here; written last, so that a folder without it is unfinished
  values.u8          tokens of all rows, end to end
  lengths.u8         symbols of each row; u16 or u32 where a row is longer
  starts.i64         where every 1,024th row begins in `values`, and where the last one ends
  labels.u8          (N, ceil(K / 4)): of target k the bits 2k, its value, and 2k + 1, whether it is known; lowest bit first
  ids-0.i16          of the first component: which of its levels each row has, -1 for none; i32 where there are more than 32,767
  levels-0.json      its levels in the order of their ids, which is alphabetical: ids do not depend on the order of rows
  left_out.csv       rows of the sources that are not here, and why; only where there are any
```

While it is written: `progress.json`, what of it is safe on disk; `*.draft`, lengths and ids in wider types, in the order of
first appearance.

All numbers are little-endian. What the arrays are used for is in `seqloom.store.rows`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from seqloom.alphabet import ALPHABETS, Alphabet
from seqloom.errors import DataError
from seqloom.files import read_json

VERSION = 1
MANIFEST = "manifest.json"
VALUES, STARTS, LABELS = "values.u8", "starts.i64", "labels.u8"
LEFT_OUT = "left_out.csv"
PROGRESS = "progress.json"
BLOCK = 1024
"""Rows between two entries of `starts.i64`."""
LENGTH_TYPES: dict[str, np.dtype] = {"u8": np.dtype("<u1"), "u16": np.dtype("<u2"), "u32": np.dtype("<u4")}
ID_TYPES: dict[str, np.dtype] = {"i16": np.dtype("<i2"), "i32": np.dtype("<i4")}


class Facts(BaseModel):
    """Frozen, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TargetFacts(Facts):
    """A target with classes 0 and 1."""

    name: str
    known: int
    positive: int


class ComponentFacts(Facts):
    """A column of names that rows share, such as a building block."""

    name: str
    levels: int
    type: str
    """Of its file of ids: i16 or i32."""


class FileFacts(Facts):
    """A file of the store, or one that it was made of."""

    name: str
    bytes: int
    sha256: str


class Manifest(Facts):
    """What `manifest.json` holds."""

    version: int = VERSION
    alphabet: str
    symbols: str
    """Symbols of the ids 1, 2, ... in `values.u8`; 0 is padding and never there."""
    rows: Annotated[int, Field(ge=0)]
    tokens: Annotated[int, Field(ge=0)]
    """Symbols of all rows together."""
    longest: Annotated[int, Field(ge=0)]
    length_type: str
    """Of the file of lengths: u8, u16 or u32."""
    sequence: str
    """Column of the sequences where the store was packed from."""
    targets: tuple[TargetFacts, ...] = ()
    components: tuple[ComponentFacts, ...] = ()
    rewrites: tuple[tuple[str, str], ...] = ()
    """Text that was replaced in every sequence, in turn, and by what."""
    canonical: str = ""
    """What made molecules canonical, with its version; empty where none did."""
    left_out: dict[str, int] = {}
    """Rows of the sources that are not here, by reason; `left_out.csv` lists them."""
    repeats: int = 0
    """Of a long table: rows whose molecule is that of a row before, where they did not stand together and were kept."""
    asked: dict[str, Any] = {}
    """Settings of `seqloom pack`, as they were given."""
    sources: tuple[FileFacts, ...] = ()
    files: tuple[FileFacts, ...] = ()
    made_by: str = ""

    @property
    def alphabet_(self) -> Alphabet:
        """The alphabet that `values.u8` is written in; DataError if it is not as it was then."""
        known = ALPHABETS.get(self.alphabet)
        if known is None or known.symbols != self.symbols:
            raise DataError(
                f"the store is written in an alphabet {self.alphabet!r} that this seqloom does not have; pack it again"
            )
        return known

    @property
    def lengths_file(self) -> str:
        """Name of the file of lengths."""
        return f"lengths.{self.length_type}"


def ids_file(place: int, type_: str) -> str:
    """Name of the file of ids of the component at `place` in the manifest."""
    return f"ids-{place}.{type_}"


def levels_file(place: int) -> str:
    """Name of the file of its levels."""
    return f"levels-{place}.json"


def label_bytes(n_targets: int) -> int:
    """Bytes of a row's labels."""
    return -(-n_targets // 4)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a store; DataError where there is none, or of another version."""
    path = folder / MANIFEST
    if not path.is_file():
        if (folder / PROGRESS).is_file():
            raise DataError(f"{folder}: a store that is not finished; run the same seqloom pack again, it goes on")
        raise DataError(f"{folder}: not a store (no {MANIFEST}); make one with: seqloom pack TABLE -o {folder}")
    value = read_json(path)
    version = value.get("version") if isinstance(value, dict) else None
    if version != VERSION:
        raise DataError(f"{path}: version {version!r}, and this seqloom reads {VERSION}; pack it again")
    return Manifest.model_validate(value)


def is_store(path: Path) -> bool:
    """Whether there is a store at `path`, finished or not."""
    return (path / MANIFEST).is_file() or (path / PROGRESS).is_file()
