"""Findings: what was noticed about a table or a partition, with the rows it concerns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from seqloom.errors import DataError

Severity = Literal["info", "warning", "error"]

N_NAMED_ROWS = 5


@dataclass(frozen=True)
class Finding:
    """One thing noticed.

    `rows` are counted from 1 at the first data row of the source, as a person counts them; at most the first
    `N_NAMED_ROWS` are kept, `count` says how many there are.
    """

    code: str
    severity: Severity
    message: str
    count: int = 0
    rows: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The stable keys of `--json`."""
        return asdict(self) | {"rows": list(self.rows)}


def finding(code: str, severity: Severity, message: str, rows: Sequence[int] | Iterable[int] = ()) -> Finding:
    """A finding that counts `rows` (1-based) and keeps the first few."""
    numbers = [int(row) for row in rows]
    return Finding(code, severity, message, len(numbers), tuple(numbers[:N_NAMED_ROWS]))


def raise_errors(findings: Iterable[Finding]) -> None:
    """Raise one DataError that lists every finding of severity `error`; return if there is none."""
    errors = [each for each in findings if each.severity == "error"]
    if errors:
        raise DataError("\n".join(each.message for each in errors))
