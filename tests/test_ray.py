"""Ray: the same bits as here, on clusters of several nodes on this machine, one of which is killed in the middle."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cartpole import TINY, collect_cartpole
from commands import fails, run
from d3rlpy_distill import Distilled, OfflineDataset, Results, distill, evaluate
from d3rlpy_distill.errors import DistillError, SettingsError
from d3rlpy_distill.evaluation import PartialBudget, Protocol
from d3rlpy_distill.executors import Board, Branch, Flow, Unit, run_flow
from d3rlpy_distill.pipeline import load
from d3rlpy_distill.sweeping import SweepConfig, load_sweep, sweep
from processes import ctrl_c, start, wait_for
from units import patient_square, work

ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed: pip install 'd3rlpy-distill[ray]'")

from d3rlpy_distill.executors.ray import RayExecutor  # noqa: E402

MEMORY = 100 * 2**20  # bytes of each node's object store
WATCHFUL = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
QUIET = {"include_dashboard": False, "object_store_memory": MEMORY}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that runs nothing, and two nodes of one core each."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(one for one in sys.path if one)  # for the workers
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": WATCHFUL, **QUIET})
    for _ in range(2):
        made.add_node(num_cpus=1, object_store_memory=MEMORY)
    made.wait_for_nodes()
    yield made
    made.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collect_cartpole(tmp_path_factory.mktemp("cartpole") / "cart.h5")


@pytest.fixture(scope="module")
def dataset(file: Path) -> OfflineDataset:
    return load(file)


@pytest.fixture(scope="module")
def soft(dataset: OfflineDataset) -> Distilled:
    return distill(dataset, "labels", n_samples=8, teacher_steps=2, n_teachers=1)


def same(a: Results, b: Results) -> None:
    assert a.names() == b.names() and a.protocol == b.protocol
    for one, other in zip(a.arms, b.arms, strict=True):
        assert (one.samples, one.bytes) == (other.samples, other.bytes)
        np.testing.assert_array_equal(one.returns, other.returns)


def test_an_evaluation_is_the_same_on_a_cluster(
    cluster: Any, dataset: OfflineDataset, soft: Distilled, tmp_path: Path
) -> None:
    """Arms of every kind of data, and a student of d3rlpy's own fit, which draws from global generators."""
    said: list[tuple[str, int, int]] = []
    settings = {"protocol": TINY, "expert": "random", "coresets": ["herding"], "out": tmp_path / "ray"}
    found = evaluate(
        dataset,
        soft,
        executor=RayExecutor(address=cluster.address),
        progress=lambda what, done, total: said.append((what, done, total)),
        **settings,  # type: ignore[arg-type]
    )
    same(found, evaluate(dataset, soft, **{**settings, "out": None}))  # type: ignore[arg-type]
    assert not ray.is_initialized() and said[-1][1] == said[-1][2] > 20
    files = {str(one.relative_to(tmp_path / "ray")) for one in (tmp_path / "ray").rglob("*.*")}
    assert {"results.json", "students/bc-10/0.safetensors", "returns/soft-8-test-greedy.json"} <= files


@pytest.mark.slow
def test_a_sweep_is_the_same_on_a_cluster(cluster: Any, file: Path, tmp_path: Path) -> None:
    """Teachers of one cell label another's samples; a plug-in of a file that the workers do not have."""
    plugin = tmp_path / "last.py"
    plugin.write_text(
        "import dataclasses\nimport numpy as np\nfrom d3rlpy_distill import Coreset, register_coreset\n"
        "@register_coreset('last')\n@dataclasses.dataclass(frozen=True, kw_only=True)\nclass Last(Coreset):\n"
        "    def choose(self, data, rng):\n        return np.arange(len(data) - self.n_samples, len(data))\n"
    )
    command = ["sweep", file, "--plugin", plugin, "--methods", "gradient,labels,last", "--sizes", "5,8"]
    few = ["--steps", 2, "--students", 2, "--episodes", 1, "--small-steps", 2, "--splits", "validation", "--json"]
    cells = []
    for options in (["--jobs", 1], ["--executor", "ray", "--address", cluster.address]):
        out = tmp_path / str(len(cells))
        result = run(*command, *few, *options, "--out", out)
        assert result.exit_code == 0, result.output
        cells.append(load_sweep(out / "sweep.json"))
    for one, other in zip(*cells, strict=True):
        assert (one.method, one.samples) == (other.method, other.samples)
        same(one.results, other.results)
    assert len(cells[0]) == 6


