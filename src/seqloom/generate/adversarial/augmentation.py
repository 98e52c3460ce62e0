"""Small changes that keep a sequence in its family, made to natural and generated ones alike before the critic sees them.

A critic of few sequences learns them by heart; with changed ones it takes longer. How often they are changed follows from
how sure
the critic is of natural sequences (adaptive discriminator augmentation; Karras et al. 2020, arXiv:2006.06676), in `control.py`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.alphabet import PROTEIN
from seqloom.encode.positional import blosum62_scores
from seqloom.tokens import Tokens

CROP = 2
"""Symbols that a sequence loses at most, from its end: its beginning, such as M, is where many are read from."""
SUBSTITUTED = 0.02
"""Share of symbols of a changed sequence that are substituted."""
BLOSUM_SCALE = np.log(2) / 2
"""Nats of one unit of BLOSUM62, which counts in half bits."""


class Augmentation(nn.Module):
    """Crops and substitutions."""

    cumulated: Tensor

    def __init__(self, probabilities: np.ndarray) -> None:
        """`probabilities` float64 (V, V): what takes the place of each symbol, rows sum to 1."""
        super().__init__()
        self.register_buffer(
            "cumulated", torch.from_numpy(np.cumsum(probabilities, 1).astype(np.float32)), persistent=False
        )

    @torch.no_grad()
    def _changes(self, x: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Ids after all changes (B, L), and whether each is another than before."""
        ids = x.argmax(-1)
        n, length = ids.shape
        uniform = torch.rand(2, n, length, device=x.device)
        substituted = (uniform[0] < SUBSTITUTED * share) & (ids > 0)
        drawn = torch.searchsorted(self.cumulated[ids], uniform[1][..., None], right=True)[..., 0]
        new = torch.where(substituted, drawn.clamp(1, x.shape[2] - 1), ids)
        lengths = (ids > 0).sum(1)
        lost = torch.randint(0, CROP + 1, (n,), device=x.device) * (torch.rand(n, device=x.device) < share)
        kept = torch.maximum(lengths - lost, torch.ones_like(lengths))
        new = new * (torch.arange(length, device=x.device) < kept[:, None])
        return new, new != ids

    def forward(self, x: Tensor, share: float) -> Tensor:
        """x (B, L, V), a `share` of them cropped by up to two symbols and all with that share of 2 % of symbols substituted."""
        new, changed = self._changes(x, share)
        return torch.where(changed[..., None], functional.one_hot(new, x.shape[2]).to(x.dtype), x)


def substitutions(tokens: Tokens, alphabet: str, vocabulary: int) -> np.ndarray:
    """What may take the place of each id, float64 (V, V), rows sum to 1 and padding stays padding.

    Of proteins by BLOSUM62: P(b | a) is proportional to the share of b in the sequences times the odds of the pair. Of
    others by
    the shares alone.
    """
    shares = np.bincount(tokens.values, minlength=vocabulary)[:vocabulary].astype(np.float64) + 1
    odds = np.ones((vocabulary, vocabulary))
    if alphabet == PROTEIN.name:
        odds = np.exp(BLOSUM_SCALE * blosum62_scores()[:vocabulary, :vocabulary])
    found = odds * shares
    np.fill_diagonal(found, 0)
    found[:, 0] = 0
    found[0] = 0
    found[0, 0] = 1
    return found / found.sum(1, keepdims=True)
