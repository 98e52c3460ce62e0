"""Values along a strip: the scale that all rows of a table share, so that they can be compared by eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.ticker import MaxNLocator

from seqloom.report.words import number
from seqloom.stats import Interval


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` along a strip."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Place of a value in percent of the strip's width; beyond it, its end."""
        return round(100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0), 2)

    @property
    def ticks(self) -> list[float]:
        """A few round values."""
        places = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(self.low, self.high)
        return [round(float(place), 12) for place in places if self.low <= place <= self.high]

    def text(self, tick: float) -> str:
        """A tick in words."""
        plain = f"{tick:g}"
        return number(tick) if "e" in plain else plain.replace("-", "\N{MINUS SIGN}")

    def beyond(self, value: float) -> Literal["left", "right", ""]:
        """The side on which a value lies beyond the strip, if any."""
        return "left" if value < self.low else "right" if value > self.high else ""

    @staticmethod
    def of(values: Sequence[float]) -> Scale | None:
        """The scale that holds all finite values with a little room; None if there are none."""
        finite = [value for value in values if np.isfinite(value)]
        if not finite:
            return None
        low, high = min(finite), max(finite)
        room = 0.05 * ((high - low) or abs(high) or 1.0)
        return Scale(low - room, high + room)

    @staticmethod
    def of_intervals(scores: Sequence[Interval]) -> Scale | None:
        """The scale for the intervals of variants, best first; None if none is defined.

        From the last upwards, one that would at least double the range is left out: a guessing baseline would otherwise
        make the intervals of all others too short to see.
        """
        spans = [(score.value, score.low, score.high) for score in scores if np.isfinite(score.value)]
        while len(spans) > 2 and _width(spans[:-1]) < _width(spans) / 2:
            spans.pop()
        return Scale.of([end for span in spans for end in span])


def _width(spans: Sequence[tuple[float, ...]]) -> float:
    return float(np.nanmax(spans) - np.nanmin(spans))
