"""Members of one architecture trained as one batched net: the same steps, made by fewer and larger operations.

Weights stay with their members, each with its own optimiser; for a step they are stacked, the net is run once for all by
`torch.func.vmap`, and the gradients flow back to where the weights came from. Sequences of members differ, so batches are padded
to one width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn.functional import pad

from seqloom.predict.net import Supervised, supervised_loss
from seqloom.training.step import Step

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def update_together(steps: Sequence[Step], batches: Sequence[Any], fabric: Fabric) -> list[Tensor]:
    """One step of each member down the loss of its own batch; the losses, each a scalar on the device.

    Members whose batches differ in rows, as the last of an epoch may, take the step apart.
    """
    losses: dict[int, Tensor] = {}
    for n_rows in sorted({len(batch) for batch in batches}):
        own = [i for i, batch in enumerate(batches) if len(batch) == n_rows]
        made = _update([steps[i] for i in own], [batches[i] for i in own], fabric)
        losses |= dict(zip(own, made, strict=True))
    return [losses[i] for i in range(len(steps))]


def _update(steps: Sequence[Step], batches: Sequence[np.ndarray], fabric: Fabric) -> list[Tensor]:
    """The step of members whose batches have as many rows."""
    if len(steps) == 1:
        return [steps[0].update(batches[0], fabric)["loss"]]
    members = [step for step in steps if isinstance(step, Supervised)]
    assert len(members) == len(steps)
    inputs = _side_by_side([member.inputs_of(rows) for member, rows in zip(members, batches, strict=True)])
    targets = [member.targets(rows) for member, rows in zip(members, batches, strict=True)]
    y = torch.stack([each[0] for each in targets])
    bounds = _stacked_or_none([each[2] for each in targets], torch.zeros_like(targets[0][0]))
    weights = _stacked_or_none([each[3] for each in targets], torch.ones_like(targets[0][0]))
    with fabric.autocast():
        output = _forward(members, inputs)
    losses = vmap(supervised_loss, in_dims=(0, 0, None, _axis(bounds), _axis(weights)))(
        output, y, members[0].job.dims, bounds, weights
    )
    for member in members:
        for parameter in member.parameters.values():
            parameter.grad = None
    fabric.backward(losses.sum())
    for member in members:
        member.descend(fabric)
    return list(losses.detach().unbind())


def _forward(members: Sequence[Supervised], inputs: tuple[Tensor, ...]) -> Tensor:
    """Outputs of every member's module for its own inputs, (S, B, T); running buffers go back to their modules."""
    parameters = _stacked([member.parameters for member in members])
    held = [member.buffers for member in members]
    buffers = _stacked(held)
    base = members[0].bare

    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], *own: Tensor) -> Tensor:
        output: Tensor = functional_call(base, (parameters, buffers), own)
        return output

    output: Tensor = vmap(one, in_dims=(0, 0, *(0 for _ in inputs)))(parameters, buffers, *inputs)
    with torch.no_grad():
        for name, values in buffers.items():
            for own, value in zip(held, values, strict=True):
                own[name].copy_(value)
    return output


def _stacked(members: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([member[name] for member in members]) for name in members[0]}


def _side_by_side(inputs: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Inputs of all members stacked, sequences padded to one width."""
    if len(inputs[0]) == 1:
        return (torch.stack([each[0] for each in inputs]),)
    width = max(ids.shape[1] for ids, _, _ in inputs)
    padded = [
        (pad(ids, (0, width - ids.shape[1])), pad(mask, (0, width - mask.shape[1])), covariates)
        for ids, mask, covariates in inputs
    ]
    return tuple(torch.stack(each) for each in zip(*padded, strict=True))


def _stacked_or_none(values: Sequence[Tensor | None], absent: Tensor) -> Tensor | None:
    """The values of all members, `absent` where one has none; None where none has."""
    if all(value is None for value in values):
        return None
    return torch.stack([absent if value is None else value for value in values])


def _axis(values: Tensor | None) -> int | None:
    return None if values is None else 0
