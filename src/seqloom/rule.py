"""Rules about peptides: how one is written, and for which sequences it holds.

    P2=L   P-1=V   P2=LIV   count(L)>=3   has(KRK)   and   or   not   ( )

A site is 1-based, a negative one counts from the C-terminus. `not` binds tighter than `and`, `and`
tighter than `or`. What rules are for is decided elsewhere: `seqloom.simulate` plants them.
"""

from __future__ import annotations

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, NoReturn

import numpy as np
import pyarrow as pa

from seqloom.errors import ConfigError
from seqloom.tokens import ragged_bytes

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"

PRESETS: Mapping[str, str] = MappingProxyType(
    {"position": "P2=L", "c-terminal": "P-1=V", "count": "count(L)>=3", "pair": "P2=L and P8=L"}
)
"""Rules by name: what a model must see is a site, a site from the end, composition, two sites at once."""

GRAMMAR = (
    "a rule is made of P2=L (site 2 is L), P-1=V (the last site is V), P2=LIV (any of these), "
    "count(L)>=3 (or > == <= <), has(KRK), and, or, not, ( ); or it is a name: " + ", ".join(PRESETS)
)

COMPARISONS: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = MappingProxyType(
    {">=": operator.ge, ">": operator.gt, "==": operator.eq, "<=": operator.le, "<": operator.lt}
)

MAX_DEPTH = 50
"""How deep parts of a rule may stand inside one another: nobody writes more, and Python's stack is finite."""


def rule_holds(rule: str, sequences: pa.Array | pa.ChunkedArray | Sequence[str]) -> np.ndarray:
    """Whether the rule holds for each of N sequences, bool (N,); beyond a sequence's end, nothing holds.

    Sequences are upper-case ASCII; nulls count as empty. Raises ConfigError where the rule cannot be read.

    >>> rule_holds("P2=L and P-1=V", ["ALGV", "ALGA", "L"]).tolist()
    [True, False, False]
    """
    return parse_rule(rule).holds(*ragged_bytes(sequences))


def parse_rule(text: str) -> Rule:
    """The rule that a text, or the name of a preset, stands for; ConfigError points at what it cannot read.

    >>> parse_rule("P2=L or P-1=V")
    Or(parts=(Position(site=2, symbols='L'), Position(site=-1, symbols='V')))
    """
    return _Parser(PRESETS.get(text.strip(), text)).whole()


