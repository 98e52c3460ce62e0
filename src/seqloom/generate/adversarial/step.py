"""A step of a gan: the critic learns to tell natural sequences from generated ones, then the generator to be taken for natural.

Decides what both see (augmented, with instance noise, encoded by the critic) and when penalties are taken; and brings the best
weights back when the critic is astray (the guard).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.optim import AdamW, Optimizer

from seqloom.generate.adversarial.augmentation import Augmentation, substitutions
from seqloom.generate.adversarial.control import Control
from seqloom.generate.adversarial.critic import Critic
from seqloom.generate.adversarial.losses import centre, critic_loss, generator_loss
from seqloom.generate.adversarial.penalties import one_centred, steepness, zero_centred
from seqloom.generate.adversarial.relaxation import relaxed
from seqloom.generate.adversarial.sampler import GanSampler
from seqloom.generate.adversarial.writer import Writer
from seqloom.generate.base import Job, Naturals, Sampler
from seqloom.generate.step import GeneratorStep
from seqloom.training.progress import put

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from seqloom.generate.gan import Gan

MOST_MEASURED = 256
USUAL = 256
"""Natural conditions that are kept for samples of which none are asked."""


class AdversarialStep(GeneratorStep):
    """Both nets, their optimisers, and the natural sequences on the device."""

    def __init__(
        self, writer: Writer, critic: Critic, train: Naturals, valid: Naturals, job: Job, recipe: Gan, fabric: Fabric
    ) -> None:
        super().__init__(train, job)
        self.recipe, self.fabric, self.device = recipe, fabric, fabric.device
        self.writer, self.critic = writer.to(self.device), critic.to(self.device)
        self.control = Control().to(self.device)
        self.modules = {"writer": self.writer, "critic": self.critic, "control": self.control}
        rate = job.settings.lr
        self.optimizers: Mapping[str, Optimizer] = {
            "writer": self._optimizer(self.writer, rate, 1.0),
            "critic": self._optimizer(self.critic, rate, recipe.critic_rate),
        }
        canvas, vocabulary = writer.sizes.canvas, job.dims.vocabulary
        self.ids = self._on_device(train, canvas)
        self.conditions = None if train.conditions is None else torch.from_numpy(train.conditions).to(self.device)
        self.usual = None if train.conditions is None else train.conditions[:: max(len(train) // USUAL, 1)][:USUAL]
        self.measured_sets = {name: _some(each) for name, each in (("train", train), ("valid", valid)) if len(each)}
        table = substitutions(train.tokens, job.dims.alphabet, vocabulary)
        self.augmentation = Augmentation(table).to(self.device)

    def batches(self, epoch: int) -> Iterator[np.ndarray]:
        """Rows of the natural sequences, int64 (B,); meanwhile `number` tells which step it is."""
        # Read here, once between two evaluations: on a GPU each look at a number waits for all that is still to be computed.
        self.augmented, self.heavier = (float(self.control.number(name)) for name in ("augmented", "heavier"))
        for within, rows in enumerate(super().batches(epoch)):
            self.number = epoch * self.n_batches + within
            yield rows

    def update(self, batch: np.ndarray, fabric: Fabric) -> Mapping[str, Tensor]:
        """`critic_steps` steps of the critic, the last on this batch, and one of the generator."""
        rows = torch.from_numpy(batch).to(self.device)
        conditions = None if self.conditions is None else self.conditions[rows]
        with fabric.autocast(), parametrize.cached():
            fake = self._written(len(rows), conditions)
        for left in reversed(range(self.recipe.critic_steps)):
            own, given = rows, conditions
            if left:  # other natural sequences and other generated ones
                own = torch.randint(len(self.ids), (len(rows),), device=self.device)
                given = None if self.conditions is None else self.conditions[own]
                with torch.no_grad(), fabric.autocast():
                    other = self._written(len(rows), given)
            loss, real = self._critic_step(own, given, other if left else fake.detach(), last=not left)
        # The values of the natural sequences are those of before the critic's step: all that a relativistic loss needs.
        self.critic.requires_grad_(False)
        with fabric.autocast(), parametrize.cached():
            value = self.critic(self._seen(fake), conditions)
        goal = generator_loss(self.recipe.loss, real, value)
        self._descend(goal, "writer", self.writer)
        self.critic.requires_grad_(True)
        return {"loss": goal.detach(), "critic_loss": loss}

    def validate(self) -> Mapping[str, float]:
        """As of all generators; without a monitor later weights are better ones, and none are without finite numbers."""
        found = dict(super().validate())
        if not all(math.isfinite(each) for each in self.control.means().values()):
            return {"valid_loss": math.inf}
        return found if self.job.monitor is not None else {"valid_loss": -float(self.seen)}

    def measured(self) -> Mapping[str, float]:
        """The health of the critic.

        Since the last evaluation: its mean values on natural and generated sequences, the share that it told right, and its loss.
        And by the running mean of its weights: the mean value on held-out sequences, and how far that is below training ones.
        """
        sampler = self.sampler()
        values = {
            name: float(np.mean(sampler.score(each.tokens, each.conditions).values))
            for name, each in self.measured_sets.items()
        }
        held_out = (
            {"critic_valid": values["valid"], "critic_gap": values["train"] - values["valid"]}
            if "valid" in values
            else {}
        )
        return self.control.means() | held_out | {"augmented": self.augmented, "penalty": self.heavier}

    def recovered(self, best: Mapping[str, Tensor]) -> bool:
        """Whether the critic was perfect for too long, or numbers not finite: the best weights are back, its penalty doubled."""
        astray = self.control.decide(adaptive=self.recipe.augment == "adaptive")
        if not (astray and self.recipe.guard):
            return False
        heavier = 2 * self.heavier
        put(self, best)
        self.control.harden(heavier)
        for optimizer in self.optimizers.values():
            optimizer.state.clear()
        self.job.say(
            f"gan: the critic went astray after {self.seen:,} sequences; back to the best weights, with {heavier:g} times "
            "the penalty"
        )
        return True

    def sampler(self) -> Sampler:
        """Both nets as they are."""
        return GanSampler(self.job.dims, self.writer, self.critic, self.recipe.heat, self.recipe.candidates, self.usual)

    def _critic_step(
        self, rows: Tensor, conditions: Tensor | None, fake: Tensor, *, last: bool
    ) -> tuple[Tensor, Tensor]:
        """The critic's loss, and what it gave the natural sequences of `rows` (B,)."""
        real = functional.one_hot(self.ids[rows].long(), self.job.dims.vocabulary).float()
        real, fake = self._seen(real), self._seen(fake)
        twice = None if conditions is None else torch.cat([conditions, conditions])
        recipe = self.recipe
        due = self.number % recipe.penalty_every == 0 and last
        weight = recipe.penalty_every * self.heavier
        with self.fabric.autocast(), parametrize.cached():
            both = torch.cat([real, fake]).requires_grad_(due and bool(recipe.r1 or recipe.r2))
            values = self.critic(both, twice)
            of_real, of_fake = values.chunk(2)
            loss = critic_loss(recipe.loss, of_real, of_fake)
            if both.requires_grad:
                steep = steepness(values, both)
                loss = (
                    loss
                    + zero_centred(steep[: len(real)], recipe.r1 * weight)
                    + zero_centred(steep[len(real) :], recipe.r2 * weight)
                )
            if due and recipe.gp:
                loss = loss + one_centred(self.critic, real, fake, conditions, recipe.gp * weight)
        self._descend(loss, "critic", self.critic)
        of_real, of_fake = of_real.detach(), of_fake.detach()
        if last:
            self.control.note(of_real, of_fake, centre(recipe.loss, of_real, of_fake), loss.detach())
        return loss.detach(), of_real

    def _written(self, n: int, conditions: Tensor | None) -> Tensor:
        z = torch.randn(n, self.writer.latent, device=self.device)
        recipe = self.recipe
        share = min(self.number / max(self.job.settings.n_evaluations * self.n_batches, 1), 1.0)
        temperature = recipe.first_temperature + share * (recipe.last_temperature - recipe.first_temperature)
        return relaxed(self.writer(z, conditions), recipe.relax, temperature)

    def _seen(self, x: Tensor) -> Tensor:
        """Sequences (B, L, V) as the critic sees them."""
        recipe = self.recipe
        share = 1.0 if recipe.augment == "always" else self.augmented
        if recipe.augment != "none" and share:
            x = self.augmentation(x, share)
        if recipe.instance_noise:
            done = self.number * self.job.settings.batch / recipe.noise_sequences if recipe.noise_sequences else 0.0
            if done < 1:
                x = x + torch.randn_like(x) * (recipe.instance_noise * (1 - done))
        return x

    def _descend(self, loss: Tensor, name: str, module: nn.Module) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.job.settings.clip:
            torch.nn.utils.clip_grad_norm_(module.parameters(), self.job.settings.clip)
        optimizer.step()

    def _optimizer(self, module: nn.Module, rate: float, share: float) -> Optimizer:
        group = {"params": list(module.parameters()), "lr": rate * share, "rate_share": share}
        fused = self.device.type in ("cpu", "cuda")
        decay = self.job.settings.weight_decay
        return AdamW([group], rate, (self.recipe.beta1, self.recipe.beta2), weight_decay=decay, fused=fused)

    def _on_device(self, naturals: Naturals, canvas: int) -> Tensor:
        return torch.from_numpy(naturals.tokens.padded(np.arange(len(naturals)), canvas).ids).to(self.device)


def _some(naturals: Naturals) -> Naturals:
    """Up to so many of them, evenly over the file, where related sequences often stand together."""
    return naturals.take(np.linspace(0, len(naturals) - 1, min(len(naturals), MOST_MEASURED)).astype(np.int64))
