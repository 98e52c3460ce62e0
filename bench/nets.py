"""How long nets take, as ratios to a named rival in the same process; one JSON line per figure, with its bar.

`python bench/nets.py [rnn|members|mamba]`: the parts to measure, all of them by default. CPU seconds on one thread, median of
interleaved repeats; random peptides, as the time does not depend on which they are. `members` and `rnn` time recurrent nets,
`mamba` its scans.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from figures import REPEATS, medians, report
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from seqloom.encode.base import Inputs
from seqloom.nn.dropout import rekey
from seqloom.nn.selective_scan import selective_scan
from seqloom.nn.ssd import CHUNK, state_space
from seqloom.predict.base import Dims, Examples, Job
from seqloom.predict.net import Net
from seqloom.registry import build
from seqloom.tokens import Tokens
from seqloom.training.settings import TrainSection

N_PEPTIDES, LENGTH, BATCH = 5756, 9, 128
N_MEMBERS = 15
N_FOLDS, MEMBER_EPOCHS, MEMBERS_RATIO = 3, 2, 2.0
RNN_SECONDS, DROPOUT_RATIO = 0.5, 2.0


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


def base_rnn(cell: str, drop: str) -> tuple[Net, Dims]:
    """The base net of `rnn`, and its sizes."""
    recipe = build("predictor", {"kind": "rnn", "cell": cell, "embed": 32, "hidden": 50, "head": [], "drop": drop})
    assert isinstance(recipe, Net)
    return recipe, Dims("regression", 1, 1, vocabulary=21, longest=LENGTH, symbols=(20,))


def recurrent(drop: str) -> nn.Module:
    """The base net with an LSTM, to train."""
    recipe, dims = base_rnn("lstm", drop)
    return recipe.module(dims).train()


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


class Rows(Dataset[tuple[Tensor, Tensor]]):
    """Peptides and targets, one row at a time."""

    def __init__(self, ids: Tensor, y: Tensor) -> None:
        self.ids, self.y = ids, y

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        return self.ids[row], self.y[row]


def training_rows() -> list[np.ndarray]:
    """The training rows of every member: seeds of each of the folds."""
    folds = np.arange(N_PEPTIDES) % N_FOLDS
    return [np.flatnonzero(folds != fold) for fold in range(N_FOLDS) for _ in range(N_MEMBERS // N_FOLDS)]


def trained_one_by_one(epochs: int) -> Callable[[], None]:
    """Each member a net with torch's LSTM, its rows through a DataLoader; nothing is validated."""
    ids, y = peptides(N_PEPTIDES)

    def train() -> None:
        for rows in training_rows():
            module = TorchLSTM()
            optimizer = torch.optim.AdamW(module.parameters(), 1e-3)
            loader = DataLoader(Rows(ids[rows], y[rows]), batch_size=BATCH, shuffle=True)
            for _ in range(epochs):
                for own_ids, own_y in loader:
                    loss = (module(own_ids) - own_y).square().mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()

    return train


def trained_together(cell: str, epochs: int) -> Callable[[], None]:
    """The members by `Net.fit_members`; one valid row, so that validation costs nothing."""
    ids, y = peptides(N_PEPTIDES)
    recipe, dims = base_rnn(cell, "lstm00")

    def examples(rows: np.ndarray) -> Examples:
        tokens = Tokens(ids[rows, :LENGTH].numpy().astype(np.uint8).ravel(), np.arange(len(rows) + 1) * LENGTH)
        inputs = Inputs(tokens=tokens, covariates=np.zeros((len(rows), 0), np.float32))
        return Examples(inputs, y[rows].double().numpy())

    settings = TrainSection(epochs=epochs, batch=BATCH, device="cpu")
    given = [
        (examples(rows), examples(rows[:1]), Job(dims, seed, settings)) for seed, rows in enumerate(training_rows())
    ]
    return lambda: void(recipe.fit_members(given))


def void(_: object) -> None:
    """Nothing."""


def members() -> None:
    """Members trained side by side against those trained one by one, whole epochs."""
    protocol = f"{N_MEMBERS} members ({N_FOLDS} folds of {N_PEPTIDES:,} 9-mers), batch {BATCH}, {MEMBER_EPOCHS} epochs"
    tasks = {cell: trained_together(cell, MEMBER_EPOCHS) for cell in ("lstm", "gru", "simple")}
    tasks["torch"] = trained_one_by_one(MEMBER_EPOCHS)
    taken = medians(tasks, 3)
    each = N_MEMBERS * MEMBER_EPOCHS
    for name, seconds in taken.items():
        report(f"members_epoch_{name}", seconds / each, "CPU s for each member", None, protocol)
    report("members_torch_to_lstm", taken["torch"] / taken["lstm"], "ratio", MEMBERS_RATIO, protocol, at_least=True)


