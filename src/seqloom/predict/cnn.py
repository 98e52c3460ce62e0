"""Convolutions over a sequence, pooled by their maximum and mean."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from seqloom.nn.dropout import Dropout
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
    kernel: Literal[1, 3, 5, 7, 9, 11, 15, 21] = 5
    """Symbols seen by each convolution."""
    layers: Annotated[int, Field(ge=1)] = 2
    """Convolutions."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of pooled units left out in each training step."""

    def module(self, dims: Dims) -> nn.Module:
        """(B, L) ids to (B, T)."""
        return ConvNet(self, dims)


class ConvNet(nn.Module):
    """Embedding, convolutions, pooling, head.

    Two layers need no norm: with one, GB1 three_vs_rest took half as long again and ranked no better. Channels stand before
    positions between the convolutions, as they want them; a copy each way costs as much as the convolution.
    """

    def __init__(self, recipe: CNN, dims: Dims) -> None:
        super().__init__()
        width = recipe.width
        self.embedding = nn.Embedding(dims.vocabulary, width, padding_idx=0)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, recipe.kernel, padding=recipe.kernel // 2) for _ in range(recipe.layers)
        )
        self.head = nn.Sequential(
            nn.Linear(2 * width + dims.n_covariates, width),
            nn.GELU(),
            Dropout(recipe.dropout),
            nn.Linear(width, dims.n_outputs),
        )

    def forward(self, ids: Tensor, mask: Tensor, covariates: Tensor) -> Tensor:
        """ids (B, L), mask (B, L), covariates (B, C) to (B, T)."""
        kept = mask.unsqueeze(1)  # (B, 1, L)
        x = self.embedding(ids).transpose(1, 2).contiguous()  # (B, D, L), zero where padded, and kept so below
        for convolution in self.convolutions:
            x = x + nn.functional.gelu(convolution(x)) * kept
        x = x.transpose(1, 2)  # (B, L, D)
        out: Tensor = self.head(torch.cat([masked_max(x, mask), masked_mean(x, mask), covariates], dim=1))
        return out
