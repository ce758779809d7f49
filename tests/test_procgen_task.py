"""Procgen as a plug-in: its names, how its task plays, whose policies it loads, what it records, how it films."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from buffers import make_buffer, unseal
from d3rlpy_distill import PAPER_SMALL, OfflineDataset, Task, make_task
from d3rlpy_distill.catalogue import DATASETS, TASKS
from d3rlpy_distill.data import load_dataset, read_extras, read_info
from d3rlpy_distill.data.training_set import TrainingSet
from d3rlpy_distill.errors import (
    CheckpointError,
    MissingExtraError,
    OutputExistsError,
    SettingsError,
    UnknownNameError,
)
from d3rlpy_distill.policies import UniformPolicy
from d3rlpy_distill.students.kept import save_student
from d3rlpy_distill.students.mlp import MlpStudent
from d3rlpy_distill.students.paper import PaperStudent
from d3rlpy_distill.tasks import LoadedPolicy
from procgen_datasets import (
    ALL_LEVELS,
    GAMES,
    TRAIN_LEVELS,
    VALIDATION_LEVELS,
    CollectConfig,
    ExpertError,
    Levels,
    ProcgenPlayer,
    ProcgenTask,
    ProcgenVecEnv,
    collect,
    list_recipes,
    load_expert,
    rollout,
)
from procgen_datasets.task import ProcgenCollectSettings

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task("procgen/starpilot")


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return torch.from_numpy(np.load(DATA / "check_starpilot.npz")["obs"])


def test_games_and_recipes_are_found_by_name() -> None:
    assert [name for name in TASKS.names() if name.startswith("procgen/")] == [f"procgen/{game}" for game in GAMES]
    assert set(DATASETS.names()) >= set(list_recipes())
    for entry in [*TASKS.entries(), *DATASETS.entries()]:
        assert entry.line and "\n" not in entry.line
    for name in ("procgen/bigfish", "bigfish"):
        found = make_task(name)
        assert isinstance(found, ProcgenTask) and found.name == "procgen/bigfish"
    for wrong, game in (("procgen/starpliot", "starpilot"), ("starpliot", "starpilot"), ("jumpr", "jumper")):
        with pytest.raises(UnknownNameError, match=f"did you mean 'procgen/{game}'"):
            make_task(wrong)
    with pytest.raises(UnknownNameError, match="did you mean 'starpilot-expert'"):
        DATASETS.get("starpilot-expart")


def test_a_recipe_makes_its_file_once(tmp_path: Path) -> None:
    make = DATASETS.get("jumper-soft-150")
    path = make("jumper-soft-150", tmp_path)
    before = path.stat().st_mtime_ns
    assert path == tmp_path / "jumper-soft-150.h5" == make("jumper-soft-150", tmp_path)
    assert path.stat().st_mtime_ns == before and load_dataset(path)[0].size() == 150


def test_what_a_task_says_of_itself(task: Task) -> None:
    assert (task.observation_shape, task.action_size, task.discrete) == ((3, 64, 64), 15, True)
    assert task.splits == ("id", "ood", "validation") and task.default_splits == ("id", "ood")
    assert task.modes == ("sampled", "greedy") and task.default_student == "paper"
    assert [task.split_title(split) for split in task.splits] == [
        "seen levels (ID)",
        "unseen levels (OOD)",
        "validation levels (200-299)",
    ]
    everything = {"start": 0, "num": 0}
    assert task.identity(("id", "ood")) == {
        "levels": {"id": {"start": 0, "num": 200}, "ood": everything},
        "distribution_mode": "easy",
    }
    assert task.identity(("validation",))["levels"] == {"validation": {"start": 200, "num": 100}}
    assert task.normalise(2.5) == 0 and task.normalise(64) == 1 and task.normalise(33.25) == 0.5
    assert "procgen" in task.versions()["environment_build"]
    hard = ProcgenTask("starpilot", mode="hard")
    assert hard.normalise(1.5) == 0 and hard.normalise(35) == 1  # Cobbe et al. 2020, appendix C


def test_a_task_is_on_the_levels_of_the_dataset(task: Task, starpilot_dataset: OfflineDataset) -> None:
    assert starpilot_dataset.provenance is not None
    same = task.for_dataset(starpilot_dataset.provenance.settings)
    assert same.identity(task.splits) == task.identity(task.splits)
    assert same.expert_name(starpilot_dataset.provenance.settings) == "starpilot@1"
    other = task.for_dataset({"levels": {"start": 300, "num": 5}, "distribution_mode": "hard", "expert": "mine"})
    assert other.name == task.name and other.identity(("id",)) == {
        "levels": {"id": {"start": 300, "num": 5}},
        "distribution_mode": "hard",
    }
    assert other.identity(("ood",))["levels"]["ood"] == {"start": 0, "num": 0}
    assert task.for_dataset({}).identity(("id",)) == task.identity(("id",)) and task.expert_name({}) is None


def test_the_policy_that_played_is_found_by_its_bytes(tmp_path: Path) -> None:
    """Not by its name: that of one's own may be that of a bundled one."""
    experts = Path(sys.modules["procgen_datasets"].__file__ or "").parent / "experts"
    jumper, own = make_task("procgen/jumper"), tmp_path / "jumper.safetensors"
    weights = safetensors.torch.load_file(experts / "jumper.safetensors")
    safetensors.torch.save_file({name: 1.01 * value for name, value in weights.items()}, own)
    jumper.collect(ProcgenCollectSettings(policy=str(own), episodes=1), tmp_path / "own.h5")
    told = read_info(tmp_path / "own.h5").provenance
    assert told is not None and told.settings["expert"] == "jumper"
    assert jumper.expert_name(told.settings) == str(own)
    loaded = jumper.load_policy(str(own))
    assert loaded.sha256 == told.settings["expert_sha256"] != jumper.load_policy("jumper").sha256
    safetensors.torch.save_file(weights, own)
    assert jumper.expert_name(told.settings) is None
    old = load_expert("jumper@1").sha256  # version 0.1 called it by the name that another has now
    assert jumper.expert_name({"expert": "jumper", "expert_sha256": old}) == "jumper@1"
    assert jumper.expert_name({"expert": "jumper"}) == "jumper" and jumper.expert_name({"expert": "mine"}) is None


