"""A net that learns from a store: rows gathered where they lie on disk, and none of them other than training rows.

What a batch holds is decided by `seqloom.store.order`, which rows may be learnt from by `seqloom.store.components`, and where
batches are gathered by `seqloom.store.feed`. The loop is that of all nets; its epochs are spans of at most `SPAN_ROWS` rows here,
so that valid loss, curve and state on disk come often enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from seqloom.encode.base import Inputs
from seqloom.errors import ConfigError, DataError
from seqloom.nn.dropout import GOLDEN, dropouts
from seqloom.predict.base import Dims, Examples, Fitted, Job, default_loss
from seqloom.predict.net import Descent, DeviceInputs, FittedNet, Net, outputs
from seqloom.store.components import ComponentParts
from seqloom.store.feed import feed_of
from seqloom.store.gather import Located, ragged
from seqloom.store.layout import BLOCK
from seqloom.store.order import BlockOrder
from seqloom.store.rows import Store
from seqloom.store.subset import Subset
from seqloom.training.device import open_fabric
from seqloom.training.loop import optimise
from seqloom.training.memory import kept_memory
from seqloom.training.settings import TrainSection
from seqloom.training.step import Training
from seqloom.training.synced_norm import sync_norms
from seqloom.training.world import World

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

SPAN_ROWS = 2**20
"""Rows between two looks at the valid rows, at most."""
VALID_ROWS = 100_000
"""Valid rows that are looked at, at most: the same ones every time."""
KNOWN = np.uint8(0b10101010)
"""Bits of packed labels that say which are known."""
PREDICTED_BLOCKS = 64
"""Blocks of rows predicted at a time."""


def dims_of(store: Store) -> Dims:
    """The sizes of a net for the labels and sequences of a store."""
    n_targets = len(store.manifest.targets)
    alphabet = store.manifest.alphabet_
    return Dims(
        "multilabel" if n_targets > 1 else "binary",
        n_targets,
        n_targets,
        vocabulary=alphabet.size,
        alphabet=alphabet.name,
        longest=store.manifest.longest,
        symbols=(alphabet.size - 1,),
    )


def fit_stored(net: Net, parts: ComponentParts, job: Job) -> Fitted:
    """The net fitted on the training rows of a store; `job.dims` are those of `dims_of`.

    `train.epochs` are passes over them, one where it says 0, and `train.rows` a number of rows instead; `patience` and `warmup`
    count spans. Where several processes were launched, all call this and all have the net in the end. DataError without training
    or valid rows; LeakError, before anything is learnt from it, for a batch with any other row.
    """
    refuse_weights(job.settings)
    fabric = open_fabric(job.settings.device, job.settings.precision, divided=True)
    # Here all wait for the last process, for days if need be; devices, which exchange numbers from now on, wait for minutes.
    World.of(fabric).any()
    torch.manual_seed(job.seed)
    step = StoredStep(net.module(job.dims).to(fabric.device), parts, job, fabric)
    if job.settings.warmup >= step.spans:
        raise ConfigError(
            f"[train] warmup = {job.settings.warmup} leaves none of {step.spans} epochs for the schedule; lower it. On a store "
            f"an epoch is a stretch of at most {SPAN_ROWS:,} rows"
        )
    with kept_memory():
        curve = optimise(
            Training(step, job.settings, step.spans, job.seed, job.name, job.progress),
            fabric,
            job.folder / "checkpoint" if job.folder else None,
        )
    if job.folder is not None and step.world.is_first:
        pq.write_table(pa.Table.from_pylist([vars(line) for line in curve]), job.folder / "curves.parquet")
    return FittedNet(step.bare, job.dims, fabric.device)


def refuse_weights(settings: TrainSection) -> None:
    """ConfigError for weights of classes, which a training from a store would pass over."""
    if settings.class_weight != "none":
        raise ConfigError("[train] class_weight is not for stores, where all rows count alike; leave it out")


def predicted(model: Fitted, store: Store, rows: Subset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers (int64 (M,)) and predictions (float64 (M, T)) of these rows in the order of the store, some blocks at a time."""
    n_blocks = -(-len(store) // BLOCK)
    for start in range(0, n_blocks, PREDICTED_BLOCKS):
        blocks = np.arange(start, min(start + PREDICTED_BLOCKS, n_blocks))
        inside = blocks[0] * BLOCK + np.flatnonzero(rows.within(blocks))
        if len(inside):
            yield inside, model.predict(_inputs(store, inside))


class StoredStep(Descent):
    """Descent on the training rows of a store.

    Of several processes each takes its share of the rows of every batch. Its loss counts as much as its share of the known
    labels, its dropout masks are those of its rows in the whole batch, and batch norm sees all rows: the step is the one that a
    single process would make, but for rounding, and for masks of nets that do not draw them by row.
    """

    def __init__(self, module: nn.Module, parts: ComponentParts, job: Job, fabric: Fabric) -> None:
        self.world = World.of(fabric)
        self.norms = sync_norms(module) if self.world.size > 1 else []
        super().__init__(module, job, fabric)
        self.parts, self.store, self.device = parts, parts.store, fabric.device
        self.order = BlockOrder(self.store, job.settings.batch, job.seed, parts.part("train"))
        valid = _sample(self.store, parts.part("valid"))
        if not self.order.n_rows or not len(valid):
            raise DataError(
                f"{self.store.folder}: {self.order.n_rows:,} training and {len(valid):,} valid rows; hold out fewer components, "
                "or more of the other rows"
            )
        self.feed = feed_of(self.store, self.device)
        self.drops = dropouts(module)
        passes = job.settings.epochs or 1
        self.n_steps = -(-job.settings.rows // job.settings.batch) or passes * self.order.n_batches
        # Of whole passes each has the same number of spans, so that none reaches into the next.
        rows, times = (job.settings.rows, 1) if job.settings.rows else (self.order.n_rows, passes)
        self.spans = -(-rows // SPAN_ROWS) * times
        self.n_batches = -(-self.n_steps // self.spans)
        examples = Examples(_inputs(self.store, valid), self.store.labels(valid).astype(np.float64))
        self.monitored = {"valid": examples}
        self.own_valid = np.arange(self.world.rank, len(valid), self.world.size)
        self.on_device = {"valid": DeviceInputs.of(examples.inputs.take(self.own_valid), self.device)}

    def batches(self, epoch: int) -> Iterator[Located]:
        """Those of a span: as many as of any other, or one less."""
        place, stop = (span * self.n_steps // self.spans for span in (epoch, epoch + 1))
        self.n_batches = stop - place
        while place < stop:
            number, start = divmod(place, self.order.n_batches)
            own = min(stop - place, self.order.n_batches - start)
            yield from islice(self.order.batches(number, start), own)
            place += own

    def update(self, batch: Located, fabric: Fabric) -> Mapping[str, Tensor]:
        """One step down the loss of these rows; every process tells the loss of all of them."""
        if self.world.size == 1:
            return super().update(batch, fabric)
        first = self.world.share(len(batch.rows)).start
        for layer in self.drops:
            layer.key += first * GOLDEN  # a place in a mask is told by the sum of its row and the key
        for norm in self.norms:
            norm.divided = self.world.divides(len(batch.rows))
        loss = super().update(batch, fabric)["loss"].detach()
        return {"loss": self.world.add(loss) / self.world.size}

    def inputs_of(self, batch: Located) -> tuple[Tensor, ...]:
        """ids (B, L), mask (B, L), and no covariates (B, 0), of this process's rows; LeakError if any is no training row."""
        self.parts.refuse_all_but_train(batch.rows)
        own = self.world.share(len(batch.rows))
        self.fed = self.feed.batch(Located(*(each[own] for each in batch)))
        return self.fed.ids, self.fed.mask, self.fed.mask.new_zeros(len(self.fed.mask), 0, dtype=torch.float32)

    def targets(self, batch: Located) -> tuple[Tensor, Dims, Tensor | None, Tensor | None]:
        """Labels (B, T) of the rows that `inputs_of` gave last, NaN where not known, and how much they count."""
        if self.world.size == 1:
            return self.fed.labels, self.job.dims, None, None
        own = batch.rows[self.world.share(len(batch.rows))]
        n_own, n_all = (
            int(np.bitwise_count(self.store.packed_labels[rows] & KNOWN).sum()) for rows in (own, batch.rows)
        )
        counts = self.world.size * n_own / max(n_all, 1) if self.world.divides(len(batch.rows)) else 1.0
        return self.fed.labels, self.job.dims, None, torch.tensor(counts)

    def validate(self) -> Mapping[str, float]:
        """Loss on valid rows, and their primary metric; every process predicts its share of the rows."""
        self.world.put_first(self.bare.buffers())
        examples = self.monitored["valid"]
        predicted = torch.zeros(len(examples), self.job.dims.n_outputs, dtype=torch.float64)
        predicted[self.own_valid] = torch.from_numpy(outputs(self.module, self.on_device["valid"], self.job.dims))
        every = self.world.add_on_host(predicted).numpy()
        numbers = {"valid_loss": default_loss(examples.y, every, self.job.dims)}
        if self.job.score is not None:
            numbers["valid_score"] = self.job.score(examples.y, every, None)
        return numbers


def _inputs(store: Store, rows: np.ndarray) -> Inputs:
    return Inputs(tokens=ragged(store, rows), covariates=np.zeros((len(rows), 0), np.float32))


def _sample(store: Store, rows: Subset) -> np.ndarray:
    """Rows from blocks all over the store, int64 (up to VALID_ROWS,), ascending."""
    order = BlockOrder(store, 1000, 0, rows)
    if not order.n_rows:
        return np.zeros(0, np.int64)
    batches = islice(order.batches(0), VALID_ROWS // 1000)
    return np.sort(np.concatenate([batch.rows for batch in batches]))
