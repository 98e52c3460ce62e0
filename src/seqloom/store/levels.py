"""Names that rows share, such as building blocks: ids by first appearance while rows stream by, alphabetical ones at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

MISSING = -1


class Levels:
    """The levels of one component met so far."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = list(names)
        self._ids = {name: index for index, name in enumerate(self.names)}

    def ids(self, column: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """Ids of a column of text or whole numbers, int32 (N,), -1 where it is missing or empty; new names become levels."""
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        parts = [self._of_chunk(chunk) for chunk in chunks if len(chunk)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)

    def _of_chunk(self, chunk: pa.Array) -> np.ndarray:
        if not pa.types.is_dictionary(chunk.type):
            if pa.types.is_string_view(chunk.type):  # which Arrow cannot choose from
                chunk = chunk.cast(pa.large_string())
            chunk = chunk.dictionary_encode()
        indices = chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        used = np.zeros(len(chunk.dictionary) + 1, bool)  # a dictionary may hold far more than these rows need
        used[indices] = True
        places = np.flatnonzero(used[:-1])
        known = np.full(len(used), MISSING, np.int32)
        for place, name in zip(places, chunk.dictionary.take(pa.array(places)).to_pylist(), strict=True):
            known[place] = self._id(name)
        return known[indices]

    def _id(self, name: str | int | None) -> int:
        if name is None or name == "":
            return MISSING
        text = str(name)
        found = self._ids.get(text)
        if found is None:
            found = self._ids[text] = len(self.names)
            self.names.append(text)
        return found


def alphabetical(names: Sequence[str], used: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The `used` (bool (levels,)) names in alphabetical order, and the new id of each old one, int32 (levels + 1,).

    The last entry is that of -1, which stays. Names that no row has are gone.
    """
    order = sorted(np.flatnonzero(used).tolist(), key=names.__getitem__)
    new = np.full(len(names) + 1, MISSING, np.int32)
    new[order] = np.arange(len(order), dtype=np.int32)
    return [names[index] for index in order], new
