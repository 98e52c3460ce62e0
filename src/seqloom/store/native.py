"""Which form of the loops runs: the compiled one of `loops`, or NumPy's. Their results are equal."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np

from seqloom.errors import MissingExtra


def loops(native: bool | None = None) -> ModuleType | None:
    """The compiled loops, or None where NumPy's form is to run.

    `native` False asks for NumPy's, True for the compiled ones (MissingExtra without numba), None for the faster there is.
    """
    if native is False:
        return None
    if has_numba():
        return _compiled()
    if native:
        raise MissingExtra("the compiled form", "fast")
    return None


def read_only(array: np.ndarray) -> np.ndarray:
    """The array as loops take what they read: end to end and not to be written, so that one compiled form serves all."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@cache
def _compiled() -> ModuleType:
    return import_module("seqloom.store.loops")


@cache
def has_numba() -> bool:
    """Whether the compiled form can run; numba itself is not imported."""
    return find_spec("numba") is not None
