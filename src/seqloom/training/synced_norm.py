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
        wide, kept = x.float(), mask.unsqueeze(-1).float()
        sums = _summed(torch.cat([(wide * kept).sum((0, 1)), kept.sum().view(1)]))
        n = sums[-1].detach()
        several, total = n > 1, n.clamp(min=1)
        own = sums[:-1] / total
        spread = _summed(((wide - own).square() * kept).sum((0, 1))) / total
        with torch.no_grad():
            share = self.momentum * several
            self.mean += (own.detach() - self.mean) * share
            self.variance += (spread.detach() * total / (total - 1).clamp(min=1) - self.variance) * share
        mean, variance = torch.where(several, own, self.mean), torch.where(several, spread, self.variance)
        normed = (wide - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias
        return (normed * kept).to(x.dtype)


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


def _summed(values: Tensor) -> Tensor:
    out: Tensor = _Summed.apply(values)  # type: ignore[no-untyped-call]
    return out
