"""The main path: a table and settings in, finished runs and an honest comparison out.

Read from the top: `compare` is the whole story. What a run folder looks like is `run.py`'s business, what numbers mean
`evaluation.py`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
)  # fmt: skip
from seqloom.encode.base import FittedEncoder
from seqloom.encode.tokens import FittedTokens
from seqloom.environment import environment
from seqloom.errors import ConfigError
from seqloom.evaluation import Evaluated, evaluate, run_metrics, score_of
from seqloom.files import read_json, write_json, write_parquet
from seqloom.findings import Finding, raise_errors
from seqloom.joined import read_tables
from seqloom.predict.base import Dims, Examples, Job
from seqloom.registry import validated
from seqloom.run import Member, Run, claim_folder, prediction_columns
from seqloom.split.base import TEST, TRAIN, VALID, Audit, Partition, make_partition
from seqloom.summary import data_facts
from seqloom.table import DataSection, Table
from seqloom.target import Target, TargetSection, class_names, find_target


class Watcher:
    """Told of progress. This one says nothing; the command line has one that draws bars."""

    def say(self, text: str) -> None:
        """A line worth reading."""

    def start(self, n_members: int) -> None:
        """Work begins on this many members."""

    def member(self, label: str) -> None:
        """A member begins."""

    def epoch(self, done: int, at_most: int) -> None:
        """An epoch of the member is done."""

    def done(self) -> None:
        """A member is done."""


@dataclass(frozen=True)
class Result:
    """What `compare` and `train` give back; the same facts lie in the folder."""

    folder: Path
    verdict: str
    leaderboard: list[dict[str, Any]]
    findings: tuple[Finding, ...]
    seconds: float
    report: Path

    def as_json(self, command: str) -> dict[str, Any]:
        """The stable keys of `--json`."""
        return {
            "command": command,
            "path": self.folder.as_posix(),
            "seconds": round(self.seconds, 3),
            "verdict": self.verdict,
            "leaderboard": self.leaderboard,
            "findings": [each.as_json() for each in self.findings],
            "report": self.report.as_posix(),
        }


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

    def members(self, variant: Variant) -> list[Member]:
        """Fold by fold, seed by seed."""
        return [Member(fold, seed) for fold in range(self.partition.n_folds) for seed in variant.seeds]


def compare(
    sections: Sections,
    folder: Path,
    *,
    data: Any = None,
    config: str = "",
    single: bool = False,
    watcher: Watcher | None = None,
) -> Result:
    """Fit every variant of `sections` on every fold and seed, and say which is best and how surely.

    `data`: a table or DataFrame to use instead of `[data] table`; `single`: one variant is wanted (train), whose run is the
    folder itself. Members that are already done in the folder are not fitted again.
    """
    started = time.monotonic()
    watcher = watcher or Watcher()
    plan = make_plan(sections, data, config, single=single)
    folders = _open(plan, folder, single=single)
    log = Log(folder / "log.txt", watcher)
    _announce(plan, log)
    _fit_all(plan, folders, log, watcher)
    result = _conclude(plan, folder, folders, time.monotonic() - started, single=single)
    log(f"verdict: {result.verdict}")
    return result


def make_plan(sections: Sections, data: Any = None, config: str = "", *, single: bool = False) -> Plan:
    """Read the table, find the target, make and audit the partition, resolve the variants."""
    data_section = validated(DataSection, sections.get("data", {}), "[data]")
    target_section = validated(TargetSection, sections.get("target", {}), "[target]")
    table = read_tables(data_section, target_section.column, source=data)
    raise_errors(table.findings)
    target = find_target(table, target_section)
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


class Log:
    """Lines into a file, each with the seconds since the start, and to the watcher."""

    def __init__(self, path: Path, watcher: Watcher) -> None:
        self.path, self.watcher, self.started = path, watcher, time.monotonic()

    def __call__(self, text: str) -> None:
        """Write a line and say it."""
        self.quietly(text)
        self.watcher.say(text)

    def quietly(self, text: str) -> None:
        """Write a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{time.monotonic() - self.started:8.1f} s  {text}\n")


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


def _open(plan: Plan, folder: Path, *, single: bool) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    if single:
        folders = {plan.variants[0].name: folder}
        folders |= {variant.name: folder / "baselines" / variant.name for variant in plan.variants[1:]}
    else:
        whole = {"experiment": {variant.name: variant.resolved for variant in plan.variants}}
        claim_folder(folder, plan.config, whole)
        _write_facts(folder, plan)
        folders = {variant.name: folder / variant.name for variant in plan.variants}
    for variant in plan.variants:
        Run(folders[variant.name], variant).open(plan.config, {})
        _write_facts(folders[variant.name], plan)
    return folders


