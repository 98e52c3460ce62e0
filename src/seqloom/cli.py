"""The command line: one short function per verb, no logic. Everything heavy is imported inside a verb."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from seqloom.cli_generate import generate
from seqloom.errors import ConfigError
from seqloom.options import (
    Verbs,
    as_json,
    axes_of,
    data_options,
    overridden,
    packing_options,
    pairs_of,
    settings,
    shared_out,
    training_options,
)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="seqloom")
def main() -> None:
    """From a table of sequences to a model you can trust.

    Start with: seqloom compare TABLE --target COLUMN
    """


@main.command()
@click.argument("table")
@click.option("--position", help="Residues at these positions by class of the target: 1..9,-1; below 0 from the end.")
@click.option("--by", help="Column whose classes are compared by --position; numbers are divided in two.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Page (.html) of --position to write.")
@data_options
@settings
@as_json
def inspect(
    table: str,
    position: str | None,
    by: str | None,
    out: Path | None,
    json_: bool,
    settings: tuple[str, ...],
    **flags: str | None,
) -> None:
    """What is in TABLE: roles of columns, alphabets, lengths, targets, and what looks odd. Of a store: what is in it."""
    from seqloom.inspection import inspect as look
    from seqloom.sections import refuse_others, sections_of
    from seqloom.show import echo_json, inspected

    if _is_store(table):
        _inspect_store(
            Path(table), json_, {**flags, "position": position, "by": by, "out": out, "set": settings or None}
        )
        return
    sections, _ = sections_of(table)
    if by is not None and (flags["target"] not in (None, by) or position is None):
        raise ConfigError(
            f"inspect --by {by}: it names the target of --position 1..9,-1; give both, and no other --target"
        )
    flags["target"] = by or flags["target"]
    refuse_others(overridden({}, settings, flags), ("data", "target"), "inspect")
    facts = look(overridden(sections, settings, flags), positions=position or "", page=out)
    echo_json(facts) if json_ else click.echo(inspected(facts))
    if any(each["severity"] == "error" for each in facts["findings"]):
        sys.exit(1)


@main.command()
@click.argument("table")
@click.option("--by", help="How rows are divided: similarity, group, position, ...; see: seqloom describe splitter")
@click.option("--like", help="A table whose geometry the test rows should have; short for --by like.")
@click.option("--folds", type=int, help="Folds of a cross-validation; 1 holds out once.")
@click.option("--seed", type=int, help="Seed of the split.")
@click.option("--test", help="A second table, whose rows are the test rows.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Folder to write, or a file for the table with its parts."
)
@data_options
@settings
@as_json
def split(
    table: str,
    by: str | None,
    like: str | None,
    seed: int | None,
    out: Path | None,
    json_: bool,
    settings: tuple[str, ...],
    **flags: Any,
) -> None:
    """Divide TABLE into training and test rows, and audit the partition for leaks.

    Without --by: what suits the table best, by similarity where that can be.
    """
    from seqloom.division import divide
    from seqloom.sections import override, sections_of
    from seqloom.show import divided, echo_json

    sections, _ = sections_of(table)
    asked = {"split.kind": by, "split.seed": seed, **({"split.kind": "like", "split.table": like} if like else {})}
    sections = override(sections, {key: value for key, value in asked.items() if value is not None})
    facts = divide(overridden(sections, settings, flags), out)
    echo_json(facts) if json_ else click.echo(divided(facts))


@main.command()
@click.argument("source", metavar="TABLE|EXPERIMENT.toml")
@click.option("--vary", multiple=True, metavar="SECTION.KEY=A,B", help="One variant per value; may be repeated.")
@click.option(
    "--grid", multiple=True, metavar="SECTION.KEY=A,B", help="One variant per combination of all --grid values."
)
@training_options
def compare(
    source: str, json_: bool, settings: tuple[str, ...], vary: tuple[str, ...], grid: tuple[str, ...], **flags: Any
) -> None:
    """Fit several models on one table, and say which is best and how surely.

    Without an experiment file: constant, nearest, linear, knn, boosting, mlp and cnn. The same command after an interruption
    goes on where it was.
    """
    from seqloom.api import compare as run
    from seqloom.show import Bars, compared, echo_json

    with Bars() as watcher:
        out = flags.pop("out")
        result = run(
            source,
            out=out,
            settings=pairs_of(settings),
            vary=axes_of(vary),
            grid=axes_of(grid),
            watcher=watcher,
            **shared_out(flags),
        )
    echo_json(result.as_json("compare")) if json_ else compared(result)


@main.command()
@click.argument("source", metavar="TABLE|EXPERIMENT.toml")
@click.option("--inner", type=int, help="Inner folds that take turns at being valid rows.  [default: 5]")
@click.option("--rates", is_flag=True, help="Before all that: which learning rates of the nets are worth trying.")
@click.option("--vary", multiple=True, metavar="SECTION.KEY=A,B", help="One variant per value; may be repeated.")
@click.option(
    "--grid", multiple=True, metavar="SECTION.KEY=A,B", help="One variant per combination of all --grid values."
)
@training_options
def tune(
    source: str,
    inner: int | None,
    rates: bool,
    json_: bool,
    settings: tuple[str, ...],
    vary: tuple[str, ...],
    grid: tuple[str, ...],
    **flags: Any,
) -> None:
    """Choose among variants by inner folds of the training rows, and score the choice on rows that had no part in it.

    With --rates: the loss of every net at rising learning rates, and which of these to try.
    """
    from seqloom.api import rates as sweep
    from seqloom.api import tune as run
    from seqloom.show import Bars, compared, echo_json, swept

    if rates and inner is not None:
        raise ConfigError("tune --rates: it chooses nothing, and so takes no --inner; leave it out")
    with Bars() as watcher:
        asked = {
            "settings": pairs_of(settings),
            "vary": axes_of(vary),
            "grid": axes_of(grid),
            "watcher": watcher,
            **shared_out(flags),
        }
        if rates:
            facts = sweep(source, **asked)
        else:
            result = run(source, inner=5 if inner is None else inner, **asked)
    if rates:
        echo_json(facts) if json_ else click.echo(swept(facts))
        return
    echo_json(result.as_json("tune")) if json_ else compared(result)


@main.command()
@click.argument("source", metavar="TABLE|EXPERIMENT.toml")
@click.argument("predictor", required=False)
@training_options
def train(source: str, predictor: str | None, json_: bool, settings: tuple[str, ...], **flags: Any) -> None:
    """Fit one model (with naive baselines beside it) into a run folder.

    PREDICTOR is a kind such as linear or cnn; see: seqloom describe predictor
    """
    from seqloom.api import train as run
    from seqloom.show import Bars, compared, echo_json

    chosen = {"predictor.kind": predictor} if predictor else {}
    with Bars() as watcher:
        out = flags.pop("out")
        result = run(source, out=out, settings=chosen | pairs_of(settings), watcher=watcher, **shared_out(flags))
    echo_json(result.as_json("train")) if json_ else compared(result)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="File to write (.csv, .tsv or .parquet); standard output without it. Of many tables: a folder.",
)
@click.option("--sequence", help="Sequence column, or several joined by commas.")
@click.option("--fast", is_flag=True, help="Without the nearest training row of each row, domain and expected error.")
@click.option("--precision", default="", help="Of nets, on a CPU: bf16, int8, 32, or auto, whichever is fastest here.")
@click.option("--keep", is_flag=True, help="Of many tables: keep all columns, not only the id.")
@click.option("--domain", is_flag=True, help="Of many tables: with what --fast leaves out, which takes long.")
@click.option("--overwrite", is_flag=True, help="Of many tables: take away what else was predicted into the folder.")
@settings
@as_json
def predict(
    run: Path,
    tables: tuple[str, ...],
    out: Path | None,
    sequence: str | None,
    fast: bool,
    precision: str,
    settings: tuple[str, ...],
    json_: bool,
    **many: bool,
) -> None:
    """Predictions of a run (or of an experiment's best run) for every row of TABLE, and how far to believe them.

    Of several tables, or a folder of them: a Parquet file for each in the folder -o, in bounded memory. The same command
    after an interruption goes on where it was.
    """
    from seqloom.prediction import predict as run_predict
    from seqloom.shards.tables import is_many
    from seqloom.show import echo_json, predicted

    sections = overridden({}, settings, {"sequence": sequence})
    if is_many(tables, out):
        _predict_many(run, tables, out, sections, json_, many, fast=fast, precision=precision)
        return
    if given := [name for name, value in many.items() if value]:
        raise ConfigError(f"predict --{given[0]}: for many tables, into a folder; name one with -o, or leave it out")
    if json_ and out is None:
        raise ConfigError("predict --json needs a file for the predictions; add -o FILE.csv")
    facts = run_predict(run, tables[0], out, sections, fast=fast, precision=precision)
    echo_json(facts) if json_ else click.echo(predicted(facts), err=True)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("table")
@data_options
@settings
@as_json
def evaluate(run: Path, table: str, json_: bool, settings: tuple[str, ...], **flags: str | None) -> None:
    """Score a run on a TABLE with known targets, each score with its interval."""
    from seqloom.prediction import evaluate as run_evaluate
    from seqloom.show import echo_json, evaluated

    facts = run_evaluate(run, table, overridden({}, settings, flags))
    echo_json(facts) if json_ else click.echo(evaluated(facts))


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--embedding", help="Maps of what a net has learnt of residues: pca, tsne, umap, joined by commas.")
@click.option("--colour", help="Of the maps: hydropathy, charge, volume, mass, helix, strand, turn, frequency, norm.")
@click.option("--perplexity", type=float, help="Of t-SNE: how many neighbours it keeps.")
@click.option("--fold", type=int, help="Of the member whose embedding is drawn; the first by default.")
@click.option("--seed", type=int, help="Of the member whose embedding is drawn; the first by default.")
@click.option("--whole", is_flag=True, help="Draw vectors as the net reads them, with the random start they had.")
@click.option(
    "--worst", metavar="2sd|N", help="Test rows with the largest errors, and which residues stand where in them."
)
@click.option("--target", help="Column whose errors --worst looks at, of several.")
@click.option("--table", help="Where the run's table is now, if --worst does not find it.")
@as_json
def explain(run: Path, json_: bool, **asked: Any) -> None:
    """What a RUN has learnt, and where it fails; pages and tables are written to its folder explain.

    Of an experiment: its best run.
    """
    from seqloom.explain import explain as answer
    from seqloom.show import echo_json
    from seqloom.show_explain import explained

    facts = answer(run, **{name: value for name, value in asked.items() if value is not None})
    echo_json(facts) if json_ else click.echo(explained(facts))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--confusion",
    multiple=True,
    metavar="T,T,...",
    help="Divide a numeric target at these thresholds into classes, for a confusion matrix; may be repeated.",
)
@as_json
def report(folder: Path, confusion: tuple[str, ...], json_: bool) -> None:
    """Write the report of a run or experiment FOLDER again, finished or not.

    Thresholds are kept: later reports of the folder draw the same matrices.
    """
    from seqloom.api import report as write
    from seqloom.show import echo_json

    facts = write(folder, confusion=confusion or None)
    echo_json(facts) if json_ else click.echo(facts["path"])


@main.command()
@click.argument(
    "what",
    type=click.Choice(["peptides", "library", "family"]),
    default="peptides",
    metavar="[peptides|library|family]",
)
@click.option("--rows", type=int, help="Rows.")
@click.option(
    "--rule",
    help='What makes a peptide positive, e.g. "P2=L and P-1=V", "count(L)>=3"; or position, c-terminal, count, pair.',
)
@click.option("--effect", help="hard: the rule is the label; soft: it adds to a numeric target.")
@click.option(
    "--blocks", help="Of a library: CSV of building blocks with columns id and smiles.  [default: seqloom's own]"
)
@click.option("--active", type=float, help="Of a library: share of products that are active.")
@click.option("--noise", type=float, help="hard: share of labels flipped; else standard deviation of noise.")
@click.option("--clades", type=int, help="Of a family: groups of closer relatives.")
@click.option("--couplings", type=int, help="Of a family: pairs of columns that change together.")
@click.option("--length", type=int, help="Of a family: columns.")
@click.option("--long", is_flag=True, default=None, help="Of a library: a row for each product and target.")
@click.option("--seed", type=int, help="Seed.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="File to write (.csv, .parquet; .tsv)."
)
@as_json
def simulate(what: str, out: Path, json_: bool, **flags: Any) -> None:
    """A table whose right answer is known: peptides with a planted rule, products of a library, or a family of proteins."""
    from seqloom.api import simulate as write
    from seqloom.show import echo_json

    facts = write(what, out, **{name: value for name, value in flags.items() if value is not None})
    echo_json(facts) if json_ else click.echo(f"{facts['rows']:,} rows in {out} ({facts['text']})", err=True)


@main.command()
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder to write, or to go on with.")
@packing_options
@click.option("--memory", help="How much the work may take, about.  [default: 1GB]")
@click.option("--overwrite", is_flag=True, help="Make a store anew that is there already.")
@as_json
def pack(tables: tuple[str, ...], out: Path, overwrite: bool, json_: bool, **flags: Any) -> None:
    """Write TABLEs too large for memory into a store, a folder that is read in place.

    The same command after an interruption goes on where it was.
    """
    from seqloom.show import echo_json
    from seqloom.show_store import RowsBar, packed
    from seqloom.store.pack import pack as run

    given = {name: value for name, value in flags.items() if value is not None and value != ()}
    with RowsBar() as watcher:
        facts = run(tables, out, overwrite=overwrite, watcher=watcher, **given)
    echo_json(facts) if json_ else click.echo(packed(facts))


@main.command()
@click.argument("tables", nargs=-1, required=True, metavar="STORE|TABLE...|EXPERIMENT.toml")
@click.option("--rows", type=int, default=0, help="Rows of the library, if other than there are.")
@click.option("--devices", type=int, default=1, help="Devices that train one net together.  [default: 1]")
@click.option("--device", help="auto, cpu, cuda, cuda:1 or mps.")
@click.option("--vary", multiple=True, metavar="SECTION.KEY=A,B", help="One net per value; may be repeated.")
@packing_options
@settings
@as_json
def plan(
    tables: tuple[str, ...],
    rows: int,
    devices: int,
    device: str | None,
    vary: tuple[str, ...],
    settings: tuple[str, ...],
    json_: bool,
    **flags: Any,
) -> None:
    """What an experiment on a large library will cost: time, memory, disk, and what limits it.

    Of each net (cnn, transformer and mamba unless others are named) some seconds of real steps are made, on rows of the STORE
    or of the first rows of TABLEs, packed for the time being. Nothing is left behind.
    """
    from seqloom.cost.plan import plan as run
    from seqloom.sections import sections_of
    from seqloom.show import echo_json
    from seqloom.show_store import RowsBar, planned

    sections, _ = sections_of(tables[0])
    sections = overridden(sections, settings, {"device": device})
    if vary:
        sections["vary"] = {**sections.get("vary", {}), **axes_of(vary)}
    sources = [sections.get("data", {}).pop("table", tables[0]), *tables[1:]]
    packing = {name: value for name, value in flags.items() if value is not None and value != ()}
    with RowsBar() as watcher:
        facts = run(sources, sections, rows=rows, devices=devices, packing=packing, watcher=watcher)
    echo_json(facts) if json_ else click.echo(planned(facts))
    if any(each["severity"] == "error" for each in facts["findings"]):
        sys.exit(1)


@main.command()
@click.argument("family", required=False)
@click.argument("kind", required=False)
@as_json
def describe(family: str | None, kind: str | None, json_: bool) -> None:
    """What there is: all families, the kinds of a FAMILY, or the settings of one KIND."""
    from seqloom.show import described, echo_json, family_facts

    facts = family_facts(family, kind)
    echo_json(facts) if json_ else click.echo(described(facts))


def _is_store(table: str) -> bool:
    """Whether it is a folder that holds a store; asked without loading what reads one."""
    return any(Path(table, name).is_file() for name in ("manifest.json", "progress.json"))


def _inspect_store(folder: Path, json_: bool, flags: dict[str, Any]) -> None:
    from seqloom.show import echo_json
    from seqloom.show_store import store_text
    from seqloom.store.facts import store_facts

    if given := [name for name, value in flags.items() if value is not None]:
        raise ConfigError(f"inspect --{given[0]}: {folder} is a store, whose columns have their roles; leave it out")
    facts = store_facts(folder)
    echo_json(facts) if json_ else click.echo(store_text(facts))


def _predict_many(
    run: Path,
    tables: tuple[str, ...],
    out: Path | None,
    sections: dict[str, Any],
    json_: bool,
    many: dict[str, bool],
    *,
    fast: bool,
    precision: str,
) -> None:
    from seqloom.shards import predict_shards
    from seqloom.show import echo_json
    from seqloom.show_store import RowsBar, predicted_shards

    if out is None or (fast and many["domain"]):
        wrong = (
            "many tables need a folder for their predictions; add -o FOLDER" if out is None else "--fast or --domain"
        )
        raise ConfigError(f"predict: {wrong}")
    with RowsBar() as watcher:
        facts = predict_shards(run, tables, out, sections, watcher=watcher, precision=precision, **many)
    echo_json(facts) if json_ else click.echo(predicted_shards(facts), err=True)
    if facts["unread"]:
        sys.exit(1)


main.add_command(generate)

if __name__ == "__main__":
    main()
