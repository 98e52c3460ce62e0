"""Generative adversarial nets: the settings, and how both nets are made of them; the rest is in `seqloom.generate.adversarial`.

What was tried on MinE (5,559 training sequences of up to 128 residues; drawn alike where no balance is said; one seed), by CPU
seconds of one core in bf16: in-family share of 500 to 1,000 samples, r and slope of their pair covariances with the training set,
and the share of them with a training sequence at 90 % identity:

| setting                                         | sequences | seconds | in family | r    | slope | near copies |
| ----------------------------------------------- | --------- | ------- | --------- | ---- | ----- | ----------- |
| hinge, spectral norm, r1, lr 2e-4, heat 1       | 25,600    | 127     | .00       | .07  | .08   |             |
| rp, r1 = r2 = 1, lr 2e-4, heat 1                | 51,200    | 212     | .44       | .27  | .60   |             |
| the same, lr 5e-4, heat .5                      | 25,600    | 99      | .59       | .29  | .23   |             |
| the same, lr 1e-3                               | 25,600    | 100     | .47       | .22  | .39   |             |
| the same, lr 5e-4, r1 = r2 = .2                 | 25,600    | 120     | .50       | .34  | .43   |             |
| r1 = r2 = 3, balance .5                         | 51,200    | 245     | .49       | .18  | .21   | .000        |
| r1 = r2 = 1, balance .25, candidates 2          | 51,200    | 254     | .75       | .37  | .45   | .000        |
| r1 = r2 = 1, no balance                         | 51,200    | 222     | .75       | .52  | .55   | .000        |
| the same, candidates 2                          | 51,200    | 222     | .90       | .50  | .55   | .000        |
| the same, candidates 2                          | 61,440    | 268     | .92       | .62  | .72   | .022        |
| the same, candidates 2                          | 71,680    | 311     | .90       | .71  | .87   | .044        |
| grown from 32 to 64 to 128 positions, heat .5   | 34,560    | 137     | .28       | .21  | .16   |             |

So nets are not grown progressively (Karras et al. 2017): the fixed ones were ahead after fewer seconds. Copies begin after some
eleven passes over the family, in its crowded branches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from seqloom.errors import DataError
from seqloom.generate.adversarial.sizes import WIDTHS, Preset, Sizes, reach, sizes_of
from seqloom.generate.base import Dims, Generator, Job, Naturals, Sampler, State
from seqloom.registry import register

if TYPE_CHECKING:
    from seqloom.generate.adversarial.critic import Critic
    from seqloom.generate.adversarial.writer import Writer

FEWEST = 8
"""Natural sequences below which a critic has nothing to learn."""


@register("generator", "gan")
class Gan(Generator):
    """A generator and a critic that learn against each other.

    One-dimensional residual nets on a canvas as long as the longest sequence; ends are written as padding, after which nothing
    follows, so that no sequence has a gap. Samples are judged by biology while it learns, and the weights best by that are kept:
    losses of a gan say nothing.
    """

    conditional = True
    defaults: ClassVar[Mapping[str, Any]] = {
        "lr": 5e-4,
        "clip": 0.0,
        "weight_decay": 0.0,
        "sequences": 160_000,
        "patience": 8,
        "balance": 0.0,
    }

    preset: Preset = "small"
    """Size of both nets: `tiny`, `small` or `base`."""
    loss: Literal["rp", "hinge", "wasserstein", "ra-hinge", "non-saturating"] = "rp"
    """What critic and generator want: relativistic pairing `rp`, `hinge`, `wasserstein`, relativistic-average hinge
    `ra-hinge`, or
    `non-saturating`."""
    r1: Annotated[float, Field(ge=0)] = 1.0
    """Weight (gamma) of the penalty on squared gradients of the critic at natural sequences."""
    r2: Annotated[float, Field(ge=0)] = 1.0
    """The same at generated ones."""
    gp: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the gradient penalty of `wasserstein`, between natural and generated; 10 in its paper."""
    penalty_every: Annotated[int, Field(ge=1)] = 4
    """Steps between two in which penalties are taken, which are as many times heavier then."""
    critic_norm: Literal["none", "spectral"] = "none"
    """`spectral` keeps every layer of the critic to a spectral norm of 1; `hinge` wants it."""
    norm: Literal["none", "pixel", "batch", "spectral"] = "none"
    """Of the generator's channels, or `spectral` of its weights."""
    encoding: Literal["onehot", "property", "blosum", "learned", "external"] = "onehot"
    """How the critic sees a residue: itself; hydropathy, volume, helix, strand, turn and charge; its BLOSUM62 row; a
    vector that the critic
    learns; or those of the file `vectors`."""
    vectors: str = ""
    """CSV file of `encoding = external`, a line for each symbol: it, and its numbers."""
    relax: Literal["st-gumbel", "gumbel", "softmax"] = "st-gumbel"
    """How logits become symbols that gradients pass: drawn and one-hot (straight through), drawn and soft, or soft."""
    first_temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of that, at the beginning."""
    last_temperature: Annotated[float, Field(gt=0)] = 0.5
    """At the end."""
    heat: Annotated[float, Field(ge=0)] = 0.5
    """Temperature of samples where 1 is asked for; 0 takes the likeliest symbol at each position."""
    candidates: Annotated[float, Field(ge=1, le=100)] = 2.0
    """Sequences made for each sample; those that the critic finds most natural are kept. 1 keeps all."""
    latent: Annotated[int, Field(ge=1)] = 128
    """Numbers of the latent vector."""
    width: Annotated[float, Field(gt=0)] = 1.0
    """Channels of all layers of both nets, as a multiple of the preset's."""
    blocks: Annotated[int, Field(ge=1)] = 1
    """Residual blocks at each resolution."""
    kernel: Annotated[int, Field(ge=3, le=9)] = 3
    """Positions of a convolution, an odd number."""
    dilation: Annotated[int, Field(ge=1, le=8)] = 2
    """Distance of the places of every second convolution."""
    up: Literal["subpixel", "transposed", "nearest"] = "subpixel"
    """How the generator doubles positions."""
    down: Literal["strided", "average"] = "strided"
    """How the critic halves them."""
    attention: bool = True
    """A layer of attention in both nets, at a quarter of the positions."""
    readout: Literal["flatten", "sum"] = "flatten"
    """What the critic reads out at the end: every position by itself, or their sum, which cannot know the first one."""
    minibatch_std: Annotated[int, Field(ge=0)] = 4
    """Sequences whose spread the critic sees, against collapse; 0 for none."""
    critic_steps: Annotated[int, Field(ge=1)] = 1
    """Steps of the critic for each of the generator."""
    critic_rate: Annotated[float, Field(gt=0)] = 1.0
    """Learning rate of the critic as a multiple of the generator's, which is `train.lr`."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of Adam, for both."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Of Adam, for both."""
    instance_noise: Annotated[float, Field(ge=0)] = 0.0
    """Standard deviation of noise added to all that the critic sees."""
    noise_sequences: Annotated[int, Field(ge=0)] = 0
    """Sequences seen until that noise has faded to nothing; 0 for never."""
    augment: Literal["adaptive", "always", "none"] = "adaptive"
    """Crops by up to two symbols and substitutions of 2 %, of natural and generated sequences alike: as often as the
    critic is too
    sure of natural ones, always, or never."""
    guard: bool = True
    """Return to the best weights, with twice the penalty, when the critic tells all apart for ten evaluations, or a number
    is not finite."""

    @model_validator(mode="after")
    def _fits(self) -> Gan:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel = {self.kernel} is even; a kernel has a middle: take 3, 5, 7 or 9")
        if (self.encoding == "external") != bool(self.vectors):
            raise ValueError(
                "encoding = external needs a file of vectors, and nothing else takes one: give both or neither"
            )
        if self.gp and self.loss != "wasserstein":
            raise ValueError(f"gp is of loss = wasserstein; with {self.loss} take r1 or r2")
        return self

    def fit(self, train: Naturals, valid: Naturals, job: Job) -> Sampler:
        """Both nets, trained; DataError with too few natural sequences of standard symbols."""
        from seqloom.generate.adversarial.fitting import fitted

        known = _of_standard(train, job.dims)
        known_valid = _of_standard(valid, job.dims) if len(valid) else valid
        if len(known) < len(train):
            job.say(
                f"gan: {len(train) - len(known):,} of {len(train):,} sequences hold other symbols than {job.dims.symbols} "
                "and are left out"
            )
        if len(known) < FEWEST:
            raise DataError(
                f"{len(known)} natural sequences to learn from, and a gan needs {FEWEST} at least; take --model "
                "profile for so few"
            )
        return fitted(self, known, known_valid, job)

    def restored(self, dims: Dims, state: State) -> Sampler:
        """The sampler on the best device there is."""
        from seqloom.generate.adversarial.fitting import restored

        return restored(self, dims, state)

    def sizes(self, longest: int) -> Sizes:
        """The layers for sequences of up to `longest` symbols."""
        # Multiples of 8, as heads of attention and the kernels of matrix products want them.
        widths = tuple(max(round(each * self.width / 8), 1) * 8 for each in WIDTHS[self.preset])
        return sizes_of(longest, widths)

    def nets(self, dims: Dims, vectors: np.ndarray | None) -> tuple[Writer, Critic]:
        """Generator and critic, freshly initialised from torch's global stream; `vectors` (V, E) of symbols, None if they
        are learnt."""
        from seqloom.generate.adversarial.critic import Critic
        from seqloom.generate.adversarial.encodings import Embedding
        from seqloom.generate.adversarial.layers import spectrally_normed
        from seqloom.generate.adversarial.writer import Writer

        sizes = self.sizes(dims.longest)
        writer = Writer(
            sizes, dims.vocabulary, self.latent, dims.n_conditions, kernel=self.kernel, dilation=self.dilation,
            n_blocks=self.blocks, up=self.up, norm="none" if self.norm == "spectral" else self.norm, attention=self.attention,
        )  # fmt: skip
        if self.norm == "spectral":
            spectrally_normed(writer)
        critic = Critic(
            sizes, Embedding(vectors, dims.vocabulary), dims.n_conditions, kernel=self.kernel, dilation=self.dilation,
            n_blocks=self.blocks, down=self.down, attention=self.attention, readout=self.readout, group=self.minibatch_std,
            spectral=self.critic_norm == "spectral",
        )  # fmt: skip
        return writer, critic

    def seen_from(self, sizes: Sizes) -> float:
        """Positions that a place of the critic's coarsest layer sees; all with attention."""
        return (
            math.inf if self.attention else reach(self.kernel, self.dilation, sizes.n_halvings, self.blocks, self.down)
        )


def _of_standard(naturals: Naturals, dims: Dims) -> Naturals:
    """The sequences that are not empty, no longer than the longest, and of standard symbols alone."""
    tokens = naturals.tokens
    odd = np.zeros(len(tokens), bool)
    bad = np.flatnonzero((tokens.values == 0) | (tokens.values >= dims.vocabulary))
    odd[np.searchsorted(tokens.offsets, bad, side="right") - 1] = True
    lengths = tokens.lengths
    keep = np.flatnonzero(~odd & (lengths > 0) & (lengths <= dims.longest))
    return naturals if len(keep) == len(tokens) else naturals.take(keep)