# --- mamba ------------------------------------------------------------------------------------------------------------

Form = Callable[..., Tensor]
ROWS, SYMBOLS, WIDTH, STATE, HEAD_WIDTH = 32, 160, 128, 16, 32
MAMBA_BARS = {1: 8.0, 2: 16.0}
CHUNKS = (16, 64, 160)
TEXTBOOK_REPEATS = 3
"""It takes a hundred times as long as ours."""


def mamba() -> None:
    """The scans of Mamba beside naive ones, forward and backward.

    `textbook` is the loop over time with autograd as the authors' reference has it (`selective_scan_ref` of state-spaces/mamba:
    all decays and inputs in (B, D, L, N), one slice of them per step); `unbound` the same with time in front and taken apart
    once, the fastest loop that autograd allows; `doubling` and `sweeps` are the scans of log L passes (Hillis and Steele 1986, by
    autograd; Blelloch 1990, in place with a backward of its own). `error` is the largest difference to `textbook` of values and
    gradients, as a share of the largest number of each array.
    """
    forms_1: dict[str, Form] = {
        "textbook": textbook, "ours": ours, "unbound": unbound, "doubling": doubling, "sweeps": sweeps
    }  # fmt: skip
    compared(1, forms_1, inputs_1())
    forms_2: dict[str, Form] = {"textbook": textbook_2, "ours": ours_2, "unbound": unbound_2}
    forms_2 |= {f"chunks of {size}": lambda *each, size=size: ours_2(*each, chunk=size) for size in CHUNKS}
    compared(2, forms_2, inputs_2())


def compared(version: int, forms: dict[str, Form], inputs: list[Tensor]) -> None:
    """Times and errors of all forms on these inputs, one line each."""
    weights = torch.randn_like(inputs[0])
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    found: dict[str, list[Tensor]] = {}
    for repeat in range(REPEATS):
        for name, form in forms.items():
            if name != "textbook" or repeat < TEXTBOOK_REPEATS:
                taken, found[name] = timed(form, inputs, weights)
                seconds[name].append(taken)
    own = statistics.median(seconds["ours"])
    heads = f" P={HEAD_WIDTH} chunk={CHUNK}" if version == 2 else ""
    protocol = f"forward and backward, B={ROWS} L={SYMBOLS} D={WIDTH} N={STATE}{heads}"
    for name, times in seconds.items():
        median, figure = statistics.median(times), f"mamba_{version}_{name.replace(' ', '_')}"
        error = float(f"{difference(found[name], found['textbook']):.1e}")
        report(figure, median, "CPU s", None, protocol, error=error)
        bar = MAMBA_BARS[version] if name == "textbook" else None
        report(f"{figure}_to_ours", median / own, "ratio", bar, protocol, at_least=True)


def timed(form: Form, inputs: Sequence[Tensor], weights: Tensor) -> tuple[float, list[Tensor]]:
    """CPU seconds of values and gradients, and these."""
    started = time.process_time()
    y = form(*inputs)
    gradients = torch.autograd.grad((y * weights).sum(), list(inputs))
    return time.process_time() - started, [y.detach(), *gradients]


def difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest, as a share of the largest number of each array."""
    return max(float((own - other).abs().max() / other.abs().max()) for own, other in zip(found, expected, strict=True))


def inputs_1() -> list[Tensor]:
    """u, dt (B, L, D), a (D, N), b, c (B, L, N), as a fresh net has them."""
    made = torch.Generator().manual_seed(0)
    u, raw = (torch.randn(ROWS, SYMBOLS, WIDTH, generator=made) for _ in range(2))
    b, c = (torch.randn(ROWS, SYMBOLS, STATE, generator=made) for _ in range(2))
    a = -torch.arange(1.0, STATE + 1).repeat(WIDTH, 1)
    return [each.requires_grad_() for each in (u, functional.softplus(raw - 4), a, b, c)]


def inputs_2() -> list[Tensor]:
    """x (B, L, H, P), dt (B, L, H), a (H,), b, c (B, L, N)."""
    made = torch.Generator().manual_seed(0)
    n_heads = WIDTH // HEAD_WIDTH
    x = torch.randn(ROWS, SYMBOLS, n_heads, HEAD_WIDTH, generator=made)
    raw = torch.randn(ROWS, SYMBOLS, n_heads, generator=made)
    b, c = (torch.randn(ROWS, SYMBOLS, STATE, generator=made) for _ in range(2))
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


PARTS = {"rnn": rnn, "members": members, "mamba": mamba}


def main() -> None:
    """The parts that are named, or all."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()


if __name__ == "__main__":
    main()
