"""What a causal net writes, and how likely it finds what is written, many sequences side by side."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seqloom.generate.causal import CausalNet
from seqloom.generate.written import until_end, writable
from seqloom.nn.dropout import hashed, key_of
from seqloom.tokens import Tokens, bucketed

SYMBOLS = {"cpu": 2**14, "cuda": 2**18, "mps": 2**17}
"""Symbols per batch of scores."""


@torch.no_grad()
def written(
    net: CausalNet, n: int, seed: int, temperature: float, prefix: np.ndarray, conditions: np.ndarray | None, limit: int
) -> Tokens:
    """`n` sequences of at most `limit` symbols and at least one, as `Sampler.sample` has them.

    The net is in evaluation mode. The random number of every symbol is a function of seed, row and place. The last block of rows
    is written whole: sums in a product of matrices depend on its shape, and then the first of more might not be those of fewer.
    """
    device = next(net.parameters()).device
    ids = np.zeros((n, limit), np.uint8)
    size = net.rows_at_once(limit)
    for number, start in enumerate(range(0, n, size)):
        own = None
        if conditions is not None:
            held = conditions[start : start + size]
            rows = np.minimum(np.arange(size), len(held) - 1)  # the rest is not kept
            own = torch.from_numpy(held[rows]).to(device)
        uniform = hashed((size, limit), torch.tensor(key_of(seed, number), device=device))
        wanted = min(size, n - start)
        ids[start : start + wanted] = _block(net, uniform, temperature, prefix, own, wanted)[:wanted]
    return until_end(ids)


@torch.no_grad()
def log_likelihoods(net: CausalNet, tokens: Tokens, conditions: np.ndarray | None = None) -> np.ndarray:
    """Nats of each sequence with its end, float64 (N,); -inf of an empty one and of one with symbols that the net has not."""
    device, v = next(net.parameters()).device, net.embedding.num_embeddings
    values = np.full(len(tokens), -np.inf)
    rows = np.flatnonzero(writable(tokens, v))
    if not len(rows):
        return values
    size = max(SYMBOLS[device.type] // int(tokens.lengths[rows].max() + 1), 1)
    for part in bucketed(tokens.lengths[rows], size, None):
        own = rows[part]
        ids, lengths = padded(tokens, own, device)
        told = None if conditions is None else torch.from_numpy(conditions[own]).to(device)
        values[own] = -nats(net(ids, told), ids, lengths).cpu().double().sum(1).numpy()
    return values


def padded(tokens: Tokens, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids int64 (B, L) of some sequences, 0 after their last symbol, and their lengths, int64 (B,)."""
    lengths = tokens.lengths[rows]
    batch = tokens.padded(rows, int(lengths.max(initial=1)))
    return torch.from_numpy(batch.ids).to(device).long(), torch.from_numpy(lengths).to(device)


def nats(logits: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
    """Nats of every symbol of ids (B, L) and of the end by logits (B, L + 1, V): float32 (B, L + 1), 0 beyond the end."""
    wanted = functional.pad(ids, (0, 1))
    each = functional.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), reduction="none").view(wanted.shape)
    return each * (torch.arange(wanted.shape[1], device=ids.device) <= lengths.unsqueeze(1))


def _block(
    net: CausalNet,
    uniform: Tensor,
    temperature: float,
    prefix: np.ndarray,
    conditions: Tensor | None,
    wanted: int,
) -> np.ndarray:
    """Ids uint8 (B, limit) by uniform (B, limit), 0 from the end on, of which the first `wanted` rows are whole."""
    n_rows, limit = uniform.shape
    memory = net.memory(n_rows, limit)
    ids = torch.zeros((n_rows, limit), dtype=torch.int64, device=uniform.device)
    last = ids.new_zeros(n_rows)
    going = torch.ones_like(last, dtype=torch.bool)
    for place in range(limit):
        logits = net.following(last, conditions, memory, place)
        if place < len(prefix):
            last = torch.full_like(last, int(prefix[place]))
        else:
            shares = (logits / temperature).softmax(1).cumsum(1)
            drawn = (shares <= uniform[:, place : place + 1] * shares[:, -1:]).sum(1)
            last = drawn.clamp(max=logits.shape[1] - 1) * going
        ids[:, place] = last
        going &= last > 0
        if not going[:wanted].any():
            break
    return ids.to(torch.uint8).cpu().numpy()
