"""Layers of both nets, over x (B, L, D) with channels side by side in memory, as convolutions are fastest.

Decides how positions are halved and doubled, how channels are normed, and how weights are kept to a spectral norm of 1. All of
them have second derivatives, which penalties on gradients need.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

Up = Literal["subpixel", "transposed", "nearest"]
Down = Literal["strided", "average"]
Norm = Literal["none", "pixel", "batch"]
SLOPE = 0.2
HEADS = 4
ROOT_HALF = 0.5**0.5


def activated(x: Tensor) -> Tensor:
    """Leaky ReLU."""
    return functional.leaky_relu(x, SLOPE)


class Conv(nn.Conv1d):
    """A convolution over positions, stride 1 or 2, that keeps (or halves) their number."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(n_in, n_out, kernel, stride, padding=(kernel - 1) * dilation // 2, dilation=dilation)
        nn.init.kaiming_normal_(self.weight, SLOPE)
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L / stride, its channels) of x (B, L, D)."""
        if self.kernel_size[0] == 1 and self.stride[0] == 1:
            return functional.linear(x, self.weight[:, :, 0], self.bias)
        assert isinstance(self.padding, tuple)
        image = x.transpose(1, 2).unsqueeze(2)  # (B, D, 1, L), channels last
        weight = self.weight.unsqueeze(2)
        y = functional.conv2d(image, weight, self.bias, (1, *self.stride), (0, *self.padding), (1, *self.dilation))
        return y.squeeze(2).transpose(1, 2)


class Doubled(nn.Module):
    """Twice the positions by a convolution: `subpixel`, channels dealt to neighbours (Shi et al. 2016, arXiv:1609.05158);
    `transposed`
    convolution; or `nearest`, each position twice and then a convolution."""

    def __init__(self, n_in: int, n_out: int, kernel: int, up: Up) -> None:
        super().__init__()
        self.up, self.n_out = up, n_out
        self.conv: nn.Module
        if up == "transposed":
            self.conv = nn.ConvTranspose1d(n_in, n_out, 4, 2, 1)
            nn.init.kaiming_normal_(self.conv.weight, SLOPE, "fan_out")
        else:
            self.conv = Conv(n_in, n_out * (2 if up == "subpixel" else 1), kernel)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2 L, its channels) of x (B, L, D)."""
        if self.up == "subpixel":
            return self.conv(x).reshape(len(x), 2 * x.shape[1], self.n_out)
        if self.up == "nearest":
            return self.conv(repeated(x))
        return self.conv(x.transpose(1, 2)).transpose(1, 2)


class Halved(nn.Module):
    """Half the positions by a `strided` convolution, or one whose outputs are taken in pairs by `average`."""

    def __init__(self, n_in: int, n_out: int, kernel: int, down: Down) -> None:
        super().__init__()
        self.down = down
        self.conv = Conv(n_in, n_out, kernel, stride=2 if down == "strided" else 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L / 2, its channels) of x (B, L, D), L even."""
        y = self.conv(x)
        return y if self.down == "strided" else averaged(y)


def repeated(x: Tensor) -> Tensor:
    """Each position of x (B, L, D) twice."""
    return x[:, :, None].expand(-1, -1, 2, -1).reshape(len(x), 2 * x.shape[1], x.shape[2])


def averaged(x: Tensor) -> Tensor:
    """Means of pairs of positions of x (B, L, D), L even."""
    return (x[:, ::2] + x[:, 1::2]) * 0.5


class Modulated(nn.Module):
    """Normed channels, scaled and shifted by a vector, such as the latent one (conditional norm; Dumoulin et al. 2016,
    arXiv:1610.07629).

    `batch` norms by means over a batch, and running means outside training; `pixel` by the mean square of a position's
    channels.
    """

    def __init__(self, n_channels: int, n_style: int, norm: Norm) -> None:
        super().__init__()
        self.norm = norm
        self.style = nn.Linear(n_style, 2 * n_channels)
        nn.init.normal_(self.style.weight, std=0.1 / n_style**0.5)
        nn.init.zeros_(self.style.bias)
        self.batch = nn.BatchNorm1d(n_channels, affine=False) if norm == "batch" else None

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """x (B, L, D) under style (B, S)."""
        if self.batch is not None:
            x = self.batch(x.reshape(-1, x.shape[2])).reshape(x.shape)
        elif self.norm == "pixel":
            x = x * torch.rsqrt(x.float().square().mean(2, keepdim=True) + 1e-6).to(x.dtype)
        scale, shift = self.style(style)[:, None].chunk(2, 2)
        return x * (1 + scale) + shift


class Attention(nn.Module):
    """What every position learns from all others, added to it (Zhang et al. 2018, arXiv:1805.08318); nothing at first.

    Written out: torch's fused kernels have no second derivative.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(n_channels, 3 * n_channels)
        self.out = nn.Linear(n_channels, n_channels)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D)."""
        n, length, width = x.shape
        normed = x * torch.rsqrt(x.float().square().mean(2, keepdim=True) + 1e-6).to(x.dtype)
        q, k, v = self.qkv(normed).reshape(n, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(2, 3) * (width // HEADS) ** -0.5, -1)
        seen = (weights @ v).transpose(1, 2).reshape(n, length, width)
        return x + self.gain * self.out(seen)


class Spectral(nn.Module):
    """Divides a weight by its largest singular value, found by power iteration (Miyato et al. 2018, arXiv:1802.05957)."""

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("left", functional.normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("right", functional.normalize(torch.randn(matrix.shape[1]), dim=0))
        for _ in range(15):
            self._iterate(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight, of spectral norm near 1; in training each call improves the estimate."""
        matrix = weight.flatten(1)
        with torch.autocast(weight.device.type, enabled=False):
            if self.training:
                self._iterate(matrix.detach())
            # New vectors, as the next call changes these in place before gradients are taken; and of length 1, which running
            # means of them are not.
            left, right = (functional.normalize(each, dim=0) for each in (self.left, self.right))
            return weight / torch.dot(left, matrix @ right)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.right.copy_(functional.normalize(matrix.T @ self.left, dim=0))
        self.left.copy_(functional.normalize(matrix @ self.right, dim=0))


def spectrally_normed(module: nn.Module) -> nn.Module:
    """The module, every convolution and matrix in it kept to a spectral norm of 1."""
    for layer in list(module.modules()):
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d | nn.Linear):
            parametrize.register_parametrization(layer, "weight", Spectral(layer.weight))
    return module
