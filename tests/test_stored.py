"""Nets that learn from a store: what is learnt, from which rows, and that an interruption changes no bit."""

import signal
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import roc_auc_score

import seqloom
from seqloom.errors import DataError, LeakError
from seqloom.library import Library, LibrarySettings, write_library
from seqloom.predict import stored
from seqloom.predict.base import Job
from seqloom.predict.stored import dims_of, fit_stored, predicted
from seqloom.registry import build
from seqloom.store import open_store
from seqloom.store.components import ComponentParts
from seqloom.store.subset import Everything
from seqloom.training.settings import TrainSection

NETS = ("cnn", "transformer", "mamba", "rnn", "light-attention", "sigmoid")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    write_library(Library.of(LibrarySettings(rows=12_000, active=0.2, noise=0.0)), folder / "t.parquet")
    names = {"target": "target1,target2,target3", "component": "block1,block2,block3"}
    seqloom.pack([folder / "t.parquet"], folder / "store", sequence="smiles", **names)
    return open_store(folder / "store")


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


def test_a_training_that_is_stopped_within_a_span_ends_in_the_same_bits(store, parts, tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "SPAN_ROWS", 1500)
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    net = build("predictor", {"kind": "cnn", "width": 8, "dropout": 0.1})
    whole = fit_stored(net, parts, replace(job_of(store), folder=tmp_path / "whole"))
    labels, asked = stored.StoredStep.targets, []

    def halting(self, batch):
        asked.append(1)
        if len(asked) == 12:
            signal.raise_signal(signal.SIGTERM)
        return labels(self, batch)

    monkeypatch.setattr(stored.StoredStep, "targets", halting)
    job = replace(job_of(store), folder=tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        fit_stored(net, parts, job)
    again = fit_stored(net, parts, job)
    for name, value in whole.state().items():
        assert np.array_equal(value, again.state()[name]), name
    curves = [pq.read_table(tmp_path / name / "curves.parquet") for name in ("whole", "cut")]
    assert str(curves[0].to_pylist()) == str(curves[1].to_pylist())  # scores that were not asked for are NaN


def test_a_store_without_rows_of_a_part_is_refused(store):
    torch.manual_seed(0)
    none = ComponentParts.draw(store, held_out=0.2, valid=0.0)
    with pytest.raises(DataError, match="0 valid rows"):
        fit_stored(build("predictor", {"kind": "sigmoid"}), none, job_of(store))
