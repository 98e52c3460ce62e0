"""Attention over the symbols of a sequence, and the layers of an encoder made of it.

Decides how attention is computed: by torch's fused kernels, also where members are stacked under `torch.func.vmap`. Positions are
in `seqloom.nn.positions`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.nn.dropout import Dropout
from seqloom.nn.positions import rotated


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """softmax(Q K' / sqrt(D)) V over kept keys, (B, H, L, D), of query, key and value (B, H, L, D) and mask (B, L).

    Every row needs a kept key. torch has no batching rule for its kernel on a CPU, so stacked members are folded into rows here;
    the plain formula, which vmap could take, costs 1.6 times as much at 64 symbols and 5 times at 272.
    """
    kept = mask[:, None, None, :]
    if torch._C._are_functorch_transforms_active():
        out: Tensor = _Stacked.apply(query, key, value, kept)  # type: ignore[no-untyped-call]
        return out
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=kept)


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself (Vaswani et al. 2017, arXiv:1706.03762, section 3.2).

    `rotary` turns queries and keys by their position, head by head. Dropout is on the output of the heads, not on the weights:
    those stay inside torch's kernel, whose own dropout draws from the global stream.
    """

    def __init__(self, width: int, heads: int, dropout: float, *, rotary: bool = False) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.project = nn.Linear(width, 3 * width)
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D) and mask (B, L) to (B, L, D)."""
        rows, length, width = x.shape
        split = self.project(x).view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, L, D / H) each
        if self.rotary:
            query, key = rotated(query), rotated(key)
        heads = attention(query, key, value, mask).transpose(1, 2).reshape(rows, length, width)
        out: Tensor = self.out(self.dropout(heads))
        return out


class EncoderLayer(nn.Module):
    """Attention and a feed-forward net, each with a shortcut and a layer norm.

    `norm="post"` norms the sum with the shortcut, as in the paper; `norm="pre"` norms what goes into the branch (Xiong et al.
    2020, arXiv:2002.04745).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        norm: Literal["pre", "post"] = "pre",
        *,
        rotary: bool = False,
    ) -> None:
        super().__init__()
        self.norm = norm
        self.attention = SelfAttention(width, heads, dropout, rotary=rotary)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, feed_forward), nn.GELU(), Dropout(dropout), nn.Linear(feed_forward, width)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropouts = nn.ModuleList(Dropout(dropout) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D) and mask (B, L) to (B, L, D)."""
        if self.norm == "pre":
            x = x + self.dropouts[0](self.attention(self.norms[0](x), mask))
            return x + self.dropouts[1](self.feed_forward(self.norms[1](x)))
        x = self.norms[0](x + self.dropouts[0](self.attention(x, mask)))
        out: Tensor = self.norms[1](x + self.dropouts[1](self.feed_forward(x)))
        return out


class _Info(NamedTuple):
    """What vmap tells of its members."""

    batch_size: int
    randomness: str


class _Context(Protocol):
    """What torch keeps between the passes of a function."""

    saved_tensors: tuple[Tensor, ...]

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _Stacked(torch.autograd.Function):
    """Attention that vmap folds: members (S, B, ...) become rows (S * B, ...) of one call."""

    @staticmethod
    def forward(query: Tensor, key: Tensor, value: Tensor, kept: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=kept)

    @staticmethod
    def setup_context(ctx: _Context, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG004 - torch's signature
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients: tuple[Tensor, ...] = _StackedGradient.apply(gradient, *ctx.saved_tensors)  # type: ignore[no-untyped-call]
        return *gradients, None

    @staticmethod
    def vmap(info: _Info, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Tensor, int]:
        folded = (_folded(each, dim, info) for each, dim in zip(inputs, in_dims, strict=True))
        out: Tensor = _Stacked.apply(*folded)  # type: ignore[no-untyped-call]
        return _unfolded(out, info), 0


class _StackedGradient(torch.autograd.Function):
    """Gradients of attention by query, key and value, from a second forward pass."""

    @staticmethod
    def forward(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, kept: Tensor) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            query, key, value = (each.detach().requires_grad_() for each in (query, key, value))
            out = functional.scaled_dot_product_attention(query, key, value, attn_mask=kept)
            return torch.autograd.grad(out, (query, key, value), gradient)

    @staticmethod
    def setup_context(ctx: _Context, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        """Nothing: gradients of gradients are not taken."""

    @staticmethod
    def vmap(
        info: _Info, in_dims: tuple[int | None, ...], *inputs: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        folded = (_folded(each, dim, info) for each, dim in zip(inputs, in_dims, strict=True))
        gradients: tuple[Tensor, ...] = _StackedGradient.apply(*folded)  # type: ignore[no-untyped-call]
        return tuple(_unfolded(each, info) for each in gradients), (0, 0, 0)


def _folded(x: Tensor, dim: int | None, info: _Info) -> Tensor:
    stacked = x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
    return stacked.flatten(0, 1)


def _unfolded(x: Tensor, info: _Info) -> Tensor:
    return x.reshape(info.batch_size, -1, *x.shape[1:])
