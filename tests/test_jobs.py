"""Tasks shared out to processes: what they make, what becomes of their errors, and tables whose members are shared out."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import seqloom
from job_tasks import careful, ended, lacking, plain, refuse, slow, squared
from seqloom.errors import ConfigError, DataError, MissingExtra, RunError
from seqloom.jobs import is_first, run_all
from seqloom.simulate import Simulation


def test_each_task_is_done_once_with_its_share_of_the_cores():
    before = os.environ.get("OMP_NUM_THREADS")
    found = dict(run_all(squared, [3, 4, 5], "2"))
    assert {place: square for place, (square, _) in found.items()} == {0: 9, 1: 16, 2: 25}
    n_threads = str(max(len(os.sched_getaffinity(0)) // 2, 1))
    assert {threads for _, threads in found.values()} == {n_threads}
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_the_error_of_a_task_is_raised():
    with pytest.raises(DataError, match="no 1"):
        list(run_all(refuse, [1], "2"))


def test_a_process_that_is_killed_is_told_as_such():
    with pytest.raises(RunError, match="ended from outside"):
        list(run_all(ended, [1, 2], "2"))


def test_ctrl_c_of_a_terminal_lets_every_process_keep_its_state(tmp_path):
    places = [tmp_path / str(number) for number in range(2)]

    def interrupt():
        while not all(each.exists() and each.read_text() for each in places):
            time.sleep(0.01)
        time.sleep(0.1)
        for process in (*(int(each.read_text()) for each in places), os.getpid()):
            os.kill(process, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        list(run_all(careful, places, "2"))
    thread.join()
    assert all((tmp_path / f"{each.name}.kept").exists() for each in places)


def test_fewer_tasks_than_processes_have_all_cores():
    ((_, (square, threads)),) = run_all(squared, [3], "64")
    assert (square, threads) == (9, str(len(os.sched_getaffinity(0))))


def test_a_script_that_begins_itself_again_is_told_why_it_fails(tmp_path):
    (tmp_path / "script.py").write_text(
        "from seqloom.jobs import is_first, run_all\nprint(list(run_all(abs, [-1], '2')))\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "below: if __name__ == '__main__':" in done.stderr


def test_an_interruption_ends_what_runs_and_begins_nothing_more(tmp_path):
    places = [tmp_path / str(number) for number in range(4)]

    def interrupted():
        for each in run_all(slow, places, "2"):
            raise AssertionError(each)

    def interrupt():
        while sum(each.exists() for each in places) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    thread.join()
    assert [each.exists() for each in places] == [True, True, False, False]


def test_launched_processes_are_refused_by_work_that_is_not_divided(tmp_path, monkeypatch):
    table = Simulation(rows=60, rule="position").table()
    monkeypatch.setenv("RANK", "1")  # alone it says nothing
    assert is_first()
    for name, value in {"LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert not is_first()
    with pytest.raises(ConfigError, match="2 processes were launched"):
        seqloom.train(table, out=tmp_path / "run", settings={"predictor.kind": "knn"})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("jobs", ["0", "-1", "many", ""])
def test_other_numbers_of_processes_are_refused(jobs):
    with pytest.raises(ConfigError, match="--jobs"):
        list(run_all(squared, [1], jobs))


def test_ray_does_the_same():
    pytest.importorskip("ray", reason="Ray is not installed")
    assert {place: square for place, (square, _) in run_all(plain, [3, 4], "ray")} == {0: 9, 1: 16}


def test_members_of_a_table_are_the_same_whoever_fits_them(tmp_path):
    table = Simulation(rows=120, rule="position").table()
    asked = {"vary": {"predictor.kind": ["linear", "knn"]}, "folds": 2, "split": "random"}
    alone = seqloom.compare(table, out=tmp_path / "alone", **asked)
    shared = seqloom.compare(table, out=tmp_path / "shared", jobs=2, **asked)
    assert [row["metrics"] for row in alone.leaderboard] == [row["metrics"] for row in shared.leaderboard]
    for fold in range(2):
        place = f"linear/fold-{fold}/seed-0/test.npy"
        np.testing.assert_array_equal(np.load(tmp_path / "alone" / place), np.load(tmp_path / "shared" / place))


def test_a_library_that_a_process_lacks_is_named():
    with pytest.raises(MissingExtra, match=r"this task needs .* 'seqloom\[chem\]'"):
        list(run_all(lacking, [1], "2"))
