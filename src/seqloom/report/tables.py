"""Tables of variants: what they hold. How they are laid out is decided in `template.html`."""

from __future__ import annotations

from dataclasses import dataclass, field

from seqloom.report.facts import RunFacts
from seqloom.stats import Interval

MOST_SIDE_BY_SIDE = 5
"""With more variants, these are the rows of a table of scores, or it would be wider than the page."""
MOST_WITH_INTERVALS = 6
"""With more columns, intervals of scores are folded away."""


@dataclass(frozen=True)
class Line:
    """A row of a table: the variant and its cells, text or intervals."""

    run: RunFacts
    cells: tuple[str | Interval, ...]


@dataclass(frozen=True)
class Grid:
    """A table of variants."""

    caption: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class ScoreTable:
    """The score of every variant on parts of the test rows."""

    header: str
    """What the parts are parts by."""
    counted: str
    runs: tuple[RunFacts, ...]
    rows: tuple[tuple[str, str, tuple[Interval, ...]], ...]
    """Part, how many rows or groups it has, and the score of every variant."""
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def by_variant(self) -> bool:
        """Whether variants are the rows of the table, and parts its columns."""
        return len(self.runs) > MOST_SIDE_BY_SIDE

    @property
    def with_intervals(self) -> bool:
        """Whether the table has room for intervals."""
        return not self.by_variant or len(self.rows) <= MOST_WITH_INTERVALS

    @property
    def lines(self) -> tuple[tuple[RunFacts, tuple[Interval, ...]], ...]:
        """The scores by variant."""
        return tuple((run, tuple(scores[at] for _, _, scores in self.rows)) for at, run in enumerate(self.runs))
