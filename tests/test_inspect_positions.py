"""Residues by position in the classes of a target, as `inspect --position` tells them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pytest
from click.testing import CliRunner
from scipy.stats import fisher_exact

from seqloom.cli import main
from seqloom.errors import ConfigError
from seqloom.inspection import inspect
from seqloom.positions import classes_by_length, false_discovery, fisher, read_positions

SEQUENCES = ["LAV", "LCV", "LAVK", "MAV", "GAAK", "GCA", "GAA", "MCAK"]
LABELS = ["yes"] * 4 + ["no"] * 4
TABLE = pa.table({"peptide": SEQUENCES, "binds": LABELS, "nm": [10.0, 20, 30, 40, 500, 600, 700, 800]})
"""Four rows of either class; L and the V at 3 are of the first alone."""


def told(by: str = "binds", positions: str = "1..3,-1", table: pa.Table = TABLE, **target) -> dict:
    sections = {"data": {"sequence": "peptide"}, "target": {"column": by, **target}}
    return inspect(sections, table, positions=positions)["positions"]


def symbols(facts: dict, position: int) -> dict[str, dict]:
    (own,) = [each for each in facts["positions"] if each["position"] == position]
    return {each["symbol"]: each for each in own["symbols"]}


def test_counts_and_shares_are_those_of_a_count_by_hand():
    facts = told()
    assert facts["classes"] == ["no", "yes"]
    assert facts["rows"] == [4, 4]
    assert {name: each["counts"] for name, each in symbols(facts, 1).items()} == {"G": [3, 0], "L": [0, 3], "M": [1, 1]}
    assert symbols(facts, 1)["L"]["shares"] == [0.0, 0.75]
    assert {name: each["counts"] for name, each in symbols(facts, -1).items()} == {
        "A": [2, 0], "K": [2, 1], "V": [0, 3],
    }  # fmt: skip


def test_counts_equal_a_slow_loop_on_random_peptides():
    random = np.random.default_rng(1)
    peptides = ["".join(random.choice(list("ACDEFGHIKLMNPQRSTVWY"), random.integers(7, 12))) for _ in range(120)]
    labels = random.choice(["a", "b", "c"], 120).tolist()
    facts = told("label", "1..9,-3..-1", pa.table({"peptide": peptides, "label": labels}))
    assert facts["classes"] == ["a", "b", "c"]
    for each in facts["positions"]:
        place = each["position"] - 1 if each["position"] > 0 else each["position"]
        reach = [(p[place], y) for p, y in zip(peptides, labels, strict=True) if len(p) >= abs(each["position"])]
        assert each["rows"] == [sum(y == name for _, y in reach) for name in "abc"]
        for own in each["symbols"]:
            assert own["counts"] == [sum(s == own["symbol"] and y == name for s, y in reach) for name in "abc"]


def test_log_odds_are_of_the_class_looked_for_and_p_is_fishers():
    own = symbols(told(), 1)["L"]
    assert own["log2_odds"] == [pytest.approx(np.log2((3.5 * 4.5) / (1.5 * 0.5)))]
    assert own["p"] == [pytest.approx(fisher_exact([[3, 1], [0, 4]]).pvalue)]


def test_each_of_three_classes_is_held_against_all_others():
    facts = told("kind", "1", TABLE.append_column("kind", pa.array(["a", "a", "a", "b", "b", "b", "c", "c"])))
    leucine = symbols(facts, 1)["L"]
    assert leucine["counts"] == [3, 0, 0]
    assert leucine["p"][0] == pytest.approx(fisher_exact([[3, 0], [0, 5]]).pvalue)


def test_numbers_are_divided_by_their_threshold_or_else_by_their_median():
    facts = told("nm", positive_below=500)
    assert facts["classes"] == ["nm >= 500", "nm < 500"]
    assert "positive_below" in facts["how"]
    assert symbols(facts, 1)["L"]["counts"] == [0, 3]
    facts = told("nm")
    assert facts["classes"] == ["nm <= 270", "nm > 270"]
    assert "median" in facts["how"]
    assert symbols(facts, 1)["L"]["counts"] == [3, 0]


def test_a_bound_that_leaves_the_side_open_is_of_no_class():
    table = pa.table({"peptide": SEQUENCES, "nm": ["10", "<20", ">30", "40", "500", "600", ">700", "800"]})
    facts = told("nm", "1", table, positive_below=500)
    assert facts["left_out"] == 1
    assert facts["rows"] == [4, 3]


def test_rows_without_a_target_do_not_count():
    table = TABLE.set_column(1, "binds", pa.array([None, *LABELS[1:]]))
    facts = told(table=table)
    assert facts["left_out"] == 1
    assert symbols(facts, 1)["L"]["counts"] == [0, 2]


def test_classes_are_told_by_length():
    facts = told()
    assert [(each["shortest"], each["longest"], tuple(each["counts"])) for each in facts["by_length"]] == [
        (3, 3, (2, 3)),
        (4, 4, (2, 1)),
    ]
    many = classes_by_length(np.arange(400), np.tile([0, 1], 200), 2)
    assert sum(sum(each.counts) for each in many) == 400
    assert len(many) <= 8


def test_p_values_and_false_discovery_rates_are_those_of_the_definitions():
    tables = np.array([[3, 1, 0, 4], [8, 2, 1, 5], [8, 2, 1, 5], [0, 5, 0, 9]])
    expected = [fisher_exact(each.reshape(2, 2)).pvalue for each in tables]
    assert fisher(*tables.T) == pytest.approx(expected)
    p = np.array([[0.01, np.nan], [0.04, 0.03]])
    assert false_discovery(p)[[0, 1, 1], [0, 0, 1]] == pytest.approx([0.03, 0.04, 0.04])
    assert np.isnan(false_discovery(p)[0, 1])


@pytest.mark.parametrize("text", ["0", "3..1", "-1..2", "x", "", "1..99"])
def test_what_is_no_position_is_refused(text):
    with pytest.raises(ConfigError, match="--position"):
        read_positions(text)


def test_without_a_target_the_message_says_what_to_type():
    with pytest.raises(ConfigError, match="--by COLUMN"):
        inspect({"data": {"sequence": "peptide"}}, TABLE.select(["peptide"]), positions="1")


def test_the_command_prints_a_line_per_position_and_writes_a_page(tmp_path):
    random = np.random.default_rng(0)
    rows = ["".join(random.choice(list("ACDEGHKLV"), 9)) for _ in range(200)]
    table = pa.table({"peptide": rows, "label": [int(each[1] == "L") for each in rows]})
    csv.write_csv(table, tmp_path / "t.csv")
    page = tmp_path / "positions.html"
    arguments = ["inspect", str(tmp_path / "t.csv"), "--by", "label", "--position", "1..9,-1", "-o", str(page)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    (second,) = [line for line in done.output.splitlines() if line.split()[:1] == ["2"]]
    assert second.split()[1] == "L"
    assert float(second.split()[2]) > 5
    assert next(line for line in done.output.splitlines() if line.split()[:1] == ["9"]).endswith("no difference")
    html = page.read_text()
    assert html.count("<figure>") == 11
    assert "http" not in html.replace("http-equiv", "")
    assert "<script" not in html
    facts = json.loads(CliRunner().invoke(main, [*arguments[:-2], "--json"]).stdout)
    assert facts["positions"]["by"] == "label"
    assert len(facts["positions"]["positions"]) == 10


def test_a_page_needs_positions_and_by_needs_them_too(tmp_path):
    csv.write_csv(TABLE, tmp_path / "t.csv")
    done = CliRunner().invoke(main, ["inspect", str(tmp_path / "t.csv"), "-o", str(tmp_path / "p.html")])
    assert done.exit_code == 1
    assert "--position 1..9,-1" in done.output
    done = CliRunner().invoke(main, ["inspect", str(tmp_path / "t.csv"), "--by", "binds"])
    assert done.exit_code == 1
    assert "--position" in done.output


def test_the_motif_of_a_real_allele_is_seen(data):
    sections = {
        "data": {"table": str(data / "mhc/bdata.2013.mhci.public.blind.1.txt"), "where": "mhc == 'HLA-A*02:01' and peptide_length == 9"},
        "target": {"column": "meas", "positive_below": 500},
    }  # fmt: skip
    facts = inspect(sections, positions="2,9")["positions"]
    strongest = [max(each["symbols"], key=lambda own: own["log2_odds"])["symbol"] for each in facts["positions"]]
    assert strongest[0] in "LM"
    assert strongest[1] in "VL"
