"""The main path: a table and settings in, finished runs and an honest comparison out.

Read from the top: `compare` is the whole story. What is settled beforehand is in `plan`, what a run folder looks like in `run`,
what follows from the predictions in `conclude`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqloom.calibrate import Calibrator, fit_calibrator
from seqloom.conclude import conclude
from seqloom.config import Variant
from seqloom.errors import ConfigError, RunError
from seqloom.evaluation import on_scale_of, primary_score, score_of
from seqloom.files import read_json, write_json, write_parquet
from seqloom.findings import Finding
from seqloom.folds import Folds, Prepared
from seqloom.jobs import refuse_launched, run_all
from seqloom.lookup import keep_lookups
from seqloom.plan import Plan, make_plan
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor
from seqloom.predict.fitting import fit_models
from seqloom.run import Member, Run, claim_folder, run_folders
from seqloom.sections import Sections
from seqloom.split.base import TEST, TRAIN, VALID
from seqloom.training_rows import FILE as TRAINING_ROWS
from seqloom.training_rows import training_rows

MOST_TOGETHER = 16
"""Members that train as one net: more save little (see `bench/nets.py`)."""
MOST_ROWS_OF_FOLDS = 50_000
"""Of larger tables only members of one fold are trained together: the encoded rows of several take too much memory."""


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
    nested: dict[str, Any] | None = None
    """What choosing among the variants by inner folds reaches; None without inner folds."""
    headlines: int = 1
    """Metrics that are as important as the first: one for every part of the rows that is tested by itself."""

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
            **({} if self.nested is None else {"nested": self.nested}),
        }


def compare(
    sections: Sections,
    folder: Path,
    *,
    data: Any = None,
    config: str = "",
    single: bool = False,
    watcher: Watcher | None = None,
    jobs: str = "1",
) -> Result:
    """Fit every variant of `sections` on every fold and seed, and say which is best and how surely.

    `data`: a table or DataFrame to use instead of `[data] table`; `single`: one variant is wanted (train), whose run is the
    folder itself. Members that are already done in the folder are not fitted again. `jobs`: who fits them, as in
    `seqloom.jobs`; each process settles the plan for itself.
    """
    refuse_launched()
    started = time.monotonic()
    watcher = watcher or Watcher()
    plan = make_plan(sections, data, config, single=single)
    folders = _open(plan, folder, single=single)
    log = Log(folder / "log.txt", watcher)
    _announce(plan, log)
    _fit_all(plan, folders, log, watcher, Source(sections, data, config, folder, single), jobs)
    seconds = time.monotonic() - started
    board = conclude(plan, folder, folders, seconds, single=single)
    for note in board["notes"]:
        log(f"  note: {note}")
    if board["nested"] is not None:
        log(f"nested: {board['nested']['verdict']}")
    log(f"verdict: {board['verdict']}")
    findings = tuple(Finding(**{**each, "rows": tuple(each["rows"])}) for each in board["findings"])
    report = folder / "report.html"
    return Result(folder, board["verdict"], board["leaderboard"], findings, seconds, report, board["nested"])


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


def _open(plan: Plan, folder: Path, *, single: bool) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    folders = run_folders(plan.variants, folder, single=single)
    if not single:
        whole = {"experiment": {variant.name: variant.resolved for variant in plan.variants}}
        claim_folder(folder, plan.config, whole)
        _write_facts(folder, plan)
    for variant in plan.variants:
        Run(folders[variant.name], variant).open(plan.config, {})
        _write_facts(folders[variant.name], plan)
        keep_lookups(folders[variant.name], plan.table, variant.data)
    _keep_training_rows(plan, [each / TRAINING_ROWS for each in folders.values()])
    return folders


def _keep_training_rows(plan: Plan, paths: Sequence[Path]) -> None:
    """The sequences that runs are fitted on, in every run folder, so that one can be moved by itself."""
    missing = [path for path in paths if not path.exists()]
    if not missing:
        return
    rows = np.flatnonzero(np.isin(plan.partition.roles, (TRAIN, VALID)).any(axis=0))
    nearest = [fold["nearest"] for fold in plan.facts["audit"]["folds"] if "nearest" in fold]
    kept = training_rows(plan.table, rows, exact=all(each.get("exact", True) for each in nearest))
    for path in missing:
        kept.write(path)


def _write_facts(folder: Path, plan: Plan) -> None:
    known = folder / "data.json"
    if known.exists():
        held = read_json(known)
        for old, new in _sources(held, plan.facts["data"]):
            if old is not None and new is not None and old["sha256"] != new["sha256"]:
                raise ConfigError(
                    f"{folder} was made from another version of {new['name']} (sha256 {old['sha256'][:12]}, now "
                    f"{new['sha256'][:12]}); choose another folder with -o (out= in Python)"
                )
        _refuse_other_partition(folder, plan)
        return
    for name, value in plan.facts.items():
        if name != "data":
            write_json(folder / f"{name}.json", value)
    write_parquet(folder / "partition.parquet", plan.partition.as_table(plan.table))
    write_parquet(folder / "nearest.parquet", plan.audit.nearest)
    write_json(known, plan.facts["data"])


def _sources(held: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Every file of an experiment as `data.json` tells it, in two versions; None where one has no such file."""
    for which in ("source", "test_source", "patch_source"):
        yield held.get(which), new[which]
    for column, source in new["lookup_sources"].items():
        yield held.get("lookup_sources", {}).get(column), source


