"""Causal nets: the chance of every symbol given those before it, of a whole sequence at once or symbol by symbol.

Id 0, padding elsewhere, is the start where it is read and the end where it is written. Sequences stand at the left of a batch, so
that padding is never before a symbol, and no mask is needed: what is predicted at padding is for the caller to pass over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.nn.dropout import Dropout
from seqloom.nn.positions import BASE

ROWS = 256
"""Sequences written side by side: products of larger matrices are no faster on a CPU."""
FEWEST_ROWS = 16
REMEMBERED = 2**16
"""Symbols of all rows whose keys and values are held at once: 0.4 GB of the default layers, were they a transformer's."""


class Shape(NamedTuple):
    """Sizes of a net."""

    vocabulary: int
    """V: symbols, and the end."""
    n_conditions: int
    """C."""
    width: int
    """D, channels of a transformer and units of a recurrent layer."""
    layers: int
    heads: int
    dropout: float
    """Share left out of what layers read and give, one mask for all positions of a sequence in recurrent nets."""
    weight_drop: float
    """Share of the recurrent weights left out."""


class CausalNet(nn.Module, ABC):
    """Embedding, causal layers, logits. A member writes `read` and what it carries along."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.conditions = nn.Linear(shape.n_conditions, shape.width) if shape.n_conditions else None
        self.head = nn.Linear(shape.width, shape.vocabulary)
        nn.init.normal_(self.embedding.weight, std=shape.width**-0.5)

    def forward(self, ids: Tensor, conditions: Tensor | None) -> Tensor:
        """Logits (B, L + 1, V) of each symbol and the end after ids (B, L), with conditions (B, C)."""
        logits: Tensor = self.head(self.read(self.embedded(functional.pad(ids, (1, 0)), conditions)))
        return logits + never_empty(logits)

    def embedded(self, ids: Tensor, conditions: Tensor | None) -> Tensor:
        """What layers read of ids (B, L): (B, L, D). Conditions (B, C) are told at every position."""
        x: Tensor = self.embedding(ids)
        if self.conditions is not None:
            assert conditions is not None
            x = x + self.conditions(conditions).unsqueeze(1)
        return x

    @abstractmethod
    def read(self, x: Tensor) -> Tensor:
        """x (B, L, D) to (B, L, D), each position of those up to it alone."""

    @abstractmethod
    def memory(self, n_rows: int, longest: int) -> Tensor:
        """What is carried along before anything is read, of so many rows for at most so many positions."""

    def rows_at_once(self, longest: int) -> int:
        """Sequences written side by side, of at most so many symbols; a function of nothing else."""
        return ROWS

    @abstractmethod
    def step(self, x: Tensor, memory: Tensor, position: int) -> Tensor:
        """x (B, D) at `position` to (B, D), as `read` would; `memory` is moved on in place."""

    def following(self, ids: Tensor, conditions: Tensor | None, memory: Tensor, position: int) -> Tensor:
        """Logits (B, V) of what follows ids (B,), which stand at `position`; `memory` is moved on."""
        x = self.embedded(ids.unsqueeze(1), conditions).squeeze(1)
        logits: Tensor = self.head(self.step(x, memory, position))
        return logits if position else logits + never_empty(logits.unsqueeze(1))[0]


def never_empty(logits: Tensor) -> Tensor:
    """Added to logits (B, L, V), of the first place on, so that no sequence ends before its first symbol: (L, V)."""
    out = logits.new_zeros(logits.shape[1:])
    out[0, 0] = -torch.inf
    return out


class RecurrentNet(CausalNet):
    """GRU layers, each of all but the first added to what it reads.

    What is left out: one mask per sequence of what a layer reads (Gal and Ghahramani 2016, arXiv:1512.05287), and of the weights
    by which a state is read (Merity et al. 2017, arXiv:1708.02182).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.layers = nn.ModuleList(nn.GRU(shape.width, shape.width, batch_first=True) for _ in range(shape.layers))
        self.dropouts = nn.ModuleList(Dropout(shape.dropout, over="sequence") for _ in range(shape.layers + 1))
        self.weight_drop = Dropout(shape.weight_drop)

    def read(self, x: Tensor) -> Tensor:
        """As above."""
        *before, last = self.dropouts
        for number, (layer, dropout) in enumerate(zip(self.layers, before, strict=True)):
            y = self._states(cast(nn.GRU, layer), dropout(x))
            x = x + y if number else y
        out: Tensor = last(x)
        return out

    def memory(self, n_rows: int, longest: int) -> Tensor:
        """States (layers, B, D) of 0."""
        like = self.embedding.weight
        return like.new_zeros(len(self.layers), n_rows, like.shape[1])

    def step(self, x: Tensor, memory: Tensor, position: int) -> Tensor:
        """As above."""
        for number, layer in enumerate(self.layers):
            state = torch.gru_cell(x, memory[number], *cast(nn.GRU, layer).all_weights[0])
            memory[number] = state
            x = x + state if number else state
        return x

    def _states(self, layer: nn.GRU, x: Tensor) -> Tensor:
        start = x.new_zeros(1, x.shape[0], x.shape[2])
        if not self.training or not self.weight_drop.p:
            states: Tensor = layer(x, start)[0]
            return states
        of_input, of_state, *biases = layer.all_weights[0]
        dropped = of_state * self.weight_drop.mask(of_state.shape, of_state)
        return torch.gru(x, start, [of_input, dropped, *biases], True, 1, 0.0, True, False, True)[0]


