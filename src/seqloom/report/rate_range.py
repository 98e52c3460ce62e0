"""The page of learning-rate range tests: the loss of every net against the rate, and how little that decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.ticker import LogLocator, MaxNLocator

from seqloom.report.page import Figure, Listing, Page, Part, page_html
from seqloom.report.svg import COLOURS, Line, Pen, as_svg, draw, new_figure, readable
from seqloom.report.words import count, plural

if TYPE_CHECKING:
    from seqloom.rates import Swept

PENS = ("c1", "c3", "c4", "c5")
HOW = (
    "One batch a step, at a rate that rises with every step from a millionth to 10; batches, loss and optimiser are those of the"
    " training of fold 0, whose training rows alone are used. Points: the loss of a batch. Lines: the same smoothed over the"
    " logarithm of the rate, one for each seed. Orange, dashed: where it falls fastest; dotted: a tenth of the rate at which it"
    " turns upward."
)
ROUGH = (
    "Read it roughly, within a factor of three to ten either way: the rate rises while the net learns, so a step says as much of"
    " all steps before it as of its rate; batches are few and noisy; schedule, warm-up and early stopping play no part; and what"
    " lowers the training loss fastest is not what predicts new rows best. It saves trying rates that cannot work. Which of the"
    " others is best, valid rows tell:"
)


def rates_html(table: str, found: Sequence[Swept], others: Sequence[str]) -> str:
    """The page for nets of one table; `others`: names of models that are no nets."""
    facts = [("table", table), ("rates", "1e-6 to 10"), ("sweeps", f"{len(found[0].sweeps)} seeds of every net")]
    if others:
        facts.append(("no nets", ", ".join(others)))
    return page_html(
        Page(
            eyebrow="seqloom tune --rates",
            title=f"Learning rates worth trying on {table}",
            verdict="; ".join(f"{each.variant.name}: {each.text}" for each in found),
            facts=tuple(facts),
            parts=(*(_part(place, each) for place, each in enumerate(found)), _advice(found)),
            footer="The numbers of this page are in rates.csv and rates.json beside it.",
        )
    )


def _part(place: int, swept: Swept) -> Part:
    train = swept.variant.train
    shown = f"{plural(swept.n_rows, 'training row')}, {train.optimizer}, {train.batch} rows a batch"
    columns = ("seed", "steps", "falls fastest at", "turns upward at", "a tenth of that", "ended")
    rows = tuple(
        (
            f"{sweep.seed}",
            count(len(sweep.rates)),
            _rate(reading.fastest),
            _rate(reading.turn),
            _rate(reading.turn / 10),
            f"diverged at {_rate(float(sweep.rates[-1]))}"
            if sweep.diverged and len(sweep.rates)
            else "at the highest rate",
        )
        for sweep, reading in zip(swept.sweeps, swept.readings, strict=True)
    )
    text = swept.text[0].upper() + swept.text[1:]
    return Part(
        swept.variant.name,
        (f"{shown}.", *((HOW,) if place == 0 else ())),
        (Figure(_chart(f"rates-{place}", swept), text=f"{text}."),),
        tables=(Listing("What each sweep tells.", columns, rows, frozenset(columns[:5])),),
    )


def _chart(key: str, swept: Swept) -> str:
    """Losses against rates, cut off above the level they began at."""
    figure, axes = new_figure(560, 300)
    levels, lows = [], []
    for place, each in enumerate(swept.sweeps):
        if len(each.rates):
            pen = Pen(PENS[place % len(PENS)])
            axes.plot(
                each.rates, each.losses, "o", markersize=2, markeredgewidth=0, color=COLOURS[pen.colour], alpha=0.35
            )
            draw(axes, Line(each.rates, each.smoothed, pen))
            levels.append(float(each.losses[: each.per_decade].max()))
            lows.append(float(min(each.losses.min(), each.smoothed.min())))
    for rate, dashes in ((swept.fastest, (4, 3)), (swept.tenth, (1, 2))):
        if not math.isnan(rate):
            axes.axvline(rate, color=COLOURS["c2"], linewidth=1.4, linestyle=(0, dashes))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=9))
    axes.xaxis.set_minor_locator(LogLocator(subs=()))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if levels:
        room = 0.15 * ((max(levels) - min(lows)) or 1.0)
        frame = (min(lows) - room / 2, max(levels) + room)
        axes.set_ylim(frame)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_ylabel("loss of the batch" + readable(axes.yaxis, frame, log=False))
    axes.set_xlabel("learning rate")
    return as_svg(figure, key, f"training loss of {swept.variant.name} by learning rate")


def _advice(found: Sequence[Swept]) -> Part:
    rows = tuple(
        (each.variant.name, f"--vary train.lr={','.join(f'{rate:g}' for rate in each.worth_trying)}")
        for each in found
        if each.worth_trying
    )
    tables = (Listing("Compare, or tune, with these.", ("net", "setting"), rows),) if rows else ()
    return Part("What to make of it", (ROUGH,), tables=tables)


def _rate(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2g}"
