"""Three nets as large as those of a published solution for 98 million molecules, trained and asked from a store on one device.

`python bench/gpu.py [--device cuda] [--rows 10000000] [--seconds 25] [--nets cnn,transformer,mamba,mamba-2]`: under eight minutes
on one CUDA device as it stands; one JSON line per figure, with its bar, kept in `bench/results/` too where the device is a CUDA
one. `python bench/gpu.py --device cpu --rows 20000 --seconds 5` goes the same way and shows no more than that all of it runs.

Trained is by the loop of all nets, in bf16 where the device has it, with everything that a training does but valid rows: order,
leak check, gathering (on the device where the store fits), net, optimiser. Molecules are of the simulated library, 74 symbols on
average; nets see them padded to the longest of their batch. Shares are of what products of matrices reach on the device, measured
here, by the products that the net's layers are made of, forward and twice as many backward.
"""

import argparse
import contextlib
import io
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from figures import report
from scale import packed, repeated
from torch.utils.flop_counter import FlopCounterMode

from seqloom.encode.base import Inputs
from seqloom.predict.base import Job
from seqloom.predict.net import FittedNet, Net
from seqloom.predict.stored import StoredStep, dims_of
from seqloom.registry import build
from seqloom.store import open_store
from seqloom.store.components import ComponentParts
from seqloom.store.feed import Resident
from seqloom.store.gather import Located, ragged
from seqloom.store.layout import BLOCK
from seqloom.training.device import open_fabric
from seqloom.training.loop import optimise
from seqloom.training.memory import kept_memory
from seqloom.training.settings import TrainSection
from seqloom.training.step import Training

LIBRARY = 98_415_610
PACKED_ROWS = 1000 * BLOCK
WARM, CPU_WARM = 10, 1
NETS: dict[str, dict[str, object]] = {
    "cnn": {
        "kind": "cnn", "width": 64, "kernel": 3, "filters": [128, 256, 256, 256, 256], "norm": "batch", "pool": "mean",
        "head": [1024, 1024, 512], "dropout": 0.1,
    },
    "transformer": {
        "kind": "transformer", "width": 512, "heads": 8, "layers": 7, "feed_forward": 2048, "positions": "sinusoidal",
        "norm": "post", "dropout": 0.1,
    },
    "mamba": {
        "kind": "mamba", "version": 1, "width": 256, "expand": 2, "state": 16, "layers": 6,
        "bidirectional": "none", "pool": "mean",
    },
    "mamba-2": {
        "kind": "mamba", "version": 2, "width": 256, "expand": 2, "state": 64, "head_width": 64, "layers": 6,
        "bidirectional": "none", "pool": "mean",
    },
}  # fmt: skip
BATCHES = {"cnn": 2500, "transformer": 2000, "mamba": 2000, "mamba-2": 2000}
CPU_BATCH = 8
PREDICTED = 2**16
"""Rows that are predicted at a time on a CUDA device."""
SHARE_BARS = {"cnn": 0.25, "transformer": 0.40, "mamba": 0.20, "mamba-2": 0.20}
EPOCH_MINUTES = {"cnn": 41, "transformer": 313, "mamba": 417, "mamba-2": 417}
"""Of the published solution, on an RTX 6000 Ada."""
EPOCH_BARS = {"cnn": 8, "transformer": 6, "mamba": 12, "mamba-2": 12}


class Timed(StoredStep):
    """Steps for some seconds, after a few to warm up; nothing is validated."""

    seconds = 25.0

    def batches(self, epoch: int) -> Iterator[Located]:
        """The order's own, pass after pass; the device has done all of them when `taken` is known."""
        self.rows, self.symbols, started = 0, 0, 0.0
        warm = WARM if self.device.type == "cuda" else CPU_WARM
        for number, batch in enumerate(self.endless()):
            if number == warm:
                settle(self.device)
                started = time.perf_counter()
            yield batch
            if number >= warm:
                self.rows += len(batch.rows)
                self.symbols += int(batch.lengths.sum())
                if time.perf_counter() - started > self.seconds:
                    break
        settle(self.device)
        self.taken = time.perf_counter() - started

    def endless(self) -> Iterator[Located]:
        """Batches of one pass after the other."""
        number = 0
        while True:
            yield from self.order.batches(number)
            number += 1

    def validate(self) -> Mapping[str, float]:
        """Nothing."""
        return {"valid_loss": 0.0}


