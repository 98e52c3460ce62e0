"""A twin net: learns how far the targets of two rows are apart, and predicts from rows whose targets are known.

Which rows are compared while it learns is decided in `seqloom.predict.pairs`; here is what a pair is shown to, and what is made
of the many differences that a new row has from training rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from seqloom.encode.base import Inputs, State
from seqloom.errors import ConfigError, DataError
from seqloom.nn.dropout import Dropout
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor, default_loss, features_of
from seqloom.predict.net import MONITOR_ROWS
from seqloom.predict.pairs import batches_of_groups, n_batches_of, pairs_of, with_partners
from seqloom.registry import register
from seqloom.training.device import open_fabric, resolved_device
from seqloom.training.loop import optimise
from seqloom.training.optimizers import optimizer_of
from seqloom.training.step import Step, Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from seqloom.table import Table
    from seqloom.target import Target

ROWS_AT_ONCE = 1024
PAIRS_AT_ONCE = 2**14
"""Rows encoded, and pairs compared, in one go when predicting: few enough to stay in a cache."""
WATCHED = 128
"""Training rows that valid rows are predicted from after each epoch, where all of them are anchors: what is the mean of so many
moves little with more of them, and all would cost more than the epoch."""
NO_GROUPS = (
    "[predictor] pairs = 'group' compares training rows within their groups, and the table has no group column; name it with "
    "--group COLUMN, or take pairs = 'all'"
)


@register("predictor", "twin")
class Twin(Predictor):
    """Differences of the target between two rows, learnt from pairs, and added to the targets of training rows.

    Each row is encoded once, by layers as those of `mlp`. F(a, b) = g(a, b) - g(b, a) on two encodings learns y(a) - y(b) by its
    squared error, and F(a, b) = -F(b, a) whatever it learns. A row x is predicted as the mean of y(a) + F(x, a) over training
    rows a, its anchors (Wetzel et al. 2020, arXiv:2012.14873; there both rows enter one net, once in either order). For values
    only; each target column has differences of its own, and bounds are imputed.
    """

    stochastic = True
    tasks = ("regression",)

    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (128, 64)
    """Width of each layer that encodes a row."""
    width: Annotated[int, Field(ge=1)] = 64
    """Units of g, which sees two encodings at a time."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of units left out in each training step."""
    pairs: Literal["all", "group"] = "all"
    """Which training rows of a batch are compared: all, or those of one group of the group column. Differences within groups say
    nothing of the level of a group: the order of rows within each is then what a prediction is good for."""
    anchors: Annotated[int, Field(ge=0)] = 32
    """Training rows that a row is predicted from, those with the nearest encodings; 0 takes all, which `bench/twin.py` finds no
    better and which costs more the more training rows there are."""

    def refusal(self, table: Table, target: Target) -> str:
        """Why it cannot be fitted to this target of this table; '' where it can."""
        missing = self.pairs == "group" and table.roles.group is None
        return super().refusal(table, target) or (NO_GROUPS if missing else "")

    def fit(self, train: Examples, valid: Examples, job: Job) -> Fitted:
        """Train on pairs with early stopping on `valid`, whose rows are predicted from training rows.

        ConfigError where groups are wanted and not there, DataError where no two rows can be compared.
        """
        fabric = open_fabric(job.settings.device, job.settings.precision)
        torch.manual_seed(job.seed)
        net = TwinNet(self, job.dims).to(fabric.device)
        step = PairStep(net, self, train, valid if len(valid) else train, job, fabric)
        epochs = job.settings.epochs_for(len(train))
        if job.settings.warmup >= epochs:
            raise ConfigError(
                f"[train] warmup = {job.settings.warmup} leaves none of {epochs} epochs for the schedule; lower it"
            )
        training = Training(step, job.settings, epochs, job.seed, job.name, job.progress)
        curve = optimise(training, fabric, job.folder / "checkpoint" if job.folder else None)
        if job.folder is not None:
            pq.write_table(pa.Table.from_pylist([vars(line) for line in curve]), job.folder / "curves.parquet")
        best = min(curve, key=lambda line: line.valid_loss)
        job.log(f"{self.kind}: {len(curve)} epochs, best {best.epoch + 1} with valid loss {best.valid_loss:.4g}")
        return step.fitted()

    def restore(self, state: State, dims: Dims) -> Fitted:
        """The model of `state()`, on the best device there is."""
        net, device = TwinNet(self, dims), torch.device(resolved_device("auto"))
        held = {name: torch.from_numpy(value).to(device) for name, value in state.items()}
        anchors = Anchors(held.pop("anchors/encodings"), held.pop("anchors/y"))
        net.load_state_dict(held)
        return FittedTwin(net.to(device).eval(), anchors, self.anchors, dims)


