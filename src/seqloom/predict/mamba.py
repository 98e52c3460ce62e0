"""Mamba and Mamba-2: state space models that choose by symbol what to remember."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from seqloom.nn.dropout import Dropout
from seqloom.nn.packed import trimmed
from seqloom.nn.pool import masked_mean
from seqloom.nn.selective_scan import selective_scan
from seqloom.nn.ssd import state_space
from seqloom.predict.base import Dims
from seqloom.predict.net import Net
from seqloom.registry import register

NORM_EPS = 1e-5
CHANNELS_PER_RANK = 16
"""Version 1 makes dt of a (width / 16)-dimensional projection, as its authors do."""
DT_RANGE = (1e-3, 1e-1)
DT_LEAST = 1e-4
A_RANGE = (1.0, 16.0)


@register("predictor", "mamba")
class Mamba(Net):
    """Selective state spaces (Gu and Dao 2023, arXiv:2312.00752; Dao and Gu 2024, arXiv:2405.21060) over symbols, pooled.

    Work and memory grow linearly with the length. Version 2 computes by matrix products and is the faster one; version 1 lets
    every channel and state fade at a rate of its own.
    """

    takes = "tokens"

    version: Literal[1, 2] = 2
    """1: the selective scan; 2: one decay per head, as matrix products over chunks (state space duality)."""
    width: Annotated[int, Field(ge=1)] = 64
    """Channels D between the blocks."""
    expand: Annotated[int, Field(ge=1)] = 2
    """Channels within a block, in multiples of `width`."""
    state: Annotated[int, Field(ge=1)] = 16
    """Numbers N that each channel remembers."""
    kernel: Annotated[int, Field(ge=1)] = 4
    """Symbols seen by the convolution before each scan: the symbol itself and those before it."""
    head_width: Annotated[int, Field(ge=1)] = 32
    """Channels that share a decay, in version 2; it divides `expand` times `width`."""
    layers: Annotated[int, Field(ge=1)] = 2
    """Blocks."""
    bidirectional: Literal["none", "sum", "concat"] = "sum"
    """Each block reads from the first symbol only, or also from the last to the first; what the two directions found is added, or
    laid side by side, before it leaves the block."""
    pool: Literal["mean", "last", "both"] = "both"
    """What the head reads: the mean over symbols, what each direction has gathered where it ends, or both."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of channels left out in each training step: of what each block adds, at all symbols alike, and in the head."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Mamba:
        if self.version == 1 and "head_width" in self.model_fields_set:
            raise ValueError("head_width is of version = 2; version = 1 has no heads")
        if self.version == 2 and self.expand * self.width % self.head_width:
            raise ValueError(
                f"head_width = {self.head_width} does not divide the {self.expand * self.width} channels of a block "
                f"(expand = {self.expand} times width = {self.width})"
            )
        return self

    @property
    def n_directions(self) -> int:
        """1, or 2 where symbols are read from both ends."""
        return 1 if self.bidirectional == "none" else 2

    def module(self, dims: Dims) -> nn.Module:
        """(B, L) ids to (B, T)."""
        return MambaNet(self, dims)


