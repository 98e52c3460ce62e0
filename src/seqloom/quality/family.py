"""A family of sequences as two profile HMMs: one to search and align with, one that writes sequences.

Builds both from one alignment of training sequences, says how many bits a sequence has, which columns its residues stand in,
and how likely the profile is to write it. What follows from bits and columns is decided elsewhere.

Two profiles, since one cannot do both: weights that make a profile find distant members (HMMER's default entropy weighting)
blur its residues so much that none of its own sequences is found in the family again.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from seqloom.alphabet import ALPHABETS, SMILES, Alphabet
from seqloom.errors import DataError, MissingExtra, RunError
from seqloom.files import read_json, write_json, write_text
from seqloom.quality.likelihood import Profile, forward
from seqloom.similarity.alignment import without_gaps
from seqloom.tokens import Tokens

if TYPE_CHECKING:
    from pyhmmer.easel import DigitalSequenceBlock

MOST_ALIGNED = 2000
"""Sequences of the alignment. Of 6,300 MinE sequences, with 500, 1,000, 2,000 and all of them: held-out perplexity of the
emission profile 7.73, 7.78, 7.64 and 7.60 per residue; share of its emissions in the family 0.95, 0.92, 0.82 and 0.62."""
MOST_RESIDUES = 1_000_000
"""Residues of the alignment, so that sequences of 3,000 residues are aligned in seconds, too; at least `LEAST_ALIGNED`."""
LEAST_ALIGNED = 50
MOST_MEASURED = 10_000
"""Training sequences from which the threshold of the family and the occupancy of columns are read."""
OCCUPANCY = 0.5
"""Columns in which fewer than this share of the training sequences have a residue are left out."""
FLOOR_SHARE = 0.05
"""A sequence is in the family when it has the bits that all but this share of the training sequences have."""
NO_HIT = -10.0
"""Bits of a sequence in which hmmsearch finds no domain at all, the least of any: random ones that have a score have -4 to 3."""
SEARCH_SPACE = 1000
"""Sequences that hmmsearch is told it searches; bits do not depend on it."""
MOST_SEARCHED = 100_000
"""HMMER reads no longer sequence: these have no hit."""
CHUNK = 1000


@dataclass(frozen=True, eq=False)
class Family:
    """Profiles of a family, the columns that count, and the threshold of membership; K columns."""

    alphabet: Alphabet
    search: str
    """HMMER3 text of the profile for search and alignment: entropy-weighted, M match columns."""
    emission: str
    """HMMER3 text of the profile that writes sequences: every sequence of the alignment counts as one."""
    kept: np.ndarray
    """Match columns of `search` in which more than half of the training sequences have a residue, int64 (K,)."""
    floor: float
    """Bits that 95 % of the training sequences reach."""
    n_train: int
    n_aligned: int

    @classmethod
    def of(
        cls,
        train: Tokens,
        alphabet: Alphabet,
        weights: np.ndarray | None = None,
        seed: int = 0,
        most: int = MOST_ALIGNED,
    ) -> Family:
        """The family of N training sequences, from an alignment of at most `most` of them, drawn by `weights` (N,) if given.

        Gap symbols are left out, and so are empty sequences. DataError without any sequence and for SMILES; MissingExtra
        without pyhmmer and pyfamsa.
        """
        if alphabet.name == SMILES.name:
            raise DataError("molecules have no profile: a family is of proteins, peptides, DNA or RNA")
        own = without_gaps(train, alphabet)
        filled = np.flatnonzero(own.lengths > 0)
        if not len(filled):
            raise DataError(f"{len(train)} training sequences, none with a residue: a family needs one at least")
        rng = np.random.default_rng([seed, 0xFA])
        chosen = _drawn(own, filled, weights, rng, most)
        names, rows = _fam_aligned(alphabet, own.take(chosen))
        profiles = _profile(alphabet, names, rows, "entropy"), _profile(alphabet, names, rows, "none")
        draft = cls(alphabet, profiles[0], profiles[1], np.zeros(0, np.int64), NO_HIT, len(train), len(chosen))
        measured = filled if len(filled) <= MOST_MEASURED else np.sort(rng.choice(filled, MOST_MEASURED, replace=False))
        sample = own.take(measured)
        occupied = (draft._in_match_columns(sample) < len(alphabet.standard)).mean(axis=0)
        kept = np.flatnonzero(occupied > OCCUPANCY)
        if not len(kept):  # short or ragged sets: the fullest columns rather than none
            kept = np.flatnonzero(occupied >= occupied.max())
        floor = float(np.quantile(draft.bits(sample), FLOOR_SHARE))
        return cls(alphabet, profiles[0], profiles[1], kept, floor, len(train), len(chosen))

    @property
    def n_columns(self) -> int:
        """K."""
        return len(self.kept)

    @property
    def n_letters(self) -> int:
        """Symbols of a column that are residues: the gap has this number."""
        return len(self.alphabet.standard)

    def bits(self, tokens: Tokens) -> np.ndarray:
        """Log-odds bits of each sequence under the profile against random residues, float64 (N,), by hmmsearch.

        Without filters, so that low bits are known too. `NO_HIT` where no domain is found (a third of random sequences), and
        where a sequence is empty or longer than `MOST_SEARCHED`.
        """
        from pyhmmer.plan7 import Pipeline

        found = np.full(len(tokens), NO_HIT)
        block, _ = self._digital(tokens)
        if not len(block):
            return found
        pipeline = Pipeline(_easel(self.alphabet), Z=SEARCH_SPACE, T=-1e9, bias_filter=False, F1=1.0, F2=1.0, F3=1.0)
        hits = pipeline.search_hmm(self._search, block)
        for hit in hits:
            found[int(hit.name)] = max(hit.score, NO_HIT)
        return found

    def is_member(self, bits: np.ndarray) -> np.ndarray:
        """Whether sequences of these bits (float64 (N,)) are in the family, bool (N,)."""
        member: np.ndarray = (bits >= self.floor) & (bits > NO_HIT)
        return member

    def aligned(self, tokens: Tokens) -> np.ndarray:
        """The residues in the K columns, uint8 (N, K): index in `alphabet.standard`, `n_letters` for a gap, by hmmalign.

        Residues outside the standard ones count as gaps; an empty sequence is all gaps. Residues between columns are left out.
        """
        return self._in_match_columns(tokens)[:, self.kept]

    def log_likelihood(self, tokens: Tokens) -> np.ndarray:
        """Log-probability of each whole sequence under the emission profile, float64 (N,), in nats: summed over all alignments.

        The profile is a distribution over sequences of every length: it says where a sequence ends, so that the length is
        paid for as well. A residue such as X or B is any of those it stands for; gap symbols are left out. -inf where the
        profile cannot write a sequence.
        """
        return forward(self._emission, self.alphabet, without_gaps(tokens, self.alphabet))

    def emitted(self, n: int, seed: int) -> Tokens:
        """`n` sequences that the emission profile writes: columns are drawn each by itself, so no pair of them covaries."""
        from pyhmmer.easel import Randomness

        random = Randomness((seed * 2_654_435_761 + 12_345) % (2**31 - 1) + 1)  # 0 would seed it by the clock
        ids = np.zeros(256, np.uint8)
        ids[: self.n_letters] = self.alphabet.ids(self.alphabet.standard)
        rows = [ids[np.asarray(self._emission.emit_sequence(random).sequence, np.uint8)] for _ in range(n)]
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]).astype(np.int64)
        return Tokens(np.concatenate([np.zeros(0, np.uint8), *rows]), offsets)

    def save(self, folder: Path) -> None:
        """Write `search.hmm`, `emission.hmm` (HMMER3 text, as other programs read it) and `family.json`."""
        write_text(folder / "search.hmm", self.search)
        write_text(folder / "emission.hmm", self.emission)
        facts = {
            "alphabet": self.alphabet.name,
            "kept": self.kept.tolist(),
            "floor": self.floor,
            "n_train": self.n_train,
            "n_aligned": self.n_aligned,
        }
        write_json(folder / "family.json", facts)

    @classmethod
    def load(cls, folder: Path) -> Family:
        """The family that `save` wrote; RunError where a file is missing or damaged."""
        try:
            facts = read_json(folder / "family.json")
            search, emission = ((folder / name).read_text("utf-8") for name in ("search.hmm", "emission.hmm"))
            alphabet, kept = ALPHABETS[facts["alphabet"]], np.array(facts["kept"], np.int64)
            return cls(alphabet, search, emission, kept, facts["floor"], facts["n_train"], facts["n_aligned"])
        except (FileNotFoundError, KeyError, TypeError) as error:
            raise RunError(f"{folder}: no family is saved here ({error}); fit the run again") from None

    @cached_property
    def _search(self) -> Profile:
        return _parsed(self.search)

    @cached_property
    def _emission(self) -> Profile:
        return _parsed(self.emission)

    def _digital(self, tokens: Tokens) -> tuple[DigitalSequenceBlock, np.ndarray]:
        """Sequences as HMMER reads them, named by their row, and which rows they are; the empty and the longest left out."""
        from pyhmmer.easel import DigitalSequence, DigitalSequenceBlock

        easel = _easel(self.alphabet)
        own = without_gaps(tokens, self.alphabet)
        codes = _easel_codes(self.alphabet, easel)[own.values]
        rows = np.flatnonzero((own.lengths > 0) & (own.lengths <= MOST_SEARCHED))
        sequences = [
            DigitalSequence(easel, name=b"%d" % row, sequence=codes[own.offsets[row] : own.offsets[row + 1]].tobytes())
            for row in rows.tolist()
        ]
        return DigitalSequenceBlock(easel, sequences), rows

    def _in_match_columns(self, tokens: Tokens) -> np.ndarray:
        """Residues in all match columns of the profile for search, uint8 (N, M)."""
        found = np.full((len(tokens), self._search.M), self.n_letters, np.uint8)
        for start in range(0, len(tokens), CHUNK):  # one long insert widens only its own chunk
            part = np.arange(start, min(start + CHUNK, len(tokens)))
            found[part] = self._chunk_in_columns(tokens.take(part))
        return found

    def _chunk_in_columns(self, tokens: Tokens) -> np.ndarray:
        from pyhmmer import hmmalign

        found = np.full((len(tokens), self._search.M), self.n_letters, np.uint8)
        block, rows = self._digital(tokens)
        if not len(rows):
            return found
        msa: Any = hmmalign(self._search, block, trim=False, all_consensus_cols=True)
        text = msa.alignment
        letters = np.frombuffer("".join(text).encode(), np.uint8).reshape(len(rows), -1)
        first = letters[0]  # upper case and "-" in match columns, lower case and "." between them
        letters = letters[:, (first == ord("-")) | ((first >= ord("A")) & (first <= ord("Z")))]
        index = np.full(256, self.n_letters, np.uint8)
        index[np.frombuffer(self.alphabet.standard.encode(), np.uint8)] = np.arange(self.n_letters)
        found[rows] = index[letters]
        return found


def _drawn(
    tokens: Tokens, filled: np.ndarray, weights: np.ndarray | None, rng: np.random.Generator, most: int
) -> np.ndarray:
    """Rows of the alignment, in their order."""
    typical = max(float(np.mean(tokens.lengths[filled])), 1.0)
    most = min(most, max(int(MOST_RESIDUES / typical), LEAST_ALIGNED))
    if len(filled) <= most:
        return filled
    share = None if weights is None else np.asarray(weights, np.float64)[filled]
    if share is not None:
        share = share / share.sum()
        most = min(most, int((share > 0).sum()))
    return np.sort(rng.choice(filled, most, replace=False, p=share))


def _fam_aligned(alphabet: Alphabet, tokens: Tokens) -> tuple[list[bytes], list[str]]:
    """Names and rows of the multiple alignment of the sequences by FAMSA, on one thread: the same at every call."""
    try:
        import pyfamsa
    except ImportError:
        raise MissingExtra("aligning a family", "family") from None
    protein = alphabet.name == "protein"
    # FAMSA knows 20 amino acids, B, Z and X; U of RNA is T to it.
    foreign = str.maketrans({"*": "X", "U": "X", "O": "X", "J": "X"} if protein else {"U": "T"})
    texts = [text.translate(foreign) for text in alphabet.decode(tokens)]
    names = [b"%d" % row for row in range(len(texts))]
    if len(texts) == 1:
        return names, texts
    matrix: Any = None if protein else _nucleic_scores()
    aligner = pyfamsa.Aligner(threads=1, scoring_matrix=matrix)
    aligned = aligner.align(pyfamsa.Sequence(name, text.encode()) for name, text in zip(names, texts, strict=True))
    return [each.id for each in aligned], [each.sequence.decode() for each in aligned]


def _nucleic_scores() -> Any:
    """Scores of bases for FAMSA, which knows amino acids only: on the scale of its own matrix, 5 for equal ones."""
    import pyfamsa
    from scoring_matrices import ScoringMatrix

    letters = pyfamsa.FAMSA_ALPHABET
    scores = np.where(np.eye(len(letters), dtype=bool), 5.0, -2.0)
    unknown = [index for index, letter in enumerate(letters) if letter not in "ACGT"]
    scores[unknown] = scores[:, unknown] = 0.0
    return ScoringMatrix(scores.tolist(), alphabet=letters, name="nucleic")


def _profile(
    alphabet: Alphabet, names: list[bytes], rows: list[str], effective_number: Literal["entropy", "none"]
) -> str:
    """The profile HMM of an alignment as HMMER3 text."""
    from pyhmmer.easel import TextMSA, TextSequence
    from pyhmmer.plan7 import Background, Builder

    easel = _easel(alphabet)
    sequences = [TextSequence(name=name, sequence=row) for name, row in zip(names, rows, strict=True)]
    msa = TextMSA(name=b"family", sequences=sequences).digitize(easel)
    # fragthresh=0: else short sequences count as fragments, their gaps as unknown, and match columns multiply.
    builder = Builder(easel, effective_number=effective_number, fragthresh=0.0, seed=42)
    profile, _, _ = builder.build_msa(msa, Background(easel))
    profile.creation_time = None
    text = io.BytesIO()
    profile.write(text)
    return text.getvalue().decode()


def _parsed(text: str) -> Profile:
    from pyhmmer.plan7 import HMMFile

    with HMMFile(io.BytesIO(text.encode())) as file:
        profile = file.read()
    assert profile is not None
    return profile


def _easel(alphabet: Alphabet) -> Any:
    """HMMER's own alphabet."""
    try:
        from pyhmmer.easel import Alphabet as Easel
    except ImportError:
        raise MissingExtra("a profile of a family", "family") from None
    return {"protein": Easel.amino, "dna": Easel.dna, "rna": Easel.rna}[alphabet.name]()


def _easel_codes(alphabet: Alphabet, easel: Any) -> np.ndarray:
    """HMMER's code of each id, uint8 (V,); what it has no residue for, a stop among them, is any residue."""
    unknown = "X" if alphabet.name == "protein" else "N"
    known = easel.symbols.rstrip("*~").replace("-", " ")
    same = {"dna": ("U", "T"), "rna": ("T", "U")}.get(alphabet.name, ("", ""))
    symbols = [same[1] if symbol == same[0] else symbol for symbol in alphabet.symbols]
    return np.array([0, *(known.index(each if each in known else unknown) for each in symbols)], np.uint8)
