"""Splitters that need no alignment: what each promises is computed again here, from the rows of its partition."""

from datetime import date, datetime, timedelta, timezone
from itertools import permutations, product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.tables import peptides
from seqloom.errors import ConfigError, DataError, LeakError
from seqloom.registry import build
from seqloom.split.base import TEST, TRAIN, UNUSED, VALID
from seqloom.split.make import make_partition
from seqloom.table import DataSection, read_table

PLENTY = peptides(400)


def table_of(columns, alphabet="protein", **section):
    section.setdefault("sequence", ("sequence",))
    n_rows = len(next(iter(columns.values())))
    data = pa.table({"y": np.arange(n_rows) + 0.5} | columns)
    return read_table(data, DataSection(alphabet=alphabet, **section), ("y",))


def parted(table, kind, strata=None, **settings):
    targets = table.numeric(table.roles.targets[0])[:, None]
    return make_partition(build("splitter", {"kind": kind, **settings}), table, targets, strata)


def sides(partition, fold=0):
    """Rows that are fitted (train and valid) and rows that are tested."""
    return np.concatenate([partition.rows(fold, TRAIN), partition.rows(fold, VALID)]), partition.rows(fold, TEST)


def values(table, column):
    return np.array(table.text(column).to_pylist(), object)


def of(items, rows):
    return {items[row] for row in rows}


# --- scaffolds -------------------------------------------------------------------------------------------------------


def ring_systems(smiles):
    """The scaffold of each SMILES, its canonical spelling where it has none, or itself where it cannot be read."""
    Chem = pytest.importorskip("rdkit.Chem", reason="needs rdkit")  # noqa: N806 - as RDKit writes it
    from rdkit import rdBase
    from rdkit.Chem.Scaffolds import MurckoScaffold

    found = []
    with rdBase.BlockLogs():
        for each in smiles:
            molecule = Chem.MolFromSmiles(each)
            scaffold = molecule and Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(molecule), isomericSmiles=False)
            found.append(scaffold or (Chem.MolToSmiles(molecule) if molecule else each))
    return found


@pytest.mark.parametrize(
    ("name", "target", "folds"),
    [
        ("BBBP", "p_np", 1),
        ("bace", "Class", 5),
        ("delaney", "logp", 1),
        ("freesolv", "freesolv", 3),
    ],
)
def test_no_scaffold_of_a_published_table_stands_on_both_sides(data, name, target, folds):
    table = read_table(data / f"smallmol/{name}.csv", DataSection(alphabet="smiles"), (target,))
    rings = ring_systems(table.sequences().to_pylist())
    partition, audit = parted(table, "scaffold", folds=folds)
    for fold in range(folds):
        fitted, tested = sides(partition, fold)
        assert not of(rings, fitted) & of(rings, tested)
        assert not of(rings, partition.rows(fold, TRAIN)) & of(rings, partition.rows(fold, VALID))
        assert len(tested) == pytest.approx(table.n_rows * (0.2 if folds == 1 else 1 / folds), rel=0.1)
    assert "Murcko scaffold" in audit.facts["guarantee"]


def test_two_spellings_and_mirror_images_stay_together_and_other_rings_part():
    pytest.importorskip("rdkit", reason="needs rdkit")
    same = [
        "OCC",
        "C(O)C",
        "CCO",
        "Cc1ccccc1",
        "Oc1ccccc1",
        "CC1CCCO1",
        "C[C@H]1CCCO1",
        "C[C@@H]1CCCO1",
        "C1CC",
        "C1CC",
    ]
    table = table_of({"sequence": [*same, "CCN", "C1CCCCC1"]}, "smiles")
    units = build("splitter", {"kind": "scaffold"}).units(table).tolist()
    assert len(set(units[:3])) == len(set(units[3:5])) == len(set(units[5:8])) == len(set(units[8:10])) == 1
    assert len(set(units)) == 6


def test_smiles_that_cannot_be_read_are_dealt_by_their_text_and_named():
    pytest.importorskip("rdkit", reason="needs rdkit")
    table = table_of({"sequence": ["C1CC", "CCO", "C1CC", *(f"C{'C' * i}O" for i in range(1, 30))]}, "smiles")
    partition, _ = parted(table, "scaffold")
    assert partition.counts(0)["unused"] == 0
    assert partition.roles[0, 0] == partition.roles[0, 2]
    (found,) = build("splitter", {"kind": "scaffold"}).findings(table)
    assert "2 of 32 SMILES of column 'sequence' cannot be read by RDKit" in found.message


