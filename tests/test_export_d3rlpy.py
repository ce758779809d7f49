"""Students as d3rlpy's models: its loader, its own ``play``, ``record`` and ``export`` take them as they are."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.algos import BC, DiscreteBC, DiscreteDecisionTransformer
from d3rlpy.algos.qlearning.base import QLearningAlgoBase

from commands import fails_dry_too, planned, run
from d3rlpy_distill import OfflineDataset, SoftBC
from d3rlpy_distill.catalogue import STUDENTS
from d3rlpy_distill.data.training_set import TrainingSet
from d3rlpy_distill.errors import DistillError
from d3rlpy_distill.exchange import export_d3rlpy, save_d3
from d3rlpy_distill.exchange.d3rlpy_export import REGISTERED
from d3rlpy_distill.registry import load_plugin
from d3rlpy_distill.students.kept import save_student
from frames_env import LENGTH
from test_students import DATASETS, PAIRS, TINY, outputs, trained

ROOT = Path(__file__).parent.parent
HEADER = (
    f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}); from frames_env import FramesEnv; env = FramesEnv()"
)
RECORD = {"train_seconds": 0.0, "steps": 3.0}


def kept(name: str, kind: str, path: Path) -> Path:
    """A student that trained three steps, as an evaluation keeps it."""
    student, learner = trained(name, OfflineDataset(DATASETS[kind]()))
    save_student(path, name, student, learner, 1.5, RECORD)
    return path


def d3rlpy_command(*args: object, paths: tuple[Path, ...] = ()) -> str:
    """Runs d3rlpy's command line in a process that has not imported this package; returns what it prints."""
    found = os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", "from d3rlpy.cli import cli; cli()", *map(str, args)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": found},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_d3rlpy_loads_a_kept_student_and_it_acts_the_same(name: str, kind: str, tmp_path: Path) -> None:
    student = export_d3rlpy(kept(name, kind, tmp_path / "s.safetensors"), tmp_path / "s.d3")
    loaded = d3rlpy.load_learnable(str(tmp_path / "s.d3"))
    assert type(loaded) is type(student.learner)
    observations = OfflineDataset(DATASETS[kind]()).transitions.observations[:6]
    if isinstance(loaded, DiscreteDecisionTransformer):  # acts on its history: the weights have to do
        theirs = loaded.impl.modules.transformer.state_dict()
        for key, value in student.learner.impl.modules.transformer.state_dict().items():
            torch.testing.assert_close(theirs[key], value, rtol=0, atol=0)
        assert loaded.as_stateful_wrapper(student.target_return).predict(observations[0], 0.0) in range(3)
        return
    assert isinstance(loaded, QLearningAlgoBase)
    if name == "bcq" and "continuous" in kind:  # its actions are the best of those that it draws
        assert loaded.predict(observations).shape == (6, 2)
        return
    ours = outputs(student.policy, observations)
    acted = loaded.predict(observations)
    if hasattr(student.policy, "actions"):
        np.testing.assert_allclose(acted, ours.numpy(), rtol=1e-4, atol=1e-5)
    else:
        top = ours.topk(2, dim=1).values
        certain = (top[:, 0] - top[:, 1]).numpy() > 0.02  # ours are evaluated in bfloat16
        np.testing.assert_array_equal(acted[certain], ours.argmax(1).numpy()[certain])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["impala", "nature"])
def test_their_play_record_and_export_run(name: str, tmp_path: Path) -> None:
    """With a network of ours, and one of theirs. What records needs moviepy, whose place a writer of text takes."""
    encoder = tmp_path / "moviepy" / "video" / "io"
    encoder.mkdir(parents=True)
    for folder in (encoder, encoder.parent, encoder.parent.parent):
        (folder / "__init__.py").touch()
    (encoder / "ImageSequenceClip.py").write_text(
        "class ImageSequenceClip:\n"
        "    def __init__(self, frames, fps):\n"
        "        self.frames = frames\n"
        "    def write_videofile(self, path):\n"
        "        open(path, 'w').write(str([int(frame.max()) for frame in self.frames]))\n"
    )
    student, model = kept(name, "images, discrete", tmp_path / "s.safetensors"), tmp_path / "s.d3"
    result = run("export", "d3rlpy", student, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["path"], told["algorithm"], told["observation_shape"]) == (str(model), "DiscreteBC", [3, 40, 40])
    played = d3rlpy_command("play", model, "--env-header", HEADER, "--n-episodes", 2)
    assert 0 <= float(played.rpartition("Score: ")[2]) <= LENGTH
    films = tmp_path / "films"
    d3rlpy_command("record", model, "--env-header", HEADER, "--out", films, "--n-episodes", 1, paths=(tmp_path,))
    assert json.loads((films / "rl-video-episode-0.mp4").read_text()) == list(range(LENGTH + 1))
    d3rlpy_command("export", model, tmp_path / "policy.pt")
    scripted = torch.jit.load(str(tmp_path / "policy.pt"))
    observations = OfflineDataset(DATASETS["images, discrete"]()).transitions.observations[:5]
    wanted = d3rlpy.load_learnable(str(model)).predict(observations)
    np.testing.assert_array_equal(scripted(torch.from_numpy(observations).float()).numpy(), wanted)


