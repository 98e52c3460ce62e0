"""From a table of sequences to a model you can trust, explain, serve and design with.

>>> import seqloom
>>> result = seqloom.compare("table.csv", target="y")  # doctest: +SKIP

Names are loaded when first used, so that `import seqloom` costs nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Threads that wait for each other shall sleep, not spin: beside any other load on the machine, spinning made the training of
# a small net three to six times as long. It must be said before the first library with OpenMP is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from seqloom.api import compare, load, train, tune
    from seqloom.estimators import SequenceClassifier, SequenceRegressor
    from seqloom.simulate import Simulation
    from seqloom.store import open_store
    from seqloom.store.pack import pack
    from seqloom.table import Table, read_table

_HOMES = {
    "compare": "api",
    "train": "api",
    "load": "api",
    "tune": "api",
    "pack": "store.pack",
    "open_store": "store",
    "SequenceClassifier": "estimators",
    "SequenceRegressor": "estimators",
    "Simulation": "simulate",
    "Table": "table",
    "read_table": "table",
}

__all__ = [
    "SequenceClassifier", "SequenceRegressor", "Simulation", "Table", "compare", "load", "open_store", "pack",
    "read_table", "train", "tune",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'seqloom' has no attribute {name!r}")
    return getattr(import_module(f"seqloom.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
