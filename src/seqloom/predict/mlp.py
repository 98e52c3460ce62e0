"""A multi-layer perceptron on features."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from seqloom.nn.dropout import Dropout
from seqloom.predict.base import Dims
from seqloom.predict.net import Net
from seqloom.registry import register


@register("predictor", "mlp")
class MLP(Net):
    """Fully connected layers on features, each with layer norm, GELU and dropout.

    Reads what the encoder lays out; with one-hot, every position has weights of its own.
    """

    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (128, 64)
    """Width of each hidden layer."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of units left out in each training step."""

    def module(self, dims: Dims) -> nn.Module:
        """(B, D) to (B, T)."""
        layers: list[nn.Module] = []
        width = dims.n_features
        for units in self.hidden:
            layers += [nn.Linear(width, units), nn.LayerNorm(units), nn.GELU(), Dropout(self.dropout)]
            width = units
        return nn.Sequential(*layers, nn.Linear(width, dims.n_outputs))
