"""The verbs of `seqloom generate` as functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqloom.errors import ConfigError
from seqloom.experiment import Watcher
from seqloom.generation.evaluate import evaluate as evaluate
from seqloom.generation.experiment import Judgement
from seqloom.generation.experiment import compare as _compare
from seqloom.generation.settings import GENERATORS
from seqloom.generation.use import sample as sample
from seqloom.generation.use import score as score
from seqloom.sections import Sections, config_text, default_folder, listed, override, sections_of

FLAGS = {
    "model": "generator.kind", "sequence": "data.sequence", "where": "data.where", "condition": "natural.condition",
    "decoys": "judge.decoys", "seeds": "train.seeds", "seed": "train.seed", "device": "train.device",
    "minutes": "train.seconds",
}  # fmt: skip
"""Flags of the command line, and arguments here, that are short for a setting."""


def fit(source: Any, *, out: str | Path | None = None, **arguments: Any) -> Judgement:
    """Fit one generator and judge it beside its baseline; its run is the folder itself. Arguments as in `compare`."""
    return _run(source, out, single=True, **arguments)


def compare(source: Any, *, out: str | Path | None = None, **arguments: Any) -> Judgement:
    """Fit several generators to one family, judge samples of each beside controls, and say which to trust.

    `source`: FASTA or a table (path, or any DataFrame that speaks the Arrow PyCapsule interface), or an experiment file.
    `settings`: `{"section.key": value}`; `vary` and `grid`: `{"section.key": [values]}`; `watcher`; `jobs`; flags: model,
    sequence, where, condition, decoys, seeds, seed, device, minutes. The folder `out` is made, or gone on with.
    """
    return _run(source, out, single=False, **arguments)


def _run(
    source: Any,
    out: str | Path | None,
    *,
    single: bool,
    settings: Mapping[str, Any] | None = None,
    vary: Mapping[str, Sequence[Any]] | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    watcher: Watcher | None = None,
    jobs: int | str = 1,
    **flags: Any,
) -> Judgement:
    sections, data = sections_of(source, GENERATORS)
    changes = dict(settings or {})
    for name, value in flags.items():
        if name not in FLAGS:
            raise ConfigError(
                f"no argument {name!r}; use one of {', '.join(FLAGS)}, or settings={{'section.key': value}}"
            )
        if value is not None:
            changes[FLAGS[name]] = value * 60 if name == "minutes" else value
    sections = override(sections, changes, GENERATORS)
    for name, axes in (("vary", vary), ("grid", grid)):
        if axes:
            sections[name] = {**sections.get(name, {}), **{key: listed(values) for key, values in axes.items()}}
    folder = Path(out) if out is not None else _default_folder(source, sections)
    config = config_text(source, sections, GENERATORS)
    return _compare(sections, folder, data=data, config=config, single=single, watcher=watcher, jobs=str(jobs))


def _default_folder(source: Any, sections: Sections) -> Path:
    """`runs/<name of the file>-<kind>`."""
    folder = default_folder(source, {})
    kind = sections.get("generator", {}).get("kind", "")
    return folder.with_name(f"{folder.name}-{kind}") if kind else folder.with_name(f"{folder.name}-generators")
