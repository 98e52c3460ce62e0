"""The roles of all columns: brings the choices together, and makes the plain ones (id, set, group, context) itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from seqloom.alphabet import Alphabet
from seqloom.errors import DataError
from seqloom.findings import Finding
from seqloom.read.section import UNSAID, Censoring, DataSection
from seqloom.read.signs import signs
from seqloom.roles.columns import Columns, Draft, unknown_column
from seqloom.roles.conventions import (
    CONTEXTS,
    GROUPS,
    IDS,
    INEQUALITIES,
    MASKS,
    SET_WORDS,
    SETS,
    SURE_IDS,
    VALIDATIONS,
)
from seqloom.roles.sequences import choose_sequences, convention_of
from seqloom.roles.targets import choose_targets, given_targets

FEWEST_GROUPS = 10
"""A column called `cluster` with fewer values is not taken for groups unasked: no partition could be made of it."""


@dataclass(frozen=True)
class Roles:
    """The column of each role; `reasons` says for each chosen column why."""

    id: str | None = None
    sequences: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    set: str | None = None
    validation: str | None = None
    group: str | None = None
    context: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    inequality: str | None = None
    mask: str | None = None
    mutations: str | None = None
    """The column of mutation lists that the sequences were made of."""
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that has a role, once, in the order of the roles."""
        single = (self.id, self.set, self.validation, self.group, self.inequality, self.mask, self.mutations)
        names = [*(self.sequences), *self.targets, *self.covariates, *self.context, *(each for each in single if each)]
        return tuple(dict.fromkeys(names))


def find_roles(
    columns: Columns,
    section: DataSection,
    targets: Sequence[str] = (),
    *,
    for_prediction: bool = False,
    censoring: Censoring | None = None,
) -> tuple[Roles, dict[str, Alphabet], list[Finding]]:
    """The roles of all columns, the alphabet of each sequence column, and findings about the choice.

    `targets` are the user's target columns, `censoring` what is said of bounds among them. Raises DataError for a named column
    that is not there, when no sequence column is found, when several columns could be it, and, unless `for_prediction`, when
    several could be the target.
    """
    draft = Draft(columns, section, for_prediction, reasons=dict(columns.reasons))
    draft.convention = convention_of(columns)
    sequences, alphabets = choose_sequences(draft)
    used = set(sequences)
    given = given_targets(draft, targets)
    used.update(given)
    covariates = draft.named("covariates", section.covariates)
    used.update(covariates)
    identifier = _id(draft, used)
    set_column = _set(draft, used)
    validation = _validation(draft, used) if set_column else None
    group = _group(draft, used)
    context = _context(draft, used)
    inequality = _inequality(draft, used, censoring or UNSAID)
    mask = _conventional(draft, "mask", MASKS, used)
    targets_found = given or choose_targets(draft, used)
    roles = Roles(
        id=identifier, sequences=sequences, targets=targets_found, set=set_column, validation=validation, group=group,
        context=context, covariates=covariates, inequality=inequality, mask=mask, mutations=columns.mutations,
        reasons=draft.reasons,
    )  # fmt: skip
    _refuse_two_roles(roles, columns)
    return roles, alphabets, draft.findings


def _id(draft: Draft, used: set[str]) -> str | None:
    columns = draft.columns
    if draft.section.id:
        named = draft.named("id", (draft.section.id,), needed=not draft.for_prediction)
        used.update(named)
        return named[0] if named else None
    conventional = (draft.convention.id,) if draft.convention and draft.convention.id else ()
    for wanted in (*conventional, *IDS):
        name = columns.find(wanted)
        if name is None or name in used:
            continue
        if wanted in SURE_IDS or wanted in conventional or _mostly_distinct(columns, name):
            used.add(name)
            return draft.because(name, f"id: a column called {name!r}")
    return None


def _mostly_distinct(columns: Columns, name: str) -> bool:
    column = columns.typed[name]
    return not pa.types.is_nested(column.type) and pc.count_distinct(column).as_py() >= 0.99 * len(column)


