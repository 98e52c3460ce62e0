"""Who does the work: tasks shared out to processes of this machine or a Ray cluster, and processes that a launcher started.

Every task writes what it makes to a place of its own, so that what is done stays done whatever ends the rest.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import Any, TypeVar

from seqloom.errors import ConfigError, MissingExtra, RunError

Task = TypeVar("Task")
Made = TypeVar("Made")
LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables that a launcher, such as torchrun, sets for every process that it starts."""
SHARED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def launched() -> int:
    """Processes that a launcher started for this work; 1 without one."""
    return int(os.environ["WORLD_SIZE"]) if all(os.environ.get(name) for name in LAUNCHED) else 1


def is_first() -> bool:
    """Whether this process is the first, or only, one of them: the one that writes."""
    return launched() == 1 or os.environ["RANK"] == "0"


def refuse_launched() -> None:
    """ConfigError if there are several, for work that is not divided among them: each would do all of it."""
    if launched() > 1:
        raise ConfigError(
            f"{launched()} processes were launched (torchrun), and this is learnt by one; type the command without torchrun, or "
            "pack the table into a store with seqloom pack: training from stores is divided among processes"
        )


def run_all(function: Callable[[Task], Made], tasks: Sequence[Task], jobs: str) -> Iterator[tuple[int, Made]]:
    """The place of each task and what `function` makes of it, as they are done.

    `jobs`: how many processes share the cores of this machine, or `ray` for the nodes and accelerators of a Ray cluster (of
    this machine, where there is no other). The first error of a task is raised, and ends those that are not begun. ConfigError
    for any other `jobs`, MissingExtra without Ray.
    """
    if jobs == "ray":
        yield from _by_ray(function, tasks)
        return
    if not jobs.isdecimal() or not int(jobs):
        raise ConfigError(f"--jobs {jobs}: give how many processes, such as 2, or ray")
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    n_processes = min(int(jobs), max(len(tasks), 1))
    n_threads = str(max(n_cores // n_processes, 1))
    before = {name: os.environ.get(name) for name in SHARED}
    os.environ.update(dict.fromkeys(SHARED, n_threads))  # read by a process when it begins
    pool = ProcessPoolExecutor(n_processes, get_context("spawn"), _leave_to_parent)
    waiting, running = iter(enumerate(tasks)), dict[Future[Made], int]()
    try:
        while True:
            # No more than there are processes for: what a pool holds in readiness is begun even when all is to end.
            for place, task in islice(waiting, n_processes - len(running)):
                running[pool.submit(function, task)] = place
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool:
        raise RunError(
            "--jobs: one of the processes was ended from outside, as happens where memory is short; what is done is kept, and "
            "the same command goes on from there. In a script of your own, jobs= stands below: if __name__ == '__main__':"
        ) from None
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()  # a training keeps its state first
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _leave_to_parent() -> None:
    """Ctrl-C reaches every process of a terminal; a training that is told twice ends before it has kept its state."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _by_ray(function: Callable[[Task], Made], tasks: Sequence[Task]) -> Iterator[tuple[int, Made]]:
    try:
        import ray  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise MissingExtra("--jobs ray", "scale") from None
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, include_dashboard=False)
    try:
        needed: dict[str, Any] = {"num_gpus": 1} if ray.cluster_resources().get("GPU") else {"num_cpus": 1}
        remote = ray.remote(**needed)(function)
        waiting = {remote.remote(task): place for place, task in enumerate(tasks)}
        while waiting:
            (done, *_), _ = ray.wait(list(waiting), num_returns=1)
            place = waiting.pop(done)
            try:
                yield place, ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None  # its own text is that of a traceback
    finally:
        if started:
            ray.shutdown()
