"""How near a row is to training rows, which rows a model is at home with, and what error is stated for each."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from belief_runs import answered, binary, classes_in
from seqloom import training_rows as kept
from seqloom.calibrate import wilson
from seqloom.domain import Domain, measure_domain
from seqloom.errors import RunError
from seqloom.prediction import evaluate
from seqloom.table import read_table
from seqloom.target import Target
from seqloom.uncertainty import HeldOut, Scale, errors_of, losses_of, measure


@pytest.fixture(scope="module")
def classes(tmp_path_factory) -> Path:
    return classes_in(tmp_path_factory.getbasetemp())


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
        domain = measure_domain(identity, errors, errors, draws=100)
        assert domain is not None
        (line,) = domain.held_against(identity[:80], (rng.random(80) < 0.3).astype(float), is_share=True)
        held.append(line["holds"])
    assert np.mean(held) > 0.86


def test_related_rows_of_another_table_count_as_one():
    domain = made_domain()
    rng = np.random.default_rng(3)
    identity, groups = np.full(300, 0.6), np.repeat(np.arange(6), 50)
    error = np.repeat(rng.gamma(2, 1, 6), 50) / 2
    alone, joint = (
        domain.held_against(identity, error, is_share=False, clusters=clusters)[1]["measured"]
        for clusters in (None, groups)
    )
    assert joint["value"] == pytest.approx(alone["value"])
    assert joint["high"] - joint["low"] > 3 * (alone["high"] - alone["low"])


def test_no_error_among_few_groups_is_no_certainty():
    identity, none, groups = np.full(90, 0.6), np.zeros(90), np.repeat(np.arange(3), 30)
    domain = measure_domain(identity, none, none + 1, clusters=groups)
    assert domain is not None
    assert domain.model.bands[0].error.high == pytest.approx(wilson(0, 3).high)
    (line,) = domain.held_against(identity, (np.arange(90) < 9).astype(float), is_share=True)
    assert line["holds"]  # 9 wrong of 90, where nothing says that it could not be 1 in 3


def test_a_model_that_ranks_a_rare_class_is_inside_though_it_calls_none():
    rng = np.random.default_rng(0)
    target = Target("binary", ("y",), classes=("no", "yes"))
    true = np.where(rng.random(2000) < 0.1, 0.4, 0.02)  # never as likely as not
    y, p, common = (rng.random(2000) < true)[:, None].astype(float), true[:, None], np.full((2000, 1), true.mean())
    scale = Scale.of(target, y)
    error, guess = (errors_of(target, scale, y, each) for each in (p, common))
    losses = np.stack([losses_of(target, scale, y, each) for each in (p, common)], axis=1)
    near = np.full(2000, 0.4)
    by_calls, by_losses = (measure_domain(near, error, guess, losses=each, draws=200) for each in (None, losses))
    assert by_calls is not None
    assert by_losses is not None
    assert (by_calls.is_better, by_losses.is_better) == ((False,), (True,))
    assert by_losses.model.bands == by_calls.model.bands
    assert Domain.from_json(by_losses.as_json()).is_better == (True,)
    useless = measure_domain(near, error, guess, losses=losses[:, ::-1], draws=200)
    assert useless is not None
    assert useless.is_better == (False,)


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


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_predictions_that_are_not_numbers_are_counted(task):
    target = Target(task, ("y",), classes=("0", "1") if task == "binary" else ())
    rng = np.random.default_rng(0)
    y, p = (rng.random((60, 1)) < 0.5).astype(float), rng.random((60, 1))
    p[:5] = np.nan
    scale = Scale.of(target, y)
    error = errors_of(target, scale, y, p)
    loss = losses_of(target, scale, y, p)
    held = HeldOut(target, y, p, p, error, error, np.stack([loss, loss], axis=1), np.full(60, 0.5), None)
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


def test_losses_are_told_by_hand():
    y, p = np.array([[1.0], [np.nan]]), np.array([[0.8], [0.5]])
    two, three = Target("binary", ("y",), classes=("a", "b")), Target("multiclass", ("y",), classes=("a", "b", "c"))
    scale = Scale.of(two, y)
    np.testing.assert_allclose(losses_of(two, scale, y, p), [0.04, math.nan])
    several = np.array([[0.2, 0.5, 0.3], [0.2, 0.5, 0.3]])
    np.testing.assert_allclose(losses_of(three, scale, y, several), [(0.04 + 0.25 + 0.09) / 2, math.nan])
    np.testing.assert_allclose(losses_of(three, scale, np.array([[2.0]]), np.array([[1.0, 0.0, 0.0]])), [1.0])
    labels, known = Target("multilabel", ("a", "b")), np.array([[1.0, 0.0], [np.nan, 1.0]])
    np.testing.assert_allclose(losses_of(labels, scale, known, np.array([[0.9, 0.8], [0.1, 0.2]])), [0.325, 0.64])
    value = Target("regression", ("y",))
    np.testing.assert_allclose(losses_of(value, Scale.of(value, y), y, y + 0.5), [0.5, math.nan])