def test_a_table_without_smiles_has_no_scaffolds():
    with pytest.raises(
        DataError, match=r"kind = 'scaffold' is for SMILES, and 'sequence' is protein; name .* --sequence COLUMN"
    ):
        parted(table_of({"sequence": PLENTY[:30]}), "scaffold")


def test_beside_a_protein_the_molecule_alone_is_split_by_scaffold():
    smiles = [f"{'C' * n}c1ccccc1" for n in range(1, 11)] + [f"{'C' * n}C1CCCO1" for n in range(1, 11)]
    rings = ring_systems(smiles)
    columns = {"sequence": PLENTY[:20], "drug": smiles}
    table = table_of(columns, {"sequence": "protein", "drug": "smiles"}, sequence=("sequence", "drug"))
    fitted, tested = sides(parted(table, "scaffold")[0])
    assert not of(rings, fitted) & of(rings, tested)
    assert len(tested) == 10


# --- building blocks -------------------------------------------------------------------------------------------------


def library(n_first=12, n_others=20, share=0.6, seed=0, **extra):
    """A combinatorial library: one of `n_first` blocks, then two of `n_others` that may stand at either place.

    The molecule is the same in whatever order the last two stand, as it is in libraries of symmetric cores.
    """
    rng = np.random.default_rng(seed)
    rows = [each for each in product(range(n_first), range(n_others), range(n_others)) if rng.random() < share]
    first = [f"N{'C' * a}Br" for a, _, _ in rows]
    second, third = ([f"O{'C' * row[place]}Cl" for row in rows] for place in (1, 2))
    whole = [f"N{'C' * a}N(O{'C' * min(b, c)})S{'C' * max(b, c)}" for a, b, c in rows]
    return table_of({"sequence": whole, "bb1": first, "bb2": second, "bb3": third, **extra}, "smiles")


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
    splitter = build("splitter", {"kind": "components", "scheme": "both", **BLOCKS})
    (found,) = splitter.findings(library())
    assert found.message.startswith("building blocks, by vocabulary: bb1: 12; bb2 and bb3: 20; even folds")


def test_rows_of_one_molecule_and_different_kinds_are_unused():
    # The same molecule put together from other blocks: held out in one row and in training in the other.
    letters = "abcdefgh"
    rows = list(permutations(letters, 2))
    whole = [f"{'C' * (1 + letters.index(left))}N{'C' * (1 + letters.index(right))}" for left, right in rows]
    columns = {
        "sequence": [*whole, "CCO", "CCO"],
        "one": [*(a for a, _ in rows), "a", "b"],
        "two": [*(b for _, b in rows), "b", "a"],
    }
    table = table_of(columns | {"two": [f"x{each}" for each in columns["two"]]}, "smiles")
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
    table = table_of({"sequence": [f"C{'C' * i}" for i in range(8)]} | blocks, "smiles")
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
    picks = np.stack([rng.integers(0, 271, 20_000), *rng.integers(271, 1145, (2, 20_000))])
    columns = {f"bb{place}": [smiles[pick] for pick in own] for place, own in enumerate(picks, start=1)}
    table = table_of(
        {"sequence": [".".join(each) for each in zip(*columns.values(), strict=True)], **columns}, "smiles"
    )
    partition, _ = parted(table, "components", scheme="both", **BLOCKS)
    blocks = blocks_of(table)
    (fitted, new), (_, strange) = sides(partition, 0), sides(partition, 1)
    assert blocks_in(blocks, new) <= blocks_in(blocks, fitted)
    assert not blocks_in(blocks, strange) & blocks_in(blocks, fitted)
    # A fifth of the blocks of each of three places: .8 ** 3 and .2 ** 3 of the rows.
    assert len(fitted) + len(new) == pytest.approx(0.512 * 20_000, rel=0.05)
    assert len(strange) == pytest.approx(0.008 * 20_000, rel=0.3)


# --- time ------------------------------------------------------------------------------------------------------------


def in_time(times, **columns):
    return table_of({"sequence": PLENTY[: len(times)], "when": times, **columns})


