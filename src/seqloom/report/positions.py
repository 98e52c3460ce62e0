"""The page of `inspect --position`: residues by position in each class, and classes by length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seqloom.positions import LengthShares, RowClasses, SymbolCounts
from seqloom.report.page import Figure, Listing, Page, Part, page_html
from seqloom.report.residues import CLASS_COLOURS, ordered, position_chart, share_bars
from seqloom.report.words import count, named, plural

FULL = 3.0
"""Of log2 odds: from here on a cell has its full colour."""
Q = 0.05


def positions_html(
    source: str, column: str, classes: RowClasses, counts: SymbolCounts, lengths: Sequence[LengthShares]
) -> str:
    """The page."""
    rows = [int((classes.member == place).sum()) for place in range(len(classes.names))]
    told = [f"{n:,} rows of {name}" for name, n in zip(classes.names, rows, strict=True)]
    page = Page(
        eyebrow="seqloom inspect",
        title=f"{column} in {source}",
        verdict=f"Residues by position of {named(told, len(told))}",
        facts=(
            ("classes", classes.how),
            ("rows of no class", count((classes.member < 0).sum())),
            ("positions", plural(len(counts.positions), "position")),
        ),
        parts=(_odds(classes, counts), *_shares(classes, counts), _lengths(classes, lengths)),
        footer="All counts of this page: seqloom inspect with --json.",
    )
    return page_html(page)


def _odds(classes: RowClasses, counts: SymbolCounts) -> Part:
    order = ordered(counts.symbols)
    symbols = "".join(counts.symbols[k] for k in order)
    told = [1] if len(classes.names) == 2 else range(len(classes.names))
    figures = []
    for group in told:
        contrast = counts.contrast(group)
        with np.errstate(invalid="ignore"):
            marked = contrast.q[:, order] < Q
        label = "log odds of residues by position"
        svg = position_chart(
            f"odds-{group}", label, contrast.log2_odds[:, order], marked, counts.positions, symbols, FULL
        )
        other = classes.names[0] if len(classes.names) == 2 else "all others"
        figures.append(Figure(svg, f"{classes.names[group]} against {other}"))
    text = (
        f"Orange: more often in this class than in the other, blue: less often; full colour from {FULL:g} on in log2 odds. Dots:"
        f" Fisher's exact test with a false discovery rate (Benjamini-Hochberg) below {Q:.0%}. Rows are taken as independent of"
        " each other, so relatives among them make it look surer than it is. Positions below 0 count from the last symbol."
    )
    return Part("Odds by position", (text,), tuple(figures))


def _shares(classes: RowClasses, counts: SymbolCounts) -> tuple[Part, ...]:
    """Bars of every position, as far as there are colours for the classes."""
    if len(classes.names) > len(CLASS_COLOURS):
        return ()
    order = ordered(counts.symbols)
    order = order[counts.counts.sum(axis=(0, 1))[order] > 0]
    letters = "".join(counts.symbols[k] for k in order)
    shares = counts.shares[:, :, order]
    top = float(np.nanmax(shares, initial=0.0)) * 1.05 or 1.0
    figures = []
    for place, position in enumerate(counts.positions):
        rows = " and ".join(count(n) for n in counts.rows[:, place])
        svg = share_bars(f"bars-{place}", "shares of residues", shares[:, place], letters, top)
        figures.append(Figure(svg, f"Position {position}".replace("-", "\N{MINUS SIGN}"), f"{rows} rows"))
    colours = tuple(zip(CLASS_COLOURS, classes.names, strict=False))
    return (
        Part(
            "Shares by position", ("Of the rows of a class that reach the position.",), tuple(figures), "small", colours
        ),
    )


def _lengths(classes: RowClasses, lengths: Sequence[LengthShares]) -> Part:
    columns = ("length", "rows", *classes.names)
    rows = []
    for each in lengths:
        total = sum(each.counts)
        name = f"{each.shortest}" if each.shortest == each.longest else f"{each.shortest} to {each.longest}"
        rows.append((name, count(total), *(f"{n / total:.3f}" for n in each.counts)))
    listing = Listing("Share of each class among the rows of a length.", columns, tuple(rows), frozenset(columns[1:]))
    return Part("Classes by length", tables=(listing,))
