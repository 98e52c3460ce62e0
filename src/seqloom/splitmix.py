"""A hash of whole numbers, for choices that depend on a number and a key and on nothing else."""

from __future__ import annotations

import numpy as np

STEP = np.uint64(0x9E3779B97F4A7C15)


def splitmix64(numbers: np.ndarray) -> np.ndarray:
    """Of uint64 numbers of any shape: uint64 that look drawn at random (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195).

    >>> hex(int(splitmix64(np.zeros(1, np.uint64))[0]))
    '0xe220a8397b1dcdaf'
    """
    with np.errstate(over="ignore"):  # sums and products wrap
        z = numbers + STEP
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))
