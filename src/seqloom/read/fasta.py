"""FASTA: records as columns id, description, sequence, and what the headers say beyond that.

The text is parsed with array operations over its bytes; nothing loops over residues or records. Header conventions:
biotrainer's `KEY=value` words (TARGET, SET, VALIDATION, MASK), DeepLoc's `>accession Location-M set`, and headers whose
fields (split at `|`, or at blanks) are as many in every record, which become columns header_1, header_2, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.errors import ConfigError, DataError
from seqloom.findings import Finding, finding
from seqloom.read.source import Contents, holds_byte

NOT_SPACE = np.ones(256, bool)
NOT_SPACE[np.frombuffer(b" \t\r\n\v\f", np.uint8)] = False
KEYS = ("TARGET", "SET", "VALIDATION", "MASK")
MOST_FIELDS = 20
"""Headers of more fields than this are prose, not a table."""
DATABASES = ("sp|", "tr|")
"""UniProt headers have a grammar of their own; their fields are no columns."""
DEEPLOC = r"^(?P<id>\S+) (?P<location>[A-Z][A-Za-z./-]+)-(?P<membrane>[MSU])(?: (?P<set>train|test|valid|validation))?$"
"""DeepLoc (Almagro Armenteros et al. 2017): M membrane, S soluble, U unknown."""


class Records(NamedTuple):
    """What a FASTA file holds."""

    columns: pa.Table
    convention: str
    """`DeepLoc` or `biotrainer` where the headers follow it, else empty."""
    findings: list[Finding]


def read_fasta(contents: Contents, patterns: Sequence[str] = ()) -> Records:
    """The records of a FASTA file; white space inside and between them is left out and reported.

    `patterns`: regular expressions over headers, tried in turn, whose named groups are columns as well. A record without
    residues is kept; `seqloom.check` reports it. Raises DataError when text stands before the first header, when there is no
    record, and when no header matches; ConfigError for a pattern that is none.
    """
    text = _with_newlines(contents.array)
    layout = _layout(text, contents)
    headers = pc.utf8_trim_whitespace(_header_text(text, layout))
    words = pc.extract_regex(headers, r"^(?P<id>\S*)\s*(?P<description>(?s:.*))$")
    ids = pc.struct_field(words, "id")
    columns = {
        "id": pc.if_else(pc.equal(ids, ""), None, ids),
        "description": pc.struct_field(words, "description"),
        "sequence": _sequence_text(text, layout),
    }
    found = _findings(text, layout, contents, headers)
    if patterns:
        return Records(pa.table(columns | _matched(headers, patterns, contents, found)), "", found)
    beyond, convention = _header_columns(headers, contents, found)
    return Records(pa.table(columns | beyond), convention, found)


def _matched(
    headers: pa.Array, patterns: Sequence[str], contents: Contents, found: list[Finding]
) -> dict[str, pa.Array]:
    """The named groups of the first pattern that matches each header, null where none does or the group is empty."""
    columns: dict[str, pa.Array] = {}
    unmatched = np.ones(len(headers), bool)
    for pattern in patterns:
        try:
            matches = pc.extract_regex(headers, pattern)
        except pa.ArrowInvalid as error:
            raise ConfigError(
                f"[data] header = {pattern!r}: {error}; write a regular expression (RE2) in which every group has a name, as in "
                "'class (?P<class>[A-D])'; a group without a name is written (?:...)"
            ) from None
        if not matches.type.num_fields:
            raise ConfigError(
                f"[data] header = {pattern!r} names no group; write what becomes a column as (?P<name>...)"
            )
        first = pa.array(unmatched) if columns else None
        for field in matches.type:
            values = pc.struct_field(matches, field.name)
            values = pc.if_else(pc.equal(values, ""), None, values).cast(pa.large_string())
            own = values if first is None else pc.if_else(first, values, None)
            columns[field.name] = pc.coalesce(columns[field.name], own) if field.name in columns else own
        unmatched &= matches.is_null().to_numpy(zero_copy_only=False)
    if unmatched.all():
        raise DataError(
            f"{contents.name}: [data] header = {', '.join(map(repr, patterns))} matches none of {len(headers):,} headers; the "
            f"first is {headers[0].as_py()!r}"
        )
    rows = np.flatnonzero(unmatched) + 1
    if len(rows):
        message = (
            f"{contents.name}: [data] header does not match {len(rows):,} of {len(headers):,} headers; {', '.join(columns)} are "
            "empty there"
        )
        found.append(finding("header-unmatched", "info", message, rows))
    return columns


class _Layout(NamedTuple):
    """Where the records of a text lie; byte positions int64."""

    starts: np.ndarray  # (N,) of each '>'
    ends: np.ndarray  # (N,) of the line end of each header, or the end of the text
    lines: np.ndarray  # (lines,) where each line starts
    is_header: np.ndarray  # bool (lines,)
    is_residue: np.ndarray  # bool (bytes,): outside headers and no white space


def _with_newlines(text: np.ndarray) -> np.ndarray:
    """The text with line feeds where lines end in carriage returns alone (old Macintosh)."""
    if holds_byte(text, "\n") or not holds_byte(text, "\r"):
        return text
    text = text.copy()
    text[text == ord("\r")] = ord("\n")
    return text


def _layout(text: np.ndarray, contents: Contents) -> _Layout:
    line_ends = np.flatnonzero(text == ord("\n"))
    line_starts = np.concatenate([[0], line_ends + 1])
    line_starts = line_starts[line_starts < len(text)]
    is_header = text[line_starts] == ord(">")
    starts = line_starts[is_header]
    _refuse_headless(text, starts, contents)
    ends = np.append(line_ends, len(text))[np.flatnonzero(is_header)]
    # +1 at every header, -1 behind it: the running sum is 1 inside headers and 0 outside
    inside = np.zeros(len(text) + 1, np.int8)
    inside[starts] = 1
    inside[ends] = -1
    np.cumsum(inside, out=inside, dtype=np.int8)
    is_residue = NOT_SPACE[text]
    is_residue &= inside[:-1] == 0
    return _Layout(starts, ends, line_starts, is_header, is_residue)


def _refuse_headless(text: np.ndarray, starts: np.ndarray, contents: Contents) -> None:
    first = int(starts[0]) if len(starts) else len(text)
    before = text[:first].tobytes()
    if before.strip():
        line = before[: len(before) - len(before.lstrip())].count(b"\n") + 1
        shown = before.strip().splitlines()[0][:40].decode("utf-8", "replace")
        raise DataError(
            f"{contents.name}: line {line} reads {shown!r}, and a FASTA file starts with a header line such as '>name'; "
            "add one above each sequence"
        )
    if not len(starts):
        raise DataError(f"{contents.name}: there is no FASTA record in it")


def _header_text(text: np.ndarray, layout: _Layout) -> pa.Array:
    """The headers without '>', large_string (N,)."""
    lengths = layout.ends - layout.starts - 1
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    shift = np.repeat(layout.starts + 1 - offsets[:-1], lengths)
    return strings(text[np.arange(offsets[-1]) + shift], offsets)


def _sequence_text(text: np.ndarray, layout: _Layout) -> pa.Array:
    """The residues of each record, large_string (N,)."""
    counts = np.add.reduceat(layout.is_residue, layout.starts, dtype=np.int64)
    return strings(text[layout.is_residue], np.concatenate([[0], np.cumsum(counts)]))


def strings(text: np.ndarray, offsets: np.ndarray) -> pa.Array:
    """N strings, large_string, of their bytes uint8 and offsets int64 (N + 1,)."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets, np.int64)), pa.py_buffer(np.ascontiguousarray(text))]
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, buffers[1], buffers[2])


