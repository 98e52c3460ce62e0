"""The split by time: every test row is later than every training row."""

from datetime import date, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.errors import ConfigError, DataError, LeakError
from seqloom.split.base import UNUSED
from seqloom.table import DataSection, read_table
from split_tables import PLENTY, assigned, of, parted, sides, table_of


def in_time(times, sequences=PLENTY, **columns):
    return table_of(sequences[: len(times)], when=times, **columns)


SORTS_OF_TIME = {
    "years": [2000 + row % 20 for row in range(100)],
    "numbers": [row * 0.37 for row in range(100)],
    "dates": [str(date(2020, 1, 1) + timedelta(days=7 * row)) for row in range(100)],
    "date-times": [f"2021-03-{1 + row // 24:02d}T{row % 24:02d}:30:00" for row in range(100)],
    "days of Arrow": [date(2020, 1, 1) + timedelta(days=row) for row in range(100)],
    "stamps of Arrow": [datetime(2020, 1, 1) + timedelta(seconds=row) for row in range(100)],
    "months": [f"20{10 + row // 12}-{1 + row % 12:02d}" for row in range(100)],
}


@pytest.mark.parametrize("sort", SORTS_OF_TIME)
@pytest.mark.parametrize("folds", [1, 4])
def test_every_test_row_is_later_than_every_training_row(sort, folds):
    order = np.random.default_rng(0).permutation(100)
    times = [SORTS_OF_TIME[sort][row] for row in order]
    partition, audit = parted(in_time(times), "time", column="when", folds=folds)
    tested_so_far = []
    for fold in range(folds):
        fitted, tested = sides(partition, fold)
        assert max(of(times, fitted)) < min(of(times, tested))
        assert len(tested) == 20
        unused = partition.rows(fold, UNUSED)
        assert not len(unused) or min(of(times, unused)) > max(of(times, tested))
        tested_so_far += tested.tolist()
        assert len(fitted) == 80 - 20 * (folds - 1 - fold)
    assert len(set(tested_so_far)) == 20 * folds
    assert audit.facts["guarantee"] == "every test row is later than every training row of its fold"


@given(st.lists(st.integers(0, 12), min_size=5, max_size=60), st.integers(1, 4), st.floats(0.05, 0.95))
def test_rows_of_one_moment_stand_on_one_side_however_many_tie(times, folds, share):
    try:
        partition, _ = parted(in_time(times), "time", column="when", folds=folds, test=share)
    except DataError as error:
        assert len(set(times)) < folds + 1
        assert f"{len(set(times))} distinct times" in str(error)  # noqa: PT017
        return
    for fold in range(folds):
        fitted, tested = sides(partition, fold)
        assert max(of(times, fitted)) < min(of(times, tested))
    if folds == 1:  # no other cut between two moments is nearer to the share asked for
        goal = (1 - share) * len(times)
        off = min(abs(sum(time < cut for time in times) - goal) for cut in set(times) if cut > min(times))
        assert abs(len(fitted) - goal) == pytest.approx(off)


@pytest.mark.parametrize(("after", "first"), [("2010", 2010), ("2009.5", 2010), (2019, 2019)])
def test_everything_from_a_moment_on_is_tested(after, first):
    times = SORTS_OF_TIME["years"]
    fitted, tested = sides(parted(in_time(times), "time", column="when", after=after)[0])
    assert of(times, tested) == set(range(first, 2020))
    assert of(times, fitted) == set(range(2000, first))


def test_from_a_date_on_in_stretches_with_all_before_as_the_past():
    times = SORTS_OF_TIME["dates"]
    partition, _ = parted(in_time(times), "time", column="when", after="2021", folds=2)
    (past, first), (more, second) = sides(partition, 0), sides(partition, 1)
    assert max(of(times, past)) < "2021-01-01" <= min(of(times, first))
    assert set(more) == {*past, *first}
    assert min(of(times, second)) > max(of(times, first))
    assert abs(len(first) - len(second)) <= 1


