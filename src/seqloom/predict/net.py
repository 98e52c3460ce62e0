"""What every torch net shares: data on the device, loss, training, prediction, weights.

A net writes `module(dims)` only. Nets that take tokens are called as `forward(ids (B, L), mask (B, L), covariates (B, C))`, nets
that take features as `forward(features (B, D))`; both give (B, T): values, or logits of classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqloom.encode.base import Inputs, State
from seqloom.errors import ConfigError
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor, default_loss
from seqloom.registry import register  # noqa: F401 - nets import it from here beside Net
from seqloom.tokens import WIDTH_STEP, bucketed
from seqloom.training.device import open_fabric, resolved_device
from seqloom.training.loop import optimise_together
from seqloom.training.memory import kept_memory
from seqloom.training.optimizers import optimizer_of
from seqloom.training.step import Epoch, Step, Training
from seqloom.training.tobit import tobit_loss

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PREDICT_SYMBOLS = {"cpu": 2**14, "cuda": 2**20, "mps": 2**18}
"""Symbols (or feature rows times 64) per batch when predicting: on a CPU few enough to stay in its cache."""
MONITOR_ROWS = 1000
"""Rows scored after each epoch for the curves; more would cost more than the training of a small table."""


class Net(Predictor):
    """A torch net: a recipe that writes `module`."""

    stochastic = True
    side_by_side = True
    censored = "loss"
    weighs_classes = True

    @abstractmethod
    def module(self, dims: Dims) -> nn.Module:
        """The net for these sizes, freshly initialised from torch's global generator."""

    def fit(self, train: Examples, valid: Examples, job: Job) -> Fitted:
        """Train with early stopping on `valid`; curves and checkpoints go to the job's folder."""
        return self.fit_members([(train, valid, job)])[0]

    def fit_members(self, members: Sequence[tuple[Examples, Examples, Job]]) -> list[Fitted]:
        """Each member as by `fit`, all of them trained as one batched net where there are several."""
        from seqloom.predict.together import update_together

        fabric = open_fabric(members[0][2].settings.device, members[0][2].settings.precision)
        trainings = [self.training(*member, fabric) for member in members]
        last = members[-1][2].folder  # saved last: until then, the state of all is found there
        folder = last / "checkpoint" if last else None
        with kept_memory():
            curves = optimise_together(trainings, update_together, fabric, folder)
        fitted: list[Fitted] = []
        for (_, _, job), training, curve in zip(members, trainings, curves, strict=True):
            if job.folder is not None:
                pq.write_table(pa.Table.from_pylist([vars(line) for line in curve]), job.folder / "curves.parquet")
            job.log(_summary(self.kind, curve))
            assert isinstance(training.step, Supervised)
            fitted.append(FittedNet(training.step.bare, job.dims, fabric.device))
        return fitted

    def training(self, train: Examples, valid: Examples, job: Job, fabric: Fabric) -> Training:
        """A new net and the steps of its training, of which none is done; ConfigError if the warm-up leaves no epoch."""
        torch.manual_seed(job.seed)
        module = self.module(job.dims).to(fabric.device)
        step = Supervised(module, train, valid if len(valid) else train, job, fabric)
        epochs = job.settings.epochs_for(len(train))
        if job.settings.warmup >= epochs:
            raise ConfigError(
                f"[train] warmup = {job.settings.warmup} leaves none of {epochs} epochs for the schedule; lower it"
            )
        return Training(step, job.settings, epochs, job.seed, job.name, job.progress)

    def restore(self, state: State, dims: Dims) -> Fitted:
        """The net of `state()`, on the best device there is."""
        module = self.module(dims)
        module.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
        device = torch.device(resolved_device("auto"))
        return FittedNet(module.to(device).eval(), dims, device)


@dataclass(frozen=True)
class FittedNet(Fitted):
    """A trained module."""

    module: nn.Module
    dims: Dims
    device: torch.device

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Values or probabilities, float64 (N, T)."""
        return outputs(self.module, DeviceInputs.of(inputs, self.device), self.dims)

    def state(self) -> State:
        """The module's own names and arrays."""
        return {name: value.detach().cpu().numpy() for name, value in self.module.state_dict().items()}


