"""What the steps of all generators share: batches drawn by weight, and an evaluation by the monitor in place of a valid loss."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from seqloom.generate.base import Job, Naturals, Sampler
from seqloom.generate.draws import batches
from seqloom.generate.settings import GeneratorTraining
from seqloom.training.device import open_fabric, resolved_device
from seqloom.training.step import Step

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def opened(settings: GeneratorTraining) -> Fabric:
    """Fabric for these settings; `auto` precision is bf16 on a CPU that has products of it, too.

    A gru is then 2.7 times as fast and a gan 1.65 times, and what they write is as good.
    """
    device, precision = resolved_device(settings.device), settings.precision
    fast = device == "cpu" and has_fast_bf16()
    return open_fabric(settings.device, "bf16" if precision == "auto" and fast else precision)


def has_fast_bf16() -> bool:
    """Whether the CPU has products of bf16 matrices (AVX512-BF16)."""
    return bool(torch.cpu._is_avx512_bf16_supported())


class GeneratorStep(Step):
    """A step that learns from `train`; an epoch of the loop is what lies between two evaluations."""

    by_length = False
    """Whether batches hold sequences of similar length."""

    def __init__(self, train: Naturals, job: Job) -> None:
        self.train, self.job, self.turn = train, job, 0
        self.n_batches = job.settings.n_steps

    def batches(self, epoch: int) -> Iterator[Any]:
        """Rows of the natural sequences, int64 (B,)."""
        self.turn = epoch
        lengths = self.train.tokens.lengths if self.by_length else None
        return batches(self.train.weights, self.n_batches, self.job.settings.batch, self.job.seed, epoch, lengths)

    def validate(self) -> Mapping[str, float]:
        """`valid_loss`: what `measured` says of held-out sequences, else how far the monitor finds samples from natural ones."""
        numbers = dict(self.measured())
        distance = math.nan
        if self.job.monitor is not None:
            distance = self.job.monitor.look(self.sampler(), self.turn, self.seen, numbers)
        return {"valid_loss": numbers.get("valid_loss", distance)}

    @property
    def seen(self) -> int:
        """Sequences seen by the end of this turn."""
        return (self.turn + 1) * self.n_batches * self.job.settings.batch

    @abstractmethod
    def sampler(self) -> Sampler:
        """What has been learnt so far, as a view of the modules, which are in evaluation mode."""

    def measured(self) -> Mapping[str, float]:
        """Numbers of this kind of generator after an evaluation; `valid_loss` among them decides, else the monitor does."""
        return {}
