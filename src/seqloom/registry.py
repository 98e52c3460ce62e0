"""Recipes (frozen, documented configuration classes) and how one is found by its kind.

A member is one file: `@register("predictor", "cnn")` on a Recipe. Built-ins are found by reading the files of their
folder, plugins by their entry point (`seqloom.predictor`, ...); either is imported only when it is built or described, so
that asking for a linear model never imports torch.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from seqloom.errors import ConfigError

FOLDERS = {
    "predictor": "seqloom.predict",
    "encoder": "seqloom.encode",
    "splitter": "seqloom.split",
    "generator": "seqloom.generate",
}


class Recipe(BaseModel):
    """A frozen set of documented settings; unknown keys are refused. Each field's text stands as a string below it."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        coerce_numbers_to_str=True,  # `--set target.positive=0` names the class '0'
    )

    kind: ClassVar[str] = ""
    family: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, settings: Any) -> Any:
        """`a,b` is a list where a list is wanted, and `true` a name where a name is, so that flags need no quotes."""
        if not isinstance(settings, dict):
            return settings
        return {name: cls._meant(name, value) for name, value in settings.items()}

    @classmethod
    def _meant(cls, name: str, value: Any) -> Any:
        field = cls.model_fields.get(name)
        if field is None:
            return value
        if isinstance(value, str) and get_origin(field.annotation) is tuple:
            return [part.strip() for part in value.split(",") if part.strip()]
        return str(value).lower() if isinstance(value, bool) and field.annotation is str else value


RecipeType = TypeVar("RecipeType", bound=type[Recipe])
AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)

_registered: dict[tuple[str, str], type[Recipe]] = {}


def register(family: str, kind: str) -> Callable[[RecipeType], RecipeType]:
    """A class decorator that makes a Recipe available as `[family] kind = "<kind>"`."""

    def add(recipe: RecipeType) -> RecipeType:
        recipe.kind, recipe.family = kind, family
        _registered[family, kind] = recipe
        return recipe

    return add


def available(family: str) -> tuple[str, ...]:
    """Kinds of the family, sorted, without importing any of them."""
    return tuple(sorted(_modules(family)))


def recipe_class(family: str, kind: str) -> type[Recipe]:
    """The class registered as `kind`; ConfigError with the nearest names if there is none."""
    modules = _modules(family)
    if str(kind) not in modules:  # what stands in a TOML file may be anything
        raise ConfigError(
            f"[{family}] kind = {kind!r}: no such {family}{nearest(str(kind), modules)}; available: {', '.join(sorted(modules))}"
        )
    if (family, kind) not in _registered:
        try:
            importlib.import_module(modules[kind])
        except ImportError as error:
            raise ConfigError(
                f"[{family}] kind = {kind!r}: its module {modules[kind]} cannot be imported: {error}"
            ) from error
    try:
        return _registered[family, kind]
    except KeyError:
        raise ConfigError(
            f"[{family}] kind = {kind!r}: importing {modules[kind]} registered nothing of that name; "
            f'it needs @register("{family}", "{kind}")'
        ) from None


def build(family: str, settings: Mapping[str, Any]) -> Recipe:
    """The recipe of `settings["kind"]` with the other settings as its fields; ConfigError lists all that is wrong."""
    rest = dict(settings)
    kind = rest.pop("kind", None)
    if kind is None:
        raise ConfigError(f"[{family}] needs a kind; available: {', '.join(available(family))}")
    return validated(recipe_class(family, kind), rest, f"[{family}]")


def validated(cls: type[AnyRecipe], settings: Mapping[str, Any], where: str) -> AnyRecipe:
    """`cls(**settings)`, with every mistake said in one ConfigError that starts with `where`."""
    try:
        return cls.model_validate(settings)
    except ValidationError as error:
        lines = [_problem(problem, cls, where) for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from None


class Field(NamedTuple):
    """One setting, as `seqloom describe` shows it."""

    name: str
    type: str
    default: Any
    text: str


class Description(NamedTuple):
    """A kind in words."""

    family: str
    kind: str
    title: str
    text: str
    fields: tuple[Field, ...]


def describe(family: str, kind: str) -> Description:
    """Title, text and fields of a kind, all taken from its class text."""
    cls = recipe_class(family, kind)
    title, _, text = (cls.__doc__ or "").strip().partition("\n")
    return Description(family, kind, title, re.sub(r"\n {4}", "\n", text).strip(), fields_of(cls))


def fields_of(cls: type[Recipe]) -> tuple[Field, ...]:
    """The documented settings of a Recipe, in the order they are written."""
    return tuple(
        Field(name, _type_text(field.annotation), field.get_default(call_default_factory=True), field.description or "")
        for name, field in cls.model_fields.items()
    )


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """`{"kind": ..., every field}`: what `build` takes back, ready for TOML."""
    settings = recipe.model_dump(mode="json", exclude_none=True)
    return {"kind": recipe.kind, **settings} if recipe.kind else settings


def nearest(name: str, names: Collection[str]) -> str:
    """'; did you mean 'x'?' or nothing."""
    close = difflib.get_close_matches(name.lower(), [each.lower() for each in names], n=1, cutoff=0.5)
    original = {each.lower(): each for each in names}
    return f"; did you mean {original[close[0]]!r}?" if close else ""


@cache
def _modules(family: str) -> dict[str, str]:
    if family not in FOLDERS:
        raise ConfigError(f"no family {family!r} of recipes{nearest(family, FOLDERS)}; there are: {', '.join(FOLDERS)}")
    modules = dict(_kinds_in_folder(family))
    for point in entry_points(group=f"seqloom.{family}"):
        if point.name in modules:
            raise ConfigError(
                f"two members call themselves {family} {point.name!r}: {modules[point.name]} and {point.value}; "
                "uninstall one of them or ask its author to rename it"
            )
        modules[point.name] = point.value.partition(":")[0]
    return modules


def _kinds_in_folder(family: str) -> dict[str, str]:
    package = FOLDERS[family]
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return {}
    pattern = re.compile(rf'^@register\("{family}", "([a-z0-9-]+)"\)', re.MULTILINE)
    return {
        kind: f"{package}.{path.stem}"
        for folder in spec.submodule_search_locations
        for path in sorted(Path(folder).glob("*.py"))
        for kind in pattern.findall(path.read_text("utf-8"))
    }


def _problem(problem: Mapping[str, Any], cls: type[Recipe], where: str) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        names = list(cls.model_fields)
        owner = f"{where} kind = {cls.kind!r}" if cls.kind else where
        return f"{owner}: no setting {name!r}{nearest(name, names)}; available: {', '.join(names) or 'none'}"
    reason = str(problem["msg"])
    reason = reason.removeprefix("Value error, ")
    return f"{where} {name} = {problem['input']!r}: {reason}" if name else f"{where}: {reason}"


def _type_text(annotation: Any) -> str:
    options = get_args(annotation)
    if get_origin(annotation) is Literal:
        return " | ".join(map(str, options))
    return (
        annotation.__name__ if isinstance(annotation, type) and not options else str(annotation).replace("typing.", "")
    )
