"""Light attention: convolutions that say what stands where, and how much it matters."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from seqloom.nn.dropout import Dropout
from seqloom.nn.norm import MaskedBatchNorm
from seqloom.nn.pool import masked_max
from seqloom.nn.positions import Choice, chosen, from_both_ends
from seqloom.predict.base import Dims
from seqloom.predict.net import Net
from seqloom.registry import register


@register("predictor", "light-attention")
class LightAttention(Net):
    """One convolution gives values, another their weights at each position; the weighted sum and the maximum go to a small head.

    Light attention (Stärk et al. 2021, Bioinformatics Advances 1:vbab035). The paper reads per-residue embeddings of a protein
    language model; here the embeddings of symbols and of their places are learnt with the rest. Cost grows linearly with length.
    """

    takes = "tokens"

    width: Annotated[int, Field(ge=1)] = 64
    """Channels D of embeddings, values and weights."""
    kernel: Literal[1, 3, 5, 7, 9, 11, 15, 21] = 9
    """Symbols seen by both convolutions."""
    positions: Choice = "auto"
    """Whether a symbol knows its distances from both ends of its column, by a learnt vector for each. `auto`: where the longest
    training row has at most 50 symbols; in long sequences a motif then counts alike wherever it stands."""
    hidden: Annotated[int, Field(ge=1)] = 32
    """Units of the hidden layer of the head."""
    value_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of values left out in each training step."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of hidden units left out in each training step."""

    def module(self, dims: Dims) -> nn.Module:
        """(B, L) ids to (B, T)."""
        return LightAttentionNet(self, dims)


class LightAttentionNet(nn.Module):
    """Embedding, two convolutions, weighted sum and maximum, head.

    Padding gets no weight and is no maximum; in the authors' code the maximum saw it.
    """

    def __init__(self, recipe: LightAttention, dims: Dims) -> None:
        super().__init__()
        width, kernel = recipe.width, recipe.kernel
        self.separator = dims.vocabulary - 1 if len(dims.symbols) > 1 else None
        self.embedding = nn.Embedding(dims.vocabulary, width)
        self.positions = chosen(recipe.positions, width, dims.longest)
        self.values = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.scores = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.value_dropout = Dropout(recipe.value_dropout)
        self.hidden = nn.Linear(2 * width + dims.n_covariates, recipe.hidden)
        self.dropout = Dropout(recipe.dropout)
        self.norm = MaskedBatchNorm(recipe.hidden)
        self.out = nn.Linear(recipe.hidden, dims.n_outputs)

    def forward(self, ids: Tensor, mask: Tensor, covariates: Tensor) -> Tensor:
        """ids (B, L), mask (B, L), covariates (B, C) to (B, T)."""
        kept = mask.unsqueeze(1)  # (B, 1, L)
        x = self.embedding(ids)
        if self.positions is not None:
            x = x + self.positions(*from_both_ends(ids, mask, self.separator))
        x = (x * mask.unsqueeze(-1)).transpose(1, 2).contiguous()  # (B, D, L), zero where padded
        values = self.value_dropout(self.values(x).transpose(1, 2)).transpose(1, 2) * kept
        scores = self.scores(x)
        weights = scores.masked_fill(~kept, torch.finfo(scores.dtype).min).softmax(2)  # a row of no symbols has no NaN
        pooled = [(values * weights).sum(2), masked_max(values.transpose(1, 2), mask), covariates]
        hidden = self.dropout(self.hidden(torch.cat(pooled, dim=1))).relu()
        every = torch.ones_like(hidden[:, :1], dtype=torch.bool)  # (B, 1)
        out: Tensor = self.out(self.norm(hidden.unsqueeze(1), every).squeeze(1))
        return out
