"""What a residue looks like to the critic: a vector for each symbol.

Generated sequences are one-hot in the forward pass, so they get the same vectors as natural ones. The critic alone owns vectors
that are learnt, and they are kept to length 1: a critic free to change them wins by moving symbols apart.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from seqloom.alphabet import PROTEIN
from seqloom.encode.descriptors import HELIX, HYDROPATHY, PKA_ACIDIC, PKA_BASIC, STRAND, TURN, VOLUME
from seqloom.encode.positional import blosum62_scores
from seqloom.errors import ConfigError

Encoding = Literal["onehot", "property", "blosum", "learned", "external"]
PH = 7.4
LEARNED = 8
"""Numbers of a learned vector."""


class Embedding(nn.Module):
    """Vectors of symbols, fixed or learned."""

    fixed: Tensor

    def __init__(self, vectors: np.ndarray | None, vocabulary: int) -> None:
        """`vectors` float32 (V, E), or None to learn them."""
        super().__init__()
        self.width = LEARNED if vectors is None else vectors.shape[1]
        self.learned = nn.Parameter(torch.randn(vocabulary, LEARNED)) if vectors is None else None
        if vectors is not None:
            self.register_buffer("fixed", torch.from_numpy(np.ascontiguousarray(vectors, np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, E) of sequences x (B, L, V)."""
        if self.learned is not None:
            return x @ nn.functional.normalize(self.learned, dim=1)
        return x @ self.fixed


def symbol_vectors(encoding: Encoding, symbols: str, alphabet: str, file: str = "") -> np.ndarray | None:
    """A vector for padding and each of the symbols, float32 (V, E), the symbols' of mean length 1; None for `learned`.

    Each has a number of its own for padding. ConfigError where properties or BLOSUM62 are wanted of what is no protein,
    and for a
    file that lacks symbols.
    """
    if encoding == "learned":
        return None
    if encoding == "onehot":
        return np.eye(len(symbols) + 1, dtype=np.float32)
    if encoding == "external":
        vectors = _read(Path(file), symbols)
    elif alphabet != PROTEIN.name:
        raise ConfigError(
            f"[generator] encoding = {encoding!r} is of amino acids, and the alphabet is {alphabet}; use onehot"
        )
    elif encoding == "property":
        vectors = _properties()[[PROTEIN.standard.index(symbol) for symbol in symbols]]
    else:
        ids = PROTEIN.ids(symbols)
        vectors = blosum62_scores()[np.ix_(ids, ids)]
    spread = vectors.std(0)
    vectors = (vectors - vectors.mean(0)) / np.where(spread > 0, spread, 1)
    vectors /= max(float(np.linalg.norm(vectors, axis=1).mean()), 1e-12)
    padded = np.zeros((len(symbols) + 1, vectors.shape[1] + 1), np.float32)
    padded[0, 0] = 1
    padded[1:, 1:] = vectors
    return padded


def _properties() -> np.ndarray:
    """Hydropathy, volume, three propensities and charge at pH 7.4 of the 20 amino acids, float64 (20, 6)."""
    charges = [
        1 / (1 + 10 ** (PH - PKA_BASIC[symbol])) if symbol in PKA_BASIC
        else -1 / (1 + 10 ** (PKA_ACIDIC[symbol] - PH)) if symbol in PKA_ACIDIC
        else 0.0
        for symbol in PROTEIN.standard
    ]  # fmt: skip
    return np.array([HYDROPATHY, VOLUME, HELIX, STRAND, TURN, charges], np.float64).T


def _read(path: Path, symbols: str) -> np.ndarray:
    """Vectors of a CSV file, float64 (symbols, E): a line for each symbol, its name first and then its numbers; a header
    may be."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = {row[0]: row[1:] for row in csv.reader(file) if row}
    except OSError as error:
        raise ConfigError(f"[generator] vectors = {str(path)!r} cannot be read: {error.strerror}") from None
    missing = [symbol for symbol in symbols if symbol not in rows]
    if missing:
        raise ConfigError(
            f"[generator] vectors = {str(path)!r} has no line for {' '.join(missing)}; a line is a symbol "
            "and its numbers, such as A,0.31,-1.2"
        )
    try:
        vectors = np.array([[float(each) for each in rows[symbol]] for symbol in symbols])
    except ValueError:
        raise ConfigError(
            f"[generator] vectors = {str(path)!r}: every line is a symbol and the same count of numbers"
        ) from None
    if vectors.ndim != 2 or not vectors.shape[1] or not np.isfinite(vectors).all():
        raise ConfigError(f"[generator] vectors = {str(path)!r}: every symbol needs at least one finite number")
    return vectors
