"""Bytes to tokens, by one look-up over the buffer; what the tokens mean is the alphabet's business.

Unknown bytes become 255 and are counted; which rows they are in, and what then, is for those who call.
"""

from __future__ import annotations

import numpy as np

from seqloom.alphabet import UNKNOWN, translated
from seqloom.store.native import loops, read_only

HIGH = 128
"""The highest bit of an id; `UNKNOWN` has it, and no id of an alphabet of fewer symbols."""


def encode(text: np.ndarray, look_up: np.ndarray, *, native: bool | None = None) -> tuple[np.ndarray, int]:
    """Tokens of the bytes `text` (uint8 (S,)) by `look_up` (uint8 (256,)), uint8 (S,); and how many are `UNKNOWN`.

    `native` chooses the form as in `seqloom.store.native`; the compiled one lets other threads run.

    >>> from seqloom.alphabet import SMILES
    >>> tokens, n_unknown = encode(np.frombuffer(b"CC?", np.uint8), SMILES.look_up, native=False)
    >>> len(tokens), n_unknown
    (3, 1)
    """
    compiled = loops(native)
    if compiled is None:
        return translated(text, look_up)
    values = np.empty(len(text), np.uint8)
    seen = compiled.encode(read_only(text), read_only(look_up), values)
    return values, int(np.count_nonzero(values == UNKNOWN)) if seen & HIGH else 0
