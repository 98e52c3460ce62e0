"""Biological rules: small named statements that natural sequences of the family keep, and the shares of samples that keep them.

A pack is made from training sequences: bounds are quantiles of theirs, and habits (M first, an even number of cysteines) are only
judged where nearly all of them have the habit. Users add rules of their own as regular expressions or in the language of
`seqloom.rule`. When a share was reached during a training, and whether it stayed, is said here, too. What follows from
broken rules is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seqloom.alphabet import PROTEIN, SMILES, Alphabet
from seqloom.encode.kmer import symbol_counts
from seqloom.errors import ConfigError
from seqloom.quality.properties import properties
from seqloom.rule import parse_rule
from seqloom.tokens import Tokens, ragged_bytes

TAIL = 0.005
"""Share of training sequences beyond each bound: one of two hundred natural ones breaks it."""
HABIT = 0.9
"""A habit is judged where this share of training sequences has it."""
WINDOW = 12
"""Symbols of the window whose entropy tells low complexity, as in SEG (Wootton and Federhen 1993)."""
LONGEST_REPEAT = 32
"""Longer repeats count as this long: no natural bound comes near it."""
CONSERVED = 0.95
"""Least frequency of the consensus of a conserved column."""
MAY_LOSE = 1
"""Conserved sites that a sequence may lose: one in twenty natural sequences lacks each of them."""
ACQUIRED = 0.95
"""Share of samples that keep a rule when it counts as acquired."""

RULE_LANGUAGE = re.compile(r"\bP-?\d+\s*=|\b(count|has)\s*\(")
"""What only the language of `seqloom.rule` has: all else is a regular expression."""

Judge = Callable[[Tokens], np.ndarray]
"""Whether each of N sequences keeps a rule, bool (N,)."""


@dataclass(frozen=True, eq=False)
class Rule:
    """One rule: its name, what it says, and who keeps it."""

    name: str
    text: str
    keeps: Judge


@dataclass(frozen=True, eq=False)
class Conserved:
    """Columns of an alignment in which nearly all training sequences have one residue; C of them."""

    columns: np.ndarray  # int64 (C,)
    residues: np.ndarray  # uint8 (C,)

    @classmethod
    def of(cls, aligned: np.ndarray, n_letters: int) -> Conserved:
        """Conserved columns of training rows, uint8 (N, K) with `n_letters` as the gap; gaps are never conserved."""
        counts = np.stack([(aligned == letter).sum(axis=0) for letter in range(n_letters)])  # (letters, K)
        columns = np.flatnonzero(counts.max(axis=0) >= CONSERVED * max(len(aligned), 1))
        return cls(columns, counts[:, columns].argmax(axis=0).astype(np.uint8))

    def kept(self, aligned: np.ndarray) -> np.ndarray:
        """Share of the conserved sites that each row (uint8 (N, K)) has, float64 (N,); 1 where none is conserved."""
        same = aligned[:, self.columns] == self.residues
        return same.mean(axis=1) if len(self.columns) else np.ones(len(aligned))

    def nearly_all(self, aligned: np.ndarray) -> np.ndarray:
        """Whether each row (uint8 (N, K)) has all conserved sites but `MAY_LOSE`, bool (N,)."""
        return (aligned[:, self.columns] != self.residues).sum(axis=1) <= MAY_LOSE


@dataclass(frozen=True, eq=False)
class Pack:
    """The rules of a family, in the order of a report, and the share of training sequences that keeps each."""

    rules: tuple[Rule, ...]
    natural: Mapping[str, float]

    @classmethod
    def of(
        cls,
        train: Tokens,
        alphabet: Alphabet,
        own: Mapping[str, str] | None = None,
        aligned: Callable[[Tokens], np.ndarray] | None = None,
    ) -> Pack:
        """Rules that follow from training sequences, and the user's `own`, a text by name.

        `aligned`: what gives the rows of sequences in the columns of the family (`Family.aligned`), for conserved sites; they are
        judged where a column is conserved. SMILES have no rules but their length, their letters and the user's: whether they
        are molecules is for `quality.molecules`. ConfigError names every rule of the user's that cannot be read.
        """
        rules = [*_of_any(train, alphabet), *_chemistry(train, alphabet), *_habits(train, alphabet)]
        if aligned is not None:
            rules += _of_columns(train, alphabet, aligned)
        taken = [rule.name for rule in rules]
        rules += own_rules(own or {}, alphabet, taken)
        natural = {rule.name: float(rule.keeps(train).mean()) if len(train) else float("nan") for rule in rules}
        return cls(tuple(rules), natural)

    def judge(self, tokens: Tokens) -> dict[str, np.ndarray]:
        """Whether each of N sequences keeps each rule, bool (N,) by name."""
        return {rule.name: rule.keeps(tokens) for rule in self.rules}


@dataclass(frozen=True)
class Acquired:
    """When the share of samples that keep a rule was reached during a training, and whether it stayed."""

    first: int | None
    """Sequences the model had seen at the first evaluation with the share; None: never."""
    final: float
    """The share at the last evaluation; NaN without any."""
    stability: float
    """Share of the evaluations after the first one that still have it; NaN where there are none."""


def acquired(shares: Sequence[float], seen: Sequence[int], at: float = ACQUIRED) -> Acquired:
    """When a share `at` was first reached, from one share and one number of sequences seen per evaluation.

    >>> acquired([0.2, 0.96, 0.9, 1.0], [100, 200, 300, 400])
    Acquired(first=200, final=1.0, stability=0.5)
    """
    if len(shares) != len(seen):
        raise ValueError(f"{len(shares)} shares of {len(seen)} evaluations")
    reached = [index for index, share in enumerate(shares) if share >= at]
    final = float(shares[-1]) if shares else float("nan")
    if not reached:
        return Acquired(None, final, float("nan"))
    later = shares[reached[0] + 1 :]
    stable = sum(share >= at for share in later) / len(later) if later else float("nan")
    return Acquired(int(seen[reached[0]]), final, stable)


def own_rules(texts: Mapping[str, str], alphabet: Alphabet, taken: Sequence[str] = ()) -> list[Rule]:
    r"""The user's rules: regular expressions found anywhere in a sequence, or rules such as `P1=M and not has(CC)`.

    ConfigError names all that cannot be read, and all whose name is `taken`.

    >>> no_cysteine, = own_rules({"no-cys": "^[^C]*$"}, PROTEIN)
    >>> no_cysteine.keeps(PROTEIN.encode(["MKV", "MCV"])).tolist()
    [True, False]
    """
    found, wrong = [], []
    for name, text in texts.items():
        try:
            if name in taken:
                raise ConfigError("is the name of a rule that is always judged; take another")
            in_our_language = alphabet is not SMILES and RULE_LANGUAGE.search(text) is not None
            keeps = _holds(text, alphabet) if in_our_language else _matches(text, alphabet)
        except ConfigError as error:
            wrong.append(f"[rules] {name} = {text!r}: {error}")
        else:
            found.append(Rule(name, text, keeps))
    if wrong:
        raise ConfigError("\n".join(wrong))
    return found


def longest_run(tokens: Tokens) -> np.ndarray:
    """How often the same symbol stands in a row at most, int64 (N,); 0 of empty sequences."""
    values, n = tokens.values, len(tokens.values)
    if not n:
        return np.zeros(len(tokens), np.int64)
    starts = np.ones(n, bool)
    starts[1:] = values[1:] != values[:-1]
    starts[tokens.offsets[:-1][tokens.lengths > 0]] = True
    first = np.flatnonzero(starts)
    length = np.diff(np.append(first, n))
    found = np.zeros(len(tokens), np.int64)
    np.maximum.at(found, np.searchsorted(tokens.offsets, first, side="right") - 1, length)
    return found


def longest_repeat(tokens: Tokens) -> np.ndarray:
    """Length of the longest word that stands in a sequence twice, int64 (N,), at most `LONGEST_REPEAT`; 0 where none does.

    Both may overlap, so that a run of n has a repeat of n - 1.
    """
    found = np.zeros(len(tokens), np.int64)
    rows = np.arange(len(tokens))
    for k in range(1, LONGEST_REPEAT + 1):  # a word that stands there twice begins with a shorter one that does
        rows = rows[_has_repeat(tokens.take(rows), k)]
        if not len(rows):
            break
        found[rows] = k
    return found


def least_entropy(tokens: Tokens) -> np.ndarray:
    """Entropy in bits of the poorest window of `WINDOW` symbols, float64 (N,); infinite for shorter sequences."""
    found = np.full(len(tokens), np.inf)
    n_windows = len(tokens.values) - WINDOW + 1
    if n_windows < 1:
        return found
    # n log n of each symbol's count as it stands in each window: a symbol is counted wherever it stands.
    windows = np.lib.stride_tricks.sliding_window_view(tokens.values, WINDOW)
    total = np.zeros(n_windows)
    for place in range(WINDOW):
        count = np.zeros(n_windows, np.int64)
        for other in range(WINDOW):
            count += windows[:, place] == windows[:, other]
        total += np.log2(count)
    entropy = np.log2(WINDOW) - total / WINDOW
    rows = np.searchsorted(tokens.offsets, np.arange(n_windows), side="right") - 1
    inside = np.arange(n_windows) + WINDOW <= tokens.offsets[rows + 1]
    np.minimum.at(found, rows[inside], entropy[inside])
    return found


def _of_any(train: Tokens, alphabet: Alphabet) -> Iterator[Rule]:
    """Letters, inner stops and gaps, length, and low complexity."""
    standard = alphabet.ids(alphabet.standard)
    yield Rule("canonical", f"standard letters only ({alphabet.standard})", lambda own: _all_among(own, standard))
    if alphabet.folds_case:  # "-", "." and "*" are bonds, parts and any atoms of molecules
        yield Rule("no-inner-stop-or-gap", "no stop or gap before the last residue", _inner(alphabet))
    if not len(train):
        return
    ends = np.quantile(train.lengths, (TAIL, 1 - TAIL))
    low, high = float(np.floor(ends[0])), float(np.ceil(ends[1]))
    yield Rule("length", f"{low:g} to {high:g} symbols", lambda own: (own.lengths >= low) & (own.lengths <= high))
    if alphabet is SMILES:
        return
    for name, text, measured in (
        ("runs", "no symbol more than {:g} times in a row", longest_run),
        ("repeats", "no word of more than {:g} symbols twice", longest_repeat),
    ):
        most = float(np.ceil(np.quantile(measured(train), 1 - TAIL)))
        yield Rule(name, text.format(most), _at_most(measured, most))
    least = float(np.quantile(least_entropy(train), TAIL, method="lower"))
    if np.isfinite(least):
        text = f"no {WINDOW} symbols of an entropy below {least:.2f} bits"
        yield Rule("complexity", text, lambda own: least_entropy(own) >= least - 1e-9)


def _chemistry(train: Tokens, alphabet: Alphabet) -> Iterator[Rule]:
    """Numbers of a protein within those of the family."""
    if alphabet is not PROTEIN or not len(train):
        return
    natural = properties(train, alphabet)
    for name, numbers in (("charge", "charge"), ("isoelectric-point", "isoelectric_point"), ("hydropathy", "gravy")):
        known = natural[numbers][~np.isnan(natural[numbers])]
        if len(known):
            low, high = (float(each) for each in np.quantile(known, (TAIL, 1 - TAIL)))
            slack = 1e-6 * max(abs(low), abs(high))  # where all have the same number
            text = f"{numbers.replace('_', ' ')} of {low:.2f} to {high:.2f}"
            yield Rule(name, text, _within(numbers, alphabet, low - slack, high + slack))


def _habits(train: Tokens, alphabet: Alphabet) -> Iterator[Rule]:
    if alphabet is not PROTEIN or not len(train):
        return
    methionine, cysteine = int(alphabet.ids("M")[0]), int(alphabet.ids("C")[0])
    habits = (
        Rule("starts-with-m", "the first residue is M", lambda own: _first(own) == methionine),
        Rule(
            "even-cysteines", "an even number of C", lambda own: symbol_counts(own, alphabet.size)[:, cysteine] % 2 == 0
        ),
    )
    yield from (rule for rule in habits if rule.keeps(train).mean() >= HABIT)


def _within(numbers: str, alphabet: Alphabet, low: float, high: float) -> Judge:
    def keeps(tokens: Tokens) -> np.ndarray:
        own = properties(tokens, alphabet)[numbers]
        return (own >= low) & (own <= high)

    return keeps


def _of_columns(train: Tokens, alphabet: Alphabet, aligned: Callable[[Tokens], np.ndarray]) -> Iterator[Rule]:
    conserved = Conserved.of(aligned(train), len(alphabet.standard))
    if (n := len(conserved.columns)) > MAY_LOSE:
        text = f"all but {MAY_LOSE} of {n} conserved sites"
        yield Rule("conserved-sites", text, lambda own: conserved.nearly_all(aligned(own)))


def _all_among(tokens: Tokens, ids: np.ndarray) -> np.ndarray:
    """Whether all symbols of each sequence are among `ids`, and there are any, bool (N,)."""
    allowed = np.zeros(256, bool)
    allowed[ids] = True
    odd = np.concatenate([[0], np.cumsum(~allowed[tokens.values])])
    return (odd[tokens.offsets[1:]] == odd[tokens.offsets[:-1]]) & (tokens.lengths > 0)


def _inner(alphabet: Alphabet) -> Judge:
    odd = np.zeros(256, bool)
    odd[[0, *(alphabet.ids(symbol)[0] for symbol in "*-." if symbol in alphabet.symbols)]] = True

    def keeps(tokens: Tokens) -> np.ndarray:
        own = odd[tokens.values]
        own[tokens.offsets[1:][tokens.lengths > 0] - 1] = False  # the last one
        before = np.concatenate([[0], np.cumsum(own)])
        return before[tokens.offsets[1:]] == before[tokens.offsets[:-1]]

    return keeps


def _at_most(measured: Callable[[Tokens], np.ndarray], most: float) -> Judge:
    return lambda tokens: measured(tokens) <= most


def _first(tokens: Tokens) -> np.ndarray:
    """The first id of each sequence, uint8 (N,); 0 of empty ones."""
    found = np.zeros(len(tokens), np.uint8)
    filled = tokens.lengths > 0
    found[filled] = tokens.values[tokens.offsets[:-1][filled]]
    return found


def _has_repeat(tokens: Tokens, k: int) -> np.ndarray:
    """Whether any word of k symbols stands in each sequence twice, bool (N,)."""
    codes = np.zeros(max(len(tokens.values) - k + 1, 0), np.uint64)
    for shift in range(
        k
    ):  # a hash modulo 2**64 of an odd base: exact for short words, and as good as that for long ones
        codes = codes * np.uint64(0x9E3779B97F4A7C15) + tokens.values[shift : shift + len(codes)] + np.uint64(1)
    rows = np.searchsorted(tokens.offsets, np.arange(len(codes)), side="right") - 1
    inside = np.arange(len(codes)) + k <= tokens.offsets[rows + 1]
    rows, codes = rows[inside], codes[inside]
    order = np.lexsort((codes, rows))
    rows, codes = rows[order], codes[order]
    twice = (rows[1:] == rows[:-1]) & (codes[1:] == codes[:-1])
    found = np.zeros(len(tokens), bool)
    found[rows[1:][twice]] = True
    return found


def _holds(text: str, alphabet: Alphabet) -> Judge:
    rule = parse_rule(text)
    return lambda tokens: rule.holds(*ragged_bytes(alphabet.decode(tokens)))


def _matches(text: str, alphabet: Alphabet) -> Judge:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ConfigError(f"no regular expression ({error}), and no rule such as P1=M or has(KRK)") from None
    return lambda tokens: np.array([pattern.search(each) is not None for each in alphabet.decode(tokens)], bool)
