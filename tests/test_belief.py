"""Every run knows how far to believe its numbers: calibration, intervals and sets, domain, another prevalence."""

import json
import math
import shutil
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
import tomli_w
from click.testing import CliRunner

import seqloom
from contracts.tables import peptides, table_of
from report_folders import report, text_of
from seqloom import training_rows as kept
from seqloom.answers import Prediction
from seqloom.calibrate import Calibrator, fit_intervals, reliability
from seqloom.cli import main
from seqloom.domain import Domain, measure_domain
from seqloom.errors import ConfigError, RunError
from seqloom.model import load_variant
from seqloom.prediction import evaluate, predict
from seqloom.run import Member, Run
from seqloom.simulate import Simulation
from seqloom.table import read_table
from seqloom.target import Target
from seqloom.uncertainty import HeldOut, Scale, Uncertainty, errors_of, measure

SPLIT = {"split": "random"}
QUICK = {"report.draws": 100, "report.by": [], "report.metrics": "auroc,log_loss"}
LINEAR = {**QUICK, "predictor.kind": "linear"}


@cache
def binary(rows: int = 520, seed: int = 0, noise: float = 0.15) -> pa.Table:
    return Simulation(rows=rows, noise=noise, seed=seed).table()


def json_of(path: Path):
    return json.loads(path.read_text())


