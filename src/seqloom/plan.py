"""The plan of an experiment: all that is settled before anything is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from seqloom.config import (
    BASELINES,
    DEFAULT_PREDICTORS,
    Sections,
    Variant,
    drafts,
    refuse_twins,
    refuse_unused,
    resolve,
    strata_of,
)
from seqloom.environment import environment
from seqloom.errors import ConfigError
from seqloom.findings import Finding, raise_errors
from seqloom.joined import read_tables
from seqloom.registry import validated
from seqloom.run import Member
from seqloom.split.audit import Audit
from seqloom.split.base import Partition
from seqloom.split.make import make_partition
from seqloom.summary import data_facts
from seqloom.table import DataSection, Table
from seqloom.target import Target, TargetSection, find_target, task_findings


@dataclass(frozen=True)
class Plan:
    """All that is settled before anything is fitted."""

    table: Table
    target: Target
    scores: np.ndarray  # float64 (N, columns): targets on the score scale
    partition: Partition
    audit: Audit
    variants: list[Variant]
    baselines: frozenset[str]  # names of the variants that stand there as yardsticks
    config: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was noticed about the table and its partition."""
        return (*self.table.findings, *self.audit.findings)

    def members(self, variant: Variant) -> list[Member]:
        """Fold by fold, seed by seed."""
        return [Member(fold, seed) for fold in range(self.partition.n_folds) for seed in variant.seeds]


def make_plan(sections: Sections, data: Any = None, config: str = "", *, single: bool = False) -> Plan:
    """Read the table, find the target, make and audit the partition, resolve the variants."""
    data_section = validated(DataSection, sections.get("data", {}), "[data]")
    target_section = validated(TargetSection, sections.get("target", {}), "[target]")
    table = read_tables(data_section, target_section.column, source=data)
    raise_errors(table.findings)
    target = find_target(table, target_section)
    table = replace(table, findings=(*table.findings, *task_findings(table, target, target_section)))
    scores = target.read(table)
    asked = drafts(sections, DEFAULT_PREDICTORS)
    if single and len(asked) > 1:
        named = ", ".join(draft.name for draft in asked[:8])
        raise ConfigError(
            f"train takes one variant, and there are {len(asked)} ({named}); name one, as in `train TABLE linear`, or use compare"
        )
    variants = [resolve(draft, table, target) for draft in asked]
    refuse_unused(sections, variants)
    variants += _missing_baselines(sections, variants, table, target)
    refuse_twins(variants)
    partition, audit = make_partition(variants[0].split, table, scores, strata_of(target, scores))
    baselines = frozenset(variant.name for variant in variants if variant.predictor.baseline)
    if single and variants[0].predictor.baseline:
        baselines -= {variants[0].name}
    facts = {
        "data": data_facts(table, target, data_section),
        "audit": audit.as_json(),
        "environment": environment(variants[0].train),
    }
    return Plan(table, target, scores, partition, audit, variants, baselines, config, facts)


def target_of(variant: Variant, table: Table, target: Target) -> Target:
    """The target of a variant: the experiment's, unless its own settings differ (another transform)."""
    if variant.target.transform == target.transform or target.task != "regression":
        return target
    return find_target(table, variant.target)


def _missing_baselines(sections: Sections, variants: Sequence[Variant], table: Table, target: Target) -> list[Variant]:
    present = {variant.predictor.kind for variant in variants}
    names = {variant.name for variant in variants}
    shared = {name: value for name, value in sections.items() if name in ("data", "split", "report", "target", "train")}
    missing = [kind for kind in BASELINES if kind not in present]
    added = [resolve(draft, table, target) for draft in drafts(shared, missing)] if missing else []
    for variant in added:
        if variant.name in names:
            raise ConfigError(
                f"variant name {variant.name!r} is kept for the baseline of that kind; give the variant another name"
            )
    return added
