"""Which columns are the sequences, and which alphabet each is written in."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from seqloom.alphabet import ALPHABETS, PROTEIN, SMILES, Alphabet
from seqloom.errors import ConfigError, DataError
from seqloom.findings import Finding
from seqloom.read.delimited import NUMBER
from seqloom.read.section import DataSection
from seqloom.registry import nearest
from seqloom.roles.columns import Columns, Draft
from seqloom.roles.conventions import CONVENTIONS, SEQUENCE_PAIRS, SEQUENCES, Convention
from seqloom.roles.mutants import mutation_column
from seqloom.roles.recognise import Verdict, recognise

SHORTEST_MEAN_LENGTH = 6
"""A column of any name whose values are shorter on average holds codes rather than sequences."""
LONG_RESIDUES = re.compile(r"[A-Z]{12,}$")


def choose_sequences(draft: Draft) -> tuple[tuple[str, ...], dict[str, Alphabet]]:
    """The sequence columns, and the alphabet of each; DataError when none or several could be it."""
    names = draft.named("sequence", draft.section.sequence) or _found_sequences(draft)
    wanted = draft.section.alphabet
    by_column = dict.fromkeys(names, wanted) if isinstance(wanted, str) else wanted
    for name in by_column:
        if name not in names:
            raise ConfigError(
                f"[data] alphabet names {name!r}, which is no sequence column{nearest(name, names)}; "
                f"these are: {', '.join(names)}"
            )
    return names, {name: _alphabet(draft, name, by_column.get(name, "")) for name in names}


def _alphabet(draft: Draft, name: str, wanted: str) -> Alphabet:
    columns = draft.columns
    if wanted:
        if wanted not in ALPHABETS:
            raise ConfigError(
                f"[data] alphabet = {wanted!r}: no such alphabet{nearest(wanted, ALPHABETS)}; there are: {', '.join(ALPHABETS)}"
            )
        draft.reasons[name] = f"{draft.reasons[name]}; {wanted}: named in the settings"
        return ALPHABETS[wanted]
    verdict = recognise(name, columns.typed[name], is_sequence=True) if columns.is_text(name) else None
    if verdict is None and columns.is_fasta:
        verdict = Verdict(PROTEIN, "the usual alphabet of FASTA files, as its symbols fit none")
    if verdict is None:
        shown = ", ".join(repr(value) for value in columns.head(name).slice(0, 3).cast(pa.large_string()).to_pylist())
        raise DataError(
            f"{columns.name}: column {name!r} is to be a sequence, and its values ({shown}) are written in no alphabet that is "
            f"known; name another with --sequence COLUMN, or the alphabet with --set data.alphabet=NAME ({', '.join(ALPHABETS)})"
        )
    draft.reasons[name] = f"{draft.reasons[name]}; {verdict.alphabet.name}: {verdict.reason}"
    if verdict.doubt:
        draft.findings.append(Finding("alphabet", "warning", f"{columns.name}: {verdict.doubt}"))
    return verdict.alphabet


def convention_of(columns: Columns) -> Convention | None:
    """The convention whose names are all there, if any."""
    lowered = {name.lower() for name in columns.names}
    return next((each for each in CONVENTIONS if each.needs <= lowered), None)


def has_sequences(columns: Columns, section: DataSection) -> bool:
    """Whether the table has a column of sequences already: the user's, one of the right name, or by what it holds."""
    if section.sequence:
        return all(name in columns.names for name in section.sequence)
    names, _ = _by_name(columns, convention_of(columns))
    return bool(names) or any(columns.is_text(name) and _looks_like_sequences(columns, name) for name in columns.names)


def _found_sequences(draft: Draft) -> tuple[str, ...]:
    names, reason = _by_name(draft.columns, draft.convention)
    return tuple(draft.because(name, reason) for name in names) or (_sequence_by_content(draft),)


def _by_name(columns: Columns, convention: Convention | None) -> tuple[tuple[str, ...], str]:
    """Sequence columns told by their names, and why; none if the names say nothing."""
    if convention is not None:
        names = [columns.find(name) for name in convention.sequences]
        found = [name for name in names if name is not None and columns.is_text(name)]
        if len(found) == len(names):
            return tuple(found), f"sequence: {convention.name} convention"
    for pair in SEQUENCE_PAIRS:
        together = [
            name
            for name in (columns.find(each) for each in pair)
            if name is not None and _holds_sequences(columns, name)
        ]
        if len(together) == len(pair):
            return tuple(together), f"sequence: columns called {' and '.join(pair)}"
    for wanted in SEQUENCES:
        name = columns.find(wanted)
        if name is not None and (columns.is_fasta or _holds_sequences(columns, name)):
            return (name,), f"sequence: a column called {name!r}"
    return (), ""


def _sequence_by_content(draft: Draft) -> str:
    columns = draft.columns
    candidates = [name for name in columns.names if columns.is_text(name) and _looks_like_sequences(columns, name)]
    if len(candidates) == 1:
        return draft.because(candidates[0], "sequence: the only column whose values are sequences")
    if candidates:
        raise DataError(
            f"{columns.name}: {len(candidates)} columns could be the sequence: {', '.join(map(repr, candidates))}; "
            f"type --sequence {candidates[0]} (or another of them)"
        )
    raise DataError(_no_sequence_message(columns))


def _holds_sequences(columns: Columns, name: str) -> bool:
    """A column with the right name, whose values are written in some alphabet, by and large."""
    return columns.is_text(name) and recognise(name, columns.head(name), is_sequence=True) is not None


def _looks_like_sequences(columns: Columns, name: str) -> bool:
    """A column of any name: its values are long, mostly distinct, and nearly all written in one alphabet."""
    head = columns.head(name)
    if len(head) == 0 or pc.mean(pc.utf8_length(head)).as_py() < SHORTEST_MEAN_LENGTH:
        return False
    if (
        pc.count_distinct(head).as_py() < len(head) / 2
        or pc.mean(pc.match_substring(head, " ").cast(pa.int8())).as_py() > 0.02
    ):
        return False
    verdict = recognise("", head)
    if verdict is None or _share_of_rows(head, verdict.alphabet) < 0.9:
        return False
    return (
        verdict.alphabet is SMILES
        or pc.mean(pc.match_substring_regex(head, "^[A-Z*.-]+$").cast(pa.int8())).as_py() > 0.5
    )


def _share_of_rows(values: pa.ChunkedArray, alphabet: Alphabet) -> float:
    """Share of the rows whose every symbol the alphabet knows."""
    symbols = "".join(f"\\{each}" if not each.isalnum() else each for each in alphabet.symbols)
    pattern = rf"^{'(?i)' if alphabet.folds_case else ''}[{symbols}\s]+$"
    known = pc.match_substring_regex(values, pattern)
    share = pc.mean(known.cast(pa.int8())).as_py()
    return float(share) if share is not None else 0.0


def _no_sequence_message(columns: Columns) -> str:
    names = columns.names
    message = (
        f"{columns.name}: no column of sequences was found among {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}; "
        "name it with --sequence COLUMN"
    )
    lists = mutation_column(columns)
    if lists is not None:
        return (
            f"{message}; column {lists!r} holds mutations: name the wild type they are told from with "
            f"--set data.wild_type=FILE (FASTA, or the sequence itself), or add a column with the mutated sequences written out"
        )
    if not columns.find("index") and any(NUMBER.match(name) or LONG_RESIDUES.match(name) for name in names):
        return f"{message}; the first line looks like data rather than a header: if it is, type --set data.columns=NAME,NAME,..."
    return message
