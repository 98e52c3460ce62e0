"""Average precision on the device where the predictions are: no copy, and no waiting for it until the number is read.

The same number as `seqloom.metrics` and scikit-learn give, equal scores being one threshold. Intervals are made elsewhere.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LAST = torch.iinfo(torch.int64).max - 1
"""The key of what is unknown: after all others, and no positive."""


def average_precision(scores: Tensor, y: Tensor) -> Tensor:
    """One number per target, float64 (T,) on their device (on the CPU where the device knows no float64).

    `scores` float (N, T), any numbers: the higher, the likelier. `y` (N, T): 0, 1, or NaN where unknown. NaN for a target
    without a positive or without a negative, or with a score that is NaN where the target is known.
    """
    if scores.shape != y.shape or scores.ndim != 2:
        raise ValueError(f"scores {tuple(scores.shape)} of targets {tuple(y.shape)}: both must be (N, T)")
    if scores.device.type == "mps":
        scores, y = scores.cpu(), y.cpu()
    scores, y = scores.detach().T.contiguous(), y.T.contiguous()
    known, positive = ~y.isnan(), y == 1
    n_positive, n_known = positive.sum(1), known.sum(1)
    place, positive = _ranked(scores, known, positive)
    called = torch.arange(1, place.shape[1] + 1, device=place.device, dtype=torch.float64)
    found = positive.cumsum(1)
    ends = torch.ones_like(place, dtype=torch.bool)
    ends[:, :-1] = place[:, 1:] != place[:, :-1]
    before = torch.zeros_like(found)
    if place.shape[1]:
        before[:, 1:] = (found * ends).cummax(1).values[:, :-1]
    average = ((found - before) * ends * found / called).sum(1) / n_positive
    undefined = (n_positive == 0) | (n_positive == n_known) | (scores.isnan() & known).any(1)
    return average.masked_fill(undefined, torch.nan)


def _ranked(scores: Tensor, known: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Rows by falling score, the unknown last: a number int64 (T, N) that is equal for ties, and which are positive."""
    scores = scores + 0.0  # -0.0 becomes 0.0, which it equals
    if scores.dtype == torch.float64:
        place, order = (~_ascending(scores.view(torch.int64))).masked_fill(~known, LAST).sort(1)
        return place, positive.gather(1, order).long()
    # 32 bits of score and one of truth are one number: sorted by itself, nothing has to be looked up in its order.
    bits = _ascending(scores.float().view(torch.int32))
    key = _sorted(((~bits).long() << 1 | positive.long()).masked_fill_(~known, LAST))
    return key >> 1, key & 1


def _ascending(bits: Tensor) -> Tensor:
    """Integers in the order of the floats of these bits: of negative floats all bits but the sign are turned."""
    return bits ^ ((bits >> (8 * bits.element_size() - 1)) & torch.iinfo(bits.dtype).max)


def _sorted(key: Tensor) -> Tensor:
    """Along the last axis; on the CPU NumPy sorts ten times faster, as it need not tell where each came from."""
    if key.device.type == "cpu":
        return torch.from_numpy(np.sort(key.numpy(), axis=1))
    return key.sort(1).values
