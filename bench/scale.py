"""Training from a store of any size by one process or two: time, memory, and going on after a stop.

`python bench/scale.py [processes|memory|resume]`: the parts to measure, all of them by default; one JSON line per figure, with
its bar. `processes`: two processes of one thread each (gloo) against one of one thread, in turns, the same steps; the machine
should have two cores to itself. `memory`: the anonymous memory (RssAnon, which has no part of mapped files) of a training over
a store of a hundred million rows, made of a smaller one by repeating it: it takes 8.2 GB of disk below `--folder` while it is
measured.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from figures import report
from torch import Tensor

import seqloom
from seqloom.library import Library, LibrarySettings, write_library
from seqloom.predict import stored
from seqloom.predict.base import Job
from seqloom.predict.stored import StoredStep, dims_of, fit_stored
from seqloom.registry import build
from seqloom.store import Store, open_store
from seqloom.store.components import ComponentParts
from seqloom.store.layout import BLOCK, MANIFEST, STARTS, VALUES
from seqloom.training.settings import TrainSection

BASE_ROWS, TIMES = 1000 * BLOCK, 98
BATCH, WARM = 2000, 5
REPEATS = 3
NETS = {
    "cnn": {"kind": "cnn", "width": 64, "layers": 3},
    "transformer": {"kind": "transformer", "width": 64, "layers": 2},
}
SPEED_BAR, MEMORY_BAR = 1.8, 2000.0
STEPS = {"cnn": 25, "transformer": 12}


def packed(folder: Path, rows: int) -> Path:
    """A store of the simulated library."""
    write_library(Library.of(LibrarySettings(rows=rows)), folder / "library.parquet")
    names = {"target": "target1,target2,target3", "component": "block1,block2,block3"}
    seqloom.pack([folder / "library.parquet"], folder / "store", sequence="smiles", **names)
    (folder / "library.parquet").unlink()
    return folder / "store"


def repeated(store: Store, out: Path, times: int) -> Path:
    """A store that holds the rows of another so many times, one after the other; its rows fill whole blocks."""
    assert len(store) % BLOCK == 0
    out.mkdir()
    for path in store.folder.iterdir():
        if path.name in (MANIFEST, STARTS) or path.suffix == ".json":
            continue
        data = path.read_bytes()
        with (out / path.name).open("wb") as file:
            for _ in range(times):
                file.write(data)
    for path in store.folder.glob("levels-*.json"):
        shutil.copy(path, out / path.name)
    assert (out / VALUES).stat().st_size == times * store.manifest.tokens
    begins = store.starts[:-1] + np.arange(times)[:, None] * store.manifest.tokens
    np.append(begins.ravel(), times * store.manifest.tokens).astype("<i8").tofile(out / STARTS)
    changed = {"rows": times * len(store), "tokens": times * store.manifest.tokens}
    (out / MANIFEST).write_text(store.manifest.model_copy(update=changed).model_dump_json())
    return out


def trained(folder: Path, net: Mapping[str, object], n_steps: int, out: Path | None = None, **more: object) -> None:
    """So many steps of a net on a store; its valid rows are few."""
    parts = ComponentParts.draw(open_store(folder), held_out=0.2, valid=0.01, test=0.05)
    settings = TrainSection.model_validate({"device": "cpu", "batch": BATCH, "rows": n_steps * BATCH, **more})
    fit_stored(build("predictor", dict(net)), parts, Job(dims_of(parts.store), 0, settings, folder=out))  # type: ignore[arg-type]


def processes(folder: Path) -> None:
    """Two processes against one."""
    store = packed(folder, 200_000)
    for name in NETS:
        taken: dict[int, list[dict[str, float]]] = {1: [], 2: []}
        for _ in range(REPEATS):
            for n in taken:
                taken[n].append(launched(store, name, n))
        wall, cpu, busy = (
            {n: statistics.median(each[key] for each in found) for n, found in taken.items()}
            for key in ("seconds", "cpu_s", "load")
        )
        protocol = (
            f"{name} of width 64, {STEPS[name] - WARM} steps of {BATCH:,} rows of 74 symbols in all, one thread a process, "
            f"medians of {REPEATS} in turns"
        )
        figures = {"rows_per_s": round((STEPS[name] - WARM) * BATCH / wall[2], 1), "load_average": round(busy[2], 1)}
        report(
            f"two processes / one, {name}, wall time", wall[1] / wall[2], "x", SPEED_BAR, protocol, at_least=True,
            **figures,
        )  # fmt: skip
        report(f"two processes / one, {name}, CPU seconds of each", cpu[1] / cpu[2], "x", None, protocol)


def launched(store: Path, name: str, n: int) -> dict[str, float]:
    """Seconds of the steps of a training by n processes, as the first of them took them."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)]
    done = subprocess.run(
        [*command, __file__, "--steps-of", name, "--store", str(store)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def timed_steps(store: Path, name: str) -> None:
    """Train, and print the seconds of the steps after the first few."""
    torch.set_num_threads(1)
    update, at = StoredStep.update, []

    def timing(self: StoredStep, batch: stored.Located, fabric: object) -> Mapping[str, Tensor]:
        at.append((time.perf_counter(), time.process_time()))
        return update(self, batch, fabric)  # type: ignore[arg-type]

    StoredStep.update = timing  # type: ignore[method-assign, assignment]
    trained(store, NETS[name], STEPS[name] + 1)
    (begun, used), (ended, used_then) = at[WARM], at[-1]
    if os.environ["RANK"] == "0":
        figures = {"seconds": ended - begun, "cpu_s": used_then - used, "load": os.getloadavg()[0]}
        print(json.dumps(figures))


def memory(folder: Path) -> None:
    """What a training over a hundred million rows takes."""
    free = shutil.disk_usage(folder).free
    if free < 10e9:
        raise SystemExit(f"{folder}: {free / 1e9:.1f} GB free, and the store takes 8.2; name another with --folder")
    base = open_store(packed(folder, BASE_ROWS))
    large = repeated(base, folder / "large", TIMES)
    n_bytes = sum(path.stat().st_size for path in large.iterdir())
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--memory-of", "cnn", "--store", str(large)], capture_output=True, text=True, check=True
        )  # fmt: skip
    finally:
        shutil.rmtree(large)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    protocol = (
        f"RssAnon, its highest of looks 20 ms apart, {found['n_steps']} steps of {BATCH:,} rows of {len(base) * TIMES:,}, cnn of "
        "width 64, and its valid rows"
    )
    report(
        "memory of a training", found["peak_mb"], "MB", MEMORY_BAR, protocol, **found, store_gb=round(n_bytes / 1e9, 2)
    )


def watched_memory(store: Path, name: str) -> None:
    """Train, and print how much memory was taken: before anything was read, until the first step, and in all."""
    torch.set_num_threads(1)
    before, peak, over, first = anonymous(), [0.0], threading.Event(), [0.0]
    update = StoredStep.update

    def noting(self: StoredStep, batch: stored.Located, fabric: object) -> Mapping[str, Tensor]:
        first[0] = first[0] or peak[0]
        return update(self, batch, fabric)  # type: ignore[arg-type]

    def look() -> None:
        while not over.wait(0.02):
            peak[0] = max(peak[0], anonymous())

    StoredStep.update = noting  # type: ignore[method-assign, assignment]
    thread = threading.Thread(target=look)
    thread.start()
    started, n_steps = time.perf_counter(), 100
    trained(store, NETS[name], n_steps)
    over.set()
    thread.join()
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "peak_mb": round(peak[0]), "libraries_mb": round(before), "until_first_step_mb": round(first[0]),
                "seconds": round(seconds, 1), "n_steps": n_steps,
            }
        )
    )  # fmt: skip


