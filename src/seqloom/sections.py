"""The experiment file as it is written: its sections read, overridden from the command line, refused where they are unknown.

Raw settings are plain dictionaries, section by section, as TOML gives them. What they mean for a table is in `config`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from seqloom.calibrate.settings import CalibrateSection
from seqloom.errors import ConfigError
from seqloom.mutation.wild_type import is_sequence
from seqloom.registry import Recipe, nearest
from seqloom.table import DataSection
from seqloom.target import TargetSection
from seqloom.training.settings import TrainSection

Settings = dict[str, Any]
Sections = dict[str, Any]
"""Settings by section, and under `variant` a list of them."""
SECTIONS = ("data", "target", "split", "encoder", "predictor", "train", "calibrate", "report")
SPREADS = ("variant", "vary", "grid")


class ReportSection(Recipe):
    """The `[report]` section: what is scored, and how its intervals are drawn."""

    metrics: tuple[str, ...] = ()
    """Metrics; the first decides the order of the leaderboard. By default those usual for the task."""
    draws: Annotated[int, Field(ge=100)] = 1000
    """Bootstrap draws of every interval."""
    by: tuple[str, ...] = ("length",)
    """Parts of the test rows that are scored by themselves: by `length`, `group`, a column, or an expression as in `--where`,
    which may have a name: `nine-mers: len(sequence) == 9`. Bands of identity to the nearest training row are always scored."""


PLAIN_SECTIONS: Mapping[str, type[Recipe]] = {
    "data": DataSection, "target": TargetSection, "train": TrainSection, "calibrate": CalibrateSection,
    "report": ReportSection,
}  # fmt: skip


class Frame(NamedTuple):
    """How experiment files of one kind are laid out."""

    sections: tuple[str, ...]
    main: str
    """The section whose `kind` names a variant that has no other name."""
    varied: tuple[str, ...]
    """Sections that may differ between variants of one experiment."""
    paths: tuple[tuple[str, str], ...]
    """Settings that name files."""


PREDICTORS = Frame(
    sections=SECTIONS,
    main="predictor",
    varied=("target", "encoder", "predictor", "train", "calibrate"),
    paths=(
        ("data", "table"), ("data", "test"), ("data", "patch"), ("data", "wild_type"), ("encoder", "path"), ("split", "table"),
    ),
)  # fmt: skip


def read_toml(path: Path, frame: Frame = PREDICTORS) -> Sections:
    """The sections of an experiment file; paths in it are taken from the file's own folder.

    A file that begins with `base = "other.toml"` has all of that file, its own settings over it; `[[variant]]`, `[vary]` and
    `[grid]` of its own take the place of the base's.
    """
    return _read_toml(path, frame, ())


def _read_toml(path: Path, frame: Frame, above: tuple[Path, ...]) -> Sections:
    """The sections of a file, `above` being the files that build on it."""
    try:
        sections: Sections = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    base = sections.pop("base", None)
    refuse_unknown_sections(sections, frame)
    for section, key in frame.paths:
        value = sections.get(section, {}).get(key)
        if key == "wild_type" and isinstance(value, str) and is_sequence(value):
            continue
        if isinstance(value, str) and value:
            sections[section][key] = _beside(path, value)
    for key in ("add", "lookup"):
        files = sections.get("data", {}).get(key)
        if isinstance(files, dict):
            sections["data"][key] = {name: _beside(path, str(value)) for name, value in files.items()}
    if base is None:
        return sections
    if not isinstance(base, str):
        raise ConfigError(f'{path}: base = {base!r}: name one experiment file, such as base = "base.toml"')
    beneath = path.parent / base
    if beneath.resolve() in {each.resolve() for each in (*above, path)}:
        raise ConfigError(f"{path}: base = {base!r}: files build on each other in a circle")
    return _over(_read_toml(beneath, frame, (*above, path)), sections, frame)


def _over(base: Sections, own: Sections, frame: Frame) -> Sections:
    """Own settings over those of the base; a section of another kind takes over none of the base's keys."""
    spread = any(name in own for name in SPREADS)
    merged = {name: value for name, value in base.items() if name not in SPREADS or not spread}
    for name, value in own.items():
        merged[name] = over(base.get(name, {}), value) if name in frame.sections else value
    return merged


def over(shared: Settings, own: Settings) -> Settings:
    """Own keys over shared ones; settings of another kind are not taken over."""
    if "kind" in own and own["kind"] != shared.get("kind", own["kind"]):
        return dict(own)
    return {**shared, **own}


