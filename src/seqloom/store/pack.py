"""`seqloom pack`: tables become a store, a piece at a time, in memory that does not grow with them.

Decides the order of the work, what is looked at before anything is written, and how a call goes on where another ended. How
tables are read, rows made and files written is in the modules beside this one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from seqloom.alphabet import ALPHABETS
from seqloom.errors import DataError, RunError, SeqloomError
from seqloom.findings import N_NAMED_ROWS, finding
from seqloom.interrupts import terminable
from seqloom.registry import validated
from seqloom.store.begin import before_it, begun, origins_of
from seqloom.store.finish import (
    alphabetical_ids,
    check_sizes,
    narrow_lengths,
    remove_drafts,
    repeats_in,
    repeats_message,
    target_facts,
    write_manifest,
)  # fmt: skip
from seqloom.store.fold import Fold
from seqloom.store.intake import ENTITY, SYMBOL, Columns, Rows, odd_symbols, tokens_of, wide_rows
from seqloom.store.labels import pack_labels
from seqloom.store.layout import Manifest
from seqloom.store.molecules import Molecules
from seqloom.store.progress import Progress, other_origins
from seqloom.store.settings import Packing
from seqloom.store.sources import Shard, batches, look_at
from seqloom.store.writer import ROW_BITS, Chunk, Writer, locked, read_levels, room

UNSAFE_SHARE = 8
"""What was written since the last progress may be this part of the memory."""
SECONDS = 30
"""At most between two progresses."""


class Watcher:
    """Is told what happens; does nothing with it."""

    def say(self, text: str) -> None:
        """A line."""

    def rows(self, done: int, total: int) -> None:
        """How many rows of the tables have been read, of about how many."""


def pack(
    tables: Sequence[str | Path],
    out: str | Path,
    *,
    overwrite: bool = False,
    watcher: Watcher | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """A store of the rows of `tables`, in their order; the stable keys of `pack --json`.

    `settings` as in `seqloom.store.settings.Packing`. A folder that a call before began is gone on with, to the same bytes;
    one that holds another store is refused with RunError unless `overwrite`. DataError for tables that do not fit, before
    anything is written, and for rows that cannot be packed. With `canonical` other processes are started, so that a script
    needs its `if __name__ == "__main__":`.
    """
    started = time.monotonic()
    packing = validated(Packing, settings, "pack")
    watcher = watcher or Watcher()
    shards, folder = look_at(tables), Path(out)
    origins = origins_of(shards)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder), terminable():
        before = before_it(folder, packing, origins, shards, overwrite=overwrite)
        if isinstance(before, Manifest):
            remove_drafts(folder, keep_left_out=bool(before.left_out))
            watcher.say(f"{folder}: finished already, nothing to do")
            return facts_of(folder, before, time.monotonic() - started, 0)
        try:
            progress = before or begun(folder, packing, origins, shards)
        except SeqloomError:
            with suppress(OSError):  # other files are in it
                folder.rmdir()
            raise
        work = Work(folder, packing, shards, progress, watcher)
        if before is not None:
            watcher.say(f"going on after {progress.rows:,} rows")
        try:
            with room(folder, work.writer.cut_back):
                work.run()
                manifest = work.finish()
        finally:
            work.close()
        return facts_of(folder, manifest, time.monotonic() - started, manifest.rows - (before.rows if before else 0))


def facts_of(folder: Path, manifest: Manifest, seconds: float, n_written: int) -> dict[str, Any]:
    """The stable keys of `pack --json`."""
    size = sum(each.bytes for each in manifest.files)
    findings = [
        finding("left-out", "warning", f"{count:,} rows were left out: {reason}; see {folder / 'left_out.csv'}")
        for reason, count in manifest.left_out.items()
    ]
    if manifest.repeats:
        said = f"{manifest.repeats:,} rows are of a molecule that an earlier row is of, and were kept"
        findings.append(finding("repeats", "warning", said))
    return {
        "command": "pack", "path": folder.as_posix(), "seconds": round(seconds, 3), "rows": manifest.rows,
        "written": n_written, "tokens": manifest.tokens, "alphabet": manifest.alphabet, "sequence": manifest.sequence,
        "targets": [each.model_dump() for each in manifest.targets],
        "components": [each.model_dump() for each in manifest.components],
        "bytes": size, "left_out": manifest.left_out, "repeats": manifest.repeats,
        "findings": [each.as_json() for each in findings],
    }  # fmt: skip


class Work:
    """A store in the making."""

    def __init__(
        self, folder: Path, packing: Packing, shards: Sequence[Shard], progress: Progress, watcher: Watcher
    ) -> None:
        self.folder, self.packing, self.shards, self.watcher = folder, packing, shards, watcher
        self.progress, self.secured = progress, time.monotonic()
        self.alphabet = ALPHABETS[progress.alphabet]
        self.columns = Columns(
            progress.sequence, progress.targets, packing.component, packing.entity_target, packing.value
        )
        self.levels = read_levels(folder, len(packing.component), progress)
        self.fold = Fold(self.columns, self.levels) if packing.long else None
        self.molecules = Molecules() if packing.canonical else None
        self.total = sum(shard.rows for shard in shards)
        self.passed = sum(shard.rows for shard in shards[: progress.file])
        with room(folder, lambda: None):
            self.writer = Writer(folder, self.levels, progress, long=packing.long)

    def run(self) -> None:
        """Read all tables from where the progress is, and write their rows."""
        start = self.progress.row
        for number in range(self.progress.file, len(self.shards)):
            at = start
            for table in batches(
                self.shards[number], list(self.columns.roles), self.progress.size, start, self.columns.shared
            ):
                if self.fold is None:
                    rows = wide_rows(table, number, at, self.columns, self.levels)
                    at += table.num_rows
                    self._take(rows, (number, at))
                else:
                    rows = self.fold.take(table, number, at)
                    at += table.num_rows
                    self._take(rows, self.fold.begins())
                self.watcher.rows(self.passed + at, self.total)
            self.passed += at
            start = 0
        if self.fold is not None and (last := self.fold.rest()) is not None:
            self._take(last, (len(self.shards), 0))
        self._secure((len(self.shards), 0))

    def finish(self) -> Manifest:
        """Make the store of what was written."""
        progress = self.progress
        check_sizes(self.folder, progress)
        self.watcher.say("finishing")
        repeats = 0
        if self.packing.long:
            found = repeats_in(self.folder, progress, len(self.levels), self.packing.bytes)
            if found.number and self.packing.repeats == "stop":
                raise DataError(repeats_message(self.folder, found, self.shards))
            repeats = found.number
        length_type = narrow_lengths(self.folder, progress)
        named = enumerate(zip(self.packing.component, self.levels, strict=True))
        components = tuple(alphabetical_ids(self.folder, place, name, levels) for place, (name, levels) in named)
        changed = other_origins(progress.origins, origins_of(self.shards))
        if changed:
            raise RunError("\n".join([f"{self.folder}: while it was packed", *changed, "begin again with --overwrite"]))
        manifest = Manifest(
            alphabet=self.alphabet.name, symbols=self.alphabet.symbols, rows=progress.rows,
            tokens=progress.sizes["values.u8"], longest=progress.longest, length_type=length_type,
            sequence=progress.sequence, targets=target_facts(progress), components=components,
            rewrites=self.packing.rewrites, canonical=self.molecules.made_by if self.molecules else "",
            left_out=dict(sorted(progress.left_out.items())), repeats=repeats, asked=self.packing.asked,
        )  # fmt: skip
        return write_manifest(self.folder, manifest, self.shards, self.watcher.say)

    def close(self) -> None:
        """Let go of files and processes."""
        self.writer.close()
        if self.molecules is not None:
            self.molecules.close()

    def _take(self, rows: Rows, then: tuple[int, int]) -> None:
        """Write molecules; `then`: table and row that come after them."""
        tokens, bad = tokens_of(rows, self.alphabet, self.packing.rewrites, self.molecules)
        ones, known, ids, firsts = rows.ones, rows.known, rows.ids, rows.bounds[:-1]
        left_out = dict(self.progress.left_out)
        if bad:
            if self.packing.bad_rows == "stop":
                self._secure((self.progress.file, self.progress.row))  # a call with --bad-rows skip goes on from here
                raise DataError(self._bad_message(rows, bad))
            self._leave_out(rows, bad, left_out)
            good = np.setdiff1d(np.arange(len(tokens)), list(bad))
            tokens, ones, known, ids, firsts = (
                tokens.take(good),
                ones[:, good],
                known[:, good],
                ids[:, good],
                firsts[good],
            )
        lengths = tokens.lengths
        origins = None
        if self.fold is not None:
            origins = (rows.file[firsts].astype(np.int64) << ROW_BITS) | rows.row[firsts]
        self.writer.append(Chunk(tokens.values, lengths, pack_labels(ones, known), ids, origins))
        counts = zip(self.progress.known, known.sum(1).tolist(), strict=True)
        positive = zip(self.progress.positive, (ones & known).sum(1).tolist(), strict=True)
        self.progress = self.progress.model_copy(
            update={
                "file": then[0], "row": then[1], "rows": self.progress.rows + len(lengths), "left_out": left_out,
                "longest": max(self.progress.longest, int(lengths.max(initial=0))),
                "known": tuple(old + new for old, new in counts), "positive": tuple(old + new for old, new in positive),
            }
        )  # fmt: skip
        due = time.monotonic() - self.secured > SECONDS
        if due or self.writer.unsafe > self.packing.bytes // UNSAFE_SHARE:
            self._secure(then)

    def _secure(self, then: tuple[int, int]) -> None:
        self.progress = self.writer.secure(self.progress.model_copy(update={"file": then[0], "row": then[1]}))
        self.secured = time.monotonic()

    def _leave_out(self, rows: Rows, bad: dict[int, tuple[str, str]], counts: dict[str, int]) -> None:
        lines = []
        for molecule in sorted(bad):
            reason, text = bad[molecule]
            for row in range(int(rows.bounds[molecule]), int(rows.bounds[molecule + 1])):
                lines.append((self.shards[rows.file[row]].name, int(rows.row[row]) + 1, reason, text))
                counts[reason] = counts.get(reason, 0) + 1
        self.writer.leave_out(lines)

    def _bad_message(self, rows: Rows, bad: dict[int, tuple[str, str]]) -> str:
        named = []
        for molecule in sorted(bad)[:N_NAMED_ROWS]:
            reason, text = bad[molecule]
            row = int(rows.bounds[molecule])
            about = f" {odd_symbols(text.strip(), self.alphabet)}" if reason == SYMBOL else ""
            shown = text if len(text) <= 80 else f"{text[:77]}..."
            named.append(
                f"  {self.shards[rows.file[row]].name} row {rows.row[row] + 1:,}: {reason}{about} in {shown!r}"
            )
        if any(reason == ENTITY for reason, _ in bad.values()):
            named.append(f"  (targets are {', '.join(self.columns.targets)}; others are named with --target)")
        last = f"{self.shards[rows.file[-1]].name} row {rows.row[-1] + 1:,}"
        return "\n".join([
            f"{len(bad):,} rows cannot be packed (looked at up to {last}):",
            *named,
            "mend them, or leave them out, listed in left_out.csv, with --bad-rows skip; the same command then goes on from here",
        ])  # fmt: skip
