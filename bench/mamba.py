"""What the scans of Mamba cost beside naive ones; one JSON line per figure: CPU seconds, forward and backward.

`textbook` is the loop over time with autograd as the authors' reference has it (`selective_scan_ref` of state-spaces/mamba: all
decays and inputs in (B, D, L, N), one slice of them per step); `unbound` the same with time in front and taken apart once, the
fastest loop that autograd allows; `doubling` and `sweeps` are the scans of log L passes (Hillis and Steele 1986, by autograd;
Blelloch 1990, in place with a backward of its own). Medians of interleaved repeats in one process, one thread. `error` is the
largest difference to `textbook` of values and gradients, as a share of the largest number of each array.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from seqloom.nn.selective_scan import selective_scan
from seqloom.nn.ssd import CHUNK, state_space

Form = Callable[..., Tensor]
N_ROWS, LENGTH, WIDTH, STATE, HEAD_WIDTH = 32, 160, 128, 16, 32
BARS = {1: 8.0, 2: 16.0}
CHUNKS = (16, 64, 160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=N_ROWS)
    parser.add_argument("--length", type=int, default=LENGTH)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--state", type=int, default=STATE)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--textbook-repeats", type=int, default=3, help="it takes a hundred times as long")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = (arguments.rows, arguments.length, arguments.width, arguments.state)
    forms_1: dict[str, Form] = {
        "textbook": textbook, "ours": ours, "unbound": unbound, "doubling": doubling, "sweeps": sweeps
    }  # fmt: skip
    compared(1, forms_1, inputs_1(*sizes), arguments)
    forms_2: dict[str, Form] = {"textbook": textbook_2, "ours": ours_2, "unbound": unbound_2}
    forms_2 |= {f"chunks of {size}": lambda *each, size=size: ours_2(*each, chunk=size) for size in CHUNKS}
    compared(2, forms_2, inputs_2(*sizes), arguments)


def compared(version: int, forms: dict[str, Form], inputs: list[Tensor], arguments: argparse.Namespace) -> None:
    """Times and errors of all forms on these inputs, one line each."""
    weights = torch.randn_like(inputs[0])
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    found: dict[str, list[Tensor]] = {}
    for repeat in range(arguments.repeats):
        for name, form in forms.items():
            if name != "textbook" or repeat < arguments.textbook_repeats:
                taken, found[name] = timed(form, inputs, weights)
                seconds[name].append(taken)
    own = statistics.median(seconds["ours"])
    for name, times in seconds.items():
        median = statistics.median(times)
        line: dict[str, object] = {"figure": f"mamba_{version}_{name.replace(' ', '_')}", "seconds": round(median, 4)}
        line["error"] = float(f"{difference(found[name], found['textbook']):.1e}")
        line["times_ours"] = round(median / own, 2)
        if name == "textbook":
            line |= {"bar": BARS[version], "reached": median / own >= BARS[version]}
        sizes = f"B={arguments.rows} L={arguments.length} D={arguments.width} N={arguments.state}"
        heads = f" P={HEAD_WIDTH} chunk={CHUNK}" if version == 2 else ""
        print(json.dumps(line | {"protocol": f"cpu seconds, forward and backward, {sizes}{heads}"}), flush=True)


def timed(form: Form, inputs: Sequence[Tensor], weights: Tensor) -> tuple[float, list[Tensor]]:
    """CPU seconds of values and gradients, and these."""
    started = time.process_time()
    y = form(*inputs)
    gradients = torch.autograd.grad((y * weights).sum(), list(inputs))
    return time.process_time() - started, [y.detach(), *gradients]


def difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest, as a share of the largest number of each array."""
    return max(float((own - other).abs().max() / other.abs().max()) for own, other in zip(found, expected, strict=True))


def inputs_1(n_rows: int, length: int, width: int, state: int) -> list[Tensor]:
    """u, dt (B, L, D), a (D, N), b, c (B, L, N), as a fresh net has them."""
    made = torch.Generator().manual_seed(0)
    u, raw = (torch.randn(n_rows, length, width, generator=made) for _ in range(2))
    b, c = (torch.randn(n_rows, length, state, generator=made) for _ in range(2))
    a = -torch.arange(1.0, state + 1).repeat(width, 1)
    return [each.requires_grad_() for each in (u, functional.softplus(raw - 4), a, b, c)]


def inputs_2(n_rows: int, length: int, width: int, state: int) -> list[Tensor]:
    """x (B, L, H, P), dt (B, L, H), a (H,), b, c (B, L, N)."""
    made = torch.Generator().manual_seed(0)
    n_heads = width // HEAD_WIDTH
    x = torch.randn(n_rows, length, n_heads, HEAD_WIDTH, generator=made)
    raw = torch.randn(n_rows, length, n_heads, generator=made)
    b, c = (torch.randn(n_rows, length, state, generator=made) for _ in range(2))
    return [each.requires_grad_() for each in (x, functional.softplus(raw - 4), -torch.linspace(1, 16, n_heads), b, c)]


def ours(*inputs: Tensor) -> Tensor:
    """The scan of the package."""
    return selective_scan(*(each.unsqueeze(0) for each in inputs)).squeeze(0)


def ours_2(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, chunk: int = CHUNK) -> Tensor:
    """The state space of the package."""
    return state_space(x * dt.unsqueeze(-1), dt * a, b, c, chunk)