def _beside(path: Path, value: str) -> str:
    """A path as it is meant in the file at `path`: from its folder, unless absolute or `data:`."""
    return value if value.startswith("data:") or PurePath(value).is_absolute() else (path.parent / value).as_posix()


def override(sections: Sections, changes: Mapping[str, Any], frame: Frame = PREDICTORS) -> Sections:
    """`sections` with `section.key` values replaced."""
    merged = {name: dict(value) if isinstance(value, dict) else value for name, value in sections.items()}
    for dotted, value in changes.items():
        section, _, key = dotted.partition(".")
        if not key:
            raise ConfigError(f"--set {dotted}: write section.key=value; sections: {', '.join(frame.sections)}")
        if section not in frame.sections:
            raise ConfigError(
                f"--set {dotted}: no section {section!r}{nearest(section, frame.sections)}; sections: {', '.join(frame.sections)}"
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
    """`a,[1,2],{b=3,c=4},"d,e"` at the commas outside brackets of any kind and quotes; nothing between two commas is no value.

    A quote is one at the beginning of a value or within brackets; elsewhere, as in `5'`, it is a sign like any other.
    """
    values, depth, quote, escaped = [""], 0, "", False
    for sign in text:
        if quote:
            quote = "" if sign == quote and not escaped else quote
            escaped = sign == "\\" and quote == '"' and not escaped
        elif sign in "\"'" and (depth or not values[-1].strip()):
            quote = sign
        elif sign == "," and not depth:
            values.append("")
            continue
        else:
            depth = max(depth + (sign in "([{") - (sign in ")]}"), 0)
        values[-1] += sign
    return [value.strip() for value in values if value.strip()]


def refuse_others(sections: Sections, used: Sequence[str], who: str) -> None:
    """ConfigError for settings that `who` would pass over: only sections, or `section.key`s, of `used` are taken."""
    keys = [f"{section}.{key}" for section, settings in sections.items() for key in settings]
    unused = [key for key in keys if not any(key == each or key.startswith(f"{each}.") for each in used)]
    if unused:
        raise ConfigError(f"{', '.join(unused)}: {who} takes settings of {', '.join(used)} only; leave it out")


def refuse_unknown_sections(sections: Sections, frame: Frame = PREDICTORS) -> None:
    known = (*frame.sections, *SPREADS)
    for name, value in sections.items():
        if name not in known:
            raise ConfigError(f"no section [{name}]{nearest(name, known)}; sections: {', '.join(known)}")
        if name == "variant" and not (isinstance(value, list) and all(isinstance(each, dict) for each in value)):
            raise ConfigError("variants are written as [[variant]], with two brackets")
        if name != "variant" and not isinstance(value, dict):
            raise ConfigError(f"{name} = {value!r}: {name} is a section; write [{name}] and its keys below")


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


def listed(values: Any) -> list[Any]:
    """Values of an axis, also written `a,b` as on the command line."""
    return [parse_value(value) for value in split_values(values)] if isinstance(values, str) else list(values)


def sections_of(source: Any, frame: Frame = PREDICTORS) -> tuple[Sections, Any]:
    """Sections of an experiment file, or of a table alone; and the DataFrame, if it is one."""
    if not isinstance(source, str | Path):
        return {"data": {}}, source
    if str(source).endswith(".toml"):
        return read_toml(Path(source), frame), None
    return {"data": {"table": str(source)}}, None


def config_text(source: Any, sections: Sections, frame: Frame = PREDICTORS) -> str:
    """What the user wrote: the experiment file byte for byte, below it what its base and flags make of it; or flags as TOML."""
    import tomli_w

    asked = tomli_w.dumps(sections)
    if not (isinstance(source, str | Path) and str(source).endswith(".toml")):
        return asked
    text = Path(source).read_text("utf-8")
    if "base" not in tomllib.loads(text) and read_toml(Path(source), frame) == sections:
        return text
    whole = "".join(f"# {line}\n" for line in asked.splitlines())
    return f"{text}\n# with its base and command-line settings, all in all:\n{whole}"


def default_folder(source: Any, sections: Sections) -> Path:
    """`runs/<name of the file>[-<target>]`."""
    if not isinstance(source, str | Path):
        return Path("runs") / "table"
    path = Path(str(source).removeprefix("data:"))
    stem = path.name.partition(".")[0] or path.parent.name
    target = sections.get("target", {}).get("column", []) if path.suffix != ".toml" else []
    named = target.split(",") if isinstance(target, str) else list(target)
    return Path("runs") / slug("-".join([stem, *named[:2]]))
