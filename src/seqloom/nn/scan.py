"""A recurrent layer over time, for any cell: the loop over steps, forward and backward.

A scan runs over G groups side by side, each with weights and rows of its own: the directions of a layer, and under
`torch.func.vmap` those of all stacked members. Rows are aligned to the right: the state is 0 before the first symbol, and all
rows end at the last step. The axes are steps, groups, units, rows: (L, G, D, B). The result cannot be differentiated twice.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from seqloom.nn.cells import CELLS, Cell, Step


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
_BACKWARD_AXES = (0, 1, 0, 0, 0, 0, 1, 1, 1, 1)
"""Where groups stand in what `_Scan` and `_ScanBackward` take."""


class _Scan(Function):
    """The last state (G, H, B), all states (L + 1, G, H, B) from before the first step on, what is read, gates and memory.

    What a step reads stands together, (G, H + 1 + D, B): the state, a 1 for the bias, and x. So do the weights: one product.
    """

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
        length, n_groups, depth, n_rows = x.shape
        width = of_state.shape[2]
        first, full = _spans(lengths, length)
        weights = _joined(kind, of_input, of_state, bias, bias_of_state)
        states = x.new_empty(length + 1, n_groups, width, n_rows)
        states[: first + 1] = 0
        read = x.new_empty(length - first, n_groups, width + 1 + depth, n_rows)
        read[0, :, :width] = 0
        read[:, :, width] = 1
        read[:, :, width + 1 :] = x[first:]
        gates = x.new_empty(length - first, n_groups, kind.gates * width, n_rows)
        memory = x.new_empty(length - first + 1, n_groups, kind.memory * width, n_rows)
        memory[0] = 0
        parts = _parts(kind, width, depth)
        with torch.autocast(x.device.type, enabled=False):
            for step in range(first, length):
                own = step - first
                at = _step(step, first, states, gates, memory)
                if own:
                    read[own, :, :width] = at.before if drop is None else at.before * drop
                for made, of in parts:
                    reads = of if own else slice(max(of.start, width), of.stop)  # the first state is 0
                    torch.bmm(weights[:, made, reads], read[own, :, reads], out=at.a[:, made])
                if step < full:
                    kind.shut(at.a, _pad(lengths, length, step))
                kind.step(at)
        return states[-1].clone(), states, read, gates, memory

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        cell, x, lengths, of_input, of_state, _, _, drop = inputs
        ctx.cell = cell
        ctx.mark_non_differentiable(*output[2:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(lengths, of_input if x.requires_grad else None, of_state, drop, *output[1:])

    @staticmethod
    def backward(
        ctx: Any, d_last: Tensor | None, d_states: Tensor | None, *_: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        if d_last is None and d_states is None:
            return (None,) * 8
        kind, saved = CELLS[ctx.cell], ctx.saved_tensors
        dx, d = _ScanBackward.apply(ctx.cell, d_last, d_states, *saved)  # type: ignore[no-untyped-call]
        width = saved[2].shape[2]
        taking, giving = kind.inputs * width, kind.states * width
        d_input, d_state, d_bias = d[:, :taking, width + 1 :], d[:, -giving:, :width], d[:, :, width]
        d_bias_of_state = d_bias[:, taking:] if kind.gates > kind.inputs else None
        return (
            None,
            dx if ctx.needs_input_grad[1] else None,
            None,
            d_input,
            d_state,
            d_bias[:, :taking],
            d_bias_of_state,
            None,
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], cell: str, *tensors: Tensor | None) -> Any:
        return _folded(_Scan, info.batch_size, in_dims[1:], cell, tensors, _AXES, (0, 1, 1, 1, 1))


class _ScanBackward(Function):
    """Gradients of x and the joined weights; an operation of its own so that `vmap` can fold it, too.

    Without `of_input`, that of x is not asked for.
    """

    @staticmethod
    def forward(
        cell: str,
        d_last: Tensor | None,
        d_states: Tensor | None,
        lengths: Tensor,
        of_input: Tensor | None,
        of_state: Tensor,
        drop: Tensor | None,
        states: Tensor,
        read: Tensor,
        gates: Tensor,
        memory: Tensor,
    ) -> tuple[Tensor, ...]:
        kind = CELLS[cell]
        length, width = len(states) - 1, of_state.shape[2]
        first, full = _spans(lengths, length)
        n_groups, depth, n_rows = read.shape[1], read.shape[2] - width - 1, read.shape[3]
        dx = read.new_zeros(0, n_groups, 0, 0)
        if of_input is not None:
            dx = read.new_empty(length, n_groups, depth, n_rows)
            dx[:first] = 0
            to_input = of_input.transpose(1, 2)
        to_state = of_state.transpose(1, 2)
        d = read.new_zeros(n_groups, kind.gates * width, read.shape[2])
        da = torch.empty_like(gates[0])
        dh = (
            states.new_zeros(n_groups, width, n_rows)
            if d_last is None
            else d_last.clone(memory_format=torch.contiguous_format)
        )
        before = torch.empty_like(dh)
        dm = torch.zeros_like(memory[0])
        parts = _parts(kind, width, depth)
        with torch.autocast(read.device.type, enabled=False):
            for step in reversed(range(first, length)):
                own = step - first
                at = _step(step, first, states, gates, memory)
                if d_states is not None:
                    dh.add_(d_states[step + 1])
                if step < full:
                    dh.masked_fill_(_pad(lengths, length, step), 0)
                kind.back(dh, dm, da, at)
                if of_input is not None:
                    torch.bmm(to_input, da[:, : kind.inputs * width], out=dx[step])
                for made, of in parts:
                    d[:, made, of].baddbmm_(da[:, made], read[own, :, of].transpose(1, 2))
                if own:
                    torch.bmm(to_state, da[:, -kind.states * width :], out=before)
                    if drop is not None:
                        before.mul_(drop)
                    if kind.carries:
                        dh.add_(before)
                    else:
                        dh, before = before, dh
        return dx, d

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Nothing is kept: there is no second derivative."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], cell: str, *tensors: Tensor | None) -> Any:
        return _folded(_ScanBackward, info.batch_size, in_dims[1:], cell, tensors, _BACKWARD_AXES, (1, 0))


def _joined(kind: type[Cell], of_input: Tensor, of_state: Tensor, bias: Tensor, bias_of_state: Tensor | None) -> Tensor:
    """What every gate multiplies state, 1 and x with, (G, gates * H, H + 1 + D); 0 where it takes in one of them alone."""
    n_groups, _, width = of_state.shape
    joined = of_state.new_zeros(n_groups, kind.gates * width, width + 1 + of_input.shape[2])
    joined[:, -kind.states * width :, :width] = of_state
    joined[:, : kind.inputs * width, width] = bias
    if bias_of_state is not None:
        joined[:, kind.inputs * width :, width] = bias_of_state
    joined[:, : kind.inputs * width, width + 1 :] = of_input
    return joined


def _parts(kind: type[Cell], width: int, depth: int) -> list[tuple[slice, slice]]:
    """The products of a step, by which rows of gates are made and what they read: of all of it, or of x or the state alone."""
    cuts = (0, kind.gates - kind.states, kind.inputs, kind.gates)
    reads = (slice(width, width + 1 + depth), slice(0, width + 1 + depth), slice(0, width + 1))
    made = (slice(start * width, stop * width) for start, stop in pairwise(cuts))
    return [(rows, of) for rows, of in zip(made, reads, strict=True) if rows.start < rows.stop]


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
