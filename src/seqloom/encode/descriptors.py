"""Physico-chemical descriptors of proteins: what a biochemist would compute first.

Residue scales, each with its source, averaged over the sequence and over its two ends, with mass, charge and isoelectric
point.
"""

from __future__ import annotations

import numpy as np

from seqloom.alphabet import PROTEIN, Alphabet
from seqloom.encode.base import FeatureEncoder, State
from seqloom.encode.kmer import symbol_counts
from seqloom.errors import ConfigError
from seqloom.registry import register
from seqloom.tokens import Tokens

_ORDER = "ACDEFGHIKLMNPQRSTVWY"
# Kyte and Doolittle 1982, J Mol Biol 157:105
HYDROPATHY = (
    1.8,
    2.5,
    -3.5,
    -3.5,
    2.8,
    -0.4,
    -3.2,
    4.5,
    -3.9,
    3.8,
    1.9,
    -3.5,
    -1.6,
    -3.5,
    -4.5,
    -0.8,
    -0.7,
    4.2,
    -0.9,
    -1.3,
)
# Side-chain volume in cubic angstrom, Zamyatnin 1972, Prog Biophys Mol Biol 24:107
VOLUME = (
    88.6,
    108.5,
    111.1,
    138.4,
    189.9,
    60.1,
    153.2,
    166.7,
    168.6,
    166.7,
    162.9,
    114.1,
    112.7,
    143.8,
    173.4,
    89.0,
    116.1,
    140.0,
    227.8,
    193.6,
)
# Helix, strand and turn propensities, Chou and Fasman 1978, Adv Enzymol 47:45 (times 100)
HELIX = (142, 70, 101, 151, 113, 57, 100, 108, 114, 121, 145, 67, 57, 111, 98, 77, 83, 106, 108, 69)
STRAND = (83, 119, 54, 37, 138, 75, 87, 160, 74, 130, 105, 89, 55, 110, 93, 75, 119, 170, 137, 147)
TURN = (66, 119, 146, 74, 60, 156, 95, 47, 101, 59, 60, 156, 152, 98, 95, 143, 96, 50, 96, 114)
# Average residue masses in dalton, water lost (IUPAC atomic weights)
MASS = (
    71.08,
    103.14,
    115.09,
    129.12,
    147.18,
    57.05,
    137.14,
    113.16,
    128.17,
    113.16,
    131.19,
    114.10,
    97.12,
    128.13,
    156.19,
    87.08,
    101.10,
    99.13,
    186.21,
    163.18,
)
AROMATIC, ALIPHATIC, TINY = "FWY", "AILV", "AGSC"
# pKa of side chains and ends, Bjellqvist et al. 1993, Electrophoresis 14:1023
PKA_BASIC = {"K": 10.0, "R": 12.0, "H": 5.98}
PKA_ACIDIC = {"D": 4.05, "E": 4.45, "C": 9.0, "Y": 10.0}
PKA_N_END, PKA_C_END = 7.5, 3.55
WATER_DALTON = 18.02


@register("encoder", "descriptors")
class Descriptors(FeatureEncoder):
    """Physico-chemical descriptors of a protein: charge, isoelectric point, mass, hydropathy, volume, propensities.

    Scales are averaged over the whole sequence and over the symbols at each end; ambiguous residues count as absent.
    """

    ends: int = 10
    """Symbols at each end whose mean scales are added."""

    def encode(self, tokens: Tokens, alphabet: Alphabet, state: State) -> np.ndarray:
        """Float32 (N, 24): 13 of the whole sequence, 5 for each end, and the logarithm of the length."""
        if alphabet is not PROTEIN:
            raise ConfigError(f"encoder 'descriptors' is for proteins, and the alphabet is {alphabet.name}; use kmer")
        counts = symbol_counts(tokens, alphabet.size)[:, 1 : len(_ORDER) + 1]
        ends = [
            _scale_means(symbol_counts(end, alphabet.size)[:, 1 : len(_ORDER) + 1]) for end in _ends(tokens, self.ends)
        ]
        mass = counts @ np.array(MASS) + WATER_DALTON
        charges = np.stack([charge(counts, ph) for ph in (5.0, 7.4)], axis=1)
        groups = np.stack([_share(counts, group) for group in (AROMATIC, ALIPHATIC, TINY)], axis=1)
        columns = [_scale_means(counts), groups, charges, np.log(mass)[:, None], isoelectric_point(counts)[:, None]]
        columns += [charge(counts, 7.4)[:, None] / np.maximum(counts.sum(1), 1)[:, None], *ends]
        columns.append(np.log1p(tokens.lengths)[:, None])
        return np.concatenate(columns, axis=1).astype(np.float32)


def residue_hydropathy() -> np.ndarray:
    """Hydropathy by id of a protein, float64 (V,) (Kyte and Doolittle 1982).

    B, Z and J are the means of the two residues each may be, U is read as C, O as K; X, stops, gaps and padding are 0.
    """
    of = dict(zip(_ORDER, HYDROPATHY, strict=True))
    read_as = {"B": "DN", "Z": "EQ", "J": "IL", "U": "C", "O": "K"}
    symbols = [read_as.get(symbol, symbol) for symbol in PROTEIN.symbols]
    return np.array([0.0, *(np.mean([of.get(each, 0.0) for each in symbol]) for symbol in symbols)])


def charge(counts: np.ndarray, ph: np.ndarray | float) -> np.ndarray:
    """Net charge at a pH by Henderson-Hasselbalch, float64 (N,), from counts of the 20 residues (N, 20)."""
    number = {symbol: counts[:, index] for index, symbol in enumerate(_ORDER)}
    plus = sum(number[symbol] / (1 + 10 ** (ph - pka)) for symbol, pka in PKA_BASIC.items())
    minus = sum(number[symbol] / (1 + 10 ** (pka - ph)) for symbol, pka in PKA_ACIDIC.items())
    ends = 1 / (1 + 10 ** (ph - PKA_N_END)) - 1 / (1 + 10 ** (PKA_C_END - ph))
    return np.asarray(plus - minus + ends)


def isoelectric_point(counts: np.ndarray) -> np.ndarray:
    """The pH of zero net charge, float64 (N,), by bisection to 0.001."""
    low, high = np.zeros(len(counts)), np.full(len(counts), 14.0)
    for _ in range(14):
        middle = (low + high) / 2
        positive = charge(counts, middle) > 0
        low, high = np.where(positive, middle, low), np.where(positive, high, middle)
    return (low + high) / 2


def _scale_means(counts: np.ndarray) -> np.ndarray:
    scales = np.stack([np.array(scale, float) for scale in (HYDROPATHY, VOLUME, HELIX, STRAND, TURN)], axis=1)
    return counts @ scales / np.maximum(counts.sum(1), 1)[:, None]


def _share(counts: np.ndarray, symbols: str) -> np.ndarray:
    chosen = counts[:, [_ORDER.index(symbol) for symbol in symbols]]
    return chosen.sum(1) / np.maximum(counts.sum(1), 1)


def _ends(tokens: Tokens, width: int) -> tuple[Tokens, Tokens]:
    lengths = np.minimum(tokens.lengths, width)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    first = tokens.values[np.repeat(tokens.offsets[:-1], lengths) + within]
    last = tokens.values[np.repeat(tokens.offsets[1:] - lengths, lengths) + within]
    return Tokens(first, offsets), Tokens(last, offsets)
