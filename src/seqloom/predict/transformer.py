"""A transformer encoder over the symbols of a sequence."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from seqloom.nn.attention import EncoderLayer
from seqloom.nn.dropout import Dropout
from seqloom.nn.packed import trimmed
from seqloom.nn.pool import masked_max, masked_mean
from seqloom.nn.positions import LearnedPositions, from_both_ends, sinusoidal
from seqloom.predict.base import Dims
from seqloom.predict.net import Net
from seqloom.registry import register


@register("predictor", "transformer")
class Transformer(Net):
    """A transformer encoder (Vaswani et al. 2017, arXiv:1706.03762) over symbols, pooled, with a head of one hidden layer.

    Every sequence stands between a start and an end symbol, and positions are counted from both ends of each sequence column, so
    that a rule about the last residue holds for all lengths.
    """

    takes = "tokens"

    width: Annotated[int, Field(ge=4)] = 64
    """Channels D, a multiple of 4 and of the heads."""
    heads: Annotated[int, Field(ge=1)] = 4
    """Attention heads H of each layer."""
    layers: Annotated[int, Field(ge=1)] = 2
    """Layers, each of attention and a feed-forward net."""
    feed_forward: Annotated[int, Field(ge=1)] = 128
    """Units of the feed-forward net of each layer."""
    positions: Literal["sinusoidal", "learned", "rotary"] = "learned"
    """How a symbol knows its place. `learned`: a vector for every distance from each end, shared beyond the longest training row;
    `sinusoidal`: sines and cosines of the distances from both ends; `rotary`: queries and keys turned by their place, so that
    attention sees differences of places only (Su et al. 2021, arXiv:2104.09864), the ends by their symbols."""
    norm: Literal["pre", "post"] = "pre"
    """Layer norm before each branch, or after each sum. `post` is the paper's, and trains well only at a low learning rate."""
    pool: Literal["mean", "max", "cls"] = "mean"
    """What the head reads: mean or maximum over the symbols, or what the start symbol has gathered (the class token)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of units left out in each training step: of embeddings, attention outputs, and feed-forward units and outputs."""

    @model_validator(mode="after")
    def _divisible(self) -> Transformer:
        if self.width % 4 or self.width % self.heads:
            raise ValueError(f"width = {self.width} is not a multiple of 4 and of heads = {self.heads}")
        if self.positions == "rotary" and self.width // self.heads % 2:
            raise ValueError(
                f"positions = 'rotary' turns pairs of channels, and width / heads = {self.width // self.heads} is odd"
            )
        return self

    def module(self, dims: Dims) -> nn.Module:
        """(B, L) ids to (B, T)."""
        return EncoderNet(self, dims)


class EncoderNet(nn.Module):
    """Embedding, encoder layers, pooling, head."""

    def __init__(self, recipe: Transformer, dims: Dims) -> None:
        super().__init__()
        self.recipe = recipe
        self.start, self.end = dims.vocabulary, dims.vocabulary + 1
        self.separator = dims.vocabulary - 1 if len(dims.symbols) > 1 else None
        width = recipe.width
        self.embedding = nn.Embedding(dims.vocabulary + 2, width, padding_idx=0)
        self.positions = LearnedPositions(width, dims.longest) if recipe.positions == "learned" else None
        self.dropout = Dropout(recipe.dropout)
        rotary = recipe.positions == "rotary"
        self.layers = nn.ModuleList(
            EncoderLayer(width, recipe.heads, recipe.feed_forward, recipe.dropout, recipe.norm, rotary=rotary)
            for _ in range(recipe.layers)
        )
        self.norm = nn.LayerNorm(width) if recipe.norm == "pre" else nn.Identity()
        self.head = nn.Sequential(
            nn.Linear(width + dims.n_covariates, width),
            nn.GELU(),
            Dropout(recipe.dropout),
            nn.Linear(width, dims.n_outputs),
        )

    def forward(self, ids: Tensor, mask: Tensor, covariates: Tensor) -> Tensor:
        """ids (B, L), mask (B, L), covariates (B, C) to (B, T)."""
        ids, mask = trimmed(ids, mask)
        x = self.embedding(self.framed(ids, mask))  # (B, L + 2, D)
        if self.recipe.positions != "rotary":
            x = x + self.places(ids, mask)
        x = self.dropout(x)
        seen = nn.functional.pad(mask, (2, 0), value=True)  # start and end symbols are kept
        for layer in self.layers:
            x = layer(x, seen)
        out: Tensor = self.head(torch.cat([self.pooled(self.norm(x), mask), covariates], dim=1))
        return out

    def framed(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids between a start and an end symbol, (B, L + 2)."""
        shifted = nn.functional.pad(ids, (1, 1))
        index = torch.arange(shifted.shape[1], device=ids.device)
        shifted = torch.where(index == mask.sum(1, keepdim=True) + 1, self.end, shifted)
        return torch.where(index == 0, self.start, shifted)

    def places(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Positions of framed ids, (B, L + 2, D); the frame has distances 0."""
        start, end = (nn.functional.pad(each, (1, 1)) for each in from_both_ends(ids, mask, self.separator))
        if self.positions is not None:
            placed: Tensor = self.positions(start, end)
            return placed
        return sinusoidal(start, end, self.recipe.width)

    def pooled(self, x: Tensor, mask: Tensor) -> Tensor:
        """What the head reads of x (B, L + 2, D), (B, D)."""
        if self.recipe.pool == "cls":
            return x[:, 0]
        pool = masked_mean if self.recipe.pool == "mean" else masked_max
        return pool(x[:, 1:-1], mask)
