"""A SIGTERM ends work as Ctrl-C does; long work comes to a good place first."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from seqloom.interrupts import deferred, terminable


def test_sigterm_raises_as_ctrl_c_does_and_the_handler_before_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def work_of(*steps):
    """Work under `deferred` that takes these steps."""
    with deferred() as asked:
        for step in steps:
            step(asked)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_raises(number):
    seen = []
    with pytest.raises(KeyboardInterrupt):
        work_of(
            lambda _: signal.raise_signal(number),
            lambda asked: seen.append(asked.to_stop),
            lambda _: signal.raise_signal(number),
            lambda _: seen.append("never"),
        )
    assert seen == [True]


def test_work_that_never_looks_is_interrupted_at_its_end():
    done = []
    with pytest.raises(KeyboardInterrupt):
        work_of(lambda _: signal.raise_signal(signal.SIGTERM), lambda _: done.append(1))
    assert done == [1]


def test_other_threads_are_left_alone():
    found = []

    def work():
        with terminable(), deferred() as asked:
            found.append(asked.to_stop)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


def test_a_comparison_that_is_terminated_exits_with_130_and_the_same_command_ends_it(tmp_path):
    seqloom = [sys.executable, "-m", "seqloom.cli"]
    subprocess.run([*seqloom, "simulate", "--rows", "3000", "-o", "t.csv"], cwd=tmp_path, check=True)
    settings = ("train.epochs=3", "train.device=cpu", "split.kind=random", "report.draws=100")
    command = [*seqloom, "train", "t.csv", "rnn", "-o", "run", *(part for each in settings for part in ("--set", each))]
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "resolved.toml").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    _, said = process.communicate(timeout=120)
    assert (process.returncode, "Traceback" in said) == (130, False), said
    assert "the same command goes on from here" in said
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (tmp_path / "run" / "report.html").exists()


def test_a_signal_that_the_process_ignores_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred() as asked:
            signal.raise_signal(signal.SIGINT)
        assert not asked.to_stop
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
