"""What a twin net gains over the same layers as a plain regression; one JSON line per figure.

`python bench/twin.py [gb1] [b2l11]`: GB1 `two_vs_rest` on its own partition (381 training rows), and the 170 rows of B2L11 in
five random folds. `twin` with the nearest 32 training rows as anchors, with all of them, and `mlp`, each with the same layers,
encoder and seeds. Values are means over seeds with intervals over test rows and seeds; `ensemble` is of their averaged
predictions. Needs the data folder.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import seqloom

DATA = Path(os.environ.get("SEQLOOM_DATA", "../shared/data")) / "fitness"
TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "gb1": ("flip_gb1/two_vs_rest.csv.gz", {}),
    "b2l11": ("proteingym_B2L11_HUMAN_Dutta_2010.csv", {"split": "random", "folds": 5, "target": "DMS_score"}),
}
VARIANTS = """
[[variant]]
predictor.kind = "mlp"

[[variant]]
predictor.kind = "twin"

[[variant]]
name = "twin-all"
predictor.kind = "twin"
predictor.anchors = 0
"""


def report(name: str, protocol: str, seconds: float, result: Any) -> None:
    """A line for each variant, with its metrics and its differences from others."""
    for row in result.leaderboard:
        line = {"figure": f"{name}_{row['variant']}", "metrics": row["metrics"], "ensemble": row["ensemble"]}
        line |= {"differences": row["differences"], "protocol": protocol, "seconds_of_all": round(seconds, 1)}
        print(json.dumps(line), flush=True)
    print(json.dumps({"figure": f"{name}_verdict", "value": result.verdict}), flush=True)


def main() -> None:
    """The tables that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", help=f"{', '.join(TABLES)}; all by default")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--set", action="append", default=[], help="section.key=value, for all variants")
    arguments = parser.parse_args()
    settings = {"train.device": "cpu", **dict(each.split("=", 1) for each in arguments.set)}
    for name in arguments.tables or TABLES:
        path, flags = TABLES[name]
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            experiment = Path(folder) / f"{name}.toml"
            experiment.write_text(f"[data]\ntable = {str((DATA / path).resolve())!r}\n{VARIANTS}")
            result = seqloom.compare(
                experiment, out=Path(folder) / name, settings=settings, seeds=arguments.seeds, **flags
            )
        protocol = f"{path}, {arguments.seeds} seeds, {flags or 'its own partition'}"
        report(name, protocol, time.perf_counter() - started, result)


if __name__ == "__main__":
    main()