def column(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy(zero_copy_only=False)


def answered(run: Path, table: pa.Table, out: Path, **options) -> tuple[pa.Table, dict]:
    facts = predict(run, table, out, **options)
    return pq.read_table(out), facts


@pytest.fixture(scope="module")
def classes(tmp_path_factory) -> Path:
    """Linear and knn on a planted rule with noisy labels; nothing is near anything."""
    folder = tmp_path_factory.mktemp("belief") / "classes"
    seqloom.compare(binary(), out=folder, settings=QUICK, vary={"predictor.kind": ["linear", "knn"]}, **SPLIT)
    return folder


@pytest.fixture(scope="module")
def values(tmp_path_factory) -> Path:
    """A regression whose answers are concentrations."""
    folder = tmp_path_factory.mktemp("belief") / "values"
    settings = {**LINEAR, "report.metrics": "spearman", "target.transform": "log50k"}
    seqloom.train(concentrations().slice(0, 600), out=folder, settings=settings, **SPLIT)
    return folder


@cache
def concentrations() -> pa.Table:
    table = Simulation(rows=2100, effect="soft").table()
    nanomolar = np.exp(5 - column(table, "target") / 2)
    return table.set_column(table.schema.get_field_index("target"), "target", pa.array(nanomolar))


# --- calibration ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "knn", "nearest", "constant"])
def test_scores_and_predictions_are_of_calibrated_probabilities(classes, kind):
    member = classes / kind / "fold-0" / "seed-0"
    calibrator = Calibrator.from_json(json_of(member / "calibration.json"))
    shown = column(pq.read_table(classes / kind / "predictions.parquet"), "pred_1")
    np.testing.assert_allclose(shown, calibrator.apply(np.load(member / "test.npy"))[:, 0], rtol=0, atol=1e-12)
    told = json_of(classes / kind / "metrics.json")["members"][0]["calibrator"]
    assert (told["method"], told["why"], told["rows"]) == (calibrator.name, calibrator.why, calibrator.n_rows)


def test_a_refitted_model_is_calibrated_by_what_it_gave_before_it_saw_the_valid_rows(classes):
    partition = pq.read_table(classes / "partition.parquet")
    valid = set(column(partition.filter(pa.compute.equal(partition["role"], "valid")), "row").tolist())
    member = json_of(classes / "knn" / "metrics.json")["members"][0]["calibrator"]
    assert member["rows"] == len(valid)
    # The nearest of a valid row in the finished model is that row itself: its log loss would be far below.
    assert member["log_loss_before"] > 0.3


def test_a_saved_run_predicts_calibrated_probabilities(classes, tmp_path):
    stored = pq.read_table(classes / "linear" / "predictions.parquet")
    fresh, _ = answered(classes / "linear", binary(), tmp_path / "out.parquet")
    by_id = dict(zip(fresh["id"].to_pylist(), fresh["pred_1"].to_pylist(), strict=True))
    for row in stored.to_pylist():
        assert by_id[row["id"]] == pytest.approx(row["pred_1"], abs=1e-9)


def test_methods_can_be_compared_and_leave_the_model_itself_alone(tmp_path):
    result = seqloom.compare(
        binary(), out=tmp_path / "run", settings=LINEAR,
        vary={"calibrate.method": ["none", "platt"]}, **SPLIT,
    )  # fmt: skip
    names = {row["variant"]: row for row in result.leaderboard}
    one, other = tmp_path / "run" / "linear-method-none", tmp_path / "run" / "linear-method-platt"
    assert np.array_equal(*(np.load(run / "fold-0/seed-0/test.npy") for run in (one, other)))
    assert json_of(other / "metrics.json")["members"][0]["calibrator"]["method"] == "platt"
    assert json_of(one / "metrics.json")["members"][0]["calibrator"]["why"].startswith("none: as asked")
    assert names["linear-method-none"]["metrics"]["auroc"] == names["linear-method-platt"]["metrics"]["auroc"]
    assert names["linear-method-none"]["metrics"]["log_loss"] != names["linear-method-platt"]["metrics"]["log_loss"]


@pytest.mark.parametrize(
    "settings", [{"calibrate.method": "platt"}, {"calibrate.level": 1.0}, {"calibrate.levle": 0.8}]
)
def test_settings_that_make_no_sense_are_refused(tmp_path, settings):
    with pytest.raises(ConfigError, match=r"\[calibrate\]"):
        seqloom.train(
            table_of("regression").data, out=tmp_path / "run", settings={"predictor.kind": "linear", **settings}
        )


def test_a_member_without_its_calibrator_is_not_done(classes, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(classes / "linear", folder)
    run = Run(folder, load_variant(folder))
    assert run.is_done(Member(0, 0))
    (folder / "fold-0" / "seed-0" / "calibration.json").unlink()
    assert not run.is_done(Member(0, 0))


def test_a_run_of_before_there_was_calibration_still_predicts(classes, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(classes / "linear", old)
    for name in ("uncertainty.json", "training.parquet", "fold-0/seed-0/calibration.json"):
        (old / name).unlink()
    resolved = tomllib.loads((old / "resolved.toml").read_text())
    del resolved["calibrate"]
    (old / "resolved.toml").write_text(tomli_w.dumps(resolved))
    fresh, facts = answered(old, binary(), tmp_path / "out.parquet")
    assert fresh.column_names[-3:] == ["pred", "pred_0", "pred_1"]
    assert [each["code"] for each in facts["findings"] if each["severity"] == "info"] == ["no-uncertainty"]
    stored = pq.read_table(old / "predictions.parquet")
    raw = dict(zip(stored["id"].to_pylist(), np.load(old / "fold-0/seed-0/test.npy")[:, 0].tolist(), strict=True))
    by_id = dict(zip(fresh["id"].to_pylist(), fresh["pred_1"].to_pylist(), strict=True))
    assert all(by_id[name] == pytest.approx(value, abs=1e-9) for name, value in raw.items())
    assert evaluate(old, binary(60, seed=9))["by_identity"] is None


# --- what is measured -------------------------------------------------------------------------------------------------------


def test_uncertainty_is_that_of_the_test_rows(classes):
    known = json_of(classes / "linear" / "uncertainty.json")
    stored = pq.read_table(classes / "linear" / "predictions.parquet")
    y, p = column(stored, "target").astype(float), column(stored, "pred_1")
    assert known["rows"] == len(y)
    assert known["reliability"]["calibrated"]["ece"]["value"] == pytest.approx(reliability(y, p).ece.value)
    bands = known["domain"]["bands"]
    wrong = (p >= 0.5) != y
    assert sum(band["rows"] * band["error"]["value"] for band in bands) == pytest.approx(wrong.sum())
    common = pq.read_table(classes / "constant" / "predictions.parquet")
    guessed = (column(common, "pred_1") >= 0.5) != y
    assert sum(band["rows"] * band["baseline"]["value"] for band in bands) == pytest.approx(guessed.sum())
    board = {row["variant"]: row["calibration"] for row in json_of(classes / "leaderboard.json")["leaderboard"]}
    assert board["linear"]["ece"] == known["reliability"]["calibrated"]["ece"]
    assert board["linear"]["coverage"][0]["value"] == known["coverage"][0]["share"]["value"]


def test_what_is_known_survives_the_file(classes):
    facts = json_of(classes / "linear" / "uncertainty.json")
    known = Uncertainty.from_json(facts)
    assert json.loads(json.dumps(known.as_json())) == facts


def test_rows_that_several_folds_test_count_once(tmp_path):
    settings = {**LINEAR, "split.inner": 2}
    seqloom.train(binary(60), out=tmp_path / "run", folds=2, settings=settings, **SPLIT)
    assert json_of(tmp_path / "run" / "uncertainty.json")["rows"] == 60


# --- intervals and sets -----------------------------------------------------------------------------------------------------


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
    out, _ = answered(classes / "linear", binary(1500, seed=5), tmp_path / "out.parquet")
    sets = [set(each.split("|")) - {""} for each in out["pred_set"].to_pylist()]
    assert {frozenset(each) for each in sets} <= {frozenset(), frozenset("0"), frozenset("1"), frozenset("01")}
    held = np.mean([str(y) in each for y, each in zip(out["label"].to_pylist(), sets, strict=True)])
    assert 0.82 < held < 0.97  # 100 test rows decide: three standard errors are 0.09


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
def test_every_task_has_its_columns(task, tmp_path):
    data = table_of(task, 240).data
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
    known = measure(
        HeldOut(target, y, p, p, nothing, nothing, nothing, None), Scale.of(target, y), 0.9, y, how="", draws=100
    )
    assert list(Prediction(target, p, None, known).columns()) == ["pred", "pred_low", "pred_set", "pred_set_"]


def test_bounds_are_no_values_that_an_interval_could_hold(tmp_path):
    table = concentrations().slice(0, 300)
    cap = float(np.quantile(column(table, "target"), 0.8))
    settings = {**LINEAR, "report.metrics": "spearman", "target.transform": "log", "target.cap_above": cap}
    seqloom.train(table, out=tmp_path / "run", settings=settings, **SPLIT)
    known = json_of(tmp_path / "run" / "uncertainty.json")
    assert known["how"].endswith("rows)")
    assert "bounds are left out" in known["how"]
    assert 40 < known["rows"] < 60


# --- domain -----------------------------------------------------------------------------------------------------------------


def test_distances_are_those_of_the_audit(classes, tmp_path):
    out, _ = answered(classes / "linear", binary(), tmp_path / "out.parquet")
    by_id = dict(zip(out["id"].to_pylist(), out["nearest_identity"].to_pylist(), strict=True))
    audited = pq.read_table(classes / "nearest.parquet").to_pylist()
    assert len(audited) == 104
    for row in audited:
        assert (by_id[row["id"]] or 0) == pytest.approx(row["identity"])


def test_distances_do_not_depend_on_what_else_is_in_the_table(classes, tmp_path):
    new = binary(40, seed=3)
    whole, _ = answered(classes / "linear", new, tmp_path / "whole.parquet")
    single = [answered(classes / "linear", new.slice(k, 1), tmp_path / "one.parquet")[0] for k in range(0, 40, 8)]
    assert [each["nearest_identity"][0].as_py() for each in single] == whole["nearest_identity"].to_pylist()[::8]


def test_a_run_folder_can_be_moved_by_itself(classes, tmp_path):
    shutil.copytree(classes / "knn", tmp_path / "elsewhere")
    here, there = (
        answered(run, binary(30, seed=2), tmp_path / "out.parquet")[0]
        for run in (classes / "knn", tmp_path / "elsewhere")
    )
    assert here.equals(there)
    assert "domain" in here.column_names


def test_fast_leaves_out_distances_and_nothing_else(classes, tmp_path):
    whole, _ = answered(classes / "linear", binary(30, seed=2), tmp_path / "a.parquet")
    fast, facts = answered(classes / "linear", binary(30, seed=2), tmp_path / "b.parquet", fast=True)
    assert fast.equals(whole.select(whole.column_names[:-3]))
    assert facts["outside"] is None


def test_rows_that_cannot_be_predicted_have_no_distance_and_all_failing_rows_have_the_same_columns(classes, tmp_path):
    odd = pa.table({"sequence": ["ACDEFGHIK", "AC1", ""]})
    out, _ = answered(classes / "linear", odd, tmp_path / "out.parquet")
    assert out["domain"].to_pylist()[1:] == [None, None]
    assert answered(classes / "linear", odd.slice(1), tmp_path / "o.parquet")[0].column_names == out.column_names


def test_a_column_of_the_table_called_domain_is_kept(classes, tmp_path):
    new = binary(3, seed=2).append_column("domain", pa.array(["SH3", "PDZ", "WW"]))
    out, _ = answered(classes / "linear", new, tmp_path / "out.parquet")
    assert out["domain"].to_pylist() == ["SH3", "PDZ", "WW"]
    assert set(out["pred_domain"].to_pylist()) <= {"inside", "outside"}


def made_domain(seed: int = 0) -> Domain:
    """Below 50 % the model is as good as the constant, above it is better; there is no row below 30 %."""
    rng = np.random.default_rng(seed)
    identity = rng.uniform(0.3, 0.69, 400)
    baseline = rng.gamma(2, 1, 400)
    domain = measure_domain(identity, np.where(identity < 0.5, baseline[::-1], baseline / 2), baseline)
    assert domain is not None
    return domain


def test_inside_is_where_the_model_was_better_than_a_constant():
    domain = made_domain()
    assert [band.low for band in domain.model.bands] == [0.3, 0.5]
    identity = np.array([0.0, 0.2, 0.35, 0.55, 0.95, np.nan])
    assert domain.inside(identity).tolist() == [False, False, False, True, True, False]
    assert np.isnan(domain.expected(identity).value).tolist() == [True, True, False, False, False, True]
    again = Domain.from_json(json.loads(json.dumps(domain.as_json())))
    assert again.inside(identity).tolist() == domain.inside(identity).tolist()


def test_of_few_rows_the_sign_decides():
    identity, error = np.full(8, 0.4), np.array([0, 0, 0, 1, 0, 1, 0, 0.0])
    better = measure_domain(identity, error, 1 - error)
    worse = measure_domain(identity, 1 - error, error)
    assert better is not None
    assert worse is not None
    assert better.inside(np.array([0.4])).tolist() == [True]
    assert worse.inside(np.array([0.4])).tolist() == [False]
    assert measure_domain(np.full(3, np.nan), error[:3], error[:3]) is None


def test_a_stated_error_is_held_against_other_rows():
    domain = made_domain()
    rng = np.random.default_rng(1)
    near, far = np.full(300, 0.6), np.full(20, 0.1)
    lines = domain.held_against(near, rng.gamma(2, 1, 300) / 2, is_share=False)
    assert [(line["from"], line["rows"], line["holds"]) for line in lines] == [(0.3, 0, None), (0.5, 300, True)]
    lines = domain.held_against(np.append(near, far), np.append(rng.gamma(2, 1, 300), np.ones(20)), is_share=False)
    assert [(line["from"], line["rows"], line["holds"]) for line in lines] == [
        (0.0, 20, None),
        (0.3, 0, None),
        (0.5, 300, False),
    ]
    assert lines[0]["stated"]["value"] is None


def test_a_stated_error_holds_as_often_as_its_interval_says():
    rng = np.random.default_rng(2)
    held = []
    for _ in range(60):
        identity = np.full(200, 0.4)
        errors = (rng.random(200) < 0.3).astype(float)
        domain = measure_domain(identity, errors, errors, draws=200)
        assert domain is not None
        (line,) = domain.held_against(identity[:80], (rng.random(80) < 0.3).astype(float), is_share=True)
        held.append(line["holds"])
    assert np.mean(held) > 0.86


def test_evaluate_tells_whether_stated_errors_hold(classes):
    facts = evaluate(classes / "linear", binary(400, seed=11))
    bands = facts["by_identity"]["bands"]
    assert facts["by_identity"]["error"] == "share of wrong classes"
    assert sum(band["rows"] for band in bands) == 400
    assert all(band["holds"] for band in bands if band["rows"] > 30)
    seen = evaluate(classes / "linear", binary())
    assert sum(band["rows"] for band in seen["by_identity"]["bands"]) == 104


def test_very_many_training_sequences_are_sampled_and_it_is_said(classes, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MOST_KEPT", 20)
    folder = tmp_path / "run"
    shutil.copytree(classes / "linear", folder)
    table = read_table(binary())
    sample = kept.training_rows(table, np.arange(80), exact=True)
    sample.write(folder / "training.parquet")
    assert pq.read_table(folder / "training.parquet").num_rows == 20
    assert set(sample.sequences["sequence"].to_pylist()) < set(table.sequences().to_pylist()[:80])
    _, facts = answered(folder, binary(10, seed=4), tmp_path / "out.parquet")
    assert "random sample of 20 of 80 training sequences" in facts["findings"][0]["message"]
    (folder / "training.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(RunError, match="damaged"):
        answered(folder, binary(10, seed=4), tmp_path / "out.parquet")


# --- another prevalence -----------------------------------------------------------------------------------------------------


def test_another_prevalence_is_a_warning(classes, tmp_path):
    pool = binary(800, seed=6, noise=0.0)
    label = column(pool, "label")
    positives = pool.take(pa.array(np.flatnonzero(label == 1)[:200]))

    def codes(facts: dict) -> list[str]:
        return [each["code"] for each in facts["findings"]]

    assert codes(answered(classes / "linear", positives, tmp_path / "out.parquet")[1]) == ["prior-shift"]
    assert "prior-shift" in codes(evaluate(classes / "linear", pool.take(pa.array(np.argsort(-label)[:430]))))
    assert codes(answered(classes / "linear", positives.slice(0, 49), tmp_path / "out.parquet")[1]) == []
    assert codes(answered(classes / "linear", binary(300, seed=8), tmp_path / "out.parquet")[1]) == []


def test_a_gap_that_stays_has_its_reason():
    rng = np.random.default_rng(0)
    target = Target("binary", ("y",), classes=("no", "yes"))
    p = rng.uniform(0.05, 0.95, (600, 1))
    y = (rng.random((600, 1)) < p).astype(float)
    nothing, too_low = np.full(600, np.nan), p / 3
    held = HeldOut(target, y, too_low, too_low, nothing, nothing, nothing, None)
    said = measure(held, Scale.of(target, y), 0.9, (rng.random((900, 1)) < 0.2).astype(float), how="", draws=200).facts
    assert said["reliability"]["calibrated"]["is_off"]
    why = said["reliability"]["why"]
    assert "no more than chance: valid rows tell too little of test rows" in why
    assert "of train and valid rows and" in why
    assert "of test rows are yes" in why
    right = measure(replace(held, p=p, raw=p), Scale.of(target, y), 0.9, y, how="", draws=200).facts
    assert right["reliability"]["why"] == ""


# --- trouble ----------------------------------------------------------------------------------------------------------------


def test_valid_rows_of_one_class_are_a_reason_not_a_crash(tmp_path):
    data = binary(200, noise=0.0)
    label, rng = column(data, "label"), np.random.default_rng(0)
    part = np.where(rng.random(200) < 0.3, "test", "train")
    ones = np.flatnonzero((label == 1) & (part == "train"))[:35]
    part[ones] = "valid"
    data = data.append_column("set", pa.array(part.tolist()))
    seqloom.train(data, out=tmp_path / "run", target="label", settings=LINEAR, split="columns")
    told = json_of(tmp_path / "run" / "metrics.json")["members"][0]["calibrator"]
    assert told["method"] == "none"
    assert "one class" in told["why"]
    assert "one class" in (tmp_path / "run" / "report.html").read_text()


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


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_predictions_that_are_not_numbers_are_counted(task):
    target = Target(task, ("y",), classes=("0", "1") if task == "binary" else ())
    rng = np.random.default_rng(0)
    y, p = (rng.random((60, 1)) < 0.5).astype(float), rng.random((60, 1))
    p[:5] = np.nan
    scale = Scale.of(target, y)
    error = errors_of(target, scale, y, p)
    held = HeldOut(target, y, p, p, error, error, np.full(60, 0.5), None)
    known = measure(held, scale, 0.9, y, how="made-up rows", draws=200)
    assert known.facts["notes"][0].startswith("5 held-out rows have predictions that are not numbers")
    assert known.domain is not None
    assert known.domain.model.n_rows == 55


def test_errors_are_told_by_hand():
    one = np.array([[1.0], [2.0], [np.nan]])
    single, double = Target("regression", ("a",)), Target("regression", ("a", "b"))
    np.testing.assert_allclose(errors_of(single, Scale.of(single, one), one, one + 0.5), [0.5, 0.5, math.nan])
    y = np.array([[0.0, 10.0], [2.0, np.nan], [4.0, 30.0]])
    scale = Scale.of(double, y)
    np.testing.assert_allclose(scale.divisors, [math.sqrt(8 / 3), 10.0])
    expected = [(1 / math.sqrt(8 / 3) + 0.5) / 2, 1 / math.sqrt(8 / 3), (1 / math.sqrt(8 / 3) + 0.5) / 2]
    np.testing.assert_allclose(errors_of(double, scale, y, y + np.array([1.0, 5.0])), expected[:1] + expected[1:])
    labels = Target("multilabel", ("a", "b"))
    wrong = errors_of(labels, scale, np.array([[1.0, 0.0], [np.nan, 1.0]]), np.array([[0.9, 0.8], [0.1, 0.2]]))
    np.testing.assert_allclose(wrong, [0.5, 1.0])


# --- what people see --------------------------------------------------------------------------------------------------------


def test_the_report_tells_it(classes):
    html = report(classes)
    text = text_of(html[html.index('<section id="belief">') : html.index('<section id="data">')])
    ece = json_of(classes / "linear" / "uncertainty.json")["reliability"]["calibrated"]["ece"]["value"]
    assert f"linear calibration error {ece:.3g}" in text
    for words in ("promised", "held", "90 %"):
        assert words in text
    assert "Error by identity to the nearest training row" in text
    assert 'id="reliability-0"' in html
    assert "Why members are calibrated as they are" in text


def test_the_command_line_tells_it(classes, tmp_path):
    csv.write_csv(binary(60, seed=4), tmp_path / "new.csv")
    arguments = ["predict", str(classes), str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv")]
    assert "60 predictions in" in CliRunner().invoke(main, arguments).stderr
    assert "domain" in (tmp_path / "out.csv").read_text().splitlines()[0]
    assert CliRunner().invoke(main, [*arguments, "--fast"]).exit_code == 0
    assert "domain" not in (tmp_path / "out.csv").read_text().splitlines()[0]
    said = CliRunner().invoke(main, ["evaluate", str(classes), str(tmp_path / "new.csv"), "--target", "label"]).stdout
    assert "share of wrong classes by identity to the nearest training row, stated and measured here" in said
