"""Executors: units here and in processes, retries, shared values; flows, which wait for units and for one another."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cartpole import TINY, collect_cartpole
from d3rlpy_distill import OfflineDataset, distill, evaluate, make_task
from d3rlpy_distill.catalogue import EXECUTORS, METHODS
from d3rlpy_distill.errors import DistillError, SettingsError, UnknownNameError
from d3rlpy_distill.executors import Board, Branch, Flow, LocalExecutor, Pool, Unit, run_flow
from d3rlpy_distill.executors.base import Ended
from d3rlpy_distill.executors.interrupts import without_interrupts
from d3rlpy_distill.pipeline import load
from units import work


def nobody() -> Board:
    return Board(lambda what, done, total: None)


class Listener:
    """Notes what units say."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def begun(self, unit: Unit[Any], node: str) -> None:
        self.heard.append((unit.name, node))

    def told(self, unit: Unit[Any], done: int, total: int) -> None:
        self.heard.append((unit.name, done, total))


def unit(what: str, value: Any, cores: int = 1) -> Unit[Any]:
    return Unit(f"{what} {value}", work, (what, value), cores)


@contextlib.contextmanager
def opened(jobs: int) -> Iterator[Pool]:
    with LocalExecutor(jobs=jobs).open(nobody()) as pool:
        yield pool


def outcomes(pool: Pool, units: list[Unit[Any]]) -> dict[str, Ended[Any]]:
    """Gives a pool units as it has room for them; what became of each, in the order of their ends."""
    waiting, found, running = list(units), {}, 0
    while waiting or running:
        while waiting and pool.room() > 0:
            pool.submit(waiting.pop(0))
            running += 1
        one, ended = pool.wait()
        found[one.name], running = ended, running - 1
    return found


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_units_have_processes_of_their_own(tmp_path: Path) -> None:
    """Results and errors come back as they end; one that is killed takes no other with it, and is run again."""
    with opened(2) as pool:
        found = outcomes(
            pool,
            [
                unit("die", 0),
                unit("square", 3),
                unit("raise", "number"),
                unit("die once", tmp_path / "died"),
                unit("cores", None, cores=3),
                Unit("lambda", lambda tell: 1, ()),
                unit("square", lambda: 1),
            ],
        )
    assert found["square 3"].result == 9 and found["cores None"].result == (3, 3)
    died, raised = found["die 0"].error, found["raise number"].error
    assert isinstance(died, DistillError) and "status -9), 3 times" in str(died)
    assert isinstance(raised, RuntimeError) and str(raised) == "Unsendable: number 3"
    assert (tmp_path / "died").exists() and found[f"die once {tmp_path / 'died'}"].result == "lived"
    unsendable = [ended.error for ended in found.values() if "cannot be sent" in str(ended.error)]
    assert len(unsendable) == 2 and all(isinstance(error, DistillError) for error in unsendable)


def test_who_leaves_ends_what_runs(tmp_path: Path) -> None:
    first = tmp_path / "first"
    with opened(2) as pool:
        pool.submit(unit("wait", first))
        pool.submit(unit("square", 2))
        assert pool.wait()[1].result == 4 and pool.room() == 1
        wait_for(lambda: first.exists() and bool(first.read_text()))
    assert not alive(int(first.read_text())) and Path(f"{first}.cleaned").exists()


def test_one_job_runs_here() -> None:
    units = [unit("square", 3), unit("raise", "number"), unit("refuse", "this"), unit("square", 4)]
    with opened(1) as pool:
        found = outcomes(pool, [*units, unit("cores", None), Unit("lambda", lambda tell: os.getpid(), ())])
    assert found["square 3"].result == 9 and found["square 4"].result == 16
    assert type(found["raise number"].error).__name__ == "Unsendable" and found["cores None"].result == (1, 1)
    assert str(found["refuse this"].error) == "not this" and found["lambda"].result == os.getpid()


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_shared_values_are_there_once_and_nobody_changes_them(jobs: int, tmp_path: Path) -> None:
    value = {"array": np.arange(1000), "name": "some"}
    if jobs == 1:
        value["array"].setflags(write=False)
    listener = Listener()
    with LocalExecutor(jobs=jobs).open(listener) as pool:
        shared = pool.share(value)
        units = [Unit(f"sum {i}", work, ("sum", shared)) for i in range(4)]
        found = outcomes(pool, [*units[:2], unit("tell", 2), *units[2:]])
        files = list(Path(shared._path).parent.glob("*.shared")) if jobs > 1 else []  # type: ignore[attr-defined]
        assert len(files) == (jobs > 1)
        sums, processes = zip(*(found[f"sum {i}"].result for i in range(4)), strict=True)
        assert len(set(processes)) <= jobs and (os.getpid() in processes) == (jobs == 1)
        if jobs == 1:
            assert set(sums) == {499500}
        else:  # a worker that wrote to it sees what it wrote, and no other does
            for process in set(processes):
                own = [total for total, one in zip(sums, processes, strict=True) if one == process]
                assert own[0] == 499500
        del shared, units
        assert not any(file.exists() for file in files)
    assert value["array"].sum() == 499500 and ("tell 2", 1, 2) in listener.heard


