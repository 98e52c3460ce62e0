"""Two sequences, each read by a tower of its own, and what one says of the other.

Decides how the two columns of a joint stream are told apart again, how each is read, and how both are joined.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from seqloom.nn.attention import attention
from seqloom.nn.dropout import Dropout
from seqloom.nn.pool import masked_max, masked_mean
from seqloom.predict.base import Dims
from seqloom.predict.net import Net
from seqloom.predict.sigmoid import laid_out
from seqloom.registry import register

Reading = Literal["auto", "positions", "cnn"]
LONGEST_BY_POSITION = 30
"""Longest training row of unequal lengths that is read position by position unless asked otherwise, as for features."""
LONGEST_EQUAL = 100
"""The same where all training rows are equally long."""
LAYERS = 2
"""Convolutions of a tower, as in the predictor `cnn`."""


@register("predictor", "two-towers")
class TwoTowers(Net):
    """Two sequence columns, such as a peptide and the groove that binds it, each read by a tower of its own, then joined.

    A tower reads position by position, which is right where a position means the same in every row, or by convolutions. What the
    towers say meets in the first layer of the head, by sum (`concat`) or by product; with `cross-attention` the symbols of each
    column look at those of the other before.
    """

    takes = "tokens"
    n_columns: ClassVar[int] = 2

    first: Reading = "auto"
    """How the first column is read: `positions`, `cnn`, or `auto`, which is by position where training rows are equally long and
    have at most 100 symbols, or where none has more than 30."""
    second: Reading = "auto"
    """How the second column is read."""
    join: Literal["concat", "product", "cross-attention"] = "concat"
    """How the columns meet."""
    width: Annotated[int, Field(ge=1)] = 32
    """Numbers by which a symbol is known, and channels of the convolutions."""
    kernel: Literal[1, 3, 5, 7, 9, 11, 15, 21] = 5
    """Symbols seen by each convolution."""
    heads: Annotated[int, Field(ge=1)] = 4
    """Of the cross-attention; they divide `width`."""
    head: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (256, 64)
    """Units of each hidden layer after the towers; the towers meet in the first."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of the units of each hidden layer of the head left out in each training step."""

    @model_validator(mode="after")
    def _divided(self) -> TwoTowers:
        """Heads share the width."""
        if self.join == "cross-attention" and self.width % self.heads:
            raise ValueError(f"heads = {self.heads} do not divide width = {self.width}; choose another of them")
        return self

    def module(self, dims: Dims) -> nn.Module:
        """(B, L) ids to (B, T)."""
        return TwoTowerNet(self, dims)


class TwoTowerNet(nn.Module):
    """Two towers, their join, and a head."""

    def __init__(self, recipe: TwoTowers, dims: Dims) -> None:
        super().__init__()
        assert len(dims.symbols) == len(dims.lengths) == 2
        self.separator, self.shift = dims.vocabulary - 1, dims.symbols[0]
        self.multiplies = recipe.join == "product"
        towers = [
            (Positions if _by_position(reading, lengths) else Convolutions)(recipe, symbols, lengths)
            for reading, symbols, lengths in zip((recipe.first, recipe.second), dims.symbols, dims.lengths, strict=True)
        ]
        self.first, self.second = towers
        n_looks = 2 if recipe.join == "cross-attention" else 0
        self.looks = nn.ModuleList(CrossAttention(recipe.width, recipe.heads) for _ in range(n_looks))
        self.meet = nn.ModuleList(nn.Linear(tower.size, recipe.head[0]) for tower in towers)
        self.covariates = nn.Linear(dims.n_covariates, recipe.head[0], bias=False) if dims.n_covariates else None
        layers: list[nn.Module] = [nn.LayerNorm(recipe.head[0]), nn.GELU(), Dropout(recipe.dropout)]
        for before, after in pairwise(recipe.head):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.GELU(), Dropout(recipe.dropout)]
        self.head = nn.Sequential(*layers, nn.Linear(recipe.head[-1], dims.n_outputs))

    def forward(self, ids: Tensor, mask: Tensor, covariates: Tensor) -> Tensor:
        """ids (B, L), mask (B, L), covariates (B, C) to (B, T)."""
        one, two = columns_of(ids, mask, self.separator, self.shift)
        x, x_kept = self.first(*one)
        y, y_kept = self.second(*two)
        if self.looks:
            x, y = self.looks[0](x, y, y_kept), self.looks[1](y, x, x_kept)
        first, second = self.meet[0](self.first.summary(x, x_kept)), self.meet[1](self.second.summary(y, y_kept))
        met = first * second if self.multiplies else first + second
        if self.covariates is not None:
            met = met + self.covariates(covariates)
        out: Tensor = self.head(met)
        return out


