"""The plan of an experiment: all that is settled before anything is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from seqloom.censored import refuse_all_bounds
from seqloom.config import BASELINES, DEFAULT_PREDICTORS, Variant, refuse_twins, refuse_unused, resolve, strata_of
from seqloom.drafts import drafts
from seqloom.environment import environment
from seqloom.errors import ConfigError
from seqloom.findings import Finding, finding, raise_errors
from seqloom.joined import read_tables
from seqloom.registry import validated
from seqloom.run import Member
from seqloom.sections import Sections
from seqloom.slices import slices_of
from seqloom.split.audit import Audit
from seqloom.split.base import TEST, TRAIN, VALID, Partition
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
    asked: tuple[str, ...]  # names of the variants that the user named, not added beside them
    config: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    bounds: np.ndarray | None = None  # int8 (N, columns): where true scores lie, see `Target.bounds`

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
    table = read_tables(data_section, target_section.column, source=data, censoring=target_section.censoring)
    raise_errors(table.findings)
    table, target_section = _without_empty_targets(table, target_section)
    target = find_target(table, target_section)
    table = replace(table, findings=(*table.findings, *task_findings(table, target, target_section)))
    scores, bounds = target.read(table), target.bounds(table)
    asked = drafts(sections, DEFAULT_PREDICTORS)
    if single and len(asked) > 1:
        named = ", ".join(draft.name for draft in asked[:8])
        raise ConfigError(
            f"train takes one variant, and there are {len(asked)} ({named}); name one, as in `train TABLE linear`, or use compare"
        )
    variants = [resolve(draft, table, target) for draft in asked]
    refuse_unused(sections, variants)
    refuse_twins(variants)
    for by in variants[0].report.by:  # what is not there is told now, not when all is trained
        slices_of(table, by)
    partition, audit = make_partition(variants[0].split, table, scores, strata_of(target, scores))
    table = replace(table, findings=(*table.findings, *_unseen_classes(table, target, scores, partition)))
    if bounds is not None:
        _refuse_all_bounds(table, target, partition)
    _refuse_other_bounds(variants, target_section)
    asked_for = tuple(variant.name for variant in variants)
    variants += _missing_baselines(sections, variants, table, target, partition)
    if bounds is not None:
        table = replace(table, findings=(*table.findings, *_bounds_as_values(table, variants)))
    baselines = frozenset(variant.name for variant in variants if variant.predictor.baseline)
    if single and variants[0].predictor.baseline:
        baselines -= {variants[0].name}
    facts = {
        "data": data_facts(table, target, data_section),
        "audit": audit.as_json(),
        "environment": environment(variants[0].train),
    }
    return Plan(table, target, scores, partition, audit, variants, baselines, asked_for, config, facts, bounds)


def target_of(variant: Variant, table: Table, target: Target) -> Target:
    """The target of a variant: the experiment's, unless its own settings differ (another transform)."""
    if variant.target.transform == target.transform or target.task != "regression":
        return target
    return find_target(table, variant.target)


def _without_empty_targets(table: Table, section: TargetSection) -> tuple[Table, TargetSection]:
    """The table and its section without target columns that hold nothing, as long as others do; a finding names them."""
    asked = section.column or table.roles.targets
    known = tuple(name for name in asked if table.data[name].null_count < table.n_rows)
    if not known or known == asked:
        return table, section
    return replace(table, roles=replace(table.roles, targets=known)), section.model_copy(update={"column": known})


def _unseen_classes(table: Table, target: Target, scores: np.ndarray, partition: Partition) -> list[Finding]:
    """Classes with test rows in a fold and none to learn from: no model can call them."""
    if target.task not in ("binary", "multiclass"):
        return []
    found = []
    for fold in range(partition.n_folds):
        tested, roles = scores[:, 0], partition.roles[fold]
        test, fitted = tested[roles == TEST], tested[(roles == TRAIN) | (roles == VALID)]
        new = np.setdiff1d(test[~np.isnan(test)], fitted)
        if len(new):
            names = ", ".join(repr(target.classes[int(each)]) for each in new[:5])
            rows = int(np.isin(test, new).sum())
            message = (
                f"fold {fold}: {rows:,} test rows are of {len(new)} class{'es' * (len(new) > 1)} without a row to learn from "
                f"({names}): every model is wrong on them"
            )
            found.append(
                finding("unseen-classes", "warning", message, table.row_numbers[(roles == TEST) & np.isin(tested, new)])
            )
    return found


def _refuse_all_bounds(table: Table, target: Target, partition: Partition) -> None:
    """Training and test rows need values that are measured."""
    for words, role in (("training", TRAIN), ("test", TEST)):
        rows = [partition.rows(fold, role) for fold in range(partition.n_folds)]
        refuse_all_bounds(table, target.columns, rows, words)


def _refuse_other_bounds(variants: Sequence[Variant], section: TargetSection) -> None:
    """Variants share one table, and so its bounds."""
    for variant in variants:
        if variant.target.censoring != section.censoring:
            raise ConfigError(
                f"variant {variant.name!r}: [target] inequality, cap_above and cap_below say what the values of the table "
                "are, and cannot differ between variants; set them for all"
            )


def _bounds_as_values(table: Table, variants: Sequence[Variant]) -> list[Finding]:
    """Which variants take bounds for values."""
    names = [variant.name for variant in variants if variant.predictor.censored == "equal"]
    message = f"{table.source.name}: bounds among the targets are taken for values by {', '.join(names)}"
    return [finding("bounds-as-values", "info", message)] if names else []


def _missing_baselines(
    sections: Sections, variants: Sequence[Variant], table: Table, target: Target, partition: Partition
) -> list[Variant]:
    """The baselines that suit the table and are not there yet, under their own name or another."""
    present = {variant.predictor.kind for variant in variants}
    names = {variant.name for variant in variants}
    for_all = ("data", "split", "report", "target", "train", "calibrate")
    shared = {name: value for name, value in sections.items() if name in for_all}
    missing = [kind for kind in BASELINES if kind not in present]
    added = [resolve(draft, table, target) for draft in drafts(shared, missing)] if missing else []
    added = [variant for variant in added if variant.predictor.suits(table, partition)]
    added = [variant for variant in added if not any(_is_same_model(variant, each) for each in variants)]
    for variant in added:
        if variant.name in names:
            raise ConfigError(
                f"variant name {variant.name!r} is kept for the baseline of that kind; give the variant another name"
            )
    return added


def _is_same_model(baseline: Variant, other: Variant) -> bool:
    """Whether a variant of the kind that the baseline is made from has all its settings: `linear` on `composition`."""
    if not isinstance(baseline.predictor, type(other.predictor)):
        return False
    plain = {"predictor": {**baseline.resolved["predictor"], "kind": other.predictor.kind}}
    return {**baseline.resolved, **plain} == other.resolved
