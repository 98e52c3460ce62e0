"""Tables with planted rules: peptides whose outcome follows from a rule that is known.

Decides how peptides are drawn, so that a known share obeys the rule and half of the others break it narrowly,
and how the outcome follows. How a rule is written is in `seqloom.rule`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, PositiveInt, model_validator

from seqloom.errors import ConfigError
from seqloom.registry import Recipe
from seqloom.rule import AMINO_ACIDS, And, Count, Motif, Not, Or, Position, Rule, among, parse_rule

# fmt: off
FREQUENCIES = np.array([
    0.0787945, 0.0151600, 0.0535222, 0.0668298, 0.0397062,  # A C D E F
    0.0695071, 0.0229198, 0.0590092, 0.0594422, 0.0963728,  # G H I K L
    0.0237718, 0.0414386, 0.0482904, 0.0395639, 0.0540978,  # M N P Q R
    0.0683364, 0.0540687, 0.0673417, 0.0114135, 0.0304133,  # S T V W Y
])
# fmt: on
"""Shares of `AMINO_ACIDS` in UniProtKB/Swiss-Prot 50.8 (October 2006, 86 million residues), as counted for
the background of HMMER 3 (S. R. Eddy, `p7_AminoFrequencies`)."""

DECOY_SHARE = 0.5
"""Of the peptides drawn to break the rule, the share made to break it narrowly: all parts of an `and` planted
but one, a motif with one residue changed, a count off by one. Without them one part would nearly do."""
MIN_DRAWS = 1024
MAX_EMPTY_ROUNDS = 5
"""Rounds of `MIN_DRAWS` peptides or more that may bring nothing new before the rule is called impossible."""


class Simulation(Recipe):
    """A table of peptides, no two alike, with an outcome that follows from one rule."""

    rows: int = Field(default=2000, ge=2)
    """Number of peptides."""
    rule: str = "P2=L and P-1=V"
    """The rule, such as `P2=L and not has(KRK)`, or the name of one: position, c-terminal, count, pair. The
    default is the two anchors of HLA-A*02:01."""
    lengths: tuple[PositiveInt, ...] = Field(default=(8, 9, 9, 9, 9, 9, 9, 10, 10, 11), min_length=1)
    """Lengths to draw from; one that is named twice is drawn twice as often."""
    positives: float = Field(default=0.5, gt=0, lt=1)
    """Share of rows for which the rule holds."""
    effect: Literal["hard", "soft"] = "hard"
    """hard: a column `label`, 1 where the rule holds, else 0. soft: a column `target`, a sum of effects of
    every residue at every site (mean 0, standard deviation 1), plus `effect_size` where the rule holds."""
    effect_size: float = Field(default=2.0, allow_inf_nan=False)
    """What the rule adds to a soft target, in standard deviations of the background."""
    noise: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """hard: share of labels that are flipped, at most 0.5. soft: standard deviation of what is added."""
    seed: int = Field(default=0, ge=0)
    """Same settings and seed, same table; `effect`, `effect_size` and `noise` do not change the peptides."""

    @model_validator(mode="after")
    def _check(self) -> Simulation:
        parse_rule(self.rule)
        if self.effect == "hard" and self.noise > 0.5:
            raise ConfigError(f"noise = {self.noise}: with effect = 'hard' it is a share of labels, 0 to 0.5")
        if self.effect == "hard" and "effect_size" in self.model_fields_set:
            raise ConfigError("effect_size means nothing with effect = 'hard'; type effect = 'soft', or drop it")
        return self

    def table(self) -> pa.Table:
        """Columns `id`, `sequence` and `label` (int64, hard) or `target` (float64, soft).

        Raises ConfigError where too few peptides of these lengths obey the rule, or too few break it.
        """
        rule = parse_rule(self.rule)
        drawing, outcome = (np.random.default_rng([self.seed, stream]) for stream in range(2))
        n_obeying = min(max(round(self.rows * self.positives), 1), self.rows - 1)
        obeying = self._draw(rule, n_obeying, drawing, want=True)
        breaking = self._draw(rule, self.rows - n_obeying, drawing, want=False)
        letters = np.concatenate([obeying, breaking])[drawing.permutation(self.rows)]
        text, offsets = ragged(letters)
        strings = pa.LargeStringArray.from_buffers(self.rows, pa.py_buffer(offsets), pa.py_buffer(text))
        columns = {
            "id": pa.array([f"pep{number}" for number in range(1, self.rows + 1)]),
            "sequence": strings.cast(pa.string()),
        }
        holds = rule.holds(text, offsets)
        if self.effect == "hard":
            flipped = outcome.random(self.rows) < self.noise
            return pa.table(columns | {"label": pa.array((holds ^ flipped).astype(np.int64))})
        target = _background(letters, outcome) + self.effect_size * holds
        target += self.noise * outcome.standard_normal(self.rows)
        return pa.table(columns | {"target": pa.array(target)})

    def _draw(self, rule: Rule, n: int, rng: np.random.Generator, *, want: bool) -> np.ndarray:
        """`n` different peptides, uint8 (n, L), for which the rule holds or not, as wanted."""
        found = np.empty((0, max(self.lengths)), np.uint8)
        n_empty = 0
        while len(found) < n:
            draft = random_draft(np.array(self.lengths), max(2 * (n - len(found)), MIN_DRAWS), rng)
            if want:
                rows = np.flatnonzero(~rule.holds(*ragged(draft.letters)))
            else:
                rows = np.flatnonzero(rng.random(len(draft.letters)) < DECOY_SHARE)
            plant(rule, draft, rows, want=want)
            fitting = draft.letters[rule.holds(*ragged(draft.letters)) == want]
            n_before = len(found)
            found = _distinct(np.concatenate([found, fitting]))[:n]
            n_empty = n_empty + 1 if len(found) == n_before else 0
            if n_empty == MAX_EMPTY_ROUNDS:
                raise ConfigError(
                    f"rule {self.rule!r}: of {n} different peptides of length {min(self.lengths)} to "
                    f"{max(self.lengths)} that {'obey' if want else 'break'} it, {len(found)} could be made; "
                    "lower rows, allow other lengths, or change the rule"
                )
        return found


@dataclass(frozen=True)
class Draft:
    """N peptides being written: the one thing here that changes in place."""

    letters: np.ndarray
    """ASCII, uint8 (N, L), 0 beyond the end of a peptide."""
    lengths: np.ndarray
    """int64 (N,)."""
    rng: np.random.Generator

    def put(self, rows: np.ndarray, columns: np.ndarray, symbols: str) -> None:
        """Write one of the symbols, as often as in proteins, at each (row, column), int (M,) both."""
        if symbols:
            self.letters[rows, columns] = _residues(symbols, len(rows), self.rng)


def random_draft(lengths: np.ndarray, n: int, rng: np.random.Generator) -> Draft:
    """`n` peptides of background residues, each of a length drawn from `lengths`."""
    width = int(lengths.max())
    drawn = rng.choice(lengths, n)
    letters = _residues(AMINO_ACIDS, n * width, rng).reshape(n, width)
    letters[np.arange(width) >= drawn[:, None]] = 0
    return Draft(letters, drawn, rng)


def plant(rule: Rule, draft: Draft, rows: np.ndarray, *, want: bool) -> None:
    """Change `rows` (int (M,)) of the draft so that the rule holds, or breaks narrowly.

    Parts may undo each other, and a peptide may be too short; whoever plants looks at the result.
    """
    match rule:
        case Position():
            rows = rows[draft.lengths[rows] >= abs(rule.site)]
            symbols = rule.symbols if want else _others(rule.symbols)
            draft.put(rows, rule.index(draft.lengths[rows]), symbols)
        case Count():
            _plant_count(rule, draft, rows, want=want)
        case Motif():
            _plant_motif(rule, draft, rows, want=want)
        case Not():
            plant(rule.part, draft, rows, want=not want)
        case And() | Or():
            all_alike = want == isinstance(rule, And)
            chosen = draft.rng.integers(len(rule.parts), size=len(rows))
            for index, part in enumerate(rule.parts):
                plant(part, draft, rows if all_alike else rows[chosen == index], want=want)
                if not all_alike and not want:
                    plant(part, draft, rows[chosen != index], want=True)


def _plant_count(rule: Count, draft: Draft, rows: np.ndarray, *, want: bool) -> None:
    """Move each row to the nearest allowed count; if unwanted, from there to the nearest forbidden one."""
    if not want:
        _plant_count(rule, draft, rows, want=True)
    letters = draft.letters[rows]
    present = among(letters, rule.symbols)
    possible = np.arange(letters.shape[1] + 1)
    possible = possible[rule.allows(possible) == want]
    if not len(possible) or not len(rows):
        return
    counts = present.sum(1)
    change = (possible[np.abs(possible - counts[:, None]).argmin(1)] - counts)[:, None]
    eligible = np.where(change > 0, ~present & (letters > 0), present)
    rank = np.where(eligible, draft.rng.random(letters.shape), np.inf).argsort(1).argsort(1)
    chosen = eligible & (rank < np.abs(change))
    for symbols, cells in (rule.symbols, change > 0), (_others(rule.symbols), change < 0):
        at, columns = np.nonzero(chosen & cells)
        draft.put(rows[at], columns, symbols)


def _plant_motif(rule: Motif, draft: Draft, rows: np.ndarray, *, want: bool) -> None:
    """Write the motif at a random place, with one residue changed where it is not wanted."""
    width = len(rule.symbols)
    rows = rows[draft.lengths[rows] >= width]
    starts = draft.rng.integers(draft.lengths[rows] - width + 1)
    for shift, symbol in enumerate(rule.symbols):
        draft.put(rows, starts + shift, symbol)
    if not want:
        wrong = draft.rng.integers(width, size=len(rows))
        for shift, symbol in enumerate(rule.symbols):
            here = wrong == shift
            draft.put(rows[here], starts[here] + shift, _others(symbol))


def ragged(letters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Text uint8 (sum of L,) and offsets int64 (N + 1,) of padded `letters` uint8 (N, L)."""
    kept = letters > 0
    return letters[kept], np.concatenate([[0], np.cumsum(kept.sum(1))])


def _residues(symbols: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` of the symbols, ASCII uint8 (n,), in the proportions of Swiss-Prot."""
    share = FREQUENCIES[[AMINO_ACIDS.index(symbol) for symbol in symbols]]
    return rng.choice(np.frombuffer(symbols.encode(), np.uint8), n, p=share / share.sum())


def _others(symbols: str) -> str:
    return "".join(each for each in AMINO_ACIDS if each not in symbols)


def _distinct(letters: np.ndarray) -> np.ndarray:
    """The rows of `letters` without repeats, in the order of their first appearance."""
    _, first = np.unique(np.ascontiguousarray(letters).view(f"S{letters.shape[1]}"), return_index=True)
    return letters[np.sort(first)]


def _background(letters: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Additive effects of residues at sites, float64 (N,), mean 0, standard deviation 1 over N peptides."""
    effects = rng.standard_normal((letters.shape[1], 256))
    effects[:, 0] = 0
    total = effects[np.arange(letters.shape[1]), letters].sum(1)
    return np.asarray((total - total.mean()) / total.std())
