"""What a training in two halves steers by: how sure the critic is, how much is augmented, and how heavy its penalty is.

Numbers are kept in a module, so that they are saved with the weights; as integers, since a running mean of weights would blur
them.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Number = Literal["real", "fake", "right", "sure", "loss", "batches", "augmented", "heavier", "perfect"]
NUMBERS: tuple[Number, ...] = ("real", "fake", "right", "sure", "loss", "batches", "augmented", "heavier", "perfect")
SUMMED: tuple[Number, ...] = ("real", "fake", "right", "sure", "loss", "batches")
TARGET = 0.6
"""Mean sign of the critic's value on natural sequences above which more of them are augmented (Karras et al. 2020)."""
AUGMENTED_STEP = 0.05
MOST_AUGMENTED = 0.8
"""Above this, changed sequences would be learnt as natural ones (the same)."""
PERFECT = 0.99
PATIENCE = 10
"""Evaluations in turn with a perfect critic, or one without finite numbers, bring the best weights back."""


class Control(nn.Module):
    """Sums since the last evaluation, and what was decided."""

    bits: Tensor

    def __init__(self) -> None:
        super().__init__()
        start = torch.tensor([1.0 if name == "heavier" else 0.0 for name in NUMBERS])
        self.register_buffer("bits", start.view(torch.int32).clone())

    def number(self, name: Number) -> Tensor:
        """A scalar that may be written to."""
        return self.bits.view(torch.float32)[NUMBERS.index(name)]

    @torch.no_grad()
    def note(self, real: Tensor, fake: Tensor, middle: Tensor, loss: Tensor) -> None:
        """Add what a critic gave natural (B,) and generated sequences (B,), natural above `middle`, at this loss."""
        of_real, of_fake = (real > middle).float().mean(), (fake < middle).float().mean()
        self.number("real").add_(real.mean())
        self.number("fake").add_(fake.mean())
        self.number("right").add_((of_real + of_fake) / 2)
        self.number("sure").add_(2 * of_real - 1)
        self.number("loss").add_(loss)
        self.number("batches").add_(1)

    def means(self) -> dict[str, float]:
        """Means since the last evaluation; NaN without a step."""
        n = float(self.number("batches"))
        real, fake, right, sure, loss = (float(self.number(name)) / n if n else math.nan for name in SUMMED[:5])
        return {"critic_real": real, "critic_fake": fake, "accuracy": right, "critic_sure": sure, "critic_loss": loss}

    def decide(self, *, adaptive: bool) -> bool:
        """Forget the sums and set how much is augmented; whether the critic has been perfect, or no number, for too long."""
        means = self.means()
        finite = all(map(math.isfinite, means.values()))
        perfect = self.number("perfect")
        perfect.add_(1).mul_(means["accuracy"] > PERFECT)
        if adaptive and finite:
            step = AUGMENTED_STEP if means["critic_sure"] > TARGET else -AUGMENTED_STEP
            self.number("augmented").add_(step).clamp_(0, MOST_AUGMENTED)
        for name in SUMMED:
            self.number(name).zero_()
        return not finite or float(perfect) >= PATIENCE

    def harden(self, heavier: float) -> None:
        """Begin again with a penalty so many times as heavy."""
        self.number("heavier").fill_(heavier)
        self.number("perfect").zero_()
