"""Tables of peptides as they come: of very unequal lengths, with unknown residues, with lengths that no test row has."""

import json
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from seqloom.alphabet import PROTEIN
from seqloom.cli import main

NETS = "rnn,sigmoid,transformer,mamba,cnn,light-attention,mlp"


@pytest.fixture
def compare(tmp_path, monkeypatch):
    """Run `compare` on these sequences, three epochs of each net, and give its folder."""
    monkeypatch.chdir(tmp_path)

    def run(rows: list[str], *more: str, columns: tuple[str, ...] = (), header: str = "peptide,y") -> Path:
        lines = [f"{row},{sum(c in 'LIVMF' for c in row) / len(row)}" for row in rows]
        lines = [",".join(each) for each in zip(lines, columns, strict=True)] if columns else lines
        Path("t.csv").write_text("\n".join([header, *lines]) + "\n")
        settings = ("--set", "train.epochs=3", "--set", "report.draws=100", "--set", "report.by=length")
        result = CliRunner().invoke(main, ["compare", "t.csv", *settings, *more, "-o", "runs"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return Path("runs")

    return run


def peptides(lengths: list[int]) -> list[str]:
    draw = random.Random(0)
    return ["".join(draw.choices(PROTEIN.standard, k=length)) for length in lengths]


def predictions(folder: Path) -> np.ndarray:
    return pq.read_table(folder / "predictions.parquet")["pred"].to_numpy()


def test_peptides_of_3_and_of_60_residues_stand_in_one_table(compare):
    folder = compare(peptides([3, 9, 9, 60] * 30), "--split", "random", "--vary", f"predictor.kind={NETS}")
    for name in NETS.split(","):
        assert np.isfinite(predictions(folder / name)).all()
    parts = json.loads((folder / "leaderboard.json").read_text())["slices"][0]
    assert {each["name"] for each in (*parts["slices"], *parts["too_small"])} == {"3", "9", "60"}


def test_words_of_nine_are_made_of_peptides_of_3_and_of_60_residues(compare):
    folder = compare(
        peptides([3, 9, 9, 60] * 30),
        "--split",
        "random",
        "--set",
        "encoder.kind=kmer9",
        "--vary",
        "predictor.kind=mlp,linear",
    )
    assert np.isfinite(predictions(folder / "mlp")).all()


def test_unknown_residues_are_counted_and_read(compare):
    rows = [row if at % 4 else f"{row[:3]}X{row[4:]}" for at, row in enumerate(peptides([9] * 80))]
    folder = compare([*rows, "X" * 9], "--split", "random", "--vary", "predictor.kind=rnn,sigmoid,mlp")
    for name in ("rnn", "sigmoid", "mlp"):
        assert np.isfinite(predictions(folder / name)).all()
    findings = json.loads((folder / "leaderboard.json").read_text())["findings"]
    assert any("21 of 81 sequences" in each["message"] and "X: row 1" in each["message"] for each in findings)


def test_a_length_that_only_training_rows_have_is_said_to_be_untested(compare):
    lengths = [9, 9, 9, 10] * 30
    sides = tuple("test" if length == 9 and at % 5 == 0 else "train" for at, length in enumerate(lengths))
    folder = compare(
        peptides(lengths),
        "--split",
        "columns",
        "--vary",
        "predictor.kind=mlp,linear",
        columns=sides,
        header="peptide,y,set",
    )
    parts = json.loads((folder / "leaderboard.json").read_text())["slices"][0]
    assert [each["name"] for each in parts["untested"]] == ["10"]
    page = (folder / "report.html").read_text()
    assert (
        f"In training rows only, so that nothing is known of how well they are predicted: 10 ({parts['untested'][0]['training_rows']})"
        in page
    )