@pytest.mark.slow
def test_units_of_a_node_that_is_killed_are_run_again(cluster: Any, tmp_path: Path) -> None:
    """Eight units on three nodes, one of which is killed while a unit runs there. Errors come back as they are here."""
    node = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    cluster.wait_for_nodes()

    def kill() -> None:
        wait(lambda: node.node_id in {path.read_text() for path in tmp_path.iterdir()})
        cluster.remove_node(node, allow_graceful=False)
        (tmp_path / "go").touch()

    def alone(unit: Unit[Any]) -> Flow[Any]:
        (result,) = yield [unit]
        return result

    def flow() -> Flow[Any]:
        squares = yield [Branch(alone(Unit(f"number {i}", patient_square, (tmp_path, i)))) for i in range(8)]
        try:
            yield [Unit("refuses", work, ("refuse", "this"))]
        except DistillError as refused:
            return squares, str(refused)
        return squares, None

    board = Board(lambda what, done, total: None)
    killer = threading.Thread(target=kill)
    killer.start()
    with RayExecutor(address=cluster.address).open(board) as pool:
        squares, error = run_flow(flow(), pool, board)
    killer.join()
    assert error == "not this" and node not in cluster.worker_nodes
    assert squares == [(i**2, float(np.random.default_rng(i).normal(size=1000).sum())) for i in range(8)]
    begun = [path.name.partition("-")[0] for path in tmp_path.iterdir() if path.name != "go"]
    assert set(begun) == {str(i) for i in range(8)} and len(begun) == 9  # one began twice


def wait(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_sweep_survives_the_death_of_a_node(cluster: Any, file: Path, tmp_path: Path) -> None:
    """A node dies in the middle; what comes out is what comes out here."""
    node = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    cluster.wait_for_nodes()
    config = SweepConfig(steps=30, protocol=Protocol(3, 5, small=PartialBudget(400, 32)), splits=("validation",))
    here = sweep([file], ["gradient", "herding"], [5, 8], 2, tmp_path / "here", config=config)
    alive = True

    def progress(what: str, done: int, total: int) -> None:
        nonlocal alive
        if alive and done >= 6 and node.node_id[:6] in what:
            cluster.remove_node(node, allow_graceful=False)
            alive = False

    there = sweep(
        [file],
        ["gradient", "herding"],
        [5, 8],
        2,
        tmp_path / "there",
        config=config,
        executor=RayExecutor(address=cluster.address),
        progress=progress,
    )
    assert not alive and not there.failed and not here.failed
    for one, other in zip(here.cells, there.cells, strict=True):
        same(one.results, other.results)


@pytest.mark.slow
def test_ctrl_c_ends_it_and_the_same_command_goes_on(cluster: Any, file: Path, tmp_path: Path) -> None:
    sizes = ["--sizes", ",".join(map(str, range(5, 45)))]
    few = ["--steps", 1, "--students", 1, "--episodes", 1, "--small-steps", 2, "--splits", "validation"]
    command = ["sweep", file, "--out", tmp_path, "--executor", "ray", "--address", cluster.address, *few]
    process = start(*command, *sizes)
    wait_for(lambda: any(tmp_path.glob("*/results.json")), process)
    code, out, error = ctrl_c(process)
    assert (code, out) == (130, "") and error.endswith("run the same command again to go on.\n"), error
    done = sorted(int(path.parent.name.split("-")[2]) for path in tmp_path.glob("*/results.json"))
    assert 1 <= len(done) < 40 and not list(tmp_path.rglob("*.partial")) and not list(tmp_path.rglob("*.lock"))
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    again = run(*command, "--sizes", ",".join(map(str, [*done, 45])))
    assert again.exit_code == 0, again.output
    assert len(load_sweep(tmp_path / "sweep.json")) == len(done) + 1
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())


def test_what_cannot_be_is_said(cluster: Any, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [
        "--sizes",
        5,
        "--steps",
        1,
        "--students",
        1,
        "--episodes",
        1,
        "--out",
        tmp_path / "a",
        "--executor",
        "ray",
    ]
    fails(
        2,
        "the largest node of the cluster has 1",
        "sweep",
        file,
        *few,
        "--address",
        cluster.address,
        "--cores",
        64,
    )
    fails(1, "no Ray cluster answers at 127.0.0.1:1", "sweep", file, *few, "--address", "127.0.0.1:1")
    fails(2, "the executor 'local' has none", "sweep", file, *few[:-2], "--address", "auto")
    fails(2, "did you mean 'ray'", "sweep", file, *few[:-1], "rey")
    monkeypatch.setitem(sys.modules, "ray", None)
    fails(1, "pip install 'd3rlpy-distill[ray]'", "sweep", file, *few)


@pytest.mark.slow
def test_a_connection_of_the_users_own_is_taken_and_left(cluster: Any) -> None:
    ray.init(cluster.address, log_to_driver=False)
    try:
        board = Board(lambda what, done, total: None)
        with RayExecutor().open(board) as pool:
            pool.submit(Unit("square", work, ("square", 3)))
            assert pool.wait()[1].result == 9
        assert ray.is_initialized()
        with (
            pytest.raises(SettingsError, match="connected to Ray already"),
            RayExecutor(address="auto").open(board),
        ):
            pass
    finally:
        ray.shutdown()
