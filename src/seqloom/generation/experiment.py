"""The main path of generators: natural sequences in, fitted generators and an honest judgement of what they write out.

Read from the top: `compare` is the whole story. What a run folder holds is in `run`, how samples are judged in `judging`, what
follows in `conclude`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqloom.environment import environment
from seqloom.errors import ConfigError
from seqloom.experiment import Log, Watcher
from seqloom.files import read_json, write_json, write_parquet
from seqloom.findings import Finding
from seqloom.generation.collection import Collection, read_collection
from seqloom.generation.conclude import conclude
from seqloom.generation.decoys import read_decoys
from seqloom.generation.judging import judge_member
from seqloom.generation.run import GeneratorRun, fit_member, keep
from seqloom.generation.variant import GeneratorVariant, baseline_of, refuse_settings, variants_of
from seqloom.jobs import refuse_launched, run_all
from seqloom.quality.family import Family
from seqloom.run import claim_folder, run_folders
from seqloom.sections import Sections
from seqloom.split.base import TRAIN
from seqloom.summary import data_facts


@dataclass(frozen=True)
class Judgement:
    """What `generate fit` and `generate compare` give back; the same facts lie in the folder."""

    folder: Path
    verdict: str
    leaderboard: list[dict[str, Any]]
    findings: tuple[Finding, ...]
    seconds: float

    def as_json(self, command: str) -> dict[str, Any]:
        """The stable keys of `--json`."""
        return {
            "command": command,
            "path": self.folder.as_posix(),
            "seconds": round(self.seconds, 3),
            "verdict": self.verdict,
            "leaderboard": self.leaderboard,
            "findings": [each.as_json() for each in self.findings],
            "report": (self.folder / "report.html").as_posix(),
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
) -> Judgement:
    """Fit every variant of `sections` from every seed, judge samples of each beside controls, and say which to trust.

    `single`: one variant is wanted (fit), whose run is the folder itself. Members that are done already are not fitted again.
    """
    refuse_launched()
    started = time.monotonic()
    watcher = watcher or Watcher()
    refuse_settings(sections)
    watcher.say("reading and dividing the sequences, which takes a minute for ten thousand")
    collection = read_collection(sections, data)
    variants = variants_of(sections, collection.alphabet.name, collection.splitter, single=single)
    folders = run_folders(variants, folder, single=single)
    _open(collection, variants, folder, folders, config, single=single)
    log = Log(folder / "log.txt", watcher)
    _announce(collection, variants, log)
    runs = {variant.name: GeneratorRun(folders[variant.name]) for variant in variants}
    _fit_all(runs, log, watcher, jobs)
    _judge_all(runs, log)
    board = conclude(folder, runs, collection, time.monotonic() - started, single=single)
    log(f"verdict: {board['verdict']}")
    return Judgement(folder, board["verdict"], board["leaderboard"], collection.findings, time.monotonic() - started)


def _open(
    collection: Collection,
    variants: Sequence[GeneratorVariant],
    folder: Path,
    folders: Mapping[str, Path],
    config: str,
    *,
    single: bool,
) -> None:
    """Make the folders, or go on with them; ConfigError where they were made of other sequences."""
    folder.mkdir(parents=True, exist_ok=True)
    if not single:
        claim_folder(folder, config, {"experiment": {each.name: each.resolved for each in variants}})
    for variant in variants:
        folders[variant.name].mkdir(parents=True, exist_ok=True)
        claim_folder(folders[variant.name], config, variant.resolved)
    facts = data_facts(collection.table, None, variants[0].data)
    kept = dict.fromkeys((folder, *folders.values()))
    for each in kept:
        _refuse_other(each, facts)
    left = [each for each in kept if not (each / "data.json").exists()]
    if not left:
        return
    train = collection.tokens.take(collection.rows(TRAIN))
    family = None if collection.alphabet.name == "smiles" else Family.of(train, collection.alphabet)
    naturals = collection.as_table(collection.relatives(family))
    decoys = read_decoys(variants[0].judge, collection.alphabet)
    for each in left:
        keep(each, collection, naturals, family, decoys)
        write_parquet(each / "partition.parquet", collection.partition.as_table(collection.table))
        write_json(each / "audit.json", collection.audit.as_json())
        write_json(each / "environment.json", environment(variants[0].train.as_section()))
        write_json(each / "data.json", facts)  # last: says that all are there


def _refuse_other(folder: Path, facts: Mapping[str, Any]) -> None:
    if (path := folder / "data.json").exists():
        held, new = read_json(path), facts
        if (held["source"]["sha256"], held["rows"]) != (new["source"]["sha256"], new["rows"]):
            raise ConfigError(
                f"{folder} was made from other sequences than {new['source']['name']} has now; choose another folder with -o "
                "(out= in Python)"
            )


def _announce(collection: Collection, variants: Sequence[GeneratorVariant], log: Log) -> None:
    counts = collection.partition.counts(0)
    log(
        f"{collection.table.source.name}: {collection.n_read:,} sequences read, {collection.table.n_rows:,} to learn from "
        f"({collection.alphabet.name})"
    )
    for each in collection.findings:
        log(f"  {each.severity}: {each.message}")
    sizes = ", ".join(f"{counts[role]:,} {role}" for role in ("train", "valid", "test"))
    log(f"partition {collection.splitter.kind}: {sizes}; {collection.splitter.guarantee}")
    names = ", ".join(variant.name for variant in variants)
    log(f"plan: {len(variants)} variants ({names}), {sum(len(each.seeds) for each in variants)} members to fit")


def _fit_all(runs: Mapping[str, GeneratorRun], log: Log, watcher: Watcher, jobs: str) -> None:
    members = [(name, seed) for name, run in runs.items() for seed in run.variant.seeds]
    left = [(name, seed) for name, seed in members if not runs[name].is_done(seed)]
    if len(left) < len(members):
        log(f"{len(members) - len(left)} of {len(members)} members are already done")
    watcher.start(len(left))
    if jobs == "1":
        for name, seed in left:
            watcher.member(f"{name}, seed {seed}")
            _told(name, seed, runs[name].fit(seed, watcher.epoch, log), log, watcher)
        return
    for place, seconds in run_all(fit_member, [(runs[name].folder, seed) for name, seed in left], jobs):
        _told(*left[place], seconds, log, watcher)


def _told(name: str, seed: int, seconds: float, log: Log, watcher: Watcher) -> None:
    log(f"{name}: seed {seed} done in {seconds:.1f} s")
    watcher.done()


def _judge_all(runs: Mapping[str, GeneratorRun], log: Log) -> None:
    """Judge the samples of every member that is not judged yet; the controls beside the first of the baseline."""
    for name, run in runs.items():
        for seed in run.variant.seeds:
            is_baseline = run.variant.generator.kind == baseline_of(run.dims.alphabet)
            if judge_member(run, seed, controls=is_baseline):
                log(f"{name}: samples of seed {seed} are judged")
