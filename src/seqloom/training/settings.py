"""The `[train]` section: how often, from which seeds, and how nets are optimised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from seqloom.registry import Recipe

LEAST_EPOCHS = 20
LEAST_STEPS = 1000


class TrainSection(Recipe):
    """How predictors are trained. All but `seeds`, `seed` and `device` concern nets only."""

    seeds: Annotated[int, Field(ge=1)] = 1
    """Members per fold of predictors that have randomness in them; the others are fitted once."""
    seed: Annotated[int, Field(ge=0)] = 0
    """First seed; members take `seed`, `seed + 1`, ..."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    epochs: Annotated[int, Field(ge=0)] = 0
    """Most passes over the training rows; 0 makes 20, and more on small tables, until 1,000 steps are reached."""
    batch: Annotated[int, Field(ge=1)] = 64
    """Rows per step."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Highest learning rate of AdamW."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """The learning rate over the epochs: from `lr` down to a hundredth of it along a cosine, or `lr` throughout."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    """AdamW weight decay."""
    patience: Annotated[int, Field(ge=1)] = 10
    """Epochs without a lower loss on valid rows before training stops; the weights of the best epoch are kept."""

    def epochs_for(self, n_rows: int) -> int:
        """Most epochs on a table of so many training rows."""
        n_steps = max(-(-n_rows // self.batch), 1)
        return self.epochs or max(LEAST_EPOCHS, -(-LEAST_STEPS // n_steps))
