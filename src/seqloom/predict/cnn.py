"""Convolutions over a sequence, pooled by their maximum and mean."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from seqloom.nn.pool import masked_max, masked_mean
from seqloom.predict.base import Dims
from seqloom.predict.net import Net
from seqloom.registry import register


@register("predictor", "cnn")
class CNN(Net):
    """Residual 1-D convolutions over token embeddings, pooled by maximum and mean.

    The zeros beyond both ends are seen by the convolutions, so motifs at an end can be told from motifs inside.
    """

    takes = "tokens"

    width: Annotated[int, Field(ge=1)] = 64
    """Channels D."""
    kernel: Annotated[int, Field(ge=1)] = 5
    """Symbols seen by each convolution; odd."""
    layers: Annotated[int, Field(ge=1)] = 2
    """Convolutions."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of pooled units left out in each training step."""

    def module(self, dims: Dims) -> nn.Module:
        """(B, L) ids to (B, T)."""
        return ConvNet(self, dims)


class ConvNet(nn.Module):
    """Embedding, convolutions, pooling, head."""

    def __init__(self, recipe: CNN, dims: Dims) -> None:
        super().__init__()
        width = recipe.width
        self.embedding = nn.Embedding(dims.vocabulary, width, padding_idx=0)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, recipe.kernel, padding="same") for _ in range(recipe.layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(recipe.layers))
        self.head = nn.Sequential(
            nn.Linear(2 * width + dims.n_covariates, width),
            nn.GELU(),
            nn.Dropout(recipe.dropout),
            nn.Linear(width, dims.n_outputs),
        )

    def forward(self, ids: Tensor, mask: Tensor, covariates: Tensor) -> Tensor:
        """ids (B, L), mask (B, L), covariates (B, C) to (B, T)."""
        kept = mask.unsqueeze(-1)
        x = self.embedding(ids)  # (B, L, D)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            update = convolution((x * kept).transpose(1, 2)).transpose(1, 2)
            x = x + nn.functional.gelu(norm(update))
        pooled = torch.cat([masked_max(x, mask), masked_mean(x, mask), covariates], dim=1)
        return self.head(pooled)
