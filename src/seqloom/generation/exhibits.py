"""What a page about generators has to show: samples of each variant, how they were judged and learnt, beside natural sequences.

Read from the files of a folder; what is costly to know of natural sequences is asked of the reference, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqloom.alphabet import SMILES, Alphabet
from seqloom.files import read_json
from seqloom.generate.monitor import LINES
from seqloom.generation.judging import SAMPLES, read_evaluation
from seqloom.generation.run import DECOYS, GeneratorRun
from seqloom.quality.controls import HELD_OUT, TRAIN
from seqloom.quality.intervals import Measured
from seqloom.quality.reference import Reference
from seqloom.quality.rules import Pack
from seqloom.quality.verdict import verdict
from seqloom.run import read_resolved
from seqloom.tokens import Tokens

BOARD = "leaderboard.json"
MOST_MEASURED = 2000
"""Natural sequences whose bits are drawn."""
Score = Mapping[str, float | None]
"""`value`, `low` and `high`."""
RULE, DISTANCE = "rule:", "distance:"
"""Metrics whose names begin alike."""
NO_SCORE: Score = {"value": None, "low": None, "high": None}


@dataclass(frozen=True, eq=False)
class Course:
    """How one member learnt: a line for each evaluation of its training."""

    seed: int
    lines: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Exhibit:
    """The samples of one variant, or those that somebody brought."""

    name: str
    kind: str
    """Of generator; empty of samples that were brought."""
    baseline: bool
    word: str
    """The verdict on the worst member."""
    metrics: Mapping[str, Score]
    samples: pa.Table
    """Of all members, as `samples.parquet` has them; the first `n_first` are of the first member."""
    n_first: int
    first: Mapping[str, Score]
    """Metrics of the first member."""
    seeds: tuple[int, ...]
    courses: tuple[Course, ...]

    @property
    def first_samples(self) -> pa.Table:
        """Samples of the first member."""
        return self.samples.slice(0, self.n_first)

    def value(self, metric: str) -> float | None:
        """A metric, the mean over members; None where it has none."""
        return self.metrics.get(metric, NO_SCORE)["value"]


@dataclass(frozen=True, eq=False)
class Exhibition:
    """All sets of samples, the best first, with all they are held against."""

    reference: Reference
    exhibits: tuple[Exhibit, ...]
    controls: Mapping[str, Mapping[str, float | None]]
    halves: Mapping[str, float | None]
    has_decoys: bool
    own_rules: Mapping[str, str] = field(default_factory=dict)
    """The user's rules, as far as they are known."""
    draws: int | None = None
    """Of the bootstrap, where they are known."""

    @property
    def alphabet(self) -> Alphabet:
        """Of the sequences."""
        return self.reference.alphabet

    @property
    def of_molecules(self) -> bool:
        """Whether these are molecules, which have no family."""
        return self.alphabet.name == SMILES.name

    def tokens(self, rows: pa.Table) -> Tokens:
        """The sequences of rows of `samples`."""
        return self.alphabet.encode(rows["sequence"].combine_chunks())

    def aligned(self, exhibit: Exhibit) -> np.ndarray:
        """Residues of the first member's samples in the columns of the family, uint8 (N, K)."""
        assert self.reference.family is not None
        return self.reference.family.aligned(self.tokens(exhibit.first_samples))

    @cached_property
    def natural_bits(self) -> dict[str, np.ndarray]:
        """Bits of training and of held-out sequences, of `MOST_MEASURED` each, float64 (N,)."""
        assert self.reference.family is not None
        sets = {"train": self.reference.train, "held-out": self.reference.held_out}
        return {name: self.reference.family.bits(drawn(own, MOST_MEASURED)) for name, own in sets.items()}

    @cached_property
    def pack(self) -> Pack:
        """The rules, with what each says."""
        family, train = self.reference.family, self.reference.train
        known = self.reference.natural
        return Pack.of(
            train,
            self.alphabet,
            self.own_rules,
            None if family is None else lambda own: known.aligned if own is train else family.aligned(own),
        )

    def control_words(self) -> dict[str, str]:
        """The verdict on each control, as if it were a set of samples."""
        sets = {name: _known(own) for name, own in self.controls.items()}
        beside = sets.get(HELD_OUT, {}), sets.get(TRAIN, {})
        return {
            name: verdict({key: Measured(value) for key, value in own.items()}, *beside, _known(self.halves)).word
            for name, own in sets.items()
        }


def of_board(folder: Path, board: Mapping[str, Any], reference: Reference | None = None) -> Exhibition:
    """What the runs of a finished experiment, or of one generator and its baseline, have to show."""
    runs = [GeneratorRun(folder / row["folder"]) for row in board["leaderboard"]]
    exhibits = tuple(_of_row(row, run) for row, run in zip(board["leaderboard"], runs, strict=True))
    asked = read_resolved(runs[0].folder / "resolved.toml").get("judge", {})
    return Exhibition(
        reference or runs[0].reference,
        exhibits,
        board["controls"],
        board["halves"],
        (runs[0].folder / DECOYS).exists(),
        asked.get("rules", {}),
        asked.get("draws"),
    )


def of_evaluation(folder: Path, reference: Reference) -> Exhibition:
    """What judged samples of any tool have to show."""
    found, facts = read_evaluation(folder), read_json(folder / "facts.json")
    samples = pq.read_table(folder / SAMPLES)
    name, word, metrics = facts["samples"], found["verdict"]["word"], found["metrics"]
    exhibit = Exhibit(name, "", False, word, metrics, samples, len(samples), metrics, (), ())
    decoys = bool(reference.decoys)
    return Exhibition(reference, (exhibit,), found["controls"], found["halves"], decoys, facts["rules"], facts["draws"])


def drawn(tokens: Tokens, most: int) -> Tokens:
    """All sequences, or `most` of them at random."""
    if len(tokens) <= most:
        return tokens
    return tokens.take(np.sort(np.random.default_rng(0xE4).choice(len(tokens), most, replace=False)))


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _of_row(row: Mapping[str, Any], run: GeneratorRun) -> Exhibit:
    seeds = tuple(int(each) for each in row["verdict"]["members"])
    folders = [run.member_folder(seed) for seed in seeds]
    tables = [pq.read_table(each / SAMPLES) for each in folders]
    courses = [
        Course(seed, _lines(each / LINES)) for seed, each in zip(seeds, folders, strict=True) if (each / LINES).exists()
    ]
    return Exhibit(
        row["variant"],
        row["kind"],
        row["baseline"],
        row["verdict"]["word"],
        row["metrics"],
        pa.concat_tables(tables),
        len(tables[0]),
        read_evaluation(folders[0])["metrics"],
        seeds,
        tuple(courses),
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text("utf-8").splitlines()]
