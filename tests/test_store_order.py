"""The order of rows: slices of a keyed permutation, and blocks shuffled from disk."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.store.gather import locate, padded
from seqloom.store.layout import BLOCK
from seqloom.store.order import POOL_BATCHES, POOL_BLOCKS, BlockOrder
from seqloom.store.subset import Everything, Members, Runs
from seqloom.tokens import BUCKET_BATCHES, bucketed, keyed_permutation, keyed_slice
from stores import BOTH_FORMS, random_store, write_store

N = 200_000
SIZE = 500


def library_lengths(n, seed=0):
    """Lengths as in an enumerated library: rows side by side share a part, and so are of similar length."""
    rng = np.random.default_rng(seed)
    shared = np.repeat(rng.normal(0, 5, n // 500 + 1), 500)[:n]
    return np.clip(np.rint(74 + shared + rng.normal(0, 6, n)), 40, 110).astype(np.int64)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A library of 200,000 rows."""
    return random_store(tmp_path_factory.mktemp("library") / "store", library_lengths(N))


@pytest.fixture(scope="module")
def members():
    """58 rows of 100, scattered."""
    return np.random.default_rng(5).random(N) < 0.58


def batches_of(order, epoch=0, **where):
    return [batch.rows for batch in order.batches(epoch, **where)]


# Slices of a permutation


@given(st.integers(0, 3000), st.integers(0, 2**40), st.integers(0, 10**6), st.data())
def test_any_slice_is_that_of_the_whole_permutation(n, seed, epoch, data):
    start = data.draw(st.integers(0, n))
    stop = data.draw(st.integers(start, n + 5))
    assert np.array_equal(keyed_slice(n, seed, epoch, start, stop), keyed_permutation(n, seed, epoch)[start:stop])


def test_a_permutation_has_the_values_it_always_had():
    assert keyed_permutation(10, 0, 0).tolist() == [3, 2, 9, 5, 1, 7, 8, 0, 4, 6]
    assert keyed_permutation(1000, 3, 5)[:6].tolist() == [443, 468, 2, 65, 899, 448]
    assert keyed_permutation(1, 7, 7).tolist() == [0]
    assert keyed_permutation(0, 7, 7).tolist() == []


def test_a_slice_of_a_hundred_million_takes_no_memory_for_the_rest():
    tracemalloc.start()
    part = keyed_slice(10**8, 1, 2, 5 * 10**7, 5 * 10**7 + 1000)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
    assert len(np.unique(part)) == 1000
    assert 0 <= part.min() < 10**7
    assert 9 * 10**7 < part.max() < 10**8


