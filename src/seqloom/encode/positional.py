"""Position by position: one-hot and BLOSUM62.

Sequences of one length stand as they are. Where lengths differ, each is laid out twice, from its first symbol and from its
last, so that both ends mean the same position in every row, and on demand once more about its middle; a sequence longer than
any training row is cut from the far end of each layout, and from both ends of the centred one.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import numpy as np

from seqloom.alphabet import PROTEIN, Alphabet
from seqloom.encode.base import FeatureEncoder, State, refuse_huge
from seqloom.errors import ConfigError
from seqloom.registry import register
from seqloom.tokens import Tokens

LEFT, RIGHT, CENTRE = range(3)
"""Layouts, as they stand in the state."""
LAYOUTS = {"left": (LEFT,), "right": (RIGHT,), "centre": (CENTRE,), "both": (LEFT, RIGHT), "all": (LEFT, CENTRE, RIGHT)}
MOST_STANDARD = 25
"""Alphabets of more standard symbols than this (SMILES) keep only those that training rows hold."""


class PositionalEncoder(FeatureEncoder):
    """Symbols by position, each symbol a vector; positions that never vary in training rows are left out."""

    scales = False

    align: Literal["auto", "left", "right", "both", "centre", "all"] = "auto"
    """From which end positions are counted; `both` lays each row out from either end, `centre` puts as many empty positions
    before it as behind, and `all` has the three side by side, as in MHCflurry (O'Donnell et al. 2020, Cell Systems 11:42).
    `auto` is left when all training lengths are equal, else both."""
    longest: int = 0
    """Positions of each layout; 0 takes the longest training sequence."""

    @abstractmethod
    def vectors(self, alphabet: Alphabet) -> np.ndarray:
        """The vector of every id, float32 (V, K); row 0, padding, is zero."""

    @abstractmethod
    def components(self, alphabet: Alphabet, present: np.ndarray) -> np.ndarray:
        """Which of the K components to keep where positions vary, given the ids that training rows hold."""

    def learn(self, tokens: Tokens, alphabet: Alphabet) -> State:
        """Which (layout, position) pairs vary among training rows, with the components kept of each."""
        lengths = tokens.lengths
        longest = self.longest or int(lengths.max(initial=1))
        equal = bool(len(lengths)) and int(lengths.min()) == int(lengths.max())
        align = self.align if self.align != "auto" else "left" if equal else "both"
        layouts = LAYOUTS[align]
        components = self.components(alphabet, np.unique(tokens.values))
        kept = []
        for layout in layouts:
            for position in range(longest):
                column = _column(tokens, layout, position, longest)
                if (column != column[0]).any():
                    kept += [(layout, position, component) for component in components]
        if not kept:  # equal training rows: a model still needs something to weigh
            kept = [(layouts[0], 0, component) for component in components]
        refuse_huge(len(tokens), len(kept), self.kind, "use encoder kmer or composition, or --set encoder.longest=100")
        return {"kept": np.array(kept, np.int32).reshape(-1, 3), "longest": np.array([longest])}

    def encode(self, tokens: Tokens, alphabet: Alphabet, state: State) -> np.ndarray:
        """Float32 (N, D), D the number of varying features."""
        kept = state["kept"]
        longest = int(state["longest"][0]) if "longest" in state else 0  # runs of before there was `centre` have none
        vectors = self.vectors(alphabet)
        features = np.empty((len(tokens), len(kept)), np.float32)
        start = 0
        while start < len(kept):
            layout, position = kept[start, 0], kept[start, 1]
            end = start + int(((kept[start:, 0] == layout) & (kept[start:, 1] == position))[: vectors.shape[1]].sum())
            features[:, start:end] = vectors[_column(tokens, layout, position, longest)][:, kept[start:end, 2]]
            start = end
        return features


@register("encoder", "one-hot")
class OneHot(PositionalEncoder):
    """One-hot symbols by position.

    The usual first encoding of aligned or equally long sequences.
    """

    def vectors(self, alphabet: Alphabet) -> np.ndarray:
        """The unit vector of every symbol."""
        return np.eye(alphabet.size, dtype=np.float32)[:, 1:]

    def components(self, alphabet: Alphabet, present: np.ndarray) -> np.ndarray:
        """The symbols that training rows hold, and all amino acids or nucleotides: valid rows may show others of them."""
        few = len(alphabet.standard) <= MOST_STANDARD
        return np.union1d(present, alphabet.ids(alphabet.standard) if few else present).astype(np.int64) - 1


@register("encoder", "blosum62")
class Blosum62(PositionalEncoder):
    """BLOSUM62 rows by position, proteins only.

    Each residue is its row of the matrix over the 20 amino acids (Henikoff and Henikoff 1992, PNAS 89:10915), divided by 4;
    ambiguous residues take the matrix's own B, Z and X rows, U is read as C, O as K, J as the mean of I and L.
    """

    def vectors(self, alphabet: Alphabet) -> np.ndarray:
        """Matrix rows (V, 20)."""
        if alphabet is not PROTEIN:
            raise ConfigError(
                f"encoder 'blosum62' is for proteins, and the alphabet is {alphabet.name}; use one-hot or kmer"
            )
        rows = blosum62_scores()[:, alphabet.ids(alphabet.standard)]
        rows[[0, *alphabet.ids("-.")]] = 0.0
        return (rows / 4).astype(np.float32)

    def components(self, alphabet: Alphabet, present: np.ndarray) -> np.ndarray:
        """All 20."""
        return np.arange(len(PROTEIN.standard))


def blosum62_scores() -> np.ndarray:
    """BLOSUM62 scores of protein ids, float64 (V, V) (Henikoff and Henikoff 1992, PNAS 89:10915).

    B, Z, X and the stop are the matrix's own; U scores as C, O as K, J as the mean of I and L. A gap, and no residue (id 0),
    score as low as a stop, -4, against residues and 0 against each other.
    """
    from scoring_matrices import ScoringMatrix

    matrix = ScoringMatrix.from_name("BLOSUM62")
    read_as = [{"U": "C", "O": "K", "J": "IL", "-": "*", ".": "*"}.get(each, each) for each in "-" + PROTEIN.symbols]
    scores = np.array([[np.mean([matrix[a, b] for a in left for b in right]) for right in read_as] for left in read_as])
    nothing = [0, *PROTEIN.ids("-.")]
    scores[np.ix_(nothing, nothing)] = 0.0
    return scores


def _column(tokens: Tokens, layout: int, position: int, longest: int) -> np.ndarray:
    """Ids at `position` of a layout, uint8 (N,), 0 where a row has no symbol there.

    Positions count from the first symbol (left), backwards from the last (right), or from the first of `longest` positions in
    which the row is centred, with the odd empty one behind it (centre).
    """
    lengths = tokens.lengths
    from_first = position - (longest - lengths) // 2 if layout == CENTRE else np.full(len(lengths), position)
    inside = (from_first >= 0) & (from_first < lengths)
    index = tokens.offsets[1:] - 1 - position if layout == RIGHT else tokens.offsets[:-1] + from_first
    index = np.where(inside, index, 0)
    return np.where(inside, tokens.values[index], 0) if len(tokens.values) else np.zeros(len(lengths), np.uint8)
