"""Targets that are bounds: where they are told, and what the target makes of them."""

import json

import numpy as np
import pyarrow as pa
import pytest

from contracts.tables import peptides
from seqloom.censored import as_written, symbols
from seqloom.division import divide
from seqloom.errors import ConfigError, DataError
from seqloom.read.section import Censoring
from seqloom.registry import validated
from seqloom.table import DataSection, read_table
from seqloom.target import Target, TargetSection, find_target

SEQUENCES = peptides(400)
SECTION = DataSection(sequence=("sequence",), alphabet="protein")


def read(y, targets=("y",), section=SECTION, censoring=None, **columns):
    data = pa.table({"sequence": SEQUENCES[: len(y)], "y": y, **columns})
    return read_table(data, section, targets, censoring=censoring or Censoring())


def found(table, code):
    return next(each for each in table.findings if each.code == code)


def codes(table):
    return {each.code for each in table.findings}


def target_and_bounds(table, **settings):
    """Target, scores (N,) and bounds (N,) of a table's column `y`."""
    target = find_target(table, validated(TargetSection, settings, "[target]"))
    bounds = target.bounds(table)
    return target, target.read(table)[:, 0], None if bounds is None else bounds[:, 0].tolist()


def test_a_sign_before_a_number_makes_it_a_bound():
    table = read([">20000", " < 5", "7", ">=1e3", "≤ 2.5", "= 3", "~4", None, "NA", "-1.5"])
    assert table.data["y"].to_pylist() == [20000, 5, 7, 1000, 2.5, 3, 4, None, None, -1.5]
    assert table.bounds["y"].tolist() == [1, -1, 0, 1, -1, 0, 0, 0, 0, 0]
    assert table.take([3, 2]).bounds["y"].tolist() == [1, 0]
    assert "(2 '<', 2 '>')" in found(table, "inequality").message


def test_a_column_of_signs_is_found_by_its_name():
    table = read([1.5, 2.5, 3.5, 4.5, None], inequality=["=", ">", "<", None, ">"])
    assert table.bounds["y"].tolist() == [0, 1, -1, 0, 0]
    quoted = read([1.5, 2.5, 3.5], **{"Standard Relation": ["'='", "'>='", "'<'"]})
    assert quoted.bounds["y"].tolist() == [0, 1, -1]
    assert read([1.5, 2.5], inequality=["=", "="]).bounds == {}


def test_a_column_of_signs_can_be_named_and_must_be_there():
    named = read([1.5, 2.5, 3.5], censoring=Censoring("side"), side=["<", "", ">"])
    assert named.bounds["y"].tolist() == [-1, 0, 1]
    assert named.roles.inequality == "side"
    with pytest.raises(DataError, match=r"\[target\] inequality = 'sde'.*did you mean 'side'"):
        read([1.5, 2.5], censoring=Censoring("sde"), side=["<", ""])
    odd = read([1.5, 2.5], censoring=Censoring("side"), side=["<", "left"])
    assert found(odd, "not-a-sign").severity == "error"


def test_a_column_of_other_words_is_no_column_of_signs():
    table = read([1.5, 2.5, 3.5], censor=[0, 1, 0])
    assert "(such as 0)" in found(table, "inequality-ignored").message
    assert table.bounds == {}


def test_a_sign_before_the_value_counts_more_than_one_beside_it():
    table = read(["1.5", ">2.5", "3.5"], inequality=["<", "=", ">"])
    assert table.bounds["y"].tolist() == [-1, 1, 1]
    contrary = read(["1.5", ">2.5", "3.5"], inequality=["=", "<", "="])
    assert found(contrary, "contrary-signs").rows == (2,)


def test_values_at_a_limit_and_beyond_it_are_bounds_at_the_limit():
    table = read([0.5, 1.0, 5.0, 20.0, 30.0, None], censoring=Censoring(cap_above=20, cap_below=1))
    assert table.bounds["y"].tolist() == [-1, -1, 0, 1, 1, 0]
    assert table.data["y"].to_pylist() == [0.5, 1.0, 5.0, 20.0, 30.0, None]
    _, values, _ = target_and_bounds(table, cap_above=20, cap_below=1)
    np.testing.assert_array_equal(values, [1, 1, 5, 20, 20, np.nan])
    with pytest.raises(ConfigError, match="cap_below is the smaller"):
        read([1.5, 2.5], censoring=Censoring(cap_above=1, cap_below=2))


def test_a_sign_that_contradicts_a_limit_is_kept():
    table = read(["<30", ">5", "7", "21"], censoring=Censoring(cap_above=20))
    assert table.bounds["y"].tolist() == [-1, 1, 0, 1]


def test_a_suspected_limit_says_what_to_type():
    rng = np.random.default_rng(0)
    y = np.minimum(rng.lognormal(5, 1, 1000), 500).tolist()
    table = read_table(pa.table({"sequence": peptides(1000), "y": y}))
    message = found(table, "assay-limit").message
    assert "--set target.cap_above=500.0" in message
    told = read_table(pa.table({"sequence": peptides(1000), "y": y}), censoring=Censoring(cap_above=500.0))
    assert "assay-limit" not in codes(told)
    assert (told.bounds["y"] == (np.array(y) == 500)).all()


def test_classes_named_like_bounds_stay_classes():
    table = read(["<50", ">=50", "<50", ">=50"])
    assert table.data["y"].to_pylist() == ["<50", ">=50", "<50", ">=50"]
    assert find_target(table, TargetSection()).classes == ("<50", ">=50")
    assert read(["<5", "5", ">5", "5"]).bounds == {}
    labels = read([0, 1, 1, 0], inequality=["=", ">", "<", "="])
    assert labels.bounds == {}


