"""Tables and finished runs that the tests of what a run says of itself share; made once per process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import seqloom
from seqloom import evaluation
from seqloom.prediction import predict
from seqloom.simulate import Simulation

SPLIT = {"split": "random"}
QUICK = {"report.draws": 100, "report.by": [], "report.metrics": "auroc,log_loss"}
LINEAR = {**QUICK, "predictor.kind": "linear"}


@cache
def binary(rows: int = 520, seed: int = 0, noise: float = 0.15) -> pa.Table:
    """A planted rule with noisy labels."""
    return Simulation(rows=rows, noise=noise, seed=seed).table()


@cache
def concentrations() -> pa.Table:
    """The same rule as an amount, in nM."""
    table = Simulation(rows=1200, effect="soft").table()
    nanomolar = np.exp(5 - column(table, "target") / 2)
    return table.set_column(table.schema.get_field_index("target"), "target", pa.array(nanomolar))


@cache
def classes_in(base: Path) -> Path:
    """An experiment in the folder `base`: linear and knn on `binary()`, of which nothing is near anything."""
    folder = base / "belief-classes"
    seqloom.compare(binary(), out=folder, settings=QUICK, vary={"predictor.kind": ["linear", "knn"]}, **SPLIT)
    return folder


def without_chance() -> Iterator[None]:
    """Runs made meanwhile hardly look at what chance would score: that is half of their time, and tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "PERMUTATIONS", 20)
        patch.setattr(evaluation, "FEWEST_PERMUTATIONS", 20)
        yield


def json_of(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text())


def column(table: pa.Table, name: str) -> np.ndarray:
    """A column as an array."""
    return table[name].to_numpy(zero_copy_only=False)


def answered(run: Path, table: pa.Table, out: Path, **options: Any) -> tuple[pa.Table, dict[str, Any]]:
    """What `predict` writes, and the facts it tells."""
    facts = predict(run, table, out, **options)
    return pq.read_table(out), facts
