"""The command line's verbs as functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqloom.errors import ConfigError
from seqloom.experiment import Result, Watcher
from seqloom.experiment import compare as _compare
from seqloom.model import Model
from seqloom.sections import Sections, config_text, default_folder, listed, override, sections_of
from seqloom.store.layout import is_store

FLAGS = {
    "target": "target.column", "sequence": "data.sequence", "group": "data.group", "where": "data.where", "test": "data.test",
    "split": "split.kind", "folds": "split.folds", "seeds": "train.seeds", "seed": "train.seed", "device": "train.device",
}  # fmt: skip
"""Flags of the command line, and arguments here, that are short for a setting."""


def compare(
    source: Any,
    *,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    vary: Mapping[str, Sequence[Any]] | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    watcher: Watcher | None = None,
    jobs: int | str = 1,
    **flags: Any,
) -> Result:
    """Fit several variants on one table and one partition, and say which is best and how surely.

    `source`: a table (path, or any DataFrame that speaks the Arrow PyCapsule interface), a store that `pack` made, or an
    experiment file (`.toml`). `jobs`: processes among which members are shared out, or `ray`.
    `settings`: `{"section.key": value}`; `vary` and `grid`: `{"section.key": [values]}`; `flags`: target, sequence, group,
    where, test, split, folds, seeds, seed, device. The folder `out` is made, or gone on with.
    """
    return _run(source, out, settings, vary, grid, watcher, flags, str(jobs), single=False)


def train(
    source: Any,
    *,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    jobs: int | str = 1,
    **flags: Any,
) -> Result:
    """Fit one variant (and the naive baselines beside it); its run is the folder itself. Arguments as in `compare`."""
    return _run(source, out, settings, None, None, watcher, flags, str(jobs), single=True)


def tune(source: Any, *, inner: int = 5, settings: Mapping[str, Any] | None = None, **arguments: Any) -> Result:
    """Choose among variants by `inner` folds of the training rows of each fold, and score the choice on its test rows.

    Arguments as in `compare`. ConfigError for fewer than two inner folds.
    """
    if inner < 2:
        raise ConfigError(f"tune --inner {inner}: a choice needs two inner folds or more; 5 is usual")
    return compare(source, settings={**(settings or {}), "split.inner": inner}, **arguments)


def rates(
    source: Any,
    *,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    vary: Mapping[str, Sequence[Any]] | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    watcher: Watcher | None = None,
    **flags: Any,
) -> dict[str, Any]:
    """The learning-rate range test (Smith 2017) of every net; the keys of `tune --rates --json`.

    Arguments as in `compare`; nothing is fitted to the end. ConfigError where there is no net.
    """
    from seqloom.rates import rate_ranges

    sections, data = _sections(source, settings, vary, grid, flags)
    folder = Path(out) if out is not None else Path(f"{default_folder(source, sections)}-rates")
    return rate_ranges(sections, folder, data=data, config=config_text(source, sections), watcher=watcher)


def report(folder: str | Path, *, confusion: Sequence[str | Sequence[float]] | None = None) -> dict[str, Any]:
    """Write the report of a run or experiment folder again, finished or not; its path, confusion matrices and members.

    `confusion`: thresholds in the units of the table that divide a numeric target into classes, for a matrix each; they are kept
    for later reports. None leaves what is kept, an empty list forgets it.
    """
    from seqloom.generation import conclude as generators
    from seqloom.large import page as stores
    from seqloom.report.build import report as _report

    for kind in (stores, generators):
        if kind.is_finished(Path(folder)):
            if confusion:
                raise ConfigError(
                    "report --confusion: it divides numeric targets, which there are none of here; leave it out"
                )
            return kind.report(Path(folder))
    return _report(Path(folder), confusion)


def simulate(what: str, out: str | Path, **given: Any) -> dict[str, Any]:
    """Write a table of `peptides`, a `library` or a `family` whose right answer is known; the keys of `simulate --json`.

    `given`: settings of `seqloom.simulate.Simulation`, `seqloom.library.LibrarySettings` or `seqloom.ancestry.FamilySettings`.
    """
    from seqloom.ancestry import FamilySettings
    from seqloom.library import Library, LibrarySettings, write_library
    from seqloom.prediction import write_table
    from seqloom.registry import validated
    from seqloom.simulate import Simulation

    out = Path(out)
    facts = {"command": "simulate", "path": out.as_posix()}
    if what == "library":
        library = Library.of(validated(LibrarySettings, given, "simulate library"))
        write_library(library, out)
        settings, blocks = library.settings, library.blocks
        text = (
            f"of {library.n_products:,} products of {len(blocks.acids):,} amino acids and {len(blocks.amines):,} amines"
        )
        return {**facts, "rows": settings.rows, "text": text, "settings": settings.model_dump(), "findings": []}
    if what == "family":
        family = validated(FamilySettings, given, "simulate family")
        write_table(family.table(), out)
        text = f"of {family.clades} clades, {family.couplings} pairs of columns change together"
        return {**facts, "rows": family.rows, "text": text, "settings": family.model_dump(), "findings": []}
    simulation = validated(Simulation, given, "simulate")
    write_table(simulation.table(), out)
    rule = simulation.rule
    return {**facts, "rows": simulation.rows, "text": f"rule: {rule}", "rule": rule, "findings": []}


def load(folder: str | Path) -> Model:
    """A finished run, ready to predict; of an experiment, the first on its leaderboard."""
    return Model(Path(folder))


def _run(
    source: Any,
    out: str | Path | None,
    settings: Mapping[str, Any] | None,
    vary: Mapping[str, Sequence[Any]] | None,
    grid: Mapping[str, Sequence[Any]] | None,
    watcher: Watcher | None,
    flags: Mapping[str, Any],
    jobs: str,
    *,
    single: bool,
) -> Result:
    sections, data = _sections(source, settings, vary, grid, flags)
    folder = Path(out) if out is not None else default_folder(source, sections)
    config = config_text(source, sections)
    if data is None and is_store(Path(str(sections["data"].get("table", "")))):
        from seqloom.large.experiment import compare as compare_on_store

        return compare_on_store(sections, folder, config=config, single=single, watcher=watcher, jobs=jobs)
    return _compare(sections, folder, data=data, config=config, single=single, watcher=watcher, jobs=jobs)


def _sections(
    source: Any,
    settings: Mapping[str, Any] | None,
    vary: Mapping[str, Sequence[Any]] | None,
    grid: Mapping[str, Sequence[Any]] | None,
    flags: Mapping[str, Any],
) -> tuple[Sections, Any]:
    """All that was asked as sections, and the DataFrame, if the source is one."""
    sections, data = sections_of(source)
    changes = dict(settings or {})
    for name, value in flags.items():
        if name not in FLAGS:
            raise ConfigError(
                f"no argument {name!r}; use one of {', '.join(FLAGS)}, or settings={{'section.key': value}}"
            )
        if value is not None:
            changes[FLAGS[name]] = value
    sections = override(sections, changes)
    for name, axes in (("vary", vary), ("grid", grid)):
        if axes:
            sections[name] = {**sections.get(name, {}), **{key: listed(values) for key, values in axes.items()}}
    return sections, data
