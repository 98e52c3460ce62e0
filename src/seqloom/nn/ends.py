"""Outputs between two learnt ends: what a net adds up saturates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SPAN = 4.0
"""Standard deviations of the target between the two ends before training."""


class Ends(nn.Module):
    """Values (B, T) on a sigmoid of what goes in, with two learnt ends for each target."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.ends = nn.Parameter(torch.tensor([-SPAN / 2, SPAN / 2]).repeat(n_outputs, 1))  # (T, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T) to (B, T)."""
        low, high = self.ends.unbind(1)
        return low + (high - low) * torch.sigmoid(x)
