"""What all tests share: the folder of real data, one thread per process, the same examples every time."""

import os
import signal
import threading
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# Workers of pytest-xdist share the cores, and sums come out the same with any number of them. numpy and torch
# read these when they are first imported, which is after this file.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# A shell tells what it starts in the background to leave Ctrl-C alone; what becomes of it is tested nevertheless.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the machine may be busy. Examples do not change from run to run.
settings.register_profile("seqloom", deadline=None, derandomize=True)
settings.load_profile("seqloom")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data: $SEQLOOM_DATA, or shared/data beside the repository; skips without it."""
    folder = Path(os.environ.get("SEQLOOM_DATA") or ROOT.parent / "shared" / "data")
    if folder.is_dir():
        return folder
    reason = f"no real data: {folder} is not a folder; set SEQLOOM_DATA to one"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