@dataclass(frozen=True)
class DeviceInputs:
    """All inputs of N rows on the device; batches are gathered there."""

    lengths: np.ndarray  # int64 (N,), on the host: batches are planned there
    features: Tensor | None  # float32 (N, D)
    values: Tensor | None  # uint8 (sum of L,)
    offsets: Tensor | None  # int64 (N + 1,)
    covariates: Tensor | None  # float32 (N, C)

    @staticmethod
    def of(inputs: Inputs, device: torch.device) -> DeviceInputs:
        """The inputs, copied to the device."""
        if inputs.features is not None:
            return DeviceInputs(
                np.full(len(inputs), 64), torch.from_numpy(inputs.features).to(device), None, None, None
            )
        tokens = inputs.tokens
        assert tokens is not None
        values = torch.from_numpy(np.ascontiguousarray(tokens.values)).to(device)
        offsets = torch.from_numpy(tokens.offsets).to(device)
        return DeviceInputs(tokens.lengths, None, values, offsets, torch.from_numpy(inputs.covariates).to(device))

    def batch(self, rows: np.ndarray) -> tuple[Tensor, ...]:
        """What `forward` takes for these rows: (features,) or (ids, mask, covariates)."""
        if self.features is not None:
            return (self.features[torch.from_numpy(rows).to(self.features.device)],)
        assert self.values is not None
        assert self.offsets is not None
        assert self.covariates is not None
        device = self.values.device
        width = -(-max(int(self.lengths[rows].max()), 1) // WIDTH_STEP) * WIDTH_STEP
        index = torch.from_numpy(rows).to(device)
        start = self.offsets[index]
        columns = torch.arange(width, device=device)
        mask = columns < (self.offsets[index + 1] - start)[:, None]
        positions = (start[:, None] + columns).clamp(max=max(len(self.values) - 1, 0))
        ids = self.values[positions].long() * mask if len(self.values) else torch.zeros_like(positions)
        return ids, mask, self.covariates[index]


class Descent(Step):
    """Gradient steps of a module towards known targets: squared error, or cross-entropy of classes; missing targets do not count.

    A member says what a batch is.
    """

    monitored: Mapping[str, Examples]
    """Scored after each epoch, `valid` among them, which decides."""
    on_device: Mapping[str, DeviceInputs]
    """Their inputs."""

    def __init__(self, module: nn.Module, job: Job, fabric: Fabric) -> None:
        self.bare, self.job = module, job
        self.module, self.optimizer = fabric.setup(module, optimizer_of(module.parameters(), job.settings))
        self.modules, self.optimizers = {"net": self.module}, {"net": self.optimizer}

    @abstractmethod
    def inputs_of(self, batch: Any) -> tuple[Tensor, ...]:
        """What the module takes of these rows."""

    @abstractmethod
    def targets(self, batch: Any) -> tuple[Tensor, Dims, Tensor | None, Tensor | None]:
        """What `supervised_loss` takes beside the outputs of these rows."""

    def update(self, batch: Any, fabric: Fabric) -> Mapping[str, Tensor]:
        """One step down the loss of these rows."""
        output = self.module(*self.inputs_of(batch))
        loss = supervised_loss(output, *self.targets(batch))
        self.optimizer.zero_grad(set_to_none=True)
        fabric.backward(loss)
        self.descend(fabric)
        return {"loss": loss}

    def descend(self, fabric: Fabric) -> None:
        """A step of the optimiser by the gradients there are, shortened to `train.clip`."""
        if self.job.settings.clip:
            fabric.clip_gradients(self.module, self.optimizer, max_norm=self.job.settings.clip)
        self.optimizer.step()

    def validate(self) -> Mapping[str, float]:
        """Loss on valid rows, and the primary metric of every monitored set."""
        numbers: dict[str, float] = {}
        for name, examples in self.monitored.items():
            predicted = outputs(self.module, self.on_device[name], self.job.dims)
            if name == "valid":
                numbers["valid_loss"] = default_loss(
                    examples.y, predicted, self.job.dims, examples.bounds, examples.weights
                )
            if self.job.score is not None:
                numbers[f"{name}_score"] = self.job.score(examples.y, predicted, examples.bounds)
        return numbers


class Supervised(Descent):
    """Descent on examples in memory, all of them on the device.

    A target that is a bound costs the less, the further the prediction is beyond it (`tobit_loss`).
    """

    def __init__(self, module: nn.Module, train: Examples, valid: Examples, job: Job, fabric: Fabric) -> None:
        super().__init__(module, job, fabric)
        self.parameters, self.buffers = dict(module.named_parameters()), dict(module.named_buffers())
        self.n_batches = -(-len(train) // job.settings.batch)
        self.inputs = DeviceInputs.of(train.inputs, fabric.device)
        self.y = torch.from_numpy(train.y).to(fabric.device, torch.float32)
        self.bounds, self.weights = (
            None if each is None else torch.from_numpy(each).to(fabric.device, torch.float32)
            for each in (train.bounds, train.weights)
        )
        monitored = {"valid": valid, **job.monitor}
        self.monitored = {name: _sample(examples) for name, examples in monitored.items() if len(examples)}
        self.monitored["valid"] = valid
        self.on_device = {name: DeviceInputs.of(each.inputs, fabric.device) for name, each in self.monitored.items()}

    def batches(self, epoch: int) -> Iterator[np.ndarray]:
        """Rows of similar length."""
        return bucketed(self.inputs.lengths, self.job.settings.batch, self.job.seed, epoch)

    def inputs_of(self, batch: np.ndarray) -> tuple[Tensor, ...]:
        """Gathered on the device."""
        return self.inputs.batch(batch)

    def targets(self, batch: np.ndarray) -> tuple[Tensor, Dims, Tensor | None, Tensor | None]:
        """Targets, and the bounds and weights that there are."""
        rows = torch.from_numpy(batch).to(self.y.device)
        bounds, weights = (None if each is None else each[rows] for each in (self.bounds, self.weights))
        return self.y[rows], self.job.dims, bounds, weights


def supervised_loss(
    output: Tensor, y: Tensor, dims: Dims, bounds: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """Mean loss over the known targets of y (B, C) for outputs (B, T), a scalar; 0 when none is known.

    `bounds` (B, C): a target that is a bound costs what `tobit_loss` says; `weights` (B, C) multiply the loss of each target.
    """
    known = ~torch.isnan(y)
    if dims.task == "multiclass":
        classes = torch.where(known, y, -100.0)[:, 0].long()
        each = functional.cross_entropy(output.float(), classes, reduction="none")[:, None]
    elif dims.task == "regression":
        errors = output.float() - torch.where(known, y, 0.0)
        each = errors.square() if bounds is None else tobit_loss(errors, bounds, known, weights)
    else:
        filled = torch.where(known, y, 0.0)
        each = functional.binary_cross_entropy_with_logits(output.float(), filled, reduction="none")
    each = each if weights is None else each * weights
    return (each * known).sum() / known.sum().clamp(min=1)


@torch.no_grad()
def outputs(module: nn.Module, inputs: DeviceInputs, dims: Dims) -> np.ndarray:
    """Values or probabilities of all rows, float64 (N, T)."""
    result = np.zeros((len(inputs.lengths), dims.n_outputs))
    if not len(inputs.lengths):
        return result
    longest = max(int(inputs.lengths.max()), 1)
    symbols = PREDICT_SYMBOLS[next(module.parameters()).device.type]
    for rows in bucketed(inputs.lengths, max(symbols // longest, 1), None):
        output = module(*inputs.batch(rows)).cpu().double()  # mps has no float64
        if dims.task == "multiclass":
            output = output.softmax(1)
        elif dims.task != "regression":
            output = output.sigmoid()
        result[rows] = output.numpy()
    return result


def _sample(examples: Examples) -> Examples:
    if len(examples) <= MONITOR_ROWS:
        return examples
    rows = np.linspace(0, len(examples) - 1, MONITOR_ROWS).astype(np.int64)
    return examples.take(rows)


def _summary(kind: str, curve: list[Epoch]) -> str:
    best = min(curve, key=lambda line: line.valid_loss)
    return f"{kind}: {len(curve)} epochs, best {best.epoch + 1} with valid loss {best.valid_loss:.4g}"
