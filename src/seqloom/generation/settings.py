"""The sections of an experiment with generators that others do not have, and which of them may differ between variants."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator

from seqloom.generate.settings import GeneratorTraining
from seqloom.registry import Recipe
from seqloom.sections import Frame
from seqloom.table import DataSection

RANGE = re.compile(r"(\d+)\.\.(\d+)")


class NaturalSection(Recipe):
    """The `[natural]` section: which sequences of the table a generator learns from."""

    lengths: str = "auto"
    """Lengths that are kept, such as `60..128`; `auto` leaves out those far from the others: beyond three times the distance of
    the quartiles, of the logarithm of the length."""
    matching: str = ""
    """Keep sequences in which this regular expression is found, such as `^M`."""
    gaps: Literal["stop", "strip"] = "stop"
    """Of sequences with `-` or `.`, as in an alignment: stop and say so, or `strip` the gaps."""
    condition: tuple[str, ...] = ()
    """Columns that samples are to be conditioned on: numbers, standardised, or classes; `column:fingerprint` takes SMILES as the
    bits of a Morgan fingerprint. Rows where one is missing are left out."""

    @field_validator("lengths")
    @classmethod
    def _lengths(cls, value: str) -> str:
        found = RANGE.fullmatch(value)
        if value != "auto" and (found is None or int(found[1]) > int(found[2])):
            raise ValueError("give the shortest and the longest length, such as 60..128, or auto")
        return value

    @field_validator("matching")
    @classmethod
    def _matching(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return value

    @property
    def bounds(self) -> tuple[int, int] | None:
        """Shortest and longest length; None where they are to be found."""
        found = RANGE.fullmatch(self.lengths)
        return None if found is None else (int(found[1]), int(found[2]))


class SampleSection(Recipe):
    """The `[sample]` section: what is drawn of a generator to judge it."""

    n: Annotated[int, Field(ge=1)] = 1000
    """Samples that are judged."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the symbols: below 1 samples are more usual and less diverse."""
    truncation: Annotated[float, Field(gt=0)] = 1.0
    """Of a gan: how far from the middle of its latent space samples are drawn."""
    prefix: str = ""
    """Symbols that every sample begins with."""


class JudgeSection(Recipe):
    """The `[judge]` section: what samples are held against."""

    decoys: str = ""
    """Path of a table of other families, by which the specificity of samples is judged; none without it."""
    label: str = ""
    """Column of the families in the decoys; found without it where there is one column of classes."""
    rules: dict[str, str] = Field(default_factory=dict)
    """Rules of your own beside the usual ones: a name, and a regular expression that a good sequence matches, as in
    `{signature = "G.G..G"}`. Their shares are tracked during training, too."""
    draws: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap draws of every interval."""
    effort: Literal["standard", "deep"] = "standard"
    """`deep` adds statistics of words of many columns, which take minutes."""


PLAIN: Mapping[str, type[Recipe]] = {
    "data": DataSection, "natural": NaturalSection, "train": GeneratorTraining, "sample": SampleSection, "judge": JudgeSection,
}  # fmt: skip
GENERATORS = Frame(
    sections=("data", "natural", "split", "generator", "train", "sample", "judge"),
    main="generator",
    varied=("generator", "train", "sample"),
    paths=(("data", "table"), ("data", "patch"), ("judge", "decoys")),
)
"""How the file of such an experiment is laid out."""
