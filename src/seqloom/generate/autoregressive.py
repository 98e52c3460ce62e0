"""A generator that writes a sequence symbol by symbol, each by all before it: the recipe, its training and its sampler.

The nets are in `causal.py`; how they write and score is in `decode.py`. Defaults are what did best on MinE (IPR005527: 6,863
sequences of 60 to 128 residues that begin with M), one core of a CPU in bf16. In the family is a sample with the bits that 95 %
of training sequences have; r and slope are of pair covariances to those of training sequences; no sample of 1,000 had a
training sequence at 90 % identity. While defaults were looked for, the division held out one large subfamily, which is easy (a
perplexity of 4.2 where unigrams have 16.4, per symbol with ends):

| what | CPU s | perplexity of held-out | temperature | in family | r | slope |
|---|---|---|---|---|---|---|
| unigram, bigram, 4-gram | < 1 | 16.4, 14.9, 11.8 | | | | |
| gru 2 x 256, dropout .3, balance .5; three seeds | 375 | 4.19, 4.22, 4.16 | .95 | .948, .952, .950 | .79, .79, .77 | .74 |
| the same | | | 1 | .934, .918, .930 | .76, .77, .75 | .67 |
| balance 1 | 325 | 4.13 | 1 | .918 | .68 | .57 |
| balance 1 | | | .9 | .964 | .73 | .66 |

With what `generate fit` holds out unasked, many small subfamilies (`python bench/generate.py autoregressive`, per residue):

| what | CPU s | perplexity of held-out | in family | r | slope |
|---|---|---|---|---|---|
| unigram, bigram, profile | | 17.6, 15.4, 7.1 | | | |
| default, mean of three seeds | 328 | 5.25 | .956 (.946 to .966) | .82 (.80 to .83) | .82 (.76 to .87) |

Balance makes unseen clusters more likely, and the usual ones less: .5 is between. Nets that are stopped early and leave units out
are a little too unsure: at temperature 1 columns have .13 bits too much, at .95 .04, at .9 .1 too few. Two layers of 512 with
dropout .5 took 3 times as long to a likelihood no better (valid 4.65 after 25,600 sequences for 4.59). A transformer of 4 x 192
(1.8 M weights, dropout .2) needs 5 times the time for each sequence, and was at 5.5 where the gru was at 4.4, after 250 s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from seqloom.generate.base import Dims, Generator, Job, Naturals, Sampler, Score, State, Wanted
from seqloom.generate.causal import CausalNet, RecurrentNet, Shape, TransformerNet
from seqloom.generate.decode import log_likelihoods, nats, padded, written
from seqloom.generate.step import GeneratorStep, opened
from seqloom.generate.written import most_symbols, writable
from seqloom.registry import register
from seqloom.tokens import Tokens
from seqloom.training.device import resolved_device
from seqloom.training.loop import optimise
from seqloom.training.memory import kept_memory
from seqloom.training.optimizers import optimizer_of
from seqloom.training.step import Epoch, Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MOST_VALID = 1000
"""Held-out sequences, evenly from all, whose likelihood decides when to stop."""
NETS: Mapping[str, type[CausalNet]] = {"gru": RecurrentNet, "transformer": TransformerNet}
Share = Annotated[float, Field(ge=0, lt=1)]


@register("generator", "autoregressive")
class Autoregressive(Generator):
    """p(sequence) as the product of the chances of each symbol, and of the end, given those before: likelihoods are exact.

    Sequences may have any length. Training stops when held-out sequences become less likely; the weights of the best evaluation
    are kept.
    """

    defaults: ClassVar[Mapping[str, Any]] = {
        "sequences": 100_000,
        "lr": 2e-3,
        "warmup": 1,
        "patience": 3,
        "balance": 0.5,
    }
    sampling: ClassVar[Mapping[str, Any]] = {"temperature": 0.95}
    conditional = True

    net: Literal["gru", "transformer"] = "gru"
    """Recurrent layers with gates, which read a symbol at a time; or attention to all symbols before."""
    width: Annotated[int, Field(ge=4)] = 256
    """Units of a recurrent layer, or channels D of a transformer, then an even multiple of the heads."""
    layers: Annotated[int, Field(ge=1)] = 2
    """Layers."""
    heads: Annotated[int, Field(ge=1)] = 4
    """Attention heads H of a transformer's layer."""
    dropout: Share = 0.3
    """Share of what layers read and give that is left out in each step; alike at all places of a sequence in `gru`."""
    weight_drop: Share = 0.0
    """Share of the weights by which `gru` reads its state that is left out in each step."""
    noise: Share = 0.0
    """Share of the symbols read in training that are replaced by any symbol; those to be written stay as they are."""

    @model_validator(mode="after")
    def _used(self) -> Autoregressive:
        if self.net == "transformer" and self.width % (2 * self.heads):
            raise ValueError(f"width = {self.width} is no even multiple of heads = {self.heads}")
        if self.net == "transformer" and self.weight_drop:
            raise ValueError("weight_drop is of net = 'gru'; leave it out")
        return self

    def fit(self, train: Naturals, valid: Naturals, job: Job) -> Sampler:
        """Train until `valid`, or `train` where that is empty, is no longer found more likely.

        Sequences that cannot be written are passed over.
        """
        train, valid = (
            each.take(np.flatnonzero(writable(each.tokens, job.dims.vocabulary))) for each in (train, valid)
        )
        settings = job.settings.as_section()
        fabric = opened(job.settings)
        torch.manual_seed(job.seed)
        step = AutoregressiveStep(self, train, valid if len(valid) else train, job, fabric)
        job.say(f"{sum(each.numel() for each in step.bare.parameters()):,} weights")
        seconds = job.settings.seconds or math.inf
        training = Training(step, settings, settings.epochs, job.seed, progress=job.progress, seconds=seconds)
        with kept_memory():
            curve = optimise(training, fabric, job.folder)
        job.say(_summary(curve, job.settings.n_steps * job.settings.batch))
        return step.sampler()

    def restored(self, dims: Dims, state: State) -> Sampler:
        """The net of `state()`, on the best device there is."""
        net = self.module(dims)
        net.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
        return AutoregressiveSampler(dims, net.to(resolved_device("auto")).eval())

    def module(self, dims: Dims) -> CausalNet:
        """The net for these sizes, freshly initialised from torch's global generator."""
        shape = Shape(
            dims.vocabulary, dims.n_conditions, self.width, self.layers, self.heads, self.dropout, self.weight_drop
        )
        return NETS[self.net](shape)


