"""The split by building blocks: which are known and which are new is told again from the rows."""

from itertools import permutations, product

import numpy as np
import pyarrow as pa
import pytest

from seqloom.errors import ConfigError, DataError
from seqloom.split.base import TRAIN, UNUSED, VALID
from seqloom.table import DataSection, read_table
from split_tables import assigned, of, parted, sides, splitter_of, table_of, values


def library(n_first=12, n_others=20, share=0.6, seed=0, **extra):
    """A combinatorial library: one of `n_first` blocks, then two of `n_others` that may stand at either place.

    The molecule is the same in whatever order the last two stand, as it is in libraries of symmetric cores.
    """
    rng = np.random.default_rng(seed)
    rows = [each for each in product(range(n_first), range(n_others), range(n_others)) if rng.random() < share]
    first = [f"N{'C' * a}Br" for a, _, _ in rows]
    second, third = ([f"O{'C' * row[place]}Cl" for row in rows] for place in (1, 2))
    whole = [f"N{'C' * a}N(O{'C' * min(b, c)})S{'C' * max(b, c)}" for a, b, c in rows]
    return table_of(whole, alphabet="smiles", **{"bb1": first, "bb2": second, "bb3": third} | extra)


BLOCKS = {"columns": ("bb1", "bb2", "bb3")}


def blocks_of(table):
    return list(zip(*(values(table, name) for name in BLOCKS["columns"]), strict=True))


def blocks_in(combinations, rows):
    return {block for row in rows for block in combinations[row]}


@pytest.mark.parametrize("seed", range(5))
def test_a_test_row_of_held_out_blocks_shares_none_with_training(seed):
    table = library(seed=seed)
    partition, _ = parted(table, "components", seed=seed, held_out=0.3, **BLOCKS)
    blocks = blocks_of(table)
    fitted, tested = sides(partition)
    assert len(tested) > 20
    assert not blocks_in(blocks, fitted) & blocks_in(blocks, tested)
    known = blocks_in(blocks, fitted)
    for row in partition.rows(0, UNUSED):
        assert 0 < sum(block in known for block in blocks[row]) < 3  # mixed, each and every one
    assert partition.reasons == ("some of its building blocks are held out and some are not",)


@pytest.mark.parametrize("share", [0.6, 0.03])
def test_new_combinations_are_of_blocks_that_training_holds(share):
    table = library(share=share)
    blocks = blocks_of(table)
    partition, audit = parted(table, "components", scheme="share", **BLOCKS)
    fitted, tested = sides(partition)
    assert len(tested)
    assert blocks_in(blocks, tested) <= blocks_in(blocks, fitted)
    assert not of(blocks, tested) & of(blocks, fitted)
    assert not of(table.sequences().to_pylist(), tested) & of(table.sequences().to_pylist(), fitted)
    assert audit.facts["guarantee"].startswith("every building block of a test row also stands in training")


def test_rows_without_a_target_do_not_count_as_training_for_new_combinations():
    table = library(n_first=3, n_others=6)
    target = np.where(values(table, "bb2") == "OCCCCl", np.nan, 1.0)
    table = library(n_first=3, n_others=6, y=target)
    blocks = blocks_of(table)
    for seed in range(5):
        fitted, tested = sides(parted(table, "components", scheme="share", test=0.5, seed=seed, **BLOCKS)[0])
        assert blocks_in(blocks, tested) <= blocks_in(blocks, fitted)


def test_both_kinds_are_tested_by_the_same_training_rows_in_a_fold_each():
    table = library()
    blocks = blocks_of(table)
    for folds in (1, 3):
        partition, audit = parted(table, "components", scheme="both", folds=folds, **BLOCKS)
        assert partition.n_folds == 2 * folds
        for share, nonshare in zip(range(0, 2 * folds, 2), range(1, 2 * folds, 2), strict=True):
            assert partition.rows(share, TRAIN).tolist() == partition.rows(nonshare, TRAIN).tolist()
            assert partition.rows(share, VALID).tolist() == partition.rows(nonshare, VALID).tolist()
            (fitted, new), (_, strange) = sides(partition, share), sides(partition, nonshare)
            assert blocks_in(blocks, new) <= blocks_in(blocks, fitted)
            assert not blocks_in(blocks, strange) & blocks_in(blocks, fitted)
            assert len(new) > len(strange) > 0
        assert set(audit.facts["unused"]) == {
            "some of its building blocks are held out and some are not",
            "all its building blocks are held out",
            "tested in another fold",
        }


def test_folds_hold_out_every_block_once():
    table = library()
    blocks = blocks_of(table)
    partition, _ = parted(table, "components", folds=4, **BLOCKS)
    held_out = [blocks_in(blocks, sides(partition, fold)[1]) for fold in range(4)]
    assert sum(map(len, held_out)) == len(set.union(*held_out))
    assert set.union(*held_out) == blocks_in(blocks, range(table.n_rows))


def test_columns_with_a_block_in_common_draw_from_one_vocabulary():
    splitter = splitter_of("components", scheme="both", **BLOCKS)
    (found,) = splitter.findings(library())
    assert found.message.startswith("building blocks, by vocabulary: bb1: 12; bb2 and bb3: 20; even folds")