SORTS_OF_TIME = {
    "years": [2000 + row % 20 for row in range(100)],
    "numbers": [row * 0.37 for row in range(100)],
    "dates": [str(date(2020, 1, 1) + timedelta(days=7 * row)) for row in range(100)],
    "date-times": [f"2021-03-{1 + row // 24:02d}T{row % 24:02d}:30:00" for row in range(100)],
    "days of Arrow": [date(2020, 1, 1) + timedelta(days=row) for row in range(100)],
    "stamps of Arrow": [datetime(2020, 1, 1) + timedelta(seconds=row) for row in range(100)],
    "months": [f"20{10 + row // 12}-{1 + row % 12:02d}" for row in range(100)],
}


@pytest.mark.parametrize("sort", SORTS_OF_TIME)
@pytest.mark.parametrize("folds", [1, 4])
def test_every_test_row_is_later_than_every_training_row(sort, folds):
    order = np.random.default_rng(0).permutation(100)
    times = [SORTS_OF_TIME[sort][row] for row in order]
    partition, audit = parted(in_time(times), "time", column="when", folds=folds)
    tested_so_far = []
    for fold in range(folds):
        fitted, tested = sides(partition, fold)
        assert max(of(times, fitted)) < min(of(times, tested))
        assert len(tested) == 20
        unused = partition.rows(fold, UNUSED)
        assert not len(unused) or min(of(times, unused)) > max(of(times, tested))
        tested_so_far += tested.tolist()
        assert len(fitted) == 80 - 20 * (folds - 1 - fold)
    assert len(set(tested_so_far)) == 20 * folds
    assert audit.facts["guarantee"] == "every test row is later than every training row of its fold"


@given(st.lists(st.integers(0, 12), min_size=5, max_size=60), st.integers(1, 4), st.floats(0.05, 0.95))
def test_rows_of_one_moment_stand_on_one_side_however_many_tie(times, folds, share):
    try:
        partition, _ = parted(in_time(times), "time", column="when", folds=folds, test=share)
    except DataError as error:
        assert len(set(times)) < folds + 1
        assert f"{len(set(times))} distinct times" in str(error)  # noqa: PT017
        return
    for fold in range(folds):
        fitted, tested = sides(partition, fold)
        assert max(of(times, fitted)) < min(of(times, tested))
    if folds == 1:  # no other cut between two moments is nearer to the share asked for
        goal = (1 - share) * len(times)
        off = min(abs(sum(time < cut for time in times) - goal) for cut in set(times) if cut > min(times))
        assert abs(len(fitted) - goal) == pytest.approx(off)


@pytest.mark.parametrize(("after", "first"), [("2010", 2010), ("2009.5", 2010), (2019, 2019)])
def test_everything_from_a_moment_on_is_tested(after, first):
    times = SORTS_OF_TIME["years"]
    fitted, tested = sides(parted(in_time(times), "time", column="when", after=after)[0])
    assert of(times, tested) == set(range(first, 2020))
    assert of(times, fitted) == set(range(2000, first))


def test_from_a_date_on_in_stretches_with_all_before_as_the_past():
    times = SORTS_OF_TIME["dates"]
    partition, _ = parted(in_time(times), "time", column="when", after="2021", folds=2)
    (past, first), (more, second) = sides(partition, 0), sides(partition, 1)
    assert max(of(times, past)) < "2021-01-01" <= min(of(times, first))
    assert set(more) == {*past, *first}
    assert min(of(times, second)) > max(of(times, first))
    assert abs(len(first) - len(second)) <= 1


def test_zones_are_brought_to_one_and_a_year_is_its_first_day():
    times = ["2021-01-01T01:00:00+05:00", "2020-12-31T21:00:00Z", "2021", "2021-01-02"] + [
        f"2019-01-{d:02d}" for d in range(1, 17)
    ]
    partition, _ = parted(in_time(times), "time", column="when", after="2020-12-31T20:30:00")
    assert sides(partition)[1].tolist() == [1, 2, 3]  # the first row is 20:00 in UTC
    stamps = pa.array([datetime(2021, 1, day, tzinfo=timezone(timedelta(hours=5))) for day in range(1, 11)])
    assert sides(parted(in_time(stamps), "time", column="when")[0])[1].tolist() == [8, 9]


