"""What a folder of predictions is of: `predictions.json`, and in each of its files what that was made of.

A file is there whole or not at all, and says itself from which table and by which run it was made; so a call that goes on needs
nothing else. Another run or a changed table is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from seqloom.errors import RunError
from seqloom.files import read_json, write_json
from seqloom.model import Model
from seqloom.store.progress import differences

FILE = "predictions.json"
VERSION = 1
KEY = "seqloom.predictions"
READ_BY_MODEL = ("resolved.toml", "target.json", "data.json", "uncertainty.json", "encoder/*", "lookup/*", "fold-*/seed-*/done",
                 "fold-*/seed-*/weights.safetensors", "fold-*/seed-*/calibration.json")  # fmt: skip
"""Files of a run by which its predictions may differ."""
DISTANCES = "training.parquet"


@dataclass(frozen=True)
class Written:
    """A finished file of predictions."""

    identity: str
    """Hash of what was asked of which run."""
    table: str
    """Name of the table's file."""
    stamp: str
    """Of the table, as by `seqloom.store.sources.stamp`."""
    rows: int
    failed: int
    reasons: dict[str, int]
    outside: int

    @property
    def as_metadata(self) -> dict[str, str]:
        """For the file itself."""
        return {KEY: json.dumps(asdict(self), sort_keys=True)}


def run_hash(model: Model, *, domain: bool) -> str:
    """SHA-256 of all that a run predicts by, wherever its folder is."""
    digest = hashlib.sha256()
    for pattern in (*READ_BY_MODEL, *([DISTANCES] if domain else [])):
        for path in sorted(model.folder.glob(pattern)):
            with path.open("rb") as file:
                own = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(model.folder).as_posix()}\0{own}\0".encode())
    return digest.hexdigest()


def identity_of(asked: Mapping[str, Any]) -> str:
    """A hash of what was asked."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def claim(folder: Path, asked: dict[str, Any], outputs: Sequence[str], *, overwrite: bool) -> None:
    """Have the folder be for these predictions, or check that it is already.

    RunError where it is for others or holds other files; with `overwrite` the predictions in it are taken away.
    """
    path = folder / FILE
    if not path.is_file():
        strange = sorted(each.name for each in folder.iterdir() if not _is_draft(each))
        if strange:
            raise RunError(f"{folder}: there are other files in it, such as {strange[0]!r}; name a new folder with -o")
        _begin(path, asked)
        return
    if overwrite:
        _begin(path, asked)  # first, so that what is left of the old ones is known as such if this ends here
        for each in [*folder.glob("*.parquet"), *folder.glob(".*.parquet.tmp")]:
            if _is_draft(each) or _metadata(each) is not None:
                each.unlink()
        return
    held = read_json(path)
    if not isinstance(held, dict) or held.get("version") != VERSION:
        raise RunError(f"{path}: written by another version of seqloom; begin again with --overwrite")
    other = differences(held["asked"], asked)
    ours = identity_of(asked)
    left = sorted(
        each.name for each in folder.glob("*.parquet") if each.name not in outputs and _of(each, ours) is not None
    )
    if left:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        other.append(f"{left[0]}{more}: of a table that is not named now")
    if other:
        raise RunError("\n".join([
            f"{folder}: holds other predictions:", *(f"  {line}" for line in other),
            "name a new folder with -o, or make them anew with --overwrite",
        ]))  # fmt: skip


def finished(path: Path, asked: Mapping[str, Any], stamp: str | None) -> Written | None:
    """What a file of predictions was made of; None where it is not there, damaged, or by another run.

    RunError where its table has changed since. `stamp` is None where the table cannot be opened now.
    """
    found = _of(path, identity_of(asked))
    if found is not None and found.stamp != stamp:
        raise RunError(
            f"{path}: the table it was made of, {found.table}, has changed since; put it back, name a new folder with -o, or "
            "make all predictions anew with --overwrite"
        )
    return found


def conclude(folder: Path, asked: dict[str, Any], written: Mapping[str, Written]) -> None:
    """Add to the folder's file what is in it."""
    listed = [
        {"file": name, **{key: value for key, value in asdict(each).items() if key != "identity"}}
        for name, each in sorted(written.items())
    ]
    write_json(folder / FILE, {"version": VERSION, "asked": asked, "files": listed})


def _begin(path: Path, asked: dict[str, Any]) -> None:
    write_json(path, {"version": VERSION, "asked": asked, "files": []})


def _of(path: Path, identity: str) -> Written | None:
    found = _metadata(path)
    return found if found is not None and found.identity == identity else None


def _metadata(path: Path) -> Written | None:
    try:
        held = pq.read_metadata(path).metadata or {}
        return Written(**json.loads(held[KEY.encode()]))
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError):  # not there, damaged, or not ours
        return None


def _is_draft(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".tmp")