def test_rows_of_one_molecule_and_different_kinds_are_unused():
    # The same molecule put together from other blocks: held out in one row and in training in the other.
    letters = "abcdefgh"
    rows = list(permutations(letters, 2))
    whole = [f"{'C' * (1 + letters.index(left))}N{'C' * (1 + letters.index(right))}O" for left, right in rows]
    one, two = [*(a for a, _ in rows), "a", "b"], [*(b for _, b in rows), "b", "a"]
    table = table_of([*whole, "CCO", "CCO"], alphabet="smiles", one=one, two=[f"x{each}" for each in two])
    ends = set()
    for seed in range(10):
        partition, _ = parted(table, "components", columns=("one", "two"), held_out=0.4, seed=seed)
        pair = [TRAIN if role == VALID else int(role) for role in partition.roles[0, -2:]]
        assert pair[0] == pair[1]
        ends.add(pair[0])
    assert UNUSED in ends


def test_rows_that_lack_a_block_are_unused_with_a_reason():
    blocks = library().text("bb1").to_pylist()
    table = library(bb1=[None if row < 3 else block for row, block in enumerate(blocks)])
    partition, audit = parted(table, "components", **BLOCKS)
    assert (partition.roles[0, :3] == UNUSED).all()
    assert audit.facts["unused"]["a building block is missing"] == 3


def test_the_order_of_rows_does_not_change_which_blocks_are_held_out():
    table = library()
    shuffled = np.random.default_rng(1).permutation(table.n_rows)
    own, other = (sides(parted(each, "components", **BLOCKS)[0])[1] for each in (table, table.take(shuffled)))
    assert sorted(shuffled[other]) == sorted(own)


def test_one_column_of_blocks_is_held_out_like_a_group():
    table = library()
    partition, _ = parted(table, "components", columns="bb1")
    fitted, tested = sides(partition)
    assert not of(values(table, "bb1"), fitted) & of(values(table, "bb1"), tested)
    assert partition.counts(0)["unused"] == 0


def test_columns_of_blocks_must_be_named_and_be_there():
    with pytest.raises(
        ConfigError, match=r"needs the columns of building blocks; name them with --set split\.columns="
    ):
        parted(library(), "components")
    with pytest.raises(ConfigError, match=r"no column 'bb4'; did you mean 'bb\d'\?"):
        parted(library(), "components", columns="bb1,bb4")


def test_too_few_blocks_and_kinds_without_rows_are_refused():
    blocks = {"one": list("abcdefgh"), "two": list("ijklmnop"), "three": list("qrstuvwx")}
    table = table_of([f"C{'C' * i}" for i in range(8)], alphabet="smiles", **blocks)
    with pytest.raises(
        DataError, match=r"8 distinct building blocks in 'one' cannot make 9 parts; .* leave the column out"
    ):
        parted(table, "components", columns="one,two", folds=9)
    with pytest.raises(DataError, match=r"1 distinct building blocks in 'one' cannot make 2 parts"):
        parted(table.with_column("one", pa.array(["q"] * 8)), "components", columns="one,two")
    with pytest.raises(
        DataError, match=r"no row with a target has all of its building blocks held out .*share 5, nonshare 0, mixed 3"
    ):
        parted(table, "components", columns="one,two,three", held_out=0.1)
    with pytest.raises(DataError, match=r"no row with a target has no building block held out .*share 0"):
        parted(table, "components", columns="one,two,three", held_out=0.8)


def test_blocks_of_a_published_library_are_held_out(data):
    pool = read_table(data / "belka/all_buildingblock.csv", DataSection(sequence=("smiles",)), ())
    smiles = pool.sequences().to_pylist()
    rng = np.random.default_rng(0)
    picks = np.stack([rng.integers(0, 271, 5000), *rng.integers(271, 1145, (2, 5000))])
    columns = {f"bb{place}": [smiles[pick] for pick in own] for place, own in enumerate(picks, start=1)}
    whole = [".".join(each) for each in zip(*columns.values(), strict=True)]
    table = table_of(whole, alphabet="smiles", **columns)
    partition = assigned(table, "components", scheme="both", **BLOCKS)
    blocks = blocks_of(table)
    (fitted, new), (_, strange) = sides(partition, 0), sides(partition, 1)
    assert blocks_in(blocks, new) <= blocks_in(blocks, fitted)
    assert not blocks_in(blocks, strange) & blocks_in(blocks, fitted)
    # A fifth of the blocks of each of three places: .8 ** 3 and .2 ** 3 of the rows.
    assert len(fitted) + len(new) == pytest.approx(0.512 * 5000, rel=0.05)
    assert len(strange) == pytest.approx(0.008 * 5000, rel=0.3)


@pytest.mark.parametrize("scheme", ["nonshare", "both"])
def test_the_same_seed_gives_the_same_partition_and_another_seed_another(scheme):
    table = library()
    first, again, other = (
        parted(table, "components", seed=seed, scheme=scheme, **BLOCKS)[0].roles for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
