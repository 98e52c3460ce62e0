"""The documentation is executed: its commands run, and it names all there is."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from seqloom.cli import main
from seqloom.generation.settings import GENERATORS
from seqloom.generation.settings import PLAIN as GENERATOR_SECTIONS
from seqloom.registry import FOLDERS, available, fields_of
from seqloom.sections import PLAIN_SECTIONS, SECTIONS

ROOT = Path(__file__).parent.parent
PAGES = {
    page: (ROOT / page).read_text() for page in ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
}


@pytest.mark.parametrize("page", ["README.md", "docs/cli.md"])
def test_every_verb_is_in_the_readme_and_on_the_command_line_page(page):
    for verb in main.commands:
        assert re.search(rf"`(seqloom )?{verb}\b", PAGES[page]), verb


def test_every_kind_and_every_section_is_named_somewhere():
    everything = "\n".join(PAGES.values())
    for section in (*SECTIONS, *GENERATORS.sections):
        assert f"[{section}]" in everything, section
    for family in FOLDERS:
        for kind in available(family):
            assert kind == "pls" or f"`{kind}`" in everything, f"{family} {kind}"


def test_every_key_of_the_plain_sections_is_documented_in_the_reference():
    reference = PAGES["docs/settings.md"]
    for section, cls in PLAIN_SECTIONS.items():
        for field in fields_of(cls):
            assert f"`{field.name}`" in reference, f"{section}.{field.name}"


def test_no_page_speaks_of_settings_that_do_not_exist():
    for page, text in PAGES.items():
        for section, key in re.findall(r"--(?:set|vary|grid) (\w+)\.(\w+)=", text):
            if section in GENERATOR_SECTIONS and key in GENERATOR_SECTIONS[section].model_fields:
                continue
            if section in PLAIN_SECTIONS:
                assert key in PLAIN_SECTIONS[section].model_fields, f"{page}: {section}.{key}"
            else:
                assert section in (*SECTIONS, "generator", "section"), f"{page}: {section}.{key}"


@pytest.mark.slow
def test_the_commands_of_the_readme_run_one_after_the_other(tmp_path):
    commands = [
        line for block in re.findall(r"```sh\n(.*?)```", PAGES["README.md"], re.DOTALL) for line in block.splitlines()
    ]
    commands = [line for line in commands if line.startswith("seqloom ")]
    assert len(commands) > 6
    setup = ["simulate --rows 150 --effect soft -o t.csv", "simulate --rows 20 --seed 1 -o new.csv"]
    runner = [sys.executable, "-m", "seqloom.cli"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for line in setup:
        subprocess.run([*runner, *shlex.split(line)], check=True, cwd=tmp_path, env=environment)
    (tmp_path / "table.csv").write_text((tmp_path / "t.csv").read_text().replace("target", "y", 1))
    (tmp_path / "experiment.toml").write_text(
        '[data]\ntable = "table.csv"\n[target]\ncolumn = "y"\n[[variant]]\npredictor.kind = "linear"\n'
    )
    for line in commands:
        done = subprocess.run(
            [*runner, *shlex.split(line)[1:]], cwd=tmp_path, capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    import seqloom

    monkeypatch.chdir(tmp_path)
    table = seqloom.Simulation(rows=60, effect="soft").table().rename_columns(["id", "sequence", "y"])
    import pyarrow.csv as csv

    csv.write_csv(table, "table.csv")
    (block,) = re.findall(r"```python\n(.*?)```", PAGES["README.md"], re.DOTALL)
    block = block.replace('out="runs/first")', 'out="runs/first", settings={"predictor.kind": "linear"})')
    exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "runs" / "first" / "report.html").exists()


def test_the_page_of_settings_is_what_the_classes_say():
    import importlib.util

    spec = importlib.util.spec_from_file_location("settings_page", ROOT / "docs" / "settings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert PAGES["docs/settings.md"] == module.page(), "type: python docs/settings.py"
