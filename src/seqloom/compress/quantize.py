"""A fitted net in the form that predicts fastest on a CPU: products in few bits, all else as it was.

Decides which layers change and how. `bf16` keeps weights of linear layers and convolutions in 16 bits and computes in them;
`int8` rounds weights of linear layers to 8 bits with a scale for each output, once, and what comes in with one for each position,
as it comes. Norms, scans and small layers stay as they are: they cost little, or lose by it. The form is not saved, as it is
made from the fitted net in an instant.
"""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

LEAST_WEIGHTS = 2**12
"""Of a layer that changes: below, rounding what comes in takes longer than the product saves."""
Form = Literal["auto", "bf16", "int8", "float32"]


def fast_form(module: nn.Module, form: Form = "auto") -> nn.Module:
    """A copy of `module` for predictions on this CPU; the module itself is left as it is.

    Called as the module is, it gives single precision, off by rounding; gradients are not to be had. `auto` takes bf16 where the
    CPU has instructions for it: a transformer of 22 million weights took 0.86 of the time that it took in int8, with a smaller
    error (`bench/step.py predict`). A CPU with instructions for 8 bits alone takes int8, others stay in single precision.
    """
    chosen = _of_this_cpu() if form == "auto" else form
    twin = copy.deepcopy(module).cpu().eval().requires_grad_(False)
    if chosen == "int8":
        _replace_linears(twin)
    elif chosen == "bf16":
        _halve(twin)
    return FastForm(twin, half=chosen == "bf16")


def _of_this_cpu() -> Form:
    if torch.cpu._is_avx512_bf16_supported():
        return "bf16"
    return "int8" if torch.cpu._is_vnni_supported() else "float32"


class FastForm(nn.Module):
    """A net some of whose layers compute in few bits; single precision comes out."""

    def __init__(self, net: nn.Module, *, half: bool) -> None:
        super().__init__()
        self.net, self.in_half = net, half

    @torch.no_grad()
    def forward(self, *inputs: Tensor) -> Tensor:
        """As the net's."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.in_half):
            out: Tensor = self.net(*inputs)
        return out.float()


class Int8Linear(nn.Module):
    """x W' + b with 8 bits for W, a scale for each output, and 8 bits for x, a scale for each row of it.

    torch's ready-made dynamic layers are on their way out of torch, and round a whole batch by one scale.
    """

    weight: Tensor
    scales: Tensor
    bias: Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        rounded, scales = _rounded(layer.weight.detach().float())
        bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias.detach().float()
        self.register_buffer("weight", rounded)  # int8 (E, D)
        self.register_buffer("scales", scales.squeeze(1))  # (E,)
        self.register_buffer("bias", bias)  # (E,)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) of any precision to (..., E) in single precision."""
        rounded, scales = _rounded(x.float().reshape(-1, x.shape[-1]))
        if not len(rounded):
            return self.bias.expand(*x.shape[:-1], -1)
        sums = torch._int_mm(rounded, self.weight.t()).float()
        return torch.addcmul(self.bias, sums.mul_(scales), self.scales).view(*x.shape[:-1], -1)


def _rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """x (M, D) in steps of a 127th of the largest of each row, int8, and those steps (M, 1)."""
    steps = torch.linalg.vector_norm(x, torch.inf, 1, keepdim=True).div_(127).clamp_(min=torch.finfo(x.dtype).tiny)
    return (x / steps).round_().to(torch.int8), steps


def _replace_linears(module: nn.Module) -> None:
    for name, child in module.named_children():
        # torch's product of 8 bits is wrong where only one number comes in.
        if type(child) is nn.Linear and child.weight.numel() >= LEAST_WEIGHTS and child.in_features > 1:
            setattr(module, name, Int8Linear(child))
        else:
            _replace_linears(child)


def _halve(module: nn.Module) -> None:
    for each in module.modules():
        if isinstance(each, nn.Linear | nn.Conv1d) and each.weight.numel() >= LEAST_WEIGHTS:
            each.to(torch.bfloat16)  # autocast would do so again for every batch