class Positions(nn.Module):
    """Symbols laid out by position, from the left, and from the right as well where lengths differ.

    An empty position is zero. A row longer than any training row is cut from the far end of each layout. Symbols begin as short
    vectors, so that a step of Adam changes what a position says by as much as if symbols were one-hot; with those of torch, of
    norm sqrt(D), the net of examples/mhc/pan.toml had a mean AUROC per allele of .924 rather than .928.
    """

    def __init__(self, recipe: TwoTowers, symbols: int, lengths: tuple[int, int]) -> None:
        super().__init__()
        shortest, longest = lengths
        self.layouts = ("left",) if shortest == longest else ("left", "right")
        self.longest = max(longest, 1)
        self.size = len(self.layouts) * self.longest * recipe.width
        self.embedding = nn.Embedding(symbols + 1, recipe.width, padding_idx=0)
        with torch.no_grad():
            self.embedding.weight.mul_(1 / recipe.width)
        self.places: nn.Parameter | None = None
        # Attention comes before the layer in which each position has weights of its own.
        if recipe.join == "cross-attention":
            self.places = nn.Parameter(torch.randn(self.size // recipe.width, recipe.width) / recipe.width)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """ids (B, L) and mask (B, L) to (B, P, D), zero where empty, and which of its P positions are not, (B, P)."""
        laid = torch.cat([laid_out(ids, mask, layout, self.longest) for layout in self.layouts], dim=1)
        x, kept = self.embedding(laid), laid > 0
        return (x if self.places is None else (x + self.places) * kept.unsqueeze(-1)), kept

    def summary(self, x: Tensor, kept: Tensor) -> Tensor:
        """x (B, P, D) to (B, P D), zero where empty."""
        return (x * kept.unsqueeze(-1)).flatten(1)


class Convolutions(nn.Module):
    """Residual convolutions over symbols, pooled by their maximum and mean."""

    def __init__(self, recipe: TwoTowers, symbols: int, lengths: tuple[int, int]) -> None:
        super().__init__()
        self.longest = max(lengths[1], 1)
        self.size = 2 * recipe.width
        self.embedding = nn.Embedding(symbols + 1, recipe.width, padding_idx=0)
        self.layers = nn.ModuleList(
            nn.Conv1d(recipe.width, recipe.width, recipe.kernel, padding=recipe.kernel // 2) for _ in range(LAYERS)
        )

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """ids (B, L) and mask (B, L) to (B, P, D), zero where padded, and which of its P symbols are not, (B, P).

        P is L, but in training the longest training row: the stream holds the other column too.
        """
        if self.training and ids.shape[1] > self.longest:
            ids, mask = ids[:, : self.longest], mask[:, : self.longest]
        x = self.embedding(ids).transpose(1, 2)
        for layer in self.layers:
            x = x + nn.functional.gelu(layer(x)) * mask.unsqueeze(1)
        return x.transpose(1, 2), mask

    def summary(self, x: Tensor, kept: Tensor) -> Tensor:
        """x (B, P, D) to (B, 2 D)."""
        return torch.cat([masked_max(x, kept), masked_mean(x, kept)], dim=1)


class CrossAttention(nn.Module):
    """What the symbols of one column find in the other, added to them (Vaswani et al. 2017, arXiv:1706.03762, section 3.2).

    Both are normed before (Xiong et al. 2020, arXiv:2002.04745).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, y: Tensor, kept: Tensor) -> Tensor:
        """x (B, P, D) and y (B, Q, D), of which `kept` (B, Q) are symbols, to (B, P, D)."""
        query = _split(self.query(self.norms[0](x)), self.heads)
        key, value = (_split(each, self.heads) for each in self.key_value(self.norms[1](y)).chunk(2, dim=-1))
        some = kept | ~kept.any(1, keepdim=True)  # attention to nothing is no number
        found = attention(query, key, value, some).transpose(1, 2).flatten(2)
        out: Tensor = x + self.out(found)
        return out


def columns_of(ids: Tensor, mask: Tensor, separator: int, shift: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Ids from 1 on and mask, (B, L) each, of both columns of a joint stream (B, L).

    `shift`: symbols of the first column, above which those of the second begin. Rows that are masked as a whole are empty twice.
    """
    index = torch.arange(ids.shape[1], device=ids.device)
    length = mask.sum(1, keepdim=True)
    n_first = torch.where((ids == separator) & mask, index, length).amin(1, keepdim=True)  # (B, 1)
    kept = index < n_first, index < length - n_first - 1
    source = (index + n_first + 1).clamp(max=ids.shape[1] - 1)
    return (ids * kept[0], kept[0]), ((ids.gather(1, source) - shift) * kept[1], kept[1])


def _by_position(reading: Reading, lengths: tuple[int, int]) -> bool:
    shortest, longest = lengths
    few = longest <= LONGEST_BY_POSITION or (shortest == longest <= LONGEST_EQUAL)
    return reading == "positions" or (reading == "auto" and few)


def _split(x: Tensor, heads: int) -> Tensor:
    """(B, L, D) to (B, H, L, D / H)."""
    return x.view(*x.shape[:-1], heads, x.shape[-1] // heads).transpose(1, 2)