def test_a_network_of_d3rlpys_needs_nothing_of_ours(tmp_path: Path) -> None:
    for name, ours in (("mlp", []), ("bc", [])):
        path = tmp_path / f"{name}.d3"
        export_d3rlpy(kept(name, "vectors, discrete", tmp_path / f"{name}.safetensors"), path)
        assert pickle.loads(path.read_bytes()).get(REGISTERED, []) == ours
        assert b"d3rlpy_distill" not in path.read_bytes()
    path = tmp_path / "paper.d3"
    export_d3rlpy(kept("paper", "images, discrete", tmp_path / "paper.safetensors"), path)
    assert [one.__name__ for one in pickle.loads(path.read_bytes())[REGISTERED]] == ["PaperEncoderFactory"]


def test_a_student_of_soft_labels_goes_on_training_in_d3rlpy(tmp_path: Path) -> None:
    dataset = OfflineDataset(DATASETS["vectors, discrete"]())
    soft = np.full((len(dataset), 3), 1 / 3, np.float32)
    data = dataset.transitions.one_step(
        dataset.transitions.observations,
        dataset.transitions.actions,
        dataset.transitions.rewards,
        3,
        probabilities=soft,
    )
    student = STUDENTS.get("bc")()
    learner = student.fit(student.learner(dataset, TINY), TrainingSet(data), 3, seed=0)
    assert isinstance(learner, SoftBC)
    save_student(tmp_path / "s.safetensors", "bc", student, learner, 0.0, RECORD)
    export_d3rlpy(tmp_path / "s.safetensors")
    loaded = d3rlpy.load_learnable(str(tmp_path / "s.d3"))
    assert isinstance(loaded, SoftBC)
    np.testing.assert_array_equal(loaded.predict(data.observations), learner.predict(data.observations))


def test_what_is_no_student_or_is_in_the_way_is_refused(tmp_path: Path) -> None:
    student = kept("mlp", "vectors, continuous", tmp_path / "s.safetensors")
    would = planned("export", "d3rlpy", student)
    assert would["path"] == str(tmp_path / "s.d3") and not (tmp_path / "s.d3").exists()
    assert isinstance(export_d3rlpy(student).learner, BC)
    assert would["bytes"] == (tmp_path / "s.d3").stat().st_size
    before = (tmp_path / "s.d3").read_bytes()
    fails_dry_too(1, "s.d3 exists already", "export", "d3rlpy", student)
    fails_dry_too(1, "is a file", "export", "d3rlpy", student, "--out", student / "x.d3")
    assert (tmp_path / "s.d3").read_bytes() == before
    export_d3rlpy(student, overwrite=True)
    fails_dry_too(2, "expected a path that ends in .d3", "export", "d3rlpy", student, "--out", tmp_path / "s.zip")
    fails_dry_too(2, "does not exist: expected a .safetensors", "export", "d3rlpy", tmp_path / "none.safetensors")
    fails_dry_too(2, "is no student", "export", "d3rlpy", tmp_path / "s.d3", "--out", tmp_path / "t.d3")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(student.read_bytes()[:-1] + b"\x01")
    fails_dry_too(1, "is damaged", "export", "d3rlpy", damaged)
    assert not damaged.with_suffix(".d3").exists()


def test_a_network_of_a_plugin_file_is_refused(tmp_path: Path) -> None:
    plugin = load_plugin(ROOT / "examples" / "add_a_student.py")
    student = plugin.CoarseStudent()
    dataset = OfflineDataset(DATASETS["images, discrete"]())
    learner = student.fit(student.learner(dataset, TINY), TrainingSet(dataset.transitions), 1, seed=0)
    assert isinstance(learner, DiscreteBC)
    with pytest.raises(DistillError, match="CoarseEncoderFactory comes from a --plugin file"):
        save_d3(learner, str(tmp_path / "s.d3"))
    assert list(tmp_path.iterdir()) == []
