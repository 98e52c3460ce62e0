"""How long a step of training and a prediction take, as ratios to the same nets in the form of the original.

`python bench/step.py [predict|train] [--nets cnn,transformer,mamba]`: both parts by default; one JSON line per figure. The
original (`bench/originals.py`) is eager, in single precision, padded to 160; its Mamba goes step by step. Ours are the registered
nets at its sizes. CPU seconds on one thread for each molecule, medians of interleaved repeats, strings of `simulate library`.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from figures import report
from nets import unbound
from originals import (
    N_TARGETS,
    PADDED,
    OriginalCNN,
    OriginalMamba,
    OriginalTransformer,
    written_out_attention,
)
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from torch.nn import functional

from seqloom.alphabet import SMILES
from seqloom.compress.quantize import Form, fast_form
from seqloom.library import Library, LibrarySettings
from seqloom.nn.dropout import rekey
from seqloom.predict.base import Dims
from seqloom.predict.net import Net
from seqloom.registry import build
from seqloom.tokens import BUCKET_BATCHES, Tokens, bucketed
from seqloom.training.memory import kept_memory

TRAIN_BARS = {"cnn": 4.0, "transformer": 3.0, "mamba_1": 15.0, "mamba_2": 35.0}
PREDICT_BARS = {"cnn": 4.0, "transformer": 5.0, "mamba_1": 5.0, "mamba_2": 5.0}
AP_BAR = 0.001
FORMS: dict[str, Form] = {"float32": "float32", "int8": "int8", "ours": "auto"}
BATCHES = {"cnn": 64, "transformer": 8, "mamba_1": 4, "mamba_2": 4}
REPEATS = {"cnn": 5, "transformer": 2, "mamba_1": 2, "mamba_2": 2}
PREDICTED = 4
"""Batches, of widths spread over those of an epoch, that a timing of ours goes through."""
ACTIVE, TRAINED, HELD_OUT, TAUGHT = 0.2, 4096, 1024, 16
STEPS = {"cnn": 200, "transformer": 250, "mamba_1": 60, "mamba_2": 60}
RATES = {"transformer": 1e-4}
"""Where it is not 3e-4: norms after each sum want a low one, and a warm-up."""
WARM_UP = 30
OURS: dict[str, dict[str, object]] = {
    "cnn": {"kind": "cnn", "width": 64, "kernel": 3, "filters": (128, 256, 256, 256, 256), "norm": "batch",
            "pool": "mean", "head": (1024, 1024, 512), "dropout": 0.1},
    "transformer": {"kind": "transformer", "width": 512, "heads": 8, "layers": 7, "feed_forward": 2048,
                    "positions": "sinusoidal", "norm": "post", "dropout": 0.1},
    "mamba_1": {"kind": "mamba", "version": 1, "width": 256, "layers": 7, "bidirectional": "none", "pool": "mean"},
    "mamba_2": {"kind": "mamba", "version": 2, "width": 256, "layers": 7, "state": 64, "head_width": 64,
                "bidirectional": "none", "pool": "mean"},
}  # fmt: skip
"""Seven blocks of mamba have the parameters of the original's six with a gated net in each."""
ORIGINALS: dict[str, Callable[..., nn.Module]] = {
    "cnn": OriginalCNN, "transformer": OriginalTransformer, "mamba_1": OriginalMamba, "mamba_2": OriginalMamba
}  # fmt: skip

Inputs = tuple[Tensor, Tensor, Tensor]
Batches = list[tuple[Inputs, Tensor]]


