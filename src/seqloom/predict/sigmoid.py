"""An embedding and one layer: a sum of what each position says, seen through one sigmoid."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from seqloom.nn.dropout import Dropout
from seqloom.nn.ends import Ends
from seqloom.predict.base import Dims
from seqloom.predict.net import Net
from seqloom.registry import register

LAYOUTS = {
    "left": ("left",),
    "right": ("right",),
    "centre": ("centre",),
    "both": ("left", "right"),
    "all": ("left", "centre", "right"),
}


@register("predictor", "sigmoid")
class Sigmoid(Net):
    """Embeddings of symbols laid out by position, and one layer with weights for every position.

    The output is a sigmoid of one sum, whose two ends are learnt where the target is a value: effects of positions add up until
    they saturate. With `hidden=[10]` a layer of sigmoid units stands between, as in the networks of NetMHC and of MHCflurry 2016.
    """

    takes = "tokens"

    width: Annotated[int, Field(ge=1)] = 32
    """Numbers by which a symbol is known at each position."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Width of each layer of sigmoid units before the output; none by default."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the numbers that each layer reads left out in each training step."""
    align: Literal["left", "right", "both", "centre", "all"] = "both"
    """From which end positions are counted, as for the encoder `one-hot`. A row longer than any training row is cut from the far
    end of each layout, from both ends where it is centred."""

    def module(self, dims: Dims) -> nn.Module:
        """(B, L) ids to (B, T)."""
        return PositionalNet(self, dims)


class PositionalNet(nn.Module):
    """Layout, embedding, layers.

    An empty position is zero rather than learnt: the length of a row is then told by its symbols at both ends alone, and a length
    that training rows lack adds nothing unknown.
    """

    def __init__(self, recipe: Sigmoid, dims: Dims) -> None:
        super().__init__()
        self.layouts, self.longest = LAYOUTS[recipe.align], max(dims.longest, 1)
        self.embedding = nn.Embedding(dims.vocabulary, recipe.width)
        layers: list[nn.Module] = []
        width = len(self.layouts) * self.longest * recipe.width + dims.n_covariates
        for units in recipe.hidden:
            layers += [Dropout(recipe.dropout), nn.Linear(width, units), nn.Sigmoid()]
            width = units
        last = nn.Linear(width, dims.n_outputs)
        nn.init.zeros_(last.weight)
        self.layers = nn.Sequential(*layers, Dropout(recipe.dropout), last)
        self.ends = Ends(dims.n_outputs) if dims.task == "regression" else nn.Identity()

    def forward(self, ids: Tensor, mask: Tensor, covariates: Tensor) -> Tensor:
        """ids (B, L), mask (B, L), covariates (B, C) to (B, T)."""
        laid = torch.cat([laid_out(ids, mask, layout, self.longest) for layout in self.layouts], dim=1)  # (B, P)
        x = (self.embedding(laid) * (laid > 0).unsqueeze(-1)).flatten(1)  # (B, P D)
        out: Tensor = self.ends(self.layers(torch.cat([x, covariates], dim=1)))
        return out


def laid_out(ids: Tensor, mask: Tensor, layout: str, longest: int) -> Tensor:
    """Ids (B, longest) of ids (B, L) aligned to the left, to the right or about the centre, 0 where a row has no symbol."""
    lengths = mask.sum(1, keepdim=True)  # (B, 1)
    before = {"left": lengths * 0, "right": longest - lengths, "centre": (longest - lengths) // 2}[layout]
    source = torch.arange(longest, device=ids.device) - before  # (B, longest)
    inside = (source >= 0) & (source < lengths)
    return ids.gather(1, source.clamp(0, ids.shape[1] - 1)) * inside
