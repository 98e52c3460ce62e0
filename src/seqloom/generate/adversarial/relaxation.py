"""From logits to sequences that gradients pass through, and the end of a sequence.

Id 0 is padding, which is also the end: whatever follows the first is made padding, in training, too, so that the critic
sees what
is sampled and no sequence has a gap.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Relax = Literal["st-gumbel", "gumbel", "softmax"]
NEVER = -1e4


def drawn_noise(logits: Tensor) -> Tensor:
    """Gumbel noise of the shape of logits: their argmax with it added is a draw of their softmax."""
    return -torch.log(torch.empty_like(logits).exponential_().clamp_min(1e-20))


def with_a_symbol(logits: Tensor) -> Tensor:
    """Logits (B, L, V) that give no empty sequence: padding cannot stand first."""
    first = torch.zeros_like(logits[0])
    first[0, 0] = NEVER
    return logits + first


def relaxed(logits: Tensor, how: Relax, temperature: float) -> Tensor:
    """Sequences (B, L, V), rows of which sum to 1, for logits (B, L, V), with a gradient.

    `st-gumbel`: one draw, one-hot, with the gradient of the Gumbel-softmax at `temperature` (straight through; Jang et al.
    2016,
    arXiv:1611.01144); `gumbel`: the Gumbel-softmax itself; `softmax`: no draw, nothing one-hot.
    """
    logits = with_a_symbol(logits.float())
    if how == "softmax":
        return ended(torch.softmax(logits / temperature, -1))
    soft = torch.softmax((logits + drawn_noise(logits)) / temperature, -1)
    if how == "gumbel":
        return ended(soft)
    hard = functional.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype)
    return ended(hard + (soft - soft.detach()))


def ended(x: Tensor) -> Tensor:
    """x (B, L, V) with padding, one-hot, wherever an earlier position is most likely padding."""
    live = _live(x.argmax(-1))[:, :, None].to(x.dtype)
    padding = torch.zeros_like(x[0, 0])
    padding[0] = 1
    return x * live + padding * (1 - live)


def ended_ids(ids: Tensor) -> Tensor:
    """ids (B, L) with 0 after the first 0."""
    return ids * _live(ids)


def _live(ids: Tensor) -> Tensor:
    """Whether no earlier position is padding, bool (B, L)."""
    n_before = torch.cumsum((ids == 0).int(), 1) - (ids == 0).int()
    return n_before == 0
