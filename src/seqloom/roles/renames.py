"""Columns by other names, as `[data] rename` says, before anything is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from seqloom.errors import DataError
from seqloom.registry import nearest
from seqloom.roles.columns import Columns


def renamed(
    columns: Columns,
    names: Mapping[str, str],
    *,
    remembered: Mapping[str, str] | None = None,
    elsewhere: Callable[[], Sequence[str]] | None = None,
) -> Columns:
    """The columns under their new names (`names`: old to new), all renamed at once, so that two can change places.

    `remembered`: further names, passed over where they are not there. `elsewhere` gives the columns of another table that `names`
    may be meant for. DataError for a name that neither table has, and for a new name that another column has already.
    """
    unknown = [old for old in names if old not in columns.names]
    if unknown and elsewhere is not None:
        others = elsewhere()
        unknown = [old for old in unknown if old not in others]
    if unknown:
        listed = ", ".join(f"{old!r}{nearest(old, columns.names)}" for old in unknown)
        raise DataError(
            f"[data] rename: {columns.name} has no column {listed}; columns: {', '.join(columns.names[:30])}"
        )
    every = {**(remembered or {}), **names}
    new = [every.get(name, name) for name in columns.names]
    twice = sorted({name for name in new if new.count(name) > 1})
    if twice:
        raise DataError(
            f"[data] rename: {columns.name} would have several columns {', '.join(map(repr, twice))}; choose another new name, "
            f"or rename the column that is called so as well: --set 'data.rename={{{twice[0]}=\"old_{twice[0]}\", ...}}'"
        )
    return columns if new == columns.names else replace(columns, typed=columns.typed.rename_columns(new))
