"""The generator's net: a latent vector becomes logits of symbols at every position.

From the coarsest layer to the finest each position becomes two, in residual blocks whose channels the latent vector scales and
shifts, together with conditions where there are some.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqloom.generate.adversarial.layers import (
    ROOT_HALF,
    Attention,
    Conv,
    Doubled,
    Modulated,
    Norm,
    Up,
    activated,
    repeated,
)
from seqloom.generate.adversarial.sizes import Sizes


class Writer(nn.Module):
    """Logits (B, L, V) of latent vectors (B, Z), and conditions (B, C)."""

    def __init__(
        self,
        sizes: Sizes,
        vocabulary: int,
        latent: int,
        n_conditions: int,
        *,
        kernel: int,
        dilation: int,
        n_blocks: int,
        up: Up,
        norm: Norm,
        attention: bool,
    ) -> None:
        super().__init__()
        self.sizes, self.latent = sizes, latent
        style = 2 * latent if n_conditions else latent
        self.of_conditions = nn.Linear(n_conditions, latent) if n_conditions else None
        self.mapping = nn.Sequential(nn.Linear(style, style), nn.LeakyReLU(0.2), nn.Linear(style, style))
        deepest = sizes.widths[-1]
        self.start = nn.Linear(style, sizes.coarsest * deepest)
        self.blocks = nn.ModuleList()
        for layer in reversed(range(len(sizes.widths))):
            n_in, n_out = sizes.widths[min(layer + 1, len(sizes.widths) - 1)], sizes.widths[layer]
            for number in range(n_blocks):
                doubles = number == 0 and layer < len(sizes.widths) - 1
                width = n_in if number == 0 else n_out
                self.blocks.append(UpBlock(width, n_out, style, kernel, dilation, up if doubles else None, norm))
            if attention and layer == sizes.attended:
                self.blocks.append(Attention(n_out))
        self.positions = nn.Parameter(0.1 * torch.randn(sizes.canvas, sizes.widths[0]))
        self.last = Modulated(sizes.widths[0], style, norm)
        self.out = nn.Linear(sizes.widths[0], vocabulary)

    def forward(self, z: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Logits (B, L, V), float32."""
        style = z
        if self.of_conditions is not None:
            assert conditions is not None
            style = torch.cat([z, self.of_conditions(conditions)], 1)
        x = self.start(style).reshape(len(z), self.sizes.coarsest, -1)
        style = self.mapping(style)
        for block in self.blocks:
            x = block(x) if isinstance(block, Attention) else block(x, style)
        x = activated(self.last(x + self.positions, style))
        return self.out(x).float()


class UpBlock(nn.Module):
    """Two convolutions beside a straight way, the first of which may double positions."""

    def __init__(
        self, n_in: int, n_out: int, style: int, kernel: int, dilation: int, up: Up | None, norm: Norm
    ) -> None:
        super().__init__()
        self.doubles = up is not None
        self.norms = nn.ModuleList([Modulated(n_in, style, norm), Modulated(n_out, style, norm)])
        self.first = Conv(n_in, n_out, kernel) if up is None else Doubled(n_in, n_out, kernel, up)
        self.second = Conv(n_out, n_out, kernel, dilation=dilation)
        self.straight = Conv(n_in, n_out, 1) if n_in != n_out else None

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B, L or 2 L, its channels) of x (B, L, D) under style (B, S)."""
        y = self.first(activated(self.norms[0](x, style)))
        y = self.second(activated(self.norms[1](y, style)))
        straight = x if self.straight is None else self.straight(x)
        return ((repeated(straight) if self.doubles else straight) + y) * ROOT_HALF
