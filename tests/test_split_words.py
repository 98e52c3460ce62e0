"""The split by shared words, compared with a slow search."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.errors import DataError
from seqloom.table import DataSection, read_table
from split_tables import PLENTY, assigned, parted, sides, splitter_of, table_of


def words(sequence, k):
    return {sequence[start : start + k] for start in range(len(sequence) - k + 1)}


def slow_components(sequences, k):
    """Components of rows that share a word or are equal, by merging sets."""
    parts = []
    for row, sequence in enumerate(sequences):
        own, rows = words(sequence, k) | {(sequence,)}, {row}
        for each in [each for each in parts if each[0] & own]:
            parts.remove(each)
            own, rows = own | each[0], rows | each[1]
        parts.append((own, rows))
    return sorted(sorted(rows) for _, rows in parts)


def components(units):
    return sorted(np.flatnonzero(units == unit).tolist() for unit in np.unique(units))


@given(st.lists(st.text("ACD", min_size=1, max_size=30), min_size=2, max_size=30), st.integers(2, 24))
def test_components_are_those_of_a_slow_search_for_any_length_of_word(sequences, k):
    splitter = splitter_of("hobohm9", k=k)
    assert components(splitter.units(table_of(sequences))) == slow_components(sequences, k)


@pytest.mark.parametrize("k", [12, 13, 20, 24, 25, 37, 60])
def test_long_words_are_compared_to_their_last_symbol(k):
    core = "".join(np.random.default_rng(0).choice(list("ACDEFGHIKLMNPQRSTV"), k))
    sequences = [f"WW{core}WW", core, f"Y{core[:-1]}Y", f"Y{core[1:]}Y"]
    units = splitter_of("hobohm9", k=k).units(table_of(sequences))
    assert components(units) == [[0, 1], [2], [3]]
    inner = [f"{core[: k // 2]}Y{core[k // 2 + 1 :]}", core]
    assert components(splitter_of("hobohm9", k=k).units(table_of(inner))) == [[0], [1]]


@pytest.mark.parametrize(
    ("path", "target", "k", "folds"),
    [
        ("peptides/rt_luna_silica.csv", "RT", 9, 1),
        ("peptides/amp_iamp2l.csv", "label", 9, 5),
        ("peptides/tox_toxinpred.csv", "label", 5, 1),
        ("mhc/bdata.20130222.mhci.VALID.9.CDHIT.txt", "meas", 9, 5),
        ("solubility/esol_train.csv", "solubility", 9, 1),
    ],
)
def test_no_word_of_a_published_table_stands_on_both_sides(data, path, target, k, folds):
    section = DataSection(sequence=("sequence",), where="" if "mhc" not in path else "mhc == 'HLA-A*02:01'")
    table = read_table(data / path, section, (target,))
    own = [words(each, k) or {each} for each in table.sequences().to_pylist()]
    partition = assigned(table, "hobohm9", k=k, folds=folds)
    for fold in range(folds):
        fitted, tested = sides(partition, fold)
        assert not set().union(*(own[row] for row in fitted)) & set().union(*(own[row] for row in tested))
        assert len(tested) == pytest.approx(table.n_rows * (0.2 if folds == 1 else 1 / folds), rel=0.25)


def test_relations_pass_from_row_to_row():
    chain = ["ACDEFGHIKLM", "CDEFGHIKLMNP", "GHIKLMNPQ" + "RST", "WWWWWWWWWY", "WWWWWWWWW"]
    splitter = splitter_of("hobohm9")
    assert components(splitter.units(table_of([*chain, "WWWW", "WWWW"]))) == [[0, 1], [2], [3, 4], [5, 6]]
    chain[1] += "QRST"
    assert components(splitter.units(table_of(chain))) == [[0, 1, 2], [3, 4]]


def test_gaps_are_left_out_and_words_with_unknown_symbols_do_not_count():
    sequences = ["ACDEF--GHIKLM", "YYACDEFGHIKYY", "XXXXXXXXXXX", "MMXXXXXXXXXMM", "-------------"]
    units = splitter_of("hobohm9").units(table_of(sequences))
    assert components(units) == [[0, 1], [2], [3], [4]]


def test_with_two_sequence_columns_rows_are_related_when_both_are():
    left = ["ACDEFGHIK"] * 4 + ["LMNPQRSTV"] * 2
    right = ["WYWYWYWYWY", "AWYWYWYWYW", "CCCCCDDDDD", "ACCCCCDDDDDA", "WYWYWYWYWY", "WYWYWYWYWY"]
    table = table_of(left, section={"sequence": ("sequence", "other")}, other=right)
    assert components(splitter_of("hobohm9").units(table)) == [[0, 1], [2, 3], [4, 5]]


def test_a_table_of_variants_is_one_component_and_that_is_said(data):
    table = read_table(data / "leakage/hiv_nfv_resistance.csv", DataSection(), ("label",))
    with pytest.raises(
        DataError, match=r"775 of 775 rows \(100.0%\) hang together by shared words of 9 .*--set split\.k=15"
    ):
        parted(table, "hobohm9")
    wild = "ACDEFGHIKLMNPQRSTVWYACDEF"
    variants = [wild[:at] + "W" + wild[at + 1 :] for at in range(10)] * 4 + ["AAAAAAAAA"]
    with pytest.raises(DataError, match=r"40 of 41 rows \(97.6%\)"):
        parted(table_of(variants), "hobohm9")


def test_the_same_seed_gives_the_same_partition_and_another_seed_another():
    table = table_of(PLENTY)
    first, again, other = (parted(table, "hobohm9", seed=seed)[0].roles for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
