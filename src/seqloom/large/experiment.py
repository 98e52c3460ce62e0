"""The main path on a store: every variant fitted on its training rows, and an honest comparison on rows of each part.

The tale of `seqloom.experiment`, told of rows that stay on disk. What is settled beforehand is in `plan`, a member in `members`,
what follows from the predictions in `conclude`. Several processes may share the work: each member by all of them together (as
torchrun starts them), or some members by each (`jobs`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from seqloom.errors import ConfigError
from seqloom.experiment import Log, Result, Watcher
from seqloom.files import read_json, write_json
from seqloom.findings import Finding
from seqloom.jobs import is_first, launched, run_all
from seqloom.large.conclude import conclude
from seqloom.large.members import fit_and_save
from seqloom.large.plan import StorePlan, make_plan
from seqloom.predict.stored import dims_of
from seqloom.run import Member, Run, claim_folder, run_folders
from seqloom.sections import Sections


def compare(
    sections: Sections,
    folder: Path,
    *,
    config: str = "",
    single: bool = False,
    watcher: Watcher | None = None,
    jobs: str = "1",
) -> Result:
    """Fit every variant on the store that `[data] table` names, and say which is best on which rows, and how surely.

    `single`: one variant is wanted, whose run is the folder itself. Members that are done already are not fitted again. `jobs`:
    as for `seqloom.jobs`.
    """
    started = time.monotonic()
    watcher = watcher or Watcher()
    plan = make_plan(sections, config, single=single)
    folders = run_folders(plan.variants, folder, single=single)
    first = is_first()
    if first:
        _open(plan, folder, folders, single=single)
    log = Log(folder / "log.txt", watcher) if first else Log(Path(os.devnull), Watcher())
    _announce(plan, log)
    runs = {variant.name: Run(folders[variant.name], variant) for variant in plan.variants}
    left = [(name, each) for name, run in runs.items() for each in plan.members(run.variant) if not run.is_done(each)]
    n_all = sum(len(plan.members(variant)) for variant in plan.variants)
    if len(left) < n_all:
        log(f"{n_all - len(left)} of {n_all} members are already done")
    watcher.start(len(left))
    if jobs == "1":
        for name, member in left:
            watcher.member(_label(name, member))
            _done(
                name, member, fit_and_save(plan, runs[name], member, first=first, progress=watcher.epoch), log, watcher
            )
    else:
        if launched() > 1:
            raise ConfigError("--jobs: torchrun has started several processes already; leave one of the two out")
        data = {**sections["data"], "table": str(plan.store.folder.resolve())}  # others may work in another folder
        tasks = [({**sections, "data": data}, folder.resolve(), single, name, member) for name, member in left]
        for place, seconds in run_all(_fit_elsewhere, tasks, jobs):
            _done(*left[place], seconds, log, watcher)
    if not first:
        raise SystemExit(0)  # the first process writes what follows
    board = conclude(plan, folder, folders, time.monotonic() - started, single=single)
    for note in board["notes"]:
        log(f"  note: {note}")
    log(f"verdict: {board['verdict']}")
    findings = tuple(Finding(**{**each, "rows": tuple(each["rows"])}) for each in board["findings"])
    seconds = time.monotonic() - started
    report, headlines = folder / "report.html", len(plan.tested)
    return Result(folder, board["verdict"], board["leaderboard"], findings, seconds, report, headlines=headlines)


def _fit_elsewhere(task: tuple[Sections, Path, bool, str, Member]) -> float:
    """A member fitted in a process of its own, which opens the store by itself."""
    sections, folder, single, name, member = task
    plan = make_plan(sections, single=single)
    variant = next(each for each in plan.variants if each.name == name)
    return fit_and_save(plan, Run(run_folders(plan.variants, folder, single=single)[name], variant), member)


def _open(plan: StorePlan, folder: Path, folders: Mapping[str, Path], *, single: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not single:
        claim_folder(folder, plan.config, {"experiment": {each.name: each.resolved for each in plan.variants}})
    runs = [Run(folders[variant.name], variant) for variant in plan.variants]
    for run in runs:
        run.open(plan.config, {})
    for each in dict.fromkeys((folder, *folders.values())):
        _write_facts(each, plan)
    dims = dims_of(plan.store)
    for run in runs:  # not before it is known that what stands there was made from this store
        for fold in range(plan.split.inner):
            run.save_fold(fold, plan.target, plan.encoder, dims)


def _write_facts(folder: Path, plan: StorePlan) -> None:
    """`data.json` and `environment.json`, or a ConfigError if the folder was made from another store."""
    path = folder / "data.json"
    if path.exists():
        held, new = read_json(path)["source"], plan.facts["data"]["source"]
        there, here = held.get("files", new["files"]), new["files"]  # runs of before have the symbols only
        other = [name for name in sorted({*there, *here}) if there.get(name) != here.get(name)]
        if other or held["sha256"] != new["sha256"]:
            raise ConfigError(
                f"{folder} was made from another store than {plan.store.folder} is now (other: "
                f"{', '.join(other[:4]) or 'symbols'}); choose another folder with -o (out= in Python)"
            )
        return
    for name in sorted(plan.facts, key=lambda name: name == "data"):  # last what says that all are there
        write_json(folder / f"{name}.json", plan.facts[name])


def _announce(plan: StorePlan, log: Log) -> None:
    store, counts = plan.store, plan.counts
    log(
        f"{store.folder}: a store of {len(store):,} rows, {plan.target.task} target {', '.join(plan.target.columns[:4])}"
    )
    for each in plan.findings:
        log(f"  {each.severity}: {each.message}")
    sizes = ", ".join(f"{count:,} {part}" for part, count in counts.items() if count)
    held = {name: int(out.sum()) for name, out in plan.drawn.held.items()}
    names = ", ".join(f"{n} of {len(plan.drawn.held[name]) - 1} {name}" for name, n in held.items())
    log(f"partition {plan.split.kind}: {sizes}" + (f"; held out: {names}" if held else ""))
    n_members = sum(len(plan.members(variant)) for variant in plan.variants)
    log(f"plan: {len(plan.variants)} variants ({_named(plan)}), {n_members} members to fit")


def _named(plan: StorePlan) -> str:
    return ", ".join(variant.name for variant in plan.variants)


def _done(name: str, member: Member, seconds: float, log: Log, watcher: Watcher) -> None:
    log(f"{_label(name, member)} done in {seconds:.1f} s")
    watcher.done()


def _label(name: str, member: Member) -> str:
    return f"{name}, fold {member.fold}, seed {member.seed}"