@pytest.mark.parametrize("type_", [np.int64, np.uint8, np.uint16])
def test_buckets_made_stretch_by_stretch_are_those_of_the_whole_permutation(type_):
    n, size, seed, epoch = 20_011, 32, 3, 4
    lengths = np.random.default_rng(0).integers(0, 200, n)
    order, expected = keyed_permutation(n, seed, epoch), []
    for number, start in enumerate(range(0, n, size * BUCKET_BATCHES)):
        part = order[start : start + size * BUCKET_BATCHES]
        part = part[np.argsort(lengths[part], kind="stable")]
        for index in keyed_permutation(-(-len(part) // size), seed, epoch * 1_000_003 + number + 1):
            expected.append(part[index * size : (index + 1) * size])
    made = list(bucketed(lengths.astype(type_), size, seed, epoch))
    assert [each.tolist() for each in made] == [each.tolist() for each in expected]


def test_buckets_of_a_mapped_file_of_lengths_hold_only_a_stretch(tmp_path):
    n = 2_000_000
    np.full(n, 7, np.uint8).tofile(tmp_path / "lengths")
    lengths = np.memmap(tmp_path / "lengths", np.uint8, "r")
    tracemalloc.start()
    assert len(next(bucketed(lengths, 100, seed=0))) == 100
    assert tracemalloc.get_traced_memory()[1] < n
    tracemalloc.stop()


# Which rows are meant


@given(st.integers(0, 5000), st.data())
def test_bytes_and_runs_say_of_every_block_which_of_its_rows_are_meant(n, data):
    ends = sorted(data.draw(st.lists(st.integers(0, n), max_size=8)))
    ends = np.array(ends[: len(ends) // 2 * 2], np.int64).reshape(-1, 2)
    meant = np.zeros(n, bool)
    for start, stop in ends:
        meant[start:stop] = True
    n_blocks = -(-n // BLOCK)
    blocks = np.random.default_rng(n).permutation(n_blocks)
    expected = np.zeros(n_blocks * BLOCK, bool)
    expected[:n] = meant
    expected = expected.reshape(-1, BLOCK)
    for subset in (Members(meant), Members(meant.astype(np.uint8) * 3), Runs(n, ends[:, 0], ends[:, 1])):
        assert np.array_equal(subset.within(blocks), expected[blocks])
        assert np.array_equal(subset.counts(), expected.sum(1))
        assert subset.n_rows == n
    assert Everything(n).counts().sum() == n


# Blocks at random


@BOTH_FORMS
@pytest.mark.parametrize("part", ["all", "scattered", "runs", "few", "none"])
def test_every_row_that_is_meant_comes_once_in_an_epoch(store, members, native, part):
    subset, expected = {
        "all": (None, np.arange(N)),
        "scattered": (Members(members), np.flatnonzero(members)),
        "runs": (Runs(N, np.array([10, 150_000]), np.array([70_000, 150_003])), np.r_[10:70_000, 150_000:150_003]),
        "few": (Members(np.arange(N) % 7919 == 0), np.arange(0, N, 7919)),
        "none": (Members(np.zeros(N, bool)), np.arange(0)),
    }[part]
    order = BlockOrder(store, SIZE, seed=1, subset=subset, native=native)
    batches = batches_of(order, epoch=3)
    assert len(batches) == order.n_batches == -(-len(expected) // SIZE)
    assert sorted(map(len, batches)) == sorted(
        [SIZE] * (len(expected) // SIZE) + [len(expected) % SIZE] * bool(len(expected) % SIZE)
    )
    assert np.array_equal(np.sort(np.concatenate([np.zeros(0, np.int64), *batches])), expected)


@BOTH_FORMS
@settings(max_examples=30)
@given(
    n=st.integers(0, 6000),
    size=st.integers(1, 700),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 50),
    share=st.floats(0, 1),
)
def test_every_row_comes_once_whatever_the_sizes(tmp_path_factory, native, n, size, seed, epoch, share):
    rng = np.random.default_rng(n)
    store = write_store(tmp_path_factory.mktemp("any"), np.ones(n * 3, np.uint8), np.full(n, 3))
    meant = rng.random(n) < share
    order = BlockOrder(store, size, seed, Members(meant), native)
    rows = np.concatenate([np.zeros(0, np.int64), *batches_of(order, epoch)])
    assert np.array_equal(np.sort(rows), np.flatnonzero(meant))


def test_both_forms_draw_the_same_batches(store, members):
    pytest.importorskip("numba", reason="no numba; type: pip install 'seqloom[fast]'")
    for subset in (None, Members(members)):
        pairs = zip(
            BlockOrder(store, SIZE, 1, subset, native=False).batches(2),
            BlockOrder(store, SIZE, 1, subset, native=True).batches(2),
            strict=True,
        )
        for plain, compiled in pairs:
            assert all(np.array_equal(one, other) for one, other in zip(plain, compiled, strict=True))


@BOTH_FORMS
def test_a_batch_says_where_its_rows_lie(store, members, native):
    for batch in [*BlockOrder(store, SIZE, 1, Members(members), native).batches(0)][::40]:
        found = locate(store, batch.rows, native=native)
        assert all(np.array_equal(one, other) for one, other in zip(batch, found, strict=True))
        assert np.array_equal(padded(store, batch).ids, padded(store, batch.rows).ids)


def test_an_epoch_goes_on_from_any_batch_without_those_before_it(store, members):
    order = BlockOrder(store, SIZE, 1, Members(members))
    whole = batches_of(order, 7)
    for start in (0, 1, 63, 64, 65, 100, len(whole) - 1, len(whole)):
        rest = batches_of(order, 7, start=start)
        assert [each.tolist() for each in rest] == [each.tolist() for each in whole[start:]]
    for position in (0, 17, len(whole) - 1):
        assert np.array_equal(order.batch(7, position).rows, whole[position])
    with pytest.raises(IndexError, match=f"batch {len(whole)} of {len(whole)}"):
        order.batch(7, len(whole))


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_any_number_of_processes_draw_the_batches_of_one(store, members, world):
    order = BlockOrder(store, SIZE, 1, Members(members))
    whole = batches_of(order, 2)
    for rank in range(world):
        own = batches_of(order, 2, rank=rank, world=world)
        assert [each.tolist() for each in own] == [each.tolist() for each in whole[rank::world]]
        later = batches_of(order, 2, start=50, rank=rank, world=world)
        assert [each.tolist() for each in later] == [
            whole[i].tolist() for i in range(50, len(whole)) if i % world == rank
        ]


def test_an_order_depends_on_seed_and_epoch_alone(store):
    def order(seed, epoch):
        return np.concatenate(batches_of(BlockOrder(store, SIZE, seed), epoch))

    assert np.array_equal(order(1, 1), order(1, 1))
    assert (order(1, 1) == order(1, 2)).mean() < 0.001
    assert (order(1, 1) == order(2, 1)).mean() < 0.001


def test_padding_is_at_most_a_fiftieth_of_the_mean_length(store, members):
    for subset in (None, Members(members)):
        batches = list(BlockOrder(store, SIZE, 1, subset).batches(0))
        drawn = sum(len(batch.rows) * int(batch.lengths.max()) for batch in batches)
        assert drawn / sum(int(batch.lengths.sum()) for batch in batches) - 1 < 0.02


def test_a_batch_draws_on_many_blocks_although_neighbours_are_of_similar_length(store, members):
    for subset in (None, Members(members)):
        for size in (SIZE, 2000):
            batches = batches_of(BlockOrder(store, size, 1, subset))
            assert min(len(np.unique(rows // BLOCK)) for rows in batches if len(rows) == size) >= 32


@BOTH_FORMS
def test_an_order_of_many_rows_makes_no_list_of_them(tmp_path, native):
    n = 4_000_000
    store = write_store(tmp_path, np.ones(n, np.uint8), np.ones(n, np.uint8))
    np.ones(n, np.uint8).tofile(tmp_path / "members")
    members = Members(np.memmap(tmp_path / "members", np.uint8, "r"))
    tracemalloc.start()
    batch = BlockOrder(store, 64, 0, members, native).batch(0, 31_000)
    assert tracemalloc.get_traced_memory()[1] < 6 * n  # a list of all would take 8 bytes for each
    tracemalloc.stop()
    assert len(batch.rows) == 64


def test_neighbours_in_the_order_are_no_neighbours_in_the_store(store):
    batches = batches_of(BlockOrder(store, SIZE, 1))
    pairs = np.concatenate([np.stack([rows[:-1], rows[1:]]) for rows in batches], 1)
    same_block = (pairs[0] // BLOCK == pairs[1] // BLOCK).mean()
    assert same_block < 2 / 32
    assert abs(np.corrcoef(pairs)[0, 1]) < 0.05


def test_batches_of_a_pool_do_not_come_by_length(store):
    lengths = np.array([batch.lengths.mean() for batch in BlockOrder(store, SIZE, 1).batches(0)])
    assert abs(np.corrcoef(lengths[:-1], lengths[1:])[0, 1]) < 0.2


def test_every_row_stands_in_every_part_of_an_epoch_equally_often(tmp_path):
    """Over 300 epochs a row's place is uniform, though it moves with its block: mean and spread of 8 rows."""
    n, size = 40 * BLOCK, 256
    store = write_store(tmp_path, np.ones(n, np.uint8), np.ones(n, np.int64))
    order = BlockOrder(store, size, seed=0)
    watched = np.arange(8) * 5 * BLOCK + 17
    places = []
    for epoch in range(300):
        where = np.empty(n, np.int64)
        where[np.concatenate(batches_of(order, epoch))] = np.arange(n)
        places.append(where[watched] / n)
    assert np.allclose(np.mean(places, 0), 0.5, atol=0.07)
    assert np.allclose(np.std(places, 0), 12**-0.5, atol=0.04)


def test_a_pool_is_of_many_batches_and_many_blocks(store):
    for size in (64, 500, 2000):
        order = BlockOrder(store, size, 0)
        first = np.concatenate([rows for _, rows in zip(range(POOL_BATCHES), batches_of(order), strict=False)])
        assert len(np.unique(first // BLOCK)) >= POOL_BLOCKS
