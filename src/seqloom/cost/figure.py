"""A number of a plan, and where it comes from: what was measured can be trusted more than what was assumed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Source = Literal["measured", "computed", "assumed"]
"""Measured here and now; computed from measured numbers and the sizes that the code has; or assumed, as nothing here can tell."""
Unit = Literal["rows", "rows/s", "s", "bytes", "bytes/s", "share", "members"]


@dataclass(frozen=True)
class Figure:
    """One number."""

    value: float
    unit: Unit
    source: Source
    how: str
    """On what it was measured, or out of what it is computed."""

    def as_json(self) -> dict[str, Any]:
        """The stable keys of a figure of `plan --json`."""
        return asdict(self)


def measured(value: float, unit: Unit, how: str) -> Figure:
    """A number that was measured."""
    return Figure(value, unit, "measured", how)


def computed(value: float, unit: Unit, how: str) -> Figure:
    """A number that follows from others."""
    return Figure(value, unit, "computed", how)


def assumed(value: float, unit: Unit, how: str) -> Figure:
    """A number that nothing here can measure."""
    return Figure(value, unit, "assumed", how)