def anonymous() -> float:
    """Megabytes of this process that are not those of a file."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000


def resume(folder: Path) -> None:
    """Losses of every step, of a training that ran through and of one that was stopped twice."""
    store = packed(folder, 50_000)
    losses: dict[str, list[float]] = {"whole": [], "stopped": []}
    update, stops, n_steps = StoredStep.update, [7, 18], 25
    for name, own in losses.items():

        def noting(self: StoredStep, batch: stored.Located, fabric: object, own: list[float] = own, name: str = name):  # type: ignore[no-untyped-def]
            made = update(self, batch, fabric)  # type: ignore[arg-type]
            own.append(float(made["loss"].detach()))
            if name == "stopped" and len(own) in stops:
                signal.raise_signal(signal.SIGTERM)
            return made

        StoredStep.update = noting  # type: ignore[method-assign]
        (folder / name).mkdir()
        while len(own) < n_steps:
            try:
                trained(store, {**NETS["cnn"], "norm": "batch"}, n_steps, folder / name, ema=0.9)
            except KeyboardInterrupt:
                continue
    StoredStep.update = update  # type: ignore[method-assign]
    differ = sum(one != other for one, other in zip(losses["whole"], losses["stopped"], strict=True))
    protocol = (
        f"{n_steps} steps of {BATCH:,} rows, cnn with batch norm, dropout and a mean of weights, stopped after {stops}"
    )
    report("steps whose loss is another after going on", differ, "steps", 0, protocol)


PARTS = {"processes": processes, "memory": memory, "resume": resume}


def main() -> None:
    """The parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    parser.add_argument(
        "--folder", type=Path, help="where stores are made, below it; the system's folder for such by default"
    )
    for inner in ("--steps-of", "--memory-of", "--store"):
        parser.add_argument(inner, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.steps_of:
        timed_steps(Path(asked.store), asked.steps_of)
    elif asked.memory_of:
        watched_memory(Path(asked.store), asked.memory_of)
    else:
        for part in asked.parts or PARTS:
            with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
                PARTS[part](Path(folder))


if __name__ == "__main__":
    main()
