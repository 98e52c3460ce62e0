"""How likely a profile HMM is to write a sequence: the Forward algorithm from its beginning to its end.

pyhmmer gives log-odds of local alignments only, which say nothing of length; this is the distribution that `emit_sequence`
draws from, so that perplexities of profiles and of other generators compare.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seqloom.alphabet import Alphabet
from seqloom.tokens import Tokens

Profile = Any
"""pyhmmer's HMM, whose annotations lack half of what it has."""
EMISSION_CELLS = 1 << 18
"""Rows times columns of the profile at once while likelihoods are summed: what fits the cache."""
DEGENERATE = {
    "protein": {"X": "ACDEFGHIKLMNPQRSTVWY", "B": "DN", "Z": "EQ", "J": "IL", "U": "C", "O": "K"},
    "dna": {"U": "T"},
    "rna": {"T": "U"},
}
NUCLEIC = {
    "R": "AG",
    "Y": "CT",
    "S": "CG",
    "W": "AT",
    "K": "GT",
    "M": "AC",
    "B": "CGT",
    "D": "AGT",
    "H": "ACT",
    "V": "ACG",
}


def forward(profile: Profile, alphabet: Alphabet, tokens: Tokens) -> np.ndarray:
    """Log-probability, float64 (N,) in nats, of each sequence from the beginning of the profile to its end.

    The Forward algorithm (Durbin et al. 1998, "Biological sequence analysis", 5.4) over match, insert and delete states, rows
    together; runs of deletions are one product with a matrix (M + 1, M + 1).
    """
    step = np.asarray(profile.transition_probabilities, np.float64).T  # (7, M + 1): MM MI MD IM II DM DD
    match, insert = _emissions(profile, alphabet)
    deleting = _deletions(step[2], step[6])
    found = np.empty(len(tokens))
    order = np.argsort(-tokens.lengths, kind="stable")
    size = max(EMISSION_CELLS // match.shape[1], 1)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        found[rows] = _forward_of(tokens.take(rows), step, match, insert, deleting)
    return found


def _forward_of(
    tokens: Tokens, step: np.ndarray, match: np.ndarray, insert: np.ndarray, deleting: np.ndarray
) -> np.ndarray:
    """The same for sequences sorted by length, the longest first."""
    lengths, found = tokens.lengths, np.empty(len(tokens))
    ids = tokens.padded(np.arange(len(tokens))).ids
    in_match = np.zeros((len(tokens), step.shape[1]))
    in_match[:, 0] = 1.0  # the beginning
    in_insert = np.zeros_like(in_match)
    scale = np.zeros(len(tokens))
    for place in range(int(lengths.max(initial=0)) + 1):
        in_delete = in_match @ deleting
        ended = lengths == place
        end = in_match[:, -1] * step[0, -1] + in_insert[:, -1] * step[3, -1] + in_delete[:, -1] * step[5, -1]
        with np.errstate(divide="ignore"):
            found[: len(lengths)][ended] = (np.log(end) + scale)[ended]
        n_left = int((lengths > place).sum())
        if not n_left:
            break
        lengths, scale = lengths[:n_left], scale[:n_left]
        in_match, in_insert, in_delete = in_match[:n_left], in_insert[:n_left], in_delete[:n_left]
        residues = ids[:n_left, place]
        onward = in_match * step[0] + in_insert * step[3] + in_delete * step[5]
        in_insert = (in_match * step[1] + in_insert * step[4]) * insert[residues]
        in_match = np.zeros_like(onward)
        in_match[:, 1:] = onward[:, :-1] * match[residues, 1:]
        total = np.maximum((in_match + in_insert).sum(axis=1), 1e-300)
        in_match, in_insert, scale = in_match / total[:, None], in_insert / total[:, None], scale + np.log(total)
    return found


def _deletions(opened: np.ndarray, extended: np.ndarray) -> np.ndarray:
    """Probability of coming from match state j to delete state k without a residue, float64 (M + 1, M + 1)."""
    n = len(opened)
    found = np.zeros((n, n))
    for k in range(1, n):
        found[:, k] = found[:, k - 1] * extended[k - 1]
        found[k - 1, k] = opened[k - 1]
    return found


def _emissions(profile: Profile, alphabet: Alphabet) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each id in each match and each insert state, float64 (V, M + 1) each; of an ambiguous one the sum."""
    stands_for = np.zeros((alphabet.size, len(alphabet.standard)))
    for index, symbol in enumerate(alphabet.symbols, start=1):
        own = _meant(alphabet, symbol)
        stands_for[index, [alphabet.standard.index(each) for each in own]] = 1.0
    match = np.asarray(profile.match_emissions, np.float64).T
    insert = np.asarray(profile.insert_emissions, np.float64).T
    return stands_for @ match, stands_for @ insert


def _meant(alphabet: Alphabet, symbol: str) -> str:
    """The standard symbols that a symbol may stand for."""
    if symbol in alphabet.standard:
        return symbol
    known = DEGENERATE[alphabet.name]
    if alphabet.name != "protein":
        t = alphabet.standard[3]
        known = known | {each: own.replace("T", t) for each, own in NUCLEIC.items()}
    return known.get(symbol, alphabet.standard)