def _findings(text: np.ndarray, layout: _Layout, contents: Contents, headers: pa.Array) -> list[Finding]:
    """Blank lines, white space inside sequence lines, and blanks between '>' and the name."""
    in_sequence = ~layout.is_header
    lines = layout.lines
    n_residues = np.add.reduceat(layout.is_residue, lines, dtype=np.int64)
    content = np.flatnonzero((n_residues > 0) | layout.is_header)
    record = np.searchsorted(layout.starts, lines, side="right")  # 1-based, as a person counts
    blank = in_sequence & (n_residues == 0) & (np.arange(len(lines)) < content[-1]) & (record > 0)
    found = []
    if blank.any():
        message = f"{contents.name}: {int(blank.sum())} blank lines inside or between records were passed over"
        found.append(finding("blank-lines", "info", message, np.unique(record[blank])))
    is_space = (text == ord(" ")) | (text == ord("\t"))
    spaced = in_sequence & (n_residues > 0) & (np.add.reduceat(is_space, lines, dtype=np.int64) > 0)
    if spaced.any():
        rows = np.unique(record[spaced])
        message = f"{contents.name}: white space inside the sequence lines of {len(rows)} records was left out"
        found.append(finding("white-space", "info", message, rows))
    indented = np.flatnonzero(np.isin(text[np.minimum(layout.starts + 1, len(text) - 1)], (ord(" "), ord("\t"))))
    if len(indented):
        message = (
            f"{contents.name}: {len(indented)} of {len(headers)} headers have white space after '>'; "
            "names are their first words"
        )
        found.append(finding("header-space", "info", message, indented + 1))
    nameless = np.flatnonzero(pc.equal(headers, "").to_numpy(zero_copy_only=False))
    if len(nameless):
        message = f"{contents.name}: {len(nameless)} of {len(headers)} headers are empty; such records are called row-<number>"
        found.append(finding("nameless", "warning", message, nameless + 1))
    return found


