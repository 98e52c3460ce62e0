"""The selective scan of Mamba-1, in plain torch with a backward of its own.

Per channel and state, h_t = exp(dt_t a) h_(t-1) + dt_t u_t b_t and y_t = c_t h_t (Gu and Dao 2023, arXiv:2312.00752, equation 2
with the discretisation of their code). Only the states at the ends of short stretches are kept; what lies between is computed
again on the way back. Nothing is divided by, and no decay is above 1, so neither long sequences nor strong decays overflow.

One step is one fused multiply and add over all rows, channels and states; all else is done for a stretch of steps at once.
Scans of log L passes took 10 and 64 times as long on a CPU (`bench/nets.py mamba`, 160 symbols).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function

STRETCH_NUMBERS = {"cpu": 2**18, "cuda": 2**26}
"""Numbers of a (steps, rows, N, D) array: on a CPU as many as stay in its caches, on a GPU enough to keep it busy."""
SHORTEST_STRETCH = 4
"""Steps: the states kept are at most this part of all."""


def selective_scan(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """y (G, B, L, D) of the recurrence above, from states of zeros, for G independent sets of rows and `a`.

    u, dt (G, B, L, D), dt >= 0; a (G, D, N), negative; b, c (G, B, L, N). A step with dt = 0 leaves the state as it is. Numbers
    in half precision are scanned in single precision. The result cannot be differentiated twice.
    """
    with torch.autocast(u.device.type, enabled=False):
        y, _ = Scan.apply(*(_at_least_single(each) for each in (u, dt, a, b, c)))  # type: ignore[no-untyped-call]
    return cast(Tensor, y)


class Scan(Function):
    """The recurrence; keeps its inputs and the state before each stretch."""

    @staticmethod
    def forward(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """y (G, B, L, D) and the states (stretches, G, B, N, D)."""
        line = _TimeFirst(u, dt, a, b, c)
        y = torch.empty_like(line.drive)  # (L, G, B, 1, D)
        starts = line.drive.new_zeros((len(line.stretches), *line.state_shape))
        decay, h = line.buffer(), line.buffer()
        for number, steps in enumerate(line.stretches):
            n = steps.stop - steps.start
            last = line.run(steps, starts[number], decay, h)
            if number + 1 < len(starts):
                starts[number + 1].copy_(last)
            _product(line.c[steps].transpose(-1, -2), h[:n], y[steps])
        return _time_back(y.squeeze(3)), starts

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Inputs and states are all that is kept."""
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx: Any, dy: Tensor, _: Tensor) -> Any:
        """Gradients of the five inputs."""
        return ScanGradients.apply(dy, *ctx.saved_tensors)  # type: ignore[no-untyped-call]

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Any, Any]:
        """Members are further sets G."""
        folded = _folded(inputs, in_dims, (0,) * 5, info.batch_size)
        y, starts = Scan.apply(*folded)  # type: ignore[no-untyped-call]
        return (_unfolded(y, 0, info.batch_size), _unfolded(starts, 1, info.batch_size)), (0, 1)


