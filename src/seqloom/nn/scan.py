"""A recurrent layer over time, for any cell: the loop over steps, forward and backward.

A scan runs over G groups side by side, each with weights and rows of its own: the directions of a layer, and under
`torch.func.vmap` those of all stacked members. Rows are aligned to the right: the state is 0 before the first symbol, and all
rows end at the last step. The axes are steps, groups, units, rows: (L, G, D, B). The result cannot be differentiated twice.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from seqloom.nn.cells import CELLS, Step


class Weights(NamedTuple):
    """Of the G groups of a layer; how many gates there are, and in which order, is the cell's."""

    of_input: Tensor  # (G, inputs * H, D)
    of_state: Tensor  # (G, states * H, H)
    bias: Tensor  # (G, inputs * H)
    bias_of_state: Tensor | None = None  # (G, (gates - inputs) * H), where a gate takes in the state alone


class States(NamedTuple):
    """Of a scan."""

    last: Tensor  # (G, H, B), after the last symbol of each row; 0 where it has none
    every: Tensor  # (L, G, H, B), after every step; 0 before the first symbol of a row


def scan(cell: str, x: Tensor, lengths: Tensor, weights: Weights, drop: Tensor | None = None) -> States:
    """The states of x (L, G, D, B), whose rows have their symbols in the last `lengths` int64 (G, B) steps.

    `drop` (G, H, B) multiplies the state where gates read it, alike at every step and gate.
    """
    last, states, *_ = _Scan.apply(cell, x, lengths, *weights, drop)  # type: ignore[no-untyped-call]
    return States(last, states[1:])


_AXES = (1, 0, 0, 0, 0, 0, 0)
_BACKWARD_AXES = (0, 1, 1, 0, 0, 0, 0, 1, 1, 1)
"""Where groups stand in what `_Scan` and `_ScanBackward` take."""


class _Scan(Function):
    """The last state (G, H, B), all states (L + 1, G, H, B) from before the first step on, gates and memory of every step."""

    @staticmethod
    def forward(
        cell: str,
        x: Tensor,
        lengths: Tensor,
        of_input: Tensor,
        of_state: Tensor,
        bias: Tensor,
        bias_of_state: Tensor | None,
        drop: Tensor | None,
    ) -> tuple[Tensor, ...]:
        kind = CELLS[cell]
        length, n_groups, _, n_rows = x.shape
        width = of_state.shape[2]
        first, full = _spans(lengths, length)
        states = x.new_empty(length + 1, n_groups, width, n_rows)
        states[: first + 1] = 0
        gates = x.new_empty(length - first, n_groups, kind.gates * width, n_rows)
        memory = x.new_empty(length - first + 1, n_groups, kind.memory * width, n_rows)
        memory[0] = 0
        bias = bias.unsqueeze(2)
        with torch.autocast(x.device.type, enabled=False):
            for step in range(first, length):
                at = _step(step, first, states, gates, memory)
                a, before = at.a, at.before
                torch.baddbmm(bias, of_input, x[step], out=a[:, : kind.inputs * width])
                if bias_of_state is not None:
                    a[:, kind.inputs * width :] = bias_of_state.unsqueeze(2)
                if step < full:
                    kind.shut(a, _pad(lengths, length, step))
                a[:, -kind.states * width :].baddbmm_(of_state, before if drop is None else before * drop)
                kind.step(at)
        return states[-1].clone(), states, gates, memory

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        cell, x, lengths, of_input, of_state, _, _, drop = inputs
        ctx.cell = cell
        ctx.mark_non_differentiable(*output[2:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, lengths, of_input, of_state, drop, *output[1:])

    @staticmethod
    def backward(
        ctx: Any, d_last: Tensor | None, d_states: Tensor | None, *_: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        if d_last is None and d_states is None:
            return (None,) * 8
        saved = ctx.saved_tensors
        dx, *of_weights, of_state_bias = _ScanBackward.apply(ctx.cell, d_last, d_states, *saved)  # type: ignore[no-untyped-call]
        return None, dx, None, *of_weights, of_state_bias if of_state_bias.shape[1] else None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], cell: str, *tensors: Tensor | None) -> Any:
        return _folded(_Scan, info.batch_size, in_dims[1:], cell, tensors, _AXES, (0, 1, 1, 1))


