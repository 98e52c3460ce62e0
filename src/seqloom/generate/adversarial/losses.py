"""What critic and generator want of the critic's values, larger ones meaning more natural.

In all of them the critic gains as D(real) rises above D(fake), and the generator as D(fake) rises. Penalties on gradients
are in
`penalties.py`.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import relu, softplus

Loss = Literal["rp", "hinge", "wasserstein", "ra-hinge", "non-saturating"]
SHIFT_FREE: frozenset[Loss] = frozenset({"rp", "ra-hinge", "wasserstein"})
"""Losses that only differences of D enter: its zero means nothing."""


def critic_loss(loss: Loss, real: Tensor, fake: Tensor) -> Tensor:
    """Mean loss of a critic that gave natural sequences `real` (B,) and generated ones `fake` (B,), a scalar.

    `hinge`: Lim and Ye 2017, arXiv:1705.02894. `wasserstein`: Arjovsky et al. 2017, arXiv:1701.07875. `ra-hinge`: relativistic
    average, Jolicoeur-Martineau 2018, arXiv:1807.00734. `rp`: relativistic pairing, the same and Huang et al. 2025,
    arXiv:2501.05441. `non-saturating`: Goodfellow et al. 2014.
    """
    if loss == "hinge":
        return relu(1 - real).mean() + relu(1 + fake).mean()
    if loss == "wasserstein":
        return fake.mean() - real.mean()
    if loss == "ra-hinge":
        return relu(1 - (real - fake.mean())).mean() + relu(1 + (fake - real.mean())).mean()
    if loss == "rp":
        return softplus(fake - real).mean()
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(loss: Loss, real: Tensor, fake: Tensor) -> Tensor:
    """Mean loss of a generator whose sequences the critic gave `fake` (B,), beside natural ones that it gave `real` (B,)."""
    if loss in ("hinge", "wasserstein"):
        return -fake.mean()
    if loss == "ra-hinge":
        return relu(1 + (real - fake.mean())).mean() + relu(1 - (fake - real.mean())).mean()
    if loss == "rp":
        return softplus(real - fake).mean()
    return softplus(-fake).mean()


def centre(loss: Loss, real: Tensor, fake: Tensor) -> Tensor:
    """The value above which the critic holds a sequence for natural, a scalar: 0, or midway where only differences count."""
    if loss in SHIFT_FREE:
        return (real.mean() + fake.mean()) / 2
    return real.new_zeros(())
