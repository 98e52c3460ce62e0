"""Findings about the values of targets and covariates: limits of an assay, orders of magnitude, what cannot be."""

import numpy as np
import pyarrow as pa
import pytest

from check_tables import codes, found, peptides, read
from seqloom.table import DataSection, Table, read_table

# --- limits of an assay ----------------------------------------------------------------------------------------------


def capped(n: int, limit: float) -> np.ndarray:
    return np.minimum(np.random.default_rng(2).lognormal(5, 2, n), limit)


def test_a_limit_at_the_top_is_named_with_the_filter_that_leaves_it_out():
    y = capped(1000, 2000)
    n = int((y == 2000).sum())
    finding = found(read(y), "assay-limit")
    assert finding.severity == "warning"
    assert finding.count == n
    assert f"2000 occurs {n} times ({n / 1000:.1%}) at the top of 'y'" in finding.message
    assert "probably '> 2000', a limit of the assay" in finding.message
    filtered = read(y, DataSection(where=finding.message.split('--where "')[1].rstrip('"')))
    assert filtered.n_rows == 1000 - n
    assert "assay-limit" not in codes(filtered)


def test_a_limit_at_the_bottom_is_named_as_one():
    message = found(read(np.maximum(capped(1000, np.inf), 20)), "assay-limit").message
    assert "at the bottom of 'y'" in message
    assert "probably '< 20'" in message


def test_a_limit_with_values_beyond_it_is_near_the_top():
    y = capped(1000, 2000)
    y[:40] = np.linspace(2100, 9000, 40)
    assert "near the top of 'y'" in found(read(y), "assay-limit").message


def test_rows_that_are_bounds_by_their_sign_are_known_already():
    y = capped(1000, 2000)
    signs = np.where(y == 2000, ">", "=").tolist()
    assert "assay-limit" not in codes(read(y, inequality=signs))
    signs = ["="] * 1000
    assert "of the rows that are no bound" in found(read(y, inequality=signs), "assay-limit").message


@pytest.mark.parametrize(
    "y",
    [
        np.random.default_rng(3).normal(size=2000),
        np.round(np.random.default_rng(3).normal(size=2000), 1),
        np.random.default_rng(3).poisson(40, 2000),
        np.random.default_rng(3).geometric(0.05, 2000),
        np.random.default_rng(3).zipf(3, 2000),
        np.random.default_rng(3).integers(0, 12, 2000),
        np.random.default_rng(3).uniform(size=2000),
        np.random.default_rng(3).exponential(size=2000),
        np.concatenate([np.random.default_rng(3).normal(size=2000), np.zeros(300)]),
        np.round(np.random.default_rng(3).lognormal(5, 2, 2000), -1) + 10,
        np.where(
            np.random.default_rng(3).uniform(size=2000) < 0.3,
            np.round(np.linspace(9, 46, 2000)),
            np.linspace(9, 46, 2000),
        ),
    ],
    ids=[
        "normal",
        "rounded",
        "poisson",
        "geometric",
        "zipf",
        "grades",
        "uniform",
        "exponential",
        "no change",
        "tens",
        "favourites",
    ],
)
def test_ordinary_distributions_have_no_limit(y: np.ndarray):
    assert not {"assay-limit", "zeros"} & codes(read(y))


def test_zeros_at_the_bottom_are_said_in_their_own_words_and_zeros_among_counts_not_at_all():
    y = np.concatenate([np.zeros(200), np.random.default_rng(4).exponential(size=800)])
    finding = found(read(y), "zeros")
    assert finding.severity == "info"
    assert "0 occurs 200 times (20.0%) at the bottom of 'y'" in finding.message
    assert "either nothing was there to be measured, or it was too little for the assay" in finding.message
    counts = np.concatenate([np.zeros(500, np.int64), np.random.default_rng(4).poisson(60, 500)])
    assert not {"assay-limit", "zeros"} & codes(read(counts))


def test_a_wild_type_measured_many_times_is_no_limit():
    y = np.concatenate([np.random.default_rng(5).uniform(0, 1, 400), np.ones(60)])
    sequences = peptides(400) + ["MKVLAAGG"] * 60
    assert "assay-limit" not in codes(read_table(pa.table({"sequence": sequences, "y": y})))


