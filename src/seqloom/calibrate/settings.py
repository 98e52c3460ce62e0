"""The `[calibrate]` section: how probabilities are calibrated, and what intervals and sets promise."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from seqloom.registry import Recipe


class CalibrateSection(Recipe):
    """How probabilities of classes are calibrated, and what prediction intervals and sets promise."""

    method: Literal["auto", "none", "temperature", "platt", "isotonic"] = "auto"
    """What is fitted on the valid rows of each member; `auto` a temperature unless another is clearly better there."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Share of new rows whose target prediction intervals, or sets of classes, are to hold."""