def _write_facts(folder: Path, plan: Plan) -> None:
    known = folder / "data.json"
    if known.exists():
        held = read_json(known)["source"]["sha256"]
        if held != plan.table.source.sha256:
            raise ConfigError(
                f"{folder} was made from another version of {plan.table.source.name} (sha256 {held[:12]}, now "
                f"{plan.table.source.sha256[:12]}); choose another folder with -o"
            )
        return
    for name, value in plan.facts.items():
        if name != "data":
            write_json(folder / f"{name}.json", value)
    write_parquet(folder / "partition.parquet", plan.partition.as_table(plan.table))
    write_json(known, plan.facts["data"])


def _announce(plan: Plan, log: Log) -> None:
    counts = plan.partition.counts(0)
    log(
        f"{plan.table.source.name}: {plan.table.n_rows:,} rows, target {', '.join(plan.target.columns[:4])} ({plan.target.task})"
    )
    for column, why in plan.table.roles.reasons.items():
        log(f"  {column}: {why}")
    for each in (*plan.table.findings, *plan.audit.findings):
        log(f"  {each.severity}: {each.message}")
    splitter = plan.variants[0].split
    sizes = ", ".join(f"{counts[role]:,} {role}" for role in ("train", "valid", "test"))
    log(f"partition {splitter.kind}: {plan.partition.n_folds} fold(s); {sizes}; {splitter.guarantee}")
    n_members = sum(len(plan.members(variant)) for variant in plan.variants)
    names = ", ".join(variant.name for variant in plan.variants)
    log(f"plan: {len(plan.variants)} variants ({names}), {plan.partition.n_folds} fold(s), {n_members} members to fit")


def _fit_all(plan: Plan, folders: Mapping[str, Path], log: Log, watcher: Watcher) -> None:
    runs = {variant.name: Run(folders[variant.name], variant) for variant in plan.variants}
    left = {name: [m for m in plan.members(run.variant) if not run.is_done(m)] for name, run in runs.items()}
    n_left = sum(len(members) for members in left.values())
    n_all = sum(len(plan.members(variant)) for variant in plan.variants)
    if n_left < n_all:
        log(f"{n_all - n_left} of {n_all} members are already done")
    watcher.start(n_left)
    folds = _Folds(plan)
    for variant in plan.variants:
        run, members = runs[variant.name], left[variant.name]
        for number, member in enumerate(members):
            watcher.member(f"{variant.name}, fold {member.fold}, seed {member.seed}")
            seconds = _fit_member(run, member, folds, watcher.epoch)
            to_go = len(members) - number - 1
            expected = f"; {to_go} more, about {seconds * to_go:.0f} s" if number == 0 and to_go else ""
            log(f"{variant.name}: fold {member.fold}, seed {member.seed} done in {seconds:.1f} s{expected}")
            watcher.done()


def _fit_member(run: Run, member: Member, folds: _Folds, progress: Callable[[int, int], None]) -> float:
    started = time.monotonic()
    prepared = folds.prepared(run.variant, member.fold)
    run.save_fold(member.fold, prepared.target, prepared.encoder, prepared.dims)
    run.member_folder(member).mkdir(parents=True, exist_ok=True)
    own_log = Log(run.folder / "log.txt", Watcher())
    job = Job(
        dims=prepared.dims,
        seed=member.seed,
        settings=run.variant.train,
        folder=run.member_folder(member),
        monitor={"test": prepared.examples[TEST]},
        score=score_of(prepared.target, run.variant.report.metrics),
        log=own_log.quietly,
        progress=progress,
    )
    predictor = run.variant.predictor
    fitted = predictor.fit(prepared.examples[TRAIN], prepared.examples[VALID], job)
    predictions = fitted.predict(prepared.examples[TEST].inputs)
    seconds = time.monotonic() - started
    run.save_member(member, fitted, predictions, seconds)
    return seconds


@dataclass(frozen=True)
class _Prepared:
    target: Target
    encoder: FittedEncoder
    dims: Dims
    examples: Mapping[int, Examples]  # by role


class _Folds:
    """Encoded examples of the fold in hand, kept for all variants that share encoder and target settings."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._kept: dict[str, _Prepared] = {}

    def prepared(self, variant: Variant, fold: int) -> _Prepared:
        """Encoder and target scale fitted on the fold's training rows, and its rows as examples."""
        key = repr((fold, variant.resolved["encoder"], variant.resolved["target"]))
        if key not in self._kept:
            if len(self._kept) >= 4:  # a handful of encodings fits in memory; all folds of all encoders may not
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = self._prepare(variant, fold)
        return self._kept[key]

    def _prepare(self, variant: Variant, fold: int) -> _Prepared:
        plan = self.plan
        rows = {role: plan.partition.rows(fold, role) for role in (TRAIN, VALID, TEST)}
        base = target_of(variant, plan.table, plan.target)
        scores = plan.scores if base == plan.target else base.read(plan.table)
        target = base.fitted(scores[rows[TRAIN]])
        encoder = variant.encoder.fit(plan.table.take(rows[TRAIN]))
        inputs = {role: encoder.transform(plan.table.take(own)) for role, own in rows.items()}
        vocabulary = encoder.vocabulary if isinstance(encoder, FittedTokens) else 0
        examples = {role: Examples(inputs[role], target.to_model(scores[own])) for role, own in rows.items()}
        return _Prepared(target, encoder, Dims.of(target, inputs[TRAIN], vocabulary), examples)


