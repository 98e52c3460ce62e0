"""Pairs proposed by mmseqs2, for those who have it and ask for it: similar words find relatives that equal words miss.

What it proposes is aligned and judged like any other pair. It is run as a program of its own, and never needed. Nor is it used
unasked: a partition must not depend on what is installed, and on the sets measured it took far longer and found nothing more.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv

from seqloom.alphabet import Alphabet
from seqloom.errors import ConfigError, DataError
from seqloom.similarity.alignment import Library

PROGRAM = "mmseqs"
MOST_HITS = 100
"""Hits of each sequence that are looked at."""
SENSITIVITY = 7.5


@cache
def version() -> str:
    """The version of mmseqs2 on the PATH, or nothing."""
    if shutil.which(PROGRAM) is None:
        return ""
    answer = subprocess.run([PROGRAM, "version"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else ""


def proposed_pairs(library: Library, alphabet: Alphabet) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of sequences of the library that mmseqs2 finds related (E-value 0.001), int64 (P,) each.

    ConfigError where there is no mmseqs2 or no protein; DataError with its last words where it fails.
    """
    if not version():
        raise ConfigError("search = 'mmseqs' needs the program mmseqs on the PATH (Debian: apt-get install mmseqs2)")
    if alphabet.name != "protein":
        raise ConfigError(f"search = 'mmseqs' is for proteins, and the sequences are {alphabet.name}; leave it out")
    with tempfile.TemporaryDirectory(prefix="seqloom-") as name:
        folder = Path(name)
        with (folder / "all.fasta").open("wb") as file:
            file.writelines(b">%d\n%s\n" % (row, text) for row, text in enumerate(library.strings) if text)
        command = [
            PROGRAM, "easy-search", "all.fasta", "all.fasta", "hits.tsv", "work", "--format-output", "query,target",
            "-s", str(SENSITIVITY), "-e", "0.001", "--max-seqs", str(MOST_HITS),
            "--comp-bias-corr", "0", "--mask", "0", "-v", "1",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        hits = folder / "hits.tsv"
        if done.returncode != 0:
            raise DataError(f"mmseqs ended with status {done.returncode}: {(done.stdout + done.stderr).strip()[-500:]}")
        if not hits.stat().st_size:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        table = pa_csv.read_csv(
            hits,
            read_options=pa_csv.ReadOptions(column_names=["query", "target"]),
            parse_options=pa_csv.ParseOptions(delimiter="\t"),
        )
    left, right = (table[column].to_numpy().astype(np.int64) for column in ("query", "target"))
    return left[left != right], right[left != right]
