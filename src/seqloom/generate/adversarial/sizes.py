"""How large the nets are: one dial, `preset`, from which canvas, widths and reach follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Preset = Literal["tiny", "small", "base"]
COARSEST = 8
"""Positions of the coarsest layer, or a few more: every other layer has twice as many as the one before it."""
MOST_ATTENDED = 32
"""Positions that attend to each other at most: memory grows with their square."""
WIDTHS: dict[Preset, tuple[int, ...]] = {
    "tiny": (32, 64, 96, 128),
    "small": (64, 96, 128, 192),
    "base": (96, 160, 256, 384),
}
"""Channels from the finest layer on; the last holds for all coarser ones."""


@dataclass(frozen=True)
class Sizes:
    """The layers of both nets, from the finest to the coarsest."""

    canvas: int
    """Positions, the longest sequence fits; a multiple of 2 for each halving."""
    widths: tuple[int, ...]
    """Channels of each layer."""

    @property
    def n_halvings(self) -> int:
        """Layers but the finest."""
        return len(self.widths) - 1

    @property
    def coarsest(self) -> int:
        """Positions of the last layer."""
        return self.canvas >> self.n_halvings

    @property
    def attended(self) -> int:
        """The layer in which positions attend to each other: the finest of few enough positions, else the coarsest."""
        few = [layer for layer in range(len(self.widths)) if self.canvas >> layer <= MOST_ATTENDED]
        return few[0] if few else self.n_halvings


def sizes_of(longest: int, widths: tuple[int, ...]) -> Sizes:
    """Layers for sequences of up to `longest` symbols, `widths` from the finest on, the last one repeated as needed.

    >>> sizes_of(128, (32, 64, 128)), sizes_of(90, (32, 64)).canvas
    (Sizes(canvas=128, widths=(32, 64, 128, 128, 128)), 96)
    """
    n_halvings = 0
    while longest >> (n_halvings + 1) >= COARSEST:
        n_halvings += 1
    step = 1 << n_halvings
    step = max(step, COARSEST)
    canvas = -(-longest // step) * step
    return Sizes(canvas, tuple(widths[min(each, len(widths) - 1)] for each in range(n_halvings + 1)))


def reach(kernel: int, dilation: int, n_halvings: int, n_blocks: int, down: str) -> int:
    """Positions of the sequence that one place of the critic's coarsest layer sees (its receptive field).

    >>> reach(3, 1, 0, 1, "strided")
    5
    """
    seen, stride = 1, 1
    for layer in range(n_halvings + 1):
        for block in range(n_blocks):
            halves = layer > 0 and block == 0
            seen += (kernel - 1) * stride
            if halves:
                if down == "average":
                    seen += stride
                stride *= 2
            seen += (kernel - 1) * dilation * stride
    return seen
