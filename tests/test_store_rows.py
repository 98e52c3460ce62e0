"""Rows of a store at any places, in both forms and on a device, against slices of its symbols."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqloom.errors import DataError
from seqloom.store.device import DeviceStore
from seqloom.store.gather import Located, locate, padded, ragged
from seqloom.tokens import WIDTH_STEP, Tokens
from stores import BOTH_FORMS, random_store, write_store

SIZES = [0, 1, 31, 32, 33, 1023, 1024, 1025, 3000]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Stores of 3,000 rows by the type of their lengths, some rows empty and the longest last."""
    rng = np.random.default_rng(0)
    made = {}
    for type_, most in (("u8", 95), ("u16", 700), ("u32", 900)):
        lengths = rng.integers(0, most, 3000)
        lengths[-1] = {"u8": 255, "u16": 701, "u32": 70_000}[type_]
        made[type_] = random_store(tmp_path_factory.mktemp("store") / type_, lengths, type_)
    return made


def whole(store):
    """All rows in memory, by the offsets of their lengths."""
    return Tokens(np.array(store.values), np.concatenate([[0], np.cumsum(store.lengths, dtype=np.int64)]))


def same(batch, expected):
    assert batch.ids.dtype == np.uint8
    assert batch.mask.dtype == bool
    assert np.array_equal(batch.ids, expected.ids)
    assert np.array_equal(batch.mask, expected.mask)
    assert np.array_equal(batch.rows, expected.rows)


@BOTH_FORMS
@pytest.mark.parametrize("type_", ["u8", "u16", "u32"])
@pytest.mark.parametrize("width", [None, 1, 8, 13, 96, 750])
def test_a_padded_batch_is_that_of_tokens_in_memory(stores, native, type_, width):
    store = stores[type_]
    rows = np.random.default_rng(1).integers(0, 2999, 200)
    same(padded(store, rows, width, native=native), whole(store).padded(rows, width))


@BOTH_FORMS
@pytest.mark.parametrize("type_", ["u8", "u16", "u32"])
def test_the_last_rows_are_read_to_the_last_symbol_and_no_further(stores, native, type_):
    store = stores[type_]
    rows = np.arange(2950, 3000)
    for width in (None, 5, 400, 80_000):
        same(padded(store, rows[-9:], width, native=native), whole(store).padded(rows[-9:], width))
    assert np.array_equal(ragged(store, rows, native=native).values, whole(store).take(rows).values)


@BOTH_FORMS
@given(lengths=st.lists(st.integers(0, 40), max_size=80), data=st.data())
def test_any_rows_of_any_store_come_as_slices_of_its_symbols(tmp_path_factory, native, lengths, data):
    lengths = np.array(lengths, np.int64)
    store = random_store(tmp_path_factory.mktemp("any"), lengths)
    last = len(lengths) - 1
    rows = np.array(data.draw(st.lists(st.integers(0, last), max_size=60)) if len(lengths) else [], np.int64)
    ends = np.cumsum(lengths)
    begins = ends - lengths
    assert store.begins(rows, native=native).tolist() == begins[rows].tolist()
    tokens = ragged(store, rows, native=native)
    batch = padded(store, rows, native=native)
    assert batch.ids.shape[1] % WIDTH_STEP == 0
    for place, row in enumerate(rows):
        own = store.values[begins[row] : ends[row]].tolist()
        assert tokens.values[tokens.offsets[place] : tokens.offsets[place + 1]].tolist() == own
        assert batch.ids[place].tolist() == own + [0] * (batch.ids.shape[1] - len(own))
        assert int(batch.mask[place].sum()) == len(own)


@BOTH_FORMS
@pytest.mark.parametrize("n", SIZES)
def test_rows_begin_where_those_before_them_end(tmp_path, native, n):
    lengths = np.random.default_rng(n).integers(0, 90, n)
    store = random_store(tmp_path, lengths)
    rows = np.random.default_rng(1).permutation(n)
    assert np.array_equal(store.begins(rows, native=native), (np.cumsum(lengths) - lengths)[rows])
    assert store.begins(rows, native=native).dtype == np.int64


@BOTH_FORMS
def test_a_row_that_is_not_there_is_refused(stores, native):
    for rows in ([3000], [-1], [0, 2**40]):
        with pytest.raises(IndexError, match="of a store of 3000"):
            padded(stores["u8"], np.array(rows), native=native)
        with pytest.raises(IndexError):
            ragged(stores["u8"], np.array(rows), native=native)


@BOTH_FORMS
def test_lengths_that_lead_outside_the_symbols_are_damage_and_not_a_crash(stores, native):
    for begins in ([10**12], [-5], [2**63 - 1], [len(stores["u8"].values) - 3]):
        where = Located(np.array([1]), np.array(begins), np.array([9]))
        with pytest.raises(DataError, match="lie outside its symbols; the store is damaged, pack it again"):
            padded(stores["u8"], where, native=native)
        with pytest.raises(DataError, match="damaged"):
            ragged(stores["u8"], where, native=native)


@BOTH_FORMS
def test_rows_once_located_need_not_be_looked_for_again(stores, native):
    rows = np.random.default_rng(2).integers(0, 3000, 50)
    where = locate(stores["u8"], rows, native=native)
    same(padded(stores["u8"], where, native=native), padded(stores["u8"], rows, native=native))


def test_a_narrower_step_trims_to_the_longest_row_itself(stores):
    rows = np.arange(100)
    assert padded(stores["u8"], rows, step=1).ids.shape[1] == stores["u8"].lengths[:100].max()


def test_taken_rows_and_stretches_are_those_in_memory(stores):
    store = stores["u16"]
    rows = np.random.default_rng(3).integers(0, 3000, 70)
    assert np.array_equal(store.take(rows).values, whole(store).take(rows).values)
    for start, stop in ((0, 3000), (1000, 1100), (1024, 2048), (5, 5)):
        part = store.stretch(start, stop)
        assert np.array_equal(part.values, whole(store).take(np.arange(start, stop)).values)


@pytest.mark.parametrize("type_", ["u8", "u16", "u32"])
@pytest.mark.parametrize("width", [None, 13, 96])
def test_a_batch_gathered_on_a_device_is_the_same(stores, type_, width):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    store = stores[type_]
    rows = np.append(np.random.default_rng(1).integers(0, 2999, 200), 2999 if width else 2998)
    expected = padded(store, rows, width, native=False)
    on_device = DeviceStore.of(store, device)
    ids, mask = on_device.padded(torch.from_numpy(rows).to(device), expected.ids.shape[1])
    assert ids.dtype == torch.int64
    assert np.array_equal(ids.cpu().numpy(), expected.ids)
    assert np.array_equal(mask.cpu().numpy(), expected.mask)
    every = torch.arange(3000, device=device)
    assert np.array_equal(on_device.begins(every).cpu().numpy(), store.begins(np.arange(3000), native=False))


def test_a_store_of_empty_rows_is_padded_on_a_device_too(tmp_path):
    store = write_store(tmp_path, np.zeros(0, np.uint8), np.zeros(3, np.int64))
    ids, mask = DeviceStore.of(store, "cpu").padded(torch.arange(3), 8)
    assert ids.shape == (3, 8)
    assert not ids.any()
    assert not mask.any()


def test_labels_written_two_bits_each_are_read_back(tmp_path):
    labels = np.array([[0, 1, np.nan, 1, 0], [np.nan, 0, 1, np.nan, 1]])
    store = write_store(tmp_path, np.ones(2, np.uint8), np.ones(2, np.int64), labels)
    assert np.array_equal(store.labels(np.array([1, 0])), labels[::-1], equal_nan=True)
