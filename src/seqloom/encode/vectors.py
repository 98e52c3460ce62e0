"""Precomputed vectors, for instance of a language model, looked up by id or by sequence.

HDF5 (one data set per sequence, keyed by id, or by a hash of the sequence with the id in the attribute `original_id`), NPZ
(one array per id, or arrays `ids` and `vectors`) and Parquet (an id column and a list column) are read. Arrays of one vector
per residue are averaged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa

from seqloom.encode.base import Encoder, FittedEncoder, Inputs, State, covariates_of, scale_of
from seqloom.errors import ConfigError, DataError
from seqloom.read.source import locate
from seqloom.registry import register
from seqloom.table import Table

ID_NAMES = ("id", "original_id", "name", "key", "sequence_id", "seq_id", "sequence")


@register("encoder", "vectors")
class Vectors(Encoder):
    """Precomputed vectors from a file: HDF5, NPZ or Parquet.

    A row finds its vector by its id, by the sha256 of `<sequence>_<length>` (as biotrainer writes), or by its sequence.
    Every row needs one.
    """

    path: str = ""
    """File of vectors; `.h5`, `.hdf5`, `.npz` or `.parquet`."""

    def fit(self, table: Table) -> FittedEncoder:
        """Learn the scale of every component from the training rows' vectors."""
        if not self.path:
            raise ConfigError(
                "[encoder] kind = 'vectors' needs its file: --set encoder.path=FILE (.h5, .npz or .parquet)"
            )
        raw = FittedVectors(self, np.zeros(0), np.ones(0)).unscaled(table)
        return FittedVectors(self, *scale_of(raw))

    def restore(self, state: State) -> FittedEncoder:
        """The fitted encoder whose `state()` this is; vectors themselves stay in their file."""
        return FittedVectors(self, state["mean"], state["std"])


@dataclass(frozen=True)
class FittedVectors(FittedEncoder):
    """The file of vectors and the scale of their components."""

    recipe: Vectors
    mean: np.ndarray  # float64 (D,)
    std: np.ndarray  # float64 (D,)

    def transform(self, table: Table) -> Inputs:
        """Standardised vectors and covariates, float32 (N, D); DataError names rows without a vector."""
        raw = self.unscaled(table)
        if raw.shape[1] != len(self.mean):
            raise DataError(
                f"{self.recipe.path}: vectors (with covariates) have {raw.shape[1]} numbers, and the model was trained on "
                f"{len(self.mean)}; give the vectors of the same model with --set encoder.path=FILE"
            )
        return Inputs(features=((raw - self.mean) / self.std).astype(np.float32))

    def unscaled(self, table: Table) -> np.ndarray:
        """Vectors as in the file, then covariates, float32 (N, D)."""
        if not table.n_rows:
            return np.zeros((0, len(self.mean)), np.float32)
        keys = _keys(table)
        wanted = {key for row in keys for key in row}
        found = _found(locate(self.recipe.path), wanted)
        rows = [next((found[key] for key in row if key in found), None) for row in keys]
        missing = [index for index, vector in enumerate(rows) if vector is None]
        if missing:
            ids = table.ids
            named = ", ".join(f"{ids[index].as_py()} (row {table.row_numbers[index]})" for index in missing[:5])
            raise DataError(
                f"{self.recipe.path}: {len(missing)} of {table.n_rows} rows of {table.source.name} have no vector, by id or by "
                f"sequence: {named}; compute them, or filter those rows with --where"
            )
        return np.concatenate([_stack(rows, self.recipe.path), covariates_of(table)], axis=1)

    def state(self) -> State:
        """`mean` and `std`."""
        return {"mean": self.mean, "std": self.std}


def _stack(rows: list[np.ndarray | None], path: str) -> np.ndarray:
    widths = {row.shape for row in rows if row is not None}
    if len(widths) > 1:
        raise DataError(f"{path}: vectors are of different lengths, {sorted(width[0] for width in widths)[:5]}")
    vectors = np.stack([row for row in rows if row is not None]).astype(np.float32)
    if not np.isfinite(vectors).all():
        raise DataError(f"{path}: vectors hold NaN or infinite numbers; compute them again")
    return vectors


