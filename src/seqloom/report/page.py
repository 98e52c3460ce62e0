"""A page that is no report of a comparison: a sentence that answers, then parts of words, figures and tables.

Decides how such pages are laid out, in the dress of the reports. What they say is made by those who answer the question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import jinja2
from markupsafe import Markup

from seqloom.report.words import Parts

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Figure:
    """A drawing (SVG) with a heading and a line of text."""

    svg: str
    title: str = ""
    text: str = ""

    def __html__(self) -> str:
        return self.svg


Cell = str | Parts
"""Text, or a number with what stands in small print below it."""


@dataclass(frozen=True)
class Listing:
    """A table of text; the first cell of a row names it, columns in `numbers` stand to the right, those in `code` hold symbols
    that are read one by one."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[str] = frozenset()
    code: frozenset[str] = frozenset()
    broad: bool = False
    """Of many columns: narrow ones, and as wide as the window is, beyond the text."""


@dataclass(frozen=True)
class Block:
    """Lines whose symbols stand one below the other, such as an alignment, under a line that says what they are."""

    caption: str
    text: str


@dataclass(frozen=True)
class Fold:
    """What is opened by who wants to see it: its title is there, the rest below it."""

    title: str
    texts: tuple[str, ...] = ()
    tables: tuple[Listing, ...] = ()
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Part:
    """A heading and what stands below it. `colours`: colours of the page, and what each stands for in the figures."""

    title: str
    texts: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    size: Literal["small", "large", "wide"] = "large"
    colours: Sequence[tuple[str, str]] = ()
    tables: tuple[Listing, ...] = ()
    blocks: tuple[Block, ...] = ()
    folds: tuple[Fold, ...] = ()


@dataclass(frozen=True)
class Page:
    """All of a page. `facts`: terms and what they are; `footer`: where its numbers are found as files."""

    eyebrow: str
    title: str
    verdict: str
    facts: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    footer: str


def page_html(page: Page) -> str:
    """The page: self-contained, no scripts, no network."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    drawn = {"page": page, "style": _style(), "version": version("seqloom")}
    return environment.get_template("page.html").render(drawn)


def _style() -> Markup:
    """The style sheet of the reports, which is kept in their template."""
    text = (HERE / "template.html").read_text("utf-8")
    start = text.index("<style>", text.index("<title>")) + len("<style>")
    return Markup(text[start : text.index("</style>", start)])
