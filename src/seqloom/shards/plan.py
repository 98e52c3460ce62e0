"""What is settled once for all tables: which columns the model is shown, which are kept, what the output looks like.

It is settled by the first rows of the first table that the model can read. Whether another table fits is decided here too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from seqloom.errors import ConfigError, DataError
from seqloom.findings import Finding
from seqloom.lookup import LookUpTable, kept_lookups, read_lookup
from seqloom.model import Model
from seqloom.registry import nearest
from seqloom.store.sources import Shard, batches, is_text
from seqloom.table import DataSection, Table

N_HEAD = 4096
"""Rows that are looked at."""
REASON = "reason"
FIXED = ("sequence", "id", "group", "lookup", "rename", "wild_type", "first_site", "covariates", "context")
"""Settings of `[data]` that can be given: those that leave every row where it is."""


@dataclass(frozen=True)
class Plan:
    """What is done with every table."""

    section: DataSection
    inputs: tuple[str, ...]
    """Columns of a table that the model is shown."""
    texts: tuple[str, ...]
    """Those of them that hold sequences."""
    kept: pa.Schema
    """Columns of a table that stand before its predictions."""
    exact: bool
    """Whether a table must have no other column than these."""
    predictions: pa.Schema
    lookups: Mapping[str, LookUpTable]
    """By column of a table: the file that its values are looked up in."""
    findings: tuple[Finding, ...]

    @property
    def columns(self) -> list[str]:
        """What is read of a table."""
        return list(dict.fromkeys([*self.inputs, *self.kept.names]))

    @property
    def schema(self) -> pa.Schema:
        """Of the output."""
        return pa.schema([*self.kept, *self.predictions, pa.field(REASON, pa.string())])

    def misfit(self, shard: Shard) -> str:
        """Why a table is not like the others; empty if it is."""
        there = list(shard.types)
        lacks = [f"no column {name!r}{nearest(name, there)}" for name in self.columns if name not in there]
        odd = [
            f"column {name!r} is {shard.types[name]}, and a sequence is text"
            for name in self.texts
            if name in there and not (is_text(shard.types[name]) or pa.types.is_null(shard.types[name]))
        ]
        more = [name for name in there if self.exact and name not in self.columns]
        others = [f"columns that the first table has not: {', '.join(more[:5])}"] if more else []
        wrong = [*lacks[:5], *odd, *others]
        return f"{shard.name}: {'; '.join(wrong)}" if wrong else ""


def planned(model: Model, shards: Sequence[Shard], section: DataSection, *, keep: bool, domain: bool) -> Plan:
    """What is done with all tables.

    Raises DataError if none of them has rows that the model can read, and ConfigError for `[data]` settings that would move
    rows.
    """
    moved = sorted(name for name in section.model_fields_set if name not in FIXED)
    if moved:
        raise ConfigError(
            f"[data] {', '.join(moved)}: predictions of many tables have a row for each of theirs; of [data] there can be "
            f"{', '.join(FIXED)}. Do it to the tables first"
        )
    shard, head, table = _head(model, shards, section)
    renames = {**model.run.variant.data.rename, **section.rename}
    roles = table.roles
    unused = {*roles.targets, roles.set, roles.validation, roles.inequality, roles.mask}
    resolved = model.run.variant.resolved
    wanted = ({*roles.columns} - unused) | {*_words([resolved[part] for part in ("data", "encoder", "predictor")])}
    own = {name: renames.get(name, name) for name in head.column_names}
    inputs = tuple(name for name in own if own[name] in wanted or name in wanted or own[name] in section.lookup)
    texts = tuple(name for name in own if own[name] in roles.sequences)
    identifiers = [name for name in own if own[name] == roles.id] or list(texts or inputs)
    predictions = _prediction_schema(model, [] if not keep else head.column_names, domain=domain)
    kept = pa.schema([_field(head, name) for name in (head.column_names if keep else identifiers)])
    _refuse_taken(kept.names, predictions.names, shard.name)
    pinned: dict[str, Any] = {"id": roles.id} if roles.id else {}
    if all(name in own.values() for name in roles.sequences):
        pinned["sequence"] = roles.sequences
    files = {**kept_lookups(model.folder, model.run.variant.data), **section.lookup}
    lookups = {name: read_lookup(files[own[name]], name) for name in own if own[name] in files}
    found = [each for each in model.findings(table) if each.severity != "info"]
    return Plan(section.model_copy(update=pinned), inputs, texts, kept, keep, predictions, lookups, tuple(found))


def _head(model: Model, shards: Sequence[Shard], section: DataSection) -> tuple[Shard, pa.Table, Table]:
    """The first rows of the first table that the model can read."""
    wrong = []
    for shard in shards:
        try:
            head = next(batches(shard, list(shard.types), N_HEAD), None)
            if head is not None:
                return shard, head, model.read(head, section)
            wrong.append(f"{shard.name}: no rows")
        except DataError as error:
            wrong.append(
                f"{shard.name}: {without_source(str(error))}".replace(f"{shard.name}: {shard.name}", shard.name)
            )
    more = f"\nand {len(wrong) - 5} more" if len(wrong) > 5 else ""
    raise DataError("no table can be predicted:\n" + "\n".join(wrong[:5]) + more)


def without_source(message: str) -> str:
    """A message about a piece of a table, without what a piece is called."""
    return message.removeprefix("pyarrow.Table: ").replace("pyarrow.Table", "the table")


def _words(value: object) -> Iterator[str]:
    """All text in settings: columns may be named anywhere among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from (key, *_words(each))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _words(each)


def _prediction_schema(model: Model, taken: Collection[str], *, domain: bool) -> pa.Schema:
    nothing = model.no_prediction(fast=not domain)
    measured = nothing.distance_columns()
    if domain and not measured:
        raise ConfigError(
            f"predict --domain: {model.folder} knows no distances to its training rows (it is not finished, or they were not "
            "measured); leave --domain out"
        )
    columns = nothing.columns()
    return pa.schema([
        (f"pred_{name}" if name in measured and name in taken else name, values.type) for name, values in columns.items()
    ])  # fmt: skip


def _field(head: pa.Table, name: str) -> pa.Field:
    kind = head.schema.field(name).type
    return pa.field(name, kind.value_type if pa.types.is_dictionary(kind) else kind)


def _refuse_taken(kept: Sequence[str], predictions: Sequence[str], name: str) -> None:
    taken = [each for each in kept if each in (*predictions, REASON)]
    if taken:
        raise DataError(
            f"{name} already has a column {taken[0]!r}; rename it, or leave --keep out, so that predictions do not take its place"
        )
