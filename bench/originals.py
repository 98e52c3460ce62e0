"""The three nets of a published solution for a library of 98 million molecules, as plainly as it had them.

Re-created from its description: convolutions with a mean over all positions, a transformer, and Mamba-1 whose scan goes step by
step (`bench/nets.py textbook`). All take ids padded to `PADDED` and a mask, and give logits of `N_TARGETS` targets.
"""

import math
from collections.abc import Callable

import torch
from nets import textbook
from torch import Tensor, nn
from torch.nn import functional

PADDED, N_TARGETS, EMBED, DROPOUT = 160, 3, 64, 0.1
FILTERS, HEAD = (128, 256, 256, 256, 256), (1024, 1024, 512)
NORM = {"eps": 5e-3, "momentum": 0.2}

Attention = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


class OriginalCNN(nn.Module):
    """Five convolutions with batch norm, mean over all positions, padding among them, and a head of three layers.

    `channels_last`: the same with the channels of a position side by side in memory.
    """

    def __init__(self, vocabulary: int, *, channels_last: bool = False) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.embedding = nn.Embedding(vocabulary, EMBED)
        before, layers = EMBED, []
        for after in FILTERS:
            convolution, norm = (
                (nn.Conv2d(before, after, (1, 3), padding=(0, 1), bias=False), nn.BatchNorm2d(after, **NORM))
                if channels_last
                else (nn.Conv1d(before, after, 3, padding=1, bias=False), nn.BatchNorm1d(after, **NORM))
            )
            layers += [convolution, norm, nn.ReLU()]
            before = after
        self.convolutions = nn.Sequential(*layers)
        layers = []
        for after in HEAD:
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(DROPOUT)]
            before = after
        self.head = nn.Sequential(*layers, nn.Linear(before, N_TARGETS))
        if channels_last:
            self.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, ids: Tensor, mask: Tensor, _: Tensor) -> Tensor:
        """(B, L) to (B, T)."""
        x = self.embedding(ids).transpose(1, 2)  # (B, D, L)
        x = self.convolutions(x.unsqueeze(2)).squeeze(2) if self.channels_last else self.convolutions(x)
        out: Tensor = self.head(x.mean(2))
        return out


class Stem(nn.Module):
    """Embedding, and a convolution that learns words of three symbols."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, EMBED)
        self.convolution, self.norm = nn.Conv1d(EMBED, width, 3, padding=1, bias=False), nn.BatchNorm1d(width)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, L) to (B, L, D)."""
        x = self.convolution(self.embedding(ids).transpose(1, 2))
        return functional.relu(self.norm(x)).transpose(1, 2)


class OriginalTransformer(nn.Module):
    """Seven layers of 8 heads with layer norm after each sum, masked mean, one linear layer."""

    def __init__(self, vocabulary: int, attention: Attention | None = None, width: int = 512, layers: int = 7) -> None:
        super().__init__()
        self.stem = Stem(vocabulary, width)
        self.layers = nn.ModuleList(OriginalLayer(width, attention or fused_attention) for _ in range(layers))
        self.out = nn.Linear(width, N_TARGETS)
        rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
        angle = torch.arange(PADDED).unsqueeze(1) * rate
        self.register_buffer("places", torch.stack([angle.sin(), angle.cos()], 2).flatten(1))  # (PADDED, D)

    def forward(self, ids: Tensor, mask: Tensor, _: Tensor) -> Tensor:
        """(B, L) to (B, T)."""
        x = self.stem(ids) + self.places[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x, mask)
        out: Tensor = self.out(mean_of(x, mask))
        return out


class OriginalLayer(nn.Module):
    """Attention and a feed-forward net of 2,048 units, both with dropout, a shortcut and a norm after it."""

    def __init__(self, width: int, attention: Attention, heads: int = 8, feed_forward: int = 2048) -> None:
        super().__init__()
        self.heads, self.attention = heads, attention
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, feed_forward), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(feed_forward, width)
        )
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D) and mask (B, L) to (B, L, D)."""
        rows, length, width = x.shape
        split = self.project(x).view(rows, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        heads = self.attention(*split.unbind(0), mask[:, None, None, :])
        x = self.first(x + self.dropout(self.out(heads.transpose(1, 2).reshape(x.shape))))
        out: Tensor = self.second(x + self.dropout(self.feed_forward(x)))
        return out


def fused_attention(query: Tensor, key: Tensor, value: Tensor, kept: Tensor) -> Tensor:
    """By torch's kernel."""
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=kept)


def written_out_attention(query: Tensor, key: Tensor, value: Tensor, kept: Tensor) -> Tensor:
    """By its formula, all weights in memory."""
    scores = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).masked_fill(~kept, -torch.inf)
    return scores.softmax(-1) @ value


class OriginalMamba(nn.Module):
    """Six blocks of Mamba-1 and a gated net of 128 units each, masked mean, one linear layer."""

    def __init__(self, vocabulary: int, scan: Scan = textbook, width: int = 256, layers: int = 6) -> None:
        super().__init__()
        self.stem = Stem(vocabulary, width)
        self.blocks = nn.ModuleList(OriginalBlock(width, scan) for _ in range(layers))
        self.out = nn.Linear(width, N_TARGETS)

    def forward(self, ids: Tensor, mask: Tensor, _: Tensor) -> Tensor:
        """(B, L) to (B, T)."""
        x = self.stem(ids)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.out(mean_of(x, mask))
        return out


class OriginalBlock(nn.Module):
    """Norm, Mamba-1 of twice the width with states of 16, norm, gated net; two shortcuts."""

    def __init__(self, width: int, scan: Scan, state: int = 16, kernel: int = 4, gated: int = 128) -> None:
        super().__init__()
        inner, rank = 2 * width, width // 16
        self.scan, self.sizes = scan, [rank, state, state]
        self.first, self.second = nn.RMSNorm(width), nn.RMSNorm(width)
        self.enter, self.leave = nn.Linear(width, 2 * inner, bias=False), nn.Linear(inner, width, bias=False)
        self.convolution = nn.Conv1d(inner, inner, kernel, groups=inner, padding=kernel - 1)
        self.select, self.dt = nn.Linear(inner, sum(self.sizes), bias=False), nn.Linear(rank, inner)
        nn.init.constant_(self.dt.bias, -4.0)  # steps of .02, where Mamba starts
        self.a_log = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        self.up, self.down = nn.Linear(width, 2 * gated, bias=False), nn.Linear(gated, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        u, gate = self.enter(self.first(x)).chunk(2, -1)
        u = functional.silu(self.convolution(u.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        low, b, c = self.select(u).split(self.sizes, -1)
        y = self.scan(u, functional.softplus(self.dt(low)), -self.a_log.exp(), b, c) + self.skip * u
        x = x + self.leave(y * functional.silu(gate))
        value, gate = self.up(self.second(x)).chunk(2, -1)
        out: Tensor = x + self.down(value * functional.silu(gate))
        return out


def mean_of(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of x (B, L, D) over kept positions, (B, D)."""
    return (x * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
