"""Answers as they are shown: which figures and tables stand on a page of `explain`, in which words, and in which files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seqloom.explain.embedding_map import Asked, EmbeddingMap, agreement_text, coordinates, embedding_maps, read_methods
from seqloom.explain.properties import N_PARTNERS
from seqloom.explain.worst import MOST_FROM_AN_END, Q, Residues, Worst, read_amount, worst_rows
from seqloom.files import write_text
from seqloom.prediction import write_table
from seqloom.report.page import Figure, Listing, Page, Part, page_html
from seqloom.report.plots import histogram
from seqloom.report.residues import ordered as in_order
from seqloom.report.residues import position_chart, residue_map, shade_strip
from seqloom.report.words import MINUS, count, number, plural
from seqloom.run import Member

TITLES = {"pca": "Principal components", "tsne": "t-SNE", "umap": "UMAP"}
FULL = 3.0
"""Of log2 odds: from here on a cell has its full colour."""
MOST_ROWS = 200
"""Of the worst rows, so many are on the page; all are in the file."""
MOST_TOLD = 15


def answer_embedding(
    folder: Path,
    methods: str,
    colour: str,
    perplexity: float | None,
    fold: int | None,
    seed: int | None,
    *,
    whole: bool,
) -> dict[str, Any]:
    """The facts of `--embedding`; `embedding.html` and `embedding.csv` are written."""
    asked = Asked(read_methods(methods), colour, perplexity, fold, seed, whole)
    member, found = embedding_maps(folder, asked)
    page, table = folder / "explain" / "embedding.html", folder / "explain" / "embedding.csv"
    write_text(page, page_html(_embedding_page(folder, member, found)))
    write_table(coordinates(found), table)
    return {
        "page": page.as_posix(),
        "table": table.as_posix(),
        "fold": member.fold,
        "seed": member.seed,
        "columns": [_embedding_facts(each) for each in found],
    }


def answer_worst(folder: Path, amount: str, target: str, source: Any) -> dict[str, Any]:
    """The facts of `--worst`; `worst.html`, `worst.csv` and, where there are enough rows, `worst-residues.csv` are written."""
    found = worst_rows(folder, read_amount(amount), target, source)
    page, table = folder / "explain" / "worst.html", folder / "explain" / "worst.csv"
    write_text(page, page_html(_worst_page(folder, found)))
    write_table(found.table, table)
    residues = [each for own in found.residues for each in residue_facts(own)]
    return {
        "page": page.as_posix(),
        "table": table.as_posix(),
        "how": found.how,
        "unit": found.unit,
        "test_rows": len(found.errors),
        "rows": found.table.num_rows,
        "threshold": found.threshold,
        "too_low": found.too_low,
        "residues": residues,
        "tests": sum(int((~np.isnan(own.contrast.p)).sum()) for own in found.residues),
    }


def residue_facts(own: Residues) -> list[dict[str, Any]]:
    """Residues that stand otherwise among the worst rows, by p, the first `MOST_TOLD` and all below the false discovery rate."""
    order = np.argsort(np.where(np.isnan(own.contrast.p), np.inf, own.contrast.p), axis=None, kind="stable")
    facts: list[dict[str, Any]] = []
    for at in order:
        place, k = np.unravel_index(at, own.contrast.p.shape)
        q = float(own.contrast.q[place, k])
        if np.isnan(q) or (len(facts) >= MOST_TOLD and q >= Q):
            break
        facts.append(
            {
                "column": own.column,
                "position": own.counts.positions[place],
                "symbol": own.counts.symbols[k],
                "worst": [int(own.counts.counts[1, place, k]), int(own.counts.rows[1, place])],
                "others": [int(own.counts.counts[0, place, k]), int(own.counts.rows[0, place])],
                "log2_odds": float(own.contrast.log2_odds[place, k]),
                "p": float(own.contrast.p[place, k]),
                "q": q,
            }
        )
    return facts


def _embedding_facts(each: EmbeddingMap) -> dict[str, Any]:
    own, agreed = each.embedding, each.agreement
    return {
        "column": own.column,
        "alphabet": own.alphabet.name,
        "symbols": own.symbols,
        "never_in_training": own.unmet,
        "width": own.vectors.shape[1],
        "vectors": "added by training" if own.learnt else "whole",
        "moved": own.moved,
        "colour": each.colour.name,
        "maps": [{"method": drawn.method, "how": drawn.how, "places": drawn.places} for drawn in each.maps],
        "nearest": [own.symbols[place] for place in own.nearest],
        "blosum62": None
        if agreed is None
        else {
            "agreeing": int(agreed.agreeing.sum()),
            "of": len(own.symbols),
            "agreeing_whole": each.whole,
            "partners": N_PARTNERS,
            "by_chance": agreed.by_chance[0],
            "by_chance_low": agreed.by_chance[1],
            "by_chance_high": agreed.by_chance[2],
            "p": agreed.p,
            "members": [{"fold": m.fold, "seed": m.seed, "agreeing": n} for m, n in each.by_member.items()],
        },
        "text": agreement_text(each),
    }


def _embedding_page(folder: Path, member: Member, found: tuple[EmbeddingMap, ...]) -> Page:
    texts = list(filter(None, (agreement_text(each) for each in found)))
    name = folder.resolve().name
    return Page(
        eyebrow=f"seqloom explain · {name}",
        title=f"What {name} has learnt of single symbols",
        verdict="; ".join(texts)
        or f"{plural(len(found[0].embedding.symbols), 'symbol')}, each by the vector the net reads",
        facts=(
            ("member", f"fold {member.fold}, seed {member.seed}"),
            *(
                (
                    each.embedding.column,
                    f"{len(each.embedding.symbols)} vectors of {each.embedding.vectors.shape[1]} numbers",
                )
                for each in found
            ),
            ("colour", found[0].colour.text),
        ),
        parts=tuple(_embedding_part(place, each) for place, each in enumerate(found)),
        footer="The numbers of this page are in embedding.csv beside it.",
    )


def _embedding_part(place: int, each: EmbeddingMap) -> Part:
    own, colour = each.embedding, each.colour
    figures = []
    for drawn in each.maps:
        svg = residue_map(
            f"{drawn.method}-{place}",
            f"map of {len(own.symbols)} symbols",
            drawn.places,
            own.symbols,
            colour.shades,
            drawn.axes,
            ticks=drawn.method == "pca",
        )
        figures.append(Figure(svg, TITLES[drawn.method], f"{drawn.how[0].upper()}{drawn.how[1:]}."))
    reach = float(np.abs(colour.values - colour.middle).max())
    ends = [number(float(f"{value:.3g}")) for value in (colour.middle - reach, colour.middle, colour.middle + reach)]
    figures.append(Figure(shade_strip(f"shades-{place}", *ends), colour.text[0].upper() + colour.text[1:]))
    texts = [
        "One member is drawn: another seed turns and mirrors its axes freely, so a mean over members would mean nothing."
    ]
    if any(drawn.method != "pca" for drawn in each.maps):
        texts[0] += " t-SNE and UMAP keep neighbours, not distances; their axes have no unit."
    texts.insert(0, _drawn_text(each))
    if own.unmet:
        texts.append(
            f"Not drawn, as no training sequence has them and their vectors are still random: {', '.join(own.unmet)}."
        )
    if each.by_member and len(each.by_member) > 1:
        agreeing = ", ".join(f"{n} (fold {m.fold} seed {m.seed})" for m, n in each.by_member.items())
        texts.append(f"Residues that agree with BLOSUM62 in every member: {agreeing}.")
    rows = []
    for k, symbol in enumerate(own.symbols):
        met = "" if own.counts is None else count(own.counts[k])
        agreed = "" if each.agreement is None else ("yes" if each.agreement.agreeing[k] else "no")
        rows.append((symbol, met, number(float(colour.values[k])), own.symbols[own.nearest[k]], agreed))
    columns = ("symbol", "in training sequences", colour.name, "nearest", f"among {N_PARTNERS} best of BLOSUM62")
    listing = Listing("Nearest by Euclidean distance between vectors.", columns, tuple(rows), frozenset(columns[1:3]))
    return Part(f"Map of {own.column}", tuple(texts), tuple(figures), tables=(listing,))


def _drawn_text(each: EmbeddingMap) -> str:
    """Of which vectors maps are drawn, and why."""
    own = each.embedding
    if not own.learnt:
        return "Vectors are drawn as the net reads them. They begin at random, and may show that more than what was learnt."
    agreed = "" if each.whole is None else f" (as they are, {each.whole} residues agree with BLOSUM62)"
    return (
        f"Drawn is what training has added to the vectors, {own.moved:.0%} of their length: they begin at random, and as the net"
        f" reads them they show that more than what was learnt{agreed}; --whole draws them so."
    )


def _worst_page(folder: Path, found: Worst) -> Page:
    name, n = folder.resolve().name, found.table.num_rows
    sides = f", {count(found.too_low)} of them predicted too low" if found.direction else ""
    told = [each for own in found.residues for each in residue_facts(own) if each["q"] < Q]
    first = ", ".join(f"{each['symbol']} at {each['position']}" for each in told[:5])
    residues = (
        f"; residues that stand otherwise among them: {first}{' and more' if len(told) > 5 else ''}" if told else ""
    )
    if not told and found.residues:
        residues = "; no residue stands otherwise among them than among the other test rows"
    return Page(
        eyebrow=f"seqloom explain · {name}",
        title=f"What {name} gets most wrong",
        verdict=f"{count(n)} of {count(len(found.errors))} test rows{sides}{residues}",
        facts=(
            ("rows", found.how),
            ("error", found.unit),
            ("mean error of all test rows", number(float(found.errors.mean()))),
        ),
        parts=(
            _error_part(found),
            *(_residue_part(place, own) for place, own in enumerate(found.residues)),
            _row_part(found),
        ),
        footer="The rows of this page are in worst.csv beside it.",
    )


def _error_part(found: Worst) -> Part:
    counts, edges = np.histogram(found.errors, bins=40)
    svg = histogram("errors", "test rows by error", edges, counts, "error", "test rows")
    texts = [f"Test rows by error ({found.unit})."]
    if found.threshold is not None:
        texts[0] += f" The rows below are right of {number(found.threshold)}."
    return Part("Errors", tuple(texts), (Figure(svg),))


def _residue_part(place: int, own: Residues) -> Part:
    order = in_order(own.counts.symbols)
    symbols = "".join(own.counts.symbols[k] for k in order)
    positions = np.array(own.counts.positions)
    figures = []
    for side, text in ((positions > 0, "From the first symbol"), (positions < 0, "From the last symbol")):
        if side.any():
            values, q = own.contrast.log2_odds[side][:, order], own.contrast.q[side][:, order]
            key = f"chart-{place}-{'first' if side[0] else 'last'}"
            label = "log odds of residues by position among the worst rows"
            with np.errstate(invalid="ignore"):
                svg = position_chart(key, label, values, q < Q, positions[side].tolist(), symbols, FULL)
            figures.append(Figure(svg, text if (positions < 0).any() else ""))
    text = (
        f"Orange: more often there among the worst rows than among the other test rows, blue: less often; full colour from"
        f" {FULL:g} on in log2 odds. Dots: Fisher's exact test with a false discovery rate (Benjamini-Hochberg) below {Q:.0%}."
        " Rows are taken as independent of each other, so relatives among them make it look surer than it is."
    )
    if positions.max() == MOST_FROM_AN_END:
        text += f" Up to {MOST_FROM_AN_END} positions from either end are looked at."
    columns = ("residue", "position", "worst rows", "other rows", "log2 odds", "p", "false discovery rate")
    rows = tuple(
        (
            each["symbol"],
            f"{each['position']}".replace("-", MINUS),
            "{} of {}".format(*map(count, each["worst"])),
            "{} of {}".format(*map(count, each["others"])),
            number(each["log2_odds"]),
            number(each["p"]),
            number(each["q"]),
        )
        for each in residue_facts(own)
    )
    listing = Listing("The smallest p first.", columns, rows, frozenset(columns[1:]))
    return Part(f"Residues of {own.column} by position", (text,), tuple(figures), tables=(listing,))


def _row_part(found: Worst) -> Part:
    shown = found.table.slice(0, MOST_ROWS)
    names = tuple(found.table.column_names)
    rows = tuple(
        tuple(
            number(each) if isinstance(each, float) else count(each) if isinstance(each, int) else str(each)
            for each in row.values()
        )
        for row in shown.to_pylist()
    )
    text = f"Values are in the units of the table; error: predicted - true, as {found.unit}." if found.direction else ""
    if found.direction < 0:
        text += " There, a large value is a small one in the table: an error above 0 is a prediction that is too low."
    more = f" The first {MOST_ROWS} of {count(found.table.num_rows)}." if found.table.num_rows > MOST_ROWS else ""
    listing = Listing(f"Largest errors first.{more}", names, rows, frozenset(("row", "true", "predicted", "error")))
    return Part("Rows", tuple(filter(None, (text,))), tables=(listing,))