class ScanGradients(Function):
    """The backward of `Scan`: a function of its own, so that it too can be mapped over members."""

    @staticmethod
    def forward(
        dy: Tensor, u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, starts: Tensor
    ) -> tuple[Tensor, ...]:
        """Gradients of u, dt, a, b, c.

        With g_t the gradient of h_t: g_(t-1) += exp(dt_t a) g_t, and dt_t a has the gradient exp(dt_t a) g_t h_(t-1).
        """
        line = _TimeFirst(u, dt, a, b, c)
        dy = _time_first(dy).unsqueeze(-2)  # (L, G, B, 1, D)
        d_drive, d_dt = torch.empty_like(line.drive), torch.empty_like(line.drive)
        d_b, d_c = torch.empty_like(line.b), torch.empty_like(line.c)
        d_a, carry = (line.drive.new_zeros(line.state_shape) for _ in range(2))
        decay, h, g = line.buffer(), line.buffer(), line.buffer()
        for number, steps in reversed(list(enumerate(line.stretches))):
            n = steps.stop - steps.start
            line.run(steps, starts[number], decay, h)
            torch.mul(dy[steps], line.c[steps], out=g[:n])
            decays, gradients = decay[:n].unbind(0), g[:n].unbind(0)
            gradients[-1].add_(carry)
            for t in range(n - 1, 0, -1):
                gradients[t - 1].add_(decays[t].mul_(gradients[t]))
            carry.copy_(decays[0].mul_(gradients[0]))
            _product(h[:n], dy[steps].transpose(-1, -2), d_c[steps])
            _product(g[:n], line.drive[steps].transpose(-1, -2), d_b[steps])
            _product(line.b[steps].transpose(-1, -2), g[:n], d_drive[steps])
            decay[1:n].mul_(h[: n - 1])
            decays[0].mul_(starts[number])  # decay now holds the gradients of dt a
            torch.mul(decay[:n], line.a, out=g[:n])
            torch.sum(g[:n], dim=-2, keepdim=True, out=d_dt[steps])
            for d_exponent, own_dt in zip(decays, line.dt[steps].unbind(0), strict=True):
                d_a.addcmul_(d_exponent, own_dt)
        d_drive, d_dt = _time_back(d_drive.squeeze(3)), _time_back(d_dt.squeeze(3))
        d_b, d_c = _time_back(d_b.squeeze(4)), _time_back(d_c.squeeze(4))
        return d_drive * dt, d_dt.addcmul_(d_drive, u), d_a.sum(1).transpose(1, 2), d_b, d_c

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        """Refused."""
        raise NotImplementedError("the selective scan has no second derivative")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Any, Any]:
        """Members are further sets G."""
        folded = _folded(inputs, in_dims, (0, 0, 0, 0, 0, 0, 1), info.batch_size)
        gradients = ScanGradients.apply(*folded)  # type: ignore[no-untyped-call]
        return tuple(_unfolded(each, 0, info.batch_size) for each in gradients), (0,) * 5


class _TimeFirst:
    """The inputs with time in front and states before channels, so that one step is one piece of memory."""

    def __init__(self, u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> None:
        n_sets, n_rows, length, width = u.shape
        self.state_shape = (n_sets, n_rows, a.shape[-1], width)
        self.a = a.transpose(1, 2).contiguous().unsqueeze(1)  # (G, 1, N, D)
        self.dt = _time_first(dt).unsqueeze(-2)  # (L, G, B, 1, D)
        self.drive = self.dt * _time_first(u).unsqueeze(-2)  # (L, G, B, 1, D)
        self.b, self.c = (_time_first(each).unsqueeze(-1) for each in (b, c))  # (L, G, B, N, 1)
        numbers = STRETCH_NUMBERS.get(u.device.type, STRETCH_NUMBERS["cuda"])
        one_step = max(n_sets * n_rows * a.shape[-1] * width, 1)
        self.n_steps = max(min(max(numbers // one_step, SHORTEST_STRETCH), length), 1)
        self.stretches = [slice(start, min(start + self.n_steps, length)) for start in range(0, length, self.n_steps)]

    def buffer(self) -> Tensor:
        """Room for one stretch, (steps, G, B, N, D)."""
        return self.drive.new_empty((self.n_steps, *self.state_shape))

    def run(self, steps: slice, start: Tensor, decay: Tensor, h: Tensor) -> Tensor:
        """The last state of these steps; fills `decay` with exp(dt a) and `h` with their states."""
        n = steps.stop - steps.start
        torch.mul(self.dt[steps], self.a, out=decay[:n]).exp_()
        torch.mul(self.drive[steps], self.b[steps], out=h[:n])
        last = start
        for own, own_decay in zip(h[:n].unbind(0), decay[:n].unbind(0), strict=True):
            last = own.addcmul_(own_decay, last)
        return last


def _product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """left @ right into the contiguous `out`, all leading axes as one."""
    torch.bmm(left.flatten(0, 2), right.flatten(0, 2), out=out.view(-1, *out.shape[-2:]))


def _time_first(x: Tensor) -> Tensor:
    return x.permute(2, 0, 1, 3).contiguous()  # (G, B, L, D) to (L, G, B, D)


def _time_back(x: Tensor) -> Tensor:
    return x.permute(1, 2, 0, 3).contiguous()


def _at_least_single(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _folded(
    inputs: Sequence[Tensor], in_dims: Sequence[int | None], axes: Sequence[int], n_members: int
) -> Iterator[Tensor]:
    """Inputs with the axis of members merged into the axis of sets, which is `axes` of each input."""
    for each, dim, axis in zip(inputs, in_dims, axes, strict=True):
        members = each.expand(n_members, *each.shape) if dim is None else each.movedim(dim, 0)
        yield members.movedim(0, axis).flatten(axis, axis + 1)


def _unfolded(x: Tensor, axis: int, n_members: int) -> Tensor:
    return x.reshape(*x.shape[:axis], n_members, -1, *x.shape[axis + 1 :])
