"""Where training happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from seqloom.errors import ConfigError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def open_fabric(device: str) -> Fabric:
    """Fabric on one device: bf16 autocast on CUDA, plain float32 elsewhere. ConfigError if the device is not there."""
    from lightning_fabric import Fabric

    kind, _, index = resolved_device(device).partition(":")
    precision: Any = "bf16-mixed" if kind == "cuda" and torch.cuda.is_bf16_supported() else "32-true"
    devices: Any = [int(index)] if index else 1
    return Fabric(accelerator="gpu" if kind == "cuda" else kind, devices=devices, precision=precision)


def resolved_device(device: str) -> str:
    """`auto` as cuda, mps or cpu, whichever is there first; ConfigError for one that is not."""
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return "cuda" if has["cuda"] else "mps" if has["mps"] else "cpu"
    kind, colon, index = device.partition(":")
    if kind not in has or (colon and not (kind == "cuda" and index.isdigit())):
        raise ConfigError(f"[train] device = {device!r}: no such device; use auto, cpu, cuda, cuda:1 or mps")
    if not has[kind] or (index and int(index) >= torch.cuda.device_count()):
        raise ConfigError(f"[train] device = {device!r} is not available on this machine; use --device auto")
    return device
