"""The one optimisation loop: epochs, schedule, valid loss, early stopping, checkpoints, curves. Fabric places it on a device.

What is repeated is a Step; the loop knows nothing of losses or data beyond it. Every epoch is a function of (seed, epoch)
and the state before it, so a run that is cut off and started again ends in the same weights.
"""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from seqloom.errors import ConfigError, RunError
from seqloom.nn.dropout import rekey
from seqloom.training.settings import TrainSection

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CHECKPOINT_SECONDS = 10.0
"""Least time between checkpoints: a shorter training is simply done again."""
STEPS_OF_AN_EPOCH = 2**24
"""More than any epoch has, so that no two steps share a number."""
LAST_RATE = 0.01
"""The cosine schedule ends at this share of the highest learning rate."""


class Step(ABC):
    """What the loop repeats."""

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, Optimizer]

    @abstractmethod
    def batches(self, epoch: int) -> Iterator[Any]:
        """The batches of an epoch, in an order that depends on the epoch and the seed alone."""

    @abstractmethod
    def update(self, batch: Any, fabric: Fabric) -> Mapping[str, Tensor]:
        """One forward, backward and optimiser step; mean losses by name, left on the device."""

    @abstractmethod
    def validate(self) -> Mapping[str, float]:
        """Numbers after an epoch. `valid_loss` decides when to stop and which weights are kept."""


@dataclass(frozen=True)
class Epoch:
    """A line of the curves."""

    epoch: int
    lr: float
    train_loss: float
    valid_loss: float
    valid_score: float = math.nan
    test_score: float = math.nan


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


def optimise(
    step: Step,
    settings: TrainSection,
    epochs: int,
    seed: int,
    fabric: Fabric,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Epoch]:
    """The curves of at most `epochs` epochs, fewer if the valid loss stops falling; the modules keep the best epoch's weights.

    With a folder, the state is kept there and a call after an interruption goes on from it.
    """
    state = _Progress.start(step)
    if folder is not None:
        state = _resumed(step, folder) or state
    last_saved = time.monotonic()
    while state.epoch < epochs and state.stale < settings.patience:
        _one_epoch(step, learning_rate(settings, state.epoch, epochs), seed, fabric, state)
        if progress is not None:
            progress(state.epoch, epochs)
        if folder is not None and time.monotonic() - last_saved > CHECKPOINT_SECONDS:
            _save(step, state, folder)
            last_saved = time.monotonic()
    if not math.isfinite(state.best_loss):
        raise RunError(
            f"training diverged: the loss on valid rows was no finite number in any of {state.epoch} epochs; "
            f"lower the learning rate, now {settings.lr:g}, with --set train.lr={settings.lr / 10:g}"
        )
    for name, module in step.modules.items():
        module.load_state_dict({key: state.best[f"{name}/{key}"] for key in module.state_dict()})
    return state.curve


@dataclass
class _Progress:
    epoch: int
    stale: int
    best_loss: float
    best: dict[str, Tensor]
    curve: list[Epoch]

    @staticmethod
    def start(step: Step) -> _Progress:
        return _Progress(0, 0, math.inf, _weights(step), [])


def _one_epoch(step: Step, rate: float, seed: int, fabric: Fabric, state: _Progress) -> None:
    torch.manual_seed((seed * 1_000_003 + state.epoch) % 2**63)
    for optimizer in step.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = rate
    for module in step.modules.values():
        module.train()
    total, n_batches = torch.zeros((), device=fabric.device), 0
    for number, batch in enumerate(step.batches(state.epoch)):
        for module in step.modules.values():
            rekey(module, seed, state.epoch * STEPS_OF_AN_EPOCH + number)
        total += step.update(batch, fabric)["loss"].detach()
        n_batches += 1
    for module in step.modules.values():
        module.eval()
    numbers = step.validate()
    state.curve.append(Epoch(state.epoch, rate, float(total) / max(n_batches, 1), **numbers))
    state.epoch += 1
    if numbers["valid_loss"] < state.best_loss:
        state.best_loss, state.best, state.stale = numbers["valid_loss"], _weights(step), 0
    else:
        state.stale += 1


def learning_rate(settings: TrainSection, epoch: int, epochs: int) -> float:
    """The rate of an epoch (0-based) of `epochs`."""
    if settings.schedule == "constant" or epochs == 1:
        return settings.lr
    share = 0.5 * (1 + math.cos(math.pi * epoch / (epochs - 1)))
    return settings.lr * (LAST_RATE + (1 - LAST_RATE) * share)


def _weights(step: Step) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value.detach().clone()
        for name, module in step.modules.items()
        for key, value in module.state_dict().items()
    }


def _save(step: Step, state: _Progress, folder: Path) -> None:
    tensors = {f"weights/{key}": value for key, value in _weights(step).items()}
    tensors |= {f"best/{key}": value for key, value in state.best.items()}
    for name, optimizer in step.optimizers.items():
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{name}/{index}/{slot}": torch.as_tensor(value) for slot, value in slots.items()}
    facts = {"epoch": state.epoch, "stale": state.stale, "best_loss": state.best_loss}
    metadata = {"progress": json.dumps(facts), "curve": json.dumps([asdict(line) for line in state.curve])}
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / "state.safetensors.tmp"
    save_file({key: value.contiguous() for key, value in tensors.items()}, draft, metadata)
    draft.replace(folder / "state.safetensors")


def _resumed(step: Step, folder: Path) -> _Progress | None:
    path = folder / "state.safetensors"
    if not path.exists():
        return None
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    for name, module in step.modules.items():
        module.load_state_dict({key: tensors[f"weights/{name}/{key}"] for key in module.state_dict()})
    for name, optimizer in step.optimizers.items():
        whole = optimizer.state_dict()
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"optimizer/{name}/"):
                _, _, index, slot = key.split("/")
                slots.setdefault(int(index), {})[slot] = value
        whole["state"] = slots
        optimizer.load_state_dict(whole)
    facts = json.loads(metadata["progress"])
    best = {key.removeprefix("best/"): value for key, value in tensors.items() if key.startswith("best/")}
    curve = [Epoch(**line) for line in json.loads(metadata["curve"])]
    return _Progress(facts["epoch"], facts["stale"], facts["best_loss"], best, curve)
