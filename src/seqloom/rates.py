"""Learning rates before a comparison: the range test for every net of an experiment, and a page of what it shows.

Each net is trained for a few hundred steps as in fold 0 of a comparison, on the batches of its training rows alone. Nothing of
it is kept but the losses.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from seqloom.config import Variant
from seqloom.errors import ConfigError
from seqloom.experiment import Watcher
from seqloom.files import write_json, write_text
from seqloom.folds import Folds
from seqloom.plan import Plan, make_plan
from seqloom.predict.base import Job
from seqloom.predict.fitting import prepared
from seqloom.prediction import write_table
from seqloom.registry import available, recipe_class
from seqloom.sections import Sections
from seqloom.split.base import TRAIN

if TYPE_CHECKING:
    from seqloom.predict.net import Net
    from seqloom.training.rate_range import Reading, Sweep

SWEEPS = 3
"""Members of each net that are swept, from its first seed on: how far they differ is how rough the answer is."""
OWN = ("seeds", "lr", "schedule", "warmup", "epochs", "patience", "ema")
"""Settings of `[train]` that a sweep has no use for: variants that differ in nothing else are swept once."""


@dataclass(frozen=True)
class Swept:
    """A net, what its sweeps gave, and what was read from each."""

    variant: Variant
    n_rows: int
    """Rows that it was trained on."""
    sweeps: tuple[Sweep, ...]
    readings: tuple[Reading, ...]

    @property
    def fastest(self) -> float:
        """The rate at which the loss falls fastest, NaN where it cannot be told."""
        from seqloom.training.rate_range import typical

        return typical([each.fastest for each in self.readings])

    @property
    def turn(self) -> float:
        """The rate at which the loss turns upward, NaN where it does not or cannot be told."""
        from seqloom.training.rate_range import typical

        return typical([each.turn for each in self.readings])

    @property
    def tenth(self) -> float:
        """A tenth of that."""
        from seqloom.training.rate_range import MARGIN

        return self.turn / MARGIN

    @property
    def worth_trying(self) -> tuple[float, ...]:
        """Three rates about both answers, of one digit; none where there is no answer."""
        known = [each for each in (self.fastest, self.tenth) if not math.isnan(each)]
        if not known:
            return ()
        low, high = min(known), max(known)
        middle = math.sqrt(low * high)
        wanted = (low, middle, high) if high >= 5 * low else (middle / 3, middle, middle * 3)
        return tuple(dict.fromkeys(float(f"{each:.0e}") for each in wanted))

    @property
    def text(self) -> str:
        """The answer in words."""
        if math.isnan(self.fastest):
            return "the loss did not fall beyond the noise of its batches at any rate: nothing to suggest"
        turned = (
            f"a tenth of where it turns upward is {self.tenth:.1g}{_spread(self.readings, 'turn', 10)}"
            if not math.isnan(self.turn)
            else "it did not turn upward"
        )
        return f"the loss falls fastest at {self.fastest:.1g}{_spread(self.readings, 'fastest')}, {turned}"

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain numbers; null where there is none."""
        train = self.variant.train
        return {
            "variant": self.variant.name,
            "predictor": self.variant.predictor.kind,
            "optimizer": train.optimizer,
            "batch": train.batch,
            "train_rows": self.n_rows,
            "fastest": _number(self.fastest),
            "turn": _number(self.turn),
            "tenth_of_turn": _number(self.tenth),
            "try": list(self.worth_trying),
            "text": self.text,
            "sweeps": [
                {
                    "seed": each.seed,
                    "diverged": each.diverged,
                    "fastest": _number(reading.fastest),
                    "turn": _number(reading.turn),
                    "rates": each.rates.tolist(),
                    "losses": each.losses.tolist(),
                    "smoothed": each.smoothed.tolist(),
                }
                for each, reading in zip(self.sweeps, self.readings, strict=True)
            ],
        }