class MambaNet(nn.Module):
    """Embedding, residual blocks, norm, pooling, head."""

    def __init__(self, recipe: Mamba, dims: Dims) -> None:
        super().__init__()
        self.recipe = recipe
        width = recipe.width
        self.embedding = nn.Embedding(dims.vocabulary, width, padding_idx=0)
        self.norms = nn.ModuleList(nn.RMSNorm(width, NORM_EPS) for _ in range(recipe.layers))
        self.mixers = nn.ModuleList(Mixer(recipe) for _ in range(recipe.layers))
        self.dropouts = nn.ModuleList(Dropout(recipe.dropout, over="sequence") for _ in range(recipe.layers))
        self.norm = nn.RMSNorm(width, NORM_EPS)
        n_pooled = {"mean": 1, "last": recipe.n_directions, "both": 1 + recipe.n_directions}[recipe.pool]
        self.head = nn.Sequential(
            nn.Linear(n_pooled * width + dims.n_covariates, width),
            nn.GELU(),
            Dropout(recipe.dropout),
            nn.Linear(width, dims.n_outputs),
        )

    def forward(self, ids: Tensor, mask: Tensor, covariates: Tensor) -> Tensor:
        """ids (B, L), mask (B, L), covariates (B, C) to (B, T)."""
        ids, mask = trimmed(ids, mask)
        x = self.embedding(ids)  # (B, L, D)
        for norm, mixer, dropout in zip(self.norms, self.mixers, self.dropouts, strict=True):
            x = x + dropout(mixer(norm(x), mask))
        out: Tensor = self.head(torch.cat([*self.pooled(self.norm(x), mask), covariates], dim=1))
        return out

    def pooled(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        """What the head reads of x (B, L, D): arrays (B, D), zeros for empty sequences."""
        found = [] if self.recipe.pool == "last" else [masked_mean(x, mask)]
        if self.recipe.pool != "mean":
            last = mask & ~functional.pad(mask[:, 1:], (0, 1))
            found.append((x * last.unsqueeze(-1)).sum(1))
            if self.recipe.n_directions == 2:
                found.append(x[:, 0] * mask[:, :1])
        return found


class Mixer(nn.Module):
    """What a block adds: a scan in each direction, gated by a function of the symbol itself.

    The directions share the gate and the way out and have all else for themselves. The second reads the padded rows from the
    right: padding comes first then, moves nothing, and the state is still zero where the sequence begins.
    """

    def __init__(self, recipe: Mamba) -> None:
        super().__init__()
        self.n_directions, self.joined = recipe.n_directions, recipe.bidirectional
        self.inner = recipe.expand * recipe.width
        n_joined = self.inner * (2 if recipe.bidirectional == "concat" else 1)
        self.scan = SelectiveScan(recipe) if recipe.version == 1 else Duality(recipe)
        self.enter = nn.Linear(recipe.width, n_joined + self.n_directions * self.scan.n_in, bias=False)
        self.norm = nn.Identity() if recipe.version == 1 else nn.RMSNorm(n_joined, NORM_EPS)
        self.leave = nn.Linear(n_joined, recipe.width, bias=False)
        with torch.no_grad():
            self.leave.weight /= math.sqrt(recipe.layers)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D) and mask (B, L) to (B, L, D), of no meaning where padded."""
        kept = mask.unsqueeze(-1).to(x.dtype)  # (B, L, 1)
        sizes = [self.leave.in_features] + [self.scan.n_in] * self.n_directions
        gate, *streams = torch.split(self.enter(x), sizes, dim=-1)
        y = self.scan(_each_way(streams), _each_way([kept] * self.n_directions))
        ways = [y[0], *(way.flip(1) for way in y.unbind(0)[1:])]
        joined = torch.cat(ways, -1) if self.joined == "concat" else sum(ways[1:], ways[0])
        out: Tensor = self.leave(self.norm(joined * functional.silu(gate)))
        return out


class SelectiveScan(nn.Module):
    """The core of Mamba-1: steps dt, b and c are functions of each symbol; `a` of channel and state alone."""

    def __init__(self, recipe: Mamba) -> None:
        super().__init__()
        n, inner = recipe.n_directions, recipe.expand * recipe.width
        rank = -(-recipe.width // CHANNELS_PER_RANK)
        self.n_in, self.sizes = inner, [rank, recipe.state, recipe.state]
        self.convolution = CausalConvolution(n, recipe.kernel, inner)
        self.select = nn.Parameter(_uniform(inner**-0.5, n, inner, sum(self.sizes)))
        self.dt = nn.Parameter(_uniform(rank**-0.5, n, rank, inner))
        self.dt_bias = nn.Parameter(_dt_bias(n, inner))
        self.a_log = nn.Parameter(torch.arange(1.0, recipe.state + 1).log().expand(n, inner, -1).clone())
        self.skip = nn.Parameter(torch.ones(n, 1, 1, inner))

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        """x (G, B, L, inner) of G directions and kept (G, B, L, 1) to (G, B, L, inner)."""
        u = functional.silu(self.convolution(x * kept))
        low, b, c = torch.split(torch.einsum("gbli,gio->gblo", u, self.select), self.sizes, dim=-1)
        raw = torch.einsum("gblr,gri->gbli", low, self.dt) + self.dt_bias
        y = selective_scan(u, functional.softplus(raw) * kept, -self.a_log.exp(), b, c)
        return y + self.skip * u


class Duality(nn.Module):
    """The core of Mamba-2: one decay per head and step; b and c are shared by the heads and made beside x."""

    def __init__(self, recipe: Mamba) -> None:
        super().__init__()
        n, inner = recipe.n_directions, recipe.expand * recipe.width
        self.n_heads = inner // recipe.head_width
        self.sizes = [inner, recipe.state, recipe.state]
        self.n_in = sum(self.sizes) + self.n_heads
        self.convolution = CausalConvolution(n, recipe.kernel, sum(self.sizes))
        self.dt_bias = nn.Parameter(_dt_bias(n, self.n_heads))
        self.a_log = nn.Parameter(torch.empty(n, 1, 1, self.n_heads).uniform_(*A_RANGE).log())
        self.skip = nn.Parameter(torch.ones(n, 1, 1, self.n_heads, 1))

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        """x (G, B, L, n_in) of G directions and kept (G, B, L, 1) to (G, B, L, inner)."""
        raw = x[..., -self.n_heads :] + self.dt_bias
        dt = functional.softplus(raw) * kept  # (G, B, L, H)
        made = functional.silu(self.convolution(x[..., : -self.n_heads] * kept))
        u, b, c = torch.split(made, self.sizes, dim=-1)
        u = u.reshape(*dt.shape, -1)  # (G, B, L, H, P)
        log_decay = -self.a_log.exp() * dt
        drive = u * dt.unsqueeze(-1)
        y = state_space(drive.flatten(0, 1), log_decay.flatten(0, 1), b.flatten(0, 1), c.flatten(0, 1))
        return (y.reshape(u.shape) + self.skip * u).flatten(-2)


class CausalConvolution(nn.Module):
    """Each channel's weighted sum of a symbol and the `kernel - 1` before it, zeros before the first.

    Sums of shifted arrays, as torch's convolution of single channels takes half as long again on a CPU.
    """

    def __init__(self, n_directions: int, kernel: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(_uniform(kernel**-0.5, n_directions, kernel, 1, 1, width))
        self.bias = nn.Parameter(_uniform(kernel**-0.5, n_directions, 1, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """x (G, B, L, D) to (G, B, L, D)."""
        length, kernel = x.shape[2], self.weight.shape[1]
        before = functional.pad(x, (0, 0, kernel - 1, 0))
        y: Tensor = self.bias
        for shift, weight in enumerate(self.weight.unbind(1)):
            y = torch.addcmul(y, before[:, :, shift : shift + length], weight)
        return y


def _each_way(streams: list[Tensor]) -> Tensor:
    """One array (B, L, D) for each direction, in the order in which it is read, (G, B, L, D)."""
    return torch.stack([streams[0], *(stream.flip(1) for stream in streams[1:])])


def _uniform(bound: float, *shape: int) -> Tensor:
    return torch.empty(shape).uniform_(-bound, bound)


def _dt_bias(n_directions: int, width: int) -> Tensor:
    """What softplus turns into steps dt spread evenly over the logarithms of `DT_RANGE`, (G, 1, 1, width)."""
    low, high = (math.log(each) for each in DT_RANGE)
    dt = torch.empty(n_directions, 1, 1, width).uniform_(low, high).exp().clamp(min=DT_LEAST)
    return dt + torch.log(-torch.expm1(-dt))
