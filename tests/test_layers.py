"""Imports go downwards only, and starting up stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

LAYERS = (
    "errors findings interrupts files jobs splitmix registry alphabet tokens connected metrics stats interval chance resample bootstrap verdict",
    "read canonical where roles store lookup table mutation chemistry patch check replicates censored joined calibrate",
    "target similarity split encode quality summary rule simulate ancestry blocks library domain training_rows uncertainty answers shift positions",
    "nn training predict generate",
    "sections drafts config environment run model plan folds held_out experiment evaluation slices conclude prediction shards cost inspection division compare"
    " ensemble nested rates explain compress report large generation",
    "api estimators show show_explain show_store show_generate options cli_generate cli serve __init__ __main__",
)
"""From the lowest up; a name stands for the module or folder and all inside it. A module imports from its own
line and from the lines above it, which are lower layers."""


@pytest.mark.parametrize(
    "path", sorted((SOURCE / "seqloom").rglob("*.py")), ids=lambda path: path.relative_to(SOURCE).as_posix()
)
def test_a_module_imports_only_from_its_own_layer_or_lower_ones(path: Path) -> None:
    module = module_name(path)
    own = layer(module)
    upward = [
        f"{module} (line {line}) imports {imported}"
        for imported, line in imports(path)
        if is_ours(imported) and layer(imported) > own
    ]
    assert not upward, "imports go downwards only (see LAYERS):\n" + "\n".join(upward)


def test_a_module_unknown_to_the_table_is_named() -> None:
    with pytest.raises(AssertionError, match=r"add 'novelty' to LAYERS"):
        layer("seqloom.novelty.something")


def test_relative_late_and_submodule_imports_are_seen(tmp_path: Path) -> None:
    package = tmp_path / "seqloom"
    (package / "split").mkdir(parents=True)
    (package / "run.py").touch()
    late = package / "split" / "late.py"
    late.write_text("def assign():\n    from ..run import Run\n    from seqloom import run\n    from . import base\n")
    assert [name for name, _ in imports(late, tmp_path)] == ["seqloom.run", "seqloom.run", "seqloom.split"]


def test_metrics_never_see_torch() -> None:
    folder = SOURCE / "seqloom"
    paths = [folder / "metrics.py"] if (folder / "metrics.py").exists() else sorted((folder / "metrics").rglob("*.py"))
    assert paths
    assert not [name for path in paths for name, _ in imports(path) if name.split(".")[0] == "torch"]
    assert "torch" not in loaded_by("import seqloom.metrics", ["torch"])


@pytest.mark.parametrize("module", ["seqloom", "seqloom.cli"])
def test_starting_up_loads_no_heavy_library(module: str) -> None:
    assert loaded_by(f"import {module}", ["torch", "sklearn", "pyarrow", "matplotlib"]) == []


def layer(module: str) -> int:
    """Index of the layer of a dotted name; the names inside `seqloom` itself count as the top."""
    part = [*module.split("."), "__init__"][1]
    for index, names in enumerate(LAYERS):
        if part in names.split():
            return index
    raise AssertionError(f"{module}: a new part of the house; add {part!r} to LAYERS in {Path(__file__).name}")


def is_ours(module: str) -> bool:
    return module.split(".")[0] == "seqloom"


def module_name(path: Path, source: Path = SOURCE) -> str:
    """`seqloom.split.base` for its file, `seqloom.split` for the `__init__` of the folder."""
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, source: Path = SOURCE) -> Iterator[tuple[str, int]]:
    """Every imported module with its line, at whatever depth of the file, for type checking or not."""
    module = module_name(path, source).split(".")
    package = module if path.name == "__init__.py" else module[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = source.joinpath(*origin.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield (f"{origin}.{alias.name}" if is_module else origin), node.lineno


def loaded_by(statement: str, libraries: list[str]) -> list[str]:
    """Which of the libraries a fresh interpreter holds after the statement."""
    code = f"import sys\n{statement}\nprint(*[name for name in {libraries!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
