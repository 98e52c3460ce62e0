"""A linear model of short words, as a net: it learns from tables of any size, and knows of order only what a word holds."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from seqloom.predict.base import Dims
from seqloom.predict.net import Net
from seqloom.registry import register

SCALE = 100.0
"""What a weight counts: a word that few rows hold is moved by few steps, and has to be moved far by each."""
FACTOR = 1_000_003
"""Odd, so that words of two symbols stand in different buckets as far as there are enough."""


@register("predictor", "ngrams")
class NGrams(Net):
    """A sum of what each word of up to n symbols says, over the root of how many there are.

    Words are hashed into buckets and have one weight for each output, as in fastText (Joulin et al. 2016, arXiv:1607.01759). The
    naive yardstick of tables too large for the others.
    """

    takes = "tokens"
    baseline = True

    n: Annotated[int, Field(ge=1, le=8)] = 5
    """Symbols of the longest words; all shorter words count too."""
    buckets: Annotated[int, Field(ge=1)] = 2**16
    """Weights per output that words of each length share; words that meet in one are not told apart."""

    def module(self, dims: Dims) -> nn.Module:
        """(B, L) ids to (B, T)."""
        return WordSum(self, dims)


class WordSum(nn.Module):
    """Weights of hashed words, added up."""

    def __init__(self, recipe: NGrams, dims: Dims) -> None:
        super().__init__()
        self.n, self.buckets = recipe.n, recipe.buckets
        self.words = nn.Embedding(recipe.n * recipe.buckets, dims.n_outputs)
        nn.init.zeros_(self.words.weight)
        self.bias = nn.Parameter(torch.zeros(dims.n_outputs))
        self.covariates = nn.Linear(dims.n_covariates, dims.n_outputs, bias=False) if dims.n_covariates else None

    def forward(self, ids: Tensor, mask: Tensor, covariates: Tensor) -> Tensor:
        """(B, T) from ids (B, L), mask (B, L), covariates (B, C)."""
        total = self.bias if self.covariates is None else self.bias + self.covariates(covariates)
        known = mask.to(self.bias.dtype)
        word = torch.zeros_like(ids)
        for k in range(min(self.n, ids.shape[1])):
            length = ids.shape[1] - k
            word = (word[:, :length] * FACTOR + ids[:, k:]) & (2**40 - 1)
            whole = known[:, k:, None]  # a word is there if its last symbol is: rows are padded on the right
            said = self.words(word * FACTOR % self.buckets + k * self.buckets)
            total = total + SCALE * (said * whole).sum(1) / whole.sum(1).clamp(min=1).sqrt()
        return total
