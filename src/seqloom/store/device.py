"""A store on a device: its symbols, lengths and labels as tensors, and batches gathered there without a word to the host.

98 million molecules take 8 GB, which one accelerator holds; no loader is then needed. Imports torch, as nets do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from seqloom.store.rows import STEP

if TYPE_CHECKING:
    from seqloom.store.rows import Store

PART = 2**28
"""Bytes sent at a time: mapped files are not copied in memory as a whole."""


def bytes_on_device(store: Store) -> int:
    """Memory that a store takes on a device."""
    arrays = (store.values, store.packed_labels, store.anchors)
    return sum(each.nbytes for each in arrays) + len(store) * _length_type(store).itemsize


@dataclass(frozen=True)
class DeviceStore:
    """The sequences and K labels of N rows on a device."""

    values: Tensor  # uint8 (sum of L,)
    lengths: Tensor  # uint8, or int32 where rows are longer (N,)
    anchors: Tensor  # int64 (ceil(N / STEP),)
    packed_labels: Tensor  # uint8 (N, ceil(K / 4)), as in `seqloom.store.layout`
    places: Tensor  # int64 (2, K): byte of each label, and how far its bits are from the lowest

    @staticmethod
    def of(store: Store, device: torch.device | str) -> DeviceStore:
        """A store, copied to the device."""
        n_targets = len(store.manifest.targets)
        labels = _sent(store.packed_labels.reshape(-1), np.dtype(np.uint8), device)
        return DeviceStore(
            _sent(store.values, np.dtype(np.uint8), device),
            _sent(store.lengths, _length_type(store), device),
            torch.from_numpy(store.anchors).to(device),
            labels.view(len(store), store.packed_labels.shape[1]),
            torch.from_numpy(np.stack([np.arange(n_targets) // 4, np.arange(n_targets) % 4 * 2])).to(device),
        )

    def begins(self, rows: Tensor) -> Tensor:
        """Where `rows` (int64 (M,), on the device) begin in `values`, int64 (M,)."""
        first = rows // STEP * STEP
        before = first[:, None] + torch.arange(STEP, device=rows.device)
        lengths = self.lengths[before.clamp(max=len(self.lengths) - 1)].long()
        return self.anchors[rows // STEP] + (lengths * (before < rows[:, None])).sum(1)

    def padded(self, rows: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """`rows` (int64 (B,), on the device) cut or padded to `width`: ids, int64 (B, width), and mask, bool.

        The host says how wide, as it has planned the batch by its lengths: to ask the device would be to wait for it.
        Rows are trusted to be in the store.
        """
        return self.located(self.begins(rows), self.lengths[rows].long(), width)

    def located(self, begins: Tensor, lengths: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """As `padded`, of rows that begin and are long as told, both int64 (B,): with nothing to look up but symbols."""
        columns = torch.arange(width, device=begins.device)
        mask = columns < lengths[:, None]
        if not len(self.values):
            return torch.zeros_like(mask, dtype=torch.int64), mask
        places = (begins[:, None] + columns).clamp_(max=len(self.values) - 1)
        return self.values[places].long() * mask, mask

    def labels_of(self, rows: Tensor) -> Tensor:
        """Labels of `rows` (int64 (B,), on the device), float32 (B, K): 0, 1, or NaN where not known."""
        place, shift = self.places
        bits = self.packed_labels[rows][:, place] >> shift.to(torch.uint8)
        return torch.where(bits & 2 != 0, (bits & 1).float(), torch.nan)


def _length_type(store: Store) -> np.dtype:
    """The type of lengths on a device: torch has no others that can be looked up in."""
    return np.dtype(np.uint8) if store.lengths.dtype == np.uint8 else np.dtype(np.int32)


def _sent(array: np.ndarray, type_: np.dtype, device: torch.device | str) -> Tensor:
    kind = torch.uint8 if type_ == np.uint8 else torch.int32
    sent = torch.empty(len(array), dtype=kind, device=device)
    for start in range(0, len(array), PART):  # a copy of each part, as torch does not take what must not be written
        sent[start : start + PART] = torch.from_numpy(array[start : start + PART].astype(type_))
    return sent
