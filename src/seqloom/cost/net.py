"""What one net costs on a library: time, memory, disk, and which resource is the limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqloom.cost.figure import Figure, assumed, computed, measured
from seqloom.cost.probe import Probed
from seqloom.cost.sizes import counted_rows, order_arrays
from seqloom.cost.whole import Library
from seqloom.training.settings import TrainSection

BANDWIDTH = {"cpu": ("gloo", 1e9), "cuda": ("nccl", 2e10)}
"""Bytes a second between two processes of a training: Ethernet of 10 Gbit/s, and PCIe 4.0 without a faster link, both less
overheads; of the order of what is met, and no more."""
COUNTS = 5
"""Times that the parts of all rows are told for a member: training rows, valid rows twice, tested rows of both parts."""
COUNTS_OF_ALL = 4
"""And once for all members: all parts, tested rows of both, training rows for the baselines."""


@dataclass(frozen=True)
class NetCost:
    """One net of a plan."""

    name: str
    predictor: Mapping[str, Any]
    n_weights: int
    device: str
    threads: int
    batch: int
    probed_batch: int
    limit: str
    """Which resource is, in words."""
    figures: Mapping[str, Figure]

    def as_json(self) -> dict[str, Any]:
        """The stable keys of a net of `plan --json`."""
        return {
            "name": self.name, "predictor": dict(self.predictor), "weights": self.n_weights, "batch": self.batch,
            "limit": self.limit, "figures": {name: each.as_json() for name, each in self.figures.items()},
        }  # fmt: skip


@dataclass(frozen=True)
class Step:
    """Seconds of a row in a step."""

    net: float
    loader: float
    between: float
    """Gradients sent between devices."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.net + self.loader + self.between

    @property
    def limit(self) -> str:
        """What takes most of it."""
        parts = {"the net": self.net, "the loader": self.loader, "gradients between devices": self.between}
        name, most = max(parts.items(), key=lambda each: each[1])
        return f"{name}: {most / self.total:.0%} of a step".replace("%", " %")


def net_cost(
    name: str, predictor: Mapping[str, Any], train: TrainSection, found: Probed, library: Library, devices: int
) -> NetCost:
    """A net's cost, from what its probe has found."""
    batch, step = found.asked_batch, step_of(found, devices)
    figures = _times(train, found, library, step, devices)
    figures |= _memory(found, library, devices)
    state = (2 + bool(train.ema)) * found.weight_bytes + found.optimizer_bytes
    figures["checkpoint_bytes"] = computed(
        state, "bytes",
        "weights, best weights" + ", their mean" * bool(train.ema) + " and state of the optimiser; twice as much while written",
    )  # fmt: skip
    figures["prediction_bytes"] = computed(
        library.rows * found.prediction_bytes, "bytes",
        f"of all rows; {found.prediction_bytes:.1f} bytes a row measured in Parquet on {found.n_predicted:,}, without sequences",
    )  # fmt: skip
    return NetCost(
        name, predictor, found.n_weights, found.device, found.threads, batch, found.batch, step.limit, figures
    )


def step_of(found: Probed, devices: int) -> Step:
    """Seconds of a row of a step that is divided over so many devices.

    Each has its share of the net's work, measured in steps of so few rows, looks at all rows of the batch and makes their order,
    and then sends its gradients around the ring: 2 (K - 1) / K times the weights.
    """
    if devices == 1:
        return Step(found.step_seconds - found.gather_seconds, found.gather_seconds + found.order_seconds, 0.0)
    own, gather = found.divided_seconds / devices, found.gather_seconds
    seconds = 2 * (devices - 1) / devices * 4 * found.n_weights / _bandwidth(found)[1]
    return Step(own, gather + found.order_seconds, seconds / found.asked_batch)


def _bandwidth(found: Probed) -> tuple[str, float]:
    return BANDWIDTH["cuda" if found.device.startswith("cuda") else "cpu"]


