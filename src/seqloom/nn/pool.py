"""Pooling over the symbols of a sequence, blind to padding."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of x (B, L, D) over kept symbols, (B, D); zeros for an empty sequence.

    A product with the mask: one pass over x each way.
    """
    kept = mask.unsqueeze(1).to(x.dtype)  # (B, 1, L)
    return (kept @ x).squeeze(1) / mask.sum(1, keepdim=True).clamp(min=1)


def masked_max(x: Tensor, mask: Tensor) -> Tensor:
    """Maximum of x (B, L, D) over kept symbols, (B, D); zeros for an empty sequence."""
    highest = x.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(1)
    return torch.where(mask.any(1, keepdim=True), highest, torch.zeros_like(highest))
