"""The one optimisation loop: epochs, schedule, valid loss, early stopping, checkpoints, curves. Fabric places it on a device.

What is repeated is a Step; the loop knows nothing of losses or data beyond it. Every step is a function of (seed, epoch, step)
and the state before it, so a run that is cut off and started again ends in the same weights. Several trainings may go side by
side, each step of all of them made at once by a function that the caller gives; each still has its own schedule, valid loss and
end. Where several processes train one net together, each runs this loop; what they agree on is in `world.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqloom.errors import RunError
from seqloom.interrupts import Asked, deferred
from seqloom.nn.dropout import Dropout, dropouts, rekey_layers
from seqloom.training.progress import Keeper, Progress, begin, put, put_stream, stream, weights
from seqloom.training.schedule import learning_rate
from seqloom.training.step import Epoch, Step, Together, Training
from seqloom.training.world import Poll, World

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CHECKPOINT_SECONDS = 10.0
"""Least time between checkpoints after epochs: a shorter training is simply done again."""
WITHIN_EPOCH_SECONDS = 300.0
"""Least time between checkpoints within an epoch."""


def optimise(training: Training, fabric: Fabric, folder: Path | None = None) -> list[Epoch]:
    """The curve of a training, whose modules end with the weights of the epoch of the lowest valid loss.

    With a folder, the state is kept there and a call after an interruption goes on from it.
    """
    return optimise_together([training], _one_by_one, fabric, folder)[0]


def optimise_together(
    trainings: Sequence[Training], together: Together, fabric: Fabric, folder: Path | None = None
) -> list[list[Epoch]]:
    """The curves of several trainings, side by side, each as by `optimise`.

    With several, the folder is left with their last state, until the caller has kept what came of all of them.
    """
    world = World.of(fabric)
    states = begin(trainings, folder)
    _refuse_apart(states, folder, world)
    keeper = Keeper(trainings, states, folder if world.is_first else None)
    # Processes that others started are told by these as well as by who ended all of them.
    told_twice = world.size > 1 or parent_process() is not None
    with deferred(repeated=told_twice) as asked:
        control = Control(keeper, asked, world, Poll(world))
        while live := [(t, s) for t, s in zip(trainings, states, strict=True) if not s.is_done(t)]:
            _one_epoch(live, together, fabric, control)
            for training, state in live:
                if training.progress is not None and world.is_first:
                    training.progress(state.epoch, training.epochs)
            keeper.keep(CHECKPOINT_SECONDS)
        if len(trainings) > 1:
            keeper.keep(-1.0)
        asked.to_stop = world.any(asked.to_stop)
    for training, state in zip(trainings, states, strict=True):
        _end(training, state)
    return [state.curve for state in states]


@dataclass(frozen=True)
class Control:
    """What may end an epoch early, and who has to know."""

    keeper: Keeper
    asked: Asked
    world: World
    poll: Poll


def _refuse_apart(states: Sequence[Progress], folder: Path | None, world: World) -> None:
    """RunError where processes have not found the same state to go on from."""
    found = world.of_all([(state.epoch, state.steps) for state in states])
    if any(each != found[0] for each in found):
        seen = "; ".join(
            f"process {rank}: " + ", ".join(f"epoch {epoch} step {steps}" for epoch, steps in each)
            for rank, each in enumerate(found)
        )
        raise RunError(
            f"{folder}: the processes do not see the same state of the training there ({seen}); keep the run on a disk "
            "that all of them share"
        )


def _one_by_one(steps: Sequence[Step], batches: Sequence[Any], fabric: Fabric) -> list[Tensor]:
    return [step.update(batch, fabric)["loss"] for step, batch in zip(steps, batches, strict=True)]


def _one_epoch(live: Sequence[tuple[Training, Progress]], together: Together, fabric: Fabric, control: Control) -> None:
    """One epoch of every training in hand, or what was left of it; KeyboardInterrupt between two steps if that is asked."""
    started = time.monotonic()
    trainings, states = [training for training, _ in live], [state for _, state in live]
    first = max(state.steps for state in states)
    if len(live) == 1:  # for what draws from torch's own stream; several trainings cannot share one
        put_stream(states[0].stream) if first else torch.manual_seed(_stream_seed(trainings[0], states[0]))
    for training in trainings:
        for module in training.step.modules.values():
            module.train()
    losses = [torch.tensor(state.loss, device=fabric.device) for state in states]
    layers_of = [[dropouts(module) for module in training.step.modules.values()] for training in trainings]
    batches_of = [islice(training.step.batches(state.epoch), first, None) for training, state in live]
    for number, batches in enumerate(zip_longest(*batches_of), first):
        own = [i for i, batch in enumerate(batches) if batch is not None]
        for i in own:
            states[i].rate += _before_update(trainings[i], states[i], number, layers_of[i])
        made = together([trainings[i].step for i in own], [batches[i] for i in own], fabric)
        for i, loss in zip(own, made, strict=True):
            losses[i] += loss.detach()
            states[i].steps = number + 1
            _average(trainings[i], states[i])
        stops = control.poll.raised(control.asked.to_stop)
        if stops or control.keeper.is_due(WITHIN_EPOCH_SECONDS):
            for state, total in zip(states, losses, strict=True):
                state.loss, state.stream = float(total), stream()
            control.keeper.keep(-1.0)
        if stops:
            control.world.any()  # no process ends before the state is kept: its launcher would then end the others
            raise KeyboardInterrupt
    for training, state, loss in zip(trainings, states, losses, strict=True):
        n_batches = max(training.step.n_batches, 1)
        _close_epoch(training, state, float(loss) / n_batches, state.rate / n_batches, control.world)
        state.seconds += time.monotonic() - started


def _stream_seed(training: Training, state: Progress) -> int:
    return (training.seed * 1_000_003 + state.epoch) % 2**63


def _before_update(training: Training, state: Progress, number: int, layers_of: Sequence[Sequence[Dropout]]) -> float:
    """Rate and dropout masks of the step set; the rate that the optimisers now have."""
    step = training.step
    rate = learning_rate(training.settings, state.epoch + number / step.n_batches, training.epochs)
    for layers in layers_of:
        rekey_layers(layers, training.seed, state.epoch, number)
    groups = [group for optimizer in step.optimizers.values() for group in optimizer.param_groups]
    for group in groups:
        group["lr"] = rate * group.get("rate_share", 1.0)
    return float(groups[0]["lr"]) if groups else rate


def _average(training: Training, state: Progress) -> None:
    """Move the running means of the weights; in the first steps they follow faster, as they have less to remember."""
    if not training.settings.ema:
        return
    state.updates += 1
    share = 1 - min(training.settings.ema, (1 + state.updates) / (10 + state.updates))
    latest = weights(training.step, copy=False)
    if not state.mean:
        state.mean = {key: value.clone() for key, value in latest.items()}
        return
    for key, value in latest.items():
        if value.is_floating_point():
            state.mean[key].lerp_(value, share)
        else:
            state.mean[key].copy_(value)


def _close_epoch(training: Training, state: Progress, loss: float, rate: float, world: World) -> None:
    """Validate, write a line of the curve, keep the weights if they are the best."""
    step = training.step
    for module in step.modules.values():
        module.eval()
    last = weights(step) if state.mean else {}
    if state.mean:
        put(step, state.mean)
    numbers = world.of_first(step.validate())  # machines may round otherwise, and all have to stop alike
    state.curve.append(Epoch(state.epoch, rate, loss, **numbers))
    state.epoch, state.steps, state.loss, state.rate, state.stream = state.epoch + 1, 0, 0.0, 0.0, {}
    if numbers["valid_loss"] < state.best_loss:
        state.best_loss, state.best, state.stale = numbers["valid_loss"], weights(step), 0
    else:
        state.stale += 1
    if last:
        put(step, last)
    if step.recovered(state.best):
        state.mean = {key: value.clone() for key, value in state.best.items()} if state.mean else {}


def _end(training: Training, state: Progress) -> None:
    """Put back the best weights; RunError if no epoch had a valid loss."""
    if not math.isfinite(state.best_loss):
        lr, of = training.settings.lr, f" ({training.name})" if training.name else ""
        raise RunError(
            f"training diverged{of}: the loss on valid rows was no finite number in any of {state.epoch} epochs; "
            f"lower the learning rate, now {lr:g}, with --set train.lr={lr / 10:g}"
        )
    put(training.step, state.best)
    for module in training.step.modules.values():
        module.eval()