def rate_ranges(
    sections: Sections, folder: Path, *, data: Any = None, config: str = "", watcher: Watcher | None = None
) -> dict[str, Any]:
    """The range test of every net of `sections`; the keys of `tune --rates --json`. `rates.html`, `.csv` and `.json` are written.

    Models that are no nets are passed over; ConfigError where all are.
    """
    started = time.monotonic()
    watcher = watcher or Watcher()
    plan = make_plan(sections, data, config)
    nets, others = _nets(plan)
    for each in plan.findings:
        watcher.say(f"  {each.severity}: {each.message}")
    watcher.start(SWEEPS * len(nets))
    found = _swept(plan, nets, watcher)
    from seqloom.report.rate_range import rates_html

    folder.mkdir(parents=True, exist_ok=True)
    page, table, facts_file = (folder / f"rates.{kind}" for kind in ("html", "csv", "json"))
    write_text(page, rates_html(plan.table.source.name, found, others))
    write_table(_table(found), table)
    facts = {
        "command": "tune",
        "path": folder.as_posix(),
        "seconds": round(time.monotonic() - started, 3),
        "rates": [each.as_json() for each in found],
        "no_nets": others,
        "page": page.as_posix(),
        "table": table.as_posix(),
        "findings": [each.as_json() for each in plan.findings],
    }
    write_json(facts_file, facts)
    return facts


def _nets(plan: Plan) -> tuple[list[Variant], list[str]]:
    """The nets to sweep, each once, and the names of what is none; baselines that nobody named aside."""
    from seqloom.predict.net import Net

    asked = [variant for variant in plan.variants if variant.name in plan.asked]
    nets: dict[str, Variant] = {}
    for variant in asked:
        if isinstance(variant.predictor, Net):
            train = {key: value for key, value in variant.resolved["train"].items() if key not in OWN}
            same = repr({**variant.resolved, "train": train, "report": {}, "calibrate": {}})
            nets.setdefault(same, variant)
    others = [variant.name for variant in asked if not isinstance(variant.predictor, Net)]
    if not nets:
        kinds = [kind for kind in available("predictor") if _is_net(kind)]
        raise ConfigError(
            f"tune --rates: no net is among {', '.join(others)}, and others have no learning rate to find; name one, as in --set "
            f"predictor.kind=mlp (nets: {', '.join(kinds)})"
        )
    return list(nets.values()), others


def _is_net(kind: str) -> bool:
    from seqloom.predict.net import Net

    return issubclass(recipe_class("predictor", kind), Net)


def _swept(plan: Plan, nets: Sequence[Variant], watcher: Watcher) -> list[Swept]:
    import torch

    from seqloom.training.device import open_fabric
    from seqloom.training.rate_range import read, sweep

    folds, found = Folds(plan), []
    for variant in nets:
        net: Net = variant.predictor  # type: ignore[assignment]
        own = folds.prepared(variant, 0)
        train = own.examples[TRAIN]
        job = Job(dims=own.dims, settings=variant.train, name=variant.name, classes=own.target.classes)
        fabric = open_fabric(variant.train.device, variant.train.precision)
        sweeps = []
        for seed in range(variant.train.seed, variant.train.seed + SWEEPS):
            watcher.member(f"{variant.name}, rates, seed {seed}")
            with torch.random.fork_rng([fabric.device] if fabric.device.type == "cuda" else []):
                # In place of valid rows, which a sweep does not look at, stand those of training.
                member = prepared(net, train, train, replace(job, seed=seed))
                sweeps.append(sweep(net.training(*member, fabric), fabric, watcher.epoch))
            watcher.done()
        swept = Swept(variant, len(train), tuple(sweeps), tuple(map(read, sweeps)))
        watcher.say(f"{variant.name}: {swept.text}")
        found.append(swept)
    return found


def _table(found: Sequence[Swept]) -> pa.Table:
    """A row for every step."""
    parts = [
        {
            "variant": np.full(len(each.rates), own.variant.name),
            "seed": np.full(len(each.rates), each.seed),
            "step": np.arange(1, len(each.rates) + 1),
            "rate": each.rates,
            "loss": each.losses,
            "smoothed": each.smoothed,
        }
        for own in found
        for each in own.sweeps
    ]
    return pa.table({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _spread(readings: Sequence[Reading], name: str, over: float = 1.0) -> str:
    """How far the sweeps differ, in brackets."""
    known = [getattr(each, name) / over for each in readings if not math.isnan(getattr(each, name))]
    return f" ({min(known):.1g}..{max(known):.1g})" if len(known) > 1 else ""


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
