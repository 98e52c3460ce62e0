"""Writes `docs/settings.md`: every setting, from the text below each field of the classes themselves."""

from collections.abc import Iterator
from pathlib import Path

from seqloom.generation.settings import PLAIN as GENERATOR_SECTIONS
from seqloom.registry import FOLDERS, Field, available, describe, fields_of
from seqloom.sections import PLAIN_SECTIONS

HEAD = """# Settings

Every setting of the experiment file, and so of `--set section.key=value`. `seqloom describe FAMILY KIND` shows the same
of one kind. This page is written by `python docs/settings.py` from the classes themselves.
"""
SECTION_OF = {"splitter": "split", "encoder": "encoder", "predictor": "predictor", "generator": "generator"}


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for section, cls in PLAIN_SECTIONS.items():
        parts += [f"## [{section}]", (cls.__doc__ or "").strip().splitlines()[0], "\n".join(table(fields_of(cls)))]
    for section, cls in GENERATOR_SECTIONS.items():
        if section != "data":  # which is the same for all
            parts += [
                f"## [{section}] of generators",
                " ".join((cls.__doc__ or "").split()),
                "\n".join(table(fields_of(cls))),
            ]
    for family in FOLDERS:
        parts += [
            f"## [{SECTION_OF[family]}]",
            f"`kind` is one of {', '.join(f'`{kind}`' for kind in available(family))}.",
        ]
        for kind in available(family):
            found = describe(family, kind)
            parts += [f"### {family} `{kind}`", " ".join(f"{found.title} {found.text}".split())]
            parts += ["\n".join(table(found.fields))] if found.fields else []
    return "\n\n".join(part.strip() for part in parts) + "\n"


def table(fields: tuple[Field, ...]) -> Iterator[str]:
    """A row per setting."""
    yield "| key | default | type | |"
    yield "| --- | --- | --- | --- |"
    for field in fields:
        cells = (f"`{field.name}`", f"`{field.default!r}`", field.type, " ".join(field.text.split()))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
