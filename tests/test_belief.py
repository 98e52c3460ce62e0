"""Every run knows how far to believe its probabilities: calibration, what is left of it, another prevalence; and tells it."""

import json
import shutil
import tomllib
from dataclasses import replace
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
from belief_runs import LINEAR, SPLIT, answered, binary, classes_in, column, json_of, without_chance
from contracts.tables import table_of
from report_folders import report, text_of
from seqloom.calibrate import Calibrator, reliability
from seqloom.cli import main
from seqloom.errors import ConfigError
from seqloom.model import load_variant
from seqloom.prediction import evaluate
from seqloom.run import Member, Run
from seqloom.target import Target
from seqloom.uncertainty import HeldOut, Scale, Uncertainty, measure

quick = pytest.fixture(scope="module", autouse=True)(without_chance)


@pytest.fixture(scope="module")
def classes(tmp_path_factory) -> Path:
    return classes_in(tmp_path_factory.getbasetemp())


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
    held = HeldOut(target, y, too_low, too_low, nothing, nothing, np.full((600, 2), np.nan), nothing, None)
    said = measure(held, Scale.of(target, y), 0.9, (rng.random((900, 1)) < 0.2).astype(float), how="", draws=200).facts
    assert said["reliability"]["calibrated"]["is_off"]
    why = said["reliability"]["why"]
    assert "no more than chance: valid rows tell too little of test rows" in why
    assert "of train and valid rows and" in why
    assert "of test rows are yes" in why
    right = measure(replace(held, p=p, raw=p), Scale.of(target, y), 0.9, y, how="", draws=200).facts
    assert right["reliability"]["why"] == ""


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
