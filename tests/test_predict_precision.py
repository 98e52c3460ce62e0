"""Predictions in fewer bits: near those in 32, and refused where there is nothing to shorten."""

import numpy as np
import pyarrow.csv as pcsv
import pytest
from click.testing import CliRunner

import seqloom
from seqloom.cli import main
from seqloom.errors import RunError
from seqloom.shards import predict_shards
from seqloom.simulate import Simulation


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precision")
    table = Simulation(rows=200, rule="position").table()
    pcsv.write_csv(table, folder / "t.csv")
    settings = {"train.epochs": 2, "predictor.width": 64, "train.device": "cpu"}
    seqloom.compare(
        table, out=folder / "runs", split="random", vary={"predictor.kind": ["cnn", "linear"]}, settings=settings
    )
    return folder


def predicted(folder, *flags):
    out = folder / f"{'-'.join(['p', *flags]).replace('-', '')}.csv"
    done = CliRunner().invoke(
        main, ["predict", str(folder / "runs/cnn"), str(folder / "t.csv"), "-o", str(out), "--fast", *flags]
    )
    assert done.exit_code == 0, done.output
    return np.array(pcsv.read_csv(out)["pred_1"])


def test_fewer_bits_change_predictions_a_little(folder):
    whole = predicted(folder)
    np.testing.assert_allclose(predicted(folder, "--precision", "32"), whole, atol=1e-6)
    for precision in ("bf16", "int8"):
        found = predicted(folder, "--precision", precision)
        assert not np.array_equal(found, whole)
        np.testing.assert_allclose(found, whole, atol=0.02)


@pytest.mark.parametrize(
    ("run", "precision", "message"), [("cnn", "fp8", "it is 32, bf16"), ("linear", "bf16", "no net")]
)
def test_what_cannot_be_is_said(folder, run, precision, message):
    asked = [
        "predict",
        str(folder / "runs" / run),
        str(folder / "t.csv"),
        "-o",
        str(folder / "x.csv"),
        "--precision",
        precision,
    ]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 1
    assert message in done.output


def test_shards_of_another_precision_are_other_predictions(folder):
    tables, out = [folder / "t.csv"], folder / "shards"
    predict_shards(folder / "runs" / "cnn", tables, out)
    with pytest.raises(RunError, match="precision"):
        predict_shards(folder / "runs" / "cnn", tables, out, precision="bf16")
