"""Memory that a step frees is there for the next one."""

import subprocess
import sys

import pytest

from seqloom.training.memory import kept_memory

COUNTED = """
import resource, torch
from seqloom.training.memory import kept_memory

def cleared():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(6):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

without = cleared()
with kept_memory():
    cleared()  # the heap grows to what is needed
    inside = min(cleared() for _ in range(5))  # the system may take pages back at any moment
print(without, inside)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone is told")
def test_pages_of_a_large_block_are_not_cleared_again_each_time():
    done = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True)
    without, inside = map(int, done.stdout.split())
    assert inside < without / 10


def test_an_error_inside_passes():
    with pytest.raises(ValueError, match="told"), kept_memory():
        raise ValueError("told")
