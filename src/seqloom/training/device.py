"""Where training happens: on which device, in numbers of which precision, and by how many processes.

Several processes are started by `torchrun` or another launcher that sets its variables (`LAUNCHED`), one for each device. Only
training that divides its batches among them may then be opened; all else would do the same work in each and write to the same
files.
"""

from __future__ import annotations

import logging
import os
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parallel import DistributedDataParallel

from seqloom.errors import ConfigError
from seqloom.jobs import launched, refuse_launched

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def open_fabric(device: str, precision: str = "auto", *, divided: bool = False) -> Fabric:
    """Fabric on one device, or for all processes that were launched where the training is `divided` among them.

    `precision` as in `[train]`. ConfigError for a device or precision that is not there, and where several processes were
    launched for a training that is not divided.
    """
    from lightning_fabric import Fabric

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # else it tells what it was asked for
    n_processes = launched()
    if not divided:
        refuse_launched()
    kind, _, index = resolved_device(device).partition(":")
    numbers: Any = _precision(kind, precision)
    accelerator = "gpu" if kind == "cuda" else kind
    if n_processes > 1:
        return _launched_fabric(accelerator, kind, index, numbers)
    devices: Any = [int(index)] if index else 1
    return Fabric(accelerator=accelerator, devices=devices, precision=numbers)


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


def _precision(kind: str, precision: str) -> str:
    """As Fabric calls it. Older CUDA devices have bf16 by emulation only, which is slower than 32 bits."""
    if precision == "bf16" and kind == "mps":
        raise ConfigError("[train] precision = 'bf16' is not for mps; use auto or 32, or --device cpu")
    fast = kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if precision == "bf16" or (precision == "auto" and fast) else "32-true"


def _launched_fabric(accelerator: str, kind: str, index: str, precision: Any) -> Fabric:
    """Fabric of all processes: gradients are averaged over them; buffers are left to the steps, as masks of dropout are some."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

    n_here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    if launched() % n_here:
        raise ConfigError(
            f"{launched()} processes were launched, {n_here} of them on this machine; every machine needs as many as any "
            "other: give all of them the same --nproc-per-node"
        )
    n_devices = torch.cuda.device_count() if kind == "cuda" else n_here
    if index or kind == "mps" or n_here > n_devices:
        found = f"; this machine has {n_devices} for {n_here} processes" if kind == "cuda" else ""
        raise ConfigError(
            f"[train] device = {kind + (':' + index if index else '')!r}: each process takes a device of its own{found}; use "
            "--device cuda and as many processes as there are devices, or --device cpu"
        )
    known = signature(DistributedDataParallel).parameters
    apart: dict[str, Any] = {
        "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False
    }  # what torch calls it since 2.13, and before
    fabric = Fabric(
        accelerator=accelerator,
        devices=n_here,
        num_nodes=launched() // n_here,
        precision=precision,
        strategy=DDPStrategy(process_group_backend="nccl" if kind == "cuda" else "gloo", **apart),
        plugins=[TorchElasticEnvironment()],
    )
    fabric.launch()
    return fabric