@pytest.mark.parametrize(
    ("split", "levels"),
    [
        pytest.param("id", TRAIN_LEVELS, marks=pytest.mark.slow),
        ("ood", ALL_LEVELS),
        ("validation", VALIDATION_LEVELS),
    ],
)
def test_play_is_what_rollouts_give(task: Task, split: str, levels: Levels) -> None:
    policies = [task.random_policy(), task.load_policy("starpilot").policy]
    for mode in task.modes if split == "id" else ("sampled",):
        played = task.play(policies, split=split, mode=mode, episodes=3, seed=4)
        player = ProcgenPlayer("starpilot", {split: levels}, 3, seed=4)
        np.testing.assert_array_equal(played, player.play(policies, split=split, mode=mode))  # type: ignore[arg-type]
        env = ProcgenVecEnv("starpilot", 3, levels=levels, rand_seed=4, copies=2)
        for episode in rollout(env, policies, 3, greedy=mode == "greedy", seed=4):  # type: ignore[arg-type]
            assert played[episode.policy, episode.slot] == episode.episode_return
        np.testing.assert_array_equal(task.play(policies, split=split, mode=mode, episodes=3, seed=4), played)
        np.testing.assert_array_equal(
            task.play(policies[:1], split=split, mode=mode, episodes=3, seed=4), played[:1]
        )
    assert played[1].mean() > played[0].mean()


