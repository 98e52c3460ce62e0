"""Batches of a store as tensors on a device: gathered there where the whole store fits, else on the host and sent.

Both give the same numbers. What a batch holds is decided in `seqloom.store.order`. Imports torch, as nets do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqloom.store.device import DeviceStore, bytes_on_device
from seqloom.store.gather import Located, padded
from seqloom.tokens import WIDTH_STEP

if TYPE_CHECKING:
    from seqloom.store.rows import Store

ROOM = 0.5
"""Share of the free memory of a device that a store may take; the rest is for the net."""


class Fed(NamedTuple):
    """A batch on the device, L being its longest row rounded up."""

    ids: Tensor  # int64 (B, L)
    mask: Tensor  # bool (B, L)
    labels: Tensor  # float32 (B, K), NaN where not known


class Feed(ABC):
    """Where batches come from."""

    @abstractmethod
    def batch(self, where: Located) -> Fed:
        """These rows; the host does not wait for the device."""


def feed_of(store: Store, device: torch.device) -> Feed:
    """Of the store on the device if that has room for it, else of the files."""
    return Resident(DeviceStore.of(store, device), device) if fits(store, device) else Gathered(store, device)


def fits(store: Store, device: torch.device) -> bool:
    """Whether the device is one with memory of its own, and `ROOM` of what is free of it holds the store."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    kept_by_torch = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return bytes_on_device(store) <= ROOM * (free + kept_by_torch)


@dataclass(frozen=True)
class Resident(Feed):
    """Batches of a store that lies on the device; the host sends where their rows begin and how long they are."""

    store: DeviceStore
    device: torch.device

    def batch(self, where: Located) -> Fed:
        """Gathered on the device."""
        width = -(-max(int(where.lengths.max(initial=1)), 1) // WIDTH_STEP) * WIDTH_STEP
        rows, begins, lengths = _sent(np.stack(where), self.device).unbind()
        return Fed(*self.store.located(begins, lengths, width), self.store.labels_of(rows))


@dataclass(frozen=True)
class Gathered(Feed):
    """Batches gathered from the files on the host."""

    store: Store
    device: torch.device

    def batch(self, where: Located) -> Fed:
        """Sent once gathered."""
        own = padded(self.store, where)
        ids, mask, labels = (_sent(each, self.device) for each in (own.ids, own.mask, self.store.labels(where.rows)))
        return Fed(ids.long(), mask, labels)


def _sent(array: np.ndarray, device: torch.device) -> Tensor:
    """From memory that a CUDA device can read while the host goes on."""
    held = torch.from_numpy(array)
    return (held.pin_memory() if device.type == "cuda" else held).to(device, non_blocking=True)
