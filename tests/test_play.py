"""Films: the same level for everybody, the returns that a rollout gives, and files that can be watched."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import safetensors.torch
from PIL import Image

from commands import run
from d3rlpy_distill import PAPER_BC, paper_student
from d3rlpy_distill.learner import build_learner, learner_network
from procgen_datasets import TRAIN_LEVELS, ProcgenVecEnv, load_expert
from procgen_datasets.film import film
from procgen_datasets.policies import RandomPolicy
from procgen_datasets.rollout import rollout


def test_a_film_shows_what_a_rollout_plays() -> None:
    policies = [load_expert("starpilot"), RandomPolicy()]
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


def test_command_films_an_expert_and_a_student(tmp_path: Path) -> None:
    student = tmp_path / "students" / "bc-100" / "0.safetensors"
    student.parent.mkdir(parents=True)
    weights = learner_network(build_learner(paper_student(PAPER_BC), (3, 64, 64), 15, seed=0)).state_dict()
    safetensors.torch.save_file({k: v.contiguous() for k, v in weights.items()}, student)
    out = tmp_path / "x.gif"
    result = run("play", "starpilot", "starpilot", student, "random", "--max-steps", 6, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    assert list(value["returns"]) == ["starpilot", str(student), "random"] and 0 <= value["level"] < 200
    with Image.open(out) as film:
        assert film.size == (768, 276) and film.n_frames >= 6
        first = np.asarray(film.convert("RGB"))
        film.seek(film.n_frames - 1)
        last = np.asarray(film.convert("RGB"))
    assert first.std() > 10 and not np.array_equal(first, last)


def test_command_names_what_is_off(tmp_path: Path) -> None:
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"junk")
    for code, arguments, message in (
        (2, ["starpliot", "random"], "did you mean 'starpilot'"),
        (2, ["starpilot"], "POLICIES"),
        (2, ["starpilot", "random", "--out", tmp_path / "x.avi"], "expected a name that ends in .gif"),
        (1, ["starpilot", "nobody"], "no bundled expert 'nobody'"),
        (1, ["starpilot", tmp_path / "none.safetensors"], "does not exist"),
        (1, ["starpilot", junk], "not a readable safetensors file"),
        (1, ["bigfish", "starpilot"], "plays starpilot, not bigfish"),
    ):
        result = run("play", *arguments)
        assert result.exit_code == code and message in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1 and not list(tmp_path.glob("x*"))
