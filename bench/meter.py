"""Seconds and megabytes of a process."""

from __future__ import annotations

import resource
import time


class Meter:
    """Seconds and megabytes of this process since it was made."""

    def __init__(self) -> None:
        self.started, self.used = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """Wall-clock seconds, processor seconds of all threads, and the most memory held by it or one it waited for."""
        seconds = {"seconds": time.perf_counter() - self.started, "cpu_s": time.process_time() - self.used}
        return {name: round(value, 2) for name, value in seconds.items()} | {"peak_mb": peak()}


def peak() -> int:
    """Megabytes."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return round(max(resource.getrusage(each).ru_maxrss for each in who) / 1024)