def test_policies_of_continuous_actions_are_refused(task: Task) -> None:
    policy = UniformPolicy(np.zeros(2), np.ones(2), 0)
    with pytest.raises(
        SettingsError, match=r"procgen/starpilot has discrete actions: expected policies that give logits"
    ):
        task.play([policy], split="id", mode="sampled", episodes=1, seed=0)
    with pytest.raises(SettingsError, match="discrete actions"):
        task.film([policy], split="id", greedy=False, seed=0, max_steps=1)


def test_experts_load_by_name_and_from_a_file(task: Task, frames: torch.Tensor, tmp_path: Path) -> None:
    expert = load_expert("starpilot")
    loaded = task.load_policy("starpilot")
    assert (loaded.name, loaded.sha256) == ("starpilot", expert.sha256)
    assert torch.equal(loaded.policy.logits(frames), expert.logits(frames))  # type: ignore[union-attr]
    assert loaded.about == {
        "expert": "starpilot",
        "expert_sha256": expert.sha256,
        "expert_architecture": "impala-s2d",
        "expert_dtype": str(expert.dtype).removeprefix("torch."),
    }
    assert loaded.learner is not None
    greedy = load_expert("starpilot", dtype=torch.float32).logits(frames).argmax(1)
    assert loaded.learner().predict(frames.numpy()).tolist() == greedy.tolist()
    bundled = Path(sys.modules["procgen_datasets"].__file__ or "").parent / "experts" / "starpilot.safetensors"
    bare = shutil.copy(bundled, tmp_path / "mine.safetensors")  # without its card: nobody knows its game
    for name, known in ((str(bundled), "starpilot"), (str(bare), "mine")):
        again = task.load_policy(name)
        assert (again.name, again.sha256) == (known, expert.sha256)
    assert make_task("bigfish").load_policy(str(bare)).name == "mine"


def test_random_play_loads_as_a_policy(task: Task, frames: torch.Tensor) -> None:
    loaded = task.load_policy("random")
    assert (loaded.name, loaded.sha256, loaded.learner, loaded.about) == (
        "random",
        None,
        None,
        {"expert": "random"},
    )
    assert torch.equal(loaded.policy.logits(frames), torch.zeros(len(frames), 15))  # type: ignore[union-attr]


def test_a_student_that_0_1_kept_loads(task: Task, frames: torch.Tensor) -> None:
    """Against the paper's network written out: its weights and nothing else are in the file."""
    path = DATA / "unchanged" / "bc-10.safetensors"
    loaded = task.load_policy(str(path))
    assert loaded.name == "bc-10" and loaded.about == {"expert": "bc-10", "expert_sha256": loaded.sha256}
    weights = safetensors.torch.load_file(path)
    x = frames.float() / 255
    for i in range(4):
        x = F.avg_pool2d(
            F.relu(F.conv2d(x, *(weights[f"_encoder.convs.{i}.{w}"] for w in ("weight", "bias")), padding=1)), 2
        )
    expected = torch.log_softmax(F.linear(x.flatten(1), weights["_fc.weight"], weights["_fc.bias"]), 1)
    logits = torch.log_softmax(loaded.policy.logits(frames), 1)  # type: ignore[union-attr]
    torch.testing.assert_close(logits, expected, atol=0.05, rtol=0)  # in bfloat16, where the processor has it


def test_an_algorithm_that_0_1_kept_is_not_called_damaged(task: Task, tmp_path: Path) -> None:
    """Version 0.1 wrote weights of d3rlpy's other algorithms without saying which."""
    path = tmp_path / "0.safetensors"
    weights = {"q_funcs.0._encoder.convs.0.weight": torch.zeros(12, 3, 3, 3)}
    safetensors.torch.save_file(weights, path, {"train_seconds": "1.0", "steps": "4.0"})
    with pytest.raises(CheckpointError, match=r"of version 0\.1 that is not the paper's"):
        task.load_policy(str(path))


