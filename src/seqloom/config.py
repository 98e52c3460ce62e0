"""A variant: one complete configuration, resolved from a draft for a table, every default filled in.

Nothing in a variant is left to be decided later. What is written in an experiment file is read by `sections` and spread by
`drafts`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seqloom.calibrate.settings import CalibrateSection
from seqloom.drafts import Draft
from seqloom.encode.base import Encoder
from seqloom.errors import ConfigError
from seqloom.predict.base import Predictor
from seqloom.predict.weights import refuse_unknown_classes
from seqloom.registry import build, settings_of, validated
from seqloom.sections import PLAIN_SECTIONS, SECTIONS, ReportSection, Sections, Settings
from seqloom.split.base import Splitter
from seqloom.split.recommend import splitter_for
from seqloom.table import DataSection, Table
from seqloom.target import Target, TargetSection
from seqloom.training.settings import TrainSection

DEFAULT_PREDICTORS = ("constant", "nearest", "linear", "knn", "boosting", "mlp", "cnn")
BASELINES = ("constant", "nearest", "linear", "composition", "group-mean", "substitution", "hydropathy")
"""Predictors that are compared without being named, those that suit the table."""
LONGEST_ONE_HOT = 30
"""Longest sequence of unequal lengths that is laid out position by position unless asked otherwise; see `bench/`."""


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


def resolve(draft: Draft, table: Table, target: Target) -> Variant:
    """The draft with every default filled in, those that depend on the table included."""
    sections = draft.sections
    predictor = build("predictor", sections["predictor"])
    assert isinstance(predictor, Predictor)
    if why := predictor.refusal(table, target):
        raise ConfigError(f"variant {draft.name!r}: {why}")
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
