"""The experiment file: sections read, overridden, spread into variants, and resolved with every default filled in.

Raw settings are plain dictionaries, section by section, as TOML gives them. A Variant is one complete configuration; nothing
in it is left to be decided later.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import Field

from seqloom.calibrate.settings import CalibrateSection
from seqloom.encode.base import Encoder
from seqloom.errors import ConfigError
from seqloom.mutation.wild_type import is_sequence
from seqloom.predict.base import Predictor
from seqloom.predict.weights import refuse_unknown_classes
from seqloom.registry import Recipe, available, build, nearest, recipe_class, settings_of, validated
from seqloom.split.base import Splitter
from seqloom.split.recommend import splitter_for
from seqloom.table import DataSection, Table
from seqloom.target import Target, TargetSection
from seqloom.training.settings import TrainSection

Settings = dict[str, Any]
Sections = dict[str, Any]
"""Settings by section, and under `variant` a list of them."""

SECTIONS = ("data", "target", "split", "encoder", "predictor", "train", "calibrate", "report")
SPREADS = ("variant", "vary", "grid")
VARIANT_SECTIONS = ("target", "encoder", "predictor", "train", "calibrate")
DEFAULT_PREDICTORS = ("constant", "nearest", "linear", "knn", "boosting", "mlp", "cnn")
BASELINES = ("constant", "nearest", "linear", "composition", "group-mean", "substitution", "hydropathy")
"""Predictors that are compared without being named, those that suit the table."""
LONGEST_ONE_HOT = 30
"""Longest sequence of unequal lengths that is laid out position by position unless asked otherwise; see `bench/`."""


class ReportSection(Recipe):
    """The `[report]` section: what is scored, and how its intervals are drawn."""

    metrics: tuple[str, ...] = ()
    """Metrics; the first decides the order of the leaderboard. By default those usual for the task."""
    draws: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap draws of every interval."""
    by: tuple[str, ...] = ("length",)
    """Parts of the test rows that are scored by themselves: by `length`, `group`, a column, or an expression as in `--where`.
    Bands of identity to the nearest training row are always scored."""


PLAIN_SECTIONS: Mapping[str, type[Recipe]] = {
    "data": DataSection, "target": TargetSection, "train": TrainSection, "calibrate": CalibrateSection,
    "report": ReportSection,
}  # fmt: skip


PATHS = (
    ("data", "table"), ("data", "test"), ("data", "patch"), ("data", "wild_type"), ("encoder", "path"), ("split", "table"),
)  # fmt: skip
"""Settings that name files."""


class Draft(NamedTuple):
    """A variant before the table is known: its name and what its sections say."""

    name: str
    sections: Sections
    own: frozenset[str]
    """Sections whose kind this variant names itself, rather than sharing it with all, and its own settings of [train] as
    `train.key`."""


@dataclass(frozen=True)
class Variant:
    """One complete, resolved configuration."""

    name: str
    data: DataSection
    target: TargetSection
    split: Splitter
    encoder: Encoder
    predictor: Predictor
    train: TrainSection
    calibrate: CalibrateSection
    report: ReportSection

    @cached_property
    def resolved(self) -> Sections:
        """Every setting by section, ready for TOML; equal when two variants are equal but for their names."""
        return {section: settings_of(getattr(self, section)) for section in SECTIONS}

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the members of a fold: one if no randomness is in the predictor."""
        n_seeds = self.train.seeds if self.predictor.stochastic else 1
        return tuple(range(self.train.seed, self.train.seed + n_seeds))

    @staticmethod
    def from_resolved(name: str, sections: Sections) -> Variant:
        """The variant whose `resolved` this is."""
        # Runs of before there was calibration have no such section.
        given = {"calibrate": {}, **sections}
        plain = {key: validated(cls, given[key], f"[{key}]") for key, cls in PLAIN_SECTIONS.items()}
        built = {key: build(family, sections[key]) for key, family in _FAMILIES.items()}
        return Variant(name, **plain, **built)  # type: ignore[arg-type]


_FAMILIES = {"split": "splitter", "encoder": "encoder", "predictor": "predictor"}


def read_toml(path: Path) -> Sections:
    """The sections of an experiment file; paths in it are taken from the file's own folder."""
    try:
        sections: Sections = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    _refuse_unknown_sections(sections)
    for section, key in PATHS:
        value = sections.get(section, {}).get(key)
        if key == "wild_type" and isinstance(value, str) and is_sequence(value):
            continue
        if isinstance(value, str) and value:
            sections[section][key] = _beside(path, value)
    added = sections.get("data", {}).get("add")
    if isinstance(added, dict):
        sections["data"]["add"] = {name: _beside(path, str(value)) for name, value in added.items()}
    return sections


