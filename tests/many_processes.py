"""What each process of `test_many_processes.py` does: it trains nets on a store, and writes what it has in the end.

`python many_processes.py STORE OUT WHAT,WHAT`: names of `CASES`, `interrupted`, `apart`.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from seqloom.errors import RunError
from seqloom.predict import stored
from seqloom.predict.base import Job
from seqloom.predict.stored import StoredStep, dims_of, fit_stored
from seqloom.registry import build
from seqloom.store import open_store
from seqloom.store.components import ComponentParts
from seqloom.training.settings import TrainSection

SPAN_ROWS = 1500
SGD = {"optimizer": "sgd", "lr": 0.02}
CASES = {
    "cnn": ({"kind": "cnn", "width": 8, "norm": "batch", "dropout": 0.3}, {**SGD, "ema": 0.9}),
    "transformer": ({"kind": "transformer", "width": 8, "heads": 2, "layers": 1}, {**SGD, "clip": 0.1}),
    "mamba": ({"kind": "mamba", "width": 8, "layers": 1, "head_width": 8}, {**SGD, "rows": 900}),
    "one row": ({"kind": "cnn", "width": 8, "norm": "batch"}, {**SGD, "batch": 1, "rows": 7}),
    "adamw": ({"kind": "light-attention", "width": 8}, {"rows": 2500, "patience": 1}),
    "rnn": ({"kind": "rnn", "hidden": 4}, {**SGD, "rows": 600}),
}
"""Nets and settings. Rounding moves what AdamW makes of gradients that are 0 but for rounding by whole steps, as for a bias before
a softmax."""


def parts_of(folder):
    return ComponentParts.draw(open_store(folder), held_out=0.2, valid=0.1, test=0.1)


def trained(parts, name, folder=None, told=lambda *_: None):
    net, settings = CASES[name]
    train = TrainSection(**{"device": "cpu", "batch": 200, **settings})
    return fit_stored(
        build("predictor", net), parts, Job(dims_of(parts.store), 0, train, name, folder=folder, progress=told)
    )


def watched(rows):
    """Let every step note the rows that its process learns from."""
    inputs_of = StoredStep.inputs_of

    def noting(self, batch):
        rows.append(batch.rows[self.world.share(len(batch.rows))].tolist())
        return inputs_of(self, batch)

    StoredStep.inputs_of = noting


def interrupted(parts, folder, rank):
    """A training that one process alone is asked to stop, by two signals, and that goes on from there: steps of both, and the net."""
    update, made = StoredStep.update, []

    def halting(self, batch, fabric):
        made.append(1)
        if len(made) == 12 and rank == 1:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        return update(self, batch, fabric)

    StoredStep.update = halting
    try:
        trained(parts, "cnn", folder)
    except KeyboardInterrupt:
        stopped = len(made)
    else:
        stopped = 0
    model = trained(parts, "cnn", folder)
    StoredStep.update = update
    return {"stopped": stopped, "made": len(made)}, model


def apart(parts, folder, rank):
    """What is said where one process finds a state to go on from, and the other does not."""
    stored.optimise.__globals__["CHECKPOINT_SECONDS"] = -1.0
    trained(parts, "mamba", folder)
    try:
        trained(parts, "mamba", folder if rank == 0 else folder / "elsewhere")
    except RunError as error:
        return {"refused": str(error)}
    return {"refused": ""}


def main():
    store, out, asked = sys.argv[1], Path(sys.argv[2]), sys.argv[3].split(",")
    rank, parts, facts, rows = int(os.environ["RANK"]), parts_of(store), {}, []
    stored.SPAN_ROWS = SPAN_ROWS
    watched(rows)
    for name in asked:
        rows.clear()
        folder, told = out / name, []
        folder.mkdir(exist_ok=True)
        if name == "apart":
            facts[name] = apart(parts, folder, rank)
            continue
        if name == "interrupted":
            facts[name], model = interrupted(parts, folder, rank)
        else:
            model = trained(parts, name, folder, lambda *each, told=told: told.append(each))
            facts[name] = {"told": len(told), "rows": list(rows)}
        np.savez(out / f"{name}-{rank}.npz", **model.state())
    (out / f"facts-{rank}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