# --- orders of magnitude ---------------------------------------------------------------------------------------------


def test_many_orders_of_magnitude_suggest_the_logarithm():
    y = np.logspace(0, 6, 500)
    message = found(read(y), "wide-range").message
    assert "'y' spans 5.9 orders of magnitude (1.07 to 9.33e+05, the middle 99 %), all above 0" in message
    assert "--set target.transform=log" in message
    assert "wide-range" not in codes(read(np.logspace(0, 3, 500)))
    assert "wide-range" not in codes(read(np.concatenate([np.logspace(0, 6, 500), [0.0]])))
    assert "wide-range" not in codes(read(np.concatenate([np.logspace(0, 1, 500), [1e-9]])))


# --- impossible values -----------------------------------------------------------------------------------------------


def enzymes(n_swapped: int) -> Table:
    """Melting temperatures and pH of 1,000 enzymes, some of them swapped, as in a table that is well known for it."""
    rng = np.random.default_rng(6)
    ph, tm = rng.choice([5.5, 7.0, 8.0], 1000), np.round(rng.normal(51, 12, 1000), 1)
    ph[:n_swapped], tm[:n_swapped] = tm[:n_swapped].copy(), ph[:n_swapped].copy()
    names = [f"enzyme-{row}" for row in range(1000)]
    return read_table(pa.table({"seq_id": names, "protein_sequence": peptides(1000), "pH": ph, "tm": tm}))


def test_swapped_ph_and_temperature_are_recognised():
    table = enzymes(29)
    assert table.roles.targets == ("tm",)
    finding = found(table, "impossible-values")
    assert (finding.severity, finding.count, finding.rows) == ("warning", 29, (1, 2, 3, 4, 5))
    assert "29 of 1,000 values of 'pH' cannot be: a pH lies within 0 to 14: row 1 (enzyme-0): " in finding.message
    assert "29 rows have pH > 14 and tm within 0 to 14: pH and tm look swapped" in finding.message
    assert "--set data.patch=FILE" in finding.message
    assert "impossible-values" not in codes(enzymes(0))


@pytest.mark.parametrize(
    ("name", "ordinary", "odd"),
    [
        ("ph", 7.0, -1.0),
        ("assay_pH", 7.0, 70.0),
        ("Tm", 50.0, -999.0),
        ("temperature (C)", 25.0, -300.0),
        ("IC50_nM", 250.0, -1.0),
        ("Kd (uM)", 90.0, -5.0),
        ("probability", 0.5, 1.2),
        ("percent_identity", 80.0, 101.0),
        ("pident", 80.0, 250.0),
    ],
)
def test_values_that_a_name_forbids_are_found(name: str, ordinary: float, odd: float):
    column = [ordinary] * 30 + [ordinary / 2] * 9 + [odd]
    finding = found(read(np.linspace(0, 1, 40), **{name: column}), "impossible-values")
    assert (finding.count, finding.rows) == (1, (40,))
    assert f"row 40: {odd:g}" in finding.message


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("delta_pH", [7.0] * 39 + [-1.0]),
        ("log_ic50", [2.0] * 39 + [-1.0]),
        ("kd", [2.0, -1.0] * 20),  # logarithms, whatever the name
        ("pKi", [7.0] * 39 + [-1.0]),
        ("dTm", [1.0] * 39 + [-300.0]),
        ("ph_score", [70.0] * 40),
        ("pH", [70.0] * 40),  # most of them: another thing than pH
        ("probability", [55.0] * 40),  # per cent
        ("fident", [0.8] * 40),
        ("graph", [70.0] * 40),
        ("identity", ["same", "other"] * 20),
        ("tm", [330.0] * 40),  # kelvin
        ("tm", [None] * 40),
    ],
)
def test_names_and_values_that_are_something_else_are_left_alone(name: str, column: list[object]):
    table = read(
        np.linspace(0, 1, 40), **{name: pa.array(column, pa.string() if column[0] == "same" else pa.float64())}
    )
    assert "impossible-values" not in codes(table)
