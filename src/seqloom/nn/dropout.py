"""Dropout whose masks are a function of a key and the place of a unit, of nothing else.

Torch's own dropout draws from one global stream, so a net trained beside others would see other masks than the same net trained
alone. Here every layer has a key that `rekey` derives from (seed, step, layer) before each step; under `torch.func.vmap` over
stacked members, keys stacked like all buffers give every member the masks it would have had alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

GOLDEN = 0x9E3779B9


class Dropout(nn.Module):
    """Leaves out a share `p` of units in training and scales the others by 1 / (1 - p) (Srivastava et al. 2014, JMLR 15:1929).

    `over="units"` draws each unit of x by itself; `over="sequence"` draws one mask per row of x (B, L, D) and uses it at every
    position: variational dropout (Gal and Ghahramani 2016, arXiv:1512.05287).
    """

    key: Tensor

    def __init__(self, p: float, over: Literal["units", "sequence"] = "units") -> None:
        super().__init__()
        self.p, self.over = p, over
        self.register_buffer("key", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, ..., D), some of it 0 in training; x itself otherwise."""
        if not self.training or self.p == 0.0:
            return x
        shape = (x.shape[0], *(1 for _ in x.shape[1:-1]), x.shape[-1]) if self.over == "sequence" else x.shape
        return x * self.mask(shape, x)

    def mask(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> Tensor:
        """Multipliers of this step, of `shape`, the dtype and device of `like`: 0 or 1 / (1 - p); all 1 outside training."""
        if not self.training or self.p == 0.0:
            return torch.ones(shape, dtype=like.dtype, device=like.device)
        uniform = hashed(shape, self.key.to(like.device))
        return (uniform >= self.p).to(like.dtype) / (1.0 - self.p)

    def extra_repr(self) -> str:
        """Its settings."""
        return f"p={self.p}, over={self.over}"


def rekey(module: nn.Module, seed: int, epoch: int, step: int = 0) -> None:
    """Give every dropout layer of `module` the key of this step of this epoch, in place."""
    rekey_layers(dropouts(module), seed, epoch, step)


def dropouts(module: nn.Module) -> list[Dropout]:
    """The dropout layers of `module` that leave anything out, in its order."""
    return [layer for layer in module.modules() if isinstance(layer, Dropout) and layer.p]


def rekey_layers(layers: Sequence[Dropout], seed: int, epoch: int, step: int = 0) -> None:
    """As `rekey`, for the `dropouts` of a module, which take longer to find than to key."""
    for number, layer in enumerate(layers):
        layer.key.fill_(key_of(seed, epoch, step, number))


def key_of(*numbers: int) -> int:
    """32 bits made of several numbers and their order: seed, epoch, step and layer.

    >>> key_of(0, 0, 0) != key_of(0, 0, 1) != key_of(0, 1, 0)
    True
    """
    bits = 0
    for each in numbers:
        bits = _mixed_int((bits + each * GOLDEN + 0x85EBCA6B) & 0xFFFFFFFF)
    return bits


def hashed(shape: tuple[int, ...] | torch.Size, key: Tensor) -> Tensor:
    """Float32 numbers of `shape`, uniform in [0, 1): the hash of each place with `key`, an int64 scalar.

    A place is its row and what it is of the row, so that the numbers of x (B, L, D) stay the same whatever is padded to L.
    """
    n_rows, n_of_row = shape[0], math.prod(shape[1:])
    rows = _mixed(_wrapped(torch.arange(n_rows, device=key.device, dtype=torch.int64) * GOLDEN + key))
    columns = _wrapped(torch.arange(n_of_row, device=key.device, dtype=torch.int64) * GOLDEN)
    x = _mixed(rows[:, None] + columns)
    return _shifted(x, 8).to(torch.float32).mul_(2.0**-24).reshape(shape)


def _mixed(x: Tensor) -> Tensor:
    """The integer hash lowbias32 (Wellons 2018) of int32 numbers, in place; products wrap around."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32)):
        x.bitwise_xor_(_shifted(x, shift)).mul_(factor)
    return x.bitwise_xor_(_shifted(x, 16))


def _shifted(x: Tensor, n_bits: int) -> Tensor:
    """int32 shifted to the right with zeros from the left, of which torch has no kernel: it shifts in the sign."""
    return (x >> n_bits).bitwise_and_((1 << (32 - n_bits)) - 1)


def _wrapped(x: Tensor) -> Tensor:
    """The lower 32 bits of int64 numbers, as int32."""
    return (((x + 2**31) & 0xFFFFFFFF) - 2**31).to(torch.int32)


def _mixed_int(x: int) -> int:
    x ^= x >> 16
    x = (x * 0x7FEB352D) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)
