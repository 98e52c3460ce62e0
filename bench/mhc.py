"""Accuracy on peptides that bind MHC, of nets as they are shipped, beside bars; one JSON line per figure.

`python bench/mhc.py [nets] [lengths] [pan]`: `examples/mhc/NAME.toml` of each name, all by default. AUROC at 500 nM on
measurements later than those of training; means over seeds, and of the seeds' mean prediction. Needs the data folder; about 20
minutes on one core.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import seqloom

EXAMPLES = Path(__file__).parent.parent / "examples" / "mhc"
NETS = ("sigmoid", "mlp", "simple-cells")
MEAN, ENSEMBLE = 0.930, 0.934
"""Of 9-mers of one allele."""
ALL, TENS, BEHIND = 0.930, 0.885, 0.005
"""Of the best preset on all lengths, and on 10-mers; and how far the recurrent net may be behind an mlp on these."""
POOLED, PER_ALLELE, MINUTES = 0.940, 0.920, 10.0

Figure = tuple[str, float, float, bool]
"""Name, value, bar, and whether less is better."""


def nets(board: dict[str, Any]) -> Iterator[Figure]:
    """Means of five seeds and their ensembles."""
    rows = {row["variant"]: row for row in board["leaderboard"]}
    for name in NETS:
        yield f"mean_{name}", rows[name]["metrics"]["auroc"]["value"], MEAN, False
        yield f"ensemble_{name}", rows[name]["ensemble"]["auroc"]["value"], ENSEMBLE, False


def lengths(board: dict[str, Any]) -> Iterator[Figure]:
    """The best preset, and the recurrent net beside the mlp."""
    best = next(row for row in board["leaderboard"] if not row["baseline"])
    yield f"all_{best['variant']}", best["metrics"]["auroc"]["value"], ALL, False
    tens = next(part["scores"] for part in board["slices"][0]["slices"] if part["name"] == "10")
    yield f"tens_{best['variant']}", tens[best["variant"]]["value"], TENS, False
    yield "tens_mlp_less_rnn", tens["mlp-on-9-mers"]["value"] - tens["rnn-on-9-mers"]["value"], BEHIND, True


def pan(board: dict[str, Any]) -> Iterator[Figure]:
    """All alleles in one ranking, and the mean over alleles."""
    best = next(row for row in board["leaderboard"] if not row["baseline"])
    within = board["within_groups"]["scores"][best["variant"]]["mean"]
    yield f"pooled_{best['variant']}", best["metrics"]["auroc"]["value"], POOLED, False
    yield f"per_allele_{best['variant']}", within["value"], PER_ALLELE, False
    yield "minutes", board["seconds"] / 60, MINUTES, True


PARTS = {"nets": nets, "lengths": lengths, "pan": pan}


def main() -> None:
    """The experiments that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="*", help=f"{', '.join(PARTS)}; all by default")
    for name in parser.parse_args().experiments or PARTS:
        started = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            seqloom.compare(EXAMPLES / f"{name}.toml", out=folder, settings={"train.device": "cpu"})
            board = json.loads((Path(folder) / "leaderboard.json").read_text())
        taken = time.process_time() - started
        for figure, value, bar, less in PARTS[name](board):
            reached = value <= bar if less else value >= bar
            line = {"figure": f"{name}_{figure}", "value": round(value, 4), "bar": bar, "reached": reached}
            print(json.dumps(line | {"cpu_seconds_of_all": round(taken)}), flush=True)


if __name__ == "__main__":
    main()
