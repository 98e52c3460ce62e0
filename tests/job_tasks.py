"""Tasks that other processes are given: they must be found by the name of a module that these have, too."""

import os
import time
from pathlib import Path

from seqloom.errors import DataError, MissingExtra
from seqloom.interrupts import deferred


def squared(number):
    return number * number, os.environ["OMP_NUM_THREADS"]


def refuse(number):
    raise DataError(f"no {number}")


def ended(_):
    os.kill(os.getpid(), 9)


def slow(place):
    """Says that it has begun, and works until it is asked to end, as a training does."""
    Path(place).touch()
    with deferred() as asked:
        while not asked.to_stop:
            time.sleep(0.01)
    raise KeyboardInterrupt


def careful(place):
    """Says which process it is, and once it is asked to end works a little longer, as a training does to keep its state."""
    Path(place).write_text(str(os.getpid()))
    with deferred() as asked:
        while not asked.to_stop:
            time.sleep(0.01)
        time.sleep(0.5)
        Path(f"{place}.kept").touch()


def plain(number):
    return number * number, ""


def lacking(_):
    raise MissingExtra("this task", "chem")
