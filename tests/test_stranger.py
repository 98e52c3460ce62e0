"""What users stumbled over: runs used on tables of other columns, bad rows and bad places, and groups in intervals."""

import csv
from pathlib import Path
from shutil import copytree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import seqloom
from contracts.tables import peptides as peptide_texts
from seqloom.api import compare, load, train
from seqloom.cli import main
from seqloom.errors import ConfigError, RunError
from seqloom.files import read_json, write_whole
from seqloom.inspection import inspect
from seqloom.prediction import evaluate, predict
from seqloom.simulate import Simulation

LINEAR = {"predictor.kind": ["linear"]}


@pytest.fixture(scope="module")
def peptides() -> pa.Table:
    """Peptides with a planted rule; columns id, sequence, label."""
    return Simulation(rows=120, rule="P2=L", seed=3).table()


@pytest.fixture(scope="module")
def run(peptides, tmp_path_factory):
    """A linear run on the label."""
    return train(
        peptides, target="label", settings={"predictor.kind": "linear"}, out=tmp_path_factory.mktemp("run")
    ).folder


def test_evaluate_takes_the_target_that_is_named_not_the_one_of_training(run, peptides):
    labels = peptides["label"].to_numpy()
    both = peptides.append_column("wrong", pa.array(1 - labels))
    right = evaluate(run, both)["metrics"]["auroc"]["value"]
    wrong = evaluate(run, both, {"target": {"column": "wrong"}})["metrics"]["auroc"]["value"]
    assert wrong == pytest.approx(1 - right)
    renamed = peptides.rename_columns(["id", "sequence", "active"])
    assert evaluate(run, renamed, {"target": {"column": ["active"]}})["metrics"]["auroc"]["value"] == right


def test_evaluate_refuses_another_number_of_targets(run, peptides):
    with pytest.raises(ConfigError, match="names 2 columns, and the run predicts 1"):
        evaluate(run, peptides, {"target": {"column": "label,id"}})


def test_a_finished_run_refuses_settings_it_would_not_use(run, peptides):
    with pytest.raises(ConfigError, match=r"predictor\.kind: a finished run takes settings of data, encoder only"):
        predict(run, peptides, None, {"predictor": {"kind": "cnn"}})
    with pytest.raises(ConfigError, match=r"target\.positive_below"):
        evaluate(run, peptides, {"target": {"positive_below": 5}})


def test_predictions_have_the_same_columns_when_no_row_can_be_predicted(run, tmp_path):
    predict(run, pa.table({"sequence": ["ACDE1", "MLLKAAGG"]}), tmp_path / "some.csv")
    predict(run, pa.table({"sequence": ["ACDE1", "8"]}), tmp_path / "none.csv")
    headers = [next(csv.reader((tmp_path / name).read_text("utf-8").splitlines())) for name in ("some.csv", "none.csv")]
    known = ["pred_set", "nearest_identity", "domain", "expected_error"]
    assert headers[0] == headers[1] == ["sequence", "pred", "pred_0", "pred_1", *known, "pred_error"]


def test_predict_says_how_many_rows_it_could_not_predict(run, tmp_path):
    table = tmp_path / "new.csv"
    table.write_text("sequence\nMLLKAAGG\nMK1L\n")
    result = CliRunner().invoke(main, ["predict", str(run), str(table), "-o", str(tmp_path / "out.csv")])
    assert result.exit_code == 0
    assert "1 predictions in" in result.output
    assert "1 rows could not be predicted, see column pred_error" in result.output


def test_a_place_that_cannot_be_written_is_one_message(run, tmp_path):
    table = tmp_path / "new.csv"
    table.write_text("sequence\nMLLKAAGG\n")
    result = CliRunner().invoke(main, ["predict", str(run), str(table), "-o", str(table / "out.csv")])
    assert result.exit_code == 1
    assert result.output.startswith(f"error: {table}")


def test_a_file_that_fails_half_way_leaves_nothing_behind(tmp_path):
    def write(draft):
        draft.write_text("half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_whole(tmp_path / "table.csv", write)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_run_is_named_with_its_file(run, peptides, tmp_path):
    copied = Path(copytree(run, tmp_path / "copy"))
    weights = copied / "fold-0" / "seed-0" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:20])
    with pytest.raises(RunError, match=r"weights\.safetensors: damaged"):
        predict(copied, peptides, tmp_path / "out.csv")
    (copied / "target.json").write_text("{")
    with pytest.raises(RunError, match=r"target\.json: damaged"):
        load(copied)


