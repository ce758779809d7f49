"""gymnasium's environments as tasks: playing, collecting, policies from files, training."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import d3rlpy
import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
import torch
from d3rlpy.dataset import ReplayBuffer
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple

from buffers import make_buffer
from d3rlpy_distill.catalogue import STUDENTS, register_task
from d3rlpy_distill.data import OfflineDataset, read_extras, read_info
from d3rlpy_distill.data.training_set import TrainingSet
from d3rlpy_distill.errors import (
    CheckpointError,
    DamagedFileError,
    DistillError,
    MissingExtraError,
    OutputExistsError,
    SettingsError,
    UnknownNameError,
    UntrustedFileError,
)
from d3rlpy_distill.files import load_state
from d3rlpy_distill.pipeline import configure, load
from d3rlpy_distill.policies import Policy, RandomPolicy, UniformPolicy
from d3rlpy_distill.students.base import Budget
from d3rlpy_distill.students.kept import save_student
from d3rlpy_distill.tasks import CollectSettings, make_task
from d3rlpy_distill.tasks.gymnasium import GymnasiumTask
from d3rlpy_distill.tasks.gymnasium_spaces import ActionLayout, ObservationLayout
from d3rlpy_distill.tasks.gymnasium_starts import STARTS, Starts
from d3rlpy_distill.tasks.gymnasium_train_settings import GymnasiumTrainSettings, resolve

CARTPOLE, PENDULUM = "gym/CartPole-v1", "gym/Pendulum-v1"


class Tilt:
    """Pushes a cart to where its pole falls: deterministic, better than chance, of a sharpness to choose."""

    def __init__(self, sharpness: float = 1.0) -> None:
        self.sharpness = sharpness

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        assert observations.dtype == torch.float32
        push = self.sharpness * observations[:, 2]
        return torch.stack([-push, push], 1)


class Swing:
    """Pushes a pendulum by its speed, beyond the bounds."""

    def actions(self, observations: torch.Tensor) -> torch.Tensor:
        return 5 * observations[:, 2:]


class Spots(gymnasium.Env[npt.NDArray[np.uint8], np.int64]):
    """A spot among 3 columns of a 4x5 image with 3 colours; naming its column (2 to 4) is worth 1. Channels last."""

    observation_space = Box(0, 255, (4, 5, 3), np.uint8)
    action_space = Discrete(3, start=2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._left = 3 + int(self.np_random.integers(4))
        return self._look(), {}

    def _look(self) -> npt.NDArray[np.uint8]:
        self._column = int(self.np_random.integers(3))
        image = np.zeros((4, 5, 3), np.uint8)
        image[1, self._column, 2] = 200
        return image

    def step(self, action: np.int64) -> Any:
        assert self.action_space.contains(action)
        reward = float(action - 2 == self._column)
        self._left -= 1
        return self._look(), reward, self._left == 0, False, {}


@register_task("toy/spots")
class SpotsTask(GymnasiumTask):
    """Name the column of a spot."""

    def make_env(self) -> gymnasium.Env[Any, Any]:
        return Spots()


class Namer:
    """Reads the column off channel 2 of channel-first bytes."""

    def logits(self, observations: torch.Tensor) -> torch.Tensor:
        assert observations.dtype == torch.uint8 and observations.shape[1:] == (3, 4, 5)
        return observations[:, 2, 1, :3].float()


def played_one_by_one(
    env: gymnasium.Env[Any, Any], decide: Callable[[Any], Any], starts: list[int]
) -> tuple[list[float], list[int]]:
    """The oracle: one environment, one episode after the other."""
    returns, lengths = [], []
    for start in starts:
        observation, _ = env.reset(seed=start)
        total, length, over = 0.0, 0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(decide(observation))
            total, length, over = total + float(reward), length + 1, terminated or truncated
        returns.append(total)
        lengths.append(length)
    return returns, lengths


def by_tilt(observation: Any) -> int:
    return int(observation[2] > 0)


def test_returns_are_those_of_one_environment_after_the_other() -> None:
    task = make_task(CARTPOLE)
    played = task.play([Tilt()], split="test", mode="greedy", episodes=40, seed=0)  # more than are played at once
    expected, lengths = played_one_by_one(gymnasium.make("CartPole-v1"), by_tilt, list(range(20_000, 20_040)))
    assert played.shape == (1, 40) and played[0].tolist() == expected
    assert len(set(lengths)) > 5  # slots take the next episode at different times


def test_continuous_actions_are_clipped_to_the_bounds() -> None:
    task = make_task(PENDULUM)
    assert task.modes == ("greedy",) and not task.discrete and task.observation_shape == (3,)
    played = task.play([Swing()], split="validation", mode="greedy", episodes=4, seed=0)
    expected, _ = played_one_by_one(
        gymnasium.make("Pendulum-v1"), lambda o: np.clip(5 * o[2:], -2, 2), list(range(10_000, 10_004))
    )
    assert played[0].tolist() == [float(np.float32(one)) for one in expected]


def test_images_come_channel_first_and_actions_are_numbered_from_zero() -> None:
    task = make_task("toy/spots")
    assert (task.name, task.observation_shape, task.action_size) == ("toy/spots", (3, 4, 5), 3)
    assert task.default_student == "nature"
    played = task.play([Namer()], split="test", mode="greedy", episodes=12, seed=0)
    _, lengths = played_one_by_one(Spots(), lambda image: 2, list(range(20_000, 20_012)))
    assert played[0].tolist() == [float(length) for length in lengths]


def test_equal_calls_are_equal_and_seeds_are_not() -> None:
    for name, policy in ((CARTPOLE, RandomPolicy(2)), (PENDULUM, make_task(PENDULUM).random_policy())):
        task = make_task(name)
        arguments: dict[str, Any] = {"split": "test", "mode": task.modes[0], "episodes": 5}
        first = task.play([policy], seed=3, **arguments)
        np.testing.assert_array_equal(first, task.play([policy], seed=3, **arguments))
        np.testing.assert_array_equal(first, make_task(name).play([policy], seed=3, **arguments))
        assert not np.array_equal(first, task.play([policy], seed=4, **arguments))


def test_a_policy_plays_the_same_alone_and_among_others() -> None:
    task = make_task(CARTPOLE)
    policies: list[Policy] = [RandomPolicy(2), Tilt(3.0), Tilt(0.5)]
    together = task.play(policies, split="test", mode="sampled", episodes=6, seed=1)
    for i in (2, 0, 1):
        alone = task.play([policies[i]], split="test", mode="sampled", episodes=6, seed=1)
        np.testing.assert_array_equal(alone[0], together[i])


def test_an_episode_does_not_depend_on_how_many_are_played() -> None:
    task = make_task(CARTPOLE)
    few, many = (
        task.play([RandomPolicy(2)], split="train", mode="sampled", episodes=n, seed=1)[0] for n in (3, 45)
    )
    np.testing.assert_array_equal(few, many[:3])


@pytest.mark.parametrize("slots", [1, 3, 7])
def test_episodes_do_not_depend_on_the_slots(slots: int, tmp_path: Path) -> None:
    one, other = (tmp_path / f"{n}.h5" for n in ("one", "other"))
    for path, envs in ((one, 5), (other, slots)):
        make_task(CARTPOLE).collect(CollectSettings(policy="random", episodes=7, envs=envs), path)
    a, b = (
        dict(zip(info["seed"].tolist(), zip(info["return"], info["length"], strict=True), strict=True))
        for info in (read_extras(one, "episodes"), read_extras(other, "episodes"))
    )
    assert a == b and set(a) == set(range(7))


def test_splits_are_disjoint_and_starts_follow_the_seed() -> None:
    task = make_task(CARTPOLE)
    assert task.splits == ("train", "validation", "test") and task.default_splits == ("test",)
    ranges = sorted(task.identity(task.splits)["seeds"].values())
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ranges))
    assert ranges == [[0, 9_999], [10_000, 19_999], [20_000, 2**31 - 1]]
    for split, (first, last) in task.identity(task.splits)["seeds"].items():
        for seed in (0, 1, 9, 2**31 - 1):
            starts = STARTS[split].of(seed, 300)
            assert len(set(starts)) == 300 and min(starts) >= first and max(starts) <= last
            assert starts[:7] == STARTS[split].of(seed, 7)
    assert Starts(10, 5).of(0, 5) == [10, 11, 12, 13, 14]
    assert STARTS["test"].of(2, 2) == [22_000, 22_001]
    with pytest.raises(SettingsError, match=r"episodes=10001: expected 1 to 10000"):
        task.play([RandomPolicy(2)], split="train", mode="greedy", episodes=10_001, seed=0)


def test_sampled_actions_follow_the_probabilities(tmp_path: Path) -> None:
    class Biased:
        def logits(self, observations: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.2, 0.5, 0.3]).log().repeat(len(observations), 1)

    task = make_task("toy/spots")
    assert isinstance(task, GymnasiumTask)
    played = list(task._player.play(Biased(), range(800), slots=8, greedy=False, seed=0, record=True))
    actions = np.concatenate([episode.steps.actions for episode in played if episode.steps])
    frequencies = np.bincount(actions, minlength=3) / len(actions)
    assert len(actions) > 3000  # the standard error is at most 0.01
    np.testing.assert_allclose(frequencies, [0.2, 0.5, 0.3], atol=0.03)
    greedy = task._player.play(Biased(), range(3), slots=8, greedy=True, seed=0, record=True)
    assert all((episode.steps.actions == 1).all() for episode in greedy if episode.steps)


def test_random_continuous_play_is_uniform_within_the_bounds(tmp_path: Path) -> None:
    task = make_task(PENDULUM)
    task.collect(CollectSettings(policy="random", episodes=10, envs=4), tmp_path / "random.h5")
    info = read_info(tmp_path / "random.h5")
    assert info.provenance is not None and info.provenance.settings["actions"] == "sampled"
    with pytest.raises(SettingsError, match="random play has no likeliest action"):
        task.collect(CollectSettings(policy="random", episodes=10, greedy=True), tmp_path / "x.h5")
    actions = OfflineDataset.load(tmp_path / "random.h5").transitions.actions
    assert actions.shape == (1990, 1) and actions.dtype == np.float32
    assert -2 <= actions.min() < -1.98 and 1.98 < actions.max() <= 2
    np.testing.assert_allclose([actions.mean(), actions.var()], [0, 4 / 3], atol=0.1)
    policy = UniformPolicy(np.array([1.0, -3.0]), np.array([2.0, 3.0]), seed=0)
    np.testing.assert_allclose(policy.at(np.array([[0.25, 0.5]])), [[1.25, 0.0]])


def test_wrong_policies_splits_and_modes_are_refused() -> None:
    cart, pendulum = make_task(CARTPOLE), make_task(PENDULUM)
    with pytest.raises(
        SettingsError, match="CartPole-v1 has discrete actions: expected policies that give logits"
    ):
        cart.play([Swing()], split="test", mode="greedy", episodes=1, seed=0)
    with pytest.raises(SettingsError, match="Pendulum-v1 has continuous actions"):
        pendulum.play([Tilt()], split="test", mode="greedy", episodes=1, seed=0)
    with pytest.raises(SettingsError, match="mode='sampled': expected greedy"):
        pendulum.play([Swing()], split="test", mode="sampled", episodes=1, seed=0)
    with pytest.raises(SettingsError, match="split='ood': expected one of train, validation, test"):
        cart.play([Tilt()], split="ood", mode="greedy", episodes=1, seed=0)
    with pytest.raises(DistillError, match=r"logits of shape \(1, 3\): expected \(1, 2\)"):
        cart.play([RandomPolicy(3)], split="test", mode="greedy", episodes=1, seed=0)
    with pytest.raises(DistillError, match="NaN: its training diverged"):
        cart.play([Tilt(float("nan"))], split="test", mode="greedy", episodes=1, seed=0)


def test_an_endless_episode_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("d3rlpy_distill.tasks.gymnasium_rollout.LONGEST", 50)
    task = make_task("gym/CliffWalking-v0")
    assert task.observation_shape == (48,)

    class North:
        def logits(self, observations: torch.Tensor) -> torch.Tensor:
            assert (observations.sum(1) == 1).all()
            return torch.tensor([1.0, 0, 0, 0]).repeat(len(observations), 1)

    assert task.play([North()], split="test", mode="greedy", episodes=2, seed=0).tolist() == [[-50.0, -50.0]]


def test_unknown_ids_name_the_nearest() -> None:
    for given, nearest in (
        ("CartPole", "CartPole-v1"),
        ("cartpole-v0", "CartPole-v1"),
        ("Pendulun-v1", "Pendulum-v1"),
    ):
        with pytest.raises(UnknownNameError, match=f"no environment '{given}': did you mean '{nearest}'"):
            make_task(f"gym/{given}")
    with pytest.raises(DistillError, match="the module 'no_such_module' cannot be imported"):
        make_task("gym/no_such_module:X-v0")
    for module in ("", ".relative"):
        with pytest.raises(DistillError, match=f"the module '{module}' cannot be imported"):
            make_task(f"gym/{module}:X-v0")
    with pytest.raises(
        DistillError, match=r"HalfCheetah-v3 needs mujoco_py, which is abandoned: give HalfCheetah-v5"
    ):
        make_task("gym/HalfCheetah-v3")


@pytest.mark.parametrize(
    ("env_id", "packages", "extra"),
    [
        ("LunarLander-v3", ["Box2D"], "box2d"),
        ("HalfCheetah-v5", ["mujoco"], "mujoco"),
        ("ALE/Pong-v5", ["ale_py"], "atari"),
        ("PongNoFrameskip-v4", ["ale_py"], "atari"),
    ],
)
def test_a_missing_simulator_says_what_to_type(
    env_id: str, packages: list[str], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith(("gymnasium.envs.mujoco", "gymnasium.envs.box2d", "mujoco", "Box2D")):
            monkeypatch.delitem(sys.modules, name)
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
    if extra == "atari":
        registry = gymnasium.envs.registration.registry
        for known in [known for known in registry if "Pong" in known]:
            monkeypatch.delitem(registry, known)
    with pytest.raises(
        MissingExtraError, match=rf"needs .*{packages[0]}.*pip install 'd3rlpy-distill\[{extra}\]'"
    ):
        make_task(f"gym/{env_id}")


@pytest.mark.parametrize(
    ("space", "shape", "dtype"),
    [
        (Box(-1, 1, (3,), np.float64), (3,), np.float32),
        (Box(-1, 1, (4, 3), np.float32), (12,), np.float32),
        (Box(0, 9, (), np.int64), (1,), np.float32),
        (Box(0, 255, (128,), np.uint8), (128,), np.float32),
        (Box(0, 255, (84, 84), np.uint8), (1, 84, 84), np.uint8),
        (Box(0, 255, (96, 80, 3), np.uint8), (3, 96, 80), np.uint8),
        (Box(0, 255, (4, 84, 84), np.uint8), (4, 84, 84), np.uint8),
        (Box(0, 1, (96, 80, 3), np.float64), (3, 96, 80), np.float32),
        (Box(0, 255, (4, 96, 80, 3), np.uint8), (12, 96, 80), np.uint8),
        (Discrete(5, start=-2), (5,), np.float32),
    ],
)
def test_observations_become_arrays(space: Space[Any], shape: tuple[int, ...], dtype: type) -> None:
    layout = ObservationLayout.of(space, "task")
    sample = space.sample()
    array = layout.read(sample)
    assert layout.shape == array.shape == shape and layout.dtype == array.dtype == dtype
    assert array.flags.c_contiguous
    if isinstance(space, Discrete):
        assert array.argmax() == sample + 2 and array.sum() == 1
    elif shape == (12, 96, 80):
        np.testing.assert_array_equal(array[7], sample[2, :, :, 1])
    elif space.shape == (96, 80, 3):
        np.testing.assert_array_equal(array[2], sample[:, :, 2].astype(dtype))
    else:
        np.testing.assert_array_equal(array.ravel(), np.ravel(sample).astype(dtype))


def test_actions_become_those_of_the_space() -> None:
    grid = ActionLayout.of(Box(np.array([[-1, -2], [-3, -4]]), np.full((2, 2), 5.0), dtype=np.float64), "task")
    assert (grid.size, grid.discrete, grid.low.tolist()) == (4, False, [-1, -2, -3, -4])
    written = grid.write(np.arange(4, dtype=np.float32))
    assert written.dtype == np.float64 and written.tolist() == [[0, 1], [2, 3]]
    assert ActionLayout.of(Discrete(3, start=2), "task").write(np.int32(1)) == 3


@pytest.mark.parametrize(
    "space", [Dict({"a": Discrete(2)}), Tuple([Discrete(2)]), MultiDiscrete([2, 3]), MultiBinary(3)]
)
def test_other_spaces_are_refused(space: Space[Any]) -> None:
    with pytest.raises(
        DistillError, match=r"task has observations .*expected a Box or a Discrete; override make_env"
    ):
        ObservationLayout.of(space, "task")
    with pytest.raises(DistillError, match=r"task has actions .*expected a Discrete or a Box of floats"):
        ActionLayout.of(space, "task")


def test_random_play_needs_bounds() -> None:
    class Unbounded(Spots):
        action_space = Box(-np.inf, np.inf, (2,))  # type: ignore[assignment]

    class UnboundedTask(GymnasiumTask):
        def make_env(self) -> gymnasium.Env[Any, Any]:
            return Unbounded()

    task = UnboundedTask("unbounded", name="toy/unbounded")
    assert task.name == "toy/unbounded"
    with pytest.raises(DistillError, match="toy/unbounded has actions without bounds"):
        task.random_policy()


def test_normalised_scores_are_d4rls_for_any_version() -> None:
    class Cheetah(GymnasiumTask):
        def make_env(self) -> gymnasium.Env[Any, Any]:
            return Spots()

    for version in (2, 5):
        task = Cheetah(f"HalfCheetah-v{version}")
        assert task.normalise(-280.178953) == 0 and task.normalise(12135.0) == 1
    assert Cheetah("Hopper-v4").normalise(1607.013847) == pytest.approx(0.5)
    assert Cheetah("Walker2d-v4").normalise(4592.3) == 1
    assert make_task(CARTPOLE).normalise(500) is None


def test_collecting_records_what_was_played(tmp_path: Path) -> None:
    path, told = tmp_path / "cart.h5", []
    settings = CollectSettings(policy="random", episodes=9, envs=4, seed=2)
    info = make_task(CARTPOLE).collect(settings, path, command="made by a test", on_episode=lambda: told.append(1))
    assert info.num_episodes == len(told) == 9 and info.provenance is not None
    recorded = info.provenance.settings
    assert info.provenance.task == CARTPOLE and info.provenance.kind == "collected"
    assert recorded["environment"] == "gymnasium:CartPole-v1"
    assert recorded["versions"] == {"gymnasium": gymnasium.__version__}
    expected = {"policy": "random", "expert": "random", "actions": "sampled", "seed": 2, "first_start": 2000}
    assert expected.items() <= recorded.items() and recorded["num_slots"] == 4 and recorded["episodes"] == 9
    dataset = OfflineDataset.load(path)
    assert dataset.task == CARTPOLE and dataset.policy is not None
    np.testing.assert_allclose(dataset.policy, 0.5)
    episodes = read_extras(path, "episodes")
    assert sorted(episodes["seed"]) == list(range(2000, 2009))
    env = gymnasium.make("CartPole-v1")
    for i, episode in enumerate(dataset.buffer.episodes):
        observation, _ = env.reset(seed=int(episodes["seed"][i]))
        for step in range(len(episode)):
            np.testing.assert_array_equal(episode.observations[step], observation)
            observation, reward, terminated, truncated, _ = env.step(int(episode.actions[step, 0]))
            assert reward == episode.rewards[step, 0]
        assert terminated == episode.terminated and truncated == episodes["timeout"][i]
        assert episodes["return"][i] == episodes["length"][i] == len(episode)
    steps = read_extras(path, "steps")
    np.testing.assert_array_equal(steps["return_to_go"][: len(dataset.buffer.episodes[0])][[0, -1]],
                                  [episodes["return"][0], 1])  # fmt: skip


def test_timeouts_and_continuous_actions_are_recorded(tmp_path: Path) -> None:
    path = tmp_path / "swing.h5"
    student = tmp_path / "swing.d3"
    regressor = d3rlpy.algos.BCConfig().create()
    regressor.create_impl((3,), 1)
    regressor.save(str(student))
    make_task(PENDULUM).collect(CollectSettings(policy=str(student), episodes=3), path, trust=True)
    dataset = OfflineDataset.load(path)
    assert [(len(e), e.terminated, e.transition_count) for e in dataset.buffer.episodes] == [(200, False, 199)] * 3
    assert read_extras(path, "episodes")["timeout"].all() and set(read_extras(path, "steps")) == {"return_to_go"}
    assert dataset.provenance is not None and dataset.provenance.settings["actions"] == "greedy"
    env = gymnasium.make("Pendulum-v1")
    seeds = read_extras(path, "episodes")["seed"]
    for seed, episode in zip(seeds, dataset.buffer.episodes, strict=True):
        observation, _ = env.reset(seed=int(seed))
        for step in range(200):
            np.testing.assert_array_equal(episode.observations[step], observation)
            observation, reward, *_ = env.step(episode.actions[step])
            assert np.float32(reward) == episode.rewards[step, 0]


def test_images_are_recorded_channel_first(tmp_path: Path) -> None:
    make_task("toy/spots").collect(CollectSettings(policy="random", episodes=4), tmp_path / "spots.h5")
    dataset = OfflineDataset.load(tmp_path / "spots.h5")
    assert dataset.observation_shape == (3, 4, 5) and dataset.has_pixels and dataset.action_size == 3
    for episode in dataset.buffer.episodes:
        columns = np.asarray(episode.observations)[:, 2, 1].argmax(1)
        np.testing.assert_array_equal(episode.rewards[:, 0], columns == episode.actions[:, 0])


def test_collecting_twice_gives_the_same_and_other_files_stay(tmp_path: Path) -> None:
    settings = CollectSettings(policy="random", episodes=5)
    first = make_task(CARTPOLE).collect(settings, tmp_path / "a.h5")
    assert make_task(CARTPOLE).collect(settings, tmp_path / "b.h5").content_sha256 == first.content_sha256
    before = (tmp_path / "a.h5").stat().st_mtime_ns
    assert make_task(CARTPOLE).collect(settings, tmp_path / "a.h5") == first
    assert (tmp_path / "a.h5").stat().st_mtime_ns == before
    other = CollectSettings(policy="random", episodes=5, seed=1)
    with pytest.raises(OutputExistsError, match="holds something else"):
        make_task(CARTPOLE).collect(other, tmp_path / "a.h5")
    assert make_task(CARTPOLE).collect(other, tmp_path / "c.h5").content_sha256 != first.content_sha256
    with pytest.raises(SettingsError, match="has no bundled expert: give --policy random, or the file"):
        make_task(CARTPOLE).collect(CollectSettings(), tmp_path / "d.h5")
    assert not (tmp_path / "d.h5").exists()


def test_a_student_that_was_kept_plays(tmp_path: Path) -> None:
    task = make_task(CARTPOLE)
    task.collect(CollectSettings(policy="random", episodes=5), tmp_path / "cart.h5")
    dataset = OfflineDataset.load(tmp_path / "cart.h5")
    student = STUDENTS.get("mlp")()
    config = student.learner(dataset, Budget(20, 16))
    learner = student.fit(config, TrainingSet(dataset.transitions, dataset.buffer), 20, seed=0)
    path = tmp_path / "student.safetensors"
    save_student(path, "mlp", student, learner, 0.0, {"train_seconds": 1.0, "steps": 1.0})
    loaded = task.load_policy(str(path))
    arguments: dict[str, Any] = {"split": "test", "mode": "sampled", "episodes": 3, "seed": 0}
    np.testing.assert_array_equal(
        task.play([loaded.policy], **arguments), task.play([student.policy(learner, 0.0)], **arguments)
    )
    assert loaded.about == {"expert": "student.safetensors", "expert_sha256": loaded.sha256} and loaded.sha256
    with pytest.raises(
        DistillError, match=r"is for observations \(4,\) and 2 discrete actions: expected .*\(3,\)"
    ):
        make_task(PENDULUM).load_policy(str(path))


@pytest.mark.parametrize("name", ["DiscreteBC", "DQN", "DiscreteSAC", "DiscreteCQL"])
def test_d3rlpys_discrete_algorithms_play(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    learner = getattr(d3rlpy.algos, f"{name}Config")().create()
    learner.create_impl((4,), 2)
    learner.save(str(tmp_path / "policy.d3"))
    with pytest.raises(UntrustedFileError, match="add --trust"):
        make_task(CARTPOLE).load_policy(str(tmp_path / "policy.d3"))
    policy = make_task(CARTPOLE).load_policy(str(tmp_path / "policy.d3"), trust=True).policy
    observations = rng.normal(size=(50, 4)).astype(np.float32)
    best = policy.logits(torch.from_numpy(observations)).argmax(1).numpy()  # type: ignore[union-attr]
    np.testing.assert_array_equal(best, learner.predict(observations))


@pytest.mark.parametrize("name", ["BC", "SAC", "TD3PlusBC"])
def test_d3rlpys_continuous_algorithms_play(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    scaler = d3rlpy.preprocessing.MinMaxActionScaler(minimum=np.array([-2.0]), maximum=np.array([2.0]))
    learner = getattr(d3rlpy.algos, f"{name}Config")(action_scaler=scaler).create()
    learner.create_impl((3,), 1)
    learner.save(str(tmp_path / "policy.d3"))
    policy = make_task(PENDULUM).load_policy(str(tmp_path / "policy.d3"), trust=True).policy
    observations = rng.normal(size=(50, 3)).astype(np.float32)
    given = policy.actions(torch.from_numpy(observations)).numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(given, learner.predict(observations), atol=1e-5)


def test_files_that_are_no_policies_are_refused(tmp_path: Path) -> None:
    task = make_task(CARTPOLE)
    with pytest.raises(SettingsError, match=r"'expert' does not exist: expected random, a student's .safetensors"):
        task.load_policy("expert")
    with pytest.raises(SettingsError, match=r"gone\.zip' does not exist"):
        task.load_policy(str(tmp_path / "gone.zip"), trust=True)
    (tmp_path / "policy.pt").write_bytes(b"")
    with pytest.raises(SettingsError, match=r"policy\.pt' is of another kind: expected random"):
        task.load_policy(str(tmp_path / "policy.pt"), trust=True)
    for name in ("bad.zip", "bad.d3", "bad.safetensors"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(CheckpointError, match=name):
            task.load_policy(str(tmp_path / name), trust=True)


sb3 = pytest.importorskip("stable_baselines3")


@pytest.mark.parametrize("name", ["PPO", "A2C", "DQN"])
def test_sb3s_discrete_algorithms_play(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    model = getattr(sb3, name)("MlpPolicy", "CartPole-v1", device="cpu", seed=0)
    model.save(tmp_path / "policy.zip")
    task = make_task(CARTPOLE)
    with pytest.raises(UntrustedFileError, match=r"policy.zip holds pickled code.*add --trust"):
        task.load_policy(str(tmp_path / "policy.zip"))
    loaded = task.load_policy(str(tmp_path / "policy.zip"), trust=True)
    observations = rng.normal(size=(50, 4)).astype(np.float32)
    logits = loaded.policy.logits(torch.from_numpy(observations))  # type: ignore[union-attr]
    np.testing.assert_array_equal(logits.argmax(1), model.predict(observations, deterministic=True)[0])
    if name == "DQN":
        assert torch.softmax(logits, 1).max(1).values.min() == 1
    else:
        distribution = model.policy.get_distribution(torch.from_numpy(observations)).distribution
        np.testing.assert_allclose(torch.softmax(logits, 1), distribution.probs.detach(), atol=1e-6)
    with pytest.raises(DistillError, match=r"is for observations \(4,\) and 2 discrete actions"):
        make_task(PENDULUM).load_policy(str(tmp_path / "policy.zip"), trust=True)


def test_a_policy_of_pickled_code_is_imitated_by_who_trusts_it(tmp_path: Path) -> None:
    sb3.SAC("MlpPolicy", "Pendulum-v1", device="cpu", seed=0, buffer_size=10).save(tmp_path / "policy.zip")
    make_task(PENDULUM).collect(CollectSettings(policy="random", episodes=3), tmp_path / "swing.h5")
    dataset = OfflineDataset.load(tmp_path / "swing.h5")
    asked = {"preset": "pbc", "expert": str(tmp_path / "policy.zip"), "n_samples": 5, "steps": 1}
    with pytest.raises(UntrustedFileError, match="add --trust"):
        configure(dataset, "kernel-actions", **asked)
    _, recorded = configure(dataset, "kernel-actions", trust=True, **asked)
    assert recorded["expert_sha256"] is not None


@pytest.mark.parametrize("name", ["PPO", "SAC", "TD3", "DDPG"])
def test_sb3s_continuous_algorithms_play(name: str, tmp_path: Path, rng: np.random.Generator) -> None:
    arguments = {} if name == "PPO" else {"buffer_size": 10}
    model = getattr(sb3, name)("MlpPolicy", "Pendulum-v1", device="cpu", seed=0, **arguments)
    model.save(tmp_path / "policy.zip")
    policy = make_task(PENDULUM).load_policy(str(tmp_path / "policy.zip"), trust=True).policy
    observations = rng.normal(size=(50, 3)).astype(np.float32)
    given = policy.actions(torch.from_numpy(observations)).numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(
        np.clip(given, -2, 2), model.predict(observations, deterministic=True)[0], atol=1e-6
    )


@pytest.mark.parametrize("channels_last", [True, False])
def test_sb3s_image_policies_read_frames(channels_last: bool, tmp_path: Path, rng: np.random.Generator) -> None:
    class Frames(gymnasium.Env[Any, Any]):
        # stable-baselines3 moves the channels of bytes to the front, those of floats stay
        observation_space = Box(0, 1, (40, 48, 3)) if channels_last else Box(0, 255, (40, 48, 3), np.uint8)
        action_space = Discrete(4)

    class FramesTask(GymnasiumTask):
        def make_env(self) -> gymnasium.Env[Any, Any]:
            return Frames()

    model = sb3.PPO("MlpPolicy" if channels_last else "CnnPolicy", Frames(), device="cpu", n_steps=8, batch_size=8)
    assert model.observation_space.shape == ((40, 48, 3) if channels_last else (3, 40, 48))
    model.save(tmp_path / "policy.zip")
    loaded = FramesTask("frames").load_policy(str(tmp_path / "policy.zip"), trust=True).policy
    frames = np.stack([Frames.observation_space.sample() for _ in range(20)])
    first = np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    logits = loaded.logits(torch.from_numpy(first))  # type: ignore[union-attr]
    theirs = model.policy.get_distribution(
        torch.from_numpy(frames if channels_last else first)
    ).distribution.logits
    np.testing.assert_allclose(logits, theirs.detach(), atol=1e-6)


def trained(task: str, **settings: Any) -> tuple[GymnasiumTask, GymnasiumTrainSettings]:
    made = make_task(task)
    assert isinstance(made, GymnasiumTask)
    kind = made.train_settings()
    assert issubclass(kind, GymnasiumTrainSettings)
    return made, kind(**settings)


def test_settings_are_the_users_then_the_tasks_then_the_algorithms() -> None:
    _, settings = trained(CARTPOLE)
    assert settings.steps == 100_000
    algorithm, values = resolve(settings, "CartPole-v1", discrete=True, atari=False)
    assert algorithm == "ppo" and values == {
        "envs": 8, "learning_rate": 1e-3, "gamma": 0.98, "batch_size": 256, "n_steps": 32, "n_epochs": 20,
        "gae_lambda": 0.8, "ent_coef": 0.0,
    }  # fmt: skip
    _, settings = trained(PENDULUM, gamma=0.9, envs=2)
    algorithm, values = resolve(settings, "Pendulum-v1", discrete=False, atari=False)
    assert algorithm == "sac" and settings.steps == 20_000
    assert (values["learning_rate"], values["gamma"], values["envs"], values["batch_size"]) == (1e-3, 0.9, 2, 256)
    _, settings = trained(PENDULUM, algorithm="ppo")
    assert resolve(settings, "Pendulum-v1", discrete=False, atari=False)[1]["learning_rate"] == 3e-4
    assert make_task("gym/MountainCar-v0").train_settings()().steps == 1_000_000
    with pytest.raises(SettingsError, match="algorithm='sac': CartPole-v1 has discrete actions; give ppo"):
        resolve(GymnasiumTrainSettings(algorithm="sac"), "CartPole-v1", discrete=True, atari=False)
    with pytest.raises(SettingsError, match="n_epochs=3: sac has no such setting"):
        resolve(GymnasiumTrainSettings(n_epochs=3), "Pendulum-v1", discrete=False, atari=False)
    with pytest.raises(SettingsError, match="algorithm='dqn': expected one of ppo, sac"):
        GymnasiumTrainSettings(algorithm="dqn")


def test_training_needs_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'd3rlpy-distill\[experts\]'"):
        make_task(CARTPOLE).train_settings()
    (tmp_path / "policy.zip").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"pip install 'd3rlpy-distill\[experts\]'"):
        make_task(CARTPOLE).load_policy(str(tmp_path / "policy.zip"), trust=True)


def test_training_stops_resumes_and_exports(tmp_path: Path) -> None:
    task, settings = trained(CARTPOLE, steps=600, envs=2, seed=1)
    directory, told = tmp_path / "run", []
    (stopped,), finished = task.train_expert(
        settings, directory, max_minutes=0, card_episodes=3, on_update=lambda steps, note: told.append(steps)
    )
    assert not finished and stopped.steps == 64  # one rollout of 2 x 32
    assert json.loads((directory / "policy.json").read_text())["finished"] is False
    with pytest.raises(OutputExistsError, match="add --resume"):
        task.train_expert(settings, directory)
    with pytest.raises(CheckpointError, match=r"has n_steps 32, this one 16; resume with the settings"):
        task.train_expert(trained(CARTPOLE, steps=600, envs=2, seed=1, n_steps=16)[1], directory, resume=True)
    with pytest.raises(CheckpointError, match="does not exist; leave --resume out"):
        task.train_expert(settings, tmp_path / "other", resume=True)
    (policy,), finished = task.train_expert(
        settings, directory, resume=True, card_episodes=5, on_update=lambda steps, note: told.append(steps)
    )
    assert finished and policy.steps == told[-1] == 640 and policy.path == directory / "policy.zip"
    card = json.loads((directory / "policy.json").read_text())
    loaded = task.load_policy(str(policy.path), trust=True)
    assert (card["task"], card["algorithm"], card["environment_steps"], card["seed"]) == (CARTPOLE, "ppo", 640, 1)
    assert card["n_steps"] == 32 and card["finished"] is True and card["sha256"] == loaded.sha256
    for split in ("train", "test"):
        again = task.play([loaded.policy], split=split, mode="sampled", episodes=5, seed=1)
        assert card["returns"][split]["sampled"]["mean"] == policy.returns[split] == again.mean()
    with pytest.raises(UntrustedFileError):
        task.load_policy(str(policy.path))
    (more,), _ = task.train_expert(settings, directory, resume=True, card_episodes=5)
    assert more.steps == 640 and more.returns == policy.returns  # there is nothing left to train


def test_training_improves_and_runs_are_equal(tmp_path: Path) -> None:
    task, settings = trained(CARTPOLE, steps=5_000)
    (one,), _ = task.train_expert(settings, tmp_path / "one", card_episodes=10)
    assert one.returns["test"] > 60  # random play returns 22
    _, short = trained(CARTPOLE, steps=512)
    weights = []
    for name in ("a", "b"):
        (policy,), _ = task.train_expert(short, tmp_path / name, card_episodes=2)
        with zipfile.ZipFile(policy.path) as archive, archive.open("policy.pth") as file:
            weights.append(torch.load(file, weights_only=True))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_sac_resumes_with_its_memory(tmp_path: Path) -> None:
    task, settings = trained(PENDULUM, steps=260, buffer_size=300, learning_starts=200)
    directory = tmp_path / "run"
    _, first = trained(PENDULUM, steps=240, buffer_size=300, learning_starts=200)
    (early,), finished = task.train_expert(first, directory, card_episodes=2)
    assert finished and early.steps == 240
    memory = load_state(directory / "checkpoint.pt")["replay"]
    assert memory["rewards"].shape == (240, 1) and memory["position"] == 240
    kept = memory["observations"]
    weights = _sac_state(directory)
    (_,), finished = task.train_expert(settings, directory, resume=True, max_minutes=0, card_episodes=2)
    assert not finished and len(load_state(directory / "checkpoint.pt")["replay"]["rewards"]) == 241
    (policy,), finished = task.train_expert(settings, directory, resume=True, card_episodes=2)
    assert finished and policy.steps == 260
    memory = load_state(directory / "checkpoint.pt")["replay"]
    assert len(memory["rewards"]) == 260 and torch.equal(memory["observations"][:240], kept)
    after = _sac_state(directory)
    assert after["steps"] == weights["steps"] + 20  # of the optimizer: 39 before, then one an environment step
    assert after["log_ent_coef"] != weights["log_ent_coef"]
    loaded = task.load_policy(str(policy.path), trust=True)
    again = task.play([loaded.policy], split="test", mode="greedy", episodes=2, seed=0)
    assert policy.returns["test"] == again.mean()


def _sac_state(directory: Path) -> dict[str, float]:
    state = load_state(directory / "checkpoint.pt")
    steps = float(state["parameters"]["actor.optimizer"]["state"][0]["step"])
    return {"steps": steps, "log_ent_coef": state["variables"]["log_ent_coef"].item()}


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    task, settings = trained(CARTPOLE, steps=64, envs=2)
    task.train_expert(settings, tmp_path, card_episodes=1)
    checkpoint = tmp_path / "checkpoint.pt"
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="is damaged and cannot be resumed"):
        task.train_expert(settings, tmp_path, resume=True)


def test_a_training_that_breaks_off_goes_on_from_its_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = importlib.import_module("d3rlpy_distill.tasks.gymnasium_training_loop")
    for name in ("CHECKPOINT_SECONDS", "CHECKPOINT_SHARE", "UPDATE_SECONDS"):
        monkeypatch.setattr(loop, name, 0.0)
    task, settings = trained(CARTPOLE, steps=10**6, envs=2)

    def interrupt(steps: int, note: str) -> None:
        if steps >= 192:
            raise KeyboardInterrupt  # before the checkpoint of these steps

    with pytest.raises(KeyboardInterrupt):
        task.train_expert(settings, tmp_path, on_update=interrupt)
    assert _steps(tmp_path) == 128 and not (tmp_path / "policy.zip").exists()
    (policy,), finished = task.train_expert(settings, tmp_path, resume=True, max_minutes=0, card_episodes=1)
    assert not finished and policy.steps == 192


KILLED = """
import sys
from pathlib import Path
from d3rlpy_distill.tasks import gymnasium_training_loop, make_task
gymnasium_training_loop.CHECKPOINT_SECONDS = 0.05
task = make_task("gym/CartPole-v1")
task.train_expert(task.train_settings()(steps=10**8), Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_killed_training_resumes(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], env=environment)
    task, settings = trained(CARTPOLE, steps=10**8)
    deadline = time.monotonic() + 60
    while _steps(tmp_path) < 1000 and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = _steps(tmp_path)
    assert done >= 1000
    (policy,), finished = task.train_expert(settings, tmp_path, resume=True, max_minutes=0, card_episodes=1)
    assert not finished and policy.steps == done + 256