def _keys(table: Table) -> list[tuple[str, ...]]:
    """The names under which each row's vector may be stored, most specific first."""
    ids = table.ids.to_pylist()
    columns = [table.sequences(column).to_pylist() for column in table.roles.sequences]
    sequences = ["".join(parts) for parts in zip(*columns, strict=True)]
    return [
        (name, hashlib.sha256(f"{text}_{len(text)}".encode()).hexdigest(), text)
        for name, text in zip(ids, sequences, strict=True)
    ]


def _found(path: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Vectors by name, of the wanted names at least."""
    try:
        return {name: _pooled(array, path) for name, array in _stored(path, wanted) if name in wanted}
    except (OSError, ValueError, BadZipFile) as error:  # of h5py, numpy and pyarrow
        raise DataError(f"{path}: cannot be read as a file of vectors: {error}; write it again") from None


def _stored(path: Path, wanted: set[str]) -> Iterable[tuple[str, np.ndarray]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file of vectors; name it with --set encoder.path=FILE")
    if path.suffix in (".h5", ".hdf5"):
        return _from_hdf5(path, wanted)
    if path.suffix == ".npz":
        return _from_npz(path, wanted)
    if path.suffix == ".parquet":
        return _from_parquet(path, wanted)
    raise DataError(f"{path}: vectors are read from .h5, .hdf5, .npz or .parquet files, not {path.suffix!r}")


def _pooled(array: np.ndarray, path: Path) -> np.ndarray:
    if array.ndim == 0 or array.dtype.kind not in "fiu":
        raise DataError(f"{path}: holds {array.dtype} of shape {array.shape} where a vector of numbers should be")
    return array if array.ndim == 1 else array.reshape(-1, array.shape[-1]).mean(0)


def _from_hdf5(path: Path, wanted: set[str]) -> Iterable[tuple[str, np.ndarray]]:
    import h5py

    with h5py.File(path, "r") as file:
        for key in file:
            stored = file[key]
            given = stored.attrs.get("original_id", key)
            names = {key, given.decode() if isinstance(given, bytes) else str(given)} & wanted
            if names and isinstance(stored, h5py.Dataset):
                array = np.asarray(stored)
                yield from ((name, array) for name in names)


def _from_npz(path: Path, wanted: set[str]) -> Iterable[tuple[str, np.ndarray]]:
    with np.load(path, allow_pickle=False) as file:
        if {"ids", "vectors"} <= set(file.files):
            vectors = file["vectors"]
            yield from ((str(name), vectors[row]) for row, name in enumerate(file["ids"]))
        else:
            yield from ((name, file[name]) for name in file.files if name in wanted)


def _from_parquet(path: Path, wanted: set[str]) -> Iterable[tuple[str, np.ndarray]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    lists = [
        f.name
        for f in table.schema
        if pa.types.is_list(f.type) or pa.types.is_fixed_size_list(f.type) or pa.types.is_large_list(f.type)
    ]
    names = [name for name in ID_NAMES if name in table.column_names]
    if len(lists) != 1 or not names:
        raise DataError(
            f"{path}: needs one column of lists (it has {lists or 'none'}) and an id column called one of {', '.join(ID_NAMES)}"
        )
    keys = table[names[0]].cast(pa.large_string()).to_pylist()
    rows = ((key, value.values) for key, value in zip(keys, table[lists[0]], strict=True) if key in wanted)
    return ((key, _array(values)) for key, values in rows if values is not None)


def _array(values: pa.Array) -> np.ndarray:
    """Numbers (D,), or (L, D) of a list of lists; a missing number is NaN."""
    if hasattr(values, "values"):
        return np.stack([_array(inner.values) for inner in values])
    return np.asarray(values.to_numpy(zero_copy_only=False))
