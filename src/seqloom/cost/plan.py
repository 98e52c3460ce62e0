"""`seqloom plan`: the cost of an experiment on a large library, from a probe of a few seconds per net.

Decides what is asked of each probe and in which order. What a store costs is computed in `whole`, what a net costs in `net`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from seqloom.cost.net import NetCost, net_cost
from seqloom.cost.packing import packed_piece
from seqloom.cost.probe import SECONDS, Asked, probe
from seqloom.cost.whole import Library, of_store, of_tables
from seqloom.drafts import drafts
from seqloom.errors import ConfigError, DataError, RunError
from seqloom.findings import Finding, finding
from seqloom.registry import validated
from seqloom.sections import SPREADS, Sections, refuse_others
from seqloom.store.layout import MANIFEST, is_store
from seqloom.store.pack import Watcher
from seqloom.store.rows import open_store
from seqloom.training.settings import TrainSection

NETS = ("cnn", "transformer", "mamba")
"""Probed where nobody names a net."""
USED = ("data.table", "split", "encoder", "predictor", "train", "calibrate", "report")


def plan(
    tables: Sequence[str | Path],
    sections: Sections | None = None,
    *,
    rows: int = 0,
    devices: int = 1,
    packing: Mapping[str, Any] | None = None,
    seconds: float = SECONDS,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """What an experiment will cost; the stable keys of `plan --json`.

    `tables`: one store, or tables of which `packing` (settings of `seqloom pack`) says what their columns mean. `sections` name
    nets and how they are trained; `rows` are those of the library, by default as many as there are; `devices` train one net
    together. A probe of a net takes about twice `seconds`, runs in a process of its own and leaves nothing behind.
    ConfigError and DataError for what cannot be planned; a net whose probe fails is named among the findings.
    """
    started = time.monotonic()
    sections, watcher = sections or {}, watcher or Watcher()
    if rows < 0 or devices < 1:
        raise ConfigError(f"plan: --rows {rows} and --devices {devices}: rows are 1 or more, and so are devices")
    refuse_others({name: value for name, value in sections.items() if name not in SPREADS}, USED, "plan")
    asked = drafts(sections, NETS)
    with ExitStack() as stack:
        library = _library(stack, tables, packing or {}, rows, watcher)
        if not library.targets:
            raise DataError(f"{library.name}: no target to learn; name its column with --target")
        nets: list[NetCost] = []
        findings: list[Finding] = []
        for draft in asked:
            train = validated(TrainSection, draft.sections["train"], "[train]")
            watcher.say(f"probing {draft.name}")
            wanted = Asked(
                library.folder.as_posix(), library.rows, draft.sections["predictor"], draft.sections["train"],
                draft.sections["split"], devices, seconds,
            )  # fmt: skip
            try:
                found = probe(wanted)
            except RunError as error:
                findings.append(finding("probe-failed", "error", f"{draft.name}: {error}"))
                continue
            nets.append(net_cost(draft.name, draft.sections["predictor"], train, found, library, devices))
    findings += _findings(library, nets, devices)
    return {
        "command": "plan", "path": library.name, "seconds": round(time.monotonic() - started, 3), "rows": library.rows,
        "rows_there": library.rows_there, "devices": devices, "device": nets[0].device if nets else None,
        "threads": nets[0].threads if nets else None,
        "library": {name: each.as_json() for name, each in library.figures.items()},
        "nets": [each.as_json() for each in nets], "findings": [each.as_json() for each in findings],
    }  # fmt: skip


def _library(
    stack: ExitStack, tables: Sequence[str | Path], packing: Mapping[str, Any], rows: int, watcher: Watcher
) -> Library:
    first = Path(tables[0])
    if not is_store(first):
        watcher.say("packing the first rows")
        return of_tables(tables, stack.enter_context(packed_piece(tables, packing)), rows)
    if packing or len(tables) > 1:
        wrong = f"--{next(iter(packing)).replace('_', '-')}" if packing else str(tables[1])
        raise ConfigError(
            f"plan: {first} is a store, whose columns have their roles and which stands alone; leave {wrong} out"
        )
    store = open_store(first)
    return of_store(first, store.manifest, rows, (first / MANIFEST).stat().st_size)


def _findings(library: Library, nets: Sequence[NetCost], devices: int) -> list[Finding]:
    found = []
    free = shutil.disk_usage(".").free
    needed = library.figures.get("packing_bytes")
    if needed is not None and needed.value > free:
        said = f"the store takes {needed.value / 1e9:,.3g} GB while it is written, and this disk has {free / 1e9:,.3g} GB free"
        found.append(finding("little-disk", "warning", said))
    memory = physical_bytes()
    for each in nets:
        used = each.figures.get("memory_bytes")
        if used is not None and memory is not None and used.value * devices > memory:
            said = f"{each.name}: {devices} x {used.value / 1e9:,.3g} GB of memory, and this machine has {memory / 1e9:,.3g} GB"
            found.append(finding("little-memory", "warning", said))
        if each.probed_batch < each.batch:
            said = (
                f"{each.name}: steps of {each.batch:,} rows take too long to be probed; steps of {each.probed_batch:,} were, and "
                "time and memory of a row are taken to be the same"
            )
            found.append(finding("smaller-steps", "info", said))
    return found


def physical_bytes() -> int | None:
    """Memory of this machine; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