class TwinNet(nn.Module):
    """F(a, b) for pairs of rows.

    The first layer of g is a sum of what it makes of either row, which is counted to the encoding: g(a, b) has GELU of u(a) +
    v(b) under one linear layer, whose bias would cancel out.
    """

    def __init__(self, recipe: Twin, dims: Dims) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = dims.n_features
        for units in recipe.hidden:
            layers += [nn.Linear(width, units), nn.LayerNorm(units), nn.GELU(), Dropout(recipe.dropout)]
            width = units
        self.encoder = nn.Sequential(*layers, nn.Linear(width, 2 * recipe.width))
        self.difference = Difference(recipe.width, dims.n_outputs, recipe.dropout)

    def forward(self, features: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """Features (B, D) and places of pairs (P,) among them to differences (P, T)."""
        encodings = self.encoder(features)
        out: Tensor = self.difference(encodings[left], encodings[right])
        return out


class Difference(nn.Module):
    """F of two encodings, each u and v side by side: exactly 0 of a row and itself, and of the other sign when they swap."""

    def __init__(self, width: int, n_outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout, self.last = Dropout(dropout), nn.Linear(width, n_outputs, bias=False)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """(..., 2 D) and (..., 2 D), broadcast, to (..., T)."""
        (u, v), (other_u, other_v) = left.chunk(2, -1), right.chunk(2, -1)
        apart = functional.gelu(u + other_v) - functional.gelu(other_u + v)
        out: Tensor = self.last(self.dropout(apart))
        return out


@dataclass(frozen=True)
class Anchors:
    """Training rows that others are predicted from."""

    encodings: Tensor  # float32 (A, 2 D)
    y: Tensor  # float32 (A, T), NaN = missing


@dataclass(frozen=True)
class FittedTwin(Fitted):
    """A trained net with its anchors."""

    net: TwinNet
    anchors: Anchors
    n_nearest: int
    """Anchors of each row; 0 for all."""
    dims: Dims

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Means over the anchors, (N, T); the mean of all where none of a row's own has a target."""
        mean = self.anchors.y.nanmean(0).nan_to_num()
        return self._joined(inputs, lambda each: torch.where(each.isnan().all(1), mean, each.nanmean(1)))

    def spread(self, inputs: Inputs) -> np.ndarray:
        """Standard deviation over the anchors of what they say of a row, float64 (N, T); NaN where none has a target."""
        return inputs.averaged(self._joined(inputs.instances(), _deviation))

    def state(self) -> State:
        """The net's own names, `anchors/encodings` and `anchors/y`."""
        held = self.net.state_dict() | {"anchors/encodings": self.anchors.encodings, "anchors/y": self.anchors.y}
        return {name: value.detach().cpu().numpy() for name, value in held.items()}

    @torch.no_grad()
    def _joined(self, inputs: Inputs, join: Callable[[Tensor], Tensor]) -> np.ndarray:
        """What `join` makes of (n, K, T), the targets that each of K anchors gives each row, for all rows, float64 (N, T)."""
        features = torch.from_numpy(features_of(inputs)).to(self.anchors.y.device)
        n_anchors = len(self.anchors.y)
        size = max(PAIRS_AT_ONCE // max(self.n_nearest or n_anchors, 1), 1)
        parts = [torch.zeros(0, self.dims.n_outputs)]
        for rows in torch.split(features, ROWS_AT_ONCE):
            for encodings in torch.split(self.net.encoder(rows), size):
                own = self._of(encodings)
                parts.append(join(own.y + self.net.difference(encodings[:, None], own.encodings)).cpu())
        return torch.cat(parts).double().numpy()

    def _of(self, encodings: Tensor) -> Anchors:
        """The anchors of these rows (n, 2 D): K of them for each, or all, as one row of them."""
        if not 0 < self.n_nearest < len(self.anchors.y):
            return Anchors(self.anchors.encodings[None], self.anchors.y[None])
        # Not by products: their rounding depends on how many rows are asked at once, and near ties would be broken by it.
        distance = torch.cdist(encodings, self.anchors.encodings, compute_mode="donot_use_mm_for_euclid_dist")
        rows = distance.topk(self.n_nearest, largest=False).indices
        return Anchors(self.anchors.encodings[rows], self.anchors.y[rows])


def _deviation(each: Tensor) -> Tensor:
    return (each - each.nanmean(1, keepdim=True)).square().nanmean(1).sqrt()


class PairStep(Step):
    """Gradient steps towards known differences: squared error over pairs of a batch; missing targets do not count."""

    def __init__(self, net: TwinNet, recipe: Twin, train: Examples, valid: Examples, job: Job, fabric: Fabric) -> None:
        self.bare, self.recipe, self.job = net, recipe, job
        self.module, self.optimizer = fabric.setup(net, optimizer_of(net.parameters(), job.settings))
        self.modules, self.optimizers = {"net": self.module}, {"net": self.optimizer}
        self.groups = _compared(train, recipe)
        self.n_batches = n_batches_of(len(with_partners(self.groups)), job.settings.batch)
        self.features = torch.from_numpy(features_of(train.inputs)).to(fabric.device)
        self.y = torch.from_numpy(train.y).to(fabric.device, torch.float32)
        self.known = np.flatnonzero(~np.isnan(train.y).all(1))
        self.monitored = {name: _few(examples) for name, examples in job.monitor.items() if len(examples)}
        self.monitored["valid"] = valid

    def batches(self, epoch: int) -> Iterator[np.ndarray]:
        """Rows that can be compared, those of a group beside each other."""
        return batches_of_groups(self.groups, self.job.settings.batch, self.job.seed, epoch)

    def update(self, batch: np.ndarray, fabric: Fabric) -> Mapping[str, Tensor]:
        """One step down the mean squared error of all pairs of these rows, each of which is encoded once."""
        device = self.y.device
        left, right = (torch.from_numpy(places).to(device) for places in pairs_of(self.groups[batch]))
        rows = torch.from_numpy(batch).to(device)
        y = self.y[rows]
        apart = y[left] - y[right]
        known = ~torch.isnan(apart)
        errors = self.module(self.features[rows], left, right).float() - torch.where(known, apart, 0.0)
        loss = (errors.square() * known).sum() / known.sum().clamp(min=1)
        self.optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        if self.job.settings.clip:
            fabric.clip_gradients(self.module, self.optimizer, max_norm=self.job.settings.clip)
        self.optimizer.step()
        return {"loss": loss}

    def validate(self) -> Mapping[str, float]:
        """Squared error on valid rows and the primary metric of every monitored set, as predicted from training rows."""
        model = self.fitted(0 if self.recipe.anchors else WATCHED)
        numbers: dict[str, float] = {}
        for name, examples in self.monitored.items():
            predicted = model.predict(examples.inputs)
            if name == "valid":
                numbers["valid_loss"] = default_loss(examples.y, predicted, self.job.dims)
            if self.job.score is not None:
                numbers[f"{name}_score"] = self.job.score(examples.y, predicted, examples.bounds)
        return numbers

    @torch.no_grad()
    def fitted(self, most: int = 0) -> FittedTwin:
        """The net as it is, with training rows of known targets as anchors: all, or `most` of them, evenly spaced."""
        self.bare.eval()
        own = self.known
        if most and len(own) > most:
            own = own[np.linspace(0, len(own) - 1, most).astype(np.int64)]
        rows = torch.from_numpy(own).to(self.y.device)
        encodings = [self.bare.encoder(self.features[part]) for part in torch.split(rows, ROWS_AT_ONCE)]
        return FittedTwin(self.bare, Anchors(torch.cat(encodings), self.y[rows]), self.recipe.anchors, self.job.dims)


def _compared(train: Examples, recipe: Twin) -> np.ndarray:
    """The group that each training row is compared within, int64 (N,), -1 without a target; an error if there is no pair."""
    if recipe.pairs == "group" and train.groups is None:
        raise ConfigError(NO_GROUPS)
    everywhere = np.zeros(len(train), np.int64)
    groups = everywhere if recipe.pairs == "all" or train.groups is None else train.groups
    compared = np.where(np.isnan(train.y).all(1), -1, groups)
    if not len(with_partners(compared)):
        n_known = int((compared >= 0).sum())
        raise DataError(
            f"predictor 'twin' learns from pairs of training rows with a target, and there is none among {n_known} such rows"
            + (" of known groups: no two share theirs; take pairs = 'all'" if recipe.pairs == "group" else "")
        )
    return compared


def _few(examples: Examples) -> Examples:
    if len(examples) <= MONITOR_ROWS:
        return examples
    return examples.take(np.linspace(0, len(examples) - 1, MONITOR_ROWS).astype(np.int64))