def test_whole_numbers_with_bounds_are_measurements():
    y = [0, 1, 2] * 40
    assert find_target(read(y), TargetSection()).task == "multiclass"
    table = read(y, inequality=[">"] + ["="] * 119)
    assert find_target(table, TargetSection()).task == "regression"
    with pytest.raises(ConfigError, match=r"cap_above = 2.0: bounds are for regression, and the task is multiclass"):
        find_target(read(y), TargetSection(task="multiclass", cap_above=2.0))


def test_each_of_several_targets_has_its_own_bounds():
    table = read(["1.5", ">2.5", "3.5"], ("y", "z"), z=["<1", "2", None])
    assert {name: each.tolist() for name, each in table.bounds.items()} == {"y": [0, 1, 0], "z": [-1, 0, 0]}
    _, _, bounds = target_and_bounds(table, column=("y", "z"))
    assert bounds == [0, 1, 0]
    beside = read([1.5, 2.5, 3.5], ("y", "z"), z=[1.5, 2.5, 0.5], inequality=["=", ">", "="])
    assert beside.bounds == {}
    assert "treated as equal; write the signs before the values" in found(beside, "inequality").message
    with pytest.raises(ConfigError, match="is the column of signs of one target, and there are 2"):
        read([1.5, 2.5], ("y", "z"), z=[1.5, 2.5], censoring=Censoring("side"), side=[">", ""])


def test_replicates_are_merged_within_one_side():
    data = pa.table({"sequence": ["ACDEF"] * 4 + ["ACDEG"] * 2, "y": [">10", ">20", "4", "6", "<3", "9"]})
    section = SECTION.model_copy(update={"replicates": "mean"})
    table = read_table(data, section, ("y",))
    assert sorted(zip(table.bounds["y"].tolist(), table.data["y"].to_pylist(), strict=True)) == [
        (-1, 3.0), (0, 5.0), (0, 9.0), (1, 15.0),
    ]  # fmt: skip


def test_a_second_table_brings_its_bounds(tmp_path):
    paths = [tmp_path / "train.csv", tmp_path / "test.csv"]
    for path, values in zip(paths, (["1.5", ">2.5", "4.5"], ["3.5", "<0.5"]), strict=True):
        rows = [f"{SEQUENCES[len(values) * 10 + place]},{value}" for place, value in enumerate(values)]
        path.write_text("sequence,y\n" + "\n".join(rows) + "\n")
    from seqloom.joined import read_tables

    table = read_tables(DataSection(table=paths[0].as_posix(), test=paths[1].as_posix(), alphabet="protein"), ("y",))
    assert table.bounds["y"].tolist() == [0, 1, 0, 0, -1]


def test_signs_are_written_back_where_rows_are(tmp_path):
    table = read(["1.5", ">2.5", None, "<20000"])
    assert as_written(table)["y"].to_pylist() == ["1.5", ">2.5", None, "<20000"]
    assert symbols(np.array([-1, 0, 1])).to_pylist() == ["<", "", ">"]
    path = tmp_path / "t.csv"
    path.write_text(
        "sequence,y\n" + "".join(f"{each},{'>' * (row % 3 == 0)}{row}.5\n" for row, each in enumerate(SEQUENCES[:30]))
    )
    divide(
        {"data": {"table": path.as_posix()}, "target": {"column": "y"}, "split": {"kind": "random"}}, tmp_path / "o.csv"
    )
    assert (tmp_path / "o.csv").read_text().count(">") == 10


def test_log50k_turns_bounds_round():
    table = read([">20000", "<5", "300"])
    _, values, bounds = target_and_bounds(table, transform="log50k")
    assert bounds == [-1, 1, 0]
    assert values[0] == pytest.approx(1 - np.log(20000) / np.log(50000))
    assert target_and_bounds(table, transform="log")[2] == [1, -1, 0]
    assert target_and_bounds(read([1.5, 2.5]))[2] is None


@pytest.mark.parametrize("transform", ["log50k", "log", "standardise"])
def test_bounds_that_leave_the_side_of_the_threshold_open_are_no_positives_or_negatives(transform):
    table = read([">20000", ">100", "<100", "<5000", "<500", ">500", "499", "501", None])
    target, values, _ = target_and_bounds(table, transform=transform, positive_below=500)
    held = target.positives(values[:, None], target.bounds(table))[:, 0]
    np.testing.assert_array_equal(held, [0, np.nan, 1, np.nan, 1, 0, 1, 0, np.nan])
    above, values, _ = target_and_bounds(table, transform=transform, positive_above=500)
    held = above.positives(values[:, None], above.bounds(table))[:, 0]
    np.testing.assert_array_equal(held, [1, np.nan, 0, np.nan, 0, 1, 0, 1, np.nan])


def test_a_target_keeps_its_limits_in_its_file():
    target = Target("regression", ("y",), cap_above=5.0)
    assert Target.from_json(json.loads(json.dumps(target.as_json()))) == target


def test_targets_that_are_all_bounds_are_refused_with_counts():
    with pytest.raises(DataError, match=r"all known values of the rows are bounds \(1 '<' and 2 '>'\)"):
        find_target(read([1.5, 2.5, 3.5], inequality=["<", ">", ">"]), TargetSection())
