"""What `seqloom inspect` finds out: the table's facts, its target if one can be told, and the split it would get."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from seqloom.errors import DataError, MissingExtra
from seqloom.findings import Finding, finding
from seqloom.joined import read_tables
from seqloom.mutation.variants import told
from seqloom.registry import validated
from seqloom.sections import Sections
from seqloom.similarity.rows import alike_groups
from seqloom.split.near import NEAR
from seqloom.split.recommend import recommended
from seqloom.summary import data_facts
from seqloom.table import DataSection, Table
from seqloom.target import Target, TargetSection, find_target, task_findings


def inspect(sections: Sections, source: Any = None) -> dict[str, Any]:
    """The stable keys of `inspect --json`, with all facts of `data.json`.

    Trouble with single rows, or with the target, is a finding here, and stops only the commands that would fit a model.
    """
    started = time.monotonic()
    section = validated(DataSection, sections.get("data", {}), "[data]")
    wanted = validated(TargetSection, sections.get("target", {}), "[target]")
    table = read_tables(section, wanted.column, source, for_prediction=True, censoring=wanted.censoring)
    target, trouble = _target(table, wanted)
    facts = data_facts(table, target, section)
    facts["findings"] += [each.as_json() for each in trouble]
    related = [] if any(each.severity == "error" for each in table.findings) else _related(table)
    facts["findings"] += [each.as_json() for each in related]
    split = recommended(table, target.task if target is not None else None, search="words")
    return {
        "command": "inspect",
        "path": table.source.path,
        "seconds": round(time.monotonic() - started, 3),
        **facts,
        "recommended_split": {**split.settings, "reason": split.reason},
    }


def _related(table: Table) -> list[Finding]:
    """Rows that are variants or near duplicates of each other."""
    try:
        groups = alike_groups(table, NEAR, search="words")
    except MissingExtra as error:
        return [finding("not-compared", "info", f"near duplicates were not looked for: {error}")]
    found = [] if any(table.alphabets[each].name == "smiles" for each in table.roles.sequences) else list(told(table))
    alike = np.flatnonzero(np.bincount(groups.label)[groups.label] > 1)
    if len(alike):
        message = (
            f"{len(alike):,} of {table.n_rows:,} rows ({len(alike) / table.n_rows:.0%}) have another row at {NEAR:.0%} identity "
            "or more, which a random split would put on both sides"
        )
        found.append(finding("near-duplicates", "info", message, table.row_numbers[alike]))
    return found


def _target(table: Table, section: TargetSection) -> tuple[Target | None, list[Any]]:
    if not (section.column or table.roles.targets):
        return None, [
            finding("no-target", "info", "no target column is known; name one with --target COLUMN to train a model")
        ]
    try:
        target = find_target(table, section)
        return target, task_findings(table, target, section)
    except DataError as error:
        return None, [finding("target", "error", str(error))]