def settle(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(device: torch.device, type_: torch.dtype, seconds: float) -> float:
    """TFLOP/s of a product of large matrices."""
    n = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(n, n, device=device, dtype=type_) for _ in range(2))
    done, started = 0, 0.0
    for number in range(10**6):
        if number == 3:
            settle(device)
            started = time.perf_counter()
        _ = a @ b
        if number >= 3:
            done += 1
            if number % 10 == 0:
                settle(device)
                if time.perf_counter() - started > seconds:
                    break
    return done * 2 * n**3 / (time.perf_counter() - started) / 1e12


def flops_of(step: StoredStep, batch: Located) -> float:
    """Of one row, forward: all products of matrices that the net makes of a batch; of a scan nothing is counted."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        step.bare(*step.inputs_of(batch))
    return counter.get_total_flops() / len(batch.rows)


def measured(name: str, parts: ComponentParts, asked: argparse.Namespace, peak: float) -> None:
    """The lines of one net."""
    store, fabric = parts.store, open_fabric(asked.device)
    on_cuda = fabric.device.type == "cuda"
    settings = TrainSection(
        device=asked.device, batch=asked.batch or (BATCHES[name] if on_cuda else CPU_BATCH), lr=1e-4
    )
    net, job = build("predictor", NETS[name]), Job(dims_of(store), 0, settings)
    assert isinstance(net, Net)
    torch.manual_seed(0)
    step = Timed(net.module(job.dims).to(fabric.device), parts, job, fabric)
    step.seconds = asked.seconds
    batch = next(step.order.batches(0))
    flops = flops_of(step, batch)
    with kept_memory():
        optimise(Training(step, settings, 1, 0), fabric)
    rate = step.rows / step.taken
    facts = {
        "device": torch.cuda.get_device_name(fabric.device) if on_cuda else f"cpu ({platform.machine()})",
        "precision": "bf16" if "bf16" in str(fabric._precision.precision) else "32",
        "store_on_device": isinstance(step.feed, Resident), "store_rows": len(store), "rows": step.rows,
        "seconds": round(step.taken, 1),
    }  # fmt: skip
    if not on_cuda:
        facts["note"] = "no accelerator: shows that this runs, and nothing of how fast"
    n_weights = sum(each.numel() for each in step.bare.parameters())
    protocol = f"{name}, {n_weights:,} weights, batch {settings.batch:,}, {step.symbols / step.rows:.1f} symbols a row"
    bars = (SHARE_BARS[name], EPOCH_BARS[name], 0.02) if on_cuda else (None, None, None)
    report(f"gpu {name}: trained", rate, "molecules/s", None, protocol, **facts)
    products = {"tflops": round(peak, 2), "gflop_a_row": round(3 * flops / 1e9, 3)}
    share = 3 * flops * rate / (peak * 1e12)
    report(
        f"gpu {name}: share of the device, training", share, "share", bars[0], protocol, at_least=True, **products, **facts
    )  # fmt: skip
    minutes = LIBRARY / rate / 60
    report(f"gpu {name}: a pass over {LIBRARY:,} molecules", minutes, "minutes", None, protocol, **facts)
    published = EPOCH_MINUTES[name]
    report(
        f"gpu {name}: such a pass, published / ours", published / minutes, "x", bars[1], protocol, at_least=True,
        published_minutes=published, **facts,
    )  # fmt: skip
    fed = feeding(step) * rate
    report(f"gpu {name}: order, leak check and gathering, of a step", fed, "share", bars[2], protocol, **facts)
    if on_cuda:
        report(f"gpu {name}: memory", torch.cuda.max_memory_allocated() / 1e9, "GB", None, protocol, **facts)
        torch.cuda.reset_peak_memory_stats()
    asks(name, step, asked.seconds / 2, flops / (peak * 1e12), protocol, facts)


def feeding(step: Timed) -> float:
    """Seconds of a row, of all of a step before the net, the device waited for at the end."""
    settle(step.device)
    rows, started = 0, time.perf_counter()
    for batch in islice(step.endless(), 200):
        step.inputs_of(batch)
        step.targets(batch)
        rows += len(batch.rows)
        if time.perf_counter() - started > 5:
            break
    settle(step.device)
    return (time.perf_counter() - started) / rows


def asks(name: str, step: Timed, seconds: float, least: float, protocol: str, facts: Mapping[str, object]) -> None:
    """Predictions of stretches of the store, as `seqloom predict` makes them: in 32 bits, and told to the host."""
    model, store = FittedNet(step.bare.eval(), step.job.dims, step.device), step.store
    size = PREDICTED if step.device.type == "cuda" else CPU_BATCH
    rows, started = 0, 0.0
    for number in range(10**6):
        if number == 1:  # after one to warm up
            started = time.perf_counter()
        own = np.arange(size) + number * size % (len(store) - size)
        model.predict(Inputs(tokens=ragged(store, own), covariates=np.zeros((size, 0), np.float32)))
        if number >= 1:
            rows += size
            if time.perf_counter() - started > seconds:
                break
    rate = rows / (time.perf_counter() - started)
    facts = {**facts, "precision": "32", "rows": rows}
    report(f"gpu {name}: predicted", rate, "molecules/s", None, protocol, **facts)
    report(f"gpu {name}: share of the device, predicting", rate * least, "share", None, protocol, **facts)


@contextlib.contextmanager
def kept(path: Path | None) -> Iterator[None]:
    """What is printed inside also goes to the file."""
    if path is None:
        yield
        return
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(Both(sys.stdout, file)):
        yield


class Both(io.TextIOBase):
    """What is written goes to two streams."""

    def __init__(self, *streams: TextIO) -> None:
        self.streams = streams

    def write(self, text: str) -> int:
        """To each of them, at once."""
        for each in self.streams:
            each.write(text)
            each.flush()
        return len(text)


def main() -> None:
    """All that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--rows", type=int, default=10_000_000, help="of the store, rounded up to a multiple of what is packed"
    )
    parser.add_argument("--seconds", type=float, default=25.0, help="of each training; predictions take half as long")
    parser.add_argument("--batch", type=int, default=0, help="rows a step, in place of those of the published solution")
    parser.add_argument("--nets", default=",".join(NETS))
    parser.add_argument("--folder", type=Path, help="where the store is made, below it")
    asked = parser.parse_args()
    fabric = open_fabric(asked.device)
    device, path = fabric.device, None
    if device.type == "cuda":
        path = Path(__file__).parent / "results" / f"gpu-{torch.cuda.get_device_name(device).replace(' ', '-')}.jsonl"
    with kept(path), tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        base = packed(Path(folder), min(PACKED_ROWS, -(-asked.rows // BLOCK) * BLOCK))
        store = open_store(base)
        if asked.rows > len(store):
            store = open_store(repeated(store, Path(folder) / "large", -(-asked.rows // len(store))))
        parts = ComponentParts.draw(store, held_out=0.1, valid=0.01, test=0.01)
        type_ = torch.bfloat16 if "bf16" in str(fabric._precision.precision) else torch.float32
        peak = matrix_rate(device, type_, min(asked.seconds / 10, 3.0))
        report("gpu: products of matrices", peak, "TFLOP/s", None, f"square matrices, {type_}, {device}")
        for name in asked.nets.split(","):
            measured(name, parts, asked, peak)


if __name__ == "__main__":
    main()
