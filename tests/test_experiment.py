"""The main path through its public doors: compare, train, resume, predict, evaluate."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

import seqloom
from contracts.tables import peptides
from seqloom.errors import ConfigError, DataError, LeakError, RunError
from seqloom.experiment import Watcher
from seqloom.prediction import evaluate, predict
from seqloom.simulate import Simulation

FAST = {"train.epochs": 3, "train.device": "cpu"}


def small_table(rows: int = 120, rule: str = "c-terminal", **changes) -> pa.Table:
    return Simulation(rows=rows, rule=rule, **changes).table()


def predictions(folder: Path) -> pa.Table:
    return pq.read_table(folder / "predictions.parquet")


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "comparison"
    return seqloom.compare(small_table(), out=folder, settings=FAST, seeds=2)


def test_a_comparison_fits_the_usual_predictors_and_marks_the_naive_ones(comparison):
    names = {row["variant"]: row for row in comparison.leaderboard}
    assert set(names) == {"constant", "nearest", "linear", "composition", "knn", "boosting", "mlp", "cnn"}
    assert {name for name, row in names.items() if row["baseline"]} == {"constant", "nearest", "linear", "composition"}
    assert names["mlp"]["members"] == 2
    assert names["linear"]["members"] == 1
    assert comparison.verdict


def test_the_leaderboard_is_sorted_and_every_score_has_an_interval(comparison):
    values = [row["metrics"]["auroc"]["value"] for row in comparison.leaderboard]
    assert values == sorted(values, reverse=True)
    for row in comparison.leaderboard:
        score = row["metrics"]["auroc"]
        assert score["low"] <= score["value"] <= score["high"]
        assert set(row["differences"]) == {other["variant"] for other in comparison.leaderboard} - {row["variant"]}


def test_the_folders_hold_what_the_design_lays_out(comparison):
    whole = {path.name for path in comparison.folder.iterdir()}
    assert {
        "config.toml", "resolved.toml", "data.json", "environment.json", "partition.parquet", "audit.json",
        "leaderboard.json", "report.html", "log.txt", "cnn", "linear",
    } <= whole  # fmt: skip
    run = comparison.folder / "cnn"
    member = run / "fold-0" / "seed-1"
    for name in ("config.toml", "resolved.toml", "data.json", "target.json", "predictions.parquet", "metrics.json"):
        assert (run / name).exists()
    for name in ("weights.safetensors", "curves.parquet", "done"):
        assert (member / name).exists()
    assert not list(comparison.folder.rglob("*.tmp"))


def test_every_test_row_is_predicted_once_by_every_member(comparison):
    partition = pq.read_table(comparison.folder / "partition.parquet")
    tested = {row["row"] for row in partition.to_pylist() if row["role"] == "test"}
    for seed in (0, 1):
        rows = [row["row"] for row in predictions(comparison.folder / "mlp").to_pylist() if row["seed"] == seed]
        assert sorted(rows) == sorted(tested)


def test_the_same_command_again_fits_nothing_and_says_the_same(comparison):
    class Counter(Watcher):
        members = 0

        def member(self, label):
            self.members += 1

    counter = Counter()
    again = seqloom.compare(small_table(), out=comparison.folder, settings=FAST, seeds=2, watcher=counter)
    assert counter.members == 0
    assert again.verdict == comparison.verdict
    assert [row["metrics"] for row in again.leaderboard] == [row["metrics"] for row in comparison.leaderboard]


def test_another_folder_gets_bit_equal_predictions(comparison, tmp_path):
    seqloom.compare(small_table(), out=tmp_path / "again", settings=FAST, seeds=2)
    for row in comparison.leaderboard:
        assert predictions(comparison.folder / row["variant"]).equals(predictions(tmp_path / "again" / row["variant"]))


def test_a_folder_with_other_settings_is_refused_with_what_differs(comparison):
    with pytest.raises(RunError, match=r"train\.epochs is 3 there and 4 here.*-o"):
        seqloom.compare(small_table(), out=comparison.folder, settings={**FAST, "train.epochs": 4}, seeds=2)


def test_a_folder_made_from_another_table_is_refused(comparison):
    with pytest.raises(ConfigError, match="another version"):
        seqloom.compare(small_table(seed=5), out=comparison.folder, settings=FAST, seeds=2)


def test_a_saved_run_predicts_its_own_test_rows_as_it_did_in_training(comparison, tmp_path):
    table = small_table()
    for kind in ("linear", "boosting", "cnn"):
        stored = predictions(comparison.folder / kind)
        facts = predict(comparison.folder / kind, table, tmp_path / f"{kind}.parquet")
        assert facts["rows"] == table.num_rows
        fresh = pq.read_table(tmp_path / f"{kind}.parquet")
        by_id = dict(zip(fresh["id"].to_pylist(), fresh["pred_1"].to_pylist(), strict=True))
        rows = stored.to_pylist()
        mean: dict[str, list[float]] = {}
        for row in rows:
            mean.setdefault(row["id"], []).append(row["pred_1"])
        for name, values in mean.items():
            assert by_id[name] == pytest.approx(np.mean(values), abs=2e-6)


def test_predictions_keep_input_columns_and_order_and_name_rows_that_fail(comparison, tmp_path):
    table = pa.table({"note": ["a", "b", "c", "d"], "sequence": ["ACDEFGHIK", "", "AC1EFGHIK", "LLLLLLLLV"]})
    facts = predict(comparison.folder / "linear", table, tmp_path / "out.csv")
    assert facts["failed"] == 2
    out = csv.read_csv(tmp_path / "out.csv")
    assert out.column_names[:2] == ["note", "sequence"]
    assert out["note"].to_pylist() == ["a", "b", "c", "d"]
    errors = out["pred_error"].to_pylist()
    assert "empty" in errors[1]
    assert "not protein" in errors[2]
    assert out["pred_1"].to_pylist()[1] is None
    assert out["pred_1"].to_pylist()[3] is not None


def test_an_experiment_folder_predicts_with_its_best_run(comparison, tmp_path):
    facts = predict(comparison.folder, small_table(30, seed=9), tmp_path / "out.csv")
    assert facts["path"].endswith(comparison.leaderboard[0]["variant"])


def test_a_column_called_otherwise_is_found_when_predicting(comparison, tmp_path):
    table = pa.table({"peptide": peptides(12, 3, 8, 11)})
    assert predict(comparison.folder / "linear", table, tmp_path / "out.csv")["rows"] == 12


def test_evaluate_counts_rows_seen_in_training_and_scores_the_others_too(comparison):
    facts = evaluate(comparison.folder / "linear", small_table())
    assert facts["findings"][-1]["code"] == "seen-in-training"
    n_seen = facts["findings"][-1]["count"]
    assert facts["unseen"]["rows"] == 120 - n_seen
    stored = json.loads((comparison.folder / "linear" / "metrics.json").read_text())
    assert facts["unseen"]["metrics"]["auroc"]["value"] == pytest.approx(stored["metrics"]["auroc"]["value"])
    fresh = evaluate(comparison.folder / "linear", small_table(60, seed=11))
    assert not [each for each in fresh["findings"] if each["code"] == "seen-in-training"]


def test_train_makes_one_run_folder_with_baselines_beside_it(tmp_path):
    result = seqloom.train(small_table(), out=tmp_path / "run", settings={"predictor.kind": "linear"})
    assert (tmp_path / "run" / "fold-0" / "seed-0" / "done").exists()
    assert {path.name for path in (tmp_path / "run" / "baselines").iterdir()} == {"constant", "nearest", "composition"}
    assert [row["variant"] for row in result.leaderboard if not row["baseline"]] == ["linear"]
    assert seqloom.load(tmp_path / "run").target.task == "binary"


def test_train_refuses_several_variants(tmp_path):
    with pytest.raises(ConfigError, match="train takes one variant"):
        seqloom.train(small_table(), out=tmp_path / "run")


def test_folds_test_every_row_once_and_models_of_all_folds_predict_together(tmp_path):
    result = seqloom.compare(
        small_table(), out=tmp_path / "run", settings={**FAST, "predictor.kind": "mlp"}, folds=3, seeds=2
    )
    names = {row["variant"]: row["members"] for row in result.leaderboard}
    assert names == {"mlp": 6, "constant": 3, "nearest": 3, "linear": 3, "composition": 3}
    rows = predictions(tmp_path / "run" / "linear")["row"].to_pylist()
    assert sorted(rows) == list(range(1, 121))
    facts = predict(tmp_path / "run" / "mlp", small_table(10, seed=4), tmp_path / "out.parquet")
    assert facts["members"] == 6
    assert "pred_sd" in pq.read_table(tmp_path / "out.parquet").column_names


def test_variants_that_share_everything_but_one_key_say_which(tmp_path):
    result = seqloom.compare(
        small_table(),
        out=tmp_path / "run",
        settings={**FAST, "predictor.kind": "mlp"},
        vary={"predictor.dropout": [0.0, 0.5]},
    )
    changes = {row["variant"]: row["changes"] for row in result.leaderboard}
    assert changes["mlp-dropout-0-5"] == {"predictor.dropout": [0.0, 0.5]}


def test_regression_answers_in_original_units_whatever_the_transform(tmp_path):
    table = small_table(effect="soft")
    nanomolar = np.exp(np.asarray(table["target"]) + 5)
    table = table.set_column(table.schema.get_field_index("target"), "target", pa.array(nanomolar))
    for transform in ("log", "log50k"):
        seqloom.train(
            table, out=tmp_path / transform, settings={"predictor.kind": "linear", "target.transform": transform}
        )
        out = predictions(tmp_path / transform)
        assert 0.1 < np.median(np.asarray(out["pred"])) / np.median(nanomolar) < 10
        np.testing.assert_allclose(
            np.sort(np.asarray(out["target"]))[:3], sorted(nanomolar[np.isin(nanomolar, out["target"])])[:3]
        )


def test_a_threshold_adds_the_search_metrics_to_a_regression(tmp_path):
    table = small_table(effect="soft")
    middle = float(np.median(np.asarray(table["target"])))
    settings = {"predictor.kind": "linear", "target.positive_above": middle}
    result = seqloom.train(table, out=tmp_path / "run", settings=settings)
    assert {"spearman", "auroc", "average_precision"} <= set(result.leaderboard[0]["metrics"])


def test_shared_rows_of_a_test_table_stop_the_run_unless_named(tmp_path):
    table = small_table()
    csv.write_csv(table, tmp_path / "train.csv")
    csv.write_csv(table.slice(100), tmp_path / "test.csv")
    arguments = {"test": str(tmp_path / "test.csv"), "settings": {"predictor.kind": "linear"}}
    with pytest.raises(LeakError, match=r"20 shared inputs \(sequence\).*split.shared=unused"):
        seqloom.train(tmp_path / "train.csv", out=tmp_path / "a", **arguments)
    arguments["settings"]["split.shared"] = "unused"
    result = seqloom.train(tmp_path / "train.csv", out=tmp_path / "b", **arguments)
    assert any(each.code == "unused-rows" and each.count == 20 for each in result.findings)


def run_cli(*arguments, **changes):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "seqloom.cli", *arguments], capture_output=True, text=True, env=environment, **changes
    )


@pytest.mark.slow
def test_a_comparison_killed_at_ten_random_moments_ends_in_the_same_result(tmp_path):
    table = tmp_path / "table.csv"
    csv.write_csv(small_table(600), table)
    checkpoint_every_epoch = "import seqloom.training.loop as loop; loop.CHECKPOINT_SECONDS = 0"
    command = [
        sys.executable, "-c", f"{checkpoint_every_epoch}; from seqloom.cli import main; main()",
        "compare", str(table), "--seeds", "2", "--device", "cpu", "--set", "train.epochs=12", "--json",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    whole = subprocess.run([*command, "-o", str(tmp_path / "whole")], capture_output=True, check=True, env=environment)
    seconds = time.monotonic() - started
    rng = random.Random(0)
    killed = 0
    while killed < 10:
        process = subprocess.Popen(
            [*command, "-o", str(tmp_path / "killed")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        try:
            process.wait(timeout=1 + rng.random() * seconds * 0.7)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
        else:  # it got to the end in spite of all: begin anew, for a finished folder has no moment to be killed at
            assert process.returncode == 0
            shutil.rmtree(tmp_path / "killed")
    last = subprocess.run([*command, "-o", str(tmp_path / "killed")], capture_output=True, check=True, env=environment)
    left, right = json.loads(whole.stdout), json.loads(last.stdout)
    assert left["verdict"] == right["verdict"]
    for row in left["leaderboard"]:
        name = row["variant"]
        assert predictions(tmp_path / "whole" / name).equals(predictions(tmp_path / "killed" / name))
        for member in (tmp_path / "whole" / name).glob("fold-*/seed-*"):
            other = tmp_path / "killed" / member.relative_to(tmp_path / "whole")
            assert (member / "weights.safetensors").read_bytes() == (other / "weights.safetensors").read_bytes()


def test_an_interrupted_member_is_not_mistaken_for_a_finished_one(tmp_path):
    class Cut(Watcher):
        def epoch(self, done, at_most):
            if done == 2:
                raise KeyboardInterrupt

    settings = {**FAST, "predictor.kind": "mlp"}
    with pytest.raises(KeyboardInterrupt):
        seqloom.train(small_table(), out=tmp_path / "run", settings=settings, watcher=Cut())
    with pytest.raises(RunError, match="same compare or train command"):
        predict(tmp_path / "run", small_table(), tmp_path / "out.csv")
    seqloom.train(small_table(), out=tmp_path / "run", settings=settings)
    seqloom.train(small_table(), out=tmp_path / "other", settings=settings)
    assert predictions(tmp_path / "run").equals(predictions(tmp_path / "other"))


def test_a_folder_that_is_no_run_is_named_with_the_runs_beside_it(comparison, tmp_path):
    with pytest.raises(RunError, match="not a run or experiment folder"):
        predict(tmp_path, small_table(), tmp_path / "out.csv")
    with pytest.raises(RunError, match="runs beside it"):
        predict(comparison.folder / "cnnn", small_table(), tmp_path / "out.csv")


def test_predictions_never_replace_a_column(comparison, tmp_path):
    table = pa.table({"sequence": ["ACDEFGHIK"], "pred": [1.0]})
    with pytest.raises(DataError, match="already has a column 'pred'"):
        predict(comparison.folder / "linear", table, tmp_path / "out.csv")


def test_another_version_of_the_test_table_is_refused_too(tmp_path):
    csv.write_csv(small_table(80), tmp_path / "train.csv")
    csv.write_csv(small_table(30, seed=3), tmp_path / "test.csv")
    arguments = {"out": tmp_path / "run", "test": str(tmp_path / "test.csv"), "settings": {"predictor.kind": "linear"}}
    seqloom.train(tmp_path / "train.csv", **arguments)
    csv.write_csv(small_table(30, seed=4), tmp_path / "test.csv")
    with pytest.raises(ConfigError, match=r"another version of test\.csv"):
        seqloom.train(tmp_path / "train.csv", **arguments)


def test_net_settings_varied_without_a_net_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="used by nets only"):
        seqloom.compare(small_table(60), out=tmp_path / "run", vary={"train.lr": [0.1, 0.2]})


def test_too_many_sequence_columns_for_tokens_are_refused_in_words(tmp_path):
    columns = {f"s{index}": peptides(20, index) for index in range(9)}
    table = pa.table(columns | {"y": [index / 3 for index in range(20)]})
    with pytest.raises(ConfigError, match="fewer columns"):
        seqloom.train(
            table, out=tmp_path / "run", target="y", sequence=",".join(columns), settings={"predictor.kind": "cnn"}
        )


def test_a_member_that_diverges_leaves_those_beside_it_done(tmp_path):
    settings = {"predictor.kind": "mlp", "train.epochs": 3, "split.kind": "random", "train.optimizer": "sgd"}
    with pytest.raises(RunError, match=r"training diverged \(mlp-lr-1e-30, fold 0, seed 0\)"):
        seqloom.compare(small_table(effect="soft"), out=tmp_path, settings=settings, vary={"train.lr": [0.001, 1e30]})
    assert (tmp_path / "mlp-lr-0-001" / "fold-0" / "seed-0" / "done").exists()