class Rule(ABC):
    """A statement about a peptide."""

    @abstractmethod
    def holds(self, text: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Bool (N,) for N sequences in ASCII: `text` uint8 (sum of L,), `offsets` int64 (N + 1,)."""


@dataclass(frozen=True)
class Position(Rule):
    """`P2=LIV`: the residue at a site is one of the symbols."""

    site: int
    symbols: str

    def holds(self, text: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        lengths = np.diff(offsets)
        reached = lengths >= abs(self.site)
        found = np.zeros(len(lengths), bool)
        found[reached] = among(text[(offsets[:-1] + self.index(lengths))[reached]], self.symbols)
        return found

    def index(self, lengths: np.ndarray) -> np.ndarray:
        """The site as a 0-based index into sequences of `lengths`, int64 (N,)."""
        return np.full(len(lengths), self.site - 1) if self.site > 0 else lengths + self.site


@dataclass(frozen=True)
class Count(Rule):
    """`count(LIV)>=3`: how many residues are one of the symbols."""

    symbols: str
    comparison: str
    number: int

    def holds(self, text: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        return self.allows(_per_row(among(text, self.symbols), offsets[:-1], offsets[1:]))

    def allows(self, counts: np.ndarray) -> np.ndarray:
        """Whether each of the counts is right, bool, of the same shape."""
        return COMPARISONS[self.comparison](counts, self.number)


@dataclass(frozen=True)
class Motif(Rule):
    """`has(KRK)`: these residues in a row, anywhere."""

    symbols: str

    def holds(self, text: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        width = len(self.symbols)
        starts = np.ones(max(len(text) - width + 1, 0), bool)
        for shift, symbol in enumerate(self.symbols.encode()):
            starts &= text[shift : shift + len(starts)] == symbol
        # A start so near a row's end that it would reach into the next row is not counted.
        return _per_row(starts, offsets[:-1], offsets[1:] - width + 1) > 0


@dataclass(frozen=True)
class Not(Rule):
    """`not ...`"""

    part: Rule

    def holds(self, text: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        return ~self.part.holds(text, offsets)


@dataclass(frozen=True)
class And(Rule):
    """`... and ...`, two parts or more."""

    parts: tuple[Rule, ...]

    def holds(self, text: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        return np.logical_and.reduce([part.holds(text, offsets) for part in self.parts])


@dataclass(frozen=True)
class Or(Rule):
    """`... or ...`, two parts or more."""

    parts: tuple[Rule, ...]

    def holds(self, text: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        return np.logical_or.reduce([part.holds(text, offsets) for part in self.parts])


def among(letters: np.ndarray, symbols: str) -> np.ndarray:
    """Whether each ASCII byte is one of the symbols, bool, of the shape of `letters`."""
    table = np.zeros(256, bool)
    table[list(symbols.encode())] = True
    return table[letters]


def _per_row(hits: np.ndarray, first: np.ndarray, past: np.ndarray) -> np.ndarray:
    """How many `hits` (bool (M,)) lie in each half-open range, int64 (N,); a range may be empty or long."""
    before = np.concatenate([[0], np.cumsum(hits)])
    first = np.minimum(first, len(hits))
    return before[np.clip(past, first, len(hits))] - before[first]


class _Token(NamedTuple):
    text: str  # empty at the end of the rule
    start: int


class _Parser:
    """Recursive descent over one rule; each method reads one level of the grammar and returns its node."""

    def __init__(self, text: str) -> None:
        self.text = text
        pattern = r"P-?\d+|[A-Za-z]+|\d+|[<>=!]+|\S"
        self.tokens = [_Token(found[0], found.start()) for found in re.finditer(pattern, text, re.ASCII)]
        self.tokens.append(_Token("", len(text)))
        self.at = 0
        self.depth = 0

    def whole(self) -> Rule:
        rule = self.either()
        if self.next.text:
            self.fail("'and', 'or' or the end of the rule")
        return rule

    def either(self) -> Rule:
        parts = [self.every()]
        while self.take("or"):
            parts.append(self.every())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def every(self) -> Rule:
        parts = [self.single()]
        while self.take("and"):
            parts.append(self.single())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def single(self) -> Rule:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"at most {MAX_DEPTH} parts inside one another")
        rule = self.part()
        self.depth -= 1
        return rule

    def part(self) -> Rule:
        if self.take("not"):
            return Not(self.single())
        if self.take("("):
            rule = self.either()
            self.expect(")")
            return rule
        if self.take("count"):
            symbols = self.in_brackets()
            comparison = self.read("one of " + " ".join(COMPARISONS), "|".join(COMPARISONS))
            return Count("".join(dict.fromkeys(symbols)), comparison, int(self.read("a number", r"\d{1,9}")))
        if self.take("has"):
            return Motif(self.in_brackets())
        site = self.read("a site such as P2 or P-1, 'count', 'has', 'not' or '('", r"P-?[1-9]\d{0,8}")
        self.expect("=")
        return Position(int(site[1:]), "".join(dict.fromkeys(self.amino_acids())))

    def in_brackets(self) -> str:
        self.expect("(")
        symbols = self.amino_acids()
        self.expect(")")
        return symbols

    def amino_acids(self) -> str:
        return self.read(f"amino acids ({AMINO_ACIDS})", f"[{AMINO_ACIDS}]+")

    def expect(self, text: str) -> None:
        self.read(repr(text), re.escape(text))

    def read(self, what: str, pattern: str) -> str:
        """The next token, which must match; `what` says what is allowed here."""
        token = self.next.text
        if not re.fullmatch(pattern, token):
            self.fail(what)
        self.at += 1
        return token

    def take(self, text: str) -> bool:
        """Whether the next token is `text`, which is then passed."""
        found = self.next.text == text
        self.at += found
        return found

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def fail(self, allowed: str) -> NoReturn:
        token = self.next
        got = repr(token.text) if token.text else "the end"
        line = re.sub(r"\s", " ", self.text)  # one line, so that the caret stands below its character
        raise ConfigError(
            f"rule {self.text!r}, character {token.start + 1}: got {got}, expected {allowed}\n"
            f"  {line}\n  {' ' * token.start}^\n{GRAMMAR}"
        )
