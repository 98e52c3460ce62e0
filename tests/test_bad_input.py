"""Every mistake of a user ends in one message that says where, what and what to do, with exit code 1 and no traceback."""

import json

import pytest
from click.testing import CliRunner

from contracts.tables import peptides
from seqloom.cli import main

SEQUENCES = peptides(40)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        return CliRunner().invoke(main, arguments, catch_exceptions=False)

    return invoke


def write(tmp_path, name, header, rows):
    lines = [",".join(header), *(",".join(map(str, row)) for row in rows)]
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def train(run, table, *more):
    return run("train", table, "linear", "-o", "run", *more)


def expect_refusal(result, *words):
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.stderr
    assert result.stderr.count("error:") == 1
    for word in words:
        assert word in result.stderr
    return result.stderr


def test_an_empty_file(run, tmp_path):
    (tmp_path / "empty.csv").write_text("")
    expect_refusal(train(run, "empty.csv"), "empty.csv", "empty")


def test_a_header_without_rows(run, tmp_path):
    expect_refusal(train(run, write(tmp_path, "t.csv", ["sequence", "y"], [])), "t.csv")


def test_a_missing_file_names_the_nearest_one(run, tmp_path):
    write(tmp_path, "peptides.csv", ["sequence", "y"], [["ACD", 1]])
    expect_refusal(train(run, "peptide.csv"), "peptide.csv", "peptides.csv")


def test_a_missing_column_names_the_nearest_one(run, tmp_path):
    table = write(tmp_path, "t.csv", ["sequence", "affinity"], zip(SEQUENCES, range(40), strict=True))
    expect_refusal(train(run, table, "--target", "afinity"), "t.csv", "'afinity'", "affinity")


def test_several_candidates_for_the_target_are_listed(run, tmp_path):
    rows = [[each, index, index % 7] for index, each in enumerate(SEQUENCES)]
    table = write(tmp_path, "t.csv", ["sequence", "height", "width"], rows)
    expect_refusal(train(run, table), "height", "width", "--target")


def test_one_class_only(run, tmp_path):
    table = write(tmp_path, "t.csv", ["sequence", "label"], [[each, "yes"] for each in SEQUENCES])
    expect_refusal(train(run, table), "t.csv", "'label'", "one class only", "'yes'")


def test_a_constant_target(run, tmp_path):
    table = write(tmp_path, "t.csv", ["sequence", "y"], [[each, 3.5] for each in SEQUENCES])
    expect_refusal(train(run, table), "t.csv", "'y'", "3.5")


def test_all_targets_missing(run, tmp_path):
    table = write(tmp_path, "t.csv", ["sequence", "y"], [[each, ""] for each in SEQUENCES])
    expect_refusal(train(run, table, "--target", "y"), "t.csv", "'y'")


def test_a_target_that_is_mostly_numbers_names_the_cells_that_are_not(run, tmp_path):
    rows = [[each, "n.d." if index == 6 else index / 3] for index, each in enumerate(SEQUENCES)]
    table = write(tmp_path, "t.csv", ["sequence", "y"], rows)
    expect_refusal(train(run, table, "--set", "target.task=regression"), "t.csv", "'y'", "7", "n.d.")


@pytest.mark.parametrize("split", ["random", "stratified"])
def test_fewer_rows_than_folds(run, tmp_path, split):
    table = write(
        tmp_path, "t.csv", ["sequence", "label"], [[each, index % 2] for index, each in enumerate(SEQUENCES[:4])]
    )
    expect_refusal(train(run, table, "--split", split, "--folds", "10"), "t.csv", "10", "fewer folds")


def test_one_group_only(run, tmp_path):
    rows = [[each, index % 2, "all"] for index, each in enumerate(SEQUENCES)]
    table = write(tmp_path, "t.csv", ["sequence", "label", "family"], rows)
    expect_refusal(train(run, table, "--group", "family"), "family")


@pytest.mark.parametrize("value", ["nan", "inf", ""])
def test_a_covariate_that_is_no_finite_number_is_named_by_row(run, tmp_path, value):
    rows = [[each, index / 7, value if index == 4 else 7.4] for index, each in enumerate(SEQUENCES)]
    table = write(tmp_path, "t.csv", ["sequence", "y", "ph"], rows)
    expect_refusal(train(run, table, "--set", "data.covariates=ph", "--target", "y"), "t.csv", "'ph'", "row 5")


def test_infinite_targets(run, tmp_path):
    rows = [[each, "inf" if index == 4 else index / 7] for index, each in enumerate(SEQUENCES)]
    expect_refusal(train(run, write(tmp_path, "t.csv", ["sequence", "y"], rows)), "'y'", "infinite")


