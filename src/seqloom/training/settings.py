"""The `[train]` section: how often, from which seeds, and how nets are optimised."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from seqloom.errors import ConfigError
from seqloom.registry import Recipe

LEAST_EPOCHS = 20
LEAST_STEPS = 1000
SCHEDULES = ("cosine", "constant", "linear", "one-cycle", "exp(-sqrt e)", "exp(-e)", "exp(-e^2)")


class TrainSection(Recipe):
    """How predictors are trained. All but `seeds`, `seed`, `device` and `class_weight` concern nets only."""

    seeds: Annotated[int, Field(ge=1)] = 1
    """Members per fold of predictors that have randomness in them; the others are fitted once."""
    seed: Annotated[int, Field(ge=0)] = 0
    """First seed; members take `seed`, `seed + 1`, ..."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    epochs: Annotated[int, Field(ge=0)] = 0
    """Most passes over the training rows; 0 makes 20, and more on small tables, until 1,000 steps are reached."""
    rows: Annotated[int, Field(ge=0)] = 0
    """Of a store only: training rows that are learnt from in all, to the next whole batch, in place of whole passes over them;
    0 leaves it to `epochs`, one pass where that is 0, too."""
    batch: Annotated[int, Field(ge=1)] = 64
    """Rows per step, of all processes together."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """Numbers in which nets are trained: `32` bits; `bf16`, products of matrices in half of these (autocast) and all else in 32,
    as fast CPUs and NVIDIA devices have it; `auto`, bf16 on a CUDA device made for it, else 32. Predictions are made in 32."""
    optimizer: Literal["adamw", "adam", "rmsprop", "sgd", "adadelta"] = "adamw"
    """How steps are made of gradients."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Highest learning rate; adadelta wants one near 1."""
    schedule: str = "cosine"
    """The learning rate over the epochs e = 0, 1, ...: `cosine`, from `lr` down to a hundredth of it; `constant`; `linear`, down
    to 0 step by step; `one-cycle`, up and down again (Smith and Topin 2018); `t^-1` or another power of t = e + 1;
    `exp(-sqrt e)`, `exp(-e)`, `exp(-e^2)`."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Epochs in which the rate rises from 0 to `lr`, before the schedule begins."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    """Weight decay of AdamW; other optimisers have none."""
    clip: Annotated[float, Field(ge=0)] = 0.0
    """Largest norm of the gradient of a step, longer ones are shortened to it; 0 leaves them as they are."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the running mean of weights that each step keeps, such as 0.999; the means are validated and kept in place of the
    last weights. 0 keeps no mean."""
    patience: Annotated[int, Field(ge=1)] = 10
    """Epochs without a lower loss on valid rows before training stops; the weights of the best epoch are kept."""
    class_weight: Literal["none", "balanced"] | dict[str, float] = "none"
    """How much rows of each class count in the loss of nets, linear models and boosting: all alike, `balanced` (every class as
    much as any other), or a table such as `{binder = 3}`, 1 for classes it does not name. Only the ratios matter; no row is
    repeated. Probabilities are then those of a table with classes in these shares, unless `[calibrate]` brings them back."""

    @field_validator("schedule")
    @classmethod
    def _schedule(cls, value: str) -> str:
        """One of the names, or a power of t."""
        if value in SCHEDULES or re.fullmatch(r"t\^(0|-\d+(\.\d+)?)", value):
            return value
        raise ValueError(f"it is one of {', '.join(SCHEDULES)}, or a power such as t^-1 or t^-0.5")

    @field_validator("precision", mode="before")
    @classmethod
    def _precision(cls, value: object) -> object:
        """32 as a number is the same."""
        return "32" if value == 32 else value

    @model_validator(mode="after")
    def _used(self) -> TrainSection:
        """Settings that others leave without effect are refused."""
        if self.optimizer != "adamw" and self.weight_decay != TrainSection.model_fields["weight_decay"].default:
            raise ValueError(f"weight_decay is used by adamw only, and optimizer is {self.optimizer!r}; leave it out")
        if self.schedule == "one-cycle" and self.warmup:
            raise ValueError("the one-cycle schedule has its own warm-up; leave warmup out")
        if self.rows and self.epochs:
            raise ValueError(f"rows = {self.rows} and epochs = {self.epochs} both say how long to train; leave one out")
        if self.epochs and self.warmup >= self.epochs:
            raise ValueError(f"warmup = {self.warmup} leaves none of {self.epochs} epochs for the schedule")
        return self

    @field_validator("class_weight", mode="before")
    @classmethod
    def _weights(cls, value: object) -> object:
        """A choice, or weights that are numbers of at least 0."""
        if isinstance(value, str):
            if value not in ("none", "balanced"):
                raise ValueError("it is none, balanced, or a table of weights by class, such as {binder = 3}")
            return value
        if not isinstance(value, Mapping) or not value:
            raise ValueError("give none, balanced, or a table of weights by class, such as {binder = 3}")
        odd = [
            f"{name} = {each!r}"
            for name, each in value.items()
            if isinstance(each, bool) or not isinstance(each, int | float) or not 0 <= each < math.inf
        ]
        if odd:
            raise ValueError(f"weights are numbers of 0 or more, and there is {', '.join(odd)}")
        return value

    def epochs_for(self, n_rows: int) -> int:
        """Most epochs on a table of so many training rows; ConfigError where `rows` is given, which is of stores."""
        if self.rows:
            raise ConfigError(
                f"[train] rows = {self.rows}: a table is learnt from in whole passes; give epochs in its place, or make a store "
                "of the table with seqloom pack"
            )
        n_steps = max(-(-n_rows // self.batch), 1)
        return self.epochs or max(LEAST_EPOCHS, -(-LEAST_STEPS // n_steps))
