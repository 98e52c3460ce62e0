"""A set of sequences judged whole: every metric with its interval, beside held-out sequences and controls, and in words.

`standard` is the judgement of a finished set, in a minute or two of one core for 1,000 samples; `quick` is what a training can
afford at every evaluation. What each metric means is said where it is computed: `copies`, `diversity`, `family`, `fidelity`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqloom.alphabet import SMILES
from seqloom.chemistry import unreadable
from seqloom.quality.controls import HELD_OUT, TRAIN, controls, resampled
from seqloom.quality.copies import MEMORISED, NEAR, TIE, Bank, Nearest, is_copy, nearest
from seqloom.quality.diversity import clusters, column_difference, copies, distinct_share
from seqloom.quality.fidelity import entropy_gap, fidelity, pair_correlation
from seqloom.quality.intervals import (
    BLOCKS,
    DRAWS,
    Joint,
    Measured,
    Numbers,
    bootstrap,
    bootstrap_difference,
    measured,
)
from seqloom.quality.reference import Reference
from seqloom.quality.verdict import Verdict, verdict
from seqloom.tokens import Tokens

MOST_CONTROL = 1000
"""Sequences of a control, and samples whose clusters are counted: their share depends on how many there are."""
FEW = 100
"""With fewer samples a note says so: shares are then known to 10 % at best."""
HALF = 0.5
Judge = Callable[[Bank, Reference], Mapping[str, Numbers | Joint]]
"""More metrics of a set, by name."""


@dataclass(frozen=True, eq=False)
class Samples:
    """What is known of each of N samples."""

    valid: np.ndarray  # bool (N,)
    bits: np.ndarray  # float64 (N,), NaN without a family
    member: np.ndarray  # bool (N,): in the family; False without one
    copy: np.ndarray  # bool (N,): equal to a training sequence
    train: Nearest
    held_out: Nearest


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The judgement of a set of N samples."""

    n: int
    n_train: int
    n_held_out: int
    metrics: Mapping[str, Measured]
    """By name; what does not apply (bits of molecules) is left out."""
    controls: Mapping[str, Mapping[str, float]]
    """The same metrics of each control; `held-out` and `train resample` are always there, as far as there are such sequences."""
    halves: Mapping[str, float]
    """Columns and pairs of one half of training beside the other half."""
    verdict: Verdict
    samples: Samples
    notes: tuple[str, ...]

    @property
    def held_out(self) -> Mapping[str, float]:
        """The metrics of held-out sequences; empty where there are none."""
        return self.controls.get(HELD_OUT, {})

    @property
    def ceiling(self) -> Mapping[str, float]:
        """The metrics of as many training sequences."""
        return self.controls.get(TRAIN, {})

    def as_json(self) -> dict[str, Any]:
        """All but the samples one by one; null for NaN."""
        return {
            "n": self.n,
            "n_train": self.n_train,
            "n_held_out": self.n_held_out,
            "verdict": self.verdict.as_json(),
            "metrics": {name: own.as_json() for name, own in self.metrics.items()},
            "controls": {name: _finite(own) for name, own in self.controls.items()},
            "halves": _finite(self.halves),
            "notes": list(self.notes),
        }


def standard(
    samples: Tokens,
    reference: Reference,
    seed: int = 0,
    draws: int = DRAWS,
    *,
    all_controls: bool = True,
    judges: Sequence[Judge] = (),
) -> Evaluation:
    """The judgement of `samples`; the same arguments give the same numbers.

    `draws` of the bootstrap; `all_controls`: those beside held-out and resampled training sequences as well; `judges`: more
    metrics. An empty set has the verdict "empty" and no metrics.
    """
    own = reference.bank(samples)
    n = min(max(len(own), 2), MOST_CONTROL)
    metrics, found = _Plan(reference, seed, draws, BLOCKS, judges).of(own)
    sets = controls(reference, n, seed) if len(own) else {}
    if not all_controls:
        sets = {name: tokens for name, tokens in sets.items() if name in (TRAIN, HELD_OUT)}
    plain = _Plan(reference, seed, 0, 0, judges)
    beside = {name: _beside(tokens, name, plain) for name, tokens in sets.items()}
    return Evaluation(
        len(own),
        len(reference.train),
        len(reference.held_out),
        metrics,
        beside,
        reference.halves,
        verdict(metrics, beside.get(HELD_OUT, {}), beside.get(TRAIN, {}), reference.halves),
        found,
        tuple(_notes(own, reference)),
    )


def quick(samples: Tokens, reference: Reference) -> dict[str, float]:
    """Metrics that a training looks at while it runs, of some 256 samples in a second; NaN where they do not apply.

    `valid`, `unique`, `in_family`, `bits`, `near_copies`, `exact_copies`, `entropy_gap`, `pair_r`, as in `standard`.
    """
    own = reference.bank(samples)
    close = nearest(own, reference.natural)
    bits = _bits(own, reference)
    target = reference.target
    return {
        "valid": _mean(is_valid(own, reference)),
        "unique": len(set(own.texts)) / len(own) if len(own) else math.nan,
        "in_family": _mean(reference.family.is_member(bits)) if reference.family else math.nan,
        "bits": float(np.median(bits)) if len(own) and reference.family else math.nan,
        "near_copies": close.share(NEAR),
        "exact_copies": _mean(is_copy(own, reference.natural)),
        "entropy_gap": entropy_gap(own.aligned, target) if target else math.nan,
        "pair_r": pair_correlation(own.aligned, target) if target else math.nan,
    }


