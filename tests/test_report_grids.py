"""Settings varied together: heat maps of the report, and what is no grid."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from report_folders import Folder, edit, report, text_of, write_experiment
from seqloom.report.facts import read_facts
from seqloom.report.grids import grid_sections

RATES, DECAYS = (0.05, 0.001, 0.01), ("t^0", "t^-1")


def grid(*axes: tuple[str, tuple[Any, ...]], without: int = 0) -> Folder:
    """An experiment of one variant per combination, its name being its place; the first is the base of all."""
    keys = [key for key, _ in axes]
    cells = list(product(*(values for _, values in axes)))[: None if not without else -without]
    changes = {
        f"mlp-{k}": {key: [old, new] for key, old, new in zip(keys, cells[0], cell, strict=True) if old != new}
        for k, cell in enumerate(cells)
    }
    return Folder(variants=(*changes, "constant"), changes=changes, n_rows=12)


def test_two_settings_make_a_map_of_their_scores(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", grid(("train.lr", RATES), ("train.schedule", DECAYS)))
    (section,) = grid_sections(read_facts(folder))
    (heat,) = section.maps
    assert (heat.row_key, heat.column_key, heat.columns) == ("train.lr", "train.schedule", DECAYS)
    assert [name for name, _ in heat.rows] == ["0.001", "0.01", "0.05"], (
        "numbers rise whatever the order they are given in"
    )
    shown = [[cell.text for cell in cells if cell] for _, cells in heat.rows]
    assert shown == [["0.700", "0.600"], ["0.500", "0.400"], ["0.900", "0.800"]]
    page = report(folder)
    assert "The spearman of every combination on test rows" in text_of(page)
    assert len(re.findall(r'<td style="--p:', page[page.index('<table class="heat">') :])) >= 6


def test_the_best_and_those_not_told_from_it_are_outlined(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", grid(("train.lr", RATES), ("train.schedule", DECAYS)))
    (section,) = grid_sections(read_facts(folder))
    cells = {cell.run.name: cell for _, row in section.maps[0].rows for cell in row if cell}
    assert [name for name, cell in cells.items() if cell.is_best] == ["mlp-0"]
    assert {name for name, cell in cells.items() if cell.is_like_best} == {"mlp-0", "mlp-1"}
    html = report(folder)
    assert html.count('class="alike best"') == 1
    assert html.count('class="alike"') == 1


def test_a_third_setting_makes_a_map_for_each_of_its_values(tmp_path: Path) -> None:
    axes = (("predictor.width", (8, 16)), ("train.lr", RATES), ("train.schedule", DECAYS))
    (section,) = grid_sections(read_facts(write_experiment(tmp_path / "e", grid(*axes))))
    assert [heat.title for heat in section.maps] == ["predictor.width = 8", "predictor.width = 16"]
    assert all(len(heat.rows) == 3 and all(all(row) for _, row in heat.rows) for heat in section.maps)


def test_a_missing_combination_is_an_empty_cell(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", grid(("train.lr", RATES), ("train.schedule", DECAYS), without=1))
    (section,) = grid_sections(read_facts(folder))
    assert [cell is None for _, row in section.maps[0].rows for cell in row].count(True) == 1
    report(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"mlp-0": {}, "mlp-1": {"train.lr": [1, 2]}, "mlp-2": {"train.lr": [1, 3]}, "mlp-3": {"train.lr": [1, 4]}},
        {"mlp-0": {}, "mlp-1": {"a.b": [1, 2]}, "mlp-2": {"a.c": [1, 3]}, "mlp-3": {"a.d": [1, 4]}},
    ],
    ids=["one setting", "one at a time"],
)
def test_what_is_no_grid_has_no_map(changes: dict[str, Any], tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder(variants=tuple(changes), changes=changes, n_rows=12))
    assert grid_sections(read_facts(folder)) == ()
    assert "Settings varied together" not in report(folder)


def test_an_undefined_score_is_no_best(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", grid(("train.lr", RATES), ("train.schedule", DECAYS)))
    nothing = {"value": None, "low": None, "high": None}
    edit(folder / "leaderboard.json", lambda board: board["leaderboard"][0]["metrics"].update(spearman=nothing))
    (section,) = grid_sections(read_facts(folder))
    cells = {cell.run.name: cell for _, row in section.maps[0].rows for cell in row if cell}
    assert cells["mlp-0"].text == "undefined"
    assert cells["mlp-1"].is_best
    report(folder)
