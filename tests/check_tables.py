"""Small tables to check, and what is found in them."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from seqloom.findings import Finding
from seqloom.table import DataSection, Table, read_table

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def peptides(n: int) -> list[str]:
    """N different peptides of one length."""
    return ["M" + "".join(LETTERS[row // 20**place % 20] for place in range(4)) + "WYK" for row in range(n)]


def read(y: Sequence[object] | np.ndarray, section: DataSection | None = None, **columns: object) -> Table:
    return read_table(pa.table({"sequence": peptides(len(y)), **columns, "y": pa.array(y)}), section, ("y",))


def found(table: Table, code: str) -> Finding:
    matching = [each for each in table.findings if each.code == code]
    assert len(matching) == 1, [each.code for each in table.findings]
    return matching[0]


def codes(table: Table) -> set[str]:
    return {each.code for each in table.findings}