def _times(train: TrainSection, found: Probed, library: Library, step: Step, devices: int) -> dict[str, Figure]:
    n_train = library.rows * found.shares["train"]
    learnt, asked = learnt_rows(train, n_train)
    valid = min(library.rows * found.shares["valid"], found.valid_rows)
    tested = library.rows * (found.shares["share"] + found.shares["nonshare"])
    validating = -(-learnt // found.span_rows) * valid * found.predict_seconds / devices
    testing, counting = tested * found.predict_seconds, COUNTS * library.rows * found.count_seconds
    member = learnt * step.total + validating + testing + counting
    start = found.start_seconds + COUNTS_OF_ALL * library.rows * found.count_seconds
    steps = f"{found.n_steps} steps of {found.batch:,} rows"
    figures = {
        "train_rows": measured(n_train, "rows", f"{_of(found.shares['train'], 1)} of {found.looked_at:,} rows from all over"),
        "rows_per_second": measured(1 / step.total, "rows/s", f"{steps} after 3 to warm up, {found.device}"),
        "pass_seconds": computed(n_train * step.total, "s", "a pass over the training rows"),
        "learnt_rows": computed(learnt, "rows", asked),
        "member_seconds": computed(
            member, "s", f"with {_of(validating, member)} for valid rows, {_of(testing, member)} for predictions of tested rows"
        ),
        "members": computed(found.members, "members", "train.seeds x split.inner"),
        "total_seconds": computed(
            found.members * member + start, "s", f"one after the other, and {start:.1f} s to start"
        ),
        "predicted_per_second": measured(
            1 / found.predict_seconds, "rows/s", f"{found.n_predicted:,} rows, {found.device}"
        ),
        "predicting_seconds": computed(library.rows * found.predict_seconds, "s", "all rows of the library by one member"),
        "read_per_second": computed(
            library.row_bytes.total(library.rows) / library.rows / step.total, "bytes/s",
            "what the disk must give where the store is not held in memory",
        ),
    }  # fmt: skip
    if devices > 1:
        figures["rows_per_second"] = _together(found, step, devices)
        alone = found.step_seconds + found.order_seconds
        how = f"of {devices} times one device, which does {1 / alone:,.0f} rows a second"
        figures["efficiency"] = computed(alone / devices / step.total, "share", how)
        name, bandwidth = _bandwidth(found)
        figures["bandwidth"] = assumed(
            bandwidth, "bytes/s", f"between two of {devices} processes, {name}; not overlapped"
        )
    return figures


def _together(found: Probed, step: Step, devices: int) -> Figure:
    how = (
        f"steps of {found.asked_batch:,} rows on {devices} devices like this one: each has {-(-found.asked_batch // devices):,} "
        f"of them, as was measured, and sends {4 * found.n_weights / 1e6:,.1f} MB of gradients, as is assumed"
    )
    return computed(1 / step.total, "rows/s", how)


def learnt_rows(train: TrainSection, n_train: float) -> tuple[float, str]:
    """Rows that a member learns from, in all, and what says so."""
    rows = train.rows
    if rows:
        return rows, f"train.rows = {rows:,}, {rows / max(n_train, 1):.2g} passes"
    epochs = train.epochs or 1
    return epochs * n_train, f"train.epochs = {train.epochs}" + ", a pass" * (
        not train.epochs
    ) + "; fewer where patience ends it"


def _memory(found: Probed, library: Library, devices: int) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    n, batch, targets = library.rows, found.asked_batch, library.targets
    orders = sum(order_arrays(n, batch).values())
    valid = min(n * found.shares["valid"], found.valid_rows) * (library.row_bytes.symbols + 16 * (1 + targets))
    tested = n * (found.shares["share"] + found.shares["nonshare"]) * (8 + 12 * targets)
    counting = found.count_bytes * counted_rows(n)
    if found.library_bytes is not None and found.peak_bytes is not None:
        net = (found.peak_bytes - found.library_bytes) * max(-(-batch // devices) / found.batch, 1.0)
        steady = found.library_bytes + net + orders + valid + tested
        figures["memory_bytes"] = computed(
            max(steady, found.library_bytes + counting), "bytes",
            f"of a process, anonymous: {_mb(found.library_bytes)} libraries and {_mb(net)} net, optimiser and activations "
            f"measured, {_mb(orders)} order, {_mb(valid + tested)} valid and tested rows; at its start "
            f"{_mb(counting)} to count parts",
        )  # fmt: skip
    if found.device_bytes is not None and found.device_room is not None:
        store = library.row_bytes.on_device(n)
        fits = store <= found.device_room
        figures["device_bytes"] = computed(
            found.device_bytes + store * fits, "bytes",
            f"{_mb(found.device_bytes)} net, optimiser and activations measured; the store of {_mb(store)} "
            + ("lies" if fits else "does not fit")
            + f" in the {_mb(found.device_room)} that it may take",
        )  # fmt: skip
    return figures


def _of(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3g} %"


def _mb(size: float) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"
