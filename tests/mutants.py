"""Two proteins and their mutants."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
WILD = "GNIFIKNLHPDIDNKALYDTFSVFGDILSSKIATDENGKS"  # residues 126 to 165 of the yeast poly(A)-binding protein
OTHER = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRV"


def mutated(wild: str, *changes: tuple[int, str]) -> str:
    """`wild` with residues replaced at sites from 1, such as (3, "A")."""
    letters = list(wild)
    for site, residue in changes:
        letters[site - 1] = residue
    return "".join(letters)


def singles(wild: str, n: int, seed: int = 0) -> list[str]:
    """`n` distinct single mutants."""
    rng = np.random.default_rng(seed)
    found: set[str] = set()
    while len(found) < n:
        site = int(rng.integers(len(wild)))
        found.add(mutated(wild, (site + 1, RESIDUES[rng.integers(20)])))
        found.discard(wild)
    return sorted(found)


def scan(wild: str, sites: Iterable[int], residues: str = "AW") -> list[str]:
    """Single mutants: every site by every residue that differs."""
    return [mutated(wild, (site, each)) for site in sites for each in residues if wild[site - 1] != each]


def doubles(wild: str, pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Double mutants, each with W at both sites of a pair."""
    return [mutated(wild, (one, "W"), (other, "W")) for one, other in pairs]


def differing(wild: str, sequence: str) -> set[int]:
    """Sites from 1 at which two sequences of one length differ."""
    return {site for site, (a, b) in enumerate(zip(wild, sequence, strict=True), start=1) if a != b}


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
