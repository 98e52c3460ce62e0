"""A trained pair of nets: sequences from latent vectors, the way between two of them, and the critic's value as a score."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seqloom.generate.adversarial.critic import Critic
from seqloom.generate.adversarial.relaxation import ended_ids, with_a_symbol
from seqloom.generate.adversarial.writer import Writer
from seqloom.generate.base import Dims, Sampler, Score, State, Wanted
from seqloom.generate.step import has_fast_bf16
from seqloom.tokens import Tokens

BLOCK = 256
"""Sequences chosen together, always as many, so that the first of more are those of fewer."""
CACHED = 64
"""Sequences that go through a net together on a CPU: what lies between two layers stays in its cache."""


class GanSampler(Sampler):
    """The generator and the critic of a gan."""

    steered_by = frozenset({"temperature", "truncation", "condition"})

    def __init__(
        self,
        dims: Dims,
        writer: Writer,
        critic: Critic,
        heat: float,
        candidates: float = 1.0,
        usual: np.ndarray | None = None,
    ) -> None:
        """`heat` multiplies the temperature that is asked for; 0 takes the likeliest symbol at each position. `candidates`:

        sequences made for each one that is kept, by the critic's values.

        `usual` float32 (U, C): conditions of natural sequences, taken in turn where none are asked for.
        """
        super().__init__(dims)
        self.writer, self.critic, self.heat, self.candidates, self.usual = writer, critic, heat, candidates, usual

    @property
    def device(self) -> torch.device:
        """Where the nets are."""
        return self.writer.positions.device

    def _sampled(self, wanted: Wanted) -> Tokens:
        assert not len(wanted.prefix)
        heat = self.heat * wanted.temperature
        blocks = [
            self._chosen(wanted.seed, number, heat, wanted.truncation, wanted.conditions)[0]
            for number in range(-(-wanted.n // BLOCK))
        ]
        return as_tokens(np.concatenate([np.zeros((0, self.writer.sizes.canvas), np.uint8), *blocks])[: wanted.n])

    def interpolate(self, first: int, second: int, n: int, seed: int, conditions: np.ndarray | None = None) -> Tokens:
        """`n` sequences on the way from sample `first` to sample `second` of `seed`, likeliest symbols, both ends included.

        Along the great circle through both latent vectors (slerp): points of a straight line would lie too near the middle.
        """
        given = None if conditions is None else self._conditions(conditions, 1)
        wanted = self._block(given, 0)
        ends = self.latents(max(first, second) + 1, seed, given)[[first, second]]
        lengths = ends.norm(dim=1)
        angle = torch.acos((ends[0] @ ends[1] / lengths.prod()).clamp(-1, 1))
        share = torch.linspace(0, 1, n)[:, None]
        directions = ends / lengths[:, None]
        if float(angle) < 1e-4:
            way = directions[0] + share * (directions[1] - directions[0])
        else:
            way = (
                torch.sin((1 - share) * angle) * directions[0] + torch.sin(share * angle) * directions[1]
            ) / torch.sin(angle)
        z = way * (lengths[0] + share * (lengths[1] - lengths[0]))
        if wanted is not None:  # one condition all the way: that of the first end, where none is asked for
            wanted = wanted[first % BLOCK].expand(BLOCK, -1)
        parts = [self._written(part, None if wanted is None else wanted[: len(part)], None) for part in z.split(BLOCK)]
        return as_tokens(np.concatenate(parts))

    def latents(self, n: int, seed: int, conditions: np.ndarray | None = None) -> Tensor:
        """Latent vectors (n, Z) of the first `n` samples of a seed."""
        blocks = [self._chosen(seed, number, self.heat, 1.0, conditions)[1] for number in range(-(-n // BLOCK))]
        return torch.cat(blocks)[:n]

    def score(self, tokens: Tokens, conditions: np.ndarray | None = None) -> Score:
        """The critic's value of each sequence; -inf for one that is empty, longer than the canvas, or has other symbols."""
        values = np.full(len(tokens), -math.inf)
        canvas = self.writer.sizes.canvas
        odd = np.zeros(len(tokens), bool)
        bad = np.flatnonzero((tokens.values == 0) | (tokens.values >= self.dims.vocabulary))
        odd[np.searchsorted(tokens.offsets, bad, side="right") - 1] = True
        rows = np.flatnonzero(~odd & (tokens.lengths > 0) & (tokens.lengths <= canvas))
        wanted = None if conditions is None else self._conditions(conditions, len(tokens))
        if wanted is None and self.usual is not None:
            wanted = np.broadcast_to(self.usual.mean(0), (len(tokens), self.dims.n_conditions)).copy()
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            own = None if wanted is None else torch.from_numpy(wanted[part])
            values[part] = self._values(tokens.padded(part, canvas).ids, own)
        return Score(values, "critic")

    def state(self) -> State:
        """Weights of both nets by `writer/name` and `critic/name`, and `usual` conditions."""
        nets = {"writer": self.writer, "critic": self.critic}
        held = {
            f"{net}/{name}": value.detach().cpu().numpy()
            for net, module in nets.items()
            for name, value in module.state_dict().items()
        }
        return held if self.usual is None else held | {"usual": self.usual}

    def _block(self, conditions: np.ndarray | None, number: int) -> Tensor | None:
        """Conditions of a block, repeated to fill it: those asked for, else usual ones."""
        if not self.dims.n_conditions:
            return None
        held = self.usual if conditions is None else conditions
        assert held is not None
        return torch.from_numpy(held[np.arange(number * BLOCK, (number + 1) * BLOCK) % len(held)])

    def _chosen(
        self, seed: int, number: int, heat: float, truncation: float, conditions: np.ndarray | None
    ) -> tuple[np.ndarray, Tensor]:
        """Ids uint8 (BLOCK, L) of a block of samples, and their latent vectors (BLOCK, Z).

        Of more candidates those that the critic finds most natural, in the order of their making (after Azadi et al. 2018,
        arXiv:1810.06758); with conditions, the better of those that were made for the same place.
        """
        random = torch.Generator().manual_seed(_block_seed(seed, number))
        n_made = round(BLOCK * max(self.candidates, 1.0))
        z = torch.randn(n_made, self.writer.latent, generator=random) * truncation
        place = torch.arange(n_made) % BLOCK
        wanted = self._block(conditions, number)
        own = None if wanted is None else wanted[place]
        noise = None
        if heat:
            drawn = torch.empty(n_made, self.writer.sizes.canvas, self.dims.vocabulary).exponential_(generator=random)
            noise = drawn.clamp_min_(1e-20).log_().mul_(-heat)
        ids = self._written(z, own, noise)
        if n_made == BLOCK:
            return ids, z
        order = np.argsort(-self._values(ids, own), kind="stable")
        best_of_place = order[np.unique(place.numpy()[order], return_index=True)[1]]
        kept = np.sort(order[:BLOCK]) if wanted is None else best_of_place
        return ids[kept], z[torch.from_numpy(kept)]

    def _half(self) -> torch.autocast:
        """Products in bf16 where a CPU is fast at them, as in training."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.device.type == "cpu" and has_fast_bf16())

    def _values(self, ids: np.ndarray, conditions: Tensor | None) -> np.ndarray:
        """What the critic gives to ids uint8 (B, L), float32 (B,)."""
        found = np.empty(len(ids), np.float32)
        with torch.inference_mode(), self._half():
            for part in _parts(len(ids), self.device):
                own = None if conditions is None else conditions[part].to(self.device)
                x = functional.one_hot(torch.from_numpy(ids[part]).to(self.device).long(), self.dims.vocabulary)
                found[part] = torch.nan_to_num(self.critic(x.float(), own).float()).cpu().numpy()
        return found

    def _written(self, z: Tensor, conditions: Tensor | None, noise: Tensor | None) -> np.ndarray:
        """Ids uint8 (B, L) of latent vectors (B, Z), with noise (B, L, V) on the logits."""
        found = np.empty((len(z), self.writer.sizes.canvas), np.uint8)
        with torch.inference_mode(), self._half():
            for part in _parts(len(z), self.device):
                own = None if conditions is None else conditions[part].to(self.device)
                logits = with_a_symbol(torch.nan_to_num(self.writer(z[part].to(self.device), own).float()))
                if noise is not None:
                    logits = logits + noise[part].to(self.device)
                found[part] = ended_ids(logits.argmax(-1)).to(torch.uint8).cpu().numpy()
        return found


def _parts(n: int, device: torch.device) -> list[slice]:
    size = CACHED if device.type == "cpu" else BLOCK
    return [slice(start, start + size) for start in range(0, n, size)]


def _block_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> 1)


def as_tokens(ids: np.ndarray) -> Tokens:
    """Sequences of ids uint8 (N, L), each up to its first 0, none being all 0s."""
    lengths = (ids > 0).sum(1)
    return Tokens(np.ascontiguousarray(ids[ids > 0]), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