def test_rows_without_a_time_are_unused_with_a_reason_and_those_without_a_target_do_not_count():
    times = [None, "NA", *range(2000, 2020)]
    partition, audit = parted(in_time([None if each is None else str(each) for each in times]), "time", column="when")
    assert partition.rows(0, UNUSED).tolist() == [0, 1]
    assert audit.facts["unused"] == {"no time in column 'when'": 2}
    target = np.where(np.arange(100) < 50, 1.0, np.nan)  # the later half was not measured
    partition, _ = parted(in_time([float(row) for row in range(100)], y=target), "time", column="when")
    assert sides(partition)[1].tolist() == list(range(40, 50))


def test_inputs_that_come_again_are_shared_as_the_user_says():
    table = table_of({"sequence": [*PLENTY[:20], PLENTY[3]], "when": list(range(21))})
    with pytest.raises(LeakError, match="1 shared inputs"):
        parted(table, "time", column="when")
    partition, _ = parted(table, "time", column="when", shared="unused")
    assert partition.rows(0, UNUSED).tolist() == [3]


def test_what_is_no_time_is_named():
    times = [str(day) for day in SORTS_OF_TIME["days of Arrow"]]
    times[4], times[9] = "03/04/2021", "2021-13-40"
    with pytest.raises(
        DataError, match=r"'when': 2 of 100 values are no ISO dates, .* row 5: '03/04/2021', row 10: '2021-13-40'"
    ):
        parted(in_time(times), "time", column="when")
    with pytest.raises(DataError, match=r"1 of 100 values are no numbers, as the others are: row 3: 'soon'"):
        parted(in_time(["soon" if row == 2 else f"{row}.5" for row in range(100)]), "time", column="when")


def test_times_that_cannot_be_cut_and_columns_that_are_not_there_are_refused():
    table = in_time([2001.0] * 50 + [2002.0] * 50)
    with pytest.raises(DataError, match="2 distinct times of rows with a target cannot make 4 stretches"):
        parted(table, "time", column="when", folds=3)
    with pytest.raises(DataError, match="1 distinct times"):
        parted(in_time([2001.0] * 50), "time", column="when")
    with pytest.raises(DataError, match=r"no row with a target is earlier than 1990; move --set split\.after"):
        parted(table, "time", column="when", after="1990")
    with pytest.raises(DataError, match=r"no row with a target is from 2030 on; move"):
        parted(table, "time", column="when", after="2030")
    with pytest.raises(ConfigError, match=r"after = 'soon': column 'when' holds numbers"):
        parted(table, "time", column="when", after="soon")
    with pytest.raises(ConfigError, match=r"no column 'whem'; did you mean 'when'\?"):
        parted(table, "time", column="whem")
    with pytest.raises(ConfigError, match=r"needs the column of times; name it with --set split\.column=COLUMN"):
        parted(table, "time")


def test_measured_numbers_of_a_published_table_serve_as_time(data):
    table = read_table(data / "peptides/rt_luna_silica.csv", DataSection(), ("RT",))
    partition, _ = parted(table, "time", column="RT", folds=3, shared="unused")
    for fold in range(3):
        fitted, tested = sides(partition, fold)
        assert table.numeric("RT")[fitted].max() < table.numeric("RT")[tested].min()


# --- shared words ----------------------------------------------------------------------------------------------------


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
    splitter = build("splitter", {"kind": "hobohm9", "k": k})
    assert components(splitter.units(table_of({"sequence": sequences}))) == slow_components(sequences, k)


@pytest.mark.parametrize("k", [12, 13, 20, 24, 25, 37, 60])
def test_long_words_are_compared_to_their_last_symbol(k):
    core = "".join(np.random.default_rng(0).choice(list("ACDEFGHIKLMNPQRSTV"), k))
    sequences = [f"WW{core}WW", core, f"Y{core[:-1]}Y", f"Y{core[1:]}Y"]
    units = build("splitter", {"kind": "hobohm9", "k": k}).units(table_of({"sequence": sequences}))
    assert components(units) == [[0, 1], [2], [3]]
    inner = [f"{core[: k // 2]}Y{core[k // 2 + 1 :]}", core]
    assert components(build("splitter", {"kind": "hobohm9", "k": k}).units(table_of({"sequence": inner}))) == [[0], [1]]


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
    partition, _ = parted(table, "hobohm9", k=k, folds=folds)
    for fold in range(folds):
        fitted, tested = sides(partition, fold)
        assert not set().union(*(own[row] for row in fitted)) & set().union(*(own[row] for row in tested))
        assert len(tested) == pytest.approx(table.n_rows * (0.2 if folds == 1 else 1 / folds), rel=0.25)


