"""How far samples are from natural sequences, both seen as clouds of points.

Distances are from held-out sequences, since those of training are what a copy is nearest to; the distance of training sequences
from held-out ones is the floor that samples can reach. Covariances are taken of vectors of few dimensions. With the embedder that
needs nothing, neighbours are taken of all words instead: sequences that have little in common with the components of natural
ones, random residues say, would stand in the middle of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seqloom.alphabet import Alphabet
from seqloom.quality.embed import Embedder, Spectrum, drawn, unit_counts, words_in
from seqloom.tokens import Tokens

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Measure = Callable[[np.ndarray], float]
"""A number of the samples `rows` (int (R,)). Draws that repeat rows stand further from any reference and cover less of it: leave
rows out instead, as a jackknife does."""

ROWS_PER_DIM = 5
"""A covariance of fewer rows per dimension says more about the number of rows than about the sequences."""
MOST_REFERENCES = 2000
"""Natural sequences that samples are compared with."""
NEIGHBOURS = 5
"""k of density and coverage, precision and recall (Naeem et al. 2020, arXiv:2002.09797)."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """N sequences as vectors, and as unit vectors of the counts of their words where neighbours are taken of those."""

    vectors: np.ndarray  # float64 (N, D)
    words: csr_array | None = None  # float64 (N, W)

    @property
    def n(self) -> int:
        """N."""
        return len(self.vectors)


@dataclass(frozen=True, eq=False)
class Clouds:
    """Samples, the natural sequences they are compared with, and training sequences, as many as samples, for the floor."""

    samples: Cloud
    reference: Cloud
    resampled: Cloud | None
    """None where nothing is held out: training sequences are then the reference themselves."""

    @classmethod
    def of(
        cls, samples: Tokens, held_out: Tokens, train: Tokens, embedder: Spectrum | Embedder, seed: int = 0
    ) -> Clouds:
        """Sequences as an embedder places them; with a `Spectrum`, neighbours are taken of all words.

        The reference is at most `MOST_REFERENCES` held-out sequences, training ones where none is held out.
        """
        natural = held_out if len(held_out) else train
        sets = [samples, natural.take(drawn(len(natural), MOST_REFERENCES, seed))]
        if len(held_out):
            sets.append(train.take(drawn(len(train), max(len(samples), 2), seed + 1)))
        vectors = [embedder(each) for each in sets]
        words: list[csr_array | None] = [None] * len(sets)
        if isinstance(embedder, Spectrum):
            codes = words_in(sets, embedder.k, embedder.size)
            words = [unit_counts(each, codes, embedder.k, embedder.size) for each in sets]
        clouds = [Cloud(*each) for each in zip(vectors, words, strict=True)]
        return cls(clouds[0], clouds[1], clouds[2] if len(held_out) else None)

    def measures(self) -> dict[str, np.ndarray | Measure]:
        """What is said of the samples, by name; each an array float64 (N,) whose mean is the number, or a function of rows.

        `frechet`, `kernel_mmd` and, of words, `spectrum_mmd`: squared distances. `precision` and `density`: are samples where
        natural sequences are? `coverage` and `recall`: are they everywhere where these are? Samples that lie scattered have a
        large recall for nothing, since their balls hold all there is; their coverage is small.
        """
        return _measures(self.samples, self.reference)

    def floors(self) -> dict[str, float]:
        """The same numbers of training sequences, which no sample need surpass; NaN where nothing is held out."""
        if self.resampled is None:
            return dict.fromkeys(self.measures(), float("nan"))
        n = self.resampled.n
        return {name: value_of(each, n) for name, each in _measures(self.resampled, self.reference).items()}

    def warning(self) -> str:
        """What is to be known of these numbers before they are believed; '' where nothing is."""
        fewest, n_dims = min(self.samples.n, self.reference.n), self.samples.vectors.shape[1]
        needed = ROWS_PER_DIM * n_dims
        if fewest >= needed:
            return ""
        return (
            f"{fewest:,} sequences in {n_dims} dimensions: a Frechet distance needs {needed:,} and is too large with fewer; "
            f"compare it with its floor, or take the kernel distance, which does not depend on the number of sequences"
        )


def value_of(measure: np.ndarray | Measure, n: int) -> float:
    """The number of all `n` samples: the mean of an array, or the function of all rows; NaN of no samples."""
    if not n:
        return float("nan")
    return float(np.mean(measure)) if isinstance(measure, np.ndarray) else measure(np.arange(n))


def frechet(mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray) -> float:
    """The squared Frechet distance of two normal distributions: (D,) and (D, D) of each.

    The trace of (S S')**(1/2) is the sum of the singular values of S**(1/2) S'**(1/2), which are real and not negative at any
    rank: a general matrix root of S S' turns rounding errors into imaginary parts.
    """
    return _frechet(mean, covariance, other_mean, other_covariance, _root(other_covariance))


def frechet_to(samples: np.ndarray, reference: np.ndarray) -> Measure:
    """The squared Frechet distance of samples (N, D) from references (M, D), as a function of rows; NaN of fewer than two."""
    if len(reference) < 2:
        return lambda _: float("nan")
    other_mean, other_covariance = _moments(reference)
    root = _root(other_covariance)

    def of(rows: np.ndarray) -> float:
        if len(rows) < 2:
            return float("nan")
        return _frechet(*_moments(samples[rows]), other_mean, other_covariance, root)

    return of


def kernel_mmd(samples: np.ndarray, reference: np.ndarray) -> Measure:
    """The squared kernel distance with (x y / D + 1)**3 (KID, Binkowski et al. 2018, arXiv:1801.01401), as a function of rows."""
    n_dims = max(samples.shape[1], 1)

    def kernel(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return (left @ right.T / n_dims + 1) ** 3

    return mmd(kernel(samples, samples), kernel(samples, reference), kernel(reference, reference))


def spectrum_mmd(samples: Tokens, reference: Tokens, alphabet: Alphabet, k: int = 3) -> Measure:
    """The squared kernel distance with the spectrum kernel, the cosine of the counts of words (Leslie et al. 2002)."""
    codes = words_in([samples, reference], k, alphabet.size)
    return _cosine_mmd(*(unit_counts(each, codes, k, alphabet.size) for each in (samples, reference)))


def mmd(within: np.ndarray, between: np.ndarray, within_reference: np.ndarray) -> Measure:
    """The unbiased squared maximum mean discrepancy from kernels (N, N), (N, M) and (M, M), as a function of rows.

    Gretton et al. 2012, J Mach Learn Res 13:723, eq. 3; it may be negative. Pairs of a row with itself are left out, those of its
    copies in a draw, too: they would make a draw look more like one point than the samples are. NaN of fewer than two
    distinct rows, and of fewer than two references.
    """
    n, m = between.shape
    to_reference = between.mean(axis=1) if m else np.full(n, np.nan)
    diagonal = np.diag(within)
    own = (within_reference.sum() - np.trace(within_reference)) / (m * (m - 1)) if m > 1 else float("nan")

    def of(rows: np.ndarray) -> float:
        counts = np.bincount(rows, minlength=n).astype(float)
        total, squares = counts.sum(), (counts**2).sum()
        if total**2 <= squares:
            return float("nan")
        pairs = (counts @ (within @ counts) - counts**2 @ diagonal) / (total**2 - squares)
        return float(pairs + own - 2 * (counts @ to_reference) / total)

    return of


def _measures(samples: Cloud, reference: Cloud) -> dict[str, np.ndarray | Measure]:
    found: dict[str, np.ndarray | Measure] = {
        "frechet": frechet_to(samples.vectors, reference.vectors),
        "kernel_mmd": kernel_mmd(samples.vectors, reference.vectors),
    }
    own: np.ndarray | csr_array = samples.vectors
    other: np.ndarray | csr_array = reference.vectors
    if samples.words is not None and reference.words is not None:
        own, other = samples.words, reference.words
        found["spectrum_mmd"] = _cosine_mmd(samples.words, reference.words)
    between = _squared(own, other)  # (N, M)
    near = between <= _radii(_squared(other, other))  # a sample in the ball of a reference
    covers = between <= _radii(_squared(own, own))[:, None]  # a reference in the ball of a sample
    n_near = max(min(NEIGHBOURS, reference.n - 1), 1)
    return found | {
        "precision": near.any(axis=1).astype(float),
        "recall": _reached(covers),
        "density": near.sum(axis=1) / n_near,
        "coverage": _reached(near),
    }


def _cosine_mmd(left: csr_array, right: csr_array) -> Measure:
    return mmd(*((a @ b.T).toarray() for a, b in ((left, left), (left, right), (right, right))))


def _reached(near: np.ndarray) -> Measure:
    """The share of references (M,) that any of the rows reaches, from bool (N, M)."""

    def of(rows: np.ndarray) -> float:
        return float(near[np.unique(rows)].any(axis=0).mean()) if len(rows) and near.shape[1] else float("nan")

    return of


def _radii(squared: np.ndarray) -> np.ndarray:
    """Squared distance to the `NEIGHBOURS`th nearest other point, float64 (N,), from all (N, N); the furthest of fewer."""
    k = min(NEIGHBOURS, len(squared) - 1)
    if k < 1:
        return np.zeros(len(squared))
    return np.partition(squared, k, axis=1)[:, k]  # itself is the nearest


def _squared(left: np.ndarray | csr_array, right: np.ndarray | csr_array) -> np.ndarray:
    """Squared distances, float64 (N, M); 0 where rounding leaves no more of them."""
    a, b = ((each * each).sum(axis=1) for each in (left, right))
    products = left @ right.T
    products = products if isinstance(products, np.ndarray) else products.toarray()
    sums = np.asarray(a)[:, None] + np.asarray(b)
    found = sums - 2 * products
    return np.where(found <= 1e-12 * sums, 0.0, found)


def _frechet(
    mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other_covariance: np.ndarray, root: np.ndarray
) -> float:
    both = np.linalg.svd(_root(covariance) @ root, compute_uv=False).sum()
    apart = float(((mean - other_mean) ** 2).sum())
    return apart + max(float(np.trace(covariance) + np.trace(other_covariance) - 2 * both), 0.0)


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance (D, D)."""
    values, axes = np.linalg.eigh(covariance)
    return np.asarray(axes * np.sqrt(np.maximum(values, 0.0)) @ axes.T)


def _moments(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return points.mean(axis=0), np.atleast_2d(np.cov(points, rowvar=False))
