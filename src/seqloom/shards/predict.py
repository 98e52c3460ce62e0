"""`seqloom predict` of many tables: one after the other, a piece at a time, into a Parquet file for each.

Decides the order of the work, and that a table which cannot be read does not stop the others. What becomes of rows is in
`seqloom.shards.rows`, what a folder of predictions is of in `seqloom.shards.ledger`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from seqloom.errors import DataError, SeqloomError
from seqloom.findings import Finding, finding
from seqloom.interrupts import terminable
from seqloom.model import Model
from seqloom.prediction import USED_BY_PREDICT
from seqloom.registry import validated
from seqloom.sections import Sections, refuse_others
from seqloom.shards.ledger import Written, claim, conclude, finished, identity_of, run_hash
from seqloom.shards.plan import Plan, planned
from seqloom.shards.rows import Hopeless, Rows, piece_rows
from seqloom.shards.tables import Source, sources_of
from seqloom.store.pack import Watcher
from seqloom.store.sources import Shard, batches, stamp
from seqloom.store.writer import locked, room, sync
from seqloom.table import DataSection

GROUP_ROWS, GROUP_BYTES = 1 << 16, 1 << 26
"""Of a row group that is written; the first of the two counts."""


def predict_shards(
    run: str | Path,
    tables: Sequence[str | Path],
    out: str | Path,
    sections: Sections | None = None,
    *,
    keep: bool = False,
    domain: bool = False,
    overwrite: bool = False,
    precision: str = "",
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Write `<table>.parquet` into `out` for each of `tables` (paths, or folders of them); the facts of `predict --json`.

    A file has a row for each of its table's: the id (with `keep`, all columns), predictions, and in `reason` why there are none.
    `domain`: with distances to training rows. `precision`: as of `Model`. Finished files of a call before are left as they are.
    Tables that cannot be read to their end, or are of another kind than the first, are left out and named in `unread`. RunError
    where `out` holds other predictions, unless `overwrite`.
    """
    started = time.monotonic()
    folder, watcher, sections = Path(out), watcher or Watcher(), sections or {}
    refuse_others(sections, USED_BY_PREDICT, "a finished run")
    model = Model(Path(run), sections.get("encoder"), precision)
    sources = sources_of(tables, folder)
    shards = [each.shard for each in sources if each.shard is not None]
    if not shards:
        raise DataError("no table can be read:\n" + "\n".join(each.error for each in sources[:5]))
    section = validated(DataSection, sections.get("data", {}), "[data]")
    plan = planned(model, shards, section, keep=keep, domain=domain)
    asked = {
        "run": run_hash(model, domain=domain), "settings": sections, "keep": keep, "domain": domain,
        "columns": {each.name: str(each.type) for each in plan.schema}, **({"precision": precision} if precision else {}),
    }  # fmt: skip
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "predicting"), terminable():
        try:
            claim(folder, asked, [each.output for each in sources], overwrite=overwrite)
        except SeqloomError:
            if is_new:
                folder.rmdir()
            raise
        before = {each.output: _before(folder, each, asked) for each in sources}  # of all, before any is begun
        work = Work(folder, model, plan, asked, watcher, sum(shard.rows for shard in shards))
        with room(folder, work.drop):
            for source in sources:
                work.take(source, before[source.output])
            conclude(folder, asked, work.written)
    return work.facts(time.monotonic() - started)


