"""What `seqloom inspect` finds out: the table's facts, its target if one can be told, and the split it would get."""

from __future__ import annotations

import time
from typing import Any

from seqloom.config import Sections, default_split
from seqloom.errors import DataError
from seqloom.findings import finding
from seqloom.joined import read_tables
from seqloom.registry import validated
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
    table = read_tables(section, wanted.column, source, for_prediction=True)
    target, trouble = _target(table, wanted)
    facts = data_facts(table, target, section)
    facts["findings"] += [each.as_json() for each in trouble]
    kind, why = default_split(table, target)
    return {
        "command": "inspect",
        "path": table.source.path,
        "seconds": round(time.monotonic() - started, 3),
        **facts,
        "recommended_split": {"kind": kind, "reason": why},
    }


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
