"""Numbers, names and settings as a person reads them.

Three digits; an interval's ends to the same decimals; powers of ten for what is very large or small.
"""

# ruff: noqa: RUF002  the examples show the very signs
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from seqloom.stats import Interval

MINUS, TIMES, DASH = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SMALLEST, LARGEST = 1e-3, 1e5
"""Numbers beyond these are written with a power of ten."""
MOST_DECIMALS = 6
UNDEFINED = "undefined"


class Parts(NamedTuple):
    """An interval as text: the value, and its bounds in brackets (empty if there are none)."""

    value: str
    bounds: str


def number(value: float | None) -> str:
    """Three digits.

    >>> number(0.75549), number(1.0), number(-12.34), number(4321), number(16_538_792.0), number(None)
    ('0.755', '1.00', '−12.3', '4,320', '1.65×10⁷', 'undefined')
    """
    if value is None or not math.isfinite(value):
        return UNDEFINED
    if value == 0:
        return "0"
    exponent, decimals = _scale(value)
    return _fixed(value, exponent, decimals) + _power(exponent)


def parts(score: Interval, *, signed: bool = False) -> Parts:
    """The value and its bounds, all to the same decimals: three below 10, so that scores line up in a column.

    `signed`: show more where a bound is not 0 but would look it, because its sign is what matters.

    >>> parts(Interval(0.7549, 0.742, 0.767))
    Parts(value='0.755', bounds='(0.742–0.767)')
    >>> parts(Interval(0.003, -0.0004, 0.0062), signed=True)
    Parts(value='0.0030', bounds='(−0.0004 to 0.0062)')
    >>> parts(Interval(1.654e7, 1.351e7, 1.923e7))
    Parts(value='1.65', bounds='(1.35–1.92) ×10⁷')
    >>> parts(Interval(0.5, math.nan, math.nan))
    Parts(value='0.500', bounds='(no interval)')
    """
    if math.isnan(score.value):
        return Parts(UNDEFINED, "")
    if math.isnan(score.low) or math.isnan(score.high):
        return Parts(number(score.value), "(no interval)")
    shown = (score.value, score.low, score.high)
    exponent, decimals = _scale(*shown)
    if exponent == 0:
        decimals = 3 if decimals >= 2 else decimals
        while signed and decimals < MOST_DECIMALS and any(each and round(each, decimals) == 0 for each in shown[1:]):
            decimals += 1
    value, low, high = (_fixed(each, exponent, decimals) for each in shown)
    power = f" {_power(exponent)}" if exponent else ""
    return Parts(value, f"({low}{' to ' if score.low < 0 else DASH}{high}){power}")


def interval(score: Interval) -> str:
    """`0.755 (0.742–0.767)`."""
    return " ".join(filter(None, parts(score)))


def count(value: float) -> str:
    """A whole number with commas."""
    return f"{value:,.0f}"


def plural(n: int, what: str) -> str:
    """A count and a word that follows it."""
    return f"{count(n)} {what}{'' if n == 1 else 's'}"


def named(columns: Sequence[str], most: int) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(columns) - most} more" if len(columns) > most else ""
    return ", ".join(columns[:most]) + more


def recipe(settings: Mapping[str, Any]) -> str:
    """`cnn (width = 64, kernel = 5)` of a section with its `kind`."""
    rest = ", ".join(f"{name} = {plain(value)}" for name, value in settings.items() if name != "kind")
    return f"{settings.get('kind', '')}{f' ({rest})' if rest else ''}"


def plain(value: Any) -> str:
    """The value of a setting."""
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None or value == "" else f"{value:g}" if isinstance(value, float) else str(value)


def duration(seconds: float | None) -> str:
    """Seconds below two minutes, then minutes, then hours; empty if unknown.

    >>> duration(0.71), duration(45.3), duration(140), duration(9000), duration(None)
    ('0.7 s', '45 s', '2 min', '2.5 h', '')
    """
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _scale(*shown: float) -> tuple[int, int]:
    """A power of ten (0: none) and decimals that give the largest of the numbers three digits."""
    largest = max(map(abs, shown))
    if largest == 0:
        return 0, 2
    digits = math.floor(math.log10(largest))
    return (0, max(0, 2 - digits)) if SMALLEST <= largest < LARGEST else (digits, 2)


def _fixed(value: float, exponent: int, decimals: int) -> str:
    scaled = value / 10.0**exponent
    if exponent == 0 and abs(scaled) >= 1000:
        scaled = float(f"{scaled:.3g}")
    return f"{round(scaled, decimals) + 0.0:,.{decimals}f}".replace("-", MINUS)


def _power(exponent: int) -> str:
    return f"{TIMES}10{str(exponent).translate(SUPERSCRIPTS)}" if exponent else ""
