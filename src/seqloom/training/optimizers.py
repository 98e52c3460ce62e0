"""The optimiser that `[train] optimizer` names."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from seqloom.training.settings import TrainSection


def optimizer_of(parameters: Iterable[nn.Parameter], settings: TrainSection) -> Optimizer:
    """A torch optimiser of these parameters.

    Adam and AdamW take one fused kernel for all parameters, where there is one: small nets spend much of a step on this. RMSprop
    has a decay of 0.9 (Hinton, lecture 6e), SGD Nesterov's momentum of 0.9, Adadelta a decay of 0.95 (Zeiler 2012,
    arXiv:1212.5701); the latter wants rates near 1.
    """
    held = list(parameters)
    fused = all(each.device.type in ("cpu", "cuda") and each.dtype == torch.float32 for each in held)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(held, settings.lr, weight_decay=settings.weight_decay, fused=fused)
    if settings.optimizer == "adam":
        return torch.optim.Adam(held, settings.lr, fused=fused)
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(held, settings.lr, alpha=0.9)
    if settings.optimizer == "adadelta":
        return torch.optim.Adadelta(held, settings.lr, rho=0.95)
    return torch.optim.SGD(held, settings.lr, momentum=0.9, nesterov=True)