def target_of(variant: Variant, table: Table, target: Target) -> Target:
    """The target of a variant: the experiment's, unless its own settings differ (another transform)."""
    if variant.target.transform == target.transform or target.task != "regression":
        return target
    return find_target(table, variant.target)


def _conclude(plan: Plan, folder: Path, folders: Mapping[str, Path], seconds: float, *, single: bool) -> Result:
    evaluated = _evaluated(plan, folders)
    for variant in plan.variants:
        _write_predictions(plan, Run(folders[variant.name], variant), evaluated)
    command = "train" if single else "compare"
    board = evaluated.leaderboard_json(
        command, folder, seconds, plan.baselines, _changes(plan), _fit_seconds(plan, folders)
    )
    findings = (*plan.table.findings, *plan.audit.findings)
    write_json(folder / "leaderboard.json", {**board, "findings": [each.as_json() for each in findings]})
    from seqloom.report.build import write_report

    report = write_report(folder)
    return Result(folder, board["verdict"], board["leaderboard"], findings, seconds, report)


def _evaluated(plan: Plan, folders: Mapping[str, Path]) -> Evaluated:
    tests = [plan.scores[plan.partition.rows(fold, TEST)] for fold in range(plan.partition.n_folds)]
    predictions: dict[str, list[list[np.ndarray]]] = {}
    targets = read_targets(plan, folders)
    for variant in plan.variants:
        run = Run(folders[variant.name], variant)
        predictions[variant.name] = [
            [
                _on_common_scale(run.member_predictions(Member(fold, seed)), target, plan.target)
                for seed in variant.seeds
            ]
            for fold, target in enumerate(targets[variant.name])
        ]
    return evaluate(plan.target, tests, predictions, plan.variants[0].report)


def _on_common_scale(outputs: np.ndarray, own: Target, common: Target) -> np.ndarray:
    """Outputs on the score scale all variants are compared on, whatever transform each was trained with."""
    scores = own.from_model(outputs)
    return scores if own.transform == common.transform else common.to_score(own.to_original(scores))


def read_targets(plan: Plan, folders: Mapping[str, Path]) -> dict[str, list[Target]]:
    """The fitted target of every variant and fold."""
    found = {}
    for variant in plan.variants:
        folds = read_json(folders[variant.name] / "target.json")["folds"]
        found[variant.name] = [Target.from_json(folds[str(fold)]["target"]) for fold in range(plan.partition.n_folds)]
    return found


def _write_predictions(plan: Plan, run: Run, evaluated: Evaluated) -> None:
    import pyarrow as pa

    parts = []
    for member in plan.members(run.variant):
        rows = plan.partition.rows(member.fold, TEST)
        table = plan.table.take(rows)
        scale = evaluated.predictions[run.variant.name][member.fold][member.seed - run.variant.train.seed]
        columns: dict[str, Any] = {
            "row": table.row_numbers,
            "id": table.ids.cast(pa.string()),
            "fold": np.full(len(rows), member.fold, np.int32),
            "seed": np.full(len(rows), member.seed, np.int32),
        }
        for column in plan.target.columns:
            name = "target" if len(plan.target.columns) == 1 else f"target_{column}"
            columns[name] = original_target(table, plan.target, column)
        parts.append(pa.table(columns | prediction_columns(plan.target, scale)))
    write_parquet(run.folder / "predictions.parquet", pa.concat_tables(parts))
    write_json(run.folder / "metrics.json", run_metrics(evaluated, run, plan.members(run.variant)))


def original_target(table: Table, target: Target, column: str) -> Any:
    """A target column as the table has it: numbers in original units, or class names."""
    import pyarrow as pa

    if target.task == "regression":
        values = table.numeric(column)
        return pa.array(values, mask=np.isnan(values))
    return class_names(table, column)


def _changes(plan: Plan) -> dict[str, dict[str, list[Any]]]:
    """For each variant what its predictor's first variant has otherwise: `section.key` -> [there, here]."""
    from seqloom.config import difference

    first: dict[str, Variant] = {}
    changes = {}
    for variant in plan.variants:
        base = first.setdefault(variant.predictor.kind, variant)
        changes[variant.name] = {key: list(pair) for key, pair in difference(base.resolved, variant.resolved).items()}
    return changes


def _fit_seconds(plan: Plan, folders: Mapping[str, Path]) -> dict[str, float]:
    return {
        variant.name: sum(
            Run(folders[variant.name], variant).member_seconds(member) for member in plan.members(variant)
        )
        for variant in plan.variants
    }