def _beside(path: Path, value: str) -> str:
    """A path as it is meant in the file at `path`: from its folder, unless absolute or `data:`."""
    return value if value.startswith("data:") or PurePath(value).is_absolute() else (path.parent / value).as_posix()


def override(sections: Sections, changes: Mapping[str, Any]) -> Sections:
    """`sections` with `section.key` values replaced."""
    merged = {name: dict(value) if isinstance(value, dict) else value for name, value in sections.items()}
    for dotted, value in changes.items():
        section, _, key = dotted.partition(".")
        if not key:
            raise ConfigError(f"--set {dotted}: write section.key=value; sections: {', '.join(SECTIONS)}")
        if section not in SECTIONS:
            raise ConfigError(
                f"--set {dotted}: no section {section!r}{nearest(section, SECTIONS)}; sections: {', '.join(SECTIONS)}"
            )
        merged.setdefault(section, {})[key] = value
    return merged


def parse_value(text: str) -> Any:
    """A command-line value as TOML reads it, or as text where TOML has no such value; `a,b` stays text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def split_values(text: str) -> list[str]:
    """`a,b,[1,2]` at the commas outside brackets."""
    return [part.strip() for part in re.findall(r"(?:\[[^\]]*\]|[^,\[])+", text)]


def drafts(sections: Sections, predictors: Sequence[str]) -> list[Draft]:
    """The variants that the file and flags ask for; `predictors` stand where nobody names one.

    `[[variant]]` tables are taken one by one, `[vary]` changes one key at a time, `[grid]` takes all combinations.
    """
    _refuse_unknown_sections(sections)
    shared = {name: dict(sections.get(name, {})) for name in SECTIONS}
    written: Sequence[Settings] = list(sections.get("variant", []))
    bases = [_draft_of_table(number, table, shared) for number, table in enumerate(written, start=1)]
    spread = list(_spread(sections))
    if not bases:
        named = "kind" in shared["predictor"]
        varied = any("predictor.kind" in changes for changes in spread)
        kinds = [shared["predictor"]["kind"]] if named else [""] if varied else predictors
        bases = [_draft_of_kind(kind, shared, own=not named) for kind in kinds]
    if spread:
        bases = [_changed(base, changes, alone=len(bases) == 1) for base in bases for changes in spread]
    names = [draft.name for draft in bases]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two variants are called {name!r}; give each [[variant]] a name of its own")
    return [_with_fitting_keys(draft, bases) for draft in bases]


def resolve(draft: Draft, table: Table, target: Target) -> Variant:
    """The draft with every default filled in, those that depend on the table included."""
    sections = draft.sections
    predictor = build("predictor", sections["predictor"])
    assert isinstance(predictor, Predictor)
    _refuse_own_training(draft, predictor)
    weights = validated(TrainSection, sections["train"], "[train]").class_weight
    if weights != "none":
        if target.task == "regression":
            raise ConfigError(
                f"[train] class_weight = {weights!r} is for classes, and the task is regression; leave it out"
            )
        refuse_unknown_classes(weights, target.classes)
    built = {
        "predictor": predictor,
        "encoder": _encoder(draft, predictor, table),
        "split": splitter_for(sections["split"], table, target.task)[0],
    }
    plain = {key: validated(cls, sections[key], f"[{key}]") for key, cls in PLAIN_SECTIONS.items()}
    if target.task == "regression" and sections["calibrate"].get("method", "auto") not in ("auto", "none"):
        raise ConfigError(
            f"variant {draft.name!r}: [calibrate] method = {sections['calibrate']['method']!r} is for probabilities of classes, "
            "and the task is regression; leave it out"
        )
    plain["target"] = plain["target"].model_copy(update={"column": target.columns, "task": target.task})
    if table.wild_type is not None:  # the sequence rather than its file, so that the run needs no other file
        known = {"wild_type": table.wild_type.sequence, "first_site": table.wild_type.first_site}
        plain["data"] = plain["data"].model_copy(update=known)
    return Variant(draft.name, **plain, **built)  # type: ignore[arg-type]


def refuse_twins(variants: Sequence[Variant]) -> None:
    """ConfigError if two variants are the same but for their names."""
    for left, right in itertools.combinations(variants, 2):
        if left.resolved == right.resolved:
            raise ConfigError(
                f"variants {left.name!r} and {right.name!r} resolve to the same settings; remove one, or change a key of one"
            )


def refuse_unused(sections: Sections, variants: Sequence[Variant]) -> None:
    """ConfigError for settings of nets where there is no net, and for weights or an encoder that no variant can use."""
    own = [key for key in sections.get("train", {}) if key not in ("seeds", "seed", "device", "class_weight")]
    if "class_weight" in sections.get("train", {}) and not any(
        variant.predictor.weighs_classes for variant in variants
    ):
        kinds = ", ".join(sorted({variant.predictor.kind for variant in variants}))
        raise ConfigError(
            f"[train] class_weight: used by none of {kinds}; remove it, or add a model that takes it, such as linear or mlp"
        )
    if own and not any(variant.predictor.stochastic for variant in variants):
        kinds = ", ".join(sorted({variant.predictor.kind for variant in variants}))
        raise ConfigError(
            f"[train] {', '.join(own)}: used by nets only, and there is none among {kinds}; remove it, or add a net such as mlp"
        )
    encoder = sections.get("encoder", {}).get("kind")
    if encoder is not None and all(variant.encoder.kind != encoder for variant in variants):
        used = ", ".join(f"{variant.name} takes {variant.encoder.kind}" for variant in variants)
        raise ConfigError(f"[encoder] kind = {encoder!r}: no variant uses it ({used}); remove it, or add one that does")


def _refuse_own_training(draft: Draft, predictor: Predictor) -> None:
    """ConfigError for [train] settings of the variant's own that its predictor passes over."""
    own = {each.removeprefix("train.") for each in draft.own if each.startswith("train.")}
    if "class_weight" in own and not predictor.weighs_classes:
        raise ConfigError(
            f"variant {draft.name!r}: its own [train] class_weight is not used by {predictor.kind!r}; leave it out, or name a "
            "model that takes it, such as --set predictor.kind=linear"
        )
    unused = sorted(own - {"class_weight"})
    if unused and not predictor.stochastic:
        raise ConfigError(
            f"variant {draft.name!r}: its own [train] settings ({', '.join(unused)}) are used by nets only, and "
            f"{predictor.kind!r} is none; name a net, such as --set predictor.kind=mlp, or leave them out"
        )