class Molecules(NamedTuple):
    """Strings of a simulated library and which targets they bind."""

    tokens: Tokens
    y: Tensor  # float32 (N, T)

    @staticmethod
    def of(n: int, active: float) -> "Molecules":
        """The first n products."""
        table = Library.of(LibrarySettings(rows=n, active=active)).products(0, n)
        y = np.stack([table[f"target{number + 1}"].to_numpy() for number in range(N_TARGETS)], 1)
        return Molecules(SMILES.encode(table["smiles"]), torch.from_numpy(y.astype(np.float32)))

    def batch(self, rows: np.ndarray, width: int | None = None) -> tuple[Inputs, Tensor]:
        """What a net takes of these rows, and their targets."""
        made = self.tokens.padded(rows, width)
        inputs = torch.from_numpy(made.ids).long(), torch.from_numpy(made.mask), torch.zeros(len(rows), 0)
        return inputs, self.y[torch.from_numpy(rows)]

    def at_random(self, size: int, width: int | None = None, n: int = 1) -> Batches:
        """Batches as they come."""
        return [self.batch(np.arange(start, start + size), width) for start in range(0, n * size, size)]

    def bucketed(self, size: int) -> Batches:
        """Batches of similar length, evenly spread over those of an epoch."""
        rows = sorted(
            bucketed(self.tokens.lengths[: size * BUCKET_BATCHES], size, 0),
            key=lambda each: int(self.tokens.lengths[each].max()),
        )
        return [self.batch(rows[(2 * place + 1) * len(rows) // (2 * PREDICTED)]) for place in range(PREDICTED)]


class Task(NamedTuple):
    """What is timed: all batches once, in the surroundings that its form has."""

    run: Callable[[], object]
    n_rows: int
    around: Callable[[], AbstractContextManager[None]] = nullcontext


def train(names: Iterable[str]) -> None:
    """Steps of training: each trick alone on the original, and ours with all of them."""
    molecules = Molecules.of(8192, ACTIVE)
    for name in names:
        tasks = training_tasks(name, molecules, BATCHES[name])
        taken = seconds(tasks, REPEATS[name])
        for form, each in taken.items():
            bar = TRAIN_BARS[name] if form == "ours" else None
            figure, ratio = f"train_{name}_{form.replace(' ', '_')}", taken["original"] / each
            protocol = f"step of {BATCHES[name]} molecules, forward, backward and AdamW"
            report(figure, ratio, "x original", bar, protocol, at_least=True, seconds=round(each, 6))


def training_tasks(name: str, molecules: Molecules, size: int) -> dict[str, Task]:
    """Forms by name; `ours` trains in bfloat16 on batches of similar length, with memory kept."""
    padded, trimmed = molecules.at_random(size, PADDED), molecules.at_random(size, n=PREDICTED)
    alike = molecules.bucketed(size)
    dims = dims_of(molecules)
    vocabulary, made = dims.vocabulary, ORIGINALS[name]
    tasks = {"original": stepping(made(vocabulary), padded)}
    if name == "cnn":
        tasks["original trimmed"] = stepping(made(vocabulary), trimmed)
        tasks["original bucketed"] = stepping(made(vocabulary), alike)
        tasks["original channels last"] = stepping(OriginalCNN(vocabulary, channels_last=True), padded)
        tasks["original bf16"] = stepping(made(vocabulary), padded, half=True)
    if name == "transformer":
        tasks["original written out"] = stepping(OriginalTransformer(vocabulary, written_out_attention), padded)
        tasks["original bucketed"] = stepping(made(vocabulary), alike)
        tasks["original bf16"] = stepping(made(vocabulary), padded, half=True)
    if name.startswith("mamba"):
        tasks["original taken apart"] = stepping(OriginalMamba(vocabulary, unbound), padded)
    tasks["ours trimmed"] = stepping(ours(name, dims), trimmed, kept=True)
    tasks["ours bucketed"] = stepping(ours(name, dims), alike, kept=True)
    tasks["ours"] = stepping(ours(name, dims), alike, half=True, kept=True)
    return tasks


def predict(names: Iterable[str]) -> None:
    """Predictions of a net trained for a moment, in its forms, and the average precision of each."""
    molecules = Molecules.of(TRAINED + HELD_OUT, ACTIVE)
    for name in names:
        size = max(BATCHES[name], 8)
        net = taught(ours(name, dims_of(molecules)), molecules, STEPS[name], RATES.get(name, 3e-4))
        forms = {name_of: fast_form(net, form) for name_of, form in FORMS.items()}
        original = ORIGINALS[name](dims_of(molecules).vocabulary).eval()
        alike = molecules.bucketed(size)
        tasks = {"original": predicting(original, molecules.at_random(size, PADDED))}
        tasks |= {form: predicting(each, alike) for form, each in forms.items()}
        taken = seconds(tasks, REPEATS[name] + 1)
        precise = {form: precision(each, molecules) for form, each in forms.items()}
        for form in forms:
            bar = PREDICT_BARS[name] if form == "ours" else None
            figure, protocol = f"predict_{name}_{form}", f"batches of {size}, {HELD_OUT:,} held-out molecules"
            report(
                figure,
                taken["original"] / taken[form],
                "x original",
                bar,
                protocol,
                at_least=True,
                seconds=round(taken[form], 6),
            )
            loss = precise["float32"] - precise[form]
            bar = AP_BAR if form == "ours" else None
            report(f"{figure}_ap_loss", loss, "average precision", bar, protocol, of=round(precise["float32"], 4))


def ours(name: str, dims: Dims) -> nn.Module:
    """The registered net at the original's sizes."""
    recipe = build("predictor", OURS[name])
    assert isinstance(recipe, Net)
    return recipe.module(dims).train()


def dims_of(molecules: Molecules) -> Dims:
    """Of a net for these molecules."""
    n_symbols = int(molecules.tokens.values.max())
    longest = int(molecules.tokens.lengths.max())
    return Dims("multilabel", N_TARGETS, N_TARGETS, vocabulary=n_symbols + 1, longest=longest, symbols=(n_symbols,))


def stepping(module: nn.Module, batches: Batches, *, half: bool = False, kept: bool = False) -> Task:
    """A step for each batch; `half`: in bfloat16; `kept`: with memory and the fused AdamW as training has them."""
    optimizer = torch.optim.AdamW(module.parameters(), 1e-4, fused=kept)

    def run() -> None:
        for number, (inputs, y) in enumerate(batches):
            rekey(module, 0, number)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = module(*inputs)
            loss = functional.binary_cross_entropy_with_logits(logits.float(), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return Task(run, sum(len(y) for _, y in batches), kept_memory if kept else nullcontext)


def predicting(module: nn.Module, batches: Batches) -> Task:
    """Logits of all batches."""

    def run() -> None:
        with torch.no_grad():
            for inputs, _ in batches:
                module(*inputs)

    return Task(run, sum(len(y) for _, y in batches))


def seconds(tasks: dict[str, Task], repeats: int) -> dict[str, float]:
    """CPU seconds for each molecule, medians of turns; a run before each warms its surroundings."""
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            with task.around():
                task.run()
                started = time.process_time()
                task.run()
                taken[name].append((time.process_time() - started) / task.n_rows)
    return {name: statistics.median(each) for name, each in taken.items()}


def taught(module: nn.Module, molecules: Molecules, n_steps: int, rate: float) -> nn.Module:
    """The net after some steps on the first `TRAINED` molecules."""
    optimizer = torch.optim.AdamW(module.parameters(), rate, fused=True)
    rng = np.random.default_rng(0)
    for number in range(n_steps):
        optimizer.param_groups[0]["lr"] = rate * min((number + 1) / WARM_UP, 1.0)
        inputs, y = molecules.batch(rng.choice(TRAINED, TAUGHT, replace=False))
        rekey(module, 0, 0, number)
        with torch.autocast("cpu", torch.bfloat16):
            logits = module(*inputs)
        loss = functional.binary_cross_entropy_with_logits(logits.float(), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return module.eval()


@torch.no_grad()
def precision(module: nn.Module, molecules: Molecules) -> float:
    """Mean average precision of the targets over held-out molecules."""
    rows = np.arange(TRAINED, TRAINED + HELD_OUT)
    found = [(module(*inputs), y) for inputs, y in map(molecules.batch, np.split(rows, HELD_OUT // 64))]
    logits, y = (torch.cat(each).double().numpy() for each in zip(*found, strict=True))
    return float(np.mean([average_precision_score(y[:, each], logits[:, each]) for each in range(N_TARGETS)]))


PARTS = {"predict": predict, "train": train}
"""In this order: memory once kept by training is given back by other rules than those of a fresh process, to all forms alike."""


def main() -> None:
    """The parts and nets that are named, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--nets", default=",".join(OURS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for part in given.part or PARTS:
        PARTS[part](given.nets.split(","))


if __name__ == "__main__":
    main()