class Work:
    """A folder of predictions in the making."""

    def __init__(
        self, folder: Path, model: Model, plan: Plan, asked: dict[str, Any], watcher: Watcher, total: int
    ) -> None:
        self.folder, self.model, self.plan, self.asked = folder, model, plan, asked
        self.watcher, self.total, self.passed = watcher, total, 0
        self.size = piece_rows(model)
        self.written: dict[str, Written] = {}
        self.unread: list[tuple[str, str]] = []
        self.n_new = 0
        self._draft: Path | None = None

    def take(self, source: Source, found: Written | None) -> None:
        """Predict a table, unless that is done (`found`); note it where that cannot be."""
        if found is None:
            try:
                found = self._predicted(source)
            except (DataError, Hopeless) as error:
                name, said = source.given, str(error)
                why = (
                    f"{name}: the run refuses one row after another, such as: {said}"
                    if isinstance(error, Hopeless)
                    else said
                )
                self.unread.append((name, why))
                self.watcher.say(f"left out: {why}")
        if found is not None:
            self.written[source.output] = found
        known = found or source.shard
        self.passed += known.rows if known is not None else 0
        self.watcher.rows(self.passed, self.total)

    def drop(self) -> None:
        """Take away what was begun and not finished."""
        if self._draft is not None:
            self._draft.unlink(missing_ok=True)

    def facts(self, seconds: float) -> dict[str, Any]:
        """The stable keys of `predict --json`, of many tables."""
        reasons: Counter[str] = Counter()
        for each in self.written.values():
            reasons.update(each.reasons)
        failed = sum(each.failed for each in self.written.values())
        findings = [*self.plan.findings, *self._findings(dict(reasons))]
        return {
            "command": "predict",
            "path": self.model.folder.as_posix(),
            "seconds": round(seconds, 3),
            "rows": sum(each.rows for each in self.written.values()),
            "failed": failed,
            "reasons": dict(sorted(reasons.items())),
            "outside": sum(each.outside for each in self.written.values()) if self.asked["domain"] else None,
            "output": self.folder.as_posix(),
            "members": len(self.model.members),
            "tables": len(self.written),
            "new_rows": self.n_new,
            "unread": [{"table": name, "error": why} for name, why in self.unread],
            "findings": [each.as_json() for each in findings],
        }

    def _predicted(self, source: Source) -> Written:
        if source.shard is None:
            raise DataError(source.error)
        if wrong := self.plan.misfit(source.shard):
            raise DataError(wrong)
        path, mark = self.folder / source.output, stamp(source.shard)
        self._draft = path.with_name(f".{path.name}.tmp")
        try:
            found = self._write(source.shard, self._draft, mark)
            if stamp(source.shard) != mark:
                raise DataError(f"{source.given}: the file was changed while it was read")
            sync(self._draft)
            self._draft.replace(path)
            sync(self.folder)
        finally:
            self.drop()
        self.n_new += found.rows
        return found

    def _write(self, shard: Shard, draft: Path, mark: str) -> Written:
        rows, at, outside = Rows(self.model, self.plan, self.asked["domain"]), 0, 0
        reasons: Counter[str] = Counter()
        with pq.ParquetWriter(draft, self.plan.schema, compression="zstd") as writer:
            held: list[pa.Table] = []
            for piece in batches(shard, self.plan.columns, self.size):
                made = rows.of(piece, at)
                held.append(made.table)
                at += piece.num_rows
                outside += made.outside
                reasons.update(made.reasons)
                if sum(map(len, held)) >= GROUP_ROWS or sum(each.nbytes for each in held) >= GROUP_BYTES:
                    writer.write_table(pa.concat_tables(held), GROUP_ROWS)
                    held = []
                self.watcher.rows(self.passed + at, self.total)
            if held:
                writer.write_table(pa.concat_tables(held), GROUP_ROWS)
            failed = sum(reasons.values())
            name, counts = shard.path.name, dict(sorted(reasons.items()))
            written = Written(identity_of(self.asked), name, mark, at, failed, counts, outside)
            writer.add_key_value_metadata(written.as_metadata)
        return written

    def _findings(self, reasons: dict[str, int]) -> list[Finding]:
        said = [finding("unread-table", "error", why) for _, why in self.unread]
        if self.model.uncertainty is None:
            message = "nothing is known of the errors of this run: predictions have no intervals or sets"
            said.append(finding("no-uncertainty", "info", message))
        return said + [
            finding("no-prediction", "warning", f"{count:,} rows have no prediction: {why}; see column reason")
            for why, count in sorted(reasons.items())
        ]


def _before(folder: Path, source: Source, asked: dict[str, Any]) -> Written | None:
    mark = stamp(source.shard) if source.shard is not None else None
    return finished(folder / source.output, asked, mark)
