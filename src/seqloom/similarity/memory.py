"""The last few answers: splitter, audit and recommendation ask the same of the same sequences."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import TypeVar, cast

from seqloom.tokens import Tokens

Made = TypeVar("Made")

MOST_KEPT = 12
_MEMORY: OrderedDict[object, object] = OrderedDict()


def remembered(key: object, make: Callable[[], Made]) -> Made:
    """What was made for an equal `key`, if that is not long ago, else what `make` gives now."""
    if key not in _MEMORY:
        _MEMORY[key] = make()
        while len(_MEMORY) > MOST_KEPT:
            _MEMORY.popitem(last=False)
    _MEMORY.move_to_end(key)
    return cast(Made, _MEMORY[key])


def digest(tokens: Tokens) -> bytes:
    """What tells these sequences from others, 16 bytes."""
    mixed = blake2b(tokens.values.tobytes(), digest_size=16)
    mixed.update(tokens.offsets.tobytes())
    return mixed.digest()
