"""Physico-chemical numbers of each sequence, and how far those of samples lie from those of natural sequences.

Proteins have length, weight, isoelectric point, charge, hydropathy, aliphatic index and aromaticity; nucleic acids have length
and the share of G and C. Numbers of molecules are in `quality.molecules`. Scales and pK values are those of the encoder
`descriptors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seqloom.alphabet import PROTEIN, Alphabet
from seqloom.encode.descriptors import AROMATIC, HYDROPATHY, MASS, WATER_DALTON, charge, isoelectric_point
from seqloom.encode.kmer import symbol_counts
from seqloom.tokens import Tokens

PH = 7.0
VALINE, ISOLEUCINE_LEUCINE = 2.9, 3.9
"""Volume of the side chains relative to alanine's (Ikai 1980, J Biochem 88:1895)."""


@dataclass(frozen=True)
class Distance:
    """The 1-Wasserstein distance of one number between samples and natural sequences, in natural standard deviations."""

    samples: np.ndarray  # float64 (N,)
    reference: np.ndarray  # float64 (M,): held-out sequences, or those of training where none are held out
    scale: float
    """Standard deviation among training sequences; 1 where they are all alike, so that the distance is in the number's unit."""
    floor: float
    """The distance of held-out from training sequences, in the same unit; NaN where none are held out."""

    @property
    def value(self) -> float:
        """The distance of all samples; NaN where there are none."""
        return wasserstein(self.samples, self.reference) / self.scale

    def __call__(self, rows: np.ndarray) -> float:
        """The distance of the samples `rows` (int (R,)), for draws of them."""
        return wasserstein(self.samples[rows], self.reference) / self.scale


def properties(tokens: Tokens, alphabet: Alphabet) -> dict[str, np.ndarray]:
    """Numbers of each sequence by name, float64 (N,); names depend on the alphabet alone.

    `weight` in dalton; `isoelectric_point` and `charge` (at pH 7) with the pK values of Bjellqvist et al. 1993; `gravy`, the mean
    hydropathy of Kyte and Doolittle 1982; `aliphatic_index` of Ikai 1980; `aromaticity`, the share of F, W and Y. Symbols that
    are no standard residue count in the length only, and weigh what the others weigh on average. All are NaN but the length for
    sequences without a standard residue.
    """
    counts = symbol_counts(tokens, alphabet.size)[:, alphabet.ids(alphabet.standard)]
    known = counts.sum(1).astype(float)
    known[known == 0] = np.nan
    lengths = tokens.lengths.astype(float)
    share = {symbol: counts[:, index] / known for index, symbol in enumerate(alphabet.standard)}
    if alphabet.name in ("dna", "rna"):
        return {"length": lengths, "gc": share["G"] + share["C"]}
    if alphabet is not PROTEIN:
        return {"length": lengths}
    absent = np.isnan(known)
    aliphatic = share["A"] + VALINE * share["V"] + ISOLEUCINE_LEUCINE * (share["I"] + share["L"])
    return {
        "length": lengths,
        "weight": counts @ np.array(MASS) / known * lengths + WATER_DALTON,
        "isoelectric_point": np.where(absent, np.nan, isoelectric_point(counts)),
        "charge": np.where(absent, np.nan, charge(counts, PH)),
        "gravy": counts @ np.array(HYDROPATHY) / known,
        "aliphatic_index": 100 * aliphatic,
        "aromaticity": sum((share[symbol] for symbol in AROMATIC), np.zeros(len(tokens))),
    }


def distances(
    samples: Mapping[str, np.ndarray], held_out: Mapping[str, np.ndarray], train: Mapping[str, np.ndarray]
) -> dict[str, Distance]:
    """The distance of each number that all three have, from what `properties` says of them.

    Rows without a number (NaN) are left out of the natural sequences, and of every draw of samples.
    """
    found = {}
    for name in train:
        if name not in samples:
            continue
        natural, apart = _known(train[name]), _known(held_out.get(name, np.zeros(0)))
        spread = float(natural.std()) if len(natural) else 0.0
        scale = spread if spread > 0 else 1.0
        floor = wasserstein(apart, natural) / scale
        found[name] = Distance(samples[name], apart if len(apart) else natural, scale, floor)
    return found


def wasserstein(left: np.ndarray, right: np.ndarray) -> float:
    """The 1-Wasserstein distance of two sets of numbers (N,) and (M,): the area between their cumulative distributions.

    NaNs are left out; NaN where either side is empty.

    >>> wasserstein(np.array([0.0, 1.0, 3.0]), np.array([5.0, 6.0, 8.0]))
    5.0
    """
    left, right = np.sort(_known(left)), np.sort(_known(right))
    if not len(left) or not len(right):
        return float("nan")
    both = np.sort(np.concatenate([left, right]), kind="stable")
    below_left = np.searchsorted(left, both[:-1], side="right") / len(left)
    below_right = np.searchsorted(right, both[:-1], side="right") / len(right)
    return float(np.abs(below_left - below_right) @ np.diff(both))


def _known(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]
