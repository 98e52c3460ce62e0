"""Whether `seqloom plan` tells beforehand what a training takes: one JSON line per figure, with its bar.

`python bench/cost.py [--rows N] [--learnt N] [--net cnn]`: a simulated library is written and packed, and a member of a net is
trained on its store and held against its tested rows, in a process of its own, as an experiment does it. Plans are made before
and after, as other work on the machine comes and goes; their mean is held against what was measured. A factor of 1 is a right
plan; of time and memory it may be 1.43 (a ratio of .7 to 1.43), of disk 1.02.
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from figures import report

from seqloom.cost.plan import plan
from seqloom.library import Library, LibrarySettings, write_library
from seqloom.store.pack import pack

COLUMNS = {"target": "target1,target2,target3", "component": "block1,block2,block3"}
NEAR, EXACT = 1.43, 1.02


def factor(planned: float, found: float) -> float:
    """By how much a plan is off, whichever way."""
    return max(planned / found, found / planned)


def trained(folder: Path, net: str, train: dict[str, Any], out: Path) -> dict[str, float]:
    """What a member takes; in this process."""
    from seqloom.cost.probe import Memory
    from seqloom.large.plan import BATCH, divided
    from seqloom.predict.base import Job
    from seqloom.predict.stored import dims_of, fit_stored, predicted
    from seqloom.registry import build, validated
    from seqloom.store.rows import open_store
    from seqloom.training.settings import TrainSection

    settings = validated(TrainSection, {"batch": BATCH, **train}, "[train]")
    store, memory = open_store(folder), Memory()
    with memory.watched():
        started = time.perf_counter()
        parts = divided(store, {})[0]
        model = fit_stored(build("predictor", {"kind": net}), parts, Job(dims_of(store), 0, settings, folder=out))
        fitted = time.perf_counter() - started
        held = [list(predicted(model, store, parts.part(name))) for name in ("share", "nonshare")]
        seconds = time.perf_counter() - started
    state = out / "checkpoint" / "state.safetensors"
    return {
        "seconds": seconds, "fitted": fitted, "peak": memory.peak, "tested": sum(len(rows) for part in held for rows, _ in part),
        "checkpoint": state.stat().st_size if state.exists() else 0,
    }  # fmt: skip


def main() -> None:
    """All figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--learnt", type=int, default=300_000)
    parser.add_argument("--net", default="cnn")
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    train = {"rows": asked.learnt, "device": "cpu"}
    if asked.train:
        store, out = map(Path, asked.train)
        print(json.dumps(trained(store, asked.net, train, out)))
        return
    with tempfile.TemporaryDirectory(prefix="seqloom-") as name:
        folder = Path(name)
        write_library(Library.of(LibrarySettings(rows=asked.rows)), folder / "library.parquet")
        (folder / "run").mkdir()
        sections = {"predictor": {"kind": asked.net}, "train": train}
        of_table = plan([folder / "library.parquet"], sections, packing={"sequence": "smiles", **COLUMNS})
        packing = time.perf_counter()
        facts = pack([folder / "library.parquet"], folder / "store", sequence="smiles", **COLUMNS)
        packing = time.perf_counter() - packing
        plans = [plan([folder / "store"], sections)]
        command = [sys.executable, __file__, "--net", asked.net, "--learnt", str(asked.learnt)]
        done = subprocess.run(
            [*command, "--train", str(folder / "store"), str(folder / "run")],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        plans.append(plan([folder / "store"], sections))

    def planned(figure: str) -> float:
        return sum(each["nets"][0]["figures"][figure]["value"] for each in plans) / len(plans)

    what = f"{asked.net}, {asked.learnt:,} of {asked.rows:,} rows learnt from, {found['tested']:,} tested; mean of two plans"
    for name, figure, key in (("time", "member_seconds", "seconds"), ("memory", "memory_bytes", "peak")):
        own, real = planned(figure), found[key]
        more = {"planned": round(own, 1), "measured": round(real, 1), "ratio": round(real / own, 3)}
        report(f"plan_{name}", factor(own, real), "x", NEAR, what, **more)
    sizes = of_table["library"]["store_bytes"]["value"], facts["bytes"]
    more = {"planned": round(sizes[0]), "measured": sizes[1]}
    report(
        "plan_store", factor(*sizes), "x", EXACT, f"bytes of the store of {asked.rows:,} rows, from the table", **more
    )
    seconds = of_table["library"]["packing_seconds"]["value"]
    more = {"planned": round(seconds, 2), "measured": round(packing, 2)}
    report(
        "plan_packing",
        factor(seconds, packing),
        "x",
        None,
        "seconds; a store of a second is not what it is for",
        **more,
    )
    if found["checkpoint"]:
        own = planned("checkpoint_bytes")
        more = {"planned": round(own), "measured": found["checkpoint"]}
        report(
            "plan_checkpoint", factor(own, found["checkpoint"]), "x", None, "bytes, names and curve left out", **more
        )


if __name__ == "__main__":
    main()
