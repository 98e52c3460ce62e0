"""Intervals and sets of a run hold what they promise, in original units, for every task."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import seqloom
from belief_runs import LINEAR, SPLIT, answered, binary, classes_in, column, concentrations, json_of, without_chance
from contracts.tables import peptides, table_of
from seqloom.answers import Prediction
from seqloom.calibrate import fit_intervals
from seqloom.target import Target
from seqloom.uncertainty import HeldOut, Scale, measure

quick = pytest.fixture(scope="module", autouse=True)(without_chance)


@pytest.fixture(scope="module")
def classes(tmp_path_factory) -> Path:
    return classes_in(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def values(tmp_path_factory) -> Path:
    """A regression whose answers are concentrations."""
    folder = tmp_path_factory.mktemp("belief") / "values"
    settings = {**LINEAR, "report.metrics": "spearman", "target.transform": "log50k"}
    seqloom.train(concentrations().slice(0, 600), out=folder, settings=settings, **SPLIT)
    return folder


def test_intervals_hold_the_truth_of_new_rows_in_original_units(values, tmp_path):
    new = concentrations().slice(600)
    out, _ = answered(values, new, tmp_path / "out.parquet")
    low, pred, high, y = (column(out, name) for name in ("pred_low", "pred", "pred_high", "target"))
    assert (low < pred).all()
    assert (pred < high).all()
    assert (high - pred > pred - low).all()  # of a logarithm
    assert 0.85 < ((low <= y) & (y <= high)).mean() < 0.95
    known = json_of(values / "uncertainty.json")
    measured = known["coverage"][0]
    assert measured["share"]["low"] <= 0.9 <= measured["share"]["high"]
    assert known["scale"]["name"] == "absolute error (1 - ln(nM)/ln(50000))"


def test_the_width_is_that_of_the_residuals_of_test_rows(values, tmp_path):
    stored = pq.read_table(values / "predictions.parquet")
    score = Target("regression", ("target",), transform="log50k").to_score
    y, p = (score(column(stored, name)[:, None]) for name in ("target", "pred"))
    half = fit_intervals(y, p, (0.9,)).halfwidth(1)[0, 0]
    out, _ = answered(values, concentrations().slice(600, 5), tmp_path / "out.parquet", fast=True)
    ends = [score(column(out, name)[:, None])[:, 0] for name in ("pred_high", "pred_low")]
    np.testing.assert_allclose(ends[1] - ends[0], 2 * half, rtol=1e-6)


def test_sets_hold_the_class_of_new_rows(classes, tmp_path):
    out, _ = answered(classes / "linear", binary(1000, seed=5), tmp_path / "out.parquet")
    sets = [set(each.split("|")) - {""} for each in out["pred_set"].to_pylist()]
    assert {frozenset(each) for each in sets} <= {frozenset(), frozenset("0"), frozenset("1"), frozenset("01")}
    held = np.mean([str(y) in each for y, each in zip(out["label"].to_pylist(), sets, strict=True)])
    assert 0.82 < held < 0.97  # 100 test rows decide: three standard errors are 0.09


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
def test_every_task_has_its_columns(task, tmp_path):
    data = table_of(task, 120).data
    target = "target"
    if task == "multilabel":
        target = "one,two"
    if task == "regression":
        data, target = data.append_column("other", pa.array(-100 * column(data, "target"))), "target,other"
    settings = {**LINEAR, "report.metrics": []}
    seqloom.train(data, out=tmp_path / "run", target=target, settings=settings, **SPLIT)
    out, facts = answered(tmp_path / "run", pa.table({"sequence": peptides(40, 8)}), tmp_path / "out.parquet")
    names = out.column_names
    assert names[-3:] == ["nearest_identity", "domain", "expected_error"]
    assert set(out["domain"].to_pylist()) <= {"inside", "outside"}
    assert facts["outside"] == out["domain"].to_pylist().count("outside")
    if task == "regression":
        assert {"pred_low_target", "pred_high_target", "pred_low_other", "pred_high_other"} <= set(names)
        width = [np.median(column(out, f"pred_high_{c}") - column(out, f"pred_low_{c}")) for c in ("target", "other")]
        assert width[1] == pytest.approx(100 * width[0], rel=1e-3)
    else:
        known = {"low", "middle", "high"} if task == "multiclass" else {"one", "two"}
        assert all(set(each.split("|")) <= known | {""} for each in out["pred_set"].to_pylist())
    assert "How far to believe it" in (tmp_path / "run" / "report.html").read_text()


def test_a_class_may_be_called_set():
    target = Target("binary", ("kind",), classes=("low", "set"))
    rng = np.random.default_rng(0)
    y, p = (rng.random((60, 1)) < 0.5).astype(float), rng.random((60, 1))
    nothing = np.full(60, np.nan)
    held = HeldOut(target, y, p, p, nothing, nothing, np.full((60, 2), np.nan), nothing, None)
    known = measure(held, Scale.of(target, y), 0.9, y, how="", draws=100)
    assert list(Prediction(target, p, None, known).columns()) == ["pred", "pred_low", "pred_set", "pred_set_"]


def test_bounds_are_no_values_that_an_interval_could_hold(tmp_path):
    table = concentrations().slice(0, 150)
    cap = float(np.quantile(column(table, "target"), 0.8))
    settings = {**LINEAR, "report.metrics": "spearman", "target.transform": "log", "target.cap_above": cap}
    seqloom.train(table, out=tmp_path / "run", settings=settings, **SPLIT)
    known = json_of(tmp_path / "run" / "uncertainty.json")
    assert known["how"].endswith("rows)")
    assert "bounds are left out" in known["how"]
    assert 20 < known["rows"] < 30


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_table_of_a_dozen_rows_is_no_crash(task, tmp_path):
    data = table_of(task, 12, seed=3).data
    seqloom.train(data, out=tmp_path / "run", settings={**LINEAR, "report.metrics": []}, **SPLIT)
    known = json_of(tmp_path / "run" / "uncertainty.json")
    assert known["coverage"][0]["share"]["value"] is None
    assert "needs 9 held-back rows" in known["notes"][0]
    out, _ = answered(tmp_path / "run", data.select(["sequence"]), tmp_path / "out.parquet")
    if task == "regression":
        assert np.isinf(column(out, "pred_high")).all()
    assert "needs 9 held-back rows" in (tmp_path / "run" / "report.html").read_text()