class TransformerNet(CausalNet):
    """Causal attention with rotary positions (Su et al. 2021, arXiv:2104.09864) and feed-forward nets, pre-norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.heads = shape.heads
        self.dropout = Dropout(shape.dropout)
        self.layers = nn.ModuleList(CausalLayer(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)

    def read(self, x: Tensor) -> Tensor:
        """As above."""
        turn = turns(torch.arange(x.shape[1], device=x.device), x.shape[2] // self.heads)
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x, turn)
        out: Tensor = self.norm(x)
        return out

    def memory(self, n_rows: int, longest: int) -> Tensor:
        """Keys and values (layers, 2, B, H, longest, D / H) of 0."""
        like = self.embedding.weight
        return like.new_zeros(len(self.layers), 2, n_rows, self.heads, longest, like.shape[1] // self.heads)

    def rows_at_once(self, longest: int) -> int:
        """As above, fewer of long ones."""
        return min(max(REMEMBERED // longest, FEWEST_ROWS), ROWS)

    def step(self, x: Tensor, memory: Tensor, position: int) -> Tensor:
        """As above."""
        turn = turns(torch.tensor([position], device=x.device), x.shape[1] // self.heads)
        for number, layer in enumerate(self.layers):
            x = cast(CausalLayer, layer).step(x, turn, memory[number], position)
        out: Tensor = self.norm(x)
        return out


Turns = tuple[Tensor, Tensor]


class CausalLayer(nn.Module):
    """Attention to what came before, and a feed-forward net, each with a shortcut around its norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), Dropout(shape.dropout), nn.Linear(4 * width, width)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.dropouts = nn.ModuleList(Dropout(shape.dropout) for _ in range(2))

    def forward(self, x: Tensor, turn: Turns) -> Tensor:
        """x (B, L, D) to (B, L, D)."""
        query, key, value = self._split(self.norms[0](x), turn)
        heads = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.dropouts[0](self.out(heads.transpose(1, 2).flatten(2)))
        out: Tensor = x + self.dropouts[1](self.feed_forward(self.norms[1](x)))
        return out

    def step(self, x: Tensor, turn: Turns, memory: Tensor, position: int) -> Tensor:
        """x (B, D) to (B, D), with keys and values (2, B, H, longest, D / H), those of `position` put in."""
        query, key, value = self._split(self.norms[0](x).unsqueeze(1), turn)
        memory[0, :, :, position], memory[1, :, :, position] = key[:, :, 0], value[:, :, 0]
        keys, values = memory[:, :, :, : position + 1].unbind(0)
        heads = functional.scaled_dot_product_attention(query, keys, values)
        x = x + self.out(heads.flatten(1))
        out: Tensor = x + self.feed_forward(self.norms[1](x))
        return out

    def _split(self, x: Tensor, turn: Turns) -> tuple[Tensor, Tensor, Tensor]:
        rows, length, width = x.shape
        split = self.project(x).view(rows, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)  # (B, H, L, D / H) each
        return turned(query, turn), turned(key, turn), value


def turns(places: Tensor, width: int) -> Turns:
    """Cosines and sines (L, width / 2) by which vectors are turned at places int64 (L,)."""
    waves = BASE ** (-torch.arange(0, width, 2, device=places.device, dtype=torch.float32) / width)
    angle = places.unsqueeze(1) * waves
    return angle.cos(), angle.sin()


def turned(x: Tensor, turn: Turns) -> Tensor:
    """x (B, H, L, D) with channels i and i + D / 2 turned together."""
    cos, sin = (each.to(x.dtype) for each in turn)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
