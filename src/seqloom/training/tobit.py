"""The loss of targets of which some are bounds: a Tobit model (Tobin 1958, Econometrica 26:24) in units of squared error.

Errors are taken for normal with an SD s, which is that of the measured targets of the same batch. -2 s² log likelihood is then
the squared error of a measured target (less a constant), and -2 s² log P(beyond the bound) of a bound: nearly the squared error
far on its wrong side, nearly 0 far on its right side, and between them the less, the further beyond.

RMSE of true values in their SD with the mlp (`bench/censored.py`), where bounds are taken for values, cost their squared error
on the wrong side only, cost as here, and had the values been known:

    simulated peptides, noise of .5 SD: 30 % cut off .53 .49 .40 .37; 70 % of them 1.11 1.03 .51 .37
    50 % of them cut off: noise of .2 SD .73 .67 .41 .27; of 1 SD .88 .84 .59 .51
    measured affinities cut at 1,000 nM: .76 .74 .68 .67

Early stopping needs this loss on valid rows, too: the squared error of bounds on their wrong side only kept, in one of five draws
of the affinities, the second epoch of twelve, whose predictions were far beyond most bounds (.79).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMALLEST = 1e-6
"""SD of errors, where all of them are 0."""


def tobit_loss(errors: Tensor, bounds: Tensor, known: Tensor, weights: Tensor | None = None) -> Tensor:
    """What each target costs, (B, C) as errors (B, C): predictions minus targets. No gradient flows through s.

    `bounds` (B, C): 1 where the true value is at least the target, -1 at most, 0 if it is measured. `known` (B, C): errors of
    other targets are ignored, though they must be finite. `weights` (B, C) are those of errors in s, and are not applied to the
    result. A column without a measured target in the batch has s of 0, the limit: the squared error on the wrong side of a bound.
    """
    counted = (known & (bounds == 0)).to(errors.dtype)
    counted = counted if weights is None else counted * weights
    variance = (errors.detach().square() * counted).sum(0) / counted.sum(0).clamp(min=torch.finfo(errors.dtype).tiny)
    spread = variance.sqrt().clamp(min=SMALLEST)
    beyond = bounds * errors / spread  # in SD; negative on the wrong side
    # Two forms of log P, each exact on its side: the usual one loses all digits, and its gradient, far on the wrong side.
    wrong = torch.special.erfcx(-beyond.clamp(max=0) / math.sqrt(2)).div(2).log() - beyond.square() / 2
    right = torch.log1p(torch.special.erfc(beyond.clamp(min=0) / math.sqrt(2)) / -2)
    return torch.where(bounds == 0, errors.square(), -2 * spread.square() * torch.where(beyond < 0, wrong, right))
