"""The flags that verbs share, what is read from them, and how a verb ends that went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from seqloom.errors import ConfigError, SeqloomError
from seqloom.interrupts import terminable

INTERRUPTED = 130

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "json_", is_flag=True, help="Machine-readable result on stdout, all else on stderr.")
settings = click.option(
    "--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Change any setting; may be repeated."
)


def data_options(command: Command) -> Command:
    """The flags of every verb that reads a table."""
    for option in (
        click.option(
            "--where", help="Keep rows for which this holds, e.g. \"mhc == 'HLA-A*02:01' and len(sequence) == 9\"."
        ),
        click.option("--group", help="Column of groups that must not be divided between training and test."),
        click.option("--sequence", help="Sequence column, or several joined by commas."),
        click.option("--target", help="Target column, or several joined by commas."),
    ):
        command = option(command)
    return command


def training_options(command: Command) -> Command:
    """The flags of verbs that train."""
    for option in (
        as_json,
        settings,
        click.option("--jobs", help="Processes among which members are shared out, or ray.  [default: 1]"),
        click.option("--device", help="auto, cpu, cuda, cuda:1 or mps."),
        click.option("--seed", type=int, help="First seed."),
        click.option("--seeds", type=int, help="Members per fold of predictors with randomness in them."),
        click.option("--folds", type=int, help="Folds of a cross-validation; 1 holds out once."),
        click.option(
            "--split",
            help="How rows are divided: similarity, random, group, position, ...; see: seqloom describe splitter",
        ),
        click.option("--test", help="A second table, whose rows are the test rows."),
        click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder to write, or to go on with."),
    ):
        command = option(command)
    return data_options(command)


def packing_options(command: Command) -> Command:
    """The flags that say what the columns of large tables mean, and what becomes of their rows."""
    for option in (
        click.option(
            "--repeats", help="stop (default) or keep: of a long table, rows of a molecule that do not stand together."
        ),
        click.option("--bad-rows", help="stop (default) or skip: what becomes of rows that cannot be packed."),
        click.option("--alphabet", help="protein, dna, rna or smiles; found by content without it."),
        click.option("--canonical", is_flag=True, default=None, help="Bring molecules to RDKit's canonical SMILES."),
        click.option(
            "--rewrite", multiple=True, metavar="OLD=NEW", help="Replace text in every sequence; may be repeated."
        ),
        click.option(
            "--component", help="Columns of names that rows share, such as building blocks, joined by commas."
        ),
        click.option("--value", help="Of a long table: column of 0, 1 or nothing."),
        click.option(
            "--entity-target", help="Of a long table, a row for each sequence and target: column that names the target."
        ),
        click.option(
            "--target", help="Columns of 0, 1 or nothing, joined by commas; of a long table, names of its targets."
        ),
        click.option("--sequence", help="Column of the sequences."),
    ):
        command = option(command)
    return command


class Verbs(click.Group):
    """Shows mistakes of the user as one message and exit code 1, interruptions as 130."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        try:
            with terminable():
                return super().invoke(ctx)
        except SeqloomError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted; the same command goes on from here", err=True)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            sys.exit(0)
        except OSError as error:  # a folder that cannot be written, a full disk
            click.echo(f"error: {error.filename or 'file system'}: {error.strerror or error}", err=True)
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of use."""
        return list(self.commands)


def pairs_of(settings: tuple[str, ...]) -> dict[str, Any]:
    """Values by `section.key` of what --set was given."""
    from seqloom.sections import parse_value

    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: write section.key=value")
        pairs[key.strip()] = parse_value(value.strip())
    return pairs


def axes_of(axes: tuple[str, ...]) -> dict[str, list[Any]]:
    """Lists of values by `section.key` of what --vary or --grid was given."""
    from seqloom.sections import parse_value, split_values

    found = {}
    for axis in axes:
        key, equals, values = axis.partition("=")
        if not equals or "." not in key:
            raise ConfigError(f"--vary or --grid {axis}: write section.key=value,value")
        found[key.strip()] = [parse_value(value) for value in split_values(values)]
    return found


def shared_out(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags, without --jobs where it was not given."""
    return {name: value for name, value in flags.items() if name != "jobs" or value is not None}


def overridden(sections: dict[str, Any], settings: tuple[str, ...], flags: dict[str, str | None]) -> dict[str, Any]:
    """Sections changed by flags and what --set was given."""
    from seqloom.api import FLAGS
    from seqloom.sections import override

    changes = {FLAGS[name]: value for name, value in flags.items() if value is not None}
    return override(sections, changes | pairs_of(settings))
