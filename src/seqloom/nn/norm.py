"""Batch norm that does not see padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.nn.packed import packed, places_of, unpacked


class MaskedBatchNorm(nn.Module):
    """Each of D channels to mean 0 and variance 1 over the kept positions of a batch (Ioffe and Szegedy 2015, arXiv:1502.03167).

    In training by the batch's own mean and variance, else by their running means, which move by `momentum` a step, as torch's do.
    A batch with fewer than two kept positions is normed by the running means, and leaves them. What is in half precision comes
    back so; sums are in single precision.
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
        """x (B, L, D) and mask (B, L) to (B, L, D), 0 where padded.

        On a CPU the kept positions are laid end to end for torch's own kernel, which needs fewer passes than masked sums.
        Elsewhere their number would have to be waited for, and stacked members differ in it.
        """
        kept = mask.unsqueeze(-1)  # (B, L, 1)
        if not self.training:
            flat = x.flatten(0, 1)  # one pass of torch's kernel
            return (
                functional.batch_norm(
                    flat, self.mean, self.variance, self.weight, self.bias, training=False, eps=self.eps
                ).view(x.shape)
                * kept
            )
        if x.device.type != "cpu" or torch._C._are_functorch_transforms_active():
            return self._masked(x, kept)
        places = places_of(mask)
        if len(places.kept) < 2:
            return self._masked(x, kept)
        normed = functional.batch_norm(
            packed(x, places),
            self.mean,
            self.variance,
            self.weight,
            self.bias,
            training=True,
            momentum=self.momentum,
            eps=self.eps,
        )
        return unpacked(normed, places).view(x.shape)

    def summed(self, values: Tensor) -> Tensor:
        """Sums over rows, which a layer of several processes adds up over all of them."""
        return values

    def _masked(self, x: Tensor, kept: Tensor) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        sums = self.summed(torch.cat([(wide * kept).sum((0, 1)), kept.sum().to(wide.dtype).view(1)]))
        n = sums[-1].detach()
        several, total = n > 1, n.clamp(min=1)
        own = sums[:-1] / total
        spread = self.summed(((wide - own).square() * kept).sum((0, 1))) / total
        with torch.no_grad():
            share = self.momentum * several
            self.mean += (own.detach() - self.mean) * share
            self.variance += (spread.detach() * total / (total - 1).clamp(min=1) - self.variance) * share
        mean, variance = torch.where(several, own, self.mean), torch.where(several, spread, self.variance)
        normed = (wide - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias
        return (normed * kept).to(x.dtype)
