"""Variants as they are asked for: the tables, lists and grids of an experiment file spread into one draft each.

A draft says what its sections say and nothing more; `config.resolve` fills in the rest for a table.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from seqloom.errors import ConfigError
from seqloom.registry import available, nearest, recipe_class
from seqloom.sections import PREDICTORS, Frame, Sections, Settings, over, refuse_unknown_sections, slug


class Draft(NamedTuple):
    """A variant before the table is known: its name and what its sections say."""

    name: str
    sections: Sections
    own: frozenset[str]
    """Sections whose kind this variant names itself, rather than sharing it with all, and its own settings of [train] as
    `train.key`."""


def drafts(sections: Sections, kinds: Sequence[str], frame: Frame = PREDICTORS) -> list[Draft]:
    """The variants that the file and flags ask for; `kinds` stand where nobody names one.

    `[[variant]]` tables are taken one by one, `[vary]` changes one key at a time, `[grid]` takes all combinations.
    """
    refuse_unknown_sections(sections, frame)
    shared = {name: dict(sections.get(name, {})) for name in frame.sections}
    written: Sequence[Settings] = list(sections.get("variant", []))
    bases = [_draft_of_table(number, table, shared, frame) for number, table in enumerate(written, start=1)]
    spread = list(_spread(sections, frame))
    if not bases:
        named = "kind" in shared[frame.main]
        varied = any(f"{frame.main}.kind" in changes for changes in spread)
        kinds = [shared[frame.main]["kind"]] if named else [""] if varied else kinds
        bases = [_draft_of_kind(kind, shared, frame, own=not named) for kind in kinds]
    if spread:
        bases = [_changed(base, changes, frame, alone=len(bases) == 1) for base in bases for changes in spread]
    names = [draft.name for draft in bases]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two variants are called {name!r}; give each [[variant]] a name of its own")
    return [_with_fitting_keys(draft, bases, frame.main) for draft in bases]


def _draft_of_table(number: int, table: Mapping[str, Any], shared: Sections, frame: Frame) -> Draft:
    rest = dict(table)
    own: Sections = {}
    name = rest.pop("name", "")
    for key, value in rest.items():
        if key not in frame.varied:
            raise ConfigError(
                f"[[variant]] {number}: {key!r} cannot differ between variants{nearest(key, frame.varied)}; "
                f"a variant has name, {', '.join(frame.varied)}"
            )
        own[key] = dict(value) if isinstance(value, dict) else {"kind": value}
    sections = {section: over(shared[section], own.get(section, {})) for section in frame.sections}
    if "kind" not in sections[frame.main]:
        kinds = available(frame.main)
        raise ConfigError(
            f'[[variant]] {number} names no {frame.main}; write {frame.main}.kind = "{kinds[0]}", or another of '
            f"{', '.join(kinds)}"
        )
    trained = {f"train.{key}" for key in own.get("train", {})}
    return Draft(slug(str(name or sections[frame.main]["kind"])), sections, frozenset(own) | trained)


def _draft_of_kind(kind: str, shared: Sections, frame: Frame, *, own: bool) -> Draft:
    sections = {section: dict(settings) for section, settings in shared.items()}
    if kind:
        sections[frame.main] = {"kind": kind, **{k: v for k, v in sections[frame.main].items() if k != "kind"}}
    return Draft(slug(str(kind or "variant")), sections, frozenset({frame.main} if own else set()))


def _spread(sections: Sections, frame: Frame) -> Iterator[dict[str, Any]]:
    axes = {
        name: {key: _values(name, key, value, frame.varied) for key, value in _dotted(sections.get(name, {}))}
        for name in ("vary", "grid")
    }
    for key, values in axes["vary"].items():
        yield from ({key: value} for value in values)
    if axes["grid"]:
        for combination in itertools.product(*axes["grid"].values()):
            yield dict(zip(axes["grid"], combination, strict=True))


def _dotted(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """`predictor.width` whether it was written as one quoted key or as a nested table."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", each) for inner, each in value.items())
        else:
            yield key, value


def _values(name: str, key: str, value: Any, varied: tuple[str, ...]) -> list[Any]:
    section = key.partition(".")[0]
    if section not in varied:
        raise ConfigError(
            f"[{name}] {key}: variants of one comparison share table and partition, so only keys of "
            f"{', '.join(varied)} can vary{nearest(section, varied)}"
        )
    if "." not in key:
        raise ConfigError(f"[{name}] {key}: write it as section.key, such as train.lr")
    if not isinstance(value, list) or not value:
        raise ConfigError(f"[{name}] {key} = {value!r}: give a list of values")
    return value


def _changed(base: Draft, changes: Mapping[str, Any], frame: Frame, *, alone: bool) -> Draft:
    sections = {section: dict(settings) for section, settings in base.sections.items()}
    own = set(base.own)
    kinds_first = sorted(changes.items(), key=lambda change: not change[0].endswith(".kind"))
    for dotted, value in kinds_first:
        section, _, key = dotted.partition(".")
        sections[section] = (
            over(sections[section], {key: value}) if key == "kind" else {**sections[section], key: value}
        )
        own |= {section, dotted}
    words = [
        str(value) if key.endswith(".kind") else f"{key.partition('.')[2]}-{_text(value)}"
        for key, value in changes.items()
    ]
    kind_changed = f"{frame.main}.kind" in changes
    return Draft(slug(" ".join(words if alone and kind_changed else [base.name, *words])), sections, frozenset(own))


def _text(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def _with_fitting_keys(draft: Draft, all_drafts: Iterable[Draft], main: str) -> Draft:
    """Drop shared keys of the main section that this kind does not have, provided another variant has them."""
    kind = draft.sections[main].get("kind")
    if main not in draft.own or kind is None:
        return draft
    fields = recipe_class(main, kind).model_fields
    others = [each.sections[main].get("kind") for each in all_drafts]
    foreign = {
        key
        for key in draft.sections[main]
        if key != "kind" and key not in fields and any(o and key in recipe_class(main, o).model_fields for o in others)
    }
    kept = {key: value for key, value in draft.sections[main].items() if key not in foreign}
    return draft._replace(sections={**draft.sections, main: kept})
