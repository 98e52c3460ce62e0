"""Convolutions over a sequence, pooled by their maximum and mean."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from seqloom.nn.convolution import convolved
from seqloom.nn.dropout import Dropout
from seqloom.nn.norm import MaskedBatchNorm
from seqloom.nn.packed import trimmed
from seqloom.nn.pool import masked_max, masked_mean
from seqloom.nn.positions import Choice, chosen, from_both_ends
from seqloom.predict.base import Dims
from seqloom.predict.net import Net
from seqloom.registry import register


@register("predictor", "cnn")
class CNN(Net):
    """Residual 1-D convolutions over token embeddings, pooled by maximum and mean.

    The zeros beyond both ends are seen by the convolutions, so motifs at an end can be told from motifs inside; in short
    sequences every symbol knows its place (`positions`), and rules about single sites can be learnt.
    """

    takes = "tokens"

    width: Annotated[int, Field(ge=1)] = 64
    """Channels D of the embeddings, and of the convolutions unless `filters` says otherwise."""
    kernel: Literal[1, 3, 5, 7, 9, 11, 15, 21] = 5
    """Symbols seen by each convolution."""
    layers: Annotated[int, Field(ge=1)] = 2
    """Convolutions, unless `filters` says otherwise."""
    filters: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Channels of each convolution, such as 128,256,256; where empty, `width` for each of `layers`. A convolution that changes
    their number has no shortcut."""
    positions: Choice = "auto"
    """Whether a symbol knows its distances from both ends of its column, by a learnt vector for each. `auto`: where the longest
    training row has at most 50 symbols; in long sequences a motif then counts alike wherever it stands."""
    norm: Literal["none", "batch"] = "none"
    """Batch norm after each convolution, blind to padding."""
    norm_eps: Annotated[float, Field(gt=0)] = 5e-3
    """Added to the variances of batch norm. Larger than the usual 1e-5, so that a channel that hardly varies is not blown up."""
    norm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.2
    """How fast the running means of batch norm follow, twice the usual: they are what valid rows see, also after few steps."""
    pool: Literal["max-mean", "max", "mean"] = "max-mean"
    """What the head reads of each channel."""
    head: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Units of each hidden layer of the head; one of `width` units where empty."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the units of each hidden layer of the head left out in each training step."""

    def module(self, dims: Dims) -> nn.Module:
        """(B, L) ids to (B, T)."""
        return ConvNet(self, dims)


class ConvNet(nn.Module):
    """Embedding, convolutions, pooling, head.

    Two layers need no norm: with one, GB1 three_vs_rest took half as long again and ranked no better.
    """

    def __init__(self, recipe: CNN, dims: Dims) -> None:
        super().__init__()
        width = recipe.width
        filters = (width, *(recipe.filters or (width,) * recipe.layers))
        self.separator = dims.vocabulary - 1 if len(dims.symbols) > 1 else None
        self.pool = recipe.pool
        self.embedding = nn.Embedding(dims.vocabulary, width)
        self.positions = chosen(recipe.positions, width, dims.longest)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, recipe.kernel, padding=recipe.kernel // 2) for before, after in pairwise(filters)
        )
        self.norms = nn.ModuleList(
            MaskedBatchNorm(after, recipe.norm_eps, recipe.norm_momentum)
            for after in filters[1:]
            if recipe.norm == "batch"
        )
        pooled = filters[-1] * (2 if recipe.pool == "max-mean" else 1)
        hidden = (pooled + dims.n_covariates, *(recipe.head or (width,)))
        layers: list[nn.Module] = []
        for before, after in pairwise(hidden):
            layers += [nn.Linear(before, after), nn.GELU(), Dropout(recipe.dropout)]
        self.head = nn.Sequential(*layers, nn.Linear(hidden[-1], dims.n_outputs))

    def forward(self, ids: Tensor, mask: Tensor, covariates: Tensor) -> Tensor:
        """ids (B, L), mask (B, L), covariates (B, C) to (B, T)."""
        ids, mask = trimmed(ids, mask)
        kept = mask.unsqueeze(-1)  # (B, L, 1)
        x = self.embedding(ids)  # (B, L, D)
        if self.positions is not None:
            x = x + self.positions(*from_both_ends(ids, mask, self.separator))
        x = x * kept  # zero where padded, and kept so below
        for number, convolution in enumerate(self.convolutions):
            seen = convolved(x, convolution)
            active = (
                functional.gelu(self.norms[number](seen, mask)) if self.norms else functional.gelu(seen) * kept
            )  # both are zero where padded
            x = x + active if active.shape == x.shape else active
        pools = {"max-mean": (masked_max, masked_mean), "max": (masked_max,), "mean": (masked_mean,)}[self.pool]
        out: Tensor = self.head(torch.cat([*(pool(x, mask) for pool in pools), covariates], dim=1))
        return out
