"""A net that learns from a store: rows gathered where they lie on disk, and none of them other than training rows.

What a batch holds is decided by `seqloom.store.order`, which rows may be learnt from by `seqloom.store.components`. The loop is
that of all nets; its epochs are spans of at most `SPAN_ROWS` rows here, so that valid loss, curve and state on disk come often
enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from seqloom.encode.base import Inputs
from seqloom.errors import DataError
from seqloom.predict.base import Dims, Examples, Fitted, Job
from seqloom.predict.net import Descent, DeviceInputs, FittedNet, Net
from seqloom.store.components import ComponentParts
from seqloom.store.gather import Located, padded, ragged
from seqloom.store.layout import BLOCK
from seqloom.store.order import BlockOrder
from seqloom.store.rows import Store
from seqloom.store.subset import Subset
from seqloom.training.device import open_fabric
from seqloom.training.loop import optimise
from seqloom.training.memory import kept_memory
from seqloom.training.step import Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

SPAN_ROWS = 2**20
"""Rows between two looks at the valid rows, at most."""
VALID_ROWS = 100_000
"""Valid rows that are looked at, at most: the same ones every time."""
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

    `train.epochs` are passes over them, one where it says 0; `patience` counts spans. DataError without training or valid rows;
    LeakError, before anything is learnt from it, for a batch with any other row.
    """
    fabric = open_fabric(job.settings.device)
    torch.manual_seed(job.seed)
    step = StoredStep(net.module(job.dims).to(fabric.device), parts, job, fabric)
    n_spans = (job.settings.epochs or 1) * step.spans
    with kept_memory():
        curve = optimise(
            Training(step, job.settings, n_spans, job.seed, job.name, job.progress),
            fabric,
            job.folder / "checkpoint" if job.folder else None,
        )
    if job.folder is not None:
        pq.write_table(pa.Table.from_pylist([vars(line) for line in curve]), job.folder / "curves.parquet")
    return FittedNet(step.bare, job.dims, fabric.device)


def predicted(model: Fitted, store: Store, rows: Subset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers (int64 (M,)) and predictions (float64 (M, T)) of these rows in the order of the store, some blocks at a time."""
    n_blocks = -(-len(store) // BLOCK)
    for start in range(0, n_blocks, PREDICTED_BLOCKS):
        blocks = np.arange(start, min(start + PREDICTED_BLOCKS, n_blocks))
        inside = blocks[0] * BLOCK + np.flatnonzero(rows.within(blocks))
        if len(inside):
            yield inside, model.predict(_inputs(store, inside))


class StoredStep(Descent):
    """Descent on the training rows of a store."""

    def __init__(self, module: nn.Module, parts: ComponentParts, job: Job, fabric: Fabric) -> None:
        super().__init__(module, job, fabric)
        self.parts, self.store, self.device = parts, parts.store, fabric.device
        self.order = BlockOrder(self.store, job.settings.batch, job.seed, parts.part("train"))
        valid = _sample(self.store, parts.part("valid"))
        if not self.order.n_rows or not len(valid):
            raise DataError(
                f"{self.store.folder}: {self.order.n_rows:,} training and {len(valid):,} valid rows; hold out fewer components, "
                "or more of the other rows"
            )
        self.spans = -(-self.order.n_rows // SPAN_ROWS)
        self.per_span = -(-self.order.n_batches // self.spans)
        self.n_batches = self.per_span
        examples = Examples(_inputs(self.store, valid), self.store.labels(valid).astype(np.float64))
        self.monitored = {"valid": examples}
        self.on_device = {"valid": DeviceInputs.of(examples.inputs, fabric.device)}

    def batches(self, epoch: int) -> Iterator[Located]:
        """Those of a span: the last of a pass may have fewer."""
        number, span = divmod(epoch, self.spans)
        start = span * self.per_span
        self.n_batches = min(self.per_span, self.order.n_batches - start)
        return islice(self.order.batches(number, start), self.n_batches)

    def inputs_of(self, batch: Located) -> tuple[Tensor, ...]:
        """ids (B, L), mask (B, L), and no covariates (B, 0); LeakError if any row is no training row."""
        self.parts.refuse_all_but_train(batch.rows)
        own = padded(self.store, batch)
        ids, mask = (torch.from_numpy(each).to(self.device, non_blocking=True) for each in (own.ids, own.mask))
        return ids.long(), mask, torch.zeros(len(mask), 0, device=self.device)

    def targets(self, batch: Located) -> tuple[Tensor, Dims, Tensor | None, Tensor | None]:
        """Labels (B, T), NaN where not known."""
        return torch.from_numpy(self.store.labels(batch.rows)).to(self.device), self.job.dims, None, None


def _inputs(store: Store, rows: np.ndarray) -> Inputs:
    return Inputs(tokens=ragged(store, rows), covariates=np.zeros((len(rows), 0), np.float32))


def _sample(store: Store, rows: Subset) -> np.ndarray:
    """Rows from blocks all over the store, int64 (up to VALID_ROWS,), ascending."""
    order = BlockOrder(store, 1000, 0, rows)
    if not order.n_rows:
        return np.zeros(0, np.int64)
    batches = islice(order.batches(0), VALID_ROWS // 1000)
    return np.sort(np.concatenate([batch.rows for batch in batches]))
