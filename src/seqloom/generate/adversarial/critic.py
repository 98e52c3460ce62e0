"""The critic's net: how natural a sequence looks, one number.

From the finest layer to the coarsest every two positions become one. What is read out at the end knows where in the sequence it
stands (`flatten`): a critic that sums over positions cannot see that a protein begins with M.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from seqloom.generate.adversarial.encodings import Embedding
from seqloom.generate.adversarial.layers import (
    ROOT_HALF,
    Attention,
    Conv,
    Down,
    Halved,
    activated,
    averaged,
    spectrally_normed,
)
from seqloom.generate.adversarial.sizes import Sizes

Readout = Literal["flatten", "sum"]
HIDDEN = 2
"""Units of the readout for each channel of the coarsest layer."""
USUAL_SHARE = 0.99


class Critic(nn.Module):
    """Values (B,) of sequences (B, L, V), and conditions (B, C), by projection of these (Miyato and Koyama 2018,
    arXiv:1802.05637)."""

    usual: Tensor

    def __init__(
        self,
        sizes: Sizes,
        embedding: Embedding,
        n_conditions: int,
        *,
        kernel: int,
        dilation: int,
        n_blocks: int,
        down: Down,
        attention: bool,
        readout: Readout,
        group: int,
        spectral: bool,
    ) -> None:
        """`group`: sequences whose spread each of them is shown (minibatch-std; Karras et al. 2017, arXiv:1710.10196), 0
        for none."""
        super().__init__()
        self.readout, self.group = readout, group
        self.embedding = embedding
        self.first = Conv(embedding.width, sizes.widths[0], kernel)
        self.positions = (
            nn.Parameter(0.1 * torch.randn(sizes.canvas, sizes.widths[0])) if readout == "flatten" else None
        )
        self.blocks = nn.ModuleList()
        for layer, n_out in enumerate(sizes.widths):
            n_in = sizes.widths[max(layer - 1, 0)]
            for number in range(n_blocks):
                halves = number == 0 and layer > 0
                width = n_in if number == 0 else n_out
                self.blocks.append(DownBlock(width, n_out, kernel, dilation, down if halves else None))
            if attention and layer == sizes.attended:
                self.blocks.append(Attention(n_out))
        deepest = sizes.widths[-1]
        self.together = Conv(deepest + (1 if group else 0), deepest, kernel)
        n_read = deepest * (sizes.coarsest if readout == "flatten" else 1)
        self.hidden = nn.Linear(n_read, HIDDEN * deepest)
        self.out = nn.Linear(HIDDEN * deepest, 1)
        self.projected = nn.Linear(n_conditions, HIDDEN * deepest) if n_conditions else None
        self.register_buffer("usual", torch.zeros(()))
        if spectral:
            spectrally_normed(self)

    def forward(self, x: Tensor, conditions: Tensor | None = None) -> Tensor:
        """float32 (B,)."""
        h = self.first(self.embedding(x))
        if self.positions is not None:
            h = h + self.positions
        for block in self.blocks:
            h = block(h)
        if self.group:
            h = torch.cat([h, self._spread(h).to(h.dtype)], 2)
        h = activated(self.together(activated(h)))
        h = h.flatten(1) if self.readout == "flatten" else h.sum(1)
        h = activated(self.hidden(h))
        value = self.out(h)[:, 0]
        if self.projected is not None:
            assert conditions is not None
            value = value + (self.projected(conditions) * h).sum(1) / math.sqrt(h.shape[1])
        return value.float()

    def _spread(self, h: Tensor) -> Tensor:
        """How far the sequences of a group lie apart, (B, L, 1); outside training what is usual, so that no value depends
        on others."""
        if not self.training:
            return self.usual.expand(len(h), h.shape[1], 1)
        size = math.gcd(len(h), self.group)
        groups = h.float().reshape(len(h) // size, size, *h.shape[1:])
        away = groups - groups.mean(1, keepdim=True)  # torch's own variance takes five times as long
        spread = (away.square().mean(1) + 1e-8).sqrt().mean((1, 2))
        with torch.no_grad():
            self.usual.lerp_(spread.detach().mean(), 1 - USUAL_SHARE)
        return spread.repeat_interleave(size)[:, None, None].expand(-1, h.shape[1], 1)


class DownBlock(nn.Module):
    """Two convolutions beside a straight way, the first of which may halve positions."""

    def __init__(self, n_in: int, n_out: int, kernel: int, dilation: int, down: Down | None) -> None:
        super().__init__()
        self.halves = down is not None
        self.first = Conv(n_in, n_out, kernel) if down is None else Halved(n_in, n_out, kernel, down)
        self.second = Conv(n_out, n_out, kernel, dilation=dilation)
        self.straight = Conv(n_in, n_out, 1) if n_in != n_out else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, L or L / 2, its channels) of x (B, L, D)."""
        y = self.second(activated(self.first(activated(x))))
        straight = averaged(x) if self.halves else x
        return ((straight if self.straight is None else self.straight(straight)) + y) * ROOT_HALF
