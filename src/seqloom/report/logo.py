"""Sequence logos: what stands in each column of several alignments, one above the other, as small SVG.

The height of a column is its information, the height of a letter its share of it. A letter is drawn once for the whole figure and
used wherever it stands; colours tell the chemistry of residues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from markupsafe import escape

from seqloom.alphabet import DNA, PROTEIN, RNA, Alphabet

CHEMISTRY = {
    PROTEIN.name: (("KRH", "c1", "basic"), ("DE", "c2", "acidic"), ("NQST", "c3", "polar"), ("FWY", "c4", "aromatic"),
                   ("GPC", "c5", "G, P and C"), ("AVLIM", "ink", "aliphatic")),
    DNA.name: (("A", "c3", "A"), ("C", "c1", "C"), ("G", "c5", "G"), ("T", "c2", "T")),
    RNA.name: (("A", "c3", "A"), ("C", "c1", "C"), ("G", "c5", "G"), ("U", "c2", "U")),
}  # fmt: skip
"""By alphabet: letters, their colour of the page, and what they have in common."""
PER_LINE = 45
"""Columns of a line."""
MOST_COLUMNS = 300
"""Columns that are drawn: of longer families the first ones."""
CELL, TALL, TITLE, TICKS, GAP, MARGIN = 16.0, 54.0, 16.0, 16.0, 14.0, 30.0
"""Pixels: the width of a column, the height of a full one, of lines of names and of numbers, between lines, on the left."""
LEAST = 0.9
"""Pixels: lower letters cannot be read, and are half of all there are."""
EM = 100
"""Units of a glyph on each side."""
NARROW = 1.35
"""A letter is drawn so many times wider than it is in the font beside an H, at most as wide as its column."""


@dataclass(frozen=True, eq=False)
class Stack:
    """What is drawn of one alignment of K columns: its name, and bits of each of A letters, float64 (K, A)."""

    name: str
    bits: np.ndarray


def letter_bits(frequency: np.ndarray, n: int) -> np.ndarray:
    """Bits of each letter in each column, float64 (K, A), from shares of A letters and of a gap, (K, A + 1), of n sequences.

    The information of a column, log2 A less its entropy, less what so few sequences make it seem (Schneider et al. 1986,
    doi:10.1016/0022-2836(86)90165-8), times its share of letters, is divided among the letters by their shares.

    >>> letter_bits(np.array([[1.0, 0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25, 0]]), 10**9).round(2).tolist()
    [[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    letters = frequency[:, :-1]
    filled = letters.sum(axis=1, keepdims=True)
    share = letters / np.maximum(filled, 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(share > 0, share * np.log2(share), 0.0).sum(axis=1, keepdims=True)
    n_letters = letters.shape[1]
    seeming = (n_letters - 1) / (2 * np.log(2) * np.maximum(n * filled, 1.0))
    bits: np.ndarray = share * filled * np.maximum(np.log2(n_letters) - entropy - seeming, 0.0)
    return bits


def logo(key: str, label: str, stacks: Sequence[Stack], alphabet: Alphabet) -> str:
    """The logos as an `<svg>` element, `PER_LINE` columns of every stack one above the other, then the next columns.

    `key` is its id in the page; `label` says what it shows. All stacks have the same columns.
    """
    letters = alphabet.standard
    n_columns = min(len(stacks[0].bits), MOST_COLUMNS) if stacks else 0
    most = float(np.log2(len(letters)))
    drawn: list[str] = []
    top = 0.0
    for start in range(0, n_columns, PER_LINE):
        columns = range(start, min(start + PER_LINE, n_columns))
        for stack in stacks:
            drawn.append(f'<text x="{MARGIN:g}" y="{top + TITLE - 5:g}">{escape(stack.name)}</text>')
            top += TITLE + TALL
            drawn.append(_axis(top, len(columns), most))
            drawn += [_column(key, stack.bits[each], letters, each - start, top, most) for each in columns]
        drawn += [_number(each + 1, each - start, top) for each in columns if (each + 1) % 5 == 0 or each == start]
        top += TICKS + GAP
    width = MARGIN + PER_LINE * CELL
    glyphs = "".join(_glyph_definition(key, letter, alphabet) for letter in letters)
    style = (
        f"<style>#{key} text{{font-size:11px;fill:currentColor}}#{key} .n{{font-size:9px;fill:var(--muted)}}</style>"
    )
    view = f"0 0 {width:g} {max(top - GAP, 1):g}"
    return (
        f'<svg id="{key}" viewBox="{view}" role="img" aria-label="{escape(label)}">{style}<defs>{glyphs}</defs>'
        f"{''.join(drawn)}</svg>"
    )


def _axis(base: float, n_columns: int, most: float) -> str:
    right = MARGIN + n_columns * CELL
    return (
        f'<path d="M{MARGIN - 3:g} {base - TALL:g}V{base:g}H{right:g}" style="fill:none;stroke:var(--rule)"/>'
        f'<text class="n" x="{MARGIN - 6:g}" y="{base - TALL + 8:g}" text-anchor="end">{most:.1f}</text>'
        f'<text class="n" x="{MARGIN - 6:g}" y="{base:g}" text-anchor="end">0</text>'
    )


def _number(number: int, place: int, base: float) -> str:
    at = MARGIN + (place + 0.5) * CELL
    return f'<text class="n" x="{at:g}" y="{base + 12:g}" text-anchor="middle">{number}</text>'


def _column(key: str, bits: np.ndarray, letters: str, place: int, base: float, most: float) -> str:
    """The letters of a column, the largest on top."""
    heights = bits / most * TALL
    x, y = MARGIN + place * CELL, base
    uses = []
    for index in np.argsort(heights, kind="stable").tolist():
        height = float(heights[index])
        if height < LEAST:
            continue
        scale = f"{CELL / EM:g} 0 0 {height / EM:.3f}".replace("0.", ".")
        uses.append(f'<use href="#{key}-{letters[index]}" transform="matrix({scale} {x:g} {y:.1f})"/>')
        y -= height
    return "".join(uses)


def _glyph_definition(key: str, letter: str, alphabet: Alphabet) -> str:
    colours = {each: colour for own, colour, _ in CHEMISTRY[alphabet.name] for each in own}
    return f'<path id="{key}-{letter}" d="{_glyph(letter)}" style="fill:var(--{colours.get(letter, "muted")})"/>'


@lru_cache
def _glyph(letter: str) -> str:
    """The outline of a letter that stands on y = 0 and fills -EM..0, as wide as 0..EM unless it is a narrow one."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="DejaVu Sans", weight="bold")
    outline, usual = (TextPath((0, 0), each, size=EM, prop=font) for each in (letter, "H"))
    box, wide = outline.get_extents(), float(usual.get_extents().width)
    width = EM * 0.94 * min(1.0, NARROW * float(box.width) / wide)
    across, up = width / float(box.width), EM / float(box.height)
    left = (EM - width) / 2
    text = []
    for points, code in outline.iter_segments():
        pairs = np.reshape(points, (-1, 2))
        places = [f"{(x - box.x0) * across + left:.0f} {-(y - box.y0) * up:.0f}" for x, y in pairs]
        text.append({1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}[int(code)] + ("" if code == 79 else " ".join(places)))
    return "".join(text)
