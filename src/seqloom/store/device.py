"""A store on a device: its symbols, lengths and anchors as tensors, and batches gathered there without a word to the host.

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


@dataclass(frozen=True)
class DeviceStore:
    """The sequences of N rows on a device."""

    values: Tensor  # uint8 (sum of L,)
    lengths: Tensor  # uint8, or int32 where rows are longer (N,)
    anchors: Tensor  # int64 (ceil(N / STEP),)

    @staticmethod
    def of(store: Store, device: torch.device | str) -> DeviceStore:
        """The sequences of a store, copied to the device."""
        type_ = np.dtype(np.uint8) if store.lengths.dtype == np.uint8 else np.dtype(np.int32)
        return DeviceStore(
            _sent(store.values, np.dtype(np.uint8), device),
            _sent(store.lengths, type_, device),
            torch.from_numpy(store.anchors).to(device),
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
        columns = torch.arange(width, device=rows.device)
        mask = columns < self.lengths[rows].long()[:, None]
        if not len(self.values):
            return torch.zeros_like(mask, dtype=torch.int64), mask
        places = self.begins(rows)[:, None] + columns
        return self.values[places.clamp(max=len(self.values) - 1)].long() * mask, mask


def _sent(array: np.ndarray, type_: np.dtype, device: torch.device | str) -> Tensor:
    kind = torch.uint8 if type_ == np.uint8 else torch.int32
    sent = torch.empty(len(array), dtype=kind, device=device)
    for start in range(0, len(array), PART):  # a copy of each part, as torch does not take what must not be written
        sent[start : start + PART] = torch.from_numpy(array[start : start + PART].astype(type_))
    return sent
