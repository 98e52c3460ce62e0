"""A variant of an experiment with generators: one complete configuration, every default filled in."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

from seqloom.drafts import Draft, drafts
from seqloom.errors import ConfigError
from seqloom.generate.base import Generator
from seqloom.generate.settings import GeneratorTraining
from seqloom.generation.settings import GENERATORS, PLAIN, JudgeSection, NaturalSection, SampleSection
from seqloom.registry import available, build, recipe_class, settings_of, validated
from seqloom.sections import Sections
from seqloom.split.base import Splitter
from seqloom.table import DataSection, read_source

DEFAULT = "autoregressive"
"""Fitted where nobody names a generator."""
COMPARED = ("autoregressive", "gan")
"""Compared where nobody names any; the baseline stands beside them."""


@dataclass(frozen=True)
class GeneratorVariant:
    """One complete, resolved configuration."""

    name: str
    data: DataSection
    natural: NaturalSection
    split: Splitter
    generator: Generator
    train: GeneratorTraining
    sample: SampleSection
    judge: JudgeSection

    @cached_property
    def resolved(self) -> Sections:
        """Every setting by section, ready for TOML; equal when two variants are equal but for their names."""
        return {section: settings_of(getattr(self, section)) for section in GENERATORS.sections}

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the members: one if no randomness is in what is learnt."""
        n_seeds = self.train.seeds if self.generator.stochastic else 1
        return tuple(range(self.train.seed, self.train.seed + n_seeds))

    @staticmethod
    def from_resolved(name: str, sections: Sections) -> GeneratorVariant:
        """The variant whose `resolved` this is."""
        plain = {key: validated(cls, sections[key], f"[{key}]") for key, cls in PLAIN.items()}
        built = {"generator": build("generator", sections["generator"]), "split": build("splitter", sections["split"])}
        return GeneratorVariant(name, **plain, **built)  # type: ignore[arg-type]


def refuse_settings(sections: Sections) -> None:
    """ConfigError for settings that are wrong whatever the table: told at once, as families take a while to read."""
    for draft in drafts(sections, (), GENERATORS):
        if "kind" in draft.sections["generator"]:
            build("generator", draft.sections["generator"])
        for key, cls in PLAIN.items():
            validated(cls, draft.sections[key], f"[{key}]")
    if decoys := sections.get("judge", {}).get("decoys"):
        read_source(decoys)


def variants_of(sections: Sections, alphabet: str, split: Splitter, *, single: bool) -> list[GeneratorVariant]:
    """The variants that are asked for, and the baseline of the alphabet where it is not among them.

    ConfigError for settings that no variant takes, for two variants that are the same, and where one is wanted and several
    are asked for.
    """
    kinds = [DEFAULT] if single else [kind for kind in COMPARED if alphabet in _class(kind).writes]
    asked = drafts(sections, kinds, GENERATORS)
    if single and len(asked) > 1:
        raise ConfigError(
            f"generate fit takes one variant, and there are {len(asked)} ({', '.join(each.name for each in asked[:8])}); "
            "name one with --model, or use generate compare"
        )
    found = [_resolved(draft, alphabet, split) for draft in asked]
    for left, right in itertools.combinations(found, 2):
        if left.resolved == right.resolved:
            raise ConfigError(
                f"variants {left.name!r} and {right.name!r} resolve to the same settings; remove one, or change a key of one"
            )
    baseline = baseline_of(alphabet)
    if all(each.generator.kind != baseline for each in found):
        shared: Sections = {key: sections[key] for key in ("data", "natural", "judge") if key in sections}
        train = {key: value for key, value in sections.get("train", {}).items() if key in ("seed", "device")}
        if any(each.name == baseline for each in found):
            raise ConfigError(
                f"variant name {baseline!r} is kept for the baseline of that kind; give the variant another name"
            )
        taken = {key: value for key, value in sections.get("sample", {}).items() if key == "n"}
        own = drafts({**shared, "train": train, "sample": taken, "generator": {"kind": baseline}}, (), GENERATORS)[0]
        found.append(_resolved(own, alphabet, split))
    return found


def baseline_of(alphabet: str) -> str:
    """The generator that stands in every comparison: a profile, or for molecules, which have none, pairs of symbols."""
    return "profile" if alphabet in _class("profile").writes else "ngram"


def _class(kind: str) -> type[Generator]:
    found = recipe_class("generator", kind)
    assert issubclass(found, Generator)
    return found


def _resolved(draft: Draft, alphabet: str, split: Splitter) -> GeneratorVariant:
    sections = draft.sections
    generator = build("generator", sections["generator"])
    assert isinstance(generator, Generator)
    if alphabet not in generator.writes:
        others = [kind for kind in available("generator") if alphabet in _class(kind).writes]
        raise ConfigError(
            f"variant {draft.name!r}: {generator.kind} does not write {alphabet}; generators that do: {', '.join(others)}"
        )
    if sections["natural"].get("condition") and not generator.conditional and generator.kind != baseline_of(alphabet):
        others = [kind for kind in available("generator") if _class(kind).conditional]
        raise ConfigError(
            f"variant {draft.name!r}: {generator.kind} takes no conditions; leave [natural] condition out, or use "
            f"{', '.join(others)}"
        )
    given = {
        **sections,
        "train": {**generator.defaults, **sections["train"]},
        "sample": {**generator.sampling, **sections["sample"]},
    }
    plain = {key: validated(cls, given[key], f"[{key}]") for key, cls in PLAIN.items()}
    return GeneratorVariant(draft.name, split=split, generator=generator, **plain)  # type: ignore[arg-type]
