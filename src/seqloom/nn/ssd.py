"""The state space layer of Mamba-2, as matrix products over chunks of a sequence.

Per head, S_t = exp(l_t) S_(t-1) + x_t b_t^T and y_t = S_t c_t with one decay exp(l_t) for the whole state: within a chunk that is
attention without softmax, weighed by decays; between chunks only the states are handed on (Dao and Gu 2024, arXiv:2405.21060,
section 6). Sums of l are taken so that large ones do not wipe out small differences; no exponent is above 0.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

CHUNK = 32
"""Symbols of a chunk: on a CPU 16 and 32 take the same time, 64 half as much again (`bench/nets.py mamba`)."""


def state_space(x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor, chunk: int = CHUNK) -> Tensor:
    """y (B, L, H, P) of the recurrence above, from states of zeros.

    x (B, L, H, P), what enters the state (dt is already in it); log_decay (B, L, H), at most 0; b, c (B, L, N), shared by all
    heads. A step with x = 0 and log_decay = 0 leaves the state as it is.
    """
    n_rows, length, n_heads, head_width = x.shape
    size = max(-(-length // max(-(-length // chunk), 1)), 1)  # chunks as equal as can be, so that little is padded
    rest = -length % size
    if rest:
        x, log_decay = functional.pad(x, (0, 0, 0, 0, 0, rest)), functional.pad(log_decay, (0, 0, 0, rest))
        b, c = functional.pad(b, (0, 0, 0, rest)), functional.pad(c, (0, 0, 0, rest))
    x = x.reshape(n_rows, -1, size, n_heads, head_width)  # (B, chunks, Q, H, P)
    b, c = (each.reshape(n_rows, -1, size, b.shape[-1]) for each in (b, c))  # (B, chunks, Q, N)
    log_decay = log_decay.reshape(n_rows, -1, size, n_heads).transpose(2, 3)  # (B, chunks, H, Q)
    weights = cast(Tensor, Decayed.apply(c @ b.transpose(-1, -2), log_decay)[0])  # type: ignore[no-untyped-call]
    y = (weights @ x.transpose(2, 3)).transpose(2, 3)  # (B, chunks, Q, H, P)
    if x.shape[1] > 1:
        y = y + _from_before(x, log_decay, b, c)
    return y.reshape(n_rows, length + rest, n_heads, head_width)[:, :length]


class Decayed(Function):
    """Scores of pairs of positions times the decay between them: weights[h, i, j] = scores[i, j] exp(sum of l[h, j+1..i]).

    0 where j > i. A function of its own, as the exponents need not be kept and half of the passes over the pairs are saved.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(scores: Tensor, log_decay: Tensor) -> tuple[Tensor, Tensor]:
        """scores (..., Q, Q) and log_decay (..., H, Q) to weights and decays, both (..., H, Q, Q)."""
        size = log_decay.shape[-1]
        wide = log_decay.float() if log_decay.device.type == "mps" else log_decay.double()
        total = wide.cumsum(-1)
        high = total.to(log_decay.dtype)
        low = (total - high).to(log_decay.dtype)  # what the sum has beyond single precision
        decay = high.unsqueeze(-1) - high.unsqueeze(-2)
        decay = decay.add_(low.unsqueeze(-1)).sub_(low.unsqueeze(-2))
        above = torch.ones(size, size, dtype=torch.bool, device=decay.device).triu_(1)
        decay = decay.masked_fill_(above, -torch.inf).exp_()
        return decay * scores.unsqueeze(-3), decay

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Scores and decays are kept."""
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(inputs[0], output[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> Any:
        """Gradients of scores and log_decay; an exponent (i, j) is the sum up to i less the sum up to j."""
        scores, decay = ctx.saved_tensors
        gradient = gradient * decay
        d_scores = gradient.sum(-3)
        gradient = gradient.mul_(scores.unsqueeze(-3))
        d_total = gradient.sum(-1) - gradient.sum(-2)
        return d_scores, _sum_from(d_total)


def _from_before(x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """What the states at the start of each chunk add to y, (B, chunks, Q, H, P)."""
    later = _sum_from(functional.pad(log_decay[..., 1:], (0, 1)))  # from after each position to the end of its chunk
    since = log_decay.cumsum(-1)
    entered = (x * later.exp().transpose(2, 3).unsqueeze(-1)).flatten(3)  # (B, chunks, Q, H P)
    entered = entered.transpose(2, 3) @ b  # (B, chunks, H P, N)
    through = since[..., -1].exp().repeat_interleave(x.shape[-1], dim=2).unsqueeze(-1)  # (B, chunks, H P, 1)
    states = [torch.zeros_like(entered[:, 0])]
    for own, decay in zip(entered.unbind(1)[:-1], through.unbind(1)[:-1], strict=True):
        states.append(torch.addcmul(own, decay, states[-1]))
    y = c @ torch.stack(states, 1).transpose(2, 3)  # (B, chunks, Q, H P)
    return y.reshape(x.shape) * since.exp().transpose(2, 3).unsqueeze(-1)


def _sum_from(x: Tensor) -> Tensor:
    """Sums from each position to the last, along the last axis."""
    return x.flip(-1).cumsum(-1).flip(-1)