def test_relations_pass_from_row_to_row():
    chain = ["ACDEFGHIKLM", "CDEFGHIKLMNP", "GHIKLMNPQ" + "RST", "WWWWWWWWWY", "WWWWWWWWW"]
    splitter = build("splitter", {"kind": "hobohm9"})
    assert components(splitter.units(table_of({"sequence": [*chain, "WWWW", "WWWW"]}))) == [[0, 1], [2], [3, 4], [5, 6]]
    chain[1] += "QRST"
    assert components(splitter.units(table_of({"sequence": chain}))) == [[0, 1, 2], [3, 4]]


def test_gaps_are_left_out_and_words_with_unknown_symbols_do_not_count():
    sequences = ["ACDEF--GHIKLM", "YYACDEFGHIKYY", "XXXXXXXXXXX", "MMXXXXXXXXXMM", "-------------"]
    units = build("splitter", {"kind": "hobohm9"}).units(table_of({"sequence": sequences}))
    assert components(units) == [[0, 1], [2], [3], [4]]


def test_with_two_sequence_columns_rows_are_related_when_both_are():
    left = ["ACDEFGHIK"] * 4 + ["LMNPQRSTV"] * 2
    right = ["WYWYWYWYWY", "AWYWYWYWYW", "CCCCCDDDDD", "ACCCCCDDDDDA", "WYWYWYWYWY", "WYWYWYWYWY"]
    table = table_of({"one": left, "two": right}, sequence=("one", "two"))
    assert components(build("splitter", {"kind": "hobohm9"}).units(table)) == [[0, 1], [2, 3], [4, 5]]


def test_a_table_of_variants_is_one_component_and_that_is_said(data):
    table = read_table(data / "leakage/hiv_nfv_resistance.csv", DataSection(), ("label",))
    with pytest.raises(
        DataError, match=r"775 of 775 rows \(100.0%\) hang together by shared words of 9 .*--set split\.k=15"
    ):
        parted(table, "hobohm9")
    wild = "ACDEFGHIKLMNPQRSTVWYACDEF"
    variants = [wild[:at] + "W" + wild[at + 1 :] for at in range(10)] * 4 + ["AAAAAAAAA"]
    with pytest.raises(DataError, match=r"40 of 41 rows \(97.6%\)"):
        parted(table_of({"sequence": variants}), "hobohm9")


# --- groups one after another ----------------------------------------------------------------------------------------


def grouped(families, sequences=None, **columns):
    own = {"sequence": sequences or PLENTY[: len(families)], "family": pa.array(families, pa.string()), **columns}
    return table_of(own, group="family")


def test_each_of_the_largest_groups_is_tested_alone():
    families = ["a"] * 30 + ["b"] * 50 + [None] * 10 + ["c"] * 20 + ["d"] * 15 + ["e"] * 5
    table = grouped(families)
    partition, audit = parted(table, "leave-one-group-out", largest=3)
    assert [of(families, partition.rows(fold, TEST)) for fold in range(3)] == [{"b"}, {"a"}, {"c"}]
    for fold in range(3):
        assert sum(partition.counts(fold)[role] for role in ("train", "valid", "test")) == 130
    assert audit.facts["guarantee"] == "no test row shares its group or its inputs with a training row"
    (found,) = build("splitter", {"kind": "leave-one-group-out", "largest": 3}).findings(table)
    assert found.message == (
        "3 of 5 groups are tested, one in each fold: fold 0: 'b' (50 rows); fold 1: 'a' (30 rows); fold 2: 'c' (20 rows); "
        "the others are always trained on"
    )


