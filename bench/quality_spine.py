"""How good the first predictors are on data with published or known answers; one JSON line per figure, with its bar.

GB1: Spearman on the FLIP splits (Dallago et al. 2021). HLA-A*02:01: AUROC at 500 nM of 9-mers, trained without the test
pairs (Kim et al. 2014). Planted rules: AUROC on simulated peptides. Figures with a `data` part need the data folder.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import seqloom

EXAMPLES = Path(__file__).parent.parent / "examples"
DATA = Path(os.environ.get("SEQLOOM_DATA", "../shared/data"))
GB1 = {"one_vs_rest": 0.293, "two_vs_rest": 0.594, "three_vs_rest": 0.755, "low_vs_high": 0.343}
GB1_SLACK = 0.02
RULE_ROWS = 8000


def report(figure: str, value: float, bar: float, protocol: str) -> None:
    """One line."""
    print(json.dumps({"figure": figure, "value": round(value, 4), "unit": "score", "bar": bar, "reached": value >= bar,
                      "protocol": protocol}), flush=True)  # fmt: skip


def scores(result: Any, metric: str, part: str = "metrics") -> dict[str, float]:
    """The metric of every variant of a comparison."""
    return {row["variant"]: (row[part] or row["metrics"])[metric]["value"] for row in result.leaderboard}


def gb1(folder: Path) -> None:
    """Linear on one-hot on four splits, and the cnn on one of them."""
    for split, paper in GB1.items():
        table = DATA / "fitness" / "flip_gb1" / f"{split}.csv.gz"
        settings = {"predictor.kind": "linear", "encoder.kind": "one-hot"}
        result = seqloom.train(table, out=folder / split.replace("_", "-"), settings=settings)
        report(
            f"gb1_{split}_linear",
            scores(result, "spearman")["linear"],
            round(paper - GB1_SLACK, 3),
            "spearman, given split",
        )
    result = seqloom.train(
        DATA / "fitness" / "flip_gb1" / "three_vs_rest.csv.gz",
        out=folder / "cnn",
        settings={"predictor.kind": "cnn"},
        seeds=3,
    )
    report("gb1_three_vs_rest_cnn", scores(result, "spearman")["cnn"], 0.80, "spearman, given split, mean of 3 seeds")


def mhc(folder: Path) -> None:
    """Linear, and five seeds of the mlp by themselves and together."""
    result = seqloom.compare(EXAMPLES / "mhc_a0201.toml", out=folder / "mhc")
    alone, together = scores(result, "auroc"), scores(result, "auroc", "ensemble")
    report("mhc_a0201_linear", alone["linear"], 0.929, "auroc at 500 nM, BLIND 9-mers")
    report("mhc_a0201_mlp", alone["mlp"], 0.930, "auroc at 500 nM, BLIND 9-mers, mean of 5 seeds")
    report("mhc_a0201_mlp_ensemble", together["mlp"], 0.934, "auroc at 500 nM, BLIND 9-mers, 5 seeds averaged")


def rules(folder: Path) -> None:
    """Rules that every net must learn."""
    for rule in ("c-terminal", "count"):
        table = seqloom.Simulation(rows=RULE_ROWS, rule=rule).table()
        result = seqloom.compare(table, out=folder / rule, vary={"predictor.kind": ["mlp", "cnn"]})
        for kind in ("mlp", "cnn"):
            report(
                f"rule_{rule}_{kind}", scores(result, "auroc")[kind], 0.999, f"auroc, {RULE_ROWS:,} simulated peptides"
            )


def main() -> None:
    """All figures for which there are data."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rules(folder)
        if DATA.is_dir():
            mhc(folder)
            gb1(folder)


if __name__ == "__main__":
    main()