def test_the_spread_of_members_is_in_the_units_of_the_prediction(tmp_path):
    simulated = Simulation(rows=120, rule="P2=L", seed=5).table()
    affinity = 50.0 * 20.0 ** (1 - simulated["label"].to_numpy()) * np.exp(np.random.default_rng(0).normal(size=120))
    table = simulated.set_column(2, "ic50", pa.array(affinity))
    settings = {"target.transform": "log", "predictor.kind": "linear"}
    folder = train(table, target="ic50", folds=3, settings=settings, out=tmp_path / "run").folder
    model = load(folder)
    few = model.read(table.slice(0, 5))
    members = []
    for member in model.members:
        model_of_one = load(folder)
        model_of_one.members = [member]
        members.append(model_of_one.predict(few).columns()["pred"].to_numpy())
    np.testing.assert_allclose(model.predict(few).columns()["pred_sd"].to_numpy(), np.std(members, axis=0, ddof=1))


@pytest.mark.parametrize("kind", ["random", "group"])
def test_rows_that_differ_in_what_no_model_sees_stay_on_one_side(kind, tmp_path):
    simulated = Simulation(rows=80, rule="P2=L", seed=9).table()
    twice = pa.concat_tables([simulated, simulated])
    for name, values in {"allele": ["A"] * 80 + ["B"] * 80, "study": [f"s{row}" for row in range(160)]}.items():
        twice = twice.append_column(name, pa.array(values))
    settings = {"data.context": "allele", "data.group": "study", "split.kind": kind}
    folder = compare(twice, target="label", settings=settings, vary=LINEAR, out=tmp_path / kind).folder
    partition = pq.read_table(folder / "partition.parquet").to_pylist()
    parts = {}
    for row in partition:
        parts.setdefault(row["inputs"], set()).add(row["role"])
    assert len(parts) == 80
    assert all(len(roles) == 1 for roles in parts.values())


def test_intervals_draw_whole_groups_where_the_table_has_groups(tmp_path):
    simulated = Simulation(rows=120, rule="P2=L", seed=7).table()
    grouped = simulated.append_column("family", pa.array([f"f{row % 12}" for row in range(120)]))
    result = compare(grouped, target="label", group="family", vary=LINEAR, out=tmp_path / "grouped")
    board = read_json(result.folder / "leaderboard.json")
    assert " groups of " in board["resampled"]
    assert any("intervals are too narrow" in note for note in board["notes"])
    assert "note: only" in (result.folder / "log.txt").read_text("utf-8")


def test_inspect_refuses_settings_it_would_pass_over(tmp_path):
    (tmp_path / "t.csv").write_text("sequence,y\nACDEF,1.5\nACDEG,2.5\n")
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "t.csv"), "--set", "predictor.kind=cnnn"])
    assert result.exit_code == 1
    assert "predictor.kind: inspect takes settings of data, target only" in result.output


def test_whole_numbers_taken_as_classes_are_said_with_what_to_type():
    table = pa.table({"sequence": peptide_texts(60), "score": [index % 5 for index in range(60)]})
    facts = inspect({"data": {}}, table)
    assert facts["target"]["task"] == "multiclass"
    assert any("target.task=regression" in each["message"] for each in facts["findings"])


def test_true_and_false_are_one_and_zero_in_another_table(tmp_path):
    sequences = peptide_texts(60)
    result = seqloom.train(
        pa.table({"sequence": sequences, "label": [index % 2 for index in range(60)]}),
        out=tmp_path / "run",
        settings={"predictor.kind": "linear"},
    )
    booleans = pa.table({"sequence": sequences, "label": [index % 2 == 1 for index in range(60)]})
    numbers = pa.table({"sequence": sequences, "label": [index % 2 for index in range(60)]})
    assert evaluate(result.folder, booleans)["metrics"] == evaluate(result.folder, numbers)["metrics"]


def test_a_class_called_error_does_not_take_the_place_of_the_reasons(tmp_path):
    sequences = peptide_texts(60)
    table = pa.table({"sequence": sequences, "label": ["error" if index % 2 else "fine" for index in range(60)]})
    result = seqloom.train(table, out=tmp_path / "run", settings={"predictor.kind": "linear"})
    predict(result.folder, pa.table({"sequence": ["ACDEF", ""]}), tmp_path / "out.parquet")
    names = pq.read_table(tmp_path / "out.parquet").column_names
    assert {"pred", "pred_error", "pred_fine", "pred_reason"} <= set(names)


def test_a_training_that_diverges_says_so(tmp_path):
    table = pa.table({"sequence": peptide_texts(60), "y": [index / 7 for index in range(60)]})
    with pytest.raises(RunError, match=r"training diverged.*train\.lr"):
        seqloom.train(
            table, out=tmp_path / "run", settings={"predictor.kind": "mlp", "train.lr": 1e30, "train.epochs": 2}
        )
