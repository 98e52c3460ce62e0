"""The profile of a family as a generator: the baseline that every other has to beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from seqloom.alphabet import ALPHABETS
from seqloom.generate.base import Dims, Generator, Job, Naturals, Sampler, Score, State, Wanted
from seqloom.quality.family import Family
from seqloom.registry import register
from seqloom.tokens import Tokens

TEXTS = ("search", "emission")


@register("generator", "profile")
class Profile(Generator):
    """A profile hidden Markov model of the family (Eddy 1998), which draws every column by itself.

    Fitted in seconds on an alignment of the sequences. It has the residues of every column in their right shares, and none of the
    dependencies between columns, which is what a generator has to add. Stands in every comparison of proteins, DNA and RNA.
    """

    stochastic: ClassVar[bool] = False
    writes: ClassVar[tuple[str, ...]] = ("protein", "dna", "rna")

    def fit(self, train: Naturals, valid: Naturals, job: Job) -> Sampler:
        """Align the sequences and count; weights say which of a large family are aligned."""
        return ProfileSampler(job.dims, Family.of(train.tokens, job.alphabet, train.weights, seed=job.seed))

    def restored(self, dims: Dims, state: State) -> Sampler:
        """The sampler whose `state` this is."""
        texts = {name: state[name].tobytes().decode() for name in TEXTS}
        numbers = state["numbers"]
        family = Family(
            ALPHABETS[dims.alphabet], texts["search"], texts["emission"], state["kept"], float(numbers[0]),
            int(numbers[1]), int(numbers[2]),
        )  # fmt: skip
        return ProfileSampler(dims, family)


class ProfileSampler(Sampler):
    """Emission of a profile."""

    def __init__(self, dims: Dims, family: Family) -> None:
        super().__init__(dims)
        self.family = family

    def _sampled(self, wanted: Wanted) -> Tokens:
        return self.family.emitted(wanted.n, wanted.seed)

    def score(self, tokens: Tokens, conditions: np.ndarray | None = None) -> Score:
        """Log-likelihood of whole sequences under the emission profile."""
        return Score(self.family.log_likelihood(tokens), "log-likelihood")

    def state(self) -> State:
        """The texts of both profiles, columns and threshold."""
        texts = {name: np.frombuffer(getattr(self.family, name).encode(), np.uint8) for name in TEXTS}
        numbers = np.array([self.family.floor, self.family.n_train, self.family.n_aligned], np.float64)
        return {**texts, "kept": self.family.kept, "numbers": numbers}
