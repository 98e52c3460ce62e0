"""The learning-rate range test (Smith 2017, arXiv:1506.01186): steps of training, each at a higher rate than the one before.

Decides how the rate rises, when a sweep ends, and what is read from its losses. Which nets are swept is decided by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seqloom.nn.dropout import rekey
from seqloom.training.step import Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LOWEST, HIGHEST = 1e-6, 10.0
STEPS = 210
"""Thirty for each power of ten."""
WIDTH = 0.2
"""Standard deviation, in powers of ten, of the kernel that smooths losses over the logarithm of the rate."""
DIVERGED = 4.0
"""A sweep ends where the median of the last losses is so many times the lowest of such medians, and well above the first."""
LAST = 10
"""Losses in these medians: one bad batch ends nothing."""
SURE = 4.0
"""Standard errors by which the loss must have fallen for anything to be read from it."""
MARGIN = 10.0
"""The rate at which the loss turns upward is divided by this."""


@dataclass(frozen=True)
class Sweep:
    """The loss of each step at the rate of that step, of one member."""

    seed: int
    rates: np.ndarray  # float64 (K,), rising
    losses: np.ndarray  # float64 (K,): finite, of the batch before its step
    diverged: bool
    """Whether it ended by its losses, before the highest rate."""

    @property
    def smoothed(self) -> np.ndarray:
        """The losses smoothed over the logarithm of the rate, float64 (K,); those far above the first count as twice it."""
        if not len(self.losses):
            return self.losses
        at = np.log10(self.rates)
        kernel = np.exp(-0.5 * ((at[:, None] - at) / WIDTH) ** 2)
        held = np.minimum(self.losses, 2 * self.losses[: self.per_decade].mean())
        smoothed: np.ndarray = kernel @ held / kernel.sum(1)
        return smoothed

    @property
    def per_decade(self) -> int:
        """Steps for each power of ten."""
        return max(round((STEPS - 1) / math.log10(HIGHEST / LOWEST)), 1)


@dataclass(frozen=True)
class Reading:
    """What a sweep tells of rates; NaN where it does not."""

    fastest: float
    """The rate at which the smoothed loss falls fastest."""
    turn: float
    """The rate at which it is lowest; NaN where it still fell at the highest rate."""


def sweep(
    training: Training, fabric: Fabric, progress: Callable[[int, int], None] = lambda *_: None, steps: int = STEPS
) -> Sweep:
    """The losses of `steps` steps from the lowest to the highest rate, in the batches and masks of the training's first epochs.

    The training's module and optimiser are changed by it and are of no further use. It ends where losses are no longer finite,
    or have risen far above their lowest.
    """
    rates = np.geomspace(LOWEST, HIGHEST, steps)
    losses: list[float] = []
    medians: list[float] = []
    diverged = False
    for number, (epoch, place, batch) in enumerate(islice(_batches(training), steps)):
        loss = _step(training, fabric, float(rates[number]), epoch, place, batch)
        progress(number + 1, steps)
        if not math.isfinite(loss):
            diverged = True
            break
        losses.append(loss)
        medians.append(float(np.median(losses[-LAST:])))
        if medians[-1] > max(DIVERGED * min(medians), 1.5 * medians[0]):
            diverged = True
            break
    return Sweep(training.seed, rates[: len(losses)], np.array(losses), diverged)


def read(found: Sweep) -> Reading:
    """Where the loss falls fastest and where it turns; NaN twice where it has not fallen beyond the noise of batches."""
    smoothed, nothing = found.smoothed, Reading(math.nan, math.nan)
    if len(smoothed) < 2 * found.per_decade:
        return nothing
    low = int(np.argmin(smoothed))
    level = float(smoothed[: found.per_decade].mean())
    noise = float((found.losses - smoothed)[: low + 1].std())
    averaged = 2 * math.sqrt(math.pi) * WIDTH * found.per_decade  # steps that the kernel averages
    if low < 2 or level - smoothed[low] <= SURE * noise / math.sqrt(averaged):
        return nothing
    slope = np.gradient(smoothed, np.log10(found.rates))
    turned = low < len(smoothed) - 1 or found.diverged
    return Reading(
        float(found.rates[int(np.argmin(slope[: low + 1]))]), float(found.rates[low]) if turned else math.nan
    )


def typical(values: Sequence[float]) -> float:
    """The median of rates on a logarithmic scale; NaN where fewer than half are known."""
    known = [each for each in values if not math.isnan(each)]
    return float(10 ** np.median(np.log10(known))) if known and 2 * len(known) >= len(values) else math.nan


def _batches(training: Training) -> Iterator[tuple[int, int, Any]]:
    """Epoch, place in it, and batch, epoch after epoch; batches and torch's own stream are those of training."""
    for epoch in count():
        torch.manual_seed((training.seed * 1_000_003 + epoch) % 2**63)
        for place, batch in enumerate(training.step.batches(epoch)):
            yield epoch, place, batch


def _step(training: Training, fabric: Fabric, rate: float, epoch: int, place: int, batch: Any) -> float:
    """The loss of a batch, and a step of this rate down it."""
    for module in training.step.modules.values():
        module.train()
        rekey(module, training.seed, epoch, place)
    for optimizer in training.step.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = rate
    return float(training.step.update(batch, fabric)["loss"].detach())
