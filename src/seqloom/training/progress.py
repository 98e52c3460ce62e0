"""How far a training is: its weights, their best, their mean and its curve, kept on disk to go on from."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from seqloom.training.step import Epoch, Step, Training

FILE = "state.safetensors"
NUMBERS = ("epoch", "stale", "best_loss", "updates", "steps", "loss", "rate", "seconds")


@dataclass
class Progress:
    """The state of a training after some epochs, and some steps of the next."""

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
    steps: int = 0
    """Of the epoch in hand that are done."""
    loss: float = 0.0
    """Sum of their losses."""
    rate: float = 0.0
    """Sum of their rates."""
    seconds: float = 0.0
    """That the epochs done have taken."""
    stream: dict[str, Tensor] = field(default_factory=dict)
    """Where torch's own streams of random numbers stood after them."""

    def is_done(self, training: Training) -> bool:
        """Whether no epoch is left, no time, or the valid loss has not fallen for too long."""
        late = self.seconds >= training.seconds
        return self.epoch >= training.epochs or self.stale >= training.settings.patience or late


class Keeper:
    """Keeps the state of trainings in a folder, if there is one."""

    def __init__(self, trainings: Sequence[Training], states: Sequence[Progress], folder: Path | None) -> None:
        self.trainings, self.states, self.folder = trainings, states, folder
        self.last = time.monotonic()

    def is_due(self, seconds: float) -> bool:
        """Whether the state was last kept more than so long ago."""
        return self.folder is not None and time.monotonic() - self.last > seconds

    def keep(self, seconds: float) -> None:
        """Keep it if that is due."""
        if self.folder is not None and self.is_due(seconds):
            save(self.trainings, self.states, self.folder)
            self.last = time.monotonic()


def begin(trainings: Sequence[Training], folder: Path | None) -> list[Progress]:
    """Where each training was left in `folder`, its modules and optimisers put back with it; else its start."""
    held = _read(folder / FILE) if folder is not None and (folder / FILE).exists() else {}
    return [
        _resumed(training.step, *held[training.name])
        if training.name in held
        else Progress(weights(training.step), [], {})
        for training in trainings
    ]


def save(trainings: Sequence[Training], states: Sequence[Progress], folder: Path) -> None:
    """Keep all of them in one file of `folder`, so that none is ever found ahead of the others."""
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for number, (training, state) in enumerate(zip(trainings, states, strict=True)):
        held = {f"weights/{key}": value for key, value in weights(training.step).items()}
        held |= {f"best/{key}": value for key, value in state.best.items()}
        held |= {f"mean/{key}": value for key, value in state.mean.items()}
        held |= {f"stream/{key}": value for key, value in state.stream.items()}
        for name, optimizer in training.step.optimizers.items():
            for index, slots in optimizer.state_dict()["state"].items():
                held |= {f"optimizer/{name}/{index}/{slot}": torch.as_tensor(value) for slot, value in slots.items()}
        tensors |= {f"{number}/{key}": value.contiguous() for key, value in held.items()}
        facts = {name: getattr(state, name) for name in NUMBERS}
        curve = [asdict(line) for line in state.curve]
        metadata[str(number)] = json.dumps({"name": training.name, "progress": facts, "curve": curve})
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{FILE}.tmp"
    save_file(tensors, draft, metadata)
    draft.replace(folder / FILE)


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


def stream() -> dict[str, Tensor]:
    """Where torch's streams of random numbers stand, by device."""
    found = {"cpu": torch.get_rng_state()}
    # Else nothing was drawn there, and to ask would take memory of every device.
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        found |= {f"cuda:{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())}
    return found


def put_stream(held: Mapping[str, Tensor]) -> None:
    """Put them back there; those of devices that are not here are passed over."""
    for device, state in held.items():
        if device == "cpu":
            torch.set_rng_state(state)
        elif torch.cuda.is_available() and int(device.removeprefix("cuda:")) < torch.cuda.device_count():
            torch.cuda.set_rng_state(state, device)


def _read(path: Path) -> dict[str, tuple[dict[str, Tensor], dict[str, Any]]]:
    """Tensors and facts of every training in the file, by its name."""
    with safe_open(path, "pt") as file:
        facts = {number: json.loads(text) for number, text in file.metadata().items()}
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    return {each["name"]: (_below(f"{number}/", tensors), each) for number, each in facts.items()}


def _resumed(step: Step, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Progress:
    put(step, _below("weights/", tensors))
    for name, optimizer in step.optimizers.items():
        whole = optimizer.state_dict()
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(f"optimizer/{name}/", tensors).items():
            index, slot = key.split("/")
            slots.setdefault(int(index), {})[slot] = value
        whole["state"] = slots
        optimizer.load_state_dict(whole)
    curve = [Epoch(**line) for line in facts["curve"]]
    here = {key: value.device for key, value in weights(step, copy=False).items()}
    best, mean = (
        {key: value.to(here[key]) for key, value in _below(f"{name}/", tensors).items()} for name in ("best", "mean")
    )
    return Progress(best, curve, mean, stream=_below("stream/", tensors), **facts["progress"])


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
