"""What `explain` and `inspect --position` say on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Q = 0.05
MOST_SYMBOLS = 8
MOST_ROWS = 10


def explained(facts: Mapping[str, Any]) -> str:
    """The answers in short, and the files that hold them."""
    lines = []
    if "embedding" in facts:
        own = facts["embedding"]
        for each in own["columns"]:
            size = f"{len(each['symbols'])} symbols by {each['width']} numbers"
            lines.append(f"{each['column']}: {size}, fold {own['fold']} seed {own['seed']}")
            lines += [f"  {drawn['method']}: {drawn['how']}" for drawn in each["maps"]]
            if each["never_in_training"]:
                lines.append(f"  never in training, not drawn: {', '.join(each['never_in_training'])}")
            lines += [f"  {each['text']}"] if each["text"] else []
        lines += [f"page: {own['page']}", f"table: {own['table']}"]
    if "worst" in facts:
        lines += _worst(facts["worst"])
    return "\n".join(lines)


def _worst(own: Mapping[str, Any]) -> list[str]:
    low = f", {own['too_low']:,} of them predicted too low" if own["too_low"] else ""
    lines = [f"{own['rows']:,} of {own['test_rows']:,} test rows{low}: {own['how']}"]
    told = [each for each in own["residues"] if each["q"] < Q]
    if told:
        lines.append(
            f"residues that stand otherwise among them (false discovery rate below {Q:.0%} of {own['tests']} tests):"
        )
    elif own["residues"]:
        lines.append(f"no residue stands otherwise among them than among the other test rows ({own['tests']} tests)")
    for each in told[:MOST_ROWS]:
        worst, others = ("{:,} of {:,}".format(*each[side]) for side in ("worst", "others"))
        lines.append(f"  {each['symbol']} at {each['position']}: {worst}, others {others}, p = {each['p']:.2g}")
    if len(told) > MOST_ROWS:
        lines.append(f"  and {len(told) - MOST_ROWS} more")
    return [*lines, f"page: {own['page']}", f"table: {own['table']}"]


def positions_text(facts: Mapping[str, Any]) -> list[str]:
    """Residues by position in lines: log2 odds of those that differ, the strongest first; and classes by length."""
    names, rows = facts["classes"], facts["rows"]
    counted = ", ".join(f"{n:,} rows {name}" for name, n in zip(names, rows, strict=True))
    left_out = f"; {facts['left_out']:,} of neither" if facts["left_out"] else ""
    lines = [f"positions: {counted} ({facts['how']}{left_out})"]
    told = [names[1]] if len(names) == 2 else names
    for place, name in enumerate(told):
        other = names[0] if len(names) == 2 else "all others"
        lines.append(f"  log2 odds of {name} against {other}, false discovery rate below {Q:.0%}:")
        for each in facts["positions"]:
            kept = [symbol for symbol in each["symbols"] if symbol["q"][place] < Q]
            kept.sort(key=lambda symbol: -symbol["log2_odds"][place])
            more = [_odds(symbol, place) for symbol in kept if symbol["log2_odds"][place] > 0]
            less = [_odds(symbol, place) for symbol in reversed(kept) if symbol["log2_odds"][place] < 0]
            parts = " | ".join(" ".join(side[:MOST_SYMBOLS]) for side in (more, less) if side)
            lines.append(f"  {each['position']:>4}  {parts or 'no difference'}")
    lines.append(f"  length  rows  {'  '.join(names)}")
    for band in facts["by_length"]:
        total = sum(band["counts"])
        length = (
            f"{band['shortest']}" if band["shortest"] == band["longest"] else f"{band['shortest']}-{band['longest']}"
        )
        shares = "  ".join(f"{n / total:.3f}" for n in band["counts"])
        lines.append(f"  {length:>6}  {total:,}  {shares}")
    return [*lines, f"page: {facts['page']}"] if facts["page"] else lines


def _odds(symbol: Mapping[str, Any], place: int) -> str:
    return f"{symbol['symbol']} {symbol['log2_odds'][place]:+.1f}"
