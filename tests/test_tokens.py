"""Ragged sequences against lists of lists, and batches that lose nothing."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.tokens import WIDTH_STEP, Tokens, bucketed, join, keyed_permutation

sequences = st.lists(st.lists(st.integers(1, 255), max_size=20), max_size=12)


def tokens_of(lists):
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in lists])]).astype(np.int64)
    return Tokens(np.array([value for each in lists for value in each], np.uint8), offsets)


def lists_of(tokens):
    return [tokens.values[tokens.offsets[i] : tokens.offsets[i + 1]].tolist() for i in range(len(tokens))]


@given(sequences, st.data())
def test_taken_rows_are_those_of_a_list_in_that_order(lists, data):
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1))) if lists else []
    taken = tokens_of(lists).take(np.array(rows, np.int64))
    assert lists_of(taken) == [lists[row] for row in rows]
    assert taken.lengths.tolist() == [len(lists[row]) for row in rows]


@given(st.integers(0, 8), st.integers(1, 4), st.data())
def test_joined_rows_are_the_rows_of_all_parts_one_after_the_other(n_rows, n_parts, data):
    row = st.lists(st.integers(1, 255), max_size=6)
    parts = [data.draw(st.lists(row, min_size=n_rows, max_size=n_rows)) for _ in range(n_parts)]
    joined = join([tokens_of(part) for part in parts])
    assert lists_of(joined) == [list(chain(*own)) for own in zip(*parts, strict=True)]


@given(sequences, st.none() | st.integers(1, 30))
def test_padding_is_zero_masked_and_on_the_right(lists, width):
    batch = tokens_of(lists).padded(np.arange(len(lists)), width)
    longest = max([1, *map(len, lists)])
    expected = width or -(-longest // WIDTH_STEP) * WIDTH_STEP
    assert batch.ids.dtype == np.uint8
    assert batch.mask.dtype == bool
    assert batch.ids.shape == batch.mask.shape == (len(lists), expected)
    for row, own in enumerate(lists):
        kept = own[:expected]
        assert batch.ids[row].tolist() == kept + [0] * (expected - len(kept))
        assert batch.mask[row].tolist() == [True] * len(kept) + [False] * (expected - len(kept))


@given(sequences, st.integers(1, 5), st.none() | st.integers(0, 3), st.data())
def test_batches_hold_every_row_once(lists, size, seed, data):
    tokens = tokens_of(lists)
    rows = np.array(data.draw(st.permutations(range(len(lists)))), np.int64)[: data.draw(st.integers(0, len(lists)))]
    batches = list(tokens.batches(rows, size, seed))
    assert sorted(row for batch in batches for row in batch.rows.tolist()) == sorted(rows.tolist())
    assert all(1 <= len(batch.rows) <= size for batch in batches)
    for batch in batches:
        for row, own, mask in zip(batch.rows, batch.ids, batch.mask, strict=True):
            assert own[mask].tolist() == lists[row]


@pytest.mark.parametrize("n", [1, 63, 64, 65, 4095, 4097, 20_000])
def test_buckets_hold_every_position_once_whatever_the_number_of_rows(n):
    lengths = np.random.default_rng(n).integers(1, 500, n)
    order = np.concatenate(list(bucketed(lengths, 64, seed=1, epoch=2)))
    assert np.array_equal(np.sort(order), np.arange(n))


def test_bucketed_batches_waste_little_padding_and_shuffled_ones_much():
    lengths = np.random.default_rng(0).integers(10, 500, 20_000)

    def waste(batches):
        drawn = sum(len(rows) * (-(-int(lengths[rows].max()) // WIDTH_STEP) * WIDTH_STEP) for rows in batches)
        return 1 - lengths.sum() / drawn

    shuffled = np.random.default_rng(1).permutation(20_000).reshape(-1, 50)
    assert waste(shuffled) > 0.4
    assert waste(bucketed(lengths, 64, seed=0)) < 0.05
    assert waste(bucketed(lengths, 64, seed=None)) < 0.03


def test_without_a_seed_rows_come_by_length():
    lengths = np.array([5, 1, 3, 1, 9])
    assert np.concatenate(list(bucketed(lengths, 2, seed=None))).tolist() == [1, 3, 2, 0, 4]


def test_an_epoch_has_an_order_of_its_own_that_comes_back():
    lengths = np.random.default_rng(0).integers(1, 50, 1000)

    def order(seed, epoch):
        return np.concatenate(list(bucketed(lengths, 8, seed, epoch))).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_batches_of_one_epoch_do_not_come_sorted_by_length():
    lengths = np.random.default_rng(0).integers(1, 50, 6400)
    means = [lengths[rows].mean() for rows in bucketed(lengths, 64, seed=0)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


@given(st.integers(0, 3000), st.integers(0, 2**40), st.integers(0, 10**6))
def test_a_keyed_permutation_holds_every_number_once(n, seed, epoch):
    order = keyed_permutation(n, seed, epoch)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(n))


def test_a_keyed_permutation_depends_on_seed_and_epoch_alone():
    np.random.seed(0)  # noqa: NPY002 - the global state is what must not matter
    first = keyed_permutation(1000, 3, 5)
    np.random.seed(1)  # noqa: NPY002
    assert np.array_equal(first, keyed_permutation(1000, 3, 5))
    assert not np.array_equal(first, keyed_permutation(1000, 3, 6))
    assert not np.array_equal(first, keyed_permutation(1000, 5, 3))


@pytest.mark.parametrize("n", [2, 5, 16, 17])
def test_every_position_is_equally_likely_over_the_epochs(n):
    from scipy.stats import chisquare

    epochs = np.stack([keyed_permutation(n, 0, epoch) for epoch in range(3000)])
    for position in (0, n - 1):
        assert chisquare(np.bincount(epochs[:, position], minlength=n)).pvalue > 1e-4


def test_no_rows_make_no_batches():
    tokens = tokens_of([[1, 2]])
    assert list(tokens.batches(np.zeros(0, np.int64), 4, seed=0)) == []
    assert tokens.padded(np.zeros(0, np.int64)).ids.shape == (0, WIDTH_STEP)
    assert len(tokens.take(np.zeros(0, np.int64))) == 0


def test_sequences_without_a_symbol_are_padding_only():
    batch = tokens_of([[], []]).padded(np.array([1, 0]))
    assert batch.ids.shape == (2, WIDTH_STEP)
    assert not batch.mask.any()
    assert not batch.ids.any()
