"""What `seqloom inspect` finds out: the table's facts, its target if one can be told, the split it would get, and, if asked,
which residues stand where in the classes of the target."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from seqloom.errors import ConfigError, DataError, MissingExtra
from seqloom.files import write_text
from seqloom.findings import Finding, finding
from seqloom.joined import read_tables
from seqloom.mutation.variants import told
from seqloom.positions import classes_by_length, count_symbols, position_facts, read_positions, row_classes
from seqloom.registry import validated
from seqloom.sections import Sections
from seqloom.similarity.rows import alike_groups
from seqloom.split.near import NEAR
from seqloom.split.recommend import recommended
from seqloom.summary import data_facts, sequence_lengths
from seqloom.table import DataSection, Table
from seqloom.target import Target, TargetSection, find_target, task_findings


def inspect(
    sections: Sections, source: Any = None, *, positions: str = "", page: str | Path | None = None
) -> dict[str, Any]:
    """The stable keys of `inspect --json`, with all facts of `data.json`.

    `positions`, such as `1..9,-1`: adds which residues stand there in the classes of the target, which `page` (.html) shows.
    Trouble with single rows, or with the target, is a finding here, and stops only the commands that would fit a model.
    """
    started = time.monotonic()
    if page is not None and (not positions or Path(page).suffix != ".html"):
        raise ConfigError(f"inspect -o {page}: the page of --position 1..9,-1 is written to a file that ends in .html")
    wanted_positions = read_positions(positions) if positions else ()
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
        **({"positions": _positions(table, target, trouble, wanted_positions, page)} if wanted_positions else {}),
    }


def _positions(
    table: Table, target: Target | None, trouble: list[Finding], positions: tuple[int, ...], page: str | Path | None
) -> dict[str, Any]:
    """Residues at these positions by class of the target, and its classes by length; the page is written if there is one."""
    if target is None:
        said = "; ".join(each.message for each in trouble if each.severity == "error")
        raise ConfigError(
            f"--position compares classes of a target, and there is none; name one with --by COLUMN{said and f' ({said})'}"
        )
    if len(table.roles.sequences) > 1:
        raise ConfigError(
            f"--position is of one sequence column, and there are {', '.join(table.roles.sequences)}; name one with --sequence"
        )
    classes, column = row_classes(table, target), table.roles.sequences[0]
    counts = count_symbols(table, column, positions, classes.member, len(classes.names))
    lengths = classes_by_length(sequence_lengths(table, column), classes.member, len(classes.names))
    if page is not None:
        from seqloom.report.positions import positions_html

        write_text(Path(page), positions_html(table.source.name, column, classes, counts, lengths))
    return {
        "column": column,
        "by": target.columns[0],
        "how": classes.how,
        "classes": list(classes.names),
        "rows": [int((classes.member == place).sum()) for place in range(len(classes.names))],
        "left_out": int((classes.member < 0).sum()),
        "positions": position_facts(counts, classes.names),
        "by_length": [each._asdict() for each in lengths],
        "page": None if page is None else Path(page).as_posix(),
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
