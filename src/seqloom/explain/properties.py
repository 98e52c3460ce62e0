"""Properties of residues that a map is coloured by, and how near residues are to each other in BLOSUM62."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from seqloom.alphabet import PROTEIN, Alphabet
from seqloom.encode.descriptors import HELIX, HYDROPATHY, MASS, PKA_ACIDIC, PKA_BASIC, STRAND, TURN, VOLUME
from seqloom.encode.positional import blosum62_scores
from seqloom.errors import ConfigError
from seqloom.registry import nearest

PH = 7.4
N_PARTNERS = 3
SCALES = {
    "hydropathy": (HYDROPATHY, "hydropathy (Kyte and Doolittle 1982)"),
    "volume": (VOLUME, "volume in cubic angstrom (Zamyatnin 1972)"),
    "mass": (MASS, "mass in dalton"),
    "helix": (HELIX, "helix propensity times 100 (Chou and Fasman 1978)"),
    "strand": (STRAND, "strand propensity times 100 (Chou and Fasman 1978)"),
    "turn": (TURN, "turn propensity times 100 (Chou and Fasman 1978)"),
}
OF_PROTEINS = (*SCALES, "charge")
OF_ALL = ("frequency", "norm")
"""Of any alphabet: how often training sequences have the symbol, and how long its vector is."""


class Property(NamedTuple):
    """A number for each of K symbols, and what it is. `middle` has no colour."""

    name: str
    text: str
    values: np.ndarray  # float64 (K,)
    middle: float

    @property
    def shades(self) -> np.ndarray:
        """From -1 to 1, float64 (K,)."""
        away = self.values - self.middle
        return np.asarray(away / max(float(np.abs(away).max()), 1e-12))


def property_of(
    name: str, alphabet: Alphabet, symbols: str, counts: np.ndarray | None, vectors: np.ndarray
) -> Property:
    """The property called `name` of symbols (K,); '' takes hydropathy of proteins, and else what there is.

    `counts` (K,): how often each is in training sequences, None if that is not known. ConfigError for a property that is not
    there, or not of this alphabet.
    """
    name = name or ("hydropathy" if alphabet is PROTEIN else "frequency" if counts is not None else "norm")
    known = (*OF_PROTEINS, *OF_ALL)
    if name not in known:
        raise ConfigError(f"--colour {name}: no such property{nearest(name, known)}; available: {', '.join(known)}")
    if name in OF_PROTEINS and alphabet is not PROTEIN:
        raise ConfigError(
            f"--colour {name} is of amino acids, and the alphabet is {alphabet.name}; take {' or '.join(OF_ALL)}"
        )
    if name == "frequency" and counts is None:
        raise ConfigError("--colour frequency: the run does not hold its training sequences; take norm")
    if name in OF_ALL:
        told = counts if name == "frequency" and counts is not None else None
        values = np.linalg.norm(vectors, axis=1) if told is None else np.log10(told / told.sum())
        text = (
            "length of the vector that is drawn" if told is None else "share in training sequences, decimal logarithm"
        )
        return Property(name, text, values, float(np.median(values)))
    of = residue_scale(name)
    values = np.array([of[symbol] for symbol in symbols])
    middle = 0.0 if name in ("hydropathy", "charge") else float(np.median(list(of.values())))
    text = f"charge of the side chain at pH {PH:g}" if name == "charge" else SCALES[name][1]
    return Property(name, text, values, middle)


def residue_scale(name: str) -> dict[str, float]:
    """A number for each of the 20 standard amino acids.

    >>> residue_scale("hydropathy")["I"], round(residue_scale("charge")["D"], 2)
    (4.5, -1.0)
    """
    if name != "charge":
        return dict(zip(PROTEIN.standard, SCALES[name][0], strict=True))
    charges = dict.fromkeys(PROTEIN.standard, 0.0)
    charges |= {symbol: 1 / (1 + 10 ** (PH - pka)) for symbol, pka in PKA_BASIC.items()}
    return charges | {symbol: -1 / (1 + 10 ** (pka - PH)) for symbol, pka in PKA_ACIDIC.items()}


def blosum62_partners(symbols: str) -> np.ndarray:
    """Which of K standard amino acids are among the three best BLOSUM62 partners of each, bool (K, K).

    Partners are among `symbols`, and all that score as the third does are taken. None is its own partner.
    """
    ids = PROTEIN.ids(symbols)
    scores = blosum62_scores()[np.ix_(ids, ids)]
    np.fill_diagonal(scores, -np.inf)
    third = np.sort(scores, axis=1)[:, -min(N_PARTNERS, len(symbols) - 1)]
    return np.asarray(scores >= third[:, None])
