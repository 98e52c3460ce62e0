"""Batch norm over the rows of all processes, so that a net learns the same whether its batches are divided or not."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seqloom.nn.norm import MaskedBatchNorm


def sync_norms(module: nn.Module) -> list[SyncedBatchNorm]:
    """Every masked batch norm of `module`, which becomes a synced one in place, with the same weights and buffers."""
    for layer in module.modules():
        if type(layer) is MaskedBatchNorm:
            layer.__class__ = SyncedBatchNorm
    return [layer for layer in module.modules() if isinstance(layer, SyncedBatchNorm)]


class SyncedBatchNorm(MaskedBatchNorm):
    """In training by mean and variance of the kept positions of all processes, which all call it; else as it is alone."""

    divided = True
    """Whether processes hold different rows. Each norms by itself where all hold the same, which must not count several times."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D) and mask (B, L) to (B, L, D), 0 where padded."""
        if not self.training or not self.divided:
            return super().forward(x, mask)
        return self._masked(x, mask.unsqueeze(-1))

    def summed(self, values: Tensor) -> Tensor:
        """Over the rows of all processes, where these are different ones."""
        if not self.training or not self.divided:
            return values
        out: Tensor = _Summed.apply(values)  # type: ignore[no-untyped-call]
        return out


class _Summed(torch.autograd.Function):
    """Sums over all processes; what is done to them is done to the part of each."""

    @staticmethod
    def forward(_, values):  # type: ignore[no-untyped-def]
        values = values.clone()
        dist.all_reduce(values)
        return values

    @staticmethod
    def backward(_, gradient):  # type: ignore[no-untyped-def]
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient
