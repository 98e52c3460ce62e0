"""Penalties on the gradient of the critic with respect to the sequences it reads, which keep it from becoming too steep.

They are lazy: taken every few steps and as many times heavier then (Karras et al. 2020, arXiv:1912.04958), since a
gradient of a
gradient costs as much as the rest of a step.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Values(Protocol):
    """A critic."""

    def __call__(self, x: Tensor, conditions: Tensor | None) -> Tensor:
        """Values (B,) of sequences x (B, L, V)."""


def steepness(values: Tensor, x: Tensor) -> Tensor:
    """Squared length of the gradient of each sequence's value, (B,): `values` (B,) of x (B, L, V), which has to ask for
    gradients."""
    (gradient,) = torch.autograd.grad(values.sum(), x, create_graph=True)
    return gradient.float().square().sum((1, 2))


def zero_centred(steep: Tensor, gamma: float | Tensor) -> Tensor:
    """gamma / 2 times the mean of squared gradients (B,): R1 on natural sequences, R2 on generated (Mescheder et al. 2018,
    arXiv:1801.04406)."""
    return steep.mean() * (gamma / 2)


def one_centred(
    critic: Values, real: Tensor, fake: Tensor, conditions: Tensor | None, weight: float | Tensor
) -> Tensor:
    """weight times the mean of (|gradient| - 1)^2 at places between natural and generated (Gulrajani et al. 2017,
    arXiv:1704.00028)."""
    share = torch.rand(len(real), 1, 1, device=real.device)
    between = (fake + share * (real - fake)).detach().requires_grad_()
    steep = steepness(critic(between, conditions), between)
    return ((steep + 1e-12).sqrt() - 1).square().mean() * weight
