"""Nets that learn from a store: what is learnt, from which rows, and that an interruption changes no bit."""

import signal
import tracemalloc
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from libraries import packed_library
from seqloom.encode.base import Inputs
from seqloom.errors import ConfigError, DataError, LeakError
from seqloom.predict import stored
from seqloom.predict.base import Dims, Examples, Job
from seqloom.predict.stored import dims_of, fit_stored, predicted
from seqloom.registry import build
from seqloom.store import feed, open_store
from seqloom.store.components import ComponentParts
from seqloom.store.device import DeviceStore, bytes_on_device
from seqloom.store.gather import locate
from seqloom.store.order import BlockOrder
from seqloom.store.subset import Everything
from seqloom.tokens import Tokens
from seqloom.training.device import open_fabric
from seqloom.training.settings import TrainSection
from stores import BOTH_FORMS, write_store

NETS = ("cnn", "transformer", "mamba", "rnn", "light-attention", "sigmoid")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return open_store(packed_library(tmp_path_factory.mktemp("library")))


@pytest.fixture(scope="module")
def parts(store):
    return ComponentParts.draw(store, held_out=0.2, valid=0.1, test=0.1)


def job_of(store, **settings):
    return Job(dims_of(store), 0, TrainSection(**{"device": "cpu", "batch": 200, **settings}))


@pytest.mark.parametrize("kind", NETS)
def test_every_net_that_reads_symbols_learns_from_a_store(kind, store, parts, monkeypatch):
    monkeypatch.setattr(stored, "SPAN_ROWS", 2000)
    few = ComponentParts(store, parts.held, 0.05, 0.85, 1)  # a tenth of the share rows
    model = fit_stored(build("predictor", {"kind": kind}), few, job_of(store))
    rows, values = next(predicted(model, store, few.part("nonshare")))
    assert values.shape == (len(rows), 3)
    assert ((values > 0) & (values < 1)).all()


def test_what_is_learnt_tells_actives_among_known_blocks(store, parts):
    model = fit_stored(build("predictor", {"kind": "sigmoid"}), parts, job_of(store, epochs=20, lr=1e-2))
    found = list(predicted(model, store, parts.part("share")))
    rows, values = (np.concatenate(each) for each in zip(*found, strict=True))
    assert (parts.parts_of(rows) == 2).all()
    assert len(rows) == parts.counts()["share"]
    assert roc_auc_score(store.labels(rows)[:, 0], values[:, 0]) > 0.6


def test_a_batch_with_a_row_of_another_part_is_refused_before_it_is_learnt_from(store, parts, monkeypatch):
    leaking = replace(parts)
    monkeypatch.setattr(ComponentParts, "part", lambda *_: Everything(len(store)))
    with pytest.raises(LeakError, match="no training rows"):
        fit_stored(build("predictor", {"kind": "sigmoid"}), leaking, job_of(store))


