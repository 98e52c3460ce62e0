"""Files that are there whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tomli_w

from seqloom.errors import RunError

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` fill a temporary file beside `path`, then rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.tmp")
    try:
        write(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time, of those that ask for this path; the lock of one that is killed is free again.

    Where the system has no such locks (Windows), none is held.
    """
    if fcntl is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_text(path: Path, text: str) -> None:
    """`text` as UTF-8, newlines as they are."""
    write_whole(path, lambda draft: draft.write_bytes(text.encode("utf-8")))


def write_json(path: Path, value: Any) -> None:
    """`value` as indented JSON; NaN and infinities, which JSON lacks, become null."""
    write_text(path, json.dumps(plain(value), indent=1, ensure_ascii=False) + "\n")


def write_toml(path: Path, sections: Mapping[str, Any]) -> None:
    """`sections` as TOML."""
    write_text(path, tomli_w.dumps(sections))


def write_parquet(path: Path, table: pa.Table) -> None:
    """`table` as Parquet."""
    import pyarrow.parquet as pq

    write_whole(path, lambda draft: pq.write_table(table, draft))


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """`arrays` as safetensors."""
    from safetensors.numpy import save_file

    write_whole(
        path, lambda draft: save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, draft)
    )


def read_json(path: Path) -> Any:
    """The value in a JSON file; RunError if it is damaged."""
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:  # no JSON, or no UTF-8
        raise RunError(f"{path}: damaged ({error}); copy the folder again, or fit the run again in a new one") from None


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file; RunError if it is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise RunError(f"{path}: damaged ({error}); copy the folder again, or fit the run again in a new one") from None


def plain(value: Any) -> Any:
    """`value` with only what JSON has: dictionaries, lists, text, finite numbers, true, false, null."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return bool(value) if isinstance(value, np.bool_) else value