def test_zones_are_brought_to_one_and_a_year_is_its_first_day():
    times = ["2021-01-01T01:00:00+05:00", "2020-12-31T21:00:00Z", "2021", "2021-01-02"] + [
        f"2019-01-{d:02d}" for d in range(1, 17)
    ]
    partition, _ = parted(in_time(times), "time", column="when", after="2020-12-31T20:30:00")
    assert sides(partition)[1].tolist() == [1, 2, 3]  # the first row is 20:00 in UTC
    stamps = pa.array([datetime(2021, 1, day, tzinfo=timezone(timedelta(hours=5))) for day in range(1, 11)])
    assert sides(parted(in_time(stamps), "time", column="when")[0])[1].tolist() == [8, 9]


def test_rows_without_a_time_are_unused_with_a_reason_and_those_without_a_target_do_not_count():
    times = [None, "NA", *range(2000, 2020)]
    partition, audit = parted(in_time([None if each is None else str(each) for each in times]), "time", column="when")
    assert partition.rows(0, UNUSED).tolist() == [0, 1]
    assert audit.facts["unused"] == {"no time in column 'when'": 2}
    target = np.where(np.arange(100) < 50, 1.0, np.nan)  # the later half was not measured
    partition, _ = parted(in_time([float(row) for row in range(100)], y=target), "time", column="when")
    assert sides(partition)[1].tolist() == list(range(40, 50))


def test_inputs_that_come_again_are_shared_as_the_user_says():
    table = in_time(list(range(21)), sequences=[*PLENTY[:20], PLENTY[3]])
    with pytest.raises(LeakError, match="1 shared inputs"):
        parted(table, "time", column="when")
    partition, _ = parted(table, "time", column="when", shared="unused")
    assert partition.rows(0, UNUSED).tolist() == [3]


def test_what_is_no_time_is_named():
    times = [str(day) for day in SORTS_OF_TIME["days of Arrow"]]
    times[4], times[9] = "03/04/2021", "2021-13-40"
    with pytest.raises(
        DataError, match=r"'when': 2 of 100 values are no ISO dates, .* row 5: '03/04/2021', row 10: '2021-13-40'"
    ):
        parted(in_time(times), "time", column="when")
    with pytest.raises(DataError, match=r"1 of 100 values are no numbers, as the others are: row 3: 'soon'"):
        parted(in_time(["soon" if row == 2 else f"{row}.5" for row in range(100)]), "time", column="when")


def test_times_that_cannot_be_cut_and_columns_that_are_not_there_are_refused():
    table = in_time([2001.0] * 50 + [2002.0] * 50)
    with pytest.raises(DataError, match="2 distinct times of rows with a target cannot make 4 stretches"):
        parted(table, "time", column="when", folds=3)
    with pytest.raises(DataError, match="1 distinct times"):
        parted(in_time([2001.0] * 50), "time", column="when")
    with pytest.raises(DataError, match=r"no row with a target is earlier than 1990; move --set split\.after"):
        parted(table, "time", column="when", after="1990")
    with pytest.raises(DataError, match=r"no row with a target is from 2030 on; move"):
        parted(table, "time", column="when", after="2030")
    with pytest.raises(ConfigError, match=r"after = 'soon': column 'when' holds numbers"):
        parted(table, "time", column="when", after="soon")
    with pytest.raises(ConfigError, match=r"no column 'whem'; did you mean 'when'\?"):
        parted(table, "time", column="whem")
    with pytest.raises(ConfigError, match=r"needs the column of times; name it with --set split\.column=COLUMN"):
        parted(table, "time")


def test_measured_numbers_of_a_published_table_serve_as_time(data):
    table = read_table(data / "peptides/rt_luna_silica.csv", DataSection(), ("RT",))
    partition = assigned(table, "time", column="RT", folds=3)
    for fold in range(3):
        fitted, tested = sides(partition, fold)
        assert table.numeric("RT")[fitted].max() < table.numeric("RT")[tested].min()
