"""Which tables are meant by paths and folders, and what the file of each one's predictions is called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from seqloom.errors import ConfigError, DataError
from seqloom.read.source import locate
from seqloom.store.sources import Shard, look_at

COMPRESSED = (".gz", ".bz2", ".zst")
TABLES = (".parquet", ".csv", ".tsv", ".txt", ".arrow", ".feather", ".ipc")
"""Endings of the files of a folder that are taken for tables."""


class Source(NamedTuple):
    """A table, and the file of its predictions."""

    given: str
    output: str
    """Name of the file in the folder of predictions."""
    shard: Shard | None
    """None where it cannot be opened."""
    error: str = ""
    """Why not."""


def is_many(tables: Sequence[str], out: Path | None) -> bool:
    """Whether predictions go into a folder: of several tables, of a folder, or of one table into a path without an ending."""
    return len(tables) > 1 or locate(tables[0]).is_dir() or (out is not None and (out.is_dir() or not out.suffix))


def sources_of(given: Sequence[str | Path], out: Path) -> list[Source]:
    """All tables, those of a folder by name; opened but not read.

    Raises DataError for a folder without tables, and ConfigError where two tables would have one file of predictions.
    """
    paths = [path for each in given for path in _tables(str(each), out)]
    names: dict[str, str] = {}
    for path in paths:
        output = f"{stem(Path(path).name)}.parquet"
        if output in names:
            raise ConfigError(
                f"{names[output]} and {path} would both be predicted into {out / output}; rename one, or predict them into "
                "folders of their own"
            )
        names[output] = path
    return [_opened(path, output) for output, path in names.items()]


def stem(name: str) -> str:
    """The name of a table without its ending: `a` of `a.csv.gz`."""
    lower = name.lower()
    for suffix in COMPRESSED:
        if lower.endswith(suffix):
            name, lower = name[: -len(suffix)], lower[: -len(suffix)]
    return next((name[: -len(each)] for each in TABLES if lower.endswith(each)), name)


def _tables(given: str, out: Path) -> list[str]:
    path = locate(given)
    if path.resolve() == out.resolve():
        raise ConfigError(f"{given}: this is where predictions go; name another folder with -o")
    if not path.is_dir():
        return [given]
    if (path / "manifest.json").is_file():
        raise DataError(f"{given}: this is a store, not a folder of tables; name the tables it was packed from")
    found = sorted(
        each.as_posix()
        for each in path.iterdir()
        if each.is_file() and not each.name.startswith((".", "_")) and stem(each.name) != each.name
    )
    if not found:
        raise DataError(f"{given}: there is no table in this folder; tables end in {', '.join(TABLES)}, also with .gz")
    return found


def _opened(path: str, output: str) -> Source:
    try:
        return Source(path, output, look_at([path])[0])
    except DataError as error:
        return Source(path, output, None, str(error))
