"""The kept positions of a padded batch, end to end, and back; and a batch without columns that nobody needs.

Each way is a copy of whole positions, and so is its gradient: those of torch's own indexing add up, which takes eight times as
long.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd import Function


class Places(NamedTuple):
    """Where the n kept of B * L positions stand."""

    kept: Tensor  # int64 (n,): their places among all
    padding: Tensor  # int64 (B * L - n,): the places of the others
    back: Tensor  # int64 (B * L,): the place of each among the kept; of padding, that of a neighbour


def trimmed(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """ids and mask (B, L) up to the longest row, but for one column at least.

    Batches come with widths rounded up, by 3.5 columns on average. Only a CPU is asked for the longest: elsewhere the answer
    would have to be waited for, and stacked members share a width.
    """
    if mask.device.type != "cpu" or torch._C._are_functorch_transforms_active():
        return ids, mask
    longest = max(int(mask.sum(1).max()), 1) if len(mask) else 1
    return ids[:, :longest], mask[:, :longest]


def places_of(mask: Tensor) -> Places:
    """Of mask (B, L), in the order of its rows."""
    flat = mask.flatten()
    kept, padding = flat.nonzero().squeeze(1), (~flat).nonzero().squeeze(1)
    return Places(kept, padding, (flat.cumsum(0) - 1).clamp_(min=0))


def packed(x: Tensor, places: Places) -> Tensor:
    """x (B, L, D) to (n, D)."""
    return cast(Tensor, Pack.apply(x.flatten(0, -2), *places))  # type: ignore[no-untyped-call]


def unpacked(x: Tensor, places: Places) -> Tensor:
    """x (n, D), n > 0, to (B * L, D), 0 where padded."""
    return cast(Tensor, Unpack.apply(x, *places))  # type: ignore[no-untyped-call]


class Pack(Function):
    """Takes the kept positions out of all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *places: Tensor) -> Tensor:
        """(B * L, D) to (n, D)."""
        ctx.save_for_backward(*places)
        return x.index_select(0, places[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """(n, D) to (B * L, D)."""
        return _spread(gradients[0], *ctx.saved_tensors), None, None, None


class Unpack(Function):
    """Puts the kept positions between zeros."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *places: Tensor) -> Tensor:
        """(n, D) to (B * L, D)."""
        ctx.save_for_backward(*places)
        return _spread(x, *places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """(B * L, D) to (n, D)."""
        return gradients[0].index_select(0, ctx.saved_tensors[0]), None, None, None


def _spread(x: Tensor, _: Tensor, padding: Tensor, back: Tensor) -> Tensor:
    return x.index_select(0, back).index_fill_(0, padding, 0)
