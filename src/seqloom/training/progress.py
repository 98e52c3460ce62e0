"""How far a training is: its weights, their best, their mean and its curve, kept on disk to go on from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from seqloom.training.step import Epoch, Step, Training

FILE = "state.safetensors"


@dataclass
class Progress:
    """The state of a training after some epochs."""

    best: dict[str, Tensor]
    """Weights of the epoch with the lowest valid loss."""
    curve: list[Epoch]
    mean: dict[str, Tensor]
    """Running means of the weights where `ema` asks for them, else empty."""
    epoch: int = 0
    stale: int = 0
    """Epochs since the lowest valid loss."""
    best_loss: float = math.inf
    updates: int = 0
    """Steps whose weights are in the mean."""

    @staticmethod
    def of(training: Training) -> Progress:
        """Where the training was left in its folder, the step's modules and optimisers put back with it; else its start."""
        return _resumed(training) or Progress(weights(training.step), [], {})

    def is_done(self, training: Training) -> bool:
        """Whether no epoch is left, or the valid loss has not fallen for too long."""
        return self.epoch >= training.epochs or self.stale >= training.settings.patience

    def save(self, training: Training) -> None:
        """Keep all of it in the training's folder, if it has one."""
        if training.folder is None:
            return
        tensors = {f"weights/{key}": value for key, value in weights(training.step).items()}
        tensors |= {f"best/{key}": value for key, value in self.best.items()}
        tensors |= {f"mean/{key}": value for key, value in self.mean.items()}
        for name, optimizer in training.step.optimizers.items():
            for index, slots in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer/{name}/{index}/{slot}": torch.as_tensor(value) for slot, value in slots.items()}
        facts = {"epoch": self.epoch, "stale": self.stale, "best_loss": self.best_loss, "updates": self.updates}
        metadata = {"progress": json.dumps(facts), "curve": json.dumps([asdict(line) for line in self.curve])}
        training.folder.mkdir(parents=True, exist_ok=True)
        draft = training.folder / f"{FILE}.tmp"
        save_file({key: value.contiguous() for key, value in tensors.items()}, draft, metadata)
        draft.replace(training.folder / FILE)


def weights(step: Step, *, copy: bool = True) -> dict[str, Tensor]:
    """Weights and buffers of a step's modules by `module/name`: copies, or the tensors themselves."""
    return {
        f"{name}/{key}": value.detach().clone() if copy else value.detach()
        for name, module in step.modules.items()
        for key, value in module.state_dict().items()
    }


def put(step: Step, held: Mapping[str, Tensor]) -> None:
    """Copy weights of that form into the step's modules."""
    for name, module in step.modules.items():
        module.load_state_dict({key: held[f"{name}/{key}"] for key in module.state_dict()})


def _resumed(training: Training) -> Progress | None:
    if training.folder is None or not (training.folder / FILE).exists():
        return None
    step = training.step
    with safe_open(training.folder / FILE, "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    put(step, _below("weights/", tensors))
    for name, optimizer in step.optimizers.items():
        whole = optimizer.state_dict()
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(f"optimizer/{name}/", tensors).items():
            index, slot = key.split("/")
            slots.setdefault(int(index), {})[slot] = value
        whole["state"] = slots
        optimizer.load_state_dict(whole)
    curve = [Epoch(**line) for line in json.loads(metadata["curve"])]
    return Progress(_below("best/", tensors), curve, _below("mean/", tensors), **json.loads(metadata["progress"]))


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
