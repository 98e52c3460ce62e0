"""Natural sequences as a generator learns from them: cleaned, counted, divided."""

import numpy as np
import pyarrow as pa
import pytest

from seqloom.ancestry import FamilySettings
from seqloom.errors import ConfigError, DataError
from seqloom.generation.collection import read_collection
from seqloom.quality.family import Family
from seqloom.split.base import TEST, TRAIN, VALID

FAMILY = FamilySettings(rows=200, length=40, clades=60).table()


def collected(sequences, natural=None, **columns):
    table = pa.table({"sequence": pa.array(sequences), **columns})
    return read_collection({"natural": natural or {}}, table)


def family(n=200):
    return FAMILY["sequence"].to_pylist()[:n]


def said(collection, code):
    return [each for each in collection.findings if each.code == code]


def test_parts_hold_no_relatives_of_each_other():
    collection = collected(family())
    sizes = [len(collection.rows(role)) for role in (TRAIN, VALID, TEST)]
    assert sum(sizes) == 200
    assert 10 <= sizes[2] <= 30
    units = collection.splitter.units(collection.table)
    assert not set(units[collection.rows(TEST)]) & set(units[collection.rows(TRAIN)])


def test_repeats_are_left_out_and_counted():
    collection = collected(family() + family(30))
    assert collection.table.n_rows == 200
    assert said(collection, "duplicates")[0].count == 30


def test_gaps_stop_and_are_stripped_only_when_asked():
    gapped = [each[:5] + "--" + each[5:] for each in family()]
    with pytest.raises(DataError, match=r"200 of 200 sequences hold gaps.*--set natural.gaps=strip"):
        collected(gapped)
    collection = collected(gapped, {"gaps": "strip"})
    assert collection.table.sequences().to_pylist() == family()
    assert said(collection, "gaps-stripped")[0].count == 200


def test_sequences_with_odd_symbols_are_left_out_and_counted():
    odd = ["X" + each for each in family(7)]
    collection = collected(family() + odd)
    assert said(collection, "odd-symbols")[0].count == 7
    assert collection.table.n_rows == 200


def test_lengths_far_from_the_others_are_left_out_and_the_range_is_said():
    long = ["".join(family(80)), "MKV"]
    collection = collected(family() + long)
    assert said(collection, "odd-lengths")[0].count == 2
    assert "symbols ([natural] lengths)" in said(collection, "odd-lengths")[0].message


def test_lengths_and_a_pattern_can_be_asked_for():
    collection = collected(family() + [f"A{each[1:]}" for each in family(20)], {"lengths": "39..40", "matching": "^M"})
    lengths = collection.tokens.lengths
    assert set(lengths.tolist()) <= {39, 40}
    assert said(collection, "not-matching")[0].count == 20


@pytest.mark.parametrize("wrong", [{"lengths": "60"}, {"lengths": "9..3"}, {"matching": "("}, {"gaps": "keep"}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigError, match=rf"\[natural\] {next(iter(wrong))} = "):
        collected(family(), wrong)


def test_very_unequal_lengths_are_kept_where_they_are_all_so():
    random = np.random.default_rng(0)
    lengths = np.exp(random.uniform(np.log(5), np.log(3000), 60)).astype(int)
    sequences = ["".join(random.choice(list("ACDEFGHIKLMNPQRSTVWY"), n)) for n in lengths]
    collection = collected(sequences)
    assert not said(collection, "odd-lengths")
    assert collection.dims().longest > 1000


def test_twenty_sequences_are_divided_too():
    collection = collected(family(20))
    assert collection.table.n_rows == 20
    assert len(collection.rows(TEST)) >= 1
    assert len(collection.rows(TRAIN)) >= 14


def test_identical_sequences_are_refused_with_their_number():
    with pytest.raises(DataError, match=r"1 distinct sequences to learn from \(50 rows were read\)"):
        collected(["MKVLAADERTYGHIKLPVNM"] * 50)


def test_sequences_that_are_all_related_are_divided_at_random_and_that_is_said():
    random = np.random.default_rng(0)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    start = random.choice(letters, 80)
    variants = set()
    while len(variants) < 60:
        own = start.copy()
        own[random.integers(80)] = random.choice(letters)
        variants.add("".join(own))
    collection = collected(sorted(variants))
    assert collection.splitter.kind == "random"
    assert "close relatives" in said(collection, "split")[0].message


def test_rows_that_miss_a_condition_are_left_out_and_counted():
    charge = [None if row < 12 else float(row) for row in range(200)]
    collection = collected(family(), {"condition": ["charge"]}, charge=charge)
    assert collection.table.n_rows == 188
    assert said(collection, "missing-condition")[0].count == 12
    assert collection.dims().n_conditions == 1


def test_conditions_are_numbers_classes_or_both():
    clades = FAMILY["clade"].to_pylist()
    groups = ["odd" if int(each.removeprefix("clade-")) % 2 else "even" for each in clades]
    collection = collected(
        family(), {"condition": ["charge", "group"]}, charge=FAMILY["charge"], group=pa.array(groups)
    )
    assert [each.kind for each in collection.conditions] == ["number", "class"]
    assert collection.dims().n_conditions == 3


def test_an_unknown_condition_is_refused_with_the_nearest_column():
    with pytest.raises(ConfigError, match=r"no column 'chrage'; did you mean 'charge'"):
        collected(family(), {"condition": ["chrage"]}, charge=FAMILY["charge"])


def test_relatives_in_training_share_their_weight():
    collection = collected(family())
    profiles = Family.of(collection.tokens.take(collection.rows(TRAIN)), collection.alphabet)
    relatives = collection.relatives(profiles)
    assert (relatives >= 1).all()
    assert relatives[collection.rows(TRAIN)].max() > 1
    assert (relatives[collection.rows(TEST)] == 1).all()
