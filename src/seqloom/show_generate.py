"""What people see of generators on the terminal: the leaderboard of a comparison, and the judgement of a set of sequences."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table as Grid

from seqloom.generation.conclude import HEADLINES
from seqloom.generation.experiment import Judgement
from seqloom.show import findings_text, interval, number


def judged(result: Judgement) -> None:
    """Leaderboard, verdict and the report's path on stdout."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    grid = Grid(box=None, pad_edge=False)
    grid.add_column("variant")
    grid.add_column("verdict")
    shown = [name for name in HEADLINES if any(name in row["metrics"] for row in result.leaderboard)]
    for index, name in enumerate(shown):
        grid.add_column(f"{name} (95 % CI)" if index < 2 else name, justify="right")
    grid.add_column("members", justify="right")
    grid.add_column("seconds", justify="right")
    for row in result.leaderboard:
        scores = [row["metrics"].get(name) for name in shown]
        cells = [
            "" if each is None else interval(each) if index < 2 else number(each["value"])
            for index, each in enumerate(scores)
        ]
        label = f"{row['variant']} (baseline)" if row["baseline"] else row["variant"]
        grid.add_row(label, row["verdict"]["word"], *cells, str(row["members"]), f"{row['seconds']:.1f}")
    console.print(grid)
    console.print(result.verdict, markup=False, soft_wrap=True)
    console.print(f"report: {(result.folder / 'report.html').as_posix()}", markup=False, soft_wrap=True)


def _cell(score: Mapping[str, Any] | None, *, whole: bool) -> str:
    if score is None:
        return ""
    return interval(score) if whole else number(score["value"])


def evaluated(facts: Mapping[str, Any]) -> str:
    """The judgement of a set of sequences: verdict, then every metric beside held-out and resampled training sequences."""
    held, natural = facts["controls"].get("held-out", {}), facts["controls"].get("train resample", {})
    width = max(len(name) for name in facts["metrics"]) if facts["metrics"] else 0
    lines = [f"{facts['rows']:,} sequences of {facts['samples']} beside {facts['family']}"]
    lines += [f"{'':{width}}  {'samples':>24}  {'held out':>9}  {'train':>9}"]
    for name, own in facts["metrics"].items():
        beside = [number(each.get(name)) if each.get(name) is not None else "" for each in (held, natural)]
        lines.append(f"{name:{width}}  {interval(own):>24}  {beside[0]:>9}  {beside[1]:>9}")
    lines += [f"note: {each}" for each in facts["notes"]] + findings_text(facts["findings"])
    lines.append(facts["verdict"]["text"])
    if facts["report"]:
        lines.append(f"report: {facts['report']}")
    return "\n".join(lines)
