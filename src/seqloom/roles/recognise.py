"""Which alphabet a column of text is written in, told from its name and from the symbols it holds.

The name counts first (`smiles`, `dna`, `peptide`), the symbols decide the rest. Whether single symbols are legal is checked
later, row by row, by `seqloom.check`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from seqloom.alphabet import DNA, PROTEIN, RNA, SMILES, Alphabet
from seqloom.read.source import pieces
from seqloom.tokens import ragged_bytes

HINTS = (
    (re.compile(r"smiles|^(mol|molecule|compound|drug|ligand)$"), SMILES),
    (re.compile(r"(^|[^a-z])(rna|mrna)([^a-z]|$)"), RNA),
    (re.compile(r"(^|[^a-z])(dna|cdna|cds|gene_seq|promoter|nucleotide|nt_seq|orf)([^a-z]|$)"), DNA),
    (re.compile(r"pep|prot|(^|_)aa(_|$)|aa_?seq|cdr3|heavy|light|pseudosequence"), PROTEIN),
)
N_SAMPLED = 20_000
"""Values looked at, spread evenly; enough to tell alphabets apart."""
FEW_SYMBOLS = 200
"""A, C, G and T alone are proof of DNA only when there are more symbols than this: they are 22 % of protein residues, and
.22 ** 30 is 1e-20, but designed peptides are not average ones."""
MOSTLY, MANY = 0.95, 0.6
LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", np.uint8)


class Verdict(NamedTuple):
    """An alphabet and why; `doubt` is a sentence where another reading is as good."""

    alphabet: Alphabet
    reason: str
    doubt: str = ""


def recognise(name: str, column: pa.Array | pa.ChunkedArray, *, is_sequence: bool = False) -> Verdict | None:
    """The alphabet of a text column (N,), or None if it is no column of sequences.

    `is_sequence`: the name says it is one, so that mixed case and some wrong symbols (a matter of rows, reported as such) do
    not hide it.
    """
    text, _ = ragged_bytes(sample(column, N_SAMPLED))
    counts = byte_counts(text)
    counts[np.frombuffer(b" \t\r\n", np.uint8)] = 0
    total = int(counts.sum())
    if not total:
        return None
    hinted = next((alphabet for pattern, alphabet in HINTS if pattern.search(name.lower())), None)
    found = _by_symbols(counts) or (_by_most_symbols(counts) if is_sequence else None)
    nucleic = (DNA, RNA)
    if hinted is not None and share_in(counts, hinted) >= MOSTLY and not (hinted in nucleic and found in nucleic):
        return Verdict(hinted, f"the column is called {name!r}", _doubt(counts, total, hinted, name))
    if found is None:
        return None
    shown = "".join(chr(byte) for byte in np.flatnonzero(counts)[:40] if 32 < byte < 127)
    return Verdict(found, f"its symbols are {shown}", _doubt(counts, total, found, name))


def sample(column: pa.Array | pa.ChunkedArray, size: int) -> pa.Array | pa.ChunkedArray:
    """At most `size` values of a column, spread evenly over it."""
    if len(column) <= size:
        return column
    return column.take(pa.array(np.linspace(0, len(column) - 1, size).astype(np.int64)))


def byte_counts(text: np.ndarray) -> np.ndarray:
    """How often each byte occurs in `text`, int64 (256,)."""
    counts = np.zeros(256, np.int64)
    for part in pieces(text):
        counts += np.bincount(part, minlength=256)
    return counts


def share_in(counts: np.ndarray, alphabet: Alphabet) -> float:
    """Share of the symbols counted (256,) that the alphabet knows; 0 for none at all."""
    total = counts.sum()
    return float(counts[alphabet.look_up != 255].sum() / total) if total else 0.0


def _by_symbols(counts: np.ndarray) -> Alphabet | None:
    share = counts / counts.sum()

    def held(symbols: str) -> float:
        return float(share[np.frombuffer((symbols + symbols.lower()).encode(), np.uint8)].sum()) if symbols else 0.0

    if held("ACGTUN") + share[ord("-")] + share[ord(".")] >= MOSTLY and held("ACGTU") > 0.5:
        is_rna = held("U") > held("T")
        alphabet = RNA if is_rna else DNA
        return alphabet if share_in(counts, alphabet) >= MOSTLY else None
    if share[LETTERS].sum() + share[ord("*")] + share[ord("-")] + share[ord(".")] >= 0.98:
        odd = share[np.frombuffer(b"BJOUZX", np.uint8)].sum()
        lower = share[LETTERS[26:]].sum()
        # a mix of cases is prose or SMILES; rare letters in plenty are words
        if odd < 0.1 and (lower < 0.05 or lower > 0.99):
            return PROTEIN
    bonds = float(share[np.frombuffer(b"()=#[]@", np.uint8)].sum())
    return SMILES if bonds > 0.02 and share_in(counts, SMILES) >= 0.999 else None


def _by_most_symbols(counts: np.ndarray) -> Alphabet | None:
    share = counts / counts.sum()
    if share[np.frombuffer(b"()=#[]@", np.uint8)].sum() > 0.02:
        return SMILES if share_in(counts, SMILES) >= MANY else None
    return PROTEIN if share_in(counts, PROTEIN) >= MANY else None


def _doubt(counts: np.ndarray, total: int, alphabet: Alphabet, name: str) -> str:
    nucleic = np.frombuffer(b"ACGTUNacgtun-.", np.uint8)
    if counts[nucleic].sum() < total:
        return ""
    if alphabet is PROTEIN:
        return (
            f"column {name!r} holds only A, C, G, T, U and N, and is read as protein by its name; "
            "if it is nucleic acid, type --set data.alphabet=dna"
        )
    if alphabet in (DNA, RNA) and total < FEW_SYMBOLS:
        return (
            f"column {name!r} is read as {alphabet.name}, because its {total} symbols are all nucleotides; "
            "if these are peptides, type --set data.alphabet=protein"
        )
    return ""
