"""A simulated library of any size: products of building blocks on a triazine, and which of them bind, by a known rule.

Decides how a number becomes a product, and the activity: what each block adds, what pairs of blocks add, and noise. Blocks add by
what they are made of, so that part of it can be known of a block that was never seen, and part of it cannot. What blocks there
are is decided in `seqloom.blocks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from pydantic import Field

from seqloom.blocks import Blocks, own_blocks, read_blocks
from seqloom.errors import ConfigError
from seqloom.files import write_whole
from seqloom.registry import Recipe
from seqloom.splitmix import splitmix64
from seqloom.tokens import keyed_slice

BATCH = 2**18
SAMPLE = 2**18
"""Products by which the activity that makes one active is chosen."""
WORDS, SIZE = 3, 512
"""Symbols of the words that a block's text is made of, and places that they are hashed to."""
TOLD = 0.7
"""Of the variance of what a block adds, the share that its words tell; the rest is its own."""
LATENT = 4
"""Numbers of a block that multiply with those of another."""
SEQUENCE, NAMES = "smiles", ("block1", "block2", "block3")


class LibrarySettings(Recipe):
    """`seqloom simulate library`: products in random order, no two alike, and which of them are active."""

    rows: Annotated[int, Field(ge=2)] = 1_000_000
    """Products."""
    blocks: str = ""
    """CSV of building blocks, with columns `id` and `smiles`; seqloom's own if none is given."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = ("target1", "target2", "target3")
    """Names of the columns of labels, each with an activity of its own."""
    active: Annotated[float, Field(gt=0, lt=0.5)] = 0.005
    """Share of products that are active, of each target."""
    pairs: Annotated[float, Field(ge=0)] = 0.5
    """Standard deviation of what pairs of blocks add, by that of what the three blocks add."""
    noise: Annotated[float, Field(ge=0)] = 0.3
    """Standard deviation of the noise, by the same."""
    long: bool = False
    """A row for each product and target, with columns `target` and `binds`, in place of a column for each target."""
    truth: bool = False
    """Columns of the activities too, before noise, named `target1_activity`."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Same settings, same library. The first rows of a longer one are those of a shorter one."""