def _student(path: Path, dataset: OfflineDataset, name: str, student: PaperStudent | MlpStudent) -> torch.Tensor:
    """Keeps an untrained student in a file, and returns its logits at the first frames."""
    config = student.learner(dataset, PAPER_SMALL)
    learner = student.fit(config, TrainingSet(dataset.transitions), 0, seed=3)
    save_student(path, name, student, learner, 0.0, {"train_seconds": 1.0})
    observations = torch.from_numpy(dataset.transitions.observations[:5])
    logits: torch.Tensor = student.policy(learner, 0.0).logits(observations)  # type: ignore[union-attr]
    return logits


def test_a_kept_student_loads(task: Task, starpilot_dataset: OfflineDataset, tmp_path: Path) -> None:
    path = tmp_path / "0.safetensors"
    expected = _student(path, starpilot_dataset, "paper", PaperStudent())
    loaded = task.load_policy(str(path))
    observations = torch.from_numpy(starpilot_dataset.transitions.observations[:5])
    assert torch.equal(loaded.policy.logits(observations), expected)  # type: ignore[union-attr]
    assert loaded.sha256 != task.load_policy("starpilot").sha256 and loaded.learner is None
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises((ExpertError, CheckpointError), match=r"0\.safetensors"):
        task.load_policy(str(path))


def test_policies_that_do_not_fit_are_named(task: Task, tmp_path: Path) -> None:
    with pytest.raises(ExpertError, match="bigfish plays bigfish, not starpilot"):
        task.load_policy("bigfish")
    with pytest.raises(ExpertError, match="no bundled expert 'nobody': bundled are bigfish"):
        task.load_policy("nobody")
    with pytest.raises(ExpertError, match="does not exist"):
        task.load_policy(str(tmp_path / "none.safetensors"))
    small = tmp_path / "small.safetensors"
    _student(small, OfflineDataset(make_buffer([20], shape=(4,))), "mlp", MlpStudent())
    with pytest.raises(ExpertError, match=r"a student for observations \(4,\): expected \(3, 64, 64\)"):
        task.load_policy(str(small))


def test_collect_is_what_collect_config_makes(task: Task, starpilot_file: Path, tmp_path: Path) -> None:
    """The task's settings decide the same content, and record the same, as those of version 0.1."""
    assert task.collect_settings is ProcgenCollectSettings
    told: list[int] = []
    path = tmp_path / "x.h5"
    settings = ProcgenCollectSettings(episodes=3, seed=3, policy="random", start_level=10, num_levels=20, envs=2)
    info = task.collect(settings, path, command="a test", on_episode=lambda: told.append(1))
    assert len(told) == info.num_episodes == 3
    config = CollectConfig("starpilot", "random", 3, Levels(10, 20), seed=3, num_slots=2)
    assert collect(config, tmp_path / "y.h5").content_sha256 == info.content_sha256
    assert info.provenance is not None and info.provenance.task == "procgen/starpilot"
    assert info.provenance == dataclasses.replace(
        read_info(tmp_path / "y.h5").provenance,  # type: ignore[type-var]
        command="a test",
    )
    assert set(read_extras(path, "episodes")["level_seed"]) <= set(range(10, 30))
    same = ProcgenCollectSettings(policy="starpilot@1", episodes=6, seed=3)
    assert task.collect(same, starpilot_file).num_episodes == 6  # there already, made by another call
    with pytest.raises(OutputExistsError, match="holds something else"):
        task.collect(dataclasses.replace(same, greedy=True), starpilot_file)
    for wrong, message in (
        ({"num_levels": 0, "start_level": 5}, "Procgen ignores the start"),
        ({"envs": 9, "episodes": 3}, "expected 1 to 3, the episodes"),
    ):
        with pytest.raises(SettingsError, match=message):
            task.collect(ProcgenCollectSettings(**wrong), tmp_path / "z.h5")
    with pytest.raises(SettingsError, match="mode='medium'"):
        ProcgenCollectSettings(mode="medium")