class AutoregressiveStep(GeneratorStep):
    """A step up the likelihood of sequences, the mean over all symbols of a batch."""

    by_length = True

    def __init__(self, recipe: Autoregressive, train: Naturals, valid: Naturals, job: Job, fabric: Fabric) -> None:
        super().__init__(train, job)
        self.noise, self.device = recipe.noise, fabric.device
        self.valid = valid.take(np.unique(np.linspace(0, len(valid) - 1, MOST_VALID).astype(np.int64)))
        self.bare = recipe.module(job.dims).to(fabric.device)
        optimizer = optimizer_of(self.bare.parameters(), job.settings.as_section())
        self.net, self.optimizer = fabric.setup(self.bare, optimizer)
        self.modules, self.optimizers = {"net": self.net}, {"net": self.optimizer}

    def update(self, batch: np.ndarray, fabric: Fabric) -> Mapping[str, Tensor]:
        """One step by the sequences of these rows."""
        ids, lengths = padded(self.train.tokens, batch, self.device)
        conditions = self.train.conditions
        told = None if conditions is None else torch.from_numpy(conditions[batch]).to(self.device)
        costs = nats(self.net(self._blurred(ids), told), ids, lengths)
        loss = costs.sum() / (lengths + 1).sum()
        self.optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        if self.job.settings.clip:
            fabric.clip_gradients(self.net, self.optimizer, max_norm=self.job.settings.clip)
        self.optimizer.step()
        return {"loss": loss}

    def measured(self) -> Mapping[str, float]:
        """`valid_loss`: nats per symbol of held-out sequences, their ends counted; the perplexity is its exponential."""
        tokens = self.valid.tokens
        loss = -log_likelihoods(self.bare, tokens, self.valid.conditions).sum() / (tokens.lengths + 1).sum()
        return {"valid_loss": float(loss), "perplexity": float(np.exp(loss))}

    def sampler(self) -> Sampler:
        """The net as it is."""
        return AutoregressiveSampler(self.job.dims, self.bare)

    def _blurred(self, ids: Tensor) -> Tensor:
        """ids (B, L) with a share of `noise` drawn anew; torch's streams are kept by the loop."""
        if not self.noise:
            return ids
        hit = (torch.rand(ids.shape, device=ids.device) < self.noise) & (ids > 0)
        return torch.where(hit, torch.randint_like(ids, 1, self.job.dims.vocabulary), ids)


class AutoregressiveSampler(Sampler):
    """A trained causal net."""

    steered_by = frozenset({"temperature", "prefix", "condition"})

    def __init__(self, dims: Dims, net: CausalNet) -> None:
        super().__init__(dims)
        self.net = net

    def score(self, tokens: Tokens, conditions: np.ndarray | None = None) -> Score:
        """Log-likelihood of each sequence, its end included; -inf of an empty one."""
        if self.dims.n_conditions:
            told = np.zeros((len(tokens), self.dims.n_conditions), np.float32)
            conditions = told if conditions is None else self._conditions(conditions, len(tokens))
        return Score(log_likelihoods(self.net, tokens, conditions), "log-likelihood")

    def state(self) -> State:
        """The net's own names and arrays."""
        return {name: value.detach().cpu().numpy() for name, value in self.net.state_dict().items()}

    def _sampled(self, wanted: Wanted) -> Tokens:
        conditions = wanted.conditions
        if self.dims.n_conditions and conditions is None:
            conditions = np.zeros((wanted.n, self.dims.n_conditions), np.float32)
        longest = most_symbols(self.dims.longest, wanted.prefix)
        return written(self.net, wanted.n, wanted.seed, wanted.temperature, wanted.prefix, conditions, longest)


def _summary(curve: list[Epoch], every: int) -> str:
    best = min(curve, key=lambda line: line.valid_loss)
    return (
        f"{len(curve)} evaluations, the best after {(best.epoch + 1) * every:,} sequences with a held-out perplexity of "
        f"{math.exp(best.valid_loss):.3f}"
    )