def _header_columns(headers: pa.Array, contents: Contents, found: list[Finding]) -> tuple[dict[str, pa.Array], str]:
    """What the headers say beyond name and description, and the convention they follow."""
    deeploc = pc.extract_regex(headers, DEEPLOC)
    if len(headers) and deeploc.null_count == 0:
        columns = {name: pc.struct_field(deeploc, name) for name in ("location", "membrane", "set")}
        # the published file marks its test records only
        marked = pc.any(pc.not_equal(columns["set"], "")).as_py()
        columns["set"] = pc.if_else(pc.equal(columns["set"], ""), "train" if marked else "", columns["set"])
        return columns, "DeepLoc"
    keyed = {key.lower(): _key_values(headers, key) for key in KEYS}
    keyed = {name: values for name, values in keyed.items() if values.null_count < len(values)}
    if keyed:
        return keyed, "biotrainer"
    return _fields(headers, contents, found), ""


def _key_values(headers: pa.Array, key: str) -> pa.Array:
    return pc.struct_field(pc.extract_regex(headers, rf"(?:^|\s){key}=(?P<value>\S+)"), "value")


def _fields(headers: pa.Array, contents: Contents, found: list[Finding]) -> dict[str, pa.Array]:
    """header_1, header_2, ... where every header has as many fields; with a first field of its own, that is the id."""
    if len(headers) < 2 or any(pc.any(pc.starts_with(headers, each)).as_py() for each in DATABASES):
        return {}
    if pc.any(pc.match_substring(headers, " OS=")).as_py():
        return {}
    piped = pc.split_pattern(headers, "|")
    fields, how = (piped, "separated by |") if _width(piped) > 1 else (pc.utf8_split_whitespace(headers), "words")
    width = _width(fields)
    if not 1 < width <= MOST_FIELDS:
        return {}
    flat = pc.list_flatten(fields)
    rows = np.arange(len(headers)) * width
    columns = {f"header_{field + 1}": flat.take(pa.array(rows + field)) for field in range(width)}
    columns = {
        name: values for name, values in columns.items() if pc.any(pc.match_substring_regex(values, r"\w")).as_py()
    }
    first = columns.get("header_1")
    if how == "words":
        columns.pop("header_1", None)
    elif first is not None and pc.count_distinct(first).as_py() == len(first):
        columns["id"] = first
    listed = ", ".join(name for name in columns if name != "id")
    message = f"{contents.name}: every header has {width} fields ({how}); they are columns {listed}, and none has a role unasked"
    found.append(Finding("header-columns", "info", message))
    return columns


def _width(fields: pa.Array) -> int:
    """The number of fields that all records have, or 0 where they differ."""
    lengths = pc.min_max(pc.list_value_length(fields)).as_py()
    return int(lengths["min"]) if lengths["min"] == lengths["max"] else 0
