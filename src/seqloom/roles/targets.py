"""Which columns are the targets."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.compute as pc

from seqloom.errors import DataError
from seqloom.roles.columns import Columns, Draft, unknown_column
from seqloom.roles.conventions import NEVER_TARGETS, PLAIN_TARGETS, SMILES_FIRST, TARGETS

MOST_CLASSES = 50
"""Text with more distinct values than this is no column of classes unasked."""


def given_targets(draft: Draft, targets: Sequence[str]) -> tuple[str, ...]:
    """The target columns the user named; DataError for one that is not there, unless the table is to be predicted."""
    for name in targets:
        if name not in draft.columns.names and not draft.for_prediction:
            raise DataError(unknown_column(f"[target] column = {name!r}", name, draft.columns))
    present = [name for name in targets if name in draft.columns.names]
    return tuple(draft.because(name, "target: named in the settings") for name in present)


def choose_targets(draft: Draft, used: set[str]) -> tuple[str, ...]:
    """The target columns among those not yet `used`; none if nothing could be it, DataError if several could."""
    columns, convention = draft.columns, draft.convention
    if convention is not None and convention.targets:
        names = [
            name
            for name in (columns.find(each) for each in convention.targets)
            if name is not None and name not in used
        ]
        return tuple(draft.because(name, f"target: {convention.name} convention") for name in names)
    copies = set(convention.copies) if convention is not None else set()
    free = [name for name in columns.names if name not in used and name.lower() not in NEVER_TARGETS | copies]
    if columns.is_fasta:
        # headers say many things; only a word that is there to be a target is taken for one
        free = [name for name in free if name == "target"]
    lowered = {name.lower(): name for name in reversed(free)}
    chemprop = bool(columns.names) and columns.names[0].lower() in SMILES_FIRST
    likely = [lowered[name] for name in (PLAIN_TARGETS if chemprop else TARGETS) if name in lowered]
    if likely:
        rest = f"; {', '.join(map(repr, likely[1:]))} could be it too" if len(likely) > 1 else ""
        return (draft.because(likely[0], f"target: a column called {likely[0]!r}{rest}"),)
    numbers = [name for name in free if columns.is_number(name)]
    if chemprop and numbers:
        return tuple(
            draft.because(name, "target: chemprop convention, a column of numbers behind the SMILES")
            for name in numbers
        )
    if len(numbers) == 1:
        return (draft.because(numbers[0], "target: the only column of numbers that has no other role"),)
    classes = [] if numbers else [name for name in free if _holds_classes(columns, name)]
    if len(classes) == 1:
        return (draft.because(classes[0], "target: the only column of classes that has no other role"),)
    return _undecided(draft, numbers or classes)


def _undecided(draft: Draft, candidates: list[str]) -> tuple[str, ...]:
    if not candidates or draft.for_prediction:
        return ()
    listed = ", ".join(map(repr, candidates[:20])) + (", ..." if len(candidates) > 20 else "")
    raise DataError(
        f"{draft.columns.name}: {len(candidates)} columns could be the target: {listed}; "
        f"type --target {candidates[0]} (or another of them)"
    )


def _holds_classes(columns: Columns, name: str) -> bool:
    """Text of few distinct values, each of which comes back."""
    if not columns.is_text(name):
        return False
    column = columns.typed[name].drop_null()
    return len(column) > 0 and 2 <= pc.count_distinct(column).as_py() <= min(MOST_CLASSES, len(column) / 5)
