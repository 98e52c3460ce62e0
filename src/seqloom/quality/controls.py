"""Controls: sets of sequences whose faults are known, judged in the same table as the samples.

What a metric says of them says what it can see: a resample of training copies all, a collapse repeats one, a profile knows no
pairs of columns, noise on training sequences is copying that looks like learning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seqloom.alphabet import Alphabet
from seqloom.tokens import Tokens

if TYPE_CHECKING:
    from seqloom.quality.reference import Reference

NOISE = 0.1
"""Share of residues of noisy training sequences that are drawn anew."""
TRAIN, HELD_OUT, NOISY, PROFILE = "train resample", "held-out", "noisy train", "profile emission"
SHUFFLED, COLLAPSE, RANDOM = "shuffled", "collapse", "random residues"
NAMES = (TRAIN, HELD_OUT, NOISY, PROFILE, SHUFFLED, COLLAPSE, RANDOM)


def controls(reference: Reference, n: int, seed: int) -> dict[str, Tokens]:
    """Each control by its name, `n` sequences or, of held-out ones, as many as there are up to `n`.

    No `held-out` without such sequences, no `profile emission` without a family (molecules).
    """
    train, held_out = reference.train, reference.held_out
    rngs = {name: np.random.default_rng([seed, number, 0xC0]) for number, name in enumerate(NAMES)}
    found = {TRAIN: resampled(train, n, rngs[TRAIN])}
    if len(held_out):
        found[HELD_OUT] = resampled(held_out, min(n, len(held_out)), rngs[HELD_OUT])
    found[NOISY] = mutated(resampled(train, n, rngs[NOISY]), reference.alphabet, NOISE, rngs[NOISY])
    if reference.family is not None:
        found[PROFILE] = reference.family.emitted(n, seed)
    found[SHUFFLED] = shuffled(resampled(train, n, rngs[SHUFFLED]), rngs[SHUFFLED])
    found[COLLAPSE] = train.take(np.full(n, rngs[COLLAPSE].integers(len(train))))
    found[RANDOM] = random_residues(train, n, rngs[RANDOM])
    return found


def resampled(tokens: Tokens, n: int, rng: np.random.Generator) -> Tokens:
    """`n` of the sequences, each once where there are enough, else drawn again and again."""
    if n <= len(tokens):
        return tokens.take(np.sort(rng.choice(len(tokens), n, replace=False)))
    return tokens.take(rng.integers(0, len(tokens), n))


def mutated(tokens: Tokens, alphabet: Alphabet, share: float, rng: np.random.Generator) -> Tokens:
    """Sequences with `share` of their residues replaced by one drawn from all standard symbols (now and then the same)."""
    hit = rng.random(len(tokens.values)) < share
    letters = alphabet.ids(alphabet.standard)
    values = np.where(hit, letters[rng.integers(0, len(letters), len(tokens.values))], tokens.values)
    return Tokens(values.astype(np.uint8), tokens.offsets)


def shuffled(tokens: Tokens, rng: np.random.Generator) -> Tokens:
    """Each sequence with its residues in random order."""
    row = np.repeat(np.arange(len(tokens)), tokens.lengths)
    return Tokens(tokens.values[np.lexsort((rng.random(len(row)), row))], tokens.offsets)


def random_residues(tokens: Tokens, n: int, rng: np.random.Generator) -> Tokens:
    """`n` sequences of the lengths and of the composition of these, residue by residue."""
    lengths = tokens.lengths[rng.integers(0, len(tokens), n)]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    if not len(tokens.values):
        return Tokens(np.zeros(0, np.uint8), offsets)
    return Tokens(tokens.values[rng.integers(0, len(tokens.values), int(offsets[-1]))], offsets)
