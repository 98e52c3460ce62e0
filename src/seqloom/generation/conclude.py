"""What follows from the judged samples of all members: a leaderboard, a verdict in words, and the report."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqloom.files import read_json, write_json, write_text
from seqloom.generation.collection import Collection
from seqloom.generation.judging import read_evaluation
from seqloom.generation.run import GeneratorRun
from seqloom.generation.variant import baseline_of

BOARD = "leaderboard.json"
ORDER = ("fit", "under-fit couplings", "off the family", "copying", "collapsed", "empty")
"""Verdicts from the best to the worst; a variant has the worst of its members."""
SHARES = (
    "valid", "unique", "in_family", "near_copies", "memorised", "exact_copies", "hit_rate", "on_class", "off_class", "precision",
    "recall", "coverage", "novel",
)  # fmt: skip
HEADLINES = ("in_family", "pair_r", "copy_gap", "unique", "valid")
"""Metrics shown first."""


def conclude(
    folder: Path, runs: Mapping[str, GeneratorRun], collection: Collection, seconds: float, *, single: bool
) -> dict[str, Any]:
    """Write `leaderboard.json` and the report of the folder, and give what they say."""
    from seqloom.generation.page import board_html

    baseline = baseline_of(collection.alphabet.name)
    rows = [_row(name, run, folder, baseline) for name, run in runs.items()]
    rows.sort(key=_place)
    first = _controls(baseline, runs)
    counts = collection.partition.counts(0)
    board = {
        "command": "generate fit" if single else "generate compare",
        "verdict": _verdict(rows),
        "leaderboard": rows,
        "generators": True,
        "controls": first["controls"],
        "halves": first["halves"],
        "notes": first["notes"],
        "table": collection.table.source.name,
        "alphabet": collection.alphabet.name,
        "read": collection.n_read,
        "sequences": {name: counts[name] for name in ("train", "valid", "test")},
        "split": {"kind": collection.splitter.kind, "guarantee": collection.splitter.guarantee},
        "findings": [each.as_json() for each in collection.findings],
        "seconds": round(seconds, 3),
    }
    write_json(folder / BOARD, board)
    write_text(folder / "report.html", board_html(folder, next(iter(runs.values())).reference))
    return board


def is_finished(folder: Path) -> bool:
    """Whether there is a finished fit or comparison of generators in the folder."""
    board = folder / BOARD
    return board.exists() and "generators" in read_json(board)


def report(folder: Path) -> dict[str, Any]:
    """Write the report of a finished fit or comparison again; what `seqloom report --json` says."""
    from seqloom.generation.page import board_html

    started = time.monotonic()
    path = folder / "report.html"
    write_text(path, board_html(folder))
    board = read_json(folder / BOARD)
    return {
        "command": "report",
        "path": path.as_posix(),
        "seconds": round(time.monotonic() - started, 3),
        "findings": board["findings"],
        "verdict": board["verdict"],
    }


def _controls(baseline: str, runs: Mapping[str, GeneratorRun]) -> dict[str, Any]:
    """The evaluation that has the controls: of the first member of the baseline."""
    run = next(run for run in runs.values() if run.variant.generator.kind == baseline)
    return read_evaluation(run.member_folder(run.variant.seeds[0]))


def _row(name: str, run: GeneratorRun, folder: Path, baseline: str) -> dict[str, Any]:
    """One variant: the mean of its members in every metric, and what is the matter with the worst of them."""
    found = {seed: read_evaluation(run.member_folder(seed)) for seed in run.variant.seeds}
    done = [read_json(run.member_folder(seed) / "done") for seed in run.variant.seeds]
    worst = max(found.values(), key=lambda each: ORDER.index(each["verdict"]["word"]))
    names = list(dict.fromkeys(metric for each in found.values() for metric in each["metrics"]))
    return {
        "variant": name,
        "kind": run.variant.generator.kind,
        "folder": run.folder.relative_to(folder).as_posix(),
        "baseline": run.variant.generator.kind == baseline,
        "members": len(found),
        "verdict": {
            **worst["verdict"],
            "members": {str(seed): each["verdict"]["word"] for seed, each in found.items()},
        },
        "metrics": {
            metric: combined([each["metrics"].get(metric) for each in found.values()], share=is_share(metric))
            for metric in names
        },
        "seconds": round(sum(each["seconds"] for each in done), 3),
        "cpu_seconds": round(sum(each["cpu_seconds"] for each in done), 3),
    }


def combined(members: Sequence[Mapping[str, Any] | None], *, share: bool = False) -> dict[str, float | None]:
    """The mean over members with its 95 % interval: of one member by samples drawn again, of several by Student's t,
    and never narrower than the samples alone make it. A `share` stays within 0 and 1.

    >>> combined([{"value": 0.5, "low": 0.4, "high": 0.6}])
    {'value': 0.5, 'low': 0.4, 'high': 0.6}
    """
    known = [each for each in members if each is not None and each["value"] is not None]
    if not known:
        return {"value": None, "low": None, "high": None}
    ends = (0.0, 1.0) if share else (-math.inf, math.inf)
    if len(known) == 1:
        own = known[0]
        return {
            name: None if own[name] is None else float(np.clip(own[name], *ends)) for name in ("value", "low", "high")
        }
    from scipy.special import stdtrit

    values = np.array([each["value"] for each in known])
    n = len(values)
    halves = [(each["high"] - each["low"]) / 2 for each in known if each["low"] is not None]
    samples = float(np.mean(halves)) / math.sqrt(n) if halves else 0.0
    reach = max(float(stdtrit(n - 1, 0.975)) * float(values.std(ddof=1)) / math.sqrt(n), samples)
    mean = float(values.mean())
    low, high = np.clip([mean - reach, mean + reach], *ends)
    return {"value": mean, "low": float(low), "high": float(high)}


def is_share(metric: str) -> bool:
    """Whether a metric is a share of samples."""
    return metric in SHARES or metric.startswith("rule:")


def _place(row: Mapping[str, Any]) -> tuple[int, bool, float]:
    """Best first: by the verdict, and among equal ones by membership of the family and the couplings between columns."""
    metrics = row["metrics"]

    def value(name: str) -> float:
        held = metrics.get(name, {}).get("value")
        return 0.0 if held is None else float(held)

    return (
        ORDER.index(row["verdict"]["word"]),
        row["baseline"],
        -(value("in_family") + value("pair_r") + value("valid")),
    )


def _verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """The verdict on each variant in one sentence, the best first; baselines last."""
    own = [row for row in rows if not row["baseline"]] or list(rows)
    return "; ".join(f"{row['variant']}: {_said(row)}" for row in own[:4]) + (
        f"; and {len(own) - 4} more" if len(own) > 4 else ""
    )


def _said(row: Mapping[str, Any]) -> str:
    words = set(row["verdict"]["members"].values())
    text: str = row["verdict"]["text"]
    return text if len(words) == 1 else f"{text} (the worst of {row['members']} seeds)"
