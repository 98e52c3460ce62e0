"""Where sequences are placed before clouds of them are compared, and how that is drawn in a plane.

Any embedder will do: the one that needs nothing is the spectrum of words of three symbols, on the principal components of the
training sequences; others are a function or a file. How far clouds are from each other is said in `quality.clouds`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zipfile import BadZipFile

import numpy as np

from seqloom.alphabet import Alphabet
from seqloom.encode.kmer import kmers
from seqloom.errors import DataError
from seqloom.tokens import Tokens

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Embedder = Callable[[Tokens], np.ndarray]
"""Gives float64 (N, D) of N sequences."""

K = 3
"""Symbols of a word: with two, sequences that a profile writes lie twice as near to natural ones."""
DIMS = 32
"""Components kept at most: 160 samples are enough for the covariance of as many."""
TRAIN_PER_DIM = 50
"""Training sequences for each component: of fewer, components show what is particular to these sequences, which then seem to
spread more than any others (559 acylphosphatases on 64 components: Frechet distance 17 from held-out ones, mutated ones 9)."""
MOST_FITTED = 5000
"""Training sequences from which components are learnt."""
POWER, OVERSAMPLED = 6, 16
"""Rounds and spare columns of the subspace iteration (Halko et al. 2011, doi:10.1137/090771806)."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Words of `k` symbols, as unit vectors of their counts, on D principal components; W words are known."""

    codes: np.ndarray  # int64 (W,), ascending
    components: np.ndarray  # float64 (W, D)
    centre: np.ndarray  # float64 (D,): the training mean on the components
    k: int
    size: int
    """V of the alphabet, the base of the codes."""

    @classmethod
    def of(cls, train: Tokens, alphabet: Alphabet, k: int = K, dims: int = DIMS, seed: int = 0) -> Spectrum:
        """The components of at most `MOST_FITTED` training sequences, fewer than `dims` where these are few.

        Coordinates have one common scale: the mean square of all of them is 1 over training sequences.
        """
        own = train.take(drawn(len(train), MOST_FITTED, seed))
        codes = words_in([own], k, alphabet.size)
        words = unit_counts(own, codes, k, alphabet.size)
        wanted = min(dims, max(len(train) // TRAIN_PER_DIM, 1), *(max(each, 1) for each in words.shape))
        components = _principal(words, wanted, seed)
        placed = words @ components
        centre = placed.mean(axis=0) if len(own) else np.zeros(components.shape[1])
        scale = float(np.sqrt(np.mean((placed - centre) ** 2))) if len(own) else 0.0
        scale = scale if scale > 1e-9 else 1.0  # all alike
        return cls(codes, components / scale, centre / scale, k, alphabet.size)

    def __call__(self, tokens: Tokens) -> np.ndarray:
        """Coordinates of N sequences, float64 (N, D). Words that training lacks count in the length of the vector only."""
        words = unit_counts(tokens, self.codes, self.k, self.size)
        return np.asarray(words @ self.components - self.centre)


def external(embed: Callable[[Sequence[str]], np.ndarray], alphabet: Alphabet) -> Embedder:
    """The user's function of strings as an embedder; DataError where it does not give (N, D) finite numbers."""
    return lambda tokens: _checked(embed(alphabet.decode(tokens)), len(tokens), getattr(embed, "__name__", "embedder"))


def vectors(path: Path, n_rows: int, name: str = "") -> np.ndarray:
    """Vectors of N sequences in their order, float64 (N, D), from a `.npy` file or from the array `name` of a `.npz` file.

    DataError where the file is neither, lacks the array, or has not (`n_rows`, D) finite numbers.
    """
    try:
        stored = np.load(path, allow_pickle=False)
    except (OSError, ValueError, BadZipFile) as error:
        raise DataError(f"{path}: no file of vectors that NumPy reads without pickle, .npy or .npz ({error})") from None
    if isinstance(stored, np.ndarray):
        return _checked(stored, n_rows, str(path))
    with stored:
        if name not in stored.files:
            raise DataError(f"{path}: no array {name!r}; it has {', '.join(stored.files) or 'none'}")
        return _checked(stored[name], n_rows, f"{path}, array {name!r}")


def places(
    clouds: Mapping[str, np.ndarray], method: Literal["pca", "tsne"] = "pca", seed: int = 0
) -> dict[str, np.ndarray]:
    """Coordinates in the plane of every set of vectors (N, D), float64 (N, 2) by name.

    Components of `pca` are those of the first set, on which the others are laid; `tsne` places all together.
    """
    stacked = np.concatenate(list(clouds.values()))
    if method == "tsne" and len(stacked) > 3:
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(stacked) - 1) / 3)
        placed = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(stacked).astype(float)
    else:
        first = next(iter(clouds.values()))
        centre = first.mean(axis=0) if len(first) else np.zeros(stacked.shape[1])
        axes = np.linalg.svd(first - centre, full_matrices=False)[2][:2]
        placed = np.zeros((len(stacked), 2))
        placed[:, : len(axes)] = (stacked - centre) @ _signed(axes.T)
    ends = np.cumsum([len(each) for each in clouds.values()])
    return dict(zip(clouds, np.split(placed, ends[:-1]), strict=True))