def test_files_that_0_1_collected_are_ones_own(task: Task, starpilot_file: Path, tmp_path: Path) -> None:
    """What version 0.1 recorded of 'rld-distill collect starpilot --episodes 6 --seed 3', word for word."""
    expert = load_expert("starpilot")
    settings = {
        "actions": "sampled",
        "distribution_mode": "easy",
        "environment": "procgen:starpilot",
        "environment_build": task.versions()["environment_build"],
        "episodes": 6,
        "expert": "starpilot",
        "expert_architecture": "impala-s2d",
        "expert_dtype": str(expert.dtype).removeprefix("torch."),
        "expert_sha256": expert.sha256,
        "levels": {"num": 200, "start": 0},
        "num_slots": 6,
        "seed": 3,
    }
    path = Path(shutil.copy(starpilot_file, tmp_path / "old.h5"))
    with h5py.File(path, "r+") as file:
        del file.attrs["task"]
        file.attrs.update(
            game="starpilot", format="d3rlpy-distill 1", settings=json.dumps(settings, sort_keys=True)
        )
    unseal(path)
    before = path.stat().st_mtime_ns
    told: list[int] = []
    info = task.collect(ProcgenCollectSettings(episodes=6, seed=3), path, on_episode=lambda: told.append(1))
    assert path.stat().st_mtime_ns == before and told == []
    assert info.content_sha256 == read_info(starpilot_file).content_sha256
    assert info.provenance is not None and info.provenance.task == "procgen/starpilot"
    assert info.provenance.settings == settings
    with pytest.raises(OutputExistsError, match="holds something else"):
        task.collect(ProcgenCollectSettings(episodes=6, seed=4), path)


def test_a_film_shows_what_a_rollout_plays(task: Task) -> None:
    policies = [task.load_policy("starpilot").policy, task.random_policy()]
    shots = list(task.film(policies, split="id", greedy=False, seed=4, max_steps=1500))
    played = ProcgenVecEnv("starpilot", 1, levels=TRAIN_LEVELS, rand_seed=4, copies=2)
    episodes = {e.policy: e for e in rollout(played, policies, 1, greedy=False, seed=4)}  # type: ignore[arg-type]
    assert shots[-1].over.all() and len(shots) - 1 == max(e.length for e in episodes.values())
    assert shots[-1].returns.tolist() == [episodes[i].episode_return for i in (0, 1)]
    assert shots[0].frames.shape == (2, 512, 512, 3) and shots[0].frames.dtype == np.uint8
    assert np.array_equal(shots[0].frames[0], shots[0].frames[1])  # the same level
    first = min((0, 1), key=lambda i: episodes[i].length)
    end = episodes[first].length
    assert not shots[end - 1].over[first] and shots[end].over[first]
    assert np.array_equal(shots[end].frames[first], shots[end - 1].frames[first])  # no frame of the next episode
    assert len(list(task.film(policies, split="ood", greedy=True, seed=0, max_steps=3))) == 4


def test_without_procgen_a_task_says_what_is_missing(
    task: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In one line; its experts load, and what plays nothing works."""

    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setitem(sys.modules, "procgen", None)
    monkeypatch.setattr(importlib.metadata, "version", version)
    fresh = make_task("jumper")
    loaded: LoadedPolicy = fresh.load_policy("jumper")
    for ask in (
        lambda: fresh.play([loaded.policy], split="id", mode="sampled", episodes=1, seed=0),
        lambda: fresh.collect(ProcgenCollectSettings(episodes=1), tmp_path / "x.h5"),
        lambda: list(fresh.film([loaded.policy], split="id", greedy=True, seed=0, max_steps=1)),
        fresh.versions,
    ):
        with pytest.raises(MissingExtraError, match="pip install d3rlpy-distill") as caught:
            ask()
        assert "\n" not in str(caught.value) and "Procgen is not installed" in str(caught.value)
    assert fresh.identity(("id",)) and fresh.normalise(3.0) == 0 and list(tmp_path.iterdir()) == []
