"""Many people at once: a call that is interrupted goes on, a worker that is killed is replaced."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from calibration.demo import save_recording
from calibration.people.cell import Reading, Task
from calibration.people.person import read_people
from calibration.people.run import run_tasks
from rt_decoder.files.model_file import load_model
from tests.language import tiny_bert
from tests.lsl_loopback import wait_for
from tests.small import finish, small_recipe, small_recording, start
from tests.test_study import QUICK, fit, two


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two people's recordings with their events."""
    folder = tmp_path / "data"
    folder.mkdir()
    for session in (1, 2):
        save_recording(small_recording(session=session), folder / f"rec{session}.xdf")
    return folder


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("language") / "tiny-bert")


@pytest.mark.slow
def test_an_interrupted_call_goes_on(data, tmp_path, capsys, language_model) -> None:
    out = tmp_path / "out"
    table = two(data)
    more = ("--embedding", str(language_model), "--layers", "0,1,2", "--windows", "0.4,0.8")
    running = start("fit", "--people", table, "-o", out, *QUICK, *more, program="calibration")
    wait_for(lambda: len(list((out / "cells").glob("*.json"))) >= 2, 120)
    running.send_signal(signal.SIGINT)
    ran = finish(running)
    assert ran.code == 130, ran.err
    assert "of 12 cells; the same command goes on" in ran.err
    finished = {path.name: path.stat().st_mtime_ns for path in (out / "cells").glob("*.json")}
    assert 2 <= len(finished) < 12
    for path in (out / "cells").glob("*.rtd.safetensors"):
        load_model(path)  # none is half written
    again = fit(capsys, table, out, *more, "--jobs", "2")
    assert again.code == 0, again.err
    assert again.out.count(": kept") == len(finished)
    assert again.out.count(": fitted") == 12 - len(finished)
    for name, changed in finished.items():
        assert (out / "cells" / name).stat().st_mtime_ns == changed


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of a cluster that loses a worker
def test_a_cluster_that_loses_a_worker_fits_all(data, tmp_path, language_model) -> None:
    distributed = pytest.importorskip("distributed")
    from threading import Thread

    out = tmp_path / "cells"
    out.mkdir()
    people = read_people(two(data), [])
    recipes = [
        small_recipe(
            target={"embedding": str(language_model), "layer": layer, "names": {}},
            features={"tmax": window},
        ).to_dict()
        for window in (0.4, 0.6, 0.8)
        for layer in (0, 1)
    ]
    tasks = [Task(one, (recipe,), Reading(), out) for one in people for recipe in recipes]
    outcomes: list[Any] = []
    killed: list[int] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
    ) as cluster:
        watched = distributed.Client(cluster.scheduler_address, set_as_default=False)
        pids = watched.run(os.getpid)

        def kill_one() -> None:
            wait_for(lambda: len(outcomes) >= 2, 200)
            wait_for(lambda: any(watched.processing().values()), 60)
            at_work = next(address for address, keys in watched.processing().items() if keys)
            killed.append(pids[at_work])
            os.kill(pids[at_work], signal.SIGKILL)  # this worker, by its number

        killer = Thread(target=kill_one)
        killer.start()
        run_tasks(tasks, outcomes.extend, address=cluster.scheduler_address)
        killer.join()
        watched.close()
    assert killed
    assert sorted(one.name for one in outcomes) == sorted(n for task in tasks for n in task.names)
    assert {one.how for one in outcomes} <= {"fitted", "kept"}
    assert len(list(out.glob("*.json"))) == len(tasks)