def _steps(directory: Path) -> int:
    try:
        return int(load_state(directory / "checkpoint.pt")["steps"])
    except DamagedFileError:
        return 0


def test_experts_are_trained_on_training_starts_and_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[int | None] = []
    reset = Spots.reset

    def noting(self: Spots, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        starts.append(seed)
        return reset(self, seed=seed, options=options)

    monkeypatch.setattr(Spots, "reset", noting)
    task = make_task("toy/spots")
    settings = GymnasiumTrainSettings(steps=600, envs=4, n_steps=64, learning_rate=3e-3, gamma=0.1)
    model: list[float] = []
    (policy,), finished = task.train_expert(
        settings, tmp_path, card_episodes=40, on_update=lambda steps, note: model.append(steps)
    )
    train = [seed for seed in starts if seed is not None and seed < 20_000]
    assert finished and len(set(train)) > 80 and min(train) >= 0 and max(train) < 10_000
    assert min(policy.returns.values()) > 2.0  # chance 1.5, the best 4.5


def test_a_task_without_its_namespace_is_recognised() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'gym/CartPole-v1'"):
        make_task("CartPole-v1")


def test_a_task_that_does_not_fit_the_file_is_named(tmp_path: Path) -> None:
    make_task(CARTPOLE).collect(CollectSettings(policy="random", episodes=2), tmp_path / "cart.h5")
    for other, message in (
        ("gym/Acrobot-v1", r"shape \(6,\).*gym/Acrobot-v1"),
        (PENDULUM, f"those of {PENDULUM}"),
    ):
        with pytest.raises(DistillError, match=message):
            load(tmp_path / "cart.h5", task=other)
    assert load(tmp_path / "cart.h5", task=CARTPOLE).task == CARTPOLE
    with (tmp_path / "dumped.h5").open("w+b") as file:  # d3rlpy's own, which says of nothing what it is
        make_buffer([4, 6], action_size=2).dump(file)
    with pytest.raises(DistillError, match=f"asked for is {PENDULUM}"):
        load(tmp_path / "dumped.h5", task=PENDULUM)


def test_the_policy_of_a_dataset_is_found_again(tmp_path: Path) -> None:
    task, settings = trained(CARTPOLE, steps=64, envs=2)
    (policy,), _ = task.train_expert(settings, tmp_path / "run", card_episodes=1)
    path = tmp_path / "cart.h5"
    task.collect(CollectSettings(policy=str(policy.path), episodes=2), path, trust=True)
    dataset = OfflineDataset.load(path)
    assert dataset.provenance is not None and dataset.policy is not None
    recorded = dataset.provenance.settings
    assert recorded["expert"] == "policy.zip" and len(recorded["expert_sha256"]) == 64
    assert recorded["policy"] == str(policy.path) == task.expert_name(recorded)
    loaded = task.load_policy(str(policy.path), trust=True).policy
    observations = torch.from_numpy(dataset.transitions.observations)
    probabilities = torch.softmax(loaded.logits(observations), 1)  # type: ignore[union-attr]
    np.testing.assert_allclose(dataset.policy, probabilities, atol=1e-5)
    policy.path.write_bytes(b"another")
    assert task.expert_name(recorded) is None and task.expert_name({}) is None
    assert task.expert_name({"policy": "random"}) == "random"


def test_the_file_is_one_of_d3rlpys(tmp_path: Path) -> None:
    make_task(PENDULUM).collect(CollectSettings(policy="random", episodes=2), tmp_path / "swing.h5")
    with (tmp_path / "swing.h5").open("rb") as file:
        buffer = ReplayBuffer.load(file, d3rlpy.dataset.InfiniteBuffer())
    assert buffer.transition_count == 398 and buffer.dataset_info.action_size == 1


def test_tasks_whose_environments_remember_get_new_ones() -> None:
    pytest.importorskip("Box2D")
    task = make_task("gym/BipedalWalker-v3")
    policy = task.random_policy()
    arguments: dict[str, Any] = {"split": "test", "mode": "greedy", "seed": 0}
    first = task.play([policy], episodes=3, **arguments)
    np.testing.assert_array_equal(first, task.play([policy], episodes=3, **arguments))
    np.testing.assert_array_equal(
        first[0, :1], make_task("gym/BipedalWalker-v3").play([policy], episodes=1, **arguments)[0]
    )


def test_lunar_lander_plays() -> None:
    pytest.importorskip("Box2D")
    task = make_task("gym/LunarLander-v3")
    returns = task.play([RandomPolicy(4)], split="test", mode="sampled", episodes=10, seed=0)
    assert -400 < returns.mean() < -100 and set(task.versions()) >= {"gymnasium", "Box2D"}


@pytest.mark.slow
def test_mujoco_plays_collects_and_trains(tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    task, settings = trained("gym/HalfCheetah-v5", steps=160, learning_starts=100)
    assert (task.observation_shape, task.action_size, task.discrete) == ((17,), 6, False)
    random = task.play([task.random_policy()], split="test", mode="greedy", episodes=4, seed=0)
    np.testing.assert_array_equal(
        random, task.play([task.random_policy()], split="test", mode="greedy", episodes=4, seed=0)
    )
    score = task.normalise(random.mean())
    assert score is not None and abs(score) < 0.02
    task.collect(CollectSettings(policy="random", episodes=2), tmp_path / "cheetah.h5")
    assert len(OfflineDataset.load(tmp_path / "cheetah.h5")) == 1998
    (policy,), finished = task.train_expert(settings, tmp_path / "run", card_episodes=1)
    assert finished and policy.steps == 160 and set(task.versions()) == {"gymnasium", "mujoco"}


@pytest.mark.slow
def test_atari_plays_collects_and_trains(tmp_path: Path) -> None:
    pytest.importorskip("ale_py")
    task, settings = trained("gym/ALE/Pong-v5", steps=256, envs=2, n_steps=64)
    assert (task.observation_shape, task.action_size, task.discrete) == ((4, 84, 84), 6, True)
    policy = task.random_policy()
    returns = task.play([policy], split="test", mode="sampled", episodes=3, seed=0)
    np.testing.assert_array_equal(returns, task.play([policy], split="test", mode="sampled", episodes=3, seed=0))
    task.collect(CollectSettings(policy="random", episodes=2), tmp_path / "pong.h5")
    dataset = OfflineDataset.load(tmp_path / "pong.h5")
    assert dataset.observation_shape == (4, 84, 84) and dataset.has_pixels
    stacks = np.asarray(dataset.buffer.episodes[0].observations)
    np.testing.assert_array_equal(stacks[9, 3], stacks[10, 2])  # oldest first
    (expert,), finished = task.train_expert(settings, tmp_path / "run", card_episodes=1)
    assert finished and expert.steps == 256
    legacy = make_task("gym/PongNoFrameskip-v4")
    assert legacy.observation_shape == (4, 84, 84)
    assert make_task("gym/ALE/Pong-ram-v5").observation_shape == (128,)
    assert set(task.versions()) >= {"gymnasium", "ale-py"}
