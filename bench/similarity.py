"""Similarity: whether the guarantee of a split holds when others check it, what a search costs, and what a rival does.

`python bench/similarity.py [guarantee] [real] [growth] [rival]` prints one JSON line per figure (all four without a name).
Every figure comes from a process of its own, so that its peak memory is its own.

guarantee   similarity splits of three tables, checked by parasail and Biopython (a sample of the test rows against all fitted
            rows) and by mmseqs2 (all test rows): how many test rows have a fitted row at the threshold or above
real        seconds and megabytes on 40,852 mutants of one protein and on 37,110 peptides
growth      seconds and megabytes on simulated families of 10,000 to `--largest` sequences, the exponent of their growth, and
            the share of alike pairs that end up in one group although only pairs that share words were compared
rival       mmseqs2's clusters on the same sequences: seconds, and what a split by clusters leaves alike
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from families import simulated
from meter import Meter, peak
from referees import COVERAGE, by_mmseqs, mmseqs, pairs_above, verdict, write_fasta

from seqloom.similarity.effort import Search

DATA = Path(os.environ.get("SEQLOOM_DATA", "../shared/data"))
TABLES = {
    "localization": "localization/deeploc_test_set.fasta",
    "peptides": "peptides/amp_iamp2l.csv",
    "signal_peptide": "signal_peptide/signalp_binary.csv",
}
THRESHOLDS = (0.3, 0.5, 0.9)
Figures = Iterator[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[], help="guarantee, real, growth, rival")
    parser.add_argument("--sample", type=int, default=500, help="test rows that are aligned with all fitted rows")
    parser.add_argument("--largest", type=int, default=100_000, help="sequences of the largest simulated set")
    parser.add_argument("--table", choices=TABLES, help="check the guarantee on this table only")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        job, values = json.loads(arguments.job)
        for line in JOBS[job](**values):
            print(json.dumps(line), flush=True)
        return
    started = time.perf_counter()
    for part in arguments.parts or PARTS:
        PARTS[part](arguments)
    print(json.dumps({"figure": "total", "value": round(time.perf_counter() - started, 1), "unit": "s"}))


def alone(job: str, /, **values: Any) -> list[dict[str, Any]]:
    """The figures of a job in a process of its own, printed as they come."""
    command = [sys.executable, __file__, "--job", json.dumps([job, values])]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(json.loads(line))
    if process.returncode:
        raise SystemExit(process.returncode)
    return lines


# --- the guarantee, checked by others ---------------------------------------------------------------------------------


def guarantee(arguments: argparse.Namespace) -> None:
    if not DATA.is_dir():
        print(json.dumps({"figure": "guarantee", "skipped": f"no real data in {DATA}"}))
        return
    for name in [arguments.table] if arguments.table else TABLES:
        for threshold in THRESHOLDS:
            alone("check", name=name, threshold=threshold, sample=arguments.sample)


def check(name: str, threshold: float, sample: int) -> Figures:
    """One split, and the test rows that have a fitted row at the threshold or above."""
    from seqloom.split.base import TEST
    from seqloom.split.similarity import SimilaritySplit
    from seqloom.table import DataSection, read_table

    table = read_table(DATA / TABLES[name], DataSection())
    sequences = np.array([_in_blosum(each) for each in table.sequences().to_pylist()], object)
    meter = Meter()
    partition = SimilaritySplit(identity=threshold).assign(table, None)
    spent = meter.read()
    tested, fitted = (np.flatnonzero(part) for part in (partition.roles[0] == TEST, partition.roles[0] != TEST))
    base = {"table": name, "identity": threshold, "rows": len(sequences), "test": len(tested)}
    yield {"figure": "split", **base, **spent}
    meter = Meter()
    rows = np.random.default_rng(0).permutation(tested)[:sample]
    found = pairs_above(sequences, [(int(row), fitted) for row in rows], threshold)
    yield {
        "figure": "test rows above, by Smith-Waterman with all fitted rows",
        **base,
        "checked": len(rows),
        "pairs": len(rows) * len(fitted),
        **verdict(found, threshold),
        **meter.read(),
    }
    yield {"figure": "test rows above, by mmseqs2", **base, **by_mmseqs(sequences, tested, fitted, threshold)}


def _in_blosum(sequence: str) -> str:
    """The sequence with X for what BLOSUM62 does not know."""
    return sequence.translate(str.maketrans("UOJ-.", "XXXXX"))


# --- seconds and megabytes on real tables -------------------------------------------------------------------------------


def real(_: argparse.Namespace) -> None:
    if not DATA.is_dir():
        print(json.dumps({"figure": "real", "skipped": f"no real data in {DATA}"}))
        return
    alone("mutants")
    for threshold in (0.5, 0.7, 0.9):
        alone("peptides", threshold=threshold)


def mutants() -> Figures:
    """Mutants of one protein are one component, which a split must say soon."""
    from seqloom.errors import DataError
    from seqloom.table import DataSection, read_table

    section = DataSection(wild_type=str(DATA / "fitness/nn4dms_pab1_wt.fasta"))
    table = read_table(DATA / "fitness/nn4dms_pab1.tsv", section)
    meter = Meter()
    try:
        _split(table, 0.5)
        said = "no error"
    except DataError as error:
        said = str(error)
    yield {"figure": "one component of mutants", "rows": table.n_rows, **meter.read(), "goal_s": 60, "message": said}


def peptides(threshold: float) -> Figures:
    from seqloom.table import DataSection, read_table

    table = read_table(DATA / "peptides/rt_luna_silica.csv", DataSection())
    meter = Meter()
    tested = int((_split(table, threshold).roles == 2).sum())
    spent = meter.read()
    reached = spent["seconds"] <= 60 and spent["peak_mb"] <= 1000
    line = {"figure": "split of peptides", "rows": table.n_rows, "identity": threshold, "test": tested}
    yield {**line, **spent, "goal_s": 60, "goal_mb": 1000, "reached": reached}


def _split(table: Any, threshold: float) -> Any:
    from seqloom.split.similarity import SimilaritySplit

    return SimilaritySplit(identity=threshold).assign(table, None)


# --- growth on simulated families ---------------------------------------------------------------------------------------


def growth(arguments: argparse.Namespace) -> None:
    sizes = [size for size in (10_000, 100_000, 1_000_000) if size <= arguments.largest]
    seconds = [alone("families", size=size, search="words")[-1]["seconds"] for size in sizes]
    if len(sizes) > 1:
        exponent = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
        print(json.dumps({"figure": "exponent of seconds", "sizes": sizes, "value": round(exponent, 2)}), flush=True)
    for size in sizes[:2]:
        alone("recall", size=size, sample=min(500, 5_000_000 // size))


def families(size: int, search: Search) -> Figures:
    """What it costs to join simulated families at half identity."""
    from seqloom.alphabet import PROTEIN
    from seqloom.similarity import linked

    tokens = simulated(size)
    before = peak()
    meter = Meter()
    groups = linked(tokens, PROTEIN, 0.5, search).groups()
    line = {"figure": "simulated families", "search": search, "rows": size, "groups": int(groups.max()) + 1}
    yield {**line, "peak_mb_before": before, **meter.read()}


def recall(size: int, sample: int) -> Figures:
    """Share of the alike pairs of some rows, found by aligning them with all, whose rows are in one group."""
    from seqloom.alphabet import PROTEIN
    from seqloom.similarity import linked, nearest

    tokens = simulated(size)
    rows = np.random.default_rng(1).permutation(size)[:sample]
    exact = nearest(tokens.take(rows), tokens, PROTEIN, most=200, search="exact")
    for threshold in (0.3, 0.5, 0.7, 0.9) if size <= 10_000 else (0.5, 0.9):
        alike = (exact.identity >= threshold) & (rows[exact.queries] != exact.references)
        searches: tuple[Search, ...] = ("words", "auto") if size <= 10_000 else ("words",)
        for search in searches:
            label = linked(tokens, PROTEIN, threshold, search).groups()
            joined = label[rows[exact.queries[alike]]] == label[exact.references[alike]]
            line = {"figure": "alike pairs in one group", "identity": threshold, "search": search, "rows": size}
            yield {
                **line,
                "pairs": int(alike.sum()),
                "value": round(float(joined.mean()), 5),
                "missed": int((~joined).sum()),
            }


# --- a rival --------------------------------------------------------------------------------------------------------------


def rival(_: argparse.Namespace) -> None:
    if shutil.which("mmseqs") is None:
        print(json.dumps({"figure": "rival", "skipped": "mmseqs is not installed"}))
        return
    for source in ("simulated", "families/IPR005527_MinE.fasta.gz") if DATA.is_dir() else ("simulated",):
        alone("clusters", source=source, size=10_000, threshold=0.9)


CLUSTERINGS = {
    "mmseqs easy-cluster": ("easy-cluster", {}),
    "mmseqs easy-cluster, connected components": ("easy-cluster", {"--cluster-mode": 1}),
    "mmseqs easy-linclust": ("easy-linclust", {}),
}


def clusters(source: str, size: int, threshold: float) -> Figures:
    """Seconds, and held-out rows with a fitted row at the threshold, of our components and of mmseqs2's clusters."""
    from seqloom.alphabet import PROTEIN
    from seqloom.similarity import linked
    from seqloom.table import DataSection, read_table

    table = None if source == "simulated" else read_table(DATA / source, DataSection(), for_prediction=True)
    tokens = simulated(size) if table is None else table.tokens()
    meter = Meter()
    ours = linked(tokens, PROTEIN, threshold).groups()
    spent = meter.read()["seconds"]
    base = {"source": source, "rows": len(tokens), "identity": threshold}
    yield {"figure": "seqloom components", **base, "seconds": round(spent, 2), **_left_alike(tokens, ours, threshold)}
    sequences = PROTEIN.decode(tokens)
    for name, (verb, options) in CLUSTERINGS.items():
        with tempfile.TemporaryDirectory() as folder:
            write_fasta(Path(folder) / "all.fasta", sequences, range(len(sequences)))
            meter = Meter()
            shared = {"--min-seq-id": threshold, "-c": COVERAGE, "-v": 1, "--threads": len(os.sched_getaffinity(0))}
            files = [f"{folder}/all.fasta", f"{folder}/out", f"{folder}/work"]
            mmseqs(verb, files, options=shared | options)
            seconds = meter.read()["seconds"]
            members = np.loadtxt(f"{folder}/out_cluster.tsv", np.int64)
        label = np.empty(len(sequences), np.int64)
        label[members[:, 1]] = np.unique(members[:, 0], return_inverse=True)[1]
        line = {"figure": name, **base, "seconds": round(seconds, 2), "ratio_to_ours": round(seconds / spent, 2)}
        yield {**line, **_left_alike(tokens, label, threshold)}


def _left_alike(tokens: Any, label: np.ndarray, threshold: float) -> dict[str, Any]:
    """A fifth of the rows held out by whole groups, and the share of those with a row at the threshold among the others."""
    from seqloom.alphabet import PROTEIN
    from seqloom.similarity import nearest
    from seqloom.split.deal import deal

    held_out = deal(label, None, [0.8, 0.2], 0) == 1
    found = nearest(
        tokens.take(np.flatnonzero(held_out)), tokens.take(np.flatnonzero(~held_out)), PROTEIN, search="exact"
    )
    near = found.best()[1] >= threshold - 1e-6
    return {"groups": int(label.max()) + 1, "held_out": len(near), "share_with_neighbour": round(float(near.mean()), 4)}


JOBS: Mapping[str, Callable[..., Figures]] = {
    "check": check, "mutants": mutants, "peptides": peptides, "families": families, "recall": recall, "clusters": clusters,
}  # fmt: skip
PARTS: Mapping[str, Callable[[argparse.Namespace], None]] = {
    "guarantee": guarantee, "real": real, "growth": growth, "rival": rival,
}  # fmt: skip

if __name__ == "__main__":
    main()
