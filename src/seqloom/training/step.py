"""What the training loop repeats, and what it leaves behind of every epoch."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.optim import Optimizer

from seqloom.training.settings import TrainSection

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Step(ABC):
    """What the loop repeats."""

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, Optimizer]
    n_batches: int
    """Batches of an epoch."""

    @abstractmethod
    def batches(self, epoch: int) -> Iterator[Any]:
        """The batches of an epoch, in an order that depends on the epoch and the seed alone."""

    @abstractmethod
    def update(self, batch: Any, fabric: Fabric) -> Mapping[str, Tensor]:
        """One forward, backward and optimiser step; mean losses by name, left on the device."""

    @abstractmethod
    def validate(self) -> Mapping[str, float]:
        """Numbers after an epoch. `valid_loss` decides when to stop and which weights are kept."""

    def recovered(self, best: Mapping[str, Tensor]) -> bool:
        """Whether the step found itself astray after this epoch, and put back the weights `best` to go on from; never here."""
        return False


Together = Callable[[Sequence[Step], Sequence[Any], "Fabric"], Sequence[Tensor]]
"""Makes one step of several trainings from a batch of each; gives the loss of each, left on the device."""


@dataclass(frozen=True)
class Training:
    """One net to train: what is repeated, and how."""

    step: Step
    settings: TrainSection
    epochs: int
    """Epochs at most; fewer if the valid loss stops falling."""
    seed: int
    name: str = ""
    """By which its state is found again among that of the trainings beside it."""
    progress: Callable[[int, int], None] | None = None
    """Told (epochs done, epochs at most)."""
    seconds: float = math.inf
    """Of work after which no epoch is begun."""


@dataclass(frozen=True)
class Epoch:
    """A line of the curves."""

    epoch: int
    lr: float
    """Mean over its steps of the rate that the optimiser had."""
    train_loss: float
    valid_loss: float
    valid_score: float = math.nan
    test_score: float = math.nan
