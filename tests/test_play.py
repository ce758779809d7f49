"""Films: the same level for everybody, the returns that a rollout gives, and files that can be watched."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from PIL import Image

from commands import fails, run
from d3rlpy_distill import OfflineDataset
from d3rlpy_distill.data.training_set import TrainingSet
from d3rlpy_distill.errors import DistillError, SettingsError
from d3rlpy_distill.learners.learner import build_learner, learner_network
from d3rlpy_distill.policies import RandomPolicy, UniformPolicy
from d3rlpy_distill.report.film import film_policies, save_film
from d3rlpy_distill.students.kept import save_student
from d3rlpy_distill.students.paper import PaperStudent
from d3rlpy_distill.tasks import make_task
from d3rlpy_distill.tasks.base import Shot
from d3rlpy_distill.tasks.gymnasium import GymnasiumTask
from frames_env import FramesEnv
from procgen_datasets import TRAIN_LEVELS, Levels, ProcgenTask, ProcgenVecEnv, load_expert
from procgen_datasets.film import film
from procgen_datasets.rollout import rollout


@pytest.fixture
def student(starpilot_dataset: OfflineDataset, tmp_path: Path) -> Path:
    """A kept student of version 0.1, which says of itself how long it trained and nothing else."""
    path = tmp_path / "students" / "bc-100" / "0.safetensors"
    path.parent.mkdir(parents=True)
    learner = build_learner(PaperStudent().learner(starpilot_dataset), (3, 64, 64), 15, seed=0)
    weights = {k: v.contiguous() for k, v in learner_network(learner).state_dict().items()}
    safetensors.torch.save_file(weights, path, {"train_seconds": "1.5"})
    return path


def test_a_film_shows_what_a_rollout_plays() -> None:
    policies = [load_expert("starpilot"), RandomPolicy(15)]
    shown = ProcgenVecEnv("starpilot", 1, levels=TRAIN_LEVELS, rand_seed=3, copies=2, human_frames=True)
    played = ProcgenVecEnv("starpilot", 1, levels=TRAIN_LEVELS, rand_seed=3, copies=2)
    shots = list(film(shown, policies, greedy=False, seed=4, max_steps=1500))
    episodes = {e.policy: e for e in rollout(played, policies, 1, greedy=False, seed=4)}
    assert shots[-1].over.all() and len(shots) - 1 == max(e.length for e in episodes.values())
    assert shots[-1].returns.tolist() == [episodes[i].episode_return for i in (0, 1)]
    assert np.array_equal(shots[0].frames[0], shots[0].frames[1])  # the same level
    assert shots[0].frames.shape == (2, 512, 512, 3)
    over = min(range(2), key=lambda i: episodes[i].length)
    end = episodes[over].length
    assert not shots[end - 1].over[over] and shots[end].over[over]
    assert np.array_equal(shots[end].frames[over], shots[end - 1].frames[over])  # no frame of the next episode


def test_a_film_is_drawn_side_by_side_in_its_own_shape(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shots = [
        Shot(
            rng.integers(0, 256, (3, 100, 150, 3)).astype(np.uint8), np.array([n, 2.5 * n, 0.0]), np.zeros(3, bool)
        )
        for n in range(4)
    ]
    returns = save_film(shots, ["a", "b", "c"], tmp_path / "x.gif")
    assert returns.tolist() == [3, 7.5, 0]
    with Image.open(tmp_path / "x.gif") as drawn:
        assert drawn.size == (3 * 384, 276) and drawn.n_frames == 4
        assert np.asarray(drawn.convert("RGB"))[:20].max() > 200  # the titles


def test_command_films_an_expert_and_a_student(student: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.gif"
    result = run("play", "starpilot", "starpilot", student, "random", "--max-steps", 6, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    assert list(value["returns"]) == ["starpilot", str(student), "random"]
    assert value["task"] == "procgen/starpilot" and result.stderr == ""
    with Image.open(out) as drawn:
        assert drawn.size == (768, 276) and drawn.n_frames >= 6
        first = np.asarray(drawn.convert("RGB"))
        drawn.seek(drawn.n_frames - 1)
        last = np.asarray(drawn.convert("RGB"))
    assert first.std() > 10 and not np.array_equal(first, last)


def test_a_student_that_an_evaluation_kept_plays_as_it_was_trained(
    starpilot_dataset: OfflineDataset, tmp_path: Path
) -> None:
    """Its learner and its network are in the file: a value-based student, whose network is no imitator."""
    from d3rlpy_distill.catalogue import STUDENTS

    kind = STUDENTS.get("dqn")()
    config = kind.learner(starpilot_dataset, None)
    data = TrainingSet(starpilot_dataset.transitions.take(np.arange(20)))
    learner = kind.fit(config, data, 1, seed=0)
    save_student(tmp_path / "0.safetensors", "dqn", kind, learner, 1.0, {"train_seconds": 1.0})
    task = make_task("starpilot")
    returns = film_policies(task, [str(tmp_path / "0.safetensors")], tmp_path / "x.gif", max_steps=3)
    assert len(returns) == 1


def test_levels_and_difficulty_are_those_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def seen(self: ProcgenTask, policies: object, *, split: str, **rest: object) -> object:
        asked.append((self.levels[split], self.mode))
        return iter([Shot(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1), np.ones(1, bool))])

    monkeypatch.setattr(ProcgenTask, "film", seen)
    play = ["play", "starpilot", "random", "--overwrite", "--out", tmp_path / "x.gif"]
    for arguments in (
        [],
        ["--start-level", 300],
        ["--num-levels", 7, "--mode", "hard"],
        ["--split", "validation"],
        ["--split", "validation", "--mode", "hard"],
    ):
        assert run(*play, *arguments).exit_code == 0
    assert asked == [
        (TRAIN_LEVELS, "easy"),
        (Levels(300, 200), "easy"),
        (Levels(0, 7), "hard"),
        (Levels(200, 100), "easy"),
        (Levels(200, 100), "hard"),
    ]
    fails(2, "leave out --start-level", *play, "--split", "ood", "--start-level", 3)
    fails(2, "procgen/starpilot has id, ood, validation", *play, "--split", "tst")
    fails(2, "random is named twice: name each policy once", "play", "starpilot", "random", "random")
    fails(2, "leave them out for gym/CartPole-v1", "play", "gym/CartPole-v1", "random", "--mode", "hard")
    fails(2, "they end beyond 2147483647", "play", "starpilot", "random", "--start-level", 2**31 - 1)


class FramesTask(GymnasiumTask):
    """Five steps of noise, whose pictures say how many steps there have been."""

    def make_env(self) -> FramesEnv:
        return FramesEnv()


def test_a_film_of_gymnasium_s_shows_what_is_played(tmp_path: Path) -> None:
    task = FramesTask("frames", name="tests/frames")
    policies = [RandomPolicy(3), RandomPolicy(3)]
    shots = list(task.film(policies, split="validation", greedy=False, seed=2, max_steps=99))
    assert [int(shot.frames.max()) for shot in shots] == [0, 1, 2, 3, 4, 4]  # none of the next episode
    assert [shot.over.all() for shot in shots] == [False] * 5 + [True]
    played = task.play(policies, split="validation", mode="sampled", episodes=1, seed=2)
    assert shots[-1].returns.tolist() == played[:, 0].tolist()
    returns = film_policies(task, ["random"], tmp_path / "x.gif", split="validation", seed=2, max_steps=2)
    assert returns == [shots[2].returns[0]]
    with pytest.raises(SettingsError, match="expected policies that give logits"):
        task.film([UniformPolicy(np.zeros(1), np.ones(1), seed=0)], split="test", greedy=True, seed=0, max_steps=1)


@pytest.mark.parametrize(("drawn", "message"), [(None, "draws no frames"), (OSError("no screen"), "no screen")])
def test_what_cannot_be_drawn_is_named(drawn: object, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def render(env: FramesEnv) -> object:
        if isinstance(drawn, OSError):
            raise drawn
        return drawn

    monkeypatch.setattr(FramesEnv, "render", render)
    shots = FramesTask("frames", name="tests/frames").film(
        [RandomPolicy(3)], split="test", greedy=True, seed=0, max_steps=1
    )
    with pytest.raises(DistillError, match=f"FramesEnv cannot be .*{message}"):
        next(shots)


def test_command_names_what_is_off(tmp_path: Path) -> None:
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"junk")
    for code, arguments, message in (
        (2, ["starpliot", "random"], "did you mean 'procgen/starpilot'"),
        (2, ["starpilot"], "POLICIES"),
        (2, ["starpilot", "random", "--out", tmp_path / "x.avi"], "expected a name that ends in .gif"),
        (1, ["starpilot", "nobody"], "no bundled expert 'nobody'"),
        (1, ["starpilot", tmp_path / "none.safetensors"], "does not exist"),
        (1, ["starpilot", junk], "no safetensors file"),
        (1, ["bigfish", "starpilot"], "plays starpilot, not bigfish"),
    ):
        fails(code, message, "play", *arguments)
        assert not list(tmp_path.glob("x*"))
