"""One net trained by two processes is the net that one of them trains alone."""

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

import many_processes
from libraries import packed_library
from many_processes import CASES, SPAN_ROWS, parts_of, trained, watched
from seqloom.errors import ConfigError
from seqloom.jobs import LAUNCHED
from seqloom.predict import stored
from seqloom.training.device import open_fabric
from seqloom.training.world import Poll, World


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return packed_library(tmp_path_factory.mktemp("library"))


def by_two(store, out, *asked):
    """Facts of both processes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::FutureWarning:seqloom"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, many_processes.__file__, store, out, ",".join(asked)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return [json.loads((out / f"facts-{rank}.json").read_text()) for rank in range(2)]


def compare(store, out, name, facts, monkeypatch):
    """Hold what two processes made of a case against what this one makes of it."""
    monkeypatch.setattr(stored, "SPAN_ROWS", SPAN_ROWS)
    monkeypatch.setattr(stored.StoredStep, "inputs_of", stored.StoredStep.inputs_of)  # put back in the end
    rows: list[list[int]] = []
    watched(rows)
    (out / "alone").mkdir(exist_ok=True)
    alone = trained(parts_of(store), name, out / "alone").state()
    both = [dict(np.load(out / f"{name}-{rank}.npz")) for rank in range(2)]
    for key, value in alone.items():
        assert np.array_equal(both[0][key], both[1][key]), key
        np.testing.assert_allclose(both[0][key], value, rtol=0, atol=1e-3 if name == "adamw" else 2e-5, err_msg=key)
    if name != "one row":
        seen = [facts[rank][name]["rows"] for rank in range(2)]
        assert [first + second for first, second in zip(*seen, strict=True)] == rows
        assert {len(first) - len(second) for first, second in zip(*seen, strict=True)} <= {0, -1}
    curves = [pq.read_table(out / folder / "curves.parquet").to_pylist() for folder in (name, "alone")]
    for here, there in zip(*curves, strict=True):
        for key in ("lr", "train_loss", "valid_loss"):
            assert here[key] == pytest.approx(there[key], rel=1e-5)
    assert facts[0][name]["told"] == len(curves[0])
    assert facts[1][name]["told"] == 0


def test_two_processes_train_the_net_of_one_and_stop_together(store, tmp_path, monkeypatch):
    facts = by_two(store, tmp_path, "cnn", "interrupted")
    compare(store, tmp_path, "cnn", facts, monkeypatch)
    stops = [each["interrupted"] for each in facts]
    assert stops[0] == stops[1]
    n_steps = len(facts[0]["cnn"]["rows"])
    assert 12 <= stops[0]["stopped"] <= 14
    assert stops[0]["made"] == n_steps  # none was made twice
    for rank in range(2):
        whole, again = (np.load(tmp_path / f"{name}-{rank}.npz") for name in ("cnn", "interrupted"))
        assert all(np.array_equal(whole[key], again[key]) for key in whole.files)


@pytest.mark.slow
def test_every_kind_of_net_is_the_same_whether_trained_by_two_or_one(store, tmp_path, monkeypatch):
    facts = by_two(store, tmp_path, *(name for name in CASES if name != "cnn"), "apart")
    for name in CASES:
        if name != "cnn":
            compare(store, tmp_path, name, facts, monkeypatch)
    for each in facts:
        assert (
            "do not see the same state of the training there (process 0: epoch 1 step 0; process 1: epoch 0 step 0)"
            in (each["apart"]["refused"])
        )


def test_what_one_process_learns_is_refused_where_several_were_launched(monkeypatch):
    for name in LAUNCHED:
        monkeypatch.setenv(name, "2")
    with pytest.raises(ConfigError, match=r"2 processes were launched \(torchrun\), and this is learnt by one"):
        open_fabric("cpu")
    monkeypatch.delenv("MASTER_PORT")
    assert open_fabric("cpu").world_size == 1  # variables of another program


@pytest.mark.parametrize("device", ["cuda:0", "mps"])
def test_a_device_that_processes_would_share_is_refused(device, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: True)
    for name in LAUNCHED:
        monkeypatch.setenv(name, "2")
    with pytest.raises(ConfigError, match=f"device = '{device}': each process takes a device of its own"):
        open_fabric(device, divided=True)


def test_more_processes_than_devices_are_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: True)
    for name in LAUNCHED:
        monkeypatch.setenv(name, "4")
    with pytest.raises(ConfigError, match="this machine has 2 for 4 processes"):
        open_fabric("cuda", divided=True)


def test_machines_with_unequal_numbers_of_processes_are_refused(monkeypatch):
    for name in LAUNCHED:
        monkeypatch.setenv(name, "3")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(
        ConfigError, match="3 processes were launched, 2 of them on this machine; every machine needs as"
    ):
        open_fabric("cpu", divided=True)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_shares_hold_every_row_once_or_all_of_a_few(size):
    for n_rows in (size, 7, 8, 100):
        shares = [list(range(n_rows))[World(rank, size).share(n_rows)] for rank in range(size)]
        if n_rows < size:
            assert shares == [list(range(n_rows))] * size
        else:
            assert sum(shares, []) == list(range(n_rows))  # noqa: RUF017 - few of them
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_a_process_knows_its_own_flag_at_once():
    poll = Poll(World())
    assert [poll.raised(flag) for flag in (False, True, False)] == [False, True, False]
    assert World().any(False, True)
    assert not World().any()
