"""A line of JSON per figure, and CPU seconds of rivals taken in turns."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping

REPEATS = 5


def report(
    figure: str, value: float, unit: str, bar: float | None, protocol: str, *, at_least: bool = False, **more: object
) -> None:
    """One line; the bar is a maximum, or a minimum where `at_least` says so."""
    reached = {} if bar is None else {"bar": bar, "reached": value >= bar if at_least else value <= bar}
    print(
        json.dumps({"figure": figure, "value": round(value, 4), "unit": unit, **reached, **more, "protocol": protocol}),
        flush=True,
    )


def medians(tasks: Mapping[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, float]:
    """CPU seconds of each task, once each in turns after one run to warm up."""
    for task in tasks.values():
        task()
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            started = time.process_time()
            task()
            taken[name].append(time.process_time() - started)
    return {name: statistics.median(each) for name, each in taken.items()}