def textbook(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Mamba-1, in the layout and with the slices of its reference."""
    u, dt, b, c = (each.transpose(1, 2) for each in (u, dt, b, c))
    decay = torch.exp(torch.einsum("bdl,dn->bdln", dt, a))
    drive = torch.einsum("bdl,bnl,bdl->bdln", dt, b, u)
    h, y = decay.new_zeros(u.shape[0], *a.shape), []
    for t in range(u.shape[2]):
        h = decay[:, :, t] * h + drive[:, :, t]
        y.append(torch.einsum("bdn,bn->bd", h, c[:, :, t]))
    return torch.stack(y, dim=1)


def textbook_2(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Mamba-2 by the reference of Mamba-1, as its authors test it: channels have dt and decay of their head."""
    u, wide = x.flatten(2), dt.repeat_interleave(x.shape[-1], dim=2)
    rates = a.repeat_interleave(x.shape[-1]).unsqueeze(1).expand(-1, b.shape[-1])
    return textbook(u, wide, rates, b, c).view_as(x)


def unbound(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Mamba-1, step by step over arrays taken apart beforehand."""
    decay = torch.exp(torch.einsum("bld,dn->lbdn", dt, a)).unbind(0)
    drive = torch.einsum("bld,bln,bld->lbdn", dt, b, u).unbind(0)
    h, y = torch.zeros_like(decay[0]), []
    for own_decay, own_drive, own_c in zip(decay, drive, c.unbind(1), strict=True):
        h = own_decay * h + own_drive
        y.append(torch.einsum("bdn,bn->bd", h, own_c))
    return torch.stack(y, dim=1)


def unbound_2(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Mamba-2, step by step with one decay per head."""
    decay = torch.exp(dt * a)[..., None, None].unbind(1)
    drive = torch.einsum("blh,bln,blhp->lbhpn", dt, b, x).unbind(0)
    h, y = torch.zeros_like(drive[0]), []
    for own_decay, own_drive, own_c in zip(decay, drive, c.unbind(1), strict=True):
        h = own_decay * h + own_drive
        y.append(torch.einsum("bhpn,bn->bhp", h, own_c))
    return torch.stack(y, dim=1)


def doubling(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Mamba-1: after pass k every step has summed up the 2^k steps before it."""
    decay = torch.exp(torch.einsum("bld,dn->blnd", dt, a))
    h = (dt * u).unsqueeze(2) * b.unsqueeze(3)
    reach = 1
    while reach < u.shape[1]:
        h = torch.cat([h[:, :reach], torch.addcmul(h[:, reach:], decay[:, reach:], h[:, :-reach])], 1)
        decay = torch.cat([decay[:, :reach], decay[:, reach:] * decay[:, :-reach]], 1)
        reach *= 2
    return (c.unsqueeze(2) @ h).squeeze(2)


def sweeps(*inputs: Tensor) -> Tensor:
    """Mamba-1: up and down a tree of steps."""
    y: Tensor = Sweeps.apply(*inputs)[0]
    return y


class Sweeps(torch.autograd.Function):
    """All states are kept; the way back is the same scan from the other end."""

    @staticmethod
    def forward(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        decay = torch.exp(dt.transpose(0, 1).unsqueeze(2) * a.t())  # (L, B, N, D)
        h = swept((dt * u).transpose(0, 1).unsqueeze(2) * b.transpose(0, 1).unsqueeze(3), decay)
        return (c.transpose(0, 1).unsqueeze(2) @ h).squeeze(2).transpose(0, 1), h

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx, dy, _):  # type: ignore[no-untyped-def, override]
        u, dt, a, b, c, h = ctx.saved_tensors
        rows = [each.transpose(0, 1).unsqueeze(2) for each in (dt, dt * u, dy)]  # (L, B, 1, D)
        b_row, c_row = (each.transpose(0, 1).unsqueeze(2) for each in (b, c))  # (L, B, 1, N)
        decay = torch.exp(rows[0] * a.t())
        following = functional.pad(decay[1:].flip(0), (0, 0, 0, 0, 0, 0, 1, 0))
        g = swept((rows[2] * c_row.transpose(2, 3)).flip(0), following).flip(0)
        d_c, d_b = (
            (left @ right.transpose(2, 3)).squeeze(3).transpose(0, 1) for left, right in ((h, rows[2]), (g, rows[1]))
        )
        d_drive = (b_row @ g).squeeze(2).transpose(0, 1)
        exponent = decay.mul_(g)
        exponent[1:] *= h[:-1]
        exponent[0] = 0
        d_dt, d_a = (exponent * a.t()).sum(2).transpose(0, 1), (exponent * rows[0]).sum((0, 1))
        return d_drive * dt, d_dt + d_drive * u, d_a.t(), d_b, d_c


def swept(h: Tensor, decay: Tensor) -> Tensor:
    """h_t + decay_t h_(t-1) + ... in place, (L, B, N, D); `decay` is used up."""
    length, step = len(h), 1
    while 2 * step <= length:
        right = slice(2 * step - 1, length, 2 * step)
        left = slice(step - 1, len(range(length)[right]) * 2 * step - step, 2 * step)
        h[right].addcmul_(decay[right], h[left])
        decay[right].mul_(decay[left])
        step *= 2
    while step:
        right = slice(3 * step - 1, length, 2 * step)
        left = slice(2 * step - 1, len(range(length)[right]) * 2 * step, 2 * step)
        h[right].addcmul_(decay[right], h[left])
        step //= 2
    return h


if __name__ == "__main__":
    main()
