"""Real steps of a net on real rows, timed: those of `StoredStep` in the loop of all trainings, and predictions.

Imports torch, as nets do.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from seqloom.cost.probe import Asked, Memory, Probed, anonymous_bytes
from seqloom.cost.sample import sampled
from seqloom.errors import ConfigError
from seqloom.large.plan import BATCH, divided
from seqloom.predict.base import Job
from seqloom.predict.net import FittedNet, Net
from seqloom.predict.stored import SPAN_ROWS, VALID_ROWS, StoredStep, dims_of, predicted
from seqloom.registry import build, validated
from seqloom.store.components import PARTS, ComponentParts
from seqloom.store.feed import ROOM
from seqloom.store.gather import Located, locate
from seqloom.store.layout import BLOCK
from seqloom.store.rows import Store, open_store
from seqloom.store.subset import Members
from seqloom.training.device import open_fabric
from seqloom.training.loop import optimise
from seqloom.training.memory import kept_memory
from seqloom.training.settings import TrainSection
from seqloom.training.step import Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

WARM, LEAST = 3, 12
"""Steps before the clock runs, and at least while it does."""
PILOT_ROWS = 8
MOST = 4
"""Times the seconds asked for that all steps may take; larger nets are probed with fewer rows a step."""
FIRST_PREDICTED = 256


def measure(asked: Asked, began: float) -> Probed:
    """All that a net costs; what it raises for settings and stores that do not fit. `began`: when the process did (seconds)."""
    net = build("predictor", asked.predictor)
    settings = validated(TrainSection, {"batch": BATCH, **asked.train}, "[train]")
    whole = open_store(asked.store)
    if not isinstance(net, Net) or net.takes != "tokens" or net.n_columns > 1:
        raise ConfigError(
            f"plan: predictor {net.kind!r} is no net that reads symbols; such are cnn, transformer and mamba"
        )
    fabric = open_fabric(settings.device, settings.precision)
    free = torch.cuda.mem_get_info(fabric.device)[0] if fabric.device.type == "cuda" else None
    started = time.time() - began
    loaded = anonymous_bytes()
    store = sampled(whole)
    drawn, inner = _parts(whole, asked)
    # few rows of a sample would be valid if few of the library are: at least one in a hundred, so that there are any
    parts = replace(drawn, store=store, valid=max(drawn.valid, 0.01))
    memory = Memory()
    with memory.watched():
        with kept_memory():
            made = _stepped(net, settings, parts, fabric, asked)
        step, own = made.step, made.timing
        # on a CPU, libraries keep something for every shape that they meet: predictions come on top of training
        model = FittedNet(step.bare.eval(), dims_of(store), fabric.device)
        rate, n_predicted, sheet = _predicting(model, store, asked.seconds / 3)
    count_seconds, count_bytes = _counting(parts)
    optimizer_state = [slot for slots in step.optimizer.state_dict()["state"].values() for slot in slots.values()]
    on_cuda = fabric.device.type == "cuda"
    return Probed(
        device=_named(fabric.device), threads=torch.get_num_threads(), looked_at=len(store),
        shares=_shares(drawn, store), members=settings.seeds * inner,
        n_weights=sum(each.numel() for each in step.bare.parameters()),
        weight_bytes=_bytes(list(step.bare.state_dict().values())), optimizer_bytes=_bytes(optimizer_state),
        asked_batch=settings.batch, batch=own.batch, n_steps=own.n_steps, step_seconds=own.seconds / own.n_rows,
        gather_seconds=made.gather_seconds, order_seconds=step.order_seconds,
        divided_seconds=step.timing.seconds / step.timing.n_rows, predict_seconds=rate, n_predicted=n_predicted,
        count_seconds=count_seconds, count_bytes=count_bytes,
        prediction_bytes=_parquet_bytes(*sheet), start_seconds=started, longest=made.longest,
        span_rows=SPAN_ROWS, valid_rows=VALID_ROWS, library_bytes=loaded,
        peak_bytes=None if loaded is None else memory.peak,
        device_bytes=torch.cuda.max_memory_reserved(fabric.device) if on_cuda else None,
        device_room=None if free is None else round(ROOM * free),
    )  # fmt: skip


@dataclass
class Timing:
    """Of the steps of a probe."""

    batch: int = 0
    n_rows: int = 0
    n_steps: int = 0
    seconds: float = 0.0


class TimedStep(StoredStep):
    """Steps on the training rows of a store for some seconds. Batches are drawn before, and nothing is validated."""

    def __init__(self, module: nn.Module, parts: ComponentParts, job: Job, fabric: Fabric) -> None:
        super().__init__(module, parts, job, fabric)
        self.place = fabric.device

    def begin(self, seconds: float, devices: int = 1, batch: int = 0) -> None:
        """Make ready to be timed, with the rows of a batch that one of so many devices has.

        Steps that would take too long are made of fewer rows; `batch`: as many as in the timing before, divided.
        """
        self.limit, self.timing = seconds, Timing()
        started = time.perf_counter()
        drawn = list(self.order.batches(0))
        self.order_seconds = (time.perf_counter() - started) / self.order.n_rows
        size = batch or self._affordable(drawn[0], seconds)
        size = self.timing.batch = max(-(-size // devices), 1)
        pieces = [
            _part(each, start, size) for each in drawn for start in range(0, max(len(each.rows) - size + 1, 1), size)
        ]
        self.drawn = [pieces[place] for place in np.random.default_rng(0).permutation(len(pieces))]
        self.n_batches = len(self.drawn)

    def batches(self, epoch: int) -> Iterator[Located]:
        """The same ones again and again, until the time is over."""
        started = time.perf_counter()
        for number in count():
            if number == WARM:
                _settle(self.place)
                started = time.perf_counter()
            batch = self.drawn[number % len(self.drawn)]
            yield batch
            passed = time.perf_counter() - started
            if number >= WARM:
                self.timing.n_rows += len(batch.rows)
                self.timing.n_steps += 1
                if passed >= self.limit and (self.timing.n_steps >= LEAST or passed >= MOST * self.limit):
                    break
        _settle(self.place)
        self.timing.seconds = time.perf_counter() - started

    def validate(self) -> dict[str, float]:
        """Nothing: how long it takes follows from the time of predictions."""
        return {"valid_loss": 0.0}

    def _affordable(self, batch: Located, seconds: float) -> int:
        """Rows of a step so that the least number of steps is not too long, by steps of ever more rows."""
        size, most_seconds = PILOT_ROWS, MOST * seconds / (WARM + LEAST)
        self._pilot(_part(batch, 0, size))
        while True:
            most = int(size * most_seconds / self._pilot(_part(batch, 0, size)))
            if most < 4 * size or 4 * size > len(batch.rows):
                return min(max(most, PILOT_ROWS), len(batch.rows))
            size *= 4  # few rows may cost as much as many

    def _pilot(self, batch: Located) -> float:
        """Seconds of a step from which nothing is learnt."""
        started = time.perf_counter()
        self.bare(*self.inputs_of(batch)).sum().backward()
        self.optimizer.zero_grad(set_to_none=True)
        _settle(self.place)
        return time.perf_counter() - started


class Stepped(NamedTuple):
    """A net after the steps of a probe."""

    step: TimedStep
    timing: Timing
    """Of steps by one device; those of the step itself are by one of several."""
    gather_seconds: float
    longest: int


def _stepped(net: Net, settings: TrainSection, parts: ComponentParts, fabric: Fabric, asked: Asked) -> Stepped:
    """Steps of whole batches, one of the longest rows, and steps of the share of one of several devices."""
    store = parts.store
    torch.manual_seed(settings.seed)
    module = net.module(dims_of(store)).to(fabric.device)
    step = TimedStep(module, parts, Job(dims_of(store), settings.seed, settings), fabric)
    step.begin(asked.seconds)
    optimise(Training(step, settings, 1, settings.seed), fabric)
    timing = step.timing
    longest = _longest(store, np.flatnonzero(parts.parts_of(np.arange(len(store))) == 0), timing.batch)
    step.update(longest, fabric)
    gather = _gather_seconds(step, asked.seconds / 10)
    if asked.devices > 1:
        step.begin(asked.seconds, asked.devices, timing.batch)
        optimise(Training(step, settings, 1, settings.seed), fabric)
    _settle(fabric.device)
    return Stepped(step, timing, gather, int(longest.lengths.max()))


def _parts(whole: Store, asked: Asked) -> tuple[ComponentParts, int]:
    """The parts of a library of `asked.rows`, and how many folds take turns at being valid."""
    manifest = whole.manifest.model_copy(update={"rows": asked.rows})
    parts, split = divided(replace(whole, manifest=manifest), asked.split)
    return parts, split.inner


def _shares(parts: ComponentParts, store: Store) -> dict[str, float]:
    """Of the rows of a library in each part: share and nonshare rows as in the sample, valid and tested ones of them as asked."""
    found = np.bincount(replace(parts, store=store).parts_of(np.arange(len(store))), minlength=len(PARTS)) / len(store)
    known, test, valid = float(found[:3].sum()), parts.test, parts.valid
    shares = (known * (1 - test - valid), known * valid, known * test, float(found[3]), float(found[4]))
    return dict(zip(PARTS, shares, strict=True))


def _part(batch: Located, start: int, size: int) -> Located:
    return Located(*(each[start : start + size] for each in batch))


def _longest(store: Store, rows: np.ndarray, size: int) -> Located:
    """A batch of the longest of these rows."""
    order = np.argsort(store.lengths[rows], kind="stable")
    return locate(store, rows[order[-size:]])


def _gather_seconds(step: TimedStep, seconds: float) -> float:
    """Of a row: all of a step before the net, the look for leaks included."""
    _settle(step.place)
    n_rows, started = 0, time.perf_counter()
    for number in count():
        batch = step.drawn[number % len(step.drawn)]
        step.parts.refuse_all_but_train(batch.rows)
        step.inputs_of(batch)
        step.targets(batch)
        n_rows += len(batch.rows)
        if time.perf_counter() - started > seconds:
            break
    _settle(step.place)
    return (time.perf_counter() - started) / n_rows


def _predicting(model: FittedNet, store: Store, seconds: float) -> tuple[float, int, tuple[np.ndarray, np.ndarray]]:
    """Seconds of a row, of how many rows, and these rows with what was predicted."""
    n_rows = min(FIRST_PREDICTED, len(store))
    order = np.random.default_rng(0).permutation(len(store))
    while True:
        chosen = np.zeros(len(store), bool)
        chosen[order[:n_rows]] = True
        started = time.perf_counter()
        made = list(predicted(model, store, Members(chosen)))
        taken = time.perf_counter() - started
        if taken >= seconds or n_rows == len(store):
            rows, values = (np.concatenate(each) for each in zip(*made, strict=True))
            return taken / n_rows, n_rows, (rows, values)
        n_rows = min(n_rows * (2 if taken > seconds / 8 else 8), len(store))


def _counting(parts: ComponentParts) -> tuple[float, float]:
    """Seconds, and bytes held, for each row whose part is told."""
    part, blocks = parts.part("train"), np.arange(-(-len(parts.store) // BLOCK))
    part.within(blocks)
    started = time.perf_counter()
    part.within(blocks)
    seconds = time.perf_counter() - started
    tracemalloc.start()
    part.within(blocks)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    n = len(blocks) * BLOCK
    return seconds / n, held / n


def _parquet_bytes(rows: np.ndarray, values: np.ndarray) -> float:
    """Of a row: its number, and a prediction of each target."""
    columns = {f"p{place}": values[:, place].astype(np.float32) for place in range(values.shape[1])}
    sink = BytesIO()
    pq.write_table(pa.table({"row": rows, **columns}), sink, compression="zstd")
    return sink.tell() / max(len(rows), 1)


def _bytes(tensors: Sequence[object]) -> int:
    return sum(each.numel() * each.element_size() for each in tensors if isinstance(each, torch.Tensor))


def _settle(device: torch.device) -> None:
    """Wait for what the device still does."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _named(device: torch.device) -> str:
    return f"{device.type} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