def words_in(sets: Sequence[Tokens], k: int, size: int) -> np.ndarray:
    """Codes of all words of `k` symbols in any of the sets, int64 (W,), ascending."""
    return np.unique(np.concatenate([kmers(each, k, size)[1] for each in sets]))


def unit_counts(tokens: Tokens, codes: np.ndarray, k: int, size: int) -> csr_array:
    """Counts of known words, divided by the length of the vector of all, float64 (N, W); 0 of sequences without a word."""
    from scipy.sparse import csr_array

    rows, own = kmers(tokens, k, size)
    pairs, counts = np.unique(np.stack([rows, own]), axis=1, return_counts=True)
    row, code = pairs
    norm = np.sqrt(np.bincount(row, counts.astype(float) ** 2, minlength=len(tokens)))
    place = np.minimum(np.searchsorted(codes, code), max(len(codes) - 1, 0))
    known = codes[place] == code if len(codes) else np.zeros(len(code), bool)
    shares = counts[known] / norm[row[known]]
    return csr_array((shares, (row[known], place[known])), shape=(len(tokens), len(codes)))


def drawn(n: int, most: int, seed: int) -> np.ndarray:
    """All of 0..n-1, or `most` of them at random, in ascending order, int64."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng([seed, 0xED]).choice(n, most, replace=False))


def _principal(words: csr_array, n_components: int, seed: int) -> np.ndarray:
    """Principal axes of the rows of a sparse matrix (N, W), float64 (W, D), by subspace iteration: the rows stay sparse."""
    n_rows, n_words = words.shape
    if not n_rows or not n_words:
        return np.zeros((n_words, n_components))
    mean = np.asarray(words.mean(axis=0)).ravel()
    width = min(n_components + OVERSAMPLED, *words.shape)
    space = np.random.default_rng([seed, 0xEC]).standard_normal((n_words, width))
    for _ in range(POWER):
        forward = words @ space - mean @ space
        space = np.linalg.qr(words.T @ forward - np.outer(mean, forward.sum(axis=0)))[0]
    forward = words @ space - mean @ space
    axes = np.linalg.svd(forward, full_matrices=False)[2]
    return _signed(space @ axes[:n_components].T)


def _signed(axes: np.ndarray) -> np.ndarray:
    """Axes (W, D) whose largest component is positive: their sign is otherwise an accident of the library."""
    if not axes.size:
        return axes
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.asarray(axes * np.where(largest < 0, -1.0, 1.0))


def _checked(given: np.ndarray, n_rows: int, where: str) -> np.ndarray:
    found = np.asarray(given)
    if found.ndim != 2 or len(found) != n_rows or found.dtype.kind not in "fiu":
        raise DataError(
            f"{where}: got {found.dtype} {found.shape}, and {n_rows:,} sequences need numbers ({n_rows}, D)"
        )
    if odd := int((~np.isfinite(found)).any(axis=1).sum()):
        raise DataError(f"{where}: {odd:,} of {n_rows:,} vectors hold numbers that are not finite")
    return found.astype(float)
