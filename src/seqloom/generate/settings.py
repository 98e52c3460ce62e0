"""The `[train]` section of generators: how many sequences they see, and how their steps are made.

Progress is counted in sequences seen, so that runs of different batches compare.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from seqloom.registry import Recipe
from seqloom.training.settings import TrainSection

HALF = 0.5


class GeneratorTraining(Recipe):
    """How a generator is trained; those without steps, such as `profile`, take no notice of it but for the seed.

    Defaults that suit a kind better than these are its own: see `seqloom describe generator KIND`.
    """

    seeds: Annotated[int, Field(ge=1)] = 1
    """Members: the same generator from other seeds, each with its own samples and scores."""
    seed: Annotated[int, Field(ge=0)] = 0
    """First seed; members take `seed`, `seed + 1`, ..."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """Numbers in which nets are trained, as for predictors."""
    sequences: Annotated[int, Field(ge=1)] = 200_000
    """Sequences seen at most, repeats counted."""
    seconds: Annotated[float, Field(ge=0)] = 0.0
    """Seconds at most, tested after each evaluation; 0 sets no limit. A run that time ends differs between machines."""
    every: Annotated[int, Field(ge=1)] = 6_400
    """Sequences seen between two evaluations."""
    batch: Annotated[int, Field(ge=2)] = 64
    """Sequences per step."""
    balance: Annotated[float, Field(ge=0, le=1)] = 1.0
    """How much relatives share a vote: each sequence is drawn by the number of its relatives, 80 % alike in the columns of the
    family, to the power of minus this: at 0 all sequences are drawn alike, at 1 a large group of relatives counts as one."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Highest learning rate."""
    schedule: str = "cosine"
    """The learning rate over the evaluations, which stand in the place of epochs: the schedules of predictors."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Evaluations in which the rate rises from 0 to `lr`."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    """Weight decay of AdamW."""
    clip: Annotated[float, Field(ge=0)] = 1.0
    """Largest norm of the gradient of a step, longer ones are shortened to it; 0 leaves them as they are."""
    ema: Annotated[int, Field(ge=0)] = 10_000
    """Half-life, in sequences seen, of the running mean of weights that samples are written with; 0 keeps no mean."""
    patience: Annotated[int, Field(ge=1)] = 10
    """Evaluations without a better one before training stops; the weights of the best are kept."""

    @field_validator("precision", mode="before")
    @classmethod
    def _precision(cls, value: object) -> object:
        return str(value) if value == 32 else value

    @field_validator("schedule")
    @classmethod
    def _schedule(cls, value: str) -> str:
        return TrainSection(schedule=value).schedule

    @property
    def n_evaluations(self) -> int:
        """Evaluations at most."""
        return max(self.sequences // min(self.every, self.sequences), 1)

    @property
    def n_steps(self) -> int:
        """Steps between two evaluations."""
        return max(min(self.every, self.sequences) // self.batch, 1)

    def as_section(self) -> TrainSection:
        """The same for the loop, which counts in evaluations ("epochs") and steps."""
        share = HALF ** (self.batch / self.ema) if self.ema else 0.0
        return TrainSection(
            seed=self.seed,
            device=self.device,
            precision=self.precision,
            batch=self.batch,
            epochs=self.n_evaluations,
            lr=self.lr,
            schedule=self.schedule,
            warmup=min(self.warmup, self.n_evaluations - 1),
            weight_decay=self.weight_decay,
            clip=self.clip,
            ema=share,
            patience=self.patience,
        )
