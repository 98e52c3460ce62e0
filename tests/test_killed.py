"""Trainings that are killed at random moments, and end as if nothing had been."""

import random
import signal
import subprocess
import sys
import time

import pytest

from libraries import packed_library
from seqloom.files import read_arrays

COMMAND = """
import sys
import seqloom.training.loop as loop
loop.CHECKPOINT_SECONDS = loop.WITHIN_EPOCH_SECONDS = 0.1
import seqloom.predict.stored as stored
stored.SPAN_ROWS = 4000
from seqloom.cli import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_training_killed_at_ten_random_moments_ends_in_the_same_bits(tmp_path):
    packed_library(tmp_path, 20_000, noise=0.5)
    asked = ["train", str(tmp_path / "store"), "cnn", "--device", "cpu", "--set", "train.epochs=6"]
    command = [sys.executable, "-c", COMMAND, *asked, "-o"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    run, moments, kills = tmp_path / "killed", random.Random(0), 0
    for _ in range(10):
        process = subprocess.Popen([*command, str(run)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = newest(run)
        while process.poll() is None and newest(run) == before:
            time.sleep(0.005)
        time.sleep(moments.random() * 0.4)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 5
    subprocess.run([*command, str(run)], check=True, capture_output=True)
    for name in ("fold-0/seed-0", "baselines/ngrams/fold-0/seed-0"):
        before, after = (read_arrays(tmp_path / each / name / "weights.safetensors") for each in ("whole", "killed"))
        assert all((before[key] == after[key]).all() for key in before)
        curves = [(tmp_path / each / name / "curves.parquet").read_bytes() for each in ("whole", "killed")]
        assert curves[0] == curves[1]


def newest(run):
    """When a training last kept its state, or was done."""
    kept = [*run.rglob("state.safetensors"), *run.rglob("done")]
    return max((each.stat().st_mtime_ns for each in kept if each.exists()), default=0)