@dataclass(frozen=True)
class Library:
    """All products of some blocks, by number."""

    settings: LibrarySettings
    blocks: Blocks

    @staticmethod
    def of(settings: LibrarySettings) -> Library:
        """The library of these settings; ConfigError where the blocks do not make so many products."""
        library = Library(settings, read_blocks(Path(settings.blocks)) if settings.blocks else own_blocks())
        if settings.rows > library.n_products:
            n_acids, n_amines = len(library.blocks.acids), len(library.blocks.amines)
            raise ConfigError(
                f"simulate library: rows = {settings.rows:,}, and {n_acids:,} amino acids and {n_amines:,} amines make "
                f"{library.n_products:,} products; ask for fewer, or give more blocks with --blocks CSV"
            )
        return library

    @property
    def n_products(self) -> int:
        """An amino acid and an unordered pair of two amines."""
        n = len(self.blocks.amines)
        return len(self.blocks.acids) * (n * (n - 1) // 2)

    def batches(self) -> Iterator[pa.Table]:
        """The products, `BATCH` at a time."""
        for start in range(0, self.settings.rows, BATCH):
            yield self.products(start, min(start + BATCH, self.settings.rows))

    def products(self, start: int, stop: int) -> pa.Table:
        """The products at these places of the random order: `smiles`, `block1` to `block3`, and a label for every target."""
        numbers = keyed_slice(self.n_products, self.settings.seed, 0, start, stop)
        acid, first, second = self.blocks_of(numbers)
        acids, amines = (
            pa.array(self.blocks.acid_texts, pa.string()),
            pa.array(self.blocks.amine_texts, pa.string()),
        )
        parts = ("c9(", acids.take(acid), ")nc(", amines.take(first), ")nc(", amines.take(second), ")n9", "")
        columns: dict[str, pa.Array | np.ndarray] = {SEQUENCE: pc.binary_join_element_wise(*parts)}
        names = pa.array(self.blocks.acids), pa.array(self.blocks.amines)
        for name, every, own in zip(NAMES, (names[0], names[1], names[1]), (acid, first, second), strict=True):
            columns[name] = pa.DictionaryArray.from_arrays(pa.array(own.astype(np.int32)), every)
        activity = self.activities(acid, first, second)
        noisy = activity + self.settings.noise * np.stack(
            [_normal(numbers, self.settings.seed, place) for place in range(len(self.settings.targets))]
        )
        labels = (noisy > self._thresholds[:, None]).astype(np.int8)
        truth = dict(zip(self.settings.targets, activity, strict=True)) if self.settings.truth else {}
        if self.settings.long:
            return self._long(columns, labels, truth)
        columns |= dict(zip(self.settings.targets, labels, strict=True))
        return pa.table(columns | {f"{name}_activity": values for name, values in truth.items()})

    def blocks_of(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Amino acid and the two amines, the later one first, of products (int64 (N,) below `n_products`), int64 (N,) each."""
        n_pairs = self.n_products // len(self.blocks.acids)
        acid, pair = np.divmod(numbers, n_pairs)
        first = ((1 + np.sqrt(1 + 8 * pair.astype(np.float64))) // 2).astype(np.int64)
        first -= first * (first - 1) // 2 > pair  # where the root was rounded up
        first += (first + 1) * first // 2 <= pair
        return acid, first, pair - first * (first - 1) // 2

    def activities(self, acid: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Of products of these blocks, before noise, float64 (T, N): standard deviation 1 but for what pairs add."""
        found = []
        for effect in self._effects:
            alone = (effect.acid[acid] + effect.amine[first] + effect.amine[second]) / np.sqrt(3)
            u, v, w = effect.acid_latent[acid], effect.amine_latent[first], effect.amine_latent[second]
            pairs = ((u * v).sum(1) + (u * w).sum(1) + (v * w).sum(1)) / np.sqrt(3 * LATENT)
            found.append(alone + self.settings.pairs * pairs)
        return np.stack(found)

    @cached_property
    def _effects(self) -> list[_Effects]:
        rng = np.random.default_rng([self.settings.seed, 1])
        acids, amines = _words(self.blocks.acid_texts), _words(self.blocks.amine_texts)
        return [
            _Effects(
                _told(acids, rng, 1)[:, 0],
                _told(amines, rng, 1)[:, 0],
                _told(acids, rng, LATENT),
                _told(amines, rng, LATENT),
            )
            for _ in self.settings.targets
        ]

    @cached_property
    def _thresholds(self) -> np.ndarray:
        """Activity with noise above which a product is active, float64 (T,)."""
        numbers = keyed_slice(self.n_products, self.settings.seed, 1, 0, min(SAMPLE, self.n_products))
        activity = self.activities(*self.blocks_of(numbers))
        for place, own in enumerate(activity):
            own += self.settings.noise * _normal(numbers, self.settings.seed, place)
        return np.quantile(activity, 1 - self.settings.active, axis=1)

    def _long(
        self, columns: dict[str, pa.Array | np.ndarray], labels: np.ndarray, truth: dict[str, np.ndarray]
    ) -> pa.Table:
        n_targets, n_rows = labels.shape
        rows = np.repeat(np.arange(n_rows), n_targets)
        wide = pa.table(columns).take(rows)
        names = pa.DictionaryArray.from_arrays(
            pa.array(np.tile(np.arange(n_targets, dtype=np.int32), n_rows)), pa.array(self.settings.targets)
        )
        table = wide.append_column("target", names).append_column("binds", pa.array(labels.T.ravel()))
        if not truth:
            return table
        return table.append_column("activity", pa.array(np.stack(list(truth.values()), 1).ravel()))


@dataclass(frozen=True)
class _Effects:
    """What blocks add to the activity of one target."""

    acid: np.ndarray  # float64 (A,)
    amine: np.ndarray  # float64 (B,)
    acid_latent: np.ndarray  # float64 (A, LATENT)
    amine_latent: np.ndarray  # float64 (B, LATENT)


def write_library(library: Library, out: Path) -> None:
    """Write the products to a .parquet or .csv file, in bounded memory; it is there whole or not at all."""
    if out.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"simulate library -o {out}: give a file that ends in .parquet or .csv")
    write_whole(out, lambda draft: _write(library, draft, out.suffix))


def _write(library: Library, draft: Path, suffix: str) -> None:
    batches = library.batches()
    first = next(batches)
    schema = first.schema if suffix == ".parquet" else _plain(first).schema
    with pq.ParquetWriter(draft, schema) if suffix == ".parquet" else pyarrow.csv.CSVWriter(draft, schema) as writer:
        writer.write_table(first if suffix == ".parquet" else _plain(first))
        for batch in batches:
            writer.write_table(batch if suffix == ".parquet" else _plain(batch))


def _plain(table: pa.Table) -> pa.Table:
    """With text in place of dictionaries."""
    return pa.table(
        {
            name: column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )


def _words(texts: tuple[str, ...]) -> np.ndarray:
    """Counts of hashed words, float64 (blocks, SIZE)."""
    found = np.zeros((len(texts), SIZE))
    for row, text in enumerate(texts):
        codes = np.frombuffer(text.encode(), np.uint8).astype(np.uint64)
        words = sum(codes[i : len(codes) - WORDS + 1 + i] << np.uint64(8 * i) for i in range(WORDS))
        np.add.at(found[row], splitmix64(np.asarray(words, np.uint64)) % np.uint64(SIZE), 1.0)
    return found


def _told(words: np.ndarray, rng: np.random.Generator, n: int) -> np.ndarray:
    """Numbers of blocks, float64 (blocks, n), mean 0 and standard deviation 1: a share told by words, the rest their own."""
    parts = words @ rng.normal(size=(SIZE, n)), rng.normal(size=(len(words), n))
    told, own = ((each - each.mean(0)) / np.maximum(each.std(0), 1e-12) for each in parts)
    return np.asarray(np.sqrt(TOLD) * told + np.sqrt(1 - TOLD) * own)


def _normal(numbers: np.ndarray, seed: int, place: int) -> np.ndarray:
    """A normal number for each product, of a target, float64 (N,): the same whenever it is asked."""
    key = np.uint64((seed * 1_000_003 + place) % 2**64)
    first = splitmix64(splitmix64(numbers.astype(np.uint64)) ^ splitmix64(np.asarray(key)))
    second = splitmix64(first)
    u, v = ((each >> np.uint64(11)).astype(np.float64) + 0.5 for each in (first, second))
    return np.asarray(np.sqrt(-2 * np.log(u * 2**-53)) * np.cos(2 * np.pi * v * 2**-53))
