"""Interruptions: a SIGTERM ends work as Ctrl-C does, and long work may first come to a state that it can go on from.

Handlers belong to the main thread; in any other the calls here change nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt inside, unless the process was told to ignore it."""
    with _handled((signal.SIGTERM,), _raise):
        yield


@dataclass
class Asked:
    """Whether the work was asked to stop."""

    to_stop: bool = False


@contextmanager
def deferred(*, repeated: bool = False) -> Iterator[Asked]:
    """The first Ctrl-C or SIGTERM inside is only noted, for work that looks and stops where it is good; another raises at once.

    Work that is done before it has looked is interrupted at the end. `repeated`: all are only noted, as where a scheduler tells
    every process, and a launcher tells them again.
    """
    asked = Asked()

    def note(number: int, frame: object) -> None:
        if asked.to_stop and not repeated:
            _raise(number, frame)
        asked.to_stop = True

    with _handled((signal.SIGINT, signal.SIGTERM), note):
        yield asked
    if asked.to_stop:
        raise KeyboardInterrupt


def _raise(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _handled(signals: tuple[signal.Signals, ...], handler: Callable[[int, object], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    left_alone = (signal.SIG_IGN, None)  # as jobs in the background are told; or set by other than Python
    before = {each: signal.signal(each, handler) for each in signals if signal.getsignal(each) not in left_alone}
    try:
        yield
    finally:
        for each, own in before.items():
            signal.signal(each, own)
