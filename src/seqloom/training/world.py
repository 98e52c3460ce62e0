"""The processes that train one net together, and what they have to agree on besides gradients.

Every process takes the same steps; a decision that one alone can make, such as to stop at a signal, is made known to all and
followed by all after the same step. Without a launcher there is one process, and nothing here waits for anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PATIENCE = timedelta(days=2)
"""Others wait so long for a process that has work of its own to do, as the first one that predicts between two trainings."""
T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """One process among `size`."""

    rank: int = 0
    size: int = 1

    @staticmethod
    def of(fabric: Fabric) -> World:
        """The process that this fabric was opened in."""
        return World(fabric.global_rank, fabric.world_size)

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes files and tells progress."""
        return self.rank == 0

    def share(self, n_rows: int) -> slice:
        """Its part of `n_rows`, those of all processes side by side; all of them where there are fewer rows than processes."""
        if not self.divides(n_rows):
            return slice(0, n_rows)
        return slice(n_rows * self.rank // self.size, n_rows * (self.rank + 1) // self.size)

    def divides(self, n_rows: int) -> bool:
        """Whether `n_rows` are enough for each process to have some of its own."""
        return n_rows >= self.size

    def add(self, values: Tensor) -> Tensor:
        """Sums over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def put_first(self, values: Iterable[Tensor]) -> None:
        """The numbers of the first process, in place of those of every other."""
        for each in values if self.size > 1 else ():
            dist.broadcast(each, 0)

    def any(self, *flags: bool) -> bool:
        """Whether any flag of any process is set; waits for all."""
        return bool(self.add_on_host(torch.tensor([any(flags)], dtype=torch.int32)).item())

    def add_on_host(self, values: Tensor) -> Tensor:
        """Sums over all processes of numbers that lie on the host, in place."""
        if self.size > 1:
            dist.all_reduce(values, group=_on_host())
        return values

    def of_first(self, value: T) -> T:
        """The value that the first process has."""
        held: list[Any] = [value]
        if self.size > 1:
            dist.broadcast_object_list(held, 0, group=_on_host())
        first: T = held[0]
        return first

    def of_all(self, value: T) -> Sequence[T]:
        """The values of all processes, by rank."""
        held: list[Any] = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(held, value, group=_on_host())
        return held


class Poll:
    """Whether any process has raised a flag: known to all after the same step, the one after it was raised.

    What the others say travels while a step is made, so that no step waits for it. One process knows at once.
    """

    def __init__(self, world: World) -> None:
        self.world, self.values, self.work = world, torch.zeros(1, dtype=torch.int32), None

    def raised(self, flag: bool) -> bool:
        """Tell the others; whether any flag was raised by the call before. Called by all processes after each step."""
        if self.world.size == 1:
            return flag
        before = self.wait()
        self.values[0] = flag
        self.work = dist.all_reduce(self.values, group=_on_host(), async_op=True)
        return before

    def wait(self) -> bool:
        """Whether any flag was raised by the last call of `raised`."""
        if self.work is not None:
            self.work.wait()
            self.work = None
        return bool(self.values.item())


@cache
def _on_host() -> dist.ProcessGroup:
    """All processes, for numbers on the host, which the group of devices does not take."""
    group = dist.new_group(backend="gloo", timeout=PATIENCE)
    assert isinstance(group, dist.ProcessGroup)
    return group
