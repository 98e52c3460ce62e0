"""What one recurrent cell does in one step, forward and backward: LSTM, GRU and the simple one (Elman).

Decides the arithmetic of the gates; the loop over steps and the products with weights are in `scan`. Gates are blocks of H units
of a (G, gates * H, B): units stand before rows, so that every block is in one piece.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

SHUT = -1e4
"""What goes into a gate that must stay shut: its sigmoid is 0, in float32 and float64."""

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


class Step(NamedTuple):
    """What a step of a cell reads and writes, in place."""

    a: Tensor  # (G, gates * H, B), the sums of all gates; after the step the gates themselves
    before: Tensor  # (G, H, B), the state before the step
    after: Tensor  # (G, H, B)
    kept: Tensor  # (G, memory * H, B), what the step before has kept
    keeps: Tensor  # (G, memory * H, B)


class Cell(ABC):
    """The arithmetic of a cell."""

    gates: ClassVar[int]
    """Blocks of H rows in `a`."""
    inputs: ClassVar[int]
    """Of these, the first so many take in the product with the input."""
    states: ClassVar[int]
    """And the last so many that with the state."""
    memory: ClassVar[int]
    """Blocks of H rows that are kept beside the state."""
    carries: ClassVar[bool]
    """Whether the state before a step takes part in that after it beside the gates."""
    order: ClassVar[str]
    """The gates by their letters in torch's documentation."""

    @staticmethod
    @abstractmethod
    def shut(a: Tensor, pad: Tensor) -> None:
        """Leave a state of 0 at 0 where `pad` (G, 1, B) is True; the sums do not hold the product with the state yet."""

    @staticmethod
    @abstractmethod
    def step(at: Step) -> None:
        """Make the state and memory after the step, and gates of their sums."""

    @staticmethod
    @abstractmethod
    def back(dh: Tensor, dm: Tensor, da: Tensor, at: Step) -> None:
        """Make `da`, the gradient of the sums, of those of state and memory after the step: dh (G, H, B), dm (G, memory * H, B).

        `dm` becomes that of the memory before the step. `dh`, where the cell carries the state, becomes what of it goes to the
        state before the step, but for what goes through the sums; elsewhere it is used up.
        """


class LSTM(Cell):
    """Hochreiter and Schmidhuber 1997 with forget gates, as `torch.nn.LSTM`.

    The three gates with a sigmoid stand side by side. The memory is c and tanh(c); of their gradients the
    second is room to work in.
    """

    gates, inputs, states, memory, carries, order = 4, 4, 4, 2, False, "oifg"

    @staticmethod
    def shut(a: Tensor, pad: Tensor) -> None:
        _block(a, 1, 4).masked_fill_(pad, SHUT)  # c stays 0

    @staticmethod
    def step(at: Step) -> None:
        width = at.after.shape[1]
        o, i, f, g = at.a.chunk(4, 1)
        at.a[:, : 3 * width].sigmoid_()
        tanh_(g)
        c, through = at.keeps.chunk(2, 1)
        torch.mul(f, at.kept[:, :width], out=c).addcmul_(i, g)
        torch.mul(o, tanh_(through.copy_(c)), out=at.after)

    @staticmethod
    def back(dh: Tensor, dm: Tensor, da: Tensor, at: Step) -> None:
        width = at.after.shape[1]
        o, i, f, g = at.a.chunk(4, 1)
        da_o, da_i, da_f, da_g = da.chunk(4, 1)
        through = at.keeps[:, width:]
        dc, room = dm.chunk(2, 1)
        torch.mul(dh, through, out=da_o)
        dc.add_(tanh_backward(dh.mul_(o), through, grad_input=room))
        torch.mul(dc, g, out=da_i)
        torch.mul(dc, at.kept[:, :width], out=da_f)
        sigmoids = da[:, : 3 * width]
        sigmoid_backward(sigmoids, at.a[:, : 3 * width], grad_input=sigmoids)
        tanh_backward(torch.mul(dc, i, out=da_g), g, grad_input=da_g)
        dc.mul_(f)


class GRU(Cell):
    """Cho et al. 2014 with the reset gate after the product, as `torch.nn.GRU`.

    n takes part of its sum from the input and, through r, part from the state, which has a block of its own, m.
    """

    gates, inputs, states, memory, carries, order = 4, 3, 3, 0, True, "nrzm"

    @staticmethod
    def shut(a: Tensor, pad: Tensor) -> None:
        _block(a, 2, 4).masked_fill_(pad, -SHUT)  # the state stays as it is

    @staticmethod
    def step(at: Step) -> None:
        width = at.after.shape[1]
        n, r, z, m = at.a.chunk(4, 1)
        at.a[:, width : 3 * width].sigmoid_()
        tanh_(n.addcmul_(r, m))
        torch.lerp(n, at.before, z, out=at.after)

    @staticmethod
    def back(dh: Tensor, dm: Tensor, da: Tensor, at: Step) -> None:  # noqa: ARG004 - it has no memory
        width = at.after.shape[1]
        n, r, z, m = at.a.chunk(4, 1)
        da_n, da_r, da_z, da_m = da.chunk(4, 1)
        torch.sub(at.before, n, out=da_z).mul_(dh)
        tanh_backward(torch.addcmul(dh, dh, z, value=-1, out=da_n), n, grad_input=da_n)
        torch.mul(da_n, m, out=da_r)
        torch.mul(da_n, r, out=da_m)
        sigmoids = da[:, width : 3 * width]
        sigmoid_backward(sigmoids, at.a[:, width : 3 * width], grad_input=sigmoids)
        dh.mul_(z)


class Simple(Cell):
    """Elman 1990 with tanh, as `torch.nn.RNN`."""

    gates, inputs, states, memory, carries, order = 1, 1, 1, 0, False, "h"

    @staticmethod
    def shut(a: Tensor, pad: Tensor) -> None:
        a.masked_fill_(pad, 0)

    @staticmethod
    def step(at: Step) -> None:
        at.after.copy_(tanh_(at.a))

    @staticmethod
    def back(dh: Tensor, dm: Tensor, da: Tensor, at: Step) -> None:  # noqa: ARG004 - it has no memory
        tanh_backward(dh, at.after, grad_input=da)


CELLS: dict[str, type[Cell]] = {"lstm": LSTM, "gru": GRU, "simple": Simple}


def tanh_(x: Tensor) -> Tensor:
    """x, which becomes its tanh. On a CPU by the sigmoid, 2 s(2x) - 1: torch's tanh takes as long as four such."""
    return x.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0) if x.device.type == "cpu" else x.tanh_()


def _block(a: Tensor, number: int, of: int) -> Tensor:
    width = a.shape[1] // of
    return a[:, number * width : (number + 1) * width]