def refuse_others(sections: Sections, used: Sequence[str], who: str) -> None:
    """ConfigError for settings that `who` would pass over: only sections, or `section.key`s, of `used` are taken."""
    keys = [f"{section}.{key}" for section, settings in sections.items() for key in settings]
    unused = [key for key in keys if not any(key == each or key.startswith(f"{each}.") for each in used)]
    if unused:
        raise ConfigError(f"{', '.join(unused)}: {who} takes settings of {', '.join(used)} only; leave it out")


def difference(left: Sections, right: Sections) -> dict[str, tuple[Any, Any]]:
    """`section.key` and its two values, wherever two resolved configurations differ; None where a key is absent."""
    keys = {(section, key) for side in (left, right) for section, values in side.items() for key in values}
    return {
        f"{section}.{key}": (left.get(section, {}).get(key), right.get(section, {}).get(key))
        for section, key in sorted(keys)
        if left.get(section, {}).get(key) != right.get(section, {}).get(key)
    }


def slug(text: str) -> str:
    """`text` as a folder name of `[a-z0-9-]`; ConfigError if nothing is left of it."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not name:
        raise ConfigError(f"{text!r} cannot be made a name of letters, digits and hyphens")
    return name


def _refuse_unknown_sections(sections: Sections) -> None:
    for name, value in sections.items():
        if name not in (*SECTIONS, *SPREADS):
            known = (*SECTIONS, *SPREADS)
            raise ConfigError(f"no section [{name}]{nearest(name, known)}; sections: {', '.join(known)}")
        if name == "variant" and not (isinstance(value, list) and all(isinstance(each, dict) for each in value)):
            raise ConfigError("variants are written as [[variant]], with two brackets")
        if name != "variant" and not isinstance(value, dict):
            raise ConfigError(f"{name} = {value!r}: {name} is a section; write [{name}] and its keys below")


def _draft_of_table(number: int, table: Mapping[str, Any], shared: Sections) -> Draft:
    rest = dict(table)
    own: Sections = {}
    name = rest.pop("name", "")
    for key, value in rest.items():
        if key not in VARIANT_SECTIONS:
            raise ConfigError(
                f"[[variant]] {number}: {key!r} cannot differ between variants{nearest(key, VARIANT_SECTIONS)}; "
                f"a variant has name, {', '.join(VARIANT_SECTIONS)}"
            )
        own[key] = dict(value) if isinstance(value, dict) else {"kind": value}
    sections = {section: _merged(shared[section], own.get(section, {})) for section in SECTIONS}
    if "kind" not in sections["predictor"]:
        raise ConfigError(f"[[variant]] {number} names no predictor; write predictor.kind = \"linear\", or another of "
                          f"{', '.join(available('predictor'))}")  # fmt: skip
    trained = {f"train.{key}" for key in own.get("train", {})}
    return Draft(slug(str(name or sections["predictor"]["kind"])), sections, frozenset(own) | trained)


def _draft_of_kind(kind: str, shared: Sections, *, own: bool) -> Draft:
    sections = {section: dict(settings) for section, settings in shared.items()}
    if kind:
        sections["predictor"] = {"kind": kind, **{k: v for k, v in sections["predictor"].items() if k != "kind"}}
    return Draft(slug(str(kind or "variant")), sections, frozenset({"predictor"} if own else set()))


def _merged(shared: Settings, own: Settings) -> Settings:
    """Own keys over shared ones; settings of another kind are not taken over."""
    if "kind" in own and own["kind"] != shared.get("kind", own["kind"]):
        return dict(own)
    return {**shared, **own}


def _spread(sections: Sections) -> Iterator[dict[str, Any]]:
    axes = {
        name: {key: _values(name, key, value) for key, value in _dotted(sections.get(name, {}))}
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


def _values(name: str, key: str, value: Any) -> list[Any]:
    section = key.partition(".")[0]
    if section not in VARIANT_SECTIONS:
        raise ConfigError(
            f"[{name}] {key}: variants of one comparison share table and partition, so only keys of "
            f"{', '.join(VARIANT_SECTIONS)} can vary{nearest(section, VARIANT_SECTIONS)}"
        )
    if "." not in key:
        raise ConfigError(f"[{name}] {key}: write it as section.key, such as train.lr")
    if not isinstance(value, list) or not value:
        raise ConfigError(f"[{name}] {key} = {value!r}: give a list of values")
    return value


def _changed(base: Draft, changes: Mapping[str, Any], *, alone: bool) -> Draft:
    sections = {section: dict(settings) for section, settings in base.sections.items()}
    own = set(base.own)
    kinds_first = sorted(changes.items(), key=lambda change: not change[0].endswith(".kind"))
    for dotted, value in kinds_first:
        section, _, key = dotted.partition(".")
        sections[section] = (
            _merged(sections[section], {key: value}) if key == "kind" else {**sections[section], key: value}
        )
        own |= {section, dotted}
    words = [
        str(value) if key.endswith(".kind") else f"{key.partition('.')[2]}-{_text(value)}"
        for key, value in changes.items()
    ]
    kind_changed = "predictor.kind" in changes
    return Draft(slug(" ".join(words if alone and kind_changed else [base.name, *words])), sections, frozenset(own))


def _text(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def _with_fitting_keys(draft: Draft, all_drafts: Iterable[Draft]) -> Draft:
    """Drop shared predictor keys that this kind does not have, provided another variant has them."""
    if "predictor" not in draft.own:
        return draft
    kind = draft.sections["predictor"].get("kind")
    if kind is None:
        return draft
    fields = recipe_class("predictor", kind).model_fields
    others = [each.sections["predictor"].get("kind") for each in all_drafts]
    foreign = {
        key
        for key in draft.sections["predictor"]
        if key != "kind"
        and key not in fields
        and any(o and key in recipe_class("predictor", o).model_fields for o in others)
    }
    kept = {key: value for key, value in draft.sections["predictor"].items() if key not in foreign}
    return draft._replace(sections={**draft.sections, "predictor": kept})


def _encoder(draft: Draft, predictor: Predictor, table: Table) -> Encoder:
    settings = draft.sections["encoder"]
    if "kind" in settings:
        encoder = build("encoder", settings)
        assert isinstance(encoder, Encoder)
        if encoder.gives == predictor.takes and predictor.reads in ("", encoder.kind):
            return encoder
        if "encoder" in draft.own or "predictor" not in draft.own:
            words = f"takes {predictor.takes}, and encoder {encoder.kind!r} gives {encoder.gives}"
            if predictor.reads:
                words = f"reads encoder {predictor.reads!r}, and no other such as {encoder.kind!r}"
            raise ConfigError(
                f"variant {draft.name!r}: predictor {predictor.kind!r} {words}; leave [encoder] out, or choose another predictor"
            )
        settings = {}
    only = predictor.reads or ("tokens" if predictor.takes == "tokens" else "")
    default = {"kind": only} if only else _default_features(table)
    encoder = build("encoder", {**default, **settings})
    assert isinstance(encoder, Encoder)
    return encoder


def _default_features(table: Table) -> Settings:
    """Positions where they mean the same in every row; counts of short words elsewhere."""
    columns = table.roles.sequences
    lengths = [table.tokens(column).lengths for column in columns]
    aligned = all(
        len(each) and (each.max() <= LONGEST_ONE_HOT or (each.min() == each.max() and each.max() <= 1000))
        for each in lengths
    )
    chemistry = any(table.alphabets[column].name != "protein" for column in columns)
    if aligned and not any(table.alphabets[column].name == "smiles" for column in columns):
        return {"kind": "one-hot"}
    return {"kind": "kmer", "k": 4 if chemistry else 2}


def strata_of(target: Target, scores: np.ndarray) -> np.ndarray | None:
    """The class of each row, float64 (N,), or None where targets have no classes of their own."""
    return scores[:, 0] if target.task in ("binary", "multiclass") else None
