"""Views of a sequence: its ends, with or without a masked middle, for asking what a model needs to see.

Encoders show what is left of every row to whatever they do next; a view is one of their settings.
"""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import AfterValidator

from seqloom.alphabet import Alphabet
from seqloom.errors import ConfigError
from seqloom.tokens import Tokens

GRAMMAR = re.compile(
    r"first(?P<first>[1-9]\d*)|last(?P<last>[1-9]\d*)|first(?P<head>[1-9]\d*)\+(?P<mask>mask\+)?last(?P<tail>[1-9]\d*)"
)
ALLOWED = (
    "give firstK, lastK, firstK+lastK or firstK+mask+lastK with numbers K from 1 on, such as first3+last3, or nothing for "
    "the whole sequence"
)
UNKNOWN_SYMBOLS = {"protein": "X", "dna": "N", "rna": "N"}
"""By the name of the alphabet; others have no symbol for "any"."""


class View(NamedTuple):
    """How many symbols of each end are kept, and whether those between are masked or left out."""

    first: int
    last: int
    masks: bool

    @staticmethod
    def of(text: str) -> View | None:
        """The view that `text` names, None for the whole sequence; ValueError says what is allowed.

        >>> View.of("first3+mask+last2")
        View(first=3, last=2, masks=True)
        """
        if not text:
            return None
        found = GRAMMAR.fullmatch(text)
        if found is None:
            raise ValueError(f"no such view; {ALLOWED}")
        return View(
            int(found["first"] or found["head"] or 0), int(found["last"] or found["tail"] or 0), bool(found["mask"])
        )


def _checked(text: str) -> str:
    View.of(text)
    return text


ViewText = Annotated[str, AfterValidator(_checked)]
"""The type of an encoder's field `view`."""


def viewed(tokens: Tokens, alphabet: Alphabet, view: str) -> Tokens:
    """What `view` leaves of N sequences; rows with no more symbols than both ends are kept whole.

    ConfigError where the middle is to be masked and the alphabet has no unknown symbol.
    """
    ends = View.of(view)
    if ends is None:
        return tokens
    symbol = unknown_id(alphabet, f"[encoder] view = {view!r}") if ends.masks else 0
    lengths = tokens.lengths
    position = np.arange(len(tokens.values)) - np.repeat(tokens.offsets[:-1], lengths)
    kept = (position < ends.first) | (position >= np.repeat(lengths, lengths) - ends.last)
    if ends.masks:
        return Tokens(np.where(kept, tokens.values, np.uint8(symbol)), tokens.offsets)
    offsets = np.concatenate([[0], np.cumsum(np.minimum(lengths, ends.first + ends.last))])
    return Tokens(tokens.values[kept], offsets)


def unknown_id(alphabet: Alphabet, wanted_by: str) -> int:
    """The id of the symbol that means any other; ConfigError, opened by what wanted it, where the alphabet has none."""
    if alphabet.name not in UNKNOWN_SYMBOLS:
        raise ConfigError(
            f"{wanted_by} needs a symbol for any residue, and the alphabet {alphabet.name} has none; "
            f"it is for {', '.join(UNKNOWN_SYMBOLS)}"
        )
    return int(alphabet.ids(UNKNOWN_SYMBOLS[alphabet.name])[0])