def is_valid(own: Bank, reference: Reference) -> np.ndarray:
    """Sequences of standard symbols alone, of a length that training sequences have; molecules: what RDKit reads; bool (N,)."""
    if reference.alphabet.name == SMILES.name:
        return ~unreadable(reference.alphabet.decode(own.tokens)) if len(own) else np.zeros(0, bool)
    odd = ~np.isin(own.tokens.values, reference.alphabet.ids(reference.alphabet.standard))
    odd_so_far = np.concatenate([[0], np.cumsum(odd)])
    clean = np.diff(odd_so_far[own.tokens.offsets]) == 0
    low, high = reference.lengths
    lengths = own.tokens.lengths
    valid: np.ndarray = clean & (lengths >= max(low, 1)) & (lengths <= high)
    return valid


@dataclass(frozen=True)
class _Plan:
    """How a set is measured: samples with intervals, controls without."""

    reference: Reference
    seed: int
    draws: int
    blocks: int
    judges: Sequence[Judge]

    def of(self, own: Bank) -> tuple[dict[str, Measured], Samples]:
        """All metrics of a set, none of an empty one, and what is known of each sequence."""
        reference = self.reference
        bits = _bits(own, reference)
        member = reference.family.is_member(bits) if reference.family else np.zeros(len(own), bool)
        close = nearest(own, reference.natural), nearest(own, reference.unseen)
        found = Samples(is_valid(own, reference), bits, member, is_copy(own, reference.natural), *close)
        if not len(own):
            return {}, found
        metrics = {"valid": self._mean(found.valid)} | self._varied(own) | self._copied(found)
        if reference.family is not None:
            metrics |= {"in_family": self._mean(member), "bits": bootstrap(bits, "median", self.seed, self.draws)}
        if reference.target is not None:
            metrics |= fidelity(own.aligned, reference.target, self.seed, self.blocks)
        for judge in self.judges:
            parts = judge(own, reference)
            metrics |= {name: measured(part, self.seed, self.draws, self.blocks) for name, part in parts.items()}
        return {name: each for name, each in metrics.items() if not math.isnan(each.value)}, found

    def _mean(self, values: np.ndarray) -> Measured:
        return bootstrap(values, "mean", self.seed, self.draws)

    def _varied(self, own: Bank) -> dict[str, Measured]:
        """Uniqueness of all; of at most `MOST_CONTROL` the nearest other one, clusters, and differences.

        The last two over those of as many training sequences.
        """
        few, rng = own, np.random.default_rng([self.seed, 0xD1])
        if len(own) > MOST_CONTROL:
            few = self.reference.bank(resampled(own.tokens, MOST_CONTROL, rng))
        apart, differing = self.reference.typical(len(few))
        among = nearest(few, few, other=True).identity if len(few) > 1 else np.zeros(0)
        return {
            "nn_within": bootstrap(among, "median", self.seed, self.draws),
            "unique": distinct_share(copies(own), self.seed, self.blocks),
            "clusters": distinct_share(clusters(few), self.seed, self.blocks).over(apart),
            "diversity": column_difference(few, self.seed, self.blocks).over(differing),
        }

    def _copied(self, found: Samples) -> dict[str, Measured]:
        near = found.train.identity >= NEAR - TIE
        metrics = {
            "nn_train": bootstrap(found.train.identity, "median", self.seed, self.draws),
            "near_copies": self._mean(near),
            "memorised": self._mean(found.train.identity >= MEMORISED - TIE),
            "exact_copies": self._mean(found.copy),
        }
        if len(self.reference.held_out):
            natural = self.reference.unseen_nearest.identity >= NEAR - TIE
            metrics["nn_held_out"] = bootstrap(found.held_out.identity, "median", self.seed, self.draws)
            metrics["copy_gap"] = bootstrap_difference(near, natural, self.seed, self.draws)
        return metrics


def _beside(tokens: Tokens, name: str, plan: _Plan) -> dict[str, float]:
    """The metrics of a control; held-out sequences are not compared with themselves."""
    metrics, _ = plan.of(plan.reference.bank(tokens))
    return {key: each.value for key, each in metrics.items() if (name, key) != (HELD_OUT, "nn_held_out")}


def _bits(own: Bank, reference: Reference) -> np.ndarray:
    return reference.family.bits(own.tokens) if reference.family else np.full(len(own), math.nan)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: own if math.isfinite(own) else None for name, own in values.items()}


def _notes(own: Bank, reference: Reference) -> list[str]:
    """What a reader must know before the numbers."""
    notes = []
    if not len(reference.held_out):
        notes.append(
            "no held-out sequences: near copies cannot be compared with how near natural sequences come to each other"
        )
    elif len(reference.held_out) < FEW:
        notes.append(f"{len(reference.held_out)} held-out sequences only: what is said of them is uncertain")
    if len(own) < FEW:
        notes.append(f"{len(own)} samples only: shares are uncertain; take 1,000")
    if len(own) > MOST_CONTROL:
        notes.append(f"clusters and diversity are those of {MOST_CONTROL:,} samples drawn from {len(own):,}")
    if reference.family is not None and len(reference.held_out):
        share = _mean(reference.family.is_member(reference.unseen_bits))
        if share < HALF:
            notes.append(
                f"the profile recognises {share:.0%} of the held-out sequences: training sequences are few, or are not one family"
            )
    target = reference.target
    if target is not None and target.pseudocount > 1 / FEW:
        notes.append(
            f"{1 / target.pseudocount:.0f} effective training sequences: pair statistics are noise for the most part"
        )
    return notes
