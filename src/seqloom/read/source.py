"""Where a table comes from: finding the file, its hash, and its text with compression and byte-order mark undone.

What the text means is left to the reader of its format.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from seqloom.errors import DataError
from seqloom.findings import Finding
from seqloom.registry import nearest

DATA_FOLDER = "../shared/data"
"""Where `data:` paths are looked for when SEQLOOM_DATA is not set."""
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
REFUSED = {
    b"PK\x03\x04": "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV",
    b"\xfd7zXZ": "compressed with xz; unpack it, or compress it with gzip, bzip2 or zstd",
    b"\x89HDF": "an HDF5 file; save the table as CSV or Parquet",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Source:
    """Where a table came from."""

    path: str
    """As the user gave it; empty for a DataFrame."""
    name: str
    """What messages call it."""
    sha256: str
    """Of the file's bytes as they lie on disk, or of what a DataFrame's columns hold."""
    format: str
    """delimited, fasta, parquet, arrow or dataframe."""
    compression: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Every field, for `data.json`."""
        return asdict(self)


@dataclass(frozen=True)
class Contents:
    """The uncompressed bytes of a file, without byte-order mark."""

    path: str
    name: str
    sha256: str
    compression: str | None
    buffer: pa.Buffer
    had_byte_order_mark: bool

    @property
    def array(self) -> np.ndarray:
        """The bytes, uint8 (bytes,), without a copy."""
        return np.frombuffer(self.buffer, np.uint8)


def read_contents(path: str | Path) -> Contents:
    """The bytes of a file, of a `data:` path, or of standard input (`-`).

    A plain file is memory-mapped. Raises DataError for a missing file (with the nearest name in its folder), a folder, a
    file without a byte, an unreadable or truncated one, and for kinds of files that are no table.
    """
    given = str(path)
    if given == "-":
        stored, name = _drained(sys.stdin.buffer), "standard input"
    else:
        place = locate(given)
        name = place.name
        stored = _stored_bytes(place, given)
    if stored.size == 0:
        raise DataError(f"{name}: the file is empty; a table needs a header line and rows, or FASTA records")
    start = stored.slice(0, min(8, stored.size)).to_pybytes()
    for magic, advice in REFUSED.items():
        if start.startswith(magic):
            raise DataError(f"{name}: this is {advice}")
    compression = next((kind for magic, kind in COMPRESSIONS.items() if start.startswith(magic)), None)
    text = _uncompressed(stored, compression, name) if compression else stored
    marked = text.slice(0, min(3, text.size)).to_pybytes() == BYTE_ORDER_MARK
    digest = hashlib.sha256(memoryview(stored)).hexdigest()
    return Contents(given, name, digest, compression, text.slice(3) if marked else text, marked)


def locate(given: str) -> Path:
    """The path that is meant; `data:` stands for the data folder."""
    if not given.startswith("data:"):
        return Path(given).expanduser()
    return Path(os.environ.get("SEQLOOM_DATA", DATA_FOLDER)) / given.removeprefix("data:")


def checked_text(contents: Contents) -> list[Finding]:
    """Findings about the text itself (byte-order mark, line ends); DataError names the line that is not UTF-8."""
    findings = []
    if contents.had_byte_order_mark:
        findings.append(Finding("byte-order-mark", "info", f"{contents.name}: a UTF-8 byte-order mark was removed"))
    if b"\r\n" in _first_line(contents):
        findings.append(
            Finding("line-ends", "info", f"{contents.name}: lines end in CR LF (Windows); read as plain ends")
        )
    if any((part > 127).any() for part in pieces(contents.array)):
        try:
            str(contents.buffer, "utf-8")
        except UnicodeDecodeError as error:
            line = int((contents.array[: error.start] == ord("\n")).sum()) + 1
            byte = contents.array[error.start]
            raise DataError(
                f"{contents.name}: line {line} is not UTF-8 text (byte 0x{byte:02x}); save the file as UTF-8, for example "
                f"with: iconv -f latin1 -t utf-8 {contents.name} > utf8-{contents.name}"
            ) from None
    return findings


def holds_byte(array: np.ndarray, byte: str) -> bool:
    """Whether `byte` (one ASCII character) stands anywhere in `array`, uint8 (bytes,)."""
    return any((part == ord(byte)).any() for part in pieces(array))


def pieces(array: np.ndarray, size: int = 1 << 22) -> Iterator[np.ndarray]:
    """Slices of `array` (1-D) of at most `size`, so that temporaries stay small however large the file."""
    for start in range(0, len(array), size):
        yield array[start : start + size]


@cache
def _drained(stream: BinaryIO) -> pa.Buffer:
    """All bytes of a stream that gives them once; kept, because a table may be looked at before it is read."""
    return pa.py_buffer(stream.read())


def _stored_bytes(place: Path, given: str) -> pa.Buffer:
    if place.is_dir():
        raise DataError(f"{given}: this is a folder; name the table in it")
    if not place.exists():
        raise DataError(_missing(place, given))
    try:
        if not place.is_file():  # a pipe, such as bash's <(...)
            return pa.py_buffer(place.read_bytes())
        if place.stat().st_size == 0:
            return pa.py_buffer(b"")
        with pa.memory_map(str(place)) as mapped:
            return mapped.read_buffer()
    except OSError as error:
        raise DataError(f"{given}: cannot be read: {error}") from None


def _missing(place: Path, given: str) -> str:
    if given.startswith("data:") and not place.parent.is_dir():
        return f"{given}: there is no folder {str(place.parent)!r}; set the variable SEQLOOM_DATA to the data folder"
    if not place.parent.is_dir():
        return f"{given}: there is no folder {str(place.parent)!r} (looked from {str(Path.cwd())!r})"
    names = [each.name for each in place.parent.iterdir() if each.is_file()]
    return f"{given}: there is no such file{nearest(place.name, names)}"


def _uncompressed(stored: pa.Buffer, compression: str, name: str) -> pa.Buffer:
    try:
        with pa.CompressedInputStream(pa.BufferReader(stored), compression) as stream:
            return pa.py_buffer(stream.read())
    except OSError as error:
        raise DataError(
            f"{name}: its {compression} data are damaged or end too early ({error}); fetch the file again"
        ) from None


def _first_line(contents: Contents) -> bytes:
    start: bytes = contents.buffer.slice(0, min(1 << 16, contents.buffer.size)).to_pybytes()
    return start[: start.find(b"\n") + 1]
