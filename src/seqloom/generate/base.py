"""What a generator is: a recipe that learns from natural sequences; and a sampler, what it has learnt, which writes new ones.

Sequences are written in the standard symbols of their alphabet, ids 1..V-1 of `Alphabet`, and 0 is padding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from seqloom.alphabet import ALPHABETS, Alphabet
from seqloom.errors import ConfigError
from seqloom.generate.settings import GeneratorTraining
from seqloom.registry import Recipe
from seqloom.tokens import Tokens

if TYPE_CHECKING:
    from seqloom.generate.monitor import Monitor

State = dict[str, np.ndarray]
Steering = Literal["temperature", "truncation", "prefix", "condition"]


@dataclass(frozen=True)
class Dims:
    """The sizes a generator needs to know, kept in its run folder."""

    alphabet: str
    longest: int
    """Symbols of the longest sequence learnt from."""
    n_conditions: int = 0
    """C: numbers per sequence that it is conditioned on."""

    @property
    def symbols(self) -> str:
        """The symbols it writes, in the order of their ids from 1 on."""
        alphabet = ALPHABETS[self.alphabet]
        assert alphabet.symbols.startswith(alphabet.standard)
        return alphabet.standard

    @property
    def vocabulary(self) -> int:
        """V: its symbols and padding."""
        return len(self.symbols) + 1

    def as_json(self) -> dict[str, Any]:
        """The fields, for a file."""
        return vars(self).copy()


@dataclass(frozen=True)
class Naturals:
    """N natural sequences to learn from."""

    tokens: Tokens
    weights: np.ndarray
    """float64 (N,): how often each is drawn, 1 in the mean; related ones share theirs."""
    conditions: np.ndarray | None = None
    """float32 (N, C), or None without any."""

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: np.ndarray) -> Naturals:
        """The sequences of `rows`, in that order, their weights 1 in the mean again."""
        weights = self.weights[rows]
        conditions = None if self.conditions is None else self.conditions[rows]
        return Naturals(
            self.tokens.take(rows), weights / max(weights.mean(), 1e-12) if len(weights) else weights, conditions
        )


@dataclass(frozen=True)
class Job:
    """Around a fit: settings, seed, folder for checkpoints, who watches and who is told."""

    dims: Dims
    settings: GeneratorTraining
    seed: int
    folder: Path | None = None
    monitor: Monitor | None = None
    progress: Callable[[int, int], None] | None = None
    say: Callable[[str], object] = str
    """Told what is worth knowing; by default nobody is."""

    @property
    def alphabet(self) -> Alphabet:
        """Of the sequences."""
        return ALPHABETS[self.dims.alphabet]


class Score(NamedTuple):
    """How likely a sampler finds each sequence."""

    values: np.ndarray
    """float64 (N,), nats per sequence, or critic's units."""
    kind: Literal["log-likelihood", "bound", "critic"]
    """`critic`: larger is more natural to the critic of a gan, and no likelihood."""


class Wanted(NamedTuple):
    """What samples are asked for, as `Sampler.sample` says."""

    n: int
    seed: int
    temperature: float
    truncation: float
    prefix: np.ndarray
    """Ids, uint8 (P,)."""
    conditions: np.ndarray | None
    """float32 (n, C), or None where none are asked for."""


class Sampler(ABC):
    """A fitted generator."""

    steered_by: ClassVar[frozenset[Steering]] = frozenset()
    """What `sample` takes notice of."""

    def __init__(self, dims: Dims) -> None:
        self.dims = dims

    def sample(
        self,
        n: int,
        seed: int,
        *,
        temperature: float = 1.0,
        truncation: float = 1.0,
        prefix: str = "",
        conditions: np.ndarray | None = None,
    ) -> Tokens:
        """`n` sequences. The same arguments give the same sequences, and the first of more are those of fewer.

        `temperature` divides the logits of symbols; `truncation` shrinks the latent vector of a gan; `prefix`: symbols that every
        sequence begins with; `conditions` float32 (n, C), or (C,) for all alike. ConfigError for what this kind has no use of.
        """
        asked = {
            "temperature": temperature != 1.0, "truncation": truncation != 1.0, "prefix": bool(prefix),
            "condition": conditions is not None,
        }  # fmt: skip
        for name, given in asked.items():
            if given and name not in self.steered_by:
                known = ", ".join(f"--{each}" for each in sorted(self.steered_by)) or "nothing but --seed"
                raise ConfigError(f"--{name}: this generator takes no {name}; it is steered by {known}")
        if temperature <= 0 or truncation <= 0:
            raise ConfigError(
                f"--temperature {temperature:g} --truncation {truncation:g}: both are above 0, 1 by default"
            )
        unknown = sorted(set(prefix) - set(self.dims.symbols))
        if unknown:
            raise ConfigError(f"--prefix {prefix}: {' '.join(unknown)} is none of {self.dims.symbols}")
        told = None if conditions is None else self._conditions(conditions, n)
        return self._sampled(Wanted(n, seed, temperature, truncation, ALPHABETS[self.dims.alphabet].ids(prefix), told))

    @abstractmethod
    def _sampled(self, wanted: Wanted) -> Tokens:
        """The sequences that `sample`, which has looked at its arguments, is asked for."""

    @abstractmethod
    def score(self, tokens: Tokens, conditions: np.ndarray | None = None) -> Score:
        """How likely each of N sequences is; symbols that the generator cannot write make it as unlikely as can be, -inf."""

    @abstractmethod
    def state(self) -> State:
        """All that was learnt, for safetensors."""

    def _conditions(self, conditions: np.ndarray, n: int) -> np.ndarray:
        wide = np.broadcast_to(np.asarray(conditions, np.float32), (n, np.shape(conditions)[-1]))
        if wide.shape[1] != self.dims.n_conditions:
            raise ConfigError(
                f"--condition: {wide.shape[1]} numbers given; this generator was fitted with {self.dims.n_conditions}"
            )
        return np.ascontiguousarray(wide)


class Generator(Recipe, ABC):
    """A recipe for a generator: the `[generator]` section."""

    stochastic: ClassVar[bool] = True
    """Whether seeds differ in what is learnt."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Settings of [train] that suit this kind better than those of all."""
    sampling: ClassVar[Mapping[str, Any]] = {}
    """Settings of [sample] that suit it better."""
    writes: ClassVar[tuple[str, ...]] = ("protein", "dna", "rna", "smiles")
    """Alphabets it can write in."""
    conditional: ClassVar[bool] = False
    """Whether it takes conditions."""

    @abstractmethod
    def fit(self, train: Naturals, valid: Naturals, job: Job) -> Sampler:
        """Learn from `train`; `valid` says when to stop."""

    @abstractmethod
    def restored(self, dims: Dims, state: State) -> Sampler:
        """The sampler whose `state` this is."""
