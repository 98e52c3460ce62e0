"""Flat maps of vectors: which of them are near each other, in two coordinates.

PCA keeps large distances, t-SNE and UMAP keep neighbours. Axes of the latter two have no meaning and no unit.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np

from seqloom.errors import ConfigError, MissingExtra

Method = Literal["pca", "tsne", "umap"]
METHODS: tuple[Method, ...] = get_args(Method)
MOST_PERPLEXITY = 30.0
"""Of t-SNE by default (van der Maaten and Hinton 2008); a quarter of the vectors where that is less."""
MOST_NEIGHBOURS = 15  # the default of UMAP


class Map(NamedTuple):
    """Places of K vectors."""

    method: Method
    places: np.ndarray  # float64 (K, 2)
    axes: tuple[str, str]
    how: str
    """Its settings, in words."""


def flat_map(method: Method, vectors: np.ndarray, perplexity: float | None, seed: int) -> Map:
    """The map of vectors (K, D) by one method. ConfigError for fewer than four vectors, or a perplexity they do not allow.

    `perplexity`: of t-SNE alone. PCA takes no seed; the others give the same map for the same seed on one machine.
    """
    if len(vectors) < 4:
        raise ConfigError(f"a map needs 4 symbols or more, and {len(vectors)} are known to the net")
    if method == "pca":
        return _pca(vectors)
    return _tsne(vectors, perplexity, seed) if method == "tsne" else _umap(vectors, seed)


def allowed_perplexity(n_vectors: int, asked: float | None) -> float:
    """The perplexity of t-SNE: as asked, or the default. ConfigError above a third of the vectors, or below 1.

    With more, every vector is every other's neighbour, and the map is a blob.
    """
    most = n_vectors / 3
    if asked is None:
        return max(1.0, min(MOST_PERPLEXITY, n_vectors / 4))
    if not 1 <= asked <= most:
        raise ConfigError(
            f"--perplexity {asked:g}: it is the number of neighbours that t-SNE keeps, and of {n_vectors} vectors 1 to "
            f"{math.floor(most * 10) / 10:g} (a third of them) make sense; leave it out for "
            f"{allowed_perplexity(n_vectors, None):g}"
        )
    return asked


def principal_components(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two first principal components of vectors (K, D), float64 (K, 2), and their shares of the variance, (2,).

    By singular values of the centred vectors. Of either component, the vector furthest out is on the positive side.
    """
    u, sizes, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    n = min(2, len(sizes))
    places = np.zeros((len(vectors), 2))
    places[:, :n] = u[:, :n] * sizes[:n]
    furthest = places[np.abs(places).argmax(0), [0, 1]]
    shares = np.zeros(2)
    shares[:n] = sizes[:n] ** 2 / max(float((sizes**2).sum()), 1e-300)
    return places * np.where(furthest < 0, -1, 1), shares


def _pca(vectors: np.ndarray) -> Map:
    places, shares = principal_components(vectors)
    names = (f"component 1 ({shares[0]:.0%} of the variance)", f"component 2 ({shares[1]:.0%})")
    return Map("pca", places, names, f"two components hold {shares.sum():.0%} of the variance")


def _tsne(vectors: np.ndarray, perplexity: float | None, seed: int) -> Map:
    from sklearn.manifold import TSNE

    chosen = allowed_perplexity(len(vectors), perplexity)
    start = principal_components(vectors)[0]
    start = start / max(float(start[:, 0].std()), 1e-12) * 1e-4  # as large as the authors' random start
    places = TSNE(perplexity=chosen, init=start.astype(np.float32), random_state=seed, method="exact").fit_transform(
        vectors
    )
    return Map("tsne", np.asarray(places, np.float64), ("", ""), f"perplexity {chosen:g}, started from the PCA map")


def _umap(vectors: np.ndarray, seed: int) -> Map:
    try:
        from umap import UMAP
    except ImportError:
        raise MissingExtra("a UMAP map", "explain") from None
    n = max(2, min(MOST_NEIGHBOURS, len(vectors) // 4))
    start = principal_components(vectors)[0]
    start = start / max(float(np.abs(start).max()), 1e-12) * 10.0  # the span of its own starts
    places = UMAP(n_neighbors=n, init=start, random_state=seed, n_jobs=1).fit_transform(vectors)
    return Map("umap", np.asarray(places, np.float64), ("", ""), f"{n} neighbours, started from the PCA map")
