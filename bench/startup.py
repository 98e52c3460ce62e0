"""Whole-process times of the command line, as ratios to the time of `python -c "import torch"` on the same machine.

Prints one JSON line per figure: the median of interleaved repeats, in seconds of wall time.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(os.environ.get("SEQLOOM_DATA", "../shared/data"))
REPEATS = 5
BARS = {"help": 0.3, "predict_50_linear": 2.0, "predict_50_cnn": 5.0, "compare_seven_gb1_three_vs_rest": 120.0}


def seconds(command: list[str]) -> float:
    """Wall time of a process that must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def seqloom(*arguments: str) -> list[str]:
    """The installed command."""
    return [str(Path(sys.executable).parent / "seqloom"), *arguments]


def main() -> None:
    """Train two small runs, then time everything in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(seqloom("simulate", "-o", str(folder / "table.csv")), check=True, capture_output=True)
        subprocess.run(
            seqloom("simulate", "--rows", "50", "-o", str(folder / "fifty.csv")), check=True, capture_output=True
        )
        for kind in ("linear", "cnn"):
            subprocess.run(
                seqloom("train", str(folder / "table.csv"), kind, "-o", str(folder / kind), "--set", "train.seeds=1"),
                check=True, capture_output=True,
            )  # fmt: skip
        commands = {
            "import_torch": [sys.executable, "-c", "import torch"],
            "help": seqloom("--help"),
            "predict_50_linear": seqloom(
                "predict", str(folder / "linear"), str(folder / "fifty.csv"), "-o", str(folder / "p.csv")
            ),
            "predict_50_cnn": seqloom(
                "predict", str(folder / "cnn"), str(folder / "fifty.csv"), "-o", str(folder / "p.csv")
            ),
        }
        times: dict[str, list[float]] = {figure: [] for figure in commands}
        for _ in range(REPEATS):
            for figure, command in commands.items():
                times[figure].append(seconds(command))
        table = DATA / "fitness" / "flip_gb1" / "three_vs_rest.csv.gz"
        if table.exists():
            times["compare_seven_gb1_three_vs_rest"] = [
                seconds(seqloom("compare", str(table), "-o", str(folder / "gb1")))
            ]
    rival = statistics.median(times.pop("import_torch"))
    for figure, measured in times.items():
        value = statistics.median(measured)
        line = {"figure": figure, "value": round(value, 3), "unit": "s", "against": "python -c 'import torch'",
                "ratio": round(value / rival, 3), "bar": BARS[figure], "reached": value <= BARS[figure]}  # fmt: skip
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
