"""The learning rate over the epochs, as a share of the highest one."""

from __future__ import annotations

import math
import re

from seqloom.training.settings import TrainSection

LAST_RATE = 0.01
"""The cosine schedule ends at this share of the highest learning rate."""
RISE = 0.3
"""Share of the epochs in which a one-cycle schedule rises, from FIRST_RATE of the highest rate; it ends at 1e-4 of that."""
FIRST_RATE = 0.04


def learning_rate(settings: TrainSection, epoch: float, epochs: int) -> float:
    """The rate at `epoch` of `epochs`, both counted from 0, fractions of an epoch being steps of it.

    Rates change with every step in a warm-up, in `linear` and in `one-cycle`; elsewhere with the epoch. Epochs of the schedule
    count from the end of the warm-up.
    """
    if epoch < settings.warmup:
        return settings.lr * (epoch + 1e-3) / settings.warmup  # never quite 0, or the first step would be lost
    e, left = math.floor(epoch) - settings.warmup, epochs - settings.warmup
    return settings.lr * _share(settings.schedule, e, epoch / epochs, left)


def _share(schedule: str, e: int, done: float, epochs: int) -> float:
    """Share of the highest rate in epoch e of `epochs`, `done` of all steps being done."""
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return 1.0 if epochs == 1 else LAST_RATE + (1 - LAST_RATE) * _fall(e / (epochs - 1))
    if schedule == "linear":
        return 1 - done
    if schedule == "one-cycle":
        if done < RISE:
            return FIRST_RATE + (1 - FIRST_RATE) * (1 - _fall(done / RISE))
        return FIRST_RATE * 1e-4 + (1 - FIRST_RATE * 1e-4) * _fall((done - RISE) / (1 - RISE))
    if schedule.startswith("exp"):
        return math.exp(-{"exp(-sqrt e)": math.sqrt(e), "exp(-e)": e, "exp(-e^2)": e**2}[schedule])
    power = re.fullmatch(r"t\^-?(.+)", schedule)
    assert power is not None
    return float((e + 1) ** -float(power[1]))


def _fall(share: float) -> float:
    """From 1 at 0 to 0 at 1 along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * share))
