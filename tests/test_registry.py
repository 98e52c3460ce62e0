"""How a kind is found, built and described, and a plugin that nobody told seqloom about."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from pydantic import Field

import seqloom
from seqloom.errors import ConfigError
from seqloom.registry import (
    Recipe,
    available,
    build,
    describe,
    nearest,
    recipe_class,
    settings_of,
    validated,
)

PLUGIN = Path(__file__).parent / "plugin"
FAMILIES = ("predictor", "encoder", "splitter")


class Toy(Recipe):
    """A toy.

    It has settings of every kind
    of type.
    """

    depth: Annotated[int, Field(ge=1)] = 3
    """How deep."""
    rate: float = 0.5
    """How fast."""
    mode: Literal["fast", "slow"] = "fast"
    """Which way."""
    hidden: tuple[int, ...] = (8, 4)
    """How wide."""
    name: str = ""
    """What it is called."""
    limit: float | None = None
    """How far."""


def refused(family, **settings):
    with pytest.raises(ConfigError) as caught:
        build(family, settings)
    return str(caught.value)


def test_an_unknown_kind_is_refused_with_the_nearest_name_and_all_there_are():
    message = refused("predictor", kind="cnnn")
    assert message.startswith(
        "[predictor] kind = 'cnnn': no such predictor; did you mean 'cnn'?; available: boosting, cnn"
    )


def test_a_kind_that_resembles_none_gets_no_guess():
    assert "did you mean" not in refused("encoder", kind="zzzzzz")


@pytest.mark.parametrize("kind", [1, True, ["cnn", "mlp"], {"cnn": 1}])
def test_a_kind_that_is_no_text_is_refused_as_unknown(kind):
    assert "no such predictor" in refused("predictor", kind=kind)


def test_a_missing_kind_lists_those_there_are():
    kinds = ", ".join(available("splitter"))
    assert "group, hobohm9" in kinds
    assert refused("splitter") == f"[splitter] needs a kind; available: {kinds}"


def test_an_unknown_family_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="no family 'predictors' of recipes; did you mean 'predictor'"):
        available("predictors")


def test_all_mistakes_are_said_at_once_each_with_its_place_and_value():
    lines = refused("predictor", kind="cnn", widht=3, layers="x", dropout=2).splitlines()
    assert len(lines) == 3
    unknown = "[predictor] kind = 'cnn': no setting 'widht'; did you mean 'width'?; available: width, kernel"
    assert any(line.startswith(unknown) for line in lines)
    assert any("[predictor] layers = 'x': " in line and "integer" in line for line in lines)
    assert any("[predictor] dropout = 2: " in line and "less than 1" in line for line in lines)


def test_one_of_a_closed_set_is_refused_with_the_set():
    with pytest.raises(ConfigError, match=r"\[toy\] mode = 'fsat': .*'fast' or 'slow'"):
        validated(Toy, {"mode": "fsat"}, "[toy]")


def test_a_list_may_be_written_with_commas():
    assert validated(Toy, {"hidden": "64, 32"}, "[toy]").hidden == (64, 32)
    assert validated(Toy, {"hidden": [64, 32]}, "[toy]").hidden == (64, 32)
    with pytest.raises(ConfigError, match=r"\[toy\] hidden\.1 = 'x'"):
        validated(Toy, {"hidden": "64,x"}, "[toy]")


def test_a_number_is_a_name_where_a_name_is_wanted():
    assert validated(Toy, {"name": 7}, "[toy]").name == "7"


def test_a_recipe_does_not_change():
    with pytest.raises(ValueError, match="frozen"):
        build("predictor", {"kind": "knn"}).k = 3


def test_what_settings_of_gives_builds_the_same_recipe_again():
    for family in FAMILIES:
        for kind in available(family):
            if kind != "lightgbm":
                recipe = build(family, {"kind": kind})
                assert settings_of(recipe)["kind"] == kind
                assert build(family, settings_of(recipe)) == recipe
    assert "limit" not in settings_of(Toy())  # TOML has no word for absent


def test_a_description_is_taken_from_the_class_text():
    found = describe("splitter", "random")
    assert found.title == "Rows at random."
    assert found.text.startswith("Flatters any model when rows are related")
    assert {field.name: field.default for field in found.fields}["test"] == 0.2
    assert all(field.text for field in found.fields)


def test_types_are_described_in_plain_words():
    from seqloom.registry import fields_of

    assert {field.name: (field.type, field.text) for field in fields_of(Toy)} == {
        "depth": ("int", "How deep."),
        "rate": ("float", "How fast."),
        "mode": ("fast | slow", "Which way."),
        "hidden": ("tuple[int, ...]", "How wide."),
        "name": ("str", "What it is called."),
        "limit": ("float | None", "How far."),
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_in_the_folder_can_be_built_under_its_name(family):
    for kind in available(family):
        if kind == "lightgbm" and importlib.util.find_spec("lightgbm") is None:
            continue
        cls = recipe_class(family, kind)
        assert (cls.family, cls.kind) == (family, kind)


def test_the_nearest_name_is_found_whatever_the_case():
    assert nearest("KNN", ("knn", "cnn")) == "; did you mean 'knn'?"
    assert nearest("mhc", ("MHC",)) == "; did you mean 'MHC'?"
    assert nearest("qqq", ("knn",)) == ""
    assert nearest("x", ()) == ""


# A package of its own, seen from a fresh process.


def package(folder, name, code, points):
    """An installed package: a module and the metadata an installer writes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(code, "utf-8")
    metadata = folder / f"{name}-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n", "utf-8")
    lines = "".join(
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()) for group, entries in points.items()
    )
    (metadata / "entry_points.txt").write_text(lines, "utf-8")
    return folder


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The folder in which the package of tests/plugin is installed, by pip where it can build."""
    folder = tmp_path_factory.mktemp("plugin")
    if importlib.util.find_spec("pip") and importlib.util.find_spec("setuptools"):
        copy = shutil.copytree(PLUGIN, folder / "source")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-build-isolation", "--no-index", "--target", str(folder / "site"), str(copy)]
        subprocess.run(command, check=True, capture_output=True)
        return folder / "site"
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text("utf-8"))["project"]
    code = (PLUGIN / "src" / "seqloom_pls.py").read_text("utf-8")
    return package(folder / "site", "seqloom_pls", code, project["entry-points"])


def python(folder, code, *arguments):
    """A fresh process with `folder` on its path."""
    paths = [str(folder), str(Path(seqloom.__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


COMMANDS = """
import contextlib, io, json, sys
from seqloom.cli import main
answers = []
for command in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        main(command, prog_name="seqloom", standalone_mode=False)
    answers.append(said.getvalue())