@pytest.mark.parametrize("kind", ["linear", "knn", "boosting", "nearest", "mlp", "cnn"])
def test_sequences_of_one_and_of_ten_thousand_letters_are_welcome(run, tmp_path, kind):
    rows = [[each, index % 2] for index, each in enumerate([*SEQUENCES, "W", "ACDEFGHIKL" * 1000])]
    table = write(tmp_path, "t.csv", ["sequence", "label"], rows)
    result = (
        run("train", table, kind, "-o", "run", "--set", "train.seed=1")
        if kind not in ("mlp", "cnn")
        else run("train", table, kind, "-o", "run", "--set", "train.epochs=2")
    )
    assert result.exit_code == 0, result.output
    single = write(tmp_path, "p.csv", ["sequence"], [["A"], ["MKLV" * 2500]])
    assert run("predict", "run", single, "-o", "out.csv").exit_code == 0


def test_empty_sequences_and_unknown_symbols_are_named_by_row_and_id(run, tmp_path):
    rows = [[f"p{index}", each, index % 2] for index, each in enumerate(SEQUENCES)]
    rows[3][1], rows[8][1] = "", "AC1DE"
    message = expect_refusal(train(run, write(tmp_path, "t.csv", ["id", "sequence", "label"], rows)), "p3", "p8", "'1'")
    assert "row 4" in message
    assert "row 9" in message


def test_two_rows_are_too_few_and_said_so(run, tmp_path):
    table = write(tmp_path, "t.csv", ["sequence", "y"], [["ACDE", 1.5], ["ACDE", 2.5]])
    expect_refusal(train(run, table), "t.csv")


def test_an_unknown_predictor_gets_the_nearest_name(run, tmp_path):
    table = write(tmp_path, "t.csv", ["sequence", "label"], [[each, index % 2] for index, each in enumerate(SEQUENCES)])
    expect_refusal(
        run("train", table, "cnnn", "-o", "run"),
        "[predictor] kind = 'cnnn'",
        "did you mean 'cnn'?",
        "available: boosting, cnn",
    )


def test_an_unknown_setting_gets_the_nearest_name(run, tmp_path):
    table = write(tmp_path, "t.csv", ["sequence", "label"], [[each, index % 2] for index, each in enumerate(SEQUENCES)])
    expect_refusal(train(run, table, "--set", "train.epoch=4"), "[train]", "'epoch'", "did you mean 'epochs'?")
    expect_refusal(train(run, table, "--set", "trian.epochs=4"), "'trian'", "'train'")
    expect_refusal(train(run, table, "--set", "epochs"), "--set epochs", "section.key=value")


def test_a_metric_that_does_not_fit_the_task(run, tmp_path):
    table = write(tmp_path, "t.csv", ["sequence", "label"], [[each, index % 2] for index, each in enumerate(SEQUENCES)])
    expect_refusal(train(run, table, "--set", "report.metrics=spearman"), "'spearman'", "auroc")


def test_a_filter_that_keeps_nothing(run, tmp_path):
    table = write(tmp_path, "t.csv", ["sequence", "label"], [[each, index % 2] for index, each in enumerate(SEQUENCES)])
    expect_refusal(train(run, table, "--where", "label == 5"), "t.csv", "label")


def test_a_toml_file_with_a_slip(run, tmp_path):
    (tmp_path / "x.toml").write_text("[data\ntable = 3")
    expect_refusal(run("compare", "x.toml"), "x.toml", "TOML")


def test_mistakes_of_usage_exit_with_two(run):
    assert run("compare").exit_code == 2
    assert run("nonsense").exit_code == 2


def test_json_goes_to_stdout_and_all_else_to_stderr(run, tmp_path):
    table = write(tmp_path, "t.csv", ["sequence", "label"], [[each, index % 2] for index, each in enumerate(SEQUENCES)])
    result = train(run, table, "--json")
    facts = json.loads(result.stdout)
    assert {"command", "path", "seconds", "findings", "verdict", "leaderboard"} <= set(facts)
    assert facts["command"] == "train"
    assert "partition" in result.stderr
    shown = json.loads(run("inspect", table, "--json").stdout)
    assert {"rows", "roles", "alphabets", "recommended_split", "findings"} <= set(shown)


LARGE = 100_000
"""Bytes of a messy file that are inspected where it has more; the rest is left to a slow test."""


def messy_files(data):
    files = [path for path in sorted((data / "messy").rglob("*")) if path.is_file()]
    assert len(files) > 10
    return files


def expect_inspection(run, path):
    result = run("inspect", str(path))
    assert result.exit_code in (0, 1), path
    assert path.name in result.output


def test_every_messy_file_is_inspected_or_refused_without_a_traceback(run, data, tmp_path):
    for path in messy_files(data):
        start = tmp_path / path.name
        content = path.read_bytes()
        start.write_bytes(content if len(content) <= LARGE else content[:LARGE].rsplit(b"\n>", 1)[0] + b"\n")
        expect_inspection(run, start)


@pytest.mark.slow
def test_every_large_messy_file_is_inspected_to_its_end(run, data):
    large = [path for path in messy_files(data) if path.stat().st_size > LARGE]
    assert large
    for path in large:
        expect_inspection(run, path)