def test_what_is_no_executor_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'local'"):
        EXECUTORS.get("locale")
    with pytest.raises(SettingsError, match="jobs=0: expected 1 or more"):
        LocalExecutor(jobs=0)
    with pytest.raises(SettingsError, match="give --executor ray"):
        LocalExecutor(address="auto")


def test_a_value_that_cannot_be_sent_is_named() -> None:
    with opened(2) as pool, pytest.raises(DistillError, match="dict cannot be sent to another process"):
        pool.share({"key": lambda: 1})


@pytest.mark.slow
def test_a_script_that_starts_processes_where_it_is_imported_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from test_executors import nobody, outcomes, unit\nfrom d3rlpy_distill.executors import LocalExecutor\n"
        "with LocalExecutor(jobs=2).open(nobody()) as pool:\n"
        "    print(outcomes(pool, [unit('square', 3)])['square 3'].error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environment)
    assert "has to do its work under 'if __name__" in result.stdout


@pytest.fixture()
def bystander() -> Iterator[None]:
    """A thread that takes the signals that the main thread masks, as those of libraries do."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    yield
    end.set()
    thread.join()


def test_ctrl_c_waits_until_a_process_is_known(bystander: None) -> None:
    passed = False
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), without_interrupts():
        for _ in range(10):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)  # the other thread takes it
        passed = True
    assert passed and signal.getsignal(signal.SIGINT) is before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.slow
def test_the_first_process_never_gets_ctrl_c() -> None:
    """Multiprocessing's own first process, which it starts on the way, must not let it through."""
    code = (
        "from test_executors import opened, outcomes, unit; import signal\n"
        "with opened(2) as pool:\n"
        "    found = outcomes(pool, [unit('masked', 0), unit('masked', 1)])\n"
        "assert all(signal.SIGINT in one.result for one in found.values()), found"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


class Trace:
    """Flows of named units that note what happens."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def note(self, name: str, error: bool = False) -> Unit[str]:
        def function(tell: object) -> str:
            self.seen.append(name)
            if error:
                raise ValueError(name)
            return name

        return Unit(name, function, ())

    def leaf(self, name: str, *, error: bool = False) -> Flow[str]:
        try:
            (result,) = yield [self.note(name, error)]
            return f"{result}!"
        finally:
            self.seen.append(f"end of {name}")

    def run(self, flow: Flow[Any]) -> Any:
        with opened(1) as pool:
            return run_flow(flow, pool, nobody())


def test_a_flow_is_told_results_in_its_own_order_and_goes_deep_first() -> None:
    trace = Trace()

    def arm(name: str) -> Flow[list[str]]:
        trained = yield [Branch(trace.leaf(f"{name}{i}")) for i in range(2)]
        played = yield [trace.note(f"{name} plays")]
        nothing = yield []
        return [*trained, *played, *nothing]

    def root() -> Flow[Any]:
        return (yield [Branch(arm("a")), Branch(arm("b"))])

    assert trace.run(root()) == [["a0!", "a1!", "a plays"], ["b0!", "b1!", "b plays"]]
    done = [one for one in trace.seen if not one.startswith("end")]
    assert done == ["a0", "a1", "a plays", "b0", "b1", "b plays"]


def test_several_flows_wait_for_one() -> None:
    trace = Trace()
    shared = Branch(trace.leaf("shared"))

    def one(name: str) -> Flow[str]:
        (result,) = yield [shared]
        (own,) = yield [trace.note(name)]
        return f"{result}{own}"

    def root() -> Flow[Any]:
        first = yield [Branch(one("a")), Branch(one("b"))]
        return first + (yield [shared, shared])

    assert trace.run(root()) == ["shared!a", "shared!b", "shared!", "shared!"]
    assert trace.seen.count("shared") == 1


def test_what_fails_is_raised_where_it_was_wanted_and_the_rest_is_given_up() -> None:
    trace = Trace()

    def several() -> Flow[Any]:
        return (
            yield [Branch(trace.leaf("good")), Branch(trace.leaf("bad", error=True)), Branch(trace.leaf("late"))]
        )

    def root() -> Flow[str]:
        try:
            yield [Branch(several())]
        except ValueError as error:
            (after,) = yield [trace.note("after")]
            return f"{error}, {after}"
        return "no error"

    assert trace.run(root()) == "bad, after"
    assert trace.seen == ["good", "end of good", "bad", "end of bad", "after"]  # and "late" never began
    with pytest.raises(ValueError, match="bad"):
        Trace().run(several())


def test_flows_that_run_let_go_when_one_fails_or_somebody_presses_ctrl_c() -> None:
    trace = Trace()

    def pressed(tell: object) -> None:
        raise KeyboardInterrupt

    def failing() -> Flow[Any]:
        yield [Branch(trace.leaf("first"))]
        try:
            yield [Branch(trace.leaf("second")), Unit("pressed", pressed, ())]
        finally:
            trace.seen.append("let go")

    with pytest.raises(KeyboardInterrupt):
        trace.run(failing())
    assert trace.seen[-1] == "let go" and "end of second" in trace.seen


def test_the_board_counts_and_says_what_each_node_does() -> None:
    said: list[tuple[str, int, int]] = []
    board = Board(lambda what, done, total: said.append((what, done, total)))
    units = [Unit(f"unit {i}", work, ()) for i in range(7)]
    board.expect(9)
    board.skip(2)
    for i, one in enumerate(units[:6]):
        board.begun(one, "first" if i < 5 else "second")
    assert said[-1] == ("first: unit 0; unit 1; unit 2; unit 3; and 1 more; second: unit 5", 2, 9)
    time.sleep(0.11)
    board.told(units[5], 3, 10)
    assert said[-1][0].endswith("second: unit 5 (3/10)")
    board.told(units[5], 4, 10)
    assert said[-1][0].endswith("second: unit 5 (3/10)")  # too soon
    board.told(units[5], 10, 10)
    assert said[-1][0].endswith("second: unit 5 (10/10)")
    board.ended(units[5], 1.5)
    board.begun(units[6], "")
    assert said[-1] == ("first: unit 0; unit 1; unit 2; unit 3; and 1 more; unit 6", 3, 9)
    assert board.busy == 1.5


def read_only(value: Any) -> tuple[Any, list[bytes]]:
    """The value as Ray's workers get it, and the memory of its arrays, which nobody may write to."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    memory = [bytes(buffer.raw()) for buffer in buffers]
    return pickle.loads(data, buffers=memory), memory


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")  # torch would not keep from writing
@pytest.mark.parametrize("name", ["cartpole", pytest.param("starpilot", marks=pytest.mark.slow)])
def test_units_write_to_nothing_that_they_share(
    name: str, starpilot_dataset: OfflineDataset, tmp_path: Path
) -> None:
    """Every method distils, and students of both kinds train, on arrays that cannot be written to."""
    dataset = starpilot_dataset if name == "starpilot" else load(collect_cartpole(tmp_path / "cart.h5"))
    _ = dataset.transitions
    shared, memory = read_only(dataset)
    before = [hashlib.sha256(one).digest() for one in memory]
    assert not shared.transitions.observations.flags.writeable
    assert not shared.buffer.episodes[0].observations.flags.writeable
    taught = {"teacher_steps": 1, "n_teachers": 1}
    few = {"labels": taught, "gradient": {"steps": 1}, "unrolled": {"steps": 1, "window": 2, "horizon": 4}}
    few |= {"kernel": {**taught, "moves": 1}, "unrolled-labels": {**taught, "moves": 1, "window": 2}}
    few |= {"views": {**taught, "n_views": 4}}
    others = {"kernel-actions", *(["views"] if len(dataset.observation_shape) == 1 else [])}
    discrete = [method for method in METHODS.names() if method not in others]
    sets = [distill(shared, method, n_samples=8, **few.get(method, {})) for method in discrete]
    students = ["paper"] if name == "starpilot" else ["mlp", "bc", "cql", "dt"]
    for student in students:
        evaluate(
            shared,
            *(one for one in sets if one.provenance.settings["method"] in ("gradient", "labels")),
            student=student,
            protocol=TINY,
            expert="random",
            splits=["validation"],
        )
    assert [hashlib.sha256(one).digest() for one in memory] == before


def test_everything_that_is_sent_can_be_sent() -> None:
    """Tasks with their environments, policies, teachers: pickled, they do what they did."""
    for name in ("gym/CartPole-v1", "procgen/starpilot"):
        task = make_task(name)
        before = task.play([task.random_policy()], split="validation", mode="sampled", episodes=2, seed=0)
        other, policy = pickle.loads(pickle.dumps((task, task.random_policy())))
        again = other.play([policy], split="validation", mode="sampled", episodes=2, seed=0)
        np.testing.assert_array_equal(before, again)
        assert (other.name, other.modes, other.observation_shape) == (
            task.name,
            task.modes,
            task.observation_shape,
        )
    expert = make_task("procgen/starpilot").load_policy("starpilot").policy
    frames = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    assert torch.equal(pickle.loads(pickle.dumps(expert)).logits(frames), expert.logits(frames))
