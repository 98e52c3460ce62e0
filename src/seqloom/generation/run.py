"""A run of a generator: one variant and the folder that holds all that is needed to use it again.

The folder has the natural sequences and the profiles of their family beside settings and weights, so that sampling, scoring and
judging ask for no other file. A member is one seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seqloom.alphabet import ALPHABETS, Alphabet
from seqloom.errors import RunError
from seqloom.files import read_arrays, read_json, write_arrays, write_json, write_whole
from seqloom.generate.base import Dims, Job, Naturals, Sampler
from seqloom.generate.monitor import Monitor
from seqloom.generation.collection import Collection
from seqloom.generation.conditions import Condition, coded_columns
from seqloom.generation.variant import GeneratorVariant
from seqloom.quality.family import Family
from seqloom.quality.reference import Reference
from seqloom.quality.rules import Pack
from seqloom.run import NATURALS, read_resolved
from seqloom.tokens import Tokens

SEQUENCES = "naturals.parquet"
DECOYS = "decoys.parquet"
FAMILY = "family"
WIDTH = 60


@dataclass(frozen=True)
class GeneratorRun:
    """A run folder, which `keep` has filled."""

    folder: Path

    @cached_property
    def variant(self) -> GeneratorVariant:
        """What was asked for, every default filled in."""
        return GeneratorVariant.from_resolved(self.folder.name, read_resolved(self.folder / "resolved.toml"))

    @cached_property
    def dims(self) -> Dims:
        """The sizes a generator needs to know."""
        return Dims(**self._facts["dims"])

    @property
    def alphabet(self) -> Alphabet:
        """Of the sequences."""
        return ALPHABETS[self.dims.alphabet]

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """What sequences are conditioned on; nothing by a generator that takes no conditions."""
        if not self.variant.generator.conditional:
            return ()
        return tuple(Condition.from_json(each) for each in self._facts["conditions"])

    def part(self, name: str) -> tuple[pa.Table, Tokens]:
        """The natural sequences of `train`, `valid` or `test`: their rows, and as tokens."""
        rows = self._naturals.filter(pc.equal(self._naturals["part"], name))
        return rows, self.alphabet.encode(rows["sequence"].combine_chunks())

    def naturals(self, name: str) -> Naturals:
        """A part as it is drawn from in training."""
        rows, tokens = self.part(name)
        weights = rows["relatives"].to_numpy() ** -self.variant.train.balance
        weights /= max(weights.mean(), 1e-12) if len(weights) else 1.0
        return Naturals(tokens, weights, coded_columns(self.conditions, rows))

    @cached_property
    def family(self) -> Family | None:
        """Profiles of the family; None for molecules."""
        folder = self.folder / FAMILY
        return Family.load(folder) if folder.exists() else None

    @cached_property
    def reference(self) -> Reference:
        """What samples are held against."""
        _, train = self.part("train")
        _, held_out = self.part("test")
        path = self.folder / DECOYS
        decoys = decoys_of(pq.read_table(path) if path.exists() else None, self.alphabet)
        return Reference(self.alphabet, train, held_out, self.family, decoys=decoys)

    @cached_property
    def pack(self) -> Pack:
        """Rules that natural sequences keep, and the user's own."""
        aligned = self.family.aligned if self.family is not None else None
        return Pack.of(self.reference.train, self.alphabet, self.variant.judge.rules, aligned)

    def member_folder(self, seed: int) -> Path:
        """`seed-<s>`."""
        return self.folder / f"seed-{seed}"

    def is_done(self, seed: int) -> bool:
        """Whether the member was fitted and saved."""
        return all((self.member_folder(seed) / name).exists() for name in ("done", "weights.safetensors"))

    def fit(self, seed: int, progress: Callable[[int, int], None] | None, say: Callable[[str], object]) -> float:
        """Fit and save a member; the seconds it took. Gone on with, if it was interrupted."""
        started, cpu = time.monotonic(), time.process_time()
        folder = self.member_folder(seed)
        train, valid = self.naturals("train"), self.naturals("valid")
        monitor = Monitor(self.reference, folder, self.pack, train.conditions, say)
        job = Job(self.dims, self.variant.train, seed, folder / "checkpoint", monitor, progress, say)
        sampler = self.variant.generator.fit(train, valid, job)
        write_arrays(folder / "weights.safetensors", sampler.state())
        spent = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - cpu}
        write_json(folder / "done", {name: round(value, 3) for name, value in spent.items()})
        (folder / "checkpoint" / "state.safetensors").unlink(missing_ok=True)
        return time.monotonic() - started

    def sampler(self, seed: int | None = None) -> Sampler:
        """A fitted member, the first by default; RunError where there is none."""
        seeds = [each for each in self.variant.seeds if self.is_done(each)]
        if not seeds:
            raise RunError(f"{self.folder}: no member is fitted yet; type the command again that began the run")
        chosen = seeds[0] if seed is None else seed
        if chosen not in seeds:
            raise RunError(f"{self.folder}: no member of seed {chosen}; there are: {', '.join(map(str, seeds))}")
        return self.variant.generator.restored(
            self.dims, read_arrays(self.member_folder(chosen) / "weights.safetensors")
        )

    @cached_property
    def _facts(self) -> dict[str, Any]:
        try:
            facts: dict[str, Any] = read_json(self.folder / NATURALS)
        except FileNotFoundError:
            raise RunError(f"{self.folder}: not a run of a generator (no {NATURALS})") from None
        return facts

    @cached_property
    def _naturals(self) -> pa.Table:
        return pq.read_table(self.folder / SEQUENCES)


def keep(
    folder: Path, collection: Collection, naturals: pa.Table, family: Family | None, decoys: pa.Table | None
) -> None:
    """Write into a run folder what all its members share.

    `naturals` as by `Collection.as_table`; `decoys` has columns `label` and `sequence`.
    """
    dims, conditions = collection.dims(), [each.as_json() for each in collection.conditions]
    write_whole(folder / SEQUENCES, lambda draft: pq.write_table(naturals, draft))
    if family is not None:
        family.save(folder / FAMILY)
    if decoys is not None:
        write_whole(folder / DECOYS, lambda draft: pq.write_table(decoys, draft))
    write_json(folder / NATURALS, {"dims": dims.as_json(), "conditions": conditions})


def decoys_of(table: pa.Table | None, alphabet: Alphabet) -> dict[str, Tokens]:
    """Sequences by label, of columns `label` and `sequence`; none of None."""
    if table is None:
        return {}
    own = {label: table.filter(pc.equal(table["label"], label)) for label in table["label"].unique().to_pylist()}
    return {label: alphabet.encode(rows["sequence"].combine_chunks()) for label, rows in own.items()}


def fit_member(task: tuple[Path, int]) -> float:
    """A member fitted in a process of its own."""
    folder, seed = task
    return GeneratorRun(folder).fit(seed, None, str)


def fasta(names: Sequence[str], sequences: Sequence[str]) -> str:
    """N sequences as FASTA, `WIDTH` symbols a line."""
    lines = [
        f">{name}\n" + "\n".join(each[start : start + WIDTH] for start in range(0, max(len(each), 1), WIDTH))
        for name, each in zip(names, sequences, strict=True)
    ]
    return "\n".join(lines) + "\n"
