"""Batch norm that does not see padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MaskedBatchNorm(nn.Module):
    """Each of D channels to mean 0 and variance 1 over the kept positions of a batch (Ioffe and Szegedy 2015, arXiv:1502.03167).

    In training by the batch's own mean and variance, else by their running means, which move by `momentum` a step, as torch's do.
    A batch with fewer than two kept positions is normed by the running means, and leaves them.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D) and mask (B, L) to (B, L, D), 0 where padded."""
        kept = mask.unsqueeze(-1).to(x.dtype)  # (B, L, 1)
        mean, variance = self.mean, self.variance
        if self.training:
            n = kept.sum()
            several = n > 1
            total = n.clamp(min=1)
            own = (x * kept).sum((0, 1)) / total
            spread = ((x - own).square() * kept).sum((0, 1)) / total
            with torch.no_grad():
                share = self.momentum * several
                self.mean += (own.detach() - self.mean) * share
                self.variance += (spread.detach() * total / (total - 1).clamp(min=1) - self.variance) * share
            mean, variance = torch.where(several, own, mean), torch.where(several, spread, variance)
        return ((x - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias) * kept
