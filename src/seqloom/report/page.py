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

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Figure:
    """A drawing (SVG) with a heading and a line of text."""

    svg: str
    title: str = ""
    text: str = ""

    def __html__(self) -> str:
        return self.svg


@dataclass(frozen=True)
class Listing:
    """A table of text; the first cell of a row names it, columns in `numbers` stand to the right."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Part:
    """A heading and what stands below it. `colours`: colours of the page, and what each stands for in the figures."""

    title: str
    texts: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    size: Literal["small", "large"] = "large"
    colours: Sequence[tuple[str, str]] = ()
    tables: tuple[Listing, ...] = ()


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