def _refuse_other_partition(folder: Path, plan: Plan) -> None:
    """Members of two partitions must not stand in one folder."""
    import pyarrow.parquet as pq

    before = pq.read_table(folder / "partition.parquet", columns=["role", "inputs"])
    if not before.equals(plan.partition.as_table(plan.table).select(["role", "inputs"])):
        raise ConfigError(
            f"{folder} was made with another partition of the same rows, as by another version of seqloom; choose another folder "
            "with -o (out= in Python)"
        )


def _announce(plan: Plan, log: Log) -> None:
    counts = plan.partition.counts(0)
    log(
        f"{plan.table.source.name}: {plan.table.n_rows:,} rows, target {', '.join(plan.target.columns[:4])} ({plan.target.task})"
    )
    for column, why in plan.table.roles.reasons.items():
        log(f"  {column}: {why}")
    for each in plan.findings:
        log(f"  {each.severity}: {each.message}")
    splitter = plan.variants[0].split
    sizes = ", ".join(f"{counts[role]:,} {role}" for role in ("train", "valid", "test"))
    log(f"partition {splitter.kind}: {plan.partition.n_folds} fold(s); {sizes}; {splitter.guarantee}")
    n_members = sum(len(plan.members(variant)) for variant in plan.variants)
    names = ", ".join(variant.name for variant in plan.variants)
    log(f"plan: {len(plan.variants)} variants ({names}), {plan.partition.n_folds} fold(s), {n_members} members to fit")


def _fit_all(plan: Plan, folders: Mapping[str, Path], log: Log, watcher: Watcher, source: Source, jobs: str) -> None:
    groups = [left for group in groups_of(plan) if (left := _left(group, folders))]
    n_left, n_all = sum(map(len, groups)), sum(len(plan.members(variant)) for variant in plan.variants)
    if n_left < n_all:
        log(f"{n_all - n_left} of {n_all} members are already done")
    watcher.start(n_left)
    if jobs == "1":
        folds = Folds(plan)
        for group in groups:
            watcher.member(_label(group))
            _tell(group, _fit_group(group, folds, watcher.epoch), log, watcher)
        return
    tasks = [(source, [(run.variant.name, member) for run, member in group]) for group in groups]
    for place, seconds in run_all(_fit_elsewhere, tasks, jobs):
        _tell(groups[place], seconds, log, watcher)


def _left(group: Sequence[tuple[Variant, Member]], folders: Mapping[str, Path]) -> list[tuple[Run, Member]]:
    """The members of a group that are not done, with their runs."""
    found = [(Run(folders[variant.name], variant), member) for variant, member in group]
    return [(run, member) for run, member in found if not run.is_done(member)]


def _label(group: Sequence[tuple[Run, Member]]) -> str:
    run, member = group[0]
    others = f" and {len(group) - 1} more beside it" if len(group) > 1 else ""
    return f"{run.variant.name}, fold {member.fold}, seed {member.seed}{others}"


def _tell(group: Sequence[tuple[Run, Member]], seconds: float, log: Log, watcher: Watcher) -> None:
    together = f", {len(group)} side by side" if len(group) > 1 else ""
    for run, member in group:
        log(f"{run.variant.name}: fold {member.fold}, seed {member.seed} done in {seconds:.1f} s{together}")
        watcher.done()


class Source(NamedTuple):
    """What another process needs to settle the same plan."""

    sections: Sections
    data: Any
    config: str
    folder: Path
    single: bool


def _fit_elsewhere(task: tuple[Source, Sequence[tuple[str, Member]]]) -> float:
    """A group fitted in a process of its own; seconds for each member. The plan is settled once in each process."""
    source, members = task
    key = repr((source.sections, source.folder, source.single))
    if key not in _settled:
        plan = make_plan(source.sections, source.data, source.config, single=source.single)
        _settled[key] = plan, Folds(plan)
    plan, folds = _settled[key]
    folders = run_folders(plan.variants, source.folder, single=source.single)
    variants = {variant.name: variant for variant in plan.variants}
    group = [(Run(folders[name], variants[name]), member) for name, member in members]
    return _fit_group(group, folds, Watcher().epoch)