class _ScanBackward(Function):
    """Gradients of x and the weights; an operation of its own so that `vmap` can fold it, too."""

    @staticmethod
    def forward(
        cell: str,
        d_last: Tensor | None,
        d_states: Tensor | None,
        x: Tensor,
        lengths: Tensor,
        of_input: Tensor,
        of_state: Tensor,
        drop: Tensor | None,
        states: Tensor,
        gates: Tensor,
        memory: Tensor,
    ) -> tuple[Tensor, ...]:
        kind = CELLS[cell]
        length, width = len(x), of_state.shape[2]
        first, full = _spans(lengths, length)
        dx = torch.empty_like(x)
        dx[:first] = 0
        d_input, d_state = torch.zeros_like(of_input), torch.zeros_like(of_state)
        da = torch.empty_like(gates[0])
        d_bias = da.new_zeros(da.shape[:2])
        from_input, from_state = da[:, : kind.inputs * width], da[:, -kind.states * width :]
        d = x.new_zeros(x.shape[1], (1 + kind.memory) * width, x.shape[3])
        dh = d[:, :width]
        if d_last is not None:
            dh.copy_(d_last)
        to_input, to_state = of_input.transpose(1, 2), of_state.transpose(1, 2)
        with torch.autocast(x.device.type, enabled=False):
            for step in reversed(range(first, length)):
                at = _step(step, first, states, gates, memory)
                if d_states is not None:
                    dh.add_(d_states[step + 1])
                if step < full:
                    dh.masked_fill_(_pad(lengths, length, step), 0)
                kind.back(d, da, at)
                torch.bmm(to_input, from_input, out=dx[step])
                d_input.baddbmm_(from_input, x[step].transpose(1, 2))
                read = at.before if drop is None else at.before * drop
                d_state.baddbmm_(from_state, read.transpose(1, 2))
                d_bias.add_(da.sum(2))
                if drop is None:
                    dh.baddbmm_(to_state, from_state)
                else:
                    dh.addcmul_(torch.bmm(to_state, from_state), drop)
        n_input = kind.inputs * width
        return dx, d_input, d_state, d_bias[:, :n_input].clone(), d_bias[:, n_input:].clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Nothing is kept: there is no second derivative."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], cell: str, *tensors: Tensor | None) -> Any:
        return _folded(_ScanBackward, info.batch_size, in_dims[1:], cell, tensors, _BACKWARD_AXES, (1, 0, 0, 0, 0))


def _folded(
    function: type[Function],
    size: int,
    dims: tuple[int | None, ...],
    cell: str,
    tensors: tuple[Tensor | None, ...],
    axes: tuple[int, ...],
    axes_out: tuple[int, ...],
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """The function of all members at once: they stand beside each other on the axis of groups."""
    flat: list[Tensor | None] = []
    for tensor, dim, axis in zip(tensors, dims, axes, strict=True):
        if tensor is None:
            flat.append(None)
            continue
        stacked = tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
        flat.append(stacked.movedim(0, axis).flatten(axis, axis + 1))
    outputs = function.apply(cell, *flat)  # type: ignore[no-untyped-call]
    unfolded = (
        each.unflatten(axis, (size, each.shape[axis] // size)) for each, axis in zip(outputs, axes_out, strict=True)
    )
    return tuple(unfolded), axes_out


def _step(step: int, first: int, states: Tensor, gates: Tensor, memory: Tensor) -> Step:
    own = step - first
    return Step(gates[own], states[step], states[step + 1], memory[own], memory[own + 1])


def _spans(lengths: Tensor, length: int) -> tuple[int, int]:
    """The steps at which the longest and the shortest row start; asked only of a CPU, where that costs no waiting."""
    if lengths.device.type != "cpu":
        return 0, length
    return length - max(int(lengths.max()), 1), length - int(lengths.min())


def _pad(lengths: Tensor, length: int, step: int) -> Tensor:
    """bool (G, 1, B): the row has not begun at this step."""
    return (lengths < length - step).unsqueeze(1)