print(json.dumps({"answers": answers, "torch": "torch" in sys.modules}))
"""


def test_a_plugin_is_available_without_importing_it(plugin):
    code = "from seqloom.registry import available; import sys; print(*available('predictor'), 'seqloom_pls' in sys.modules)"
    *kinds, imported = python(plugin, code).stdout.split()
    assert "pls" in kinds
    assert kinds == sorted(kinds)
    assert imported == "False"


def test_a_plugin_is_described_compared_and_predicts_without_torch(plugin, tmp_path):
    rng = np.random.default_rng(0)
    letters = rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), (60, 9))
    sequences = ["".join(row) for row in letters]
    y = (letters == "L").sum(1) + 2.0 * (letters[:, 0] == "A") + rng.normal(0, 0.1, 60)
    table, out, answer = tmp_path / "t.csv", tmp_path / "run", tmp_path / "predicted.csv"
    pa.csv.write_csv(pa.table({"sequence": sequences, "y": y}), table)
    settings = ["--set", "predictor.kind=pls", "--set", "predictor.components=3", "--set", "report.draws=100"]
    commands = [
        ["describe", "predictor", "pls", "--json"],
        ["compare", str(table), *settings, "-o", str(out), "--json"],
        ["predict", str(out / "pls"), str(table), "-o", str(answer), "--json"],
    ]
    done = python(plugin, COMMANDS, json.dumps(commands))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    described, compared, predicted = map(json.loads, said["answers"])
    assert "Latent components." in json.dumps(described)
    assert {row["variant"] for row in compared["leaderboard"]} == {
        "pls",
        "constant",
        "nearest",
        "linear",
        "composition",
    }
    assert "components = 3" in (out / "pls" / "resolved.toml").read_text("utf-8")
    assert predicted["rows"] == 60
    predictions = pa.csv.read_csv(answer)["pred"].to_numpy()
    assert np.corrcoef(predictions, y)[0, 1] > 0.8
    assert said["torch"] is False


def test_a_plugin_of_a_name_that_is_taken_is_refused(tmp_path):
    folder = package(tmp_path, "seqloom_again", "", {"seqloom.predictor": {"knn": "seqloom_again:KNN"}})
    done = python(folder, "from seqloom.registry import available; available('predictor')")
    assert "two members call themselves predictor 'knn'" in done.stderr
    assert "seqloom_again:KNN" in done.stderr


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_library", "its module seqloom_broken cannot be imported: No module named 'no_such_library'"),
        ("x = 1", 'it needs @register("predictor", "broken")'),
    ],
)
def test_a_plugin_that_does_not_work_is_named_when_it_is_asked_for_and_else_harms_nothing(tmp_path, code, said):
    folder = package(tmp_path, "seqloom_broken", code, {"seqloom.predictor": {"broken": "seqloom_broken:Broken"}})
    ask = (
        "from seqloom.registry import build\n"
        "build('predictor', {'kind': 'knn'})\n"
        "try: build('predictor', {'kind': 'broken'})\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = python(folder, ask)
    assert done.stdout.startswith("ConfigError [predictor] kind = 'broken'"), done.stderr
    assert said in done.stdout