def test_spans_of_a_pass_hold_each_training_row_once(store, parts, monkeypatch):
    monkeypatch.setattr(stored, "SPAN_ROWS", 1500)
    seen = []
    targets = stored.StoredStep.targets
    monkeypatch.setattr(
        stored.StoredStep, "targets", lambda self, batch: seen.append(batch.rows) or targets(self, batch)
    )
    told = []
    job = replace(job_of(store, epochs=2, patience=99), progress=lambda *numbers: told.append(numbers))
    fit_stored(build("predictor", {"kind": "sigmoid"}), parts, job)
    n_train = parts.counts()["train"]
    rows = np.concatenate(seen)
    spans = -(-n_train // 1500)
    assert told[-1] == (2 * spans, 2 * spans)
    for own in (rows[:n_train], rows[n_train:]):
        assert sorted(own.tolist()) == np.flatnonzero(parts.parts_of(np.arange(len(store))) == 0).tolist()
    assert not np.array_equal(rows[:n_train], rows[n_train:])


@pytest.mark.parametrize("settings", [{}, {"precision": "bf16", "rows": 5000}], ids=["32", "bf16"])
def test_a_training_that_is_stopped_within_a_span_ends_in_the_same_bits(settings, store, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "SPAN_ROWS", 1500)
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    net = build("predictor", {"kind": "cnn", "width": 8, "dropout": 0.1})
    whole = fit_stored(net, parts, replace(job_of(store, **settings), folder=tmp_path / "whole"))
    labels, asked = stored.StoredStep.targets, []

    def halting(self, batch):
        asked.append(1)
        if len(asked) == 12:
            signal.raise_signal(signal.SIGTERM)
        return labels(self, batch)

    monkeypatch.setattr(stored.StoredStep, "targets", halting)
    job = replace(job_of(store, **settings), folder=tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        fit_stored(net, parts, job)
    again = fit_stored(net, parts, job)
    for name, value in whole.state().items():
        assert np.array_equal(value, again.state()[name]), name
    curves = [pq.read_table(tmp_path / name / "curves.parquet") for name in ("whole", "cut")]
    assert str(curves[0].to_pylist()) == str(curves[1].to_pylist())  # scores that were not asked for are NaN


@pytest.mark.parametrize("rows", [150, 1500, 12_000])
def test_as_many_rows_are_learnt_from_as_are_asked_for(rows, store, parts, monkeypatch):
    monkeypatch.setattr(stored, "SPAN_ROWS", 1000)
    seen, told = [], []
    nothing = {"loss": torch.zeros(())}
    monkeypatch.setattr(stored.StoredStep, "update", lambda *each: seen.append(each[1].rows) or nothing)
    job = replace(job_of(store, rows=rows, patience=99), progress=lambda *numbers: told.append(numbers))
    fit_stored(build("predictor", {"kind": "sigmoid"}), parts, job)
    n_train = parts.counts()["train"]
    short = sum(200 - len(batch) for batch in seen)  # one batch of each pass has fewer rows
    assert sum(map(len, seen)) == -(-rows // 200) * 200 - short
    assert 0 <= short <= 200 * (rows // n_train + 1)
    assert told[-1] == (-(-rows // 1000), -(-rows // 1000))
    passes = [np.concatenate(each) for each in split_after(seen, n_train)]
    for each in passes[:-1]:
        assert sorted(each.tolist()) == np.flatnonzero(parts.parts_of(np.arange(len(store))) == 0).tolist()
    assert len(np.unique(passes[-1])) == len(passes[-1])


def split_after(batches, n_rows):
    """Batches in lists of so many rows each; the last may have fewer."""
    lists, held = [[]], 0
    for batch in batches:
        if held == n_rows:
            lists.append([])
            held = 0
        lists[-1].append(batch)
        held += len(batch)
    return lists


def test_rows_are_those_of_the_first_epochs(store, parts):
    n_train = parts.counts()["train"]
    net = build("predictor", {"kind": "sigmoid"})
    whole, counted = (
        fit_stored(net, parts, job_of(store, schedule="constant", **length))
        for length in ({"epochs": 2}, {"rows": 2 * (-(-n_train // 200) * 200)})
    )
    assert all(np.array_equal(value, counted.state()[name]) for name, value in whole.state().items())
    half = fit_stored(net, parts, job_of(store, schedule="constant", rows=n_train))
    assert not all(np.array_equal(value, half.state()[name]) for name, value in whole.state().items())


def test_rows_and_epochs_at_once_and_a_warm_up_of_all_spans_are_refused(store, parts):
    with pytest.raises(ValidationError, match="rows = 100 and epochs = 2 both say how long to train; leave one out"):
        TrainSection(rows=100, epochs=2)
    with pytest.raises(ConfigError, match=r"\[train\] warmup = 1 leaves none of 1 epochs .* of at most 1,048,576 rows"):
        fit_stored(build("predictor", {"kind": "sigmoid"}), parts, job_of(store, warmup=1))


@pytest.mark.parametrize("kind", ["mlp", "cnn", "twin"])
def test_a_table_refuses_a_number_of_rows(kind):
    n = 40
    rng = np.random.default_rng(0)
    inputs = Inputs(features=rng.normal(size=(n, 4)).astype(np.float32))
    dims = Dims("regression", 1, 1, n_features=4)
    if kind == "cnn":
        tokens = Tokens(rng.integers(1, 5, 5 * n).astype(np.uint8), np.arange(n + 1) * 5)
        inputs = Inputs(tokens=tokens, covariates=np.zeros((n, 0), np.float32))
        dims = Dims("regression", 1, 1, vocabulary=6, longest=5, symbols=(5,))
    examples = Examples(inputs, rng.normal(size=(n, 1)))
    job = Job(dims, 0, TrainSection(device="cpu", rows=100))
    with pytest.raises(ConfigError, match=r"\[train\] rows = 100: a table is learnt from in whole passes; give epochs"):
        build("predictor", {"kind": kind}).fit(examples, examples, job)


def test_bf16_learns_as_32_bits_do_by_other_numbers(store, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "SPAN_ROWS", 1500)
    net, found = build("predictor", {"kind": "cnn", "width": 16, "norm": "batch"}), {}
    for precision in ("auto", "32", "bf16"):
        types = set()
        handle = torch.nn.modules.module.register_module_forward_hook(
            lambda module, _, output, types=types: (
                types.add(output.dtype) if isinstance(module, torch.nn.Linear) else None
            )
        )
        (tmp_path / precision).mkdir()
        job = replace(job_of(store, precision=precision, epochs=3, lr=3e-3), folder=tmp_path / precision)
        model = fit_stored(net, parts, job)
        handle.remove()
        assert (torch.bfloat16 in types) == (precision == "bf16")
        curve = pq.read_table(tmp_path / precision / "curves.parquet").to_pylist()
        assert curve[-1]["train_loss"] < 0.98 * curve[0]["train_loss"]
        found[precision] = model.state(), next(predicted(model, store, parts.part("share")))[1], curve[-1]
    states = [state for state, _, _ in found.values()]
    assert all(np.array_equal(value, states[0][name]) for name, value in states[1].items())
    assert not all(np.array_equal(value, states[0][name]) for name, value in states[2].items())
    assert found["bf16"][1] == pytest.approx(found["32"][1], abs=0.1)
    assert found["bf16"][2]["train_loss"] == pytest.approx(found["32"][2]["train_loss"], rel=0.02)


def test_a_precision_of_32_may_be_a_number():
    assert TrainSection.model_validate({"precision": 32}) == TrainSection(precision="32")
    with pytest.raises(ValidationError, match="precision"):
        TrainSection.model_validate({"precision": 16})


def test_bf16_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(ConfigError, match=r"\[train\] precision = 'bf16' is not for mps; use auto or 32"):
        open_fabric("mps", "bf16")


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_a_store_held_on_the_device_trains_to_the_same_bits(precision, store, parts, monkeypatch):
    monkeypatch.setattr(stored, "SPAN_ROWS", 1500)
    net = build("predictor", {"kind": "cnn", "width": 8, "dropout": 0.1})
    gathered = fit_stored(net, parts, job_of(store, precision=precision))
    monkeypatch.setattr(feed, "fits", lambda *_: True)
    monkeypatch.setattr(feed.Gathered, "batch", None)
    resident = fit_stored(net, parts, job_of(store, precision=precision))
    assert all(np.array_equal(value, resident.state()[name]) for name, value in gathered.state().items())


@pytest.mark.parametrize("type_", ["u8", "u16", "u32"])
@pytest.mark.parametrize("n_targets", [0, 1, 4, 5])
def test_batches_gathered_on_the_device_are_those_gathered_on_the_host(type_, n_targets, tmp_path):
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 60, 3000)
    labels = rng.choice([0.0, 1.0, np.nan], (3000, n_targets))
    own = write_store(tmp_path, rng.integers(1, 40, lengths.sum()), lengths, labels, type_)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    feeds = feed.Gathered(own, device), feed.Resident(DeviceStore.of(own, device), device)
    for rows in (rng.integers(0, 3000, 50), np.array([2999]), np.arange(3000), np.flatnonzero(lengths == 0)[:3]):
        host, there = (each.batch(locate(own, rows)) for each in feeds)
        for one, other in zip(host, there, strict=True):
            assert one.dtype == other.dtype
            assert torch.equal(one.nan_to_num(9), other.nan_to_num(9)) if one.is_floating_point() else one.equal(other)


def test_a_store_lies_on_a_device_that_has_twice_as_much_memory_free(store, monkeypatch):
    size = bytes_on_device(store)
    held = DeviceStore.of(store, "cpu")
    assert size == sum(each.nbytes for each in (held.values, held.lengths, held.anchors, held.packed_labels))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 7)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 6)
    for free, expected in ((2 * size - 1, True), (2 * size - 2, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 10 * size))
        assert feed.fits(store, torch.device("cuda")) == expected
    assert not feed.fits(store, torch.device("cpu"))


@BOTH_FORMS
def test_few_rows_of_many_are_drawn_in_little_memory(native, tmp_path):
    n = 4_000_000
    large = write_store(tmp_path, np.ones(n, np.uint8), np.ones(n, np.int64))
    few = ComponentParts.of_rows(large, valid=0.001).part("valid")
    next(BlockOrder(large, 1000, 0, few, native).batches(0))  # what is made once
    tracemalloc.start()
    batch = next(BlockOrder(large, 1000, 0, few, native).batches(0))
    assert tracemalloc.get_traced_memory()[1] < 16 * n
    tracemalloc.stop()
    assert len(batch.rows) == 1000


def test_a_store_without_rows_of_a_part_is_refused(store):
    torch.manual_seed(0)
    none = ComponentParts.draw(store, held_out=0.2, valid=0.0)
    with pytest.raises(DataError, match="0 valid rows"):
        fit_stored(build("predictor", {"kind": "sigmoid"}), none, job_of(store))
