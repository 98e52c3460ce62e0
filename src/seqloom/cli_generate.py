"""The verbs of `seqloom generate`: one short function each, no logic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from seqloom.options import as_json, axes_of, pairs_of, settings

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def generate() -> None:
    """Models that write sequences, judged for copying first.

    Start with: seqloom generate fit FAMILY.fasta
    """


def fitting_options(command: Command) -> Command:
    """The flags of verbs that fit."""
    for option in (
        as_json,
        settings,
        click.option("--jobs", help="Processes among which members are shared out, or ray.  [default: 1]"),
        click.option("--device", help="auto, cpu, cuda, cuda:1 or mps."),
        click.option("--seed", type=int, help="First seed."),
        click.option("--seeds", type=int, help="Members of every generator with randomness in it."),
        click.option("--minutes", type=float, help="Of training at most, for each member."),
        click.option("--decoys", help="Table of other families, by which the specificity of samples is judged."),
        click.option("--condition", help="Column that samples are conditioned on, or several joined by commas."),
        click.option("--where", help='Keep rows for which this holds, e.g. "len(sequence) < 200".'),
        click.option("--sequence", help="Sequence column."),
        click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder to write, or to go on with."),
    ):
        command = option(command)
    return command


@generate.command()
@click.argument("source", metavar="FASTA|TABLE|EXPERIMENT.toml")
@click.option("--model", help="autoregressive (default), gan, profile, ...; see: seqloom describe generator")
@fitting_options
def fit(source: str, model: str | None, json_: bool, settings: tuple[str, ...], **flags: Any) -> None:
    """Fit one generator, with a profile beside it, and judge what it writes."""
    from seqloom.generation.api import fit as run
    from seqloom.show import Bars, echo_json
    from seqloom.show_generate import judged

    with Bars() as watcher:
        result = run(source, model=model, settings=pairs_of(settings), watcher=watcher, **given(flags))
    echo_json(result.as_json("generate fit")) if json_ else judged(result)


@generate.command()
@click.argument("source", metavar="FASTA|TABLE|EXPERIMENT.toml")
@click.option("--vary", multiple=True, metavar="SECTION.KEY=A,B", help="One variant per value; may be repeated.")
@click.option(
    "--grid", multiple=True, metavar="SECTION.KEY=A,B", help="One variant per combination of all --grid values."
)
@fitting_options
def compare(
    source: str, json_: bool, settings: tuple[str, ...], vary: tuple[str, ...], grid: tuple[str, ...], **flags: Any
) -> None:
    """Fit several generators to one family, and say which to trust.

    Without an experiment file: autoregressive and gan, beside the profile.
    """
    from seqloom.generation.api import compare as run
    from seqloom.show import Bars, echo_json
    from seqloom.show_generate import judged

    with Bars() as watcher:
        result = run(
            source, settings=pairs_of(settings), vary=axes_of(vary), grid=axes_of(grid), watcher=watcher, **given(flags)
        )
    echo_json(result.as_json("generate compare")) if json_ else judged(result)


@generate.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-n", "n", type=int, default=1000, show_default=True, help="Sequences.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="FASTA or table to write; standard output without it."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Other seeds draw other sequences.")
@click.option("--member", type=int, help="Seed of the member that writes; the first by default.")
@click.option("--prefix", help="Symbols that every sequence begins with.")
@click.option(
    "--condition", "conditions", multiple=True, metavar="COLUMN=VALUE", help="What to condition on; may be repeated."
)
@click.option("--temperature", type=float, help="Below 1: more usual sequences; above 1: more diverse ones.")
@click.option("--truncation", type=float, help="Of a gan, below 1: nearer to the middle of its latent space.")
@as_json
def sample(run: Path, n: int, out: Path | None, json_: bool, conditions: tuple[str, ...], **flags: Any) -> None:
    """Sequences that a RUN (or the best run of a comparison) writes."""
    from seqloom.errors import ConfigError
    from seqloom.generation.run import fasta
    from seqloom.generation.use import sample as write
    from seqloom.show import echo_json

    if json_ and out is None:
        raise ConfigError("generate sample --json needs a file for the sequences; add -o FILE.fasta")
    facts = write(run, n, out, conditions=conditions, **flags)
    if json_:
        echo_json(facts)
    elif out is None:
        sequences = facts["sequences"]
        click.echo(fasta([f"sample-{number}" for number in range(1, n + 1)], sequences), nl=False)
    else:
        click.echo(f"{facts['rows']:,} sequences, {facts['distinct']:,} of them distinct, in {facts['path']}", err=True)


@generate.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("table", metavar="FASTA|TABLE")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="Table to write (.csv, .tsv, .parquet)."
)
@click.option("--member", type=int, help="Seed of the member that scores; the first by default.")
@as_json
def score(run: Path, table: str, out: Path, member: int | None, json_: bool) -> None:
    """How likely a RUN finds each sequence, and which natural sequence is nearest to it."""
    from seqloom.generation.use import score as write
    from seqloom.show import echo_json

    facts = write(run, table, out, member=member)
    echo_json(facts) if json_ else click.echo(f"{facts['rows']:,} sequences in {facts['path']}", err=True)


@generate.command()
@click.argument("samples", metavar="FASTA|TABLE")
@click.option("--family", required=True, metavar="RUN|FASTA", help="The natural sequences that they should be like.")
@click.option("--decoys", help="Table of other families, by which the specificity of samples is judged.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder to write.")
@settings
@as_json
def evaluate(
    samples: str, family: str, decoys: str | None, out: Path | None, json_: bool, settings: tuple[str, ...]
) -> None:
    """Judge sequences that any tool has written: copies, family, diversity, dependencies between columns."""
    from seqloom.generation.api import evaluate as run
    from seqloom.show import echo_json
    from seqloom.show_generate import evaluated

    facts = run(samples, family, out=out, decoys=decoys, settings=pairs_of(settings))
    echo_json(facts) if json_ else click.echo(evaluated(facts))


def given(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given."""
    return {name: value for name, value in flags.items() if value is not None}
