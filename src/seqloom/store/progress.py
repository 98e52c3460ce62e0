"""How far a store has been written: what is safe on disk, and what it is being made of.

Written after every stretch of rows, once they are; a later call cuts the files back to it and goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from seqloom.errors import RunError
from seqloom.files import read_json
from seqloom.store.layout import PROGRESS, VERSION, Facts


class Origin(Facts):
    """A table that the store is made of."""

    name: str
    stamp: str


class Progress(Facts):
    """What `progress.json` holds."""

    version: int = VERSION
    asked: dict[str, Any]
    origins: tuple[Origin, ...]
    sequence: str
    alphabet: str
    targets: tuple[str, ...]
    size: int
    """Rows of a piece."""
    file: int = 0
    row: int = 0
    """The next row to be read."""
    rows: int = 0
    longest: int = 0
    known: tuple[int, ...] = ()
    positive: tuple[int, ...] = ()
    left_out: dict[str, int] = Field(default_factory=dict)
    sizes: dict[str, int] = Field(default_factory=dict)
    """Bytes of every file, as far as they are safe."""


def read_progress(folder: Path) -> Progress | None:
    """How far the store in `folder` is; None where none was begun. RunError if the file cannot be understood."""
    path = folder / PROGRESS
    if not path.is_file():
        return None
    value = read_json(path)
    if not isinstance(value, dict) or value.get("version") != VERSION:
        raise RunError(f"{path}: written by another version of seqloom; begin again with --overwrite")
    return Progress.model_validate(value)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What was asked another way before, a line each."""
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [f"{key}: {_shown(old.get(key))} before, {_shown(new.get(key))} now" for key in keys]


def other_origins(old: Sequence[Origin], new: Sequence[Origin]) -> list[str]:
    """What is not as it was of the tables, a line each."""
    if [each.name for each in old] != [each.name for each in new]:
        return [f"tables: {_listed(old)} before, {_listed(new)} now"]
    return [
        f"{one.name}: the file has changed" for one, other in zip(old, new, strict=True) if one.stamp != other.stamp
    ]


def _listed(origins: Sequence[Origin]) -> str:
    names = [each.name for each in origins]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _shown(value: object) -> str:
    return "nothing" if value in ("", [], (), None) else str(value)