@given(
    st.lists(st.tuples(st.sampled_from(PLENTY[:25]), st.sampled_from("abcd") | st.none()), min_size=12, max_size=60),
    st.integers(1, 4),
)
def test_neither_group_nor_inputs_of_a_test_row_are_trained_on(rows, fewest):
    sequences, families = (list(each) for each in zip(*rows, strict=True))
    try:
        partition, _ = parted(grouped(families, sequences), "leave-one-group-out", fewest=fewest)
    except DataError as error:
        assert any(  # noqa: PT017 - the three ways in which there is nothing to do
            part in str(error) for part in ("at least two", "no group of column", "has no train rows")
        )
        return
    for fold in range(partition.n_folds):
        fitted, tested = sides(partition, fold)
        (group,) = of(families, tested)
        assert set(tested) == {row for row, each in enumerate(families) if each == group}
        assert group not in of(families, fitted)
        assert not of(sequences, tested) & of(sequences, fitted)
        assert {*fitted, *tested, *partition.rows(fold, UNUSED)} == set(range(len(rows)))
        assert of(sequences, partition.rows(fold, UNUSED)) <= of(sequences, tested)
        assert not of(sequences, partition.rows(fold, TRAIN)) & of(sequences, partition.rows(fold, VALID))


def test_small_groups_and_groups_without_targets_are_trained_on():
    families = ["a"] * 30 + ["b"] * 20 + ["c"] * 9 + ["d"] * 40
    target = np.where(np.array(families) == "d", np.nan, 1.0)
    partition, _ = parted(grouped(families, y=target), "leave-one-group-out")
    assert [of(families, partition.rows(fold, TEST)) for fold in range(partition.n_folds)] == [{"a"}, {"b"}]
    with pytest.raises(
        DataError, match=r"no group of column 'family' has 31 rows .* 'a', has 30; .*--set split\.fewest=30"
    ):
        parted(grouped(families, y=target), "leave-one-group-out", fewest=31)


def test_valid_rows_are_whole_groups_unless_groups_hang_together():
    families = [f"f{row // 10}" for row in range(200)]
    partition, _ = parted(grouped(families), "leave-one-group-out")
    for fold in range(10):
        assert not of(families, partition.rows(fold, TRAIN)) & of(families, partition.rows(fold, VALID))
        assert len(partition.rows(fold, VALID)) == 20
    linked = [
        PLENTY[0] if row % 10 == 0 else PLENTY[row] for row in range(200)
    ]  # every group holds one row of the same
    partition, _ = parted(grouped(families, linked), "leave-one-group-out")
    assert len(partition.rows(0, VALID)) == pytest.approx(17, abs=1)


def test_one_group_or_none_or_no_column_is_refused():
    with pytest.raises(
        DataError, match=r"column 'family' has one group \('a'\); leave-one-group-out and group need at least two"
    ):
        parted(grouped(["a"] * 20 + [None] * 5), "leave-one-group-out")
    with pytest.raises(DataError, match="column 'family' is empty"):
        parted(grouped([None] * 20), "leave-one-group-out")
    with pytest.raises(ConfigError, match="needs a group column; name it with --group COLUMN"):
        parted(table_of({"sequence": PLENTY[:20]}), "leave-one-group-out")


def test_alleles_of_a_published_table_are_left_out_one_by_one(data):
    table = read_table(data / "mhc/bdata.20130222.mhci.VALID.9.CDHIT.txt", DataSection(group="mhc"), ("meas",))
    partition, _ = parted(table, "leave-one-group-out", largest=3)
    alleles, found = values(table, "mhc"), values(table, "sequence")
    sizes = sorted(zip(*np.unique(alleles, return_counts=True), strict=True), key=lambda pair: -pair[1])
    for fold in range(3):
        fitted, tested = sides(partition, fold)
        assert of(alleles, tested) == {sizes[fold][0]}
        assert len(tested) == sizes[fold][1]
        assert not of(found, tested) & of(found, fitted)
        assert sizes[fold][0] not in of(alleles, fitted)


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("scaffold", {}), ("components", BLOCKS), ("components", BLOCKS | {"scheme": "both"}), ("hobohm9", {})],
)
def test_the_same_seed_gives_the_same_partition_and_another_seed_another(kind, settings):
    if kind == "scaffold":
        pytest.importorskip("rdkit", reason="needs rdkit")
    table = library() if kind != "hobohm9" else table_of({"sequence": PLENTY})

    def roles(seed):
        return parted(table, kind, seed=seed, **settings)[0].roles

    assert np.array_equal(roles(0), roles(0))
    assert not np.array_equal(roles(0), roles(1))
