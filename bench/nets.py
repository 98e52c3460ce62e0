"""How long nets take, as ratios to a named rival in the same process; one JSON line per figure, with its bar.

`python bench/nets.py [rnn]`: the parts to measure, all of them by default. CPU seconds on one thread, median of interleaved
repeats; random peptides, as the time does not depend on which they are.
"""

import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from seqloom.nn.dropout import rekey
from seqloom.predict.base import Dims
from seqloom.predict.net import Net
from seqloom.registry import build

REPEATS = 5
N_PEPTIDES, LENGTH, BATCH = 5756, 9, 128
N_MEMBERS = 15
RNN_SECONDS, DROPOUT_RATIO = 0.5, 2.0


def report(figure: str, value: float, unit: str, bar: float | None, protocol: str) -> None:
    """One line."""
    reached = {} if bar is None else {"bar": bar, "reached": value <= bar}
    print(
        json.dumps({"figure": figure, "value": round(value, 3), "unit": unit, **reached, "protocol": protocol}),
        flush=True,
    )


def medians(tasks: Mapping[str, Callable[[], None]]) -> dict[str, float]:
    """CPU seconds of each task, once each in turns after one run to warm up."""
    for task in tasks.values():
        task()
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(REPEATS):
        for name, task in tasks.items():
            started = time.process_time()
            task()
            taken[name].append(time.process_time() - started)
    return {name: statistics.median(each) for name, each in taken.items()}


def peptides(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """ids (n, 16) of 9-mers, as batches are padded, and targets (n, 1)."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((n, 16), np.int64)
    ids[:, :LENGTH] = rng.integers(1, 21, (n, LENGTH))
    return torch.from_numpy(ids), torch.from_numpy(rng.normal(size=(n, 1)).astype(np.float32))


class TorchLSTM(nn.Module):
    """The base net of `rnn` with torch's LSTM, given rows without padding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.dropout = nn.Embedding(21, 32), nn.Dropout(0.25)
        self.lstm, self.head = nn.LSTM(32, 50, batch_first=True, bidirectional=True), nn.Linear(100, 1)

    def forward(self, ids: Tensor, *_: Tensor) -> Tensor:
        """(B, 16) to (B, 1)."""
        _, (h, _) = self.lstm(self.embedding(ids[:, :LENGTH]))
        out: Tensor = self.head(self.dropout(torch.cat([h[0], h[1]], dim=1)))
        return out


def epoch_of(module: nn.Module) -> Callable[[], None]:
    """An epoch of training: forward, backward and a step of AdamW for every batch."""
    ids, y = peptides(N_PEPTIDES)
    mask, none = ids > 0, torch.zeros(N_PEPTIDES, 0)
    optimizer = torch.optim.AdamW(module.parameters(), 1e-3)

    def epoch() -> None:
        for number, rows in enumerate(torch.randperm(N_PEPTIDES).split(BATCH)):
            rekey(module, 0, number)
            loss = (module(ids[rows], mask[rows], none[rows]) - y[rows]).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return epoch


def recurrent(drop: str, **settings: object) -> nn.Module:
    """The base net of `rnn`."""
    recipe = build(
        "predictor", {"kind": "rnn", "cell": "lstm", "embed": 32, "hidden": 50, "head": [], "drop": drop, **settings}
    )
    assert isinstance(recipe, Net)
    return recipe.module(Dims("regression", 1, 1, vocabulary=21, longest=LENGTH, symbols=(20,))).train()


def members_together(drop: str) -> Callable[[], None]:
    """Forward and backward of one batch for each of the members, as one net."""
    modules = [recurrent(drop) for _ in range(N_MEMBERS)]
    parameters, buffers = stack_module_state(modules)
    ids, y = (each.unflatten(0, (N_MEMBERS, BATCH)) for each in peptides(N_MEMBERS * BATCH))
    mask, none = ids > 0, torch.zeros(N_MEMBERS, BATCH, 0)
    forward = vmap(lambda p, b, *own: functional_call(modules[0], (p, b), own))

    def step() -> None:
        for value in parameters.values():
            value.grad = None
        (forward(parameters, buffers, ids, mask, none) - y).square().mean().backward()

    return step


def members_one_by_one(modules: list[nn.Module]) -> Callable[[], None]:
    """The same, one after the other."""
    ids, y = (each.unflatten(0, (N_MEMBERS, BATCH)) for each in peptides(N_MEMBERS * BATCH))
    mask, none = ids > 0, torch.zeros(N_MEMBERS, BATCH, 0)

    def step() -> None:
        for member, module in enumerate(modules):
            module.zero_grad(set_to_none=True)
            (module(ids[member], mask[member], none[member]) - y[member]).square().mean().backward()

    return step


def rnn() -> None:
    """Bidirectional LSTMs against torch's, one and many, with and without variational dropout."""
    protocol = f"{N_PEPTIDES:,} 9-mers, batch {BATCH}, embed 32, hidden 50, both directions, AdamW"
    nets = {
        "torch": TorchLSTM(),
        "lstm00": recurrent("lstm00"),
        "lstm11": recurrent("lstm11"),
        "lstm111": recurrent("lstm111"),
    }
    taken = medians({name: epoch_of(net) for name, net in nets.items()})
    report("rnn_epoch_torch", taken["torch"], "CPU s", None, protocol)
    report("rnn_epoch_lstm00", taken["lstm00"], "CPU s", RNN_SECONDS, protocol)
    report("rnn_epoch_lstm00_to_torch", taken["lstm00"] / taken["torch"], "ratio", None, protocol)
    for name in ("lstm11", "lstm111"):
        report(f"rnn_epoch_{name}_to_lstm00", taken[name] / taken["lstm00"], "ratio", DROPOUT_RATIO, protocol)
    protocol = f"{N_MEMBERS} members, a batch of {BATCH} 9-mers each, forward and backward"
    tasks = {f"together_{drop}": members_together(drop) for drop in ("lstm00", "lstm11")}
    tasks["torch"] = members_one_by_one([TorchLSTM() for _ in range(N_MEMBERS)])
    tasks["alone_lstm11"] = members_one_by_one([recurrent("lstm11") for _ in range(N_MEMBERS)])
    taken = medians(tasks)
    report("rnn_members_lstm00_to_torch", taken["together_lstm00"] / taken["torch"], "ratio", None, protocol)
    report("rnn_members_lstm11_to_torch", taken["together_lstm11"] / taken["torch"], "ratio", None, protocol)
    report("rnn_members_lstm11_to_alone", taken["together_lstm11"] / taken["alone_lstm11"], "ratio", None, protocol)


PARTS = {"rnn": rnn}


def main() -> None:
    """The parts that are named, or all."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