def _set(draft: Draft, used: set[str]) -> str | None:
    if draft.section.set:
        named = draft.named("set", (draft.section.set,), needed=not draft.for_prediction)
        used.update(named)
        return named[0] if named else None
    name = draft.columns.find(*SETS)
    if name is None or name in used or not draft.columns.is_text(name):
        return None
    words = pc.unique(pc.utf8_lower(pc.utf8_trim_whitespace(draft.columns.typed[name].drop_null()))).to_pylist()
    used.add(name)
    refusal = ""
    if not set(words) <= SET_WORDS:
        odd = next(word for word in words if word not in SET_WORDS)
        refusal = f"its values are not train, valid and test words (such as {odd!r})"
    elif len(words) < 2:
        refusal = f"every row says {words[0]!r}" if words else "it is empty"
    elif not any(word.startswith("train") for word in words) or not any(word.startswith("test") for word in words):
        refusal = f"it says {', '.join(words)}, and a partition needs train and test"
    if refusal:
        message = f"{draft.columns.name}: column {name!r} is not used as the partition: {refusal}"
        draft.findings.append(Finding("set-ignored", "info", message))
        return None
    return draft.because(name, f"set: it says {', '.join(sorted(words))}")


def _validation(draft: Draft, used: set[str]) -> str | None:
    """FLIP marks validation rows among the training rows with True."""
    name = draft.columns.find(*VALIDATIONS)
    if name is None or name in used or not pa.types.is_boolean(draft.columns.typed[name].type):
        return None
    used.add(name)
    return draft.because(name, f"validation: a column called {name!r} of True and False")


def _group(draft: Draft, used: set[str]) -> str | None:
    if draft.section.group:
        named = draft.named("group", (draft.section.group,), needed=not draft.for_prediction)
        used.update(named)
        return named[0] if named else None
    name = draft.columns.find(*GROUPS)
    if name is None or name in used:
        return None
    n_groups = pc.count_distinct(draft.columns.typed[name]).as_py()
    if not FEWEST_GROUPS <= n_groups < len(draft.columns.typed):
        return None
    used.add(name)
    return draft.because(name, f"group: a column called {name!r}, {n_groups} groups")


def _context(draft: Draft, used: set[str]) -> tuple[str, ...]:
    if draft.section.context:
        named = draft.named("context", draft.section.context, needed=not draft.for_prediction)
        used.update(named)
        return named
    name = draft.columns.find(*CONTEXTS)
    if name is None or name in used:
        return ()
    used.add(name)
    return (draft.because(name, f"context: a column called {name!r}; rows of other {name} are other measurements"),)


def _inequality(draft: Draft, used: set[str], censoring: Censoring) -> str | None:
    """The column of signs of the target: named in `[target]`, or called so and holding nothing else."""
    columns, wanted = draft.columns, censoring.inequality
    if wanted and wanted in columns.names:
        used.add(wanted)
        return draft.because(wanted, "inequality: named in the settings")
    if wanted and not draft.for_prediction:
        absent = unknown_column(f"[target] inequality = {wanted!r}", wanted, columns)
        if censoring.needed:
            raise DataError(absent)
        draft.findings.append(Finding("no-signs", "warning", f"{absent}; all targets are taken for values"))
    name = columns.find(*INEQUALITIES)
    if name is None or name in used or pa.types.is_nested(columns.typed[name].type):
        return None
    used.add(name)
    words = pc.unique(columns.typed[name])
    odd = words.filter(pa.array(signs(words)[1]))
    if len(odd):
        message = (
            f"{columns.name}: column {name!r} is not taken for the signs of the target: it holds other things than <, = and > "
            f"(such as {odd[0].as_py()!r})"
        )
        draft.findings.append(Finding("inequality-ignored", "info", message))
        return None
    return draft.because(name, f"inequality: a column called {name!r} of <, = and >")


def _conventional(draft: Draft, role: str, names: tuple[str, ...], used: set[str]) -> str | None:
    name = draft.columns.find(*names)
    if name is None or name in used:
        return None
    used.add(name)
    return draft.because(name, f"{role}: a column called {name!r}")


def _refuse_two_roles(roles: Roles, columns: Columns) -> None:
    inputs = (*roles.sequences, *roles.covariates)
    both = [name for name in roles.targets if name in (*inputs, *roles.context)] + [
        name for name in roles.covariates if name in roles.sequences
    ]
    if both:
        raise DataError(
            f"{columns.name}: column {both[0]!r} cannot be target and input at once; name another --target or --sequence"
        )
