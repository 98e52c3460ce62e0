"""A gan from settings and natural sequences: nets, step, loop; and from what was saved."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from seqloom.generate.adversarial.encodings import symbol_vectors
from seqloom.generate.adversarial.sampler import GanSampler
from seqloom.generate.adversarial.step import AdversarialStep
from seqloom.generate.base import Dims, Job, Naturals, Sampler, State
from seqloom.generate.step import opened
from seqloom.training.device import resolved_device
from seqloom.training.loop import optimise
from seqloom.training.memory import kept_memory
from seqloom.training.step import Training

if TYPE_CHECKING:
    from seqloom.generate.gan import Gan


def fitted(recipe: Gan, train: Naturals, valid: Naturals, job: Job) -> Sampler:
    """The weights of the evaluation that the monitor found best, or the last ones without a monitor."""
    settings = job.settings
    fabric = opened(settings)
    torch.manual_seed(job.seed)
    vectors = symbol_vectors(recipe.encoding, job.dims.symbols, job.dims.alphabet, recipe.vectors)
    writer, critic = recipe.nets(job.dims, vectors)
    sizes = writer.sizes
    seen = recipe.seen_from(sizes)
    job.say(
        f"gan: generator of {_count(writer):,} parameters, critic of {_count(critic):,}, canvas of {sizes.canvas} positions; "
        f"a place of the critic's last layer sees {'all' if math.isinf(seen) else f'{seen:.0f}'} of them"
    )
    step = AdversarialStep(writer, critic, train, valid, job, recipe, fabric)
    seconds = settings.seconds or math.inf
    training = Training(
        step, settings.as_section(), settings.n_evaluations, job.seed, progress=job.progress, seconds=seconds
    )
    with kept_memory():
        optimise(training, fabric, job.folder)
    return step.sampler()


def restored(recipe: Gan, dims: Dims, state: State) -> Sampler:
    """The sampler of a state."""
    # Fixed vectors of symbols are part of the state: their file may be gone.
    writer, critic = recipe.nets(dims, state.get("critic/embedding.fixed"))
    for name, module in (("writer", writer), ("critic", critic)):
        module.load_state_dict(
            {
                key.removeprefix(f"{name}/"): torch.from_numpy(value)
                for key, value in state.items()
                if key.startswith(f"{name}/")
            }
        )
        module.to(resolved_device("auto")).eval()
    return GanSampler(dims, writer, critic, recipe.heat, recipe.candidates, state.get("usual"))


def _count(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())