_settled: dict[str, tuple[Plan, Folds]] = {}


def groups_of(plan: Plan) -> Iterator[list[tuple[Variant, Member]]]:
    """All members of the plan in groups that may train as one batched net: seeds, folds and settings of [train] of one model.

    Groups do not depend on what is done already, so that after an interruption the same members stand together.
    """
    shared: dict[str, list[tuple[Variant, Member]]] = {}
    for variant in plan.variants:
        for member in plan.members(variant):
            key = f"{variant.name} {member}"
            if variant.predictor.side_by_side:
                fold = member.fold if plan.table.n_rows > MOST_ROWS_OF_FOLDS else None
                shared_settings = [variant.resolved[section] for section in ("target", "encoder", "predictor")]
                key = repr((fold, variant.train.device, *shared_settings))
            shared.setdefault(key, []).append((variant, member))
    for members in shared.values():
        for start in range(0, len(members), MOST_TOGETHER):
            yield members[start : start + MOST_TOGETHER]


def _fit_group(group: Sequence[tuple[Run, Member]], folds: Folds, progress: Callable[[int, int], None]) -> float:
    """Fit and save the members of a group; seconds for each of them."""
    started = time.monotonic()
    prepared = [folds.prepared(run.variant, member.fold) for run, member in group]
    by_dims: dict[Dims, list[int]] = {}
    for number, each in enumerate(prepared):
        by_dims.setdefault(each.dims, []).append(number)
    for numbers in by_dims.values():
        members = [
            (prepared[i].examples[TRAIN], prepared[i].examples[VALID], _job(*group[i], prepared[i], progress))
            for i in numbers
        ]
        for i, model in zip(numbers, _fitted(group[0][0].variant.predictor, members), strict=True):
            _save(*group[i], prepared[i], model, (time.monotonic() - started) / len(group), folds.plan)
    return (time.monotonic() - started) / len(group)


def _fitted(predictor: Predictor, members: Sequence[tuple[Examples, Examples, Job]]) -> Iterator[Fitted]:
    """The members fitted side by side; one by one if any of them diverges, so that those before it are kept."""
    try:
        yield from fit_models(predictor, members)
    except RunError:
        if len(members) == 1:
            raise
        for member in members:
            yield from fit_models(predictor, [member])


def _save(run: Run, member: Member, prepared: Prepared, model: Fitted, seconds: float, plan: Plan) -> None:
    """All that is kept of a fitted member."""
    target, valid = prepared.target, prepared.examples[VALID]
    predictions = model.predict(prepared.examples[TEST].inputs)
    outputs = model.predict(valid.inputs) if model.held_back is None else model.held_back
    calibrator = _calibrator(run, prepared, outputs, member.seed)
    rows = plan.partition.rows(member.fold, VALID)
    seen = target.from_model(outputs)
    seen = on_scale_of(plan.target, target, seen if calibrator is None else calibrator.apply(seen))
    bounds = None if plan.bounds is None else plan.bounds[rows]
    valid_score = primary_score(plan.target, run.variant.report.metrics, plan.scores[rows], seen, bounds)
    run.save_member(member, model, predictions, calibrator, seconds, valid_score)


def _job(run: Run, member: Member, prepared: Prepared, progress: Callable[[int, int], None]) -> Job:
    run.save_fold(member.fold, prepared.target, prepared.encoder, prepared.dims)
    run.member_folder(member).mkdir(parents=True, exist_ok=True)
    return Job(
        dims=prepared.dims,
        seed=member.seed,
        settings=run.variant.train,
        name=f"{run.variant.name}, fold {member.fold}, seed {member.seed}",
        folder=run.member_folder(member),
        monitor={"test": prepared.examples[TEST]},
        score=score_of(prepared.target, run.variant.report.metrics),
        classes=prepared.target.classes,
        log=Log(run.folder / "log.txt", Watcher()).quietly,
        progress=progress,
    )


def _calibrator(run: Run, prepared: Prepared, outputs: np.ndarray, seed: int) -> Calibrator | None:
    """The calibrator of a member, from its outputs (N, T) for its valid rows; None for a regression."""
    target, valid = prepared.target, prepared.examples[VALID]
    if target.task == "regression":
        return None
    method = run.variant.calibrate.method
    return fit_calibrator(target.task, valid.y, outputs, method, names=target.output_names, seed=seed)
