"""What a net costs here: measured in a process of its own, which ends with all that it held and leaves nothing behind.

A process of its own also tells the memory of one net from that of others, and one that runs out of it takes nobody along. The
steps themselves are in `seqloom.cost.steps`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seqloom.errors import ConfigError, DataError, MissingExtra, RunError, SeqloomError

SECONDS = 2.0
"""Of training steps, about; as much again for all else."""
POLL_SECONDS = 0.005
STATUS = Path("/proc/self/status")
_RAISED = {each.__name__: each for each in (ConfigError, DataError, RunError)}


@dataclass(frozen=True)
class Asked:
    """What is to be measured."""

    store: str
    rows: int
    """Of the library, by which its parts are sized."""
    predictor: dict[str, Any]
    train: dict[str, Any]
    split: dict[str, Any]
    devices: int = 1
    seconds: float = SECONDS


@dataclass(frozen=True)
class Probed:
    """What was measured. Seconds and bytes of a row, where nothing else is said."""

    device: str
    threads: int
    looked_at: int
    """Rows of the sample."""
    shares: dict[str, float]
    """Of its rows in each part."""
    members: int
    """Folds and seeds that the settings ask for."""
    n_weights: int
    weight_bytes: int
    """Of all weights and buffers."""
    optimizer_bytes: int
    """Of the optimiser's state."""
    asked_batch: int
    """Rows of a step."""
    batch: int
    """Rows of a probed step: fewer than are asked for where these would take too long."""
    n_steps: int
    step_seconds: float
    """Of a row in a step: gathering, net and optimiser."""
    gather_seconds: float
    """Its part that is no net: rows looked at for leaks, gathered, and their labels."""
    order_seconds: float
    """To place a row in a batch, beside that."""
    divided_seconds: float
    """Of a row in a step of as many rows as one of several devices has; `step_seconds` for one device."""
    predict_seconds: float
    n_predicted: int
    count_seconds: float
    """To tell the part of a row."""
    count_bytes: float
    """Held meanwhile."""
    prediction_bytes: float
    """In Parquet."""
    start_seconds: float
    """From the beginning of the process until all is loaded."""
    longest: int
    """Symbols of the longest row in a step."""
    span_rows: int
    valid_rows: int
    """Rows between two looks at the valid rows, and how many of these are looked at, both at most."""
    library_bytes: int | None
    """Anonymous memory once all is loaded; None where the system does not say."""
    peak_bytes: int | None
    """The most of it that training and predicting took."""
    device_bytes: int | None = None
    """The most that training took of a device that has its own memory."""
    device_room: int | None = None
    """What a store may take of it."""


def probe(asked: Asked) -> Probed:
    """Measure a net in a new process; RunError if that ends without an answer, and what the net itself raises."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    command = [sys.executable, "-P", "-m", "seqloom.cost.probe", str(time.time())]
    done = subprocess.run(
        command, input=json.dumps(asdict(asked)), capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode == 0:
        answer = json.loads(done.stdout.splitlines()[-1])
        if "error" in answer:
            raise _RAISED.get(answer["error"], RunError)(answer["message"])
        return Probed(**answer)
    if done.returncode < 0:
        raise RunError(f"the probe was ended by signal {-done.returncode}; with 9, there was not enough memory for it")
    last = (done.stderr.strip().splitlines() or ["no word"])[-1]
    raise RunError(f"the probe failed: {last}")


class Memory:
    """Anonymous memory of this process, looked at every few milliseconds."""

    def __init__(self) -> None:
        self.peak = anonymous_bytes() or 0
        self._over = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[Memory]:
        """Keep `peak` inside."""
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        try:
            yield self
        finally:
            self._over.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            self.peak = max(self.peak, anonymous_bytes() or 0)


def anonymous_bytes() -> int | None:
    """Memory of this process that no file stands behind, now; None where the system does not say."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith("RssAnon:")]
    return int(found[0][1]) * 1024 if found else None


def main() -> None:
    """Read what is asked from standard input, and write the answer to standard output."""
    began = float(sys.argv[1])
    asked = Asked(**json.loads(sys.stdin.read()))
    answer: dict[str, Any]
    try:
        from seqloom.cost.steps import measure

        answer = asdict(measure(asked, began))
    except MissingExtra as error:
        answer = {"error": RunError.__name__, "message": str(error)}
    except SeqloomError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
