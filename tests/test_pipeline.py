"""From a dataset to a distilled set in one call: what is chosen, what is recorded, what is refused."""

from __future__ import annotations

import dataclasses
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from d3rlpy.algos import BCConfig, DiscreteBCConfig, DiscreteCQLConfig, DQNConfig
from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer

import d3rlpy_distill
from buffers import built_in, make_buffer, vectors
from cartpole import collect_cartpole
from d3rlpy_distill import (
    Distilled,
    GradientMatchingConfig,
    LabelDistillationConfig,
    Method,
    OfflineDataset,
    UnrolledMatchingConfig,
)
from d3rlpy_distill.catalogue import CORESET, METHODS, STUDENTS
from d3rlpy_distill.data import Provenance, package_versions
from d3rlpy_distill.errors import (
    DatasetFormatError,
    DistillError,
    OutputExistsError,
    SettingsError,
    UnknownNameError,
    UnsuitableDatasetError,
)
from d3rlpy_distill.methods.learned import LearnedMethod
from d3rlpy_distill.pipeline import (
    configure,
    default_student,
    distill,
    distill_to_file,
    load,
    load_distilled,
    plan_evaluation,
    task_of,
)
from procgen_datasets import load_expert

LENGTHS = [12, 9, 14]
STEPS = sum(LENGTHS)


def images(*, behaviour: bool = True, floats: bool = False) -> OfflineDataset:
    """Frames of 16x16 with, if asked for, the policy that played them."""
    buffer = make_buffer(LENGTHS)
    if floats:
        episodes = [
            dataclasses.replace(e, observations=np.asarray(e.observations).astype(np.float32) / 255)  # type: ignore[type-var]
            for e in buffer.episodes
        ]
        buffer = ReplayBuffer(InfiniteBuffer(), episodes=episodes, action_size=4)  # type: ignore[arg-type]
    policy = np.random.default_rng(0).dirichlet(np.ones(4), STEPS) if behaviour else None
    return OfflineDataset(buffer, behaviour=policy, name="images.h5")


def flat(continuous: bool = False) -> OfflineDataset:
    return OfflineDataset(vectors(continuous), name="vectors.h5")


FAST: dict[str, dict[str, Any]] = {
    "gradient": {"steps": 2, "real_batch_size": 8},
    "unrolled": {"steps": 1, "real_batch_size": 8, "window": 1, "horizon": 2},
    "labels": {"teacher_steps": 2, "n_teachers": 2},
    "hard-labels": {"teacher_steps": 2, "n_teachers": 2},
    "views": {"teacher_steps": 2, "n_teachers": 2, "n_views": 5},
    "kernel": {"teacher_steps": 2, "n_teachers": 2, "moves": 1, "students": 2, "real_batch_size": 8},
    "kernel-actions": {"steps": 1, "networks": 2, "real_batch_size": 8},
    "unrolled-labels": {"teacher_steps": 2, "n_teachers": 2, "moves": 1, "window": 1, "horizon": 2},
}
TAKEN = {
    "gradient": 2,
    "unrolled": 1,
    "labels": 4,
    "hard-labels": 4,
    "views": 5,
    "kernel": 5,
    "kernel-actions": 1,
    "unrolled-labels": 5,
}


@pytest.mark.parametrize("method", built_in(METHODS))
def test_every_method_distils_and_records_all_that_it_takes_to_do_it_again(method: str, tmp_path: Path) -> None:
    moves_actions = method == "kernel-actions"
    dataset = dataclasses.replace(flat(True) if moves_actions else images(), task="gym/Some-v1")
    student, learner_config = ("mlp", BCConfig) if moves_actions else ("paper", DiscreteBCConfig)
    settings = {"n_samples": 6, **FAST.get(method, {})}
    distilled = distill(dataset, method, student=student, seed=5, command="rld-distill distill x", **settings)
    assert len(distilled) == 6
    told = distilled.provenance
    assert told is not None
    assert (told.kind, told.task, told.action_size) == ("distilled", "gym/Some-v1", dataset.action_size)
    threads = {"torch threads": str(torch.get_num_threads())}
    assert told.command == "rld-distill distill x" and told.packages == {**package_versions(), **threads}
    config = told.settings["config"]
    assert told.settings == json.loads(json.dumps(told.settings))  # a file holds it as it is
    learned = issubclass(METHODS.get(method), LearnedMethod)
    assert told.settings == {
        "preset": "default",
        **({"expert_sha256": None} if learned else {}),
        "method": method,
        "steps": TAKEN.get(method, 0),
        "seed": 5,
        "config": config,
        "source": dataset.name,
        "source_sha256": dataset.sha256,
        "version": version("d3rlpy-distill"),
    }
    kind = METHODS.get(method)
    assert config["method"] == kind.__name__ and config["n_samples"] == 6
    told_apart = {"weights", "given", "given_samples", "policy", "policy_sha256"}
    recorded = {field.name for field in dataclasses.fields(kind)} - told_apart
    assert set(config) == {"method", *recorded, *(["learner_type"] if learned else [])}
    if learned:
        assert config["learner_type"] == learner_config.get_type()
        assert config["learner"]["encoder_factory"]["type"] == ("default" if moves_actions else "distill_paper")

    # made again from what is recorded, it is the same
    fields = {name: config[name] for name in recorded - {"learner"}}
    if learned:
        fields["learner"] = learner_config.deserialize_from_dict(config["learner"])
    again = kind(**fields).distill(dataset, np.random.default_rng(5))
    assert again.sha256 == distilled.sha256
    other = distill(dataset, method, student=student, seed=6, **settings)
    deterministic = method in ("herding", "k-center")
    assert (other.sha256 == distilled.sha256) == deterministic

    distilled.save(tmp_path / "x.h5")
    loaded = Distilled.load(tmp_path / "x.h5")
    assert loaded.provenance == told and loaded.sha256 == distilled.sha256
    assert loaded.source_sha256 == dataset.sha256 and loaded.task == "gym/Some-v1"


def preset(dataset: OfflineDataset, method: str = "gradient", **settings: Any) -> Any:
    return configure(dataset, method, **settings)[0]


def shown(method: Method, **wanted: Any) -> None:
    given = {name: getattr(method, name) for name in wanted}
    assert given == wanted


def test_presets_of_images() -> None:
    pixels = {"steps": None, "total_steps": 1000, "learning_rate": 1.0, "momentum": 0.5, "optimizer": "adam",
              "n_samples": 150, "real_batch_size": 256, "allocation": "frequency", "percent": None}  # fmt: skip
    method = preset(images())
    shown(method, **pixels, sharpness=4.0, shared_observations=10, output_dtype="uint8", distance="l2",
          grouping="batch", theta="trajectory", trajectory_length=100, trajectory_stride=1)  # fmt: skip
    assert isinstance(method, GradientMatchingConfig) and isinstance(method.learner, DiscreteBCConfig)
    assert method.learner.encoder_factory.get_type() == "distill_paper"
    shown(preset(images(behaviour=False)), **pixels, sharpness=None, shared_observations=10)
    shown(preset(images(floats=True)), **pixels, sharpness=4.0, output_dtype="float32")
    shown(preset(images(), n_samples=4), shared_observations=4)
    shown(preset(images(), "unrolled"), **pixels, sharpness=4.0, shared_observations=10, window=20, horizon=200)
    labels = preset(images(), "labels")
    shown(labels, sharpness=4.0, teacher_steps=1000, n_teachers=3, held_out=0.1, total_steps=3000)
    shown(preset(images(behaviour=False), "labels"), sharpness=None)
    assert isinstance(labels, LabelDistillationConfig) and labels.labels == "soft" and method.labels == "actions"


def test_presets_of_vectors_and_continuous_actions() -> None:
    small = {"steps": 8000, "total_steps": 8000, "learning_rate": 0.02, "momentum": 0.9, "output_dtype": "float32",
             "shared_observations": None, "sharpness": None}  # fmt: skip
    discrete, continuous = preset(flat()), preset(flat(continuous=True))
    shown(discrete, **small, learn_actions=False, trajectory_length=200)
    shown(continuous, **small, learn_actions=True, trajectory_length=200, label_learning_rate=0.01)
    assert isinstance(discrete.learner, DiscreteBCConfig) and isinstance(continuous.learner, BCConfig)
    unrolled = preset(flat(), "unrolled")
    shown(unrolled, **small)
    assert isinstance(unrolled, UnrolledMatchingConfig)
    policy = np.random.default_rng(0).dirichlet(np.ones(3), 33)
    recorded = dataclasses.replace(flat(), behaviour=policy)
    shown(preset(recorded), sharpness=None)  # a small network of vectors fits the actions themselves
    shown(preset(recorded, sharpness=2.0), sharpness=2.0)


@pytest.mark.parametrize(("student", "learner"), [("dqn", DQNConfig), ("cql", DiscreteCQLConfig)])
def test_presets_of_q_learners(student: str, learner: type) -> None:
    for dataset, steps in ((images(), 1000), (flat(), 8000)):
        method = preset(dataset, student=student)
        assert isinstance(method.learner, learner) and method.reads_rewards
        shown(method, sharpness=None, shared_observations=None, rewards="return_to_go", total_steps=steps)
        shown(preset(dataset, student=student, rewards="learned"), rewards="learned")
    with pytest.raises(SettingsError, match=r"sharpness with \w+: for DiscreteBCConfig only"):
        preset(images(), student=student, sharpness=4.0)


def test_what_a_user_asks_for_goes_before_the_preset() -> None:
    asked: dict[str, Any] = {
        "n_samples": 7, "steps": 3, "learning_rate": 0.5, "sharpness": None, "shared_observations": None,
        "theta": "random", "output_dtype": "float32", "percent": 50.0,
    }  # fmt: skip
    shown(preset(images(), **asked), **asked)
    shown(preset(flat(), **asked), **asked)


def test_the_student_decides_what_is_matched() -> None:
    for name, encoder in (("impala", "impala"), ("impala-s2d", "impala"), ("paper", "distill_paper")):
        learner = preset(images(), student=name).learner
        assert learner.encoder_factory.get_type() == encoder
        assert learner.serialize_to_dict() == STUDENTS.get(name)().learner(images()).serialize_to_dict()
    for name, config in (("sac", "DiscreteSACConfig"), ("dt", "DiscreteDecisionTransformerConfig")):
        with pytest.raises(SettingsError, match=f"learner={config}: expected one of DiscreteBCConfig, BCConfig"):
            preset(images(), student=name)
    with pytest.raises(UnsuitableDatasetError, match="the student 'dqn' is not for them"):
        preset(flat(continuous=True), student="dqn")


def test_the_student_that_nobody_names_suits_the_data() -> None:
    assert default_student(images()) == "paper"
    assert default_student(flat()) == default_student(flat(continuous=True)) == "mlp"
    assert default_student(OfflineDataset(make_buffer([3], shape=(4, 12, 12)))) == "impala"
    assert default_student(images(), "nature") == "nature"
    assert default_student(dataclasses.replace(images(), task="nowhere/Nothing-v1")) == "paper"
    assert default_student(dataclasses.replace(flat(), task="procgen/starpilot")) == "paper"  # the task's own


def test_the_paper_preset_matches_at_the_expert_that_played(starpilot_dataset: OfflineDataset) -> None:
    method, recorded = configure(starpilot_dataset, preset="paper")
    expert = load_expert("starpilot@1")
    assert recorded == {"preset": "paper", "expert_sha256": expert.sha256}
    shown(method, allocation="even", grouping="action", distance="l2", theta="given", optimizer="sgd",
          learning_rate=0.1, momentum=0.5, real_batch_size=None, sharpness=None, shared_observations=None,
          steps=1000, output_dtype="uint8", n_samples=150)  # fmt: skip
    assert isinstance(method, GradientMatchingConfig)
    assert method.learner.serialize_to_dict() == expert.as_learner().config.serialize_to_dict()
    assert method.weights is not None and "weights" not in method.to_json()
    assert float(method.weights["_fc.weight"].sum()) == pytest.approx(
        float(expert.network.policy.weight.float().sum())
    )
    formula, recorded = configure(starpilot_dataset, preset="paper", theta="random")
    assert recorded == {"preset": "paper", "expert_sha256": None}
    shown(formula, theta="random", weights=None, allocation="even", sharpness=None)
    assert isinstance(formula, GradientMatchingConfig)
    assert formula.learner.encoder_factory.get_type() == "distill_paper"
    samples = distill(starpilot_dataset, preset="paper", n_samples=13, steps=0).samples
    assert samples.action_counts().max() - samples.action_counts()[samples.action_counts() > 0].min() <= 1


def test_an_expert_that_cannot_be_matched_at_is_named(starpilot_dataset: OfflineDataset) -> None:
    given = {"theta": "given", "n_samples": 5}
    with pytest.raises(SettingsError, match=r"images\.h5 does not record its task"):
        distill(images(), **given)
    with pytest.raises(SettingsError, match="for students that clone only"):
        distill(starpilot_dataset, student="dqn", **given)
    with pytest.raises(SettingsError, match="at an expert's weights, and random has none that fit"):
        distill(starpilot_dataset, expert="random", **given)
    with pytest.raises(DistillError, match="no bundled expert 'nobody'"):
        distill(starpilot_dataset, expert="nobody", **given)
    nobody = dataclasses.replace(starpilot_dataset, provenance=None)
    with pytest.raises(SettingsError, match="does not record its expert; name it with --expert"):
        distill(nobody, **given)
    assert configure(nobody, expert="starpilot", **given)[1]["expert_sha256"] == load_expert("starpilot").sha256
    with pytest.raises(SettingsError, match="preset 'paper' is for images and discrete actions"):
        distill(flat(), preset="paper")


def test_names_and_settings_that_are_not_there_are_answered() -> None:
    for arguments, error, message in (
        ({"method": "gradients"}, UnknownNameError, "unknown method 'gradients': did you mean 'gradient'"),
        ({"student": "papre"}, UnknownNameError, "unknown student 'papre': did you mean 'paper'"),
        ({"preset": "best"}, SettingsError, "preset='best' .* expected one of default, paper"),
        ({"method": "random", "preset": "paper"}, SettingsError, "with RandomCoreset: expected one of default"),
        ({"samples": 3}, SettingsError, "samples: GradientMatchingConfig has no such setting; .*n_samples"),
        ({"n_samples": 0}, SettingsError, "n_samples=0: expected 1 or more"),
        ({"percent": float("nan")}, SettingsError, "percent=nan: expected above 0 and at most 100"),
        ({"n_samples": STEPS + 1, "steps": 0}, UnsuitableDatasetError, f"n_samples={STEPS + 1}: expected 1 to"),
        ({"method": "random", "n_samples": 99}, UnsuitableDatasetError, f"n_samples=99: expected 1 to {STEPS}"),
    ):
        with pytest.raises(error, match=message):
            distill(images(), **{"steps": 1, **arguments} if "method" not in arguments else arguments)  # type: ignore[arg-type]
    for name in METHODS.names(CORESET):
        with pytest.raises(SettingsError, match=r"steps: \w+ has no such setting"):
            distill(images(), name, steps=3)


class Killed(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("method", ["gradient", "labels"])
def test_a_file_is_made_whole_or_not_at_all_and_only_once(method: str, tmp_path: Path) -> None:
    dataset, out = flat(), tmp_path / "new" / "set.h5"
    settings: dict[str, Any] = {"n_samples": 5, "seed": 2, "command": "made by the tests"}
    settings |= (
        {"steps": 60, "real_batch_size": 4} if method == "gradient" else {"n_teachers": 2, "teacher_steps": 30}
    )

    def kill(step: int, total: int, loss: float) -> None:
        assert total == 60
        if step == 55:
            raise Killed

    with pytest.raises(Killed):
        distill_to_file(dataset, out, method, on_step=kill, **settings)
    assert [path.name for path in out.parent.iterdir()] == ["set.h5.checkpoint"]
    steps: list[int] = []
    made = distill_to_file(dataset, out, method, on_step=lambda step, total, loss: steps.append(step), **settings)
    assert steps == list(range(51, 61)) and made.total_steps == 60
    assert [path.name for path in out.parent.iterdir()] == ["set.h5"]
    whole = distill(dataset, method, **settings)
    loaded = Distilled.load(out)
    assert loaded.sha256 == whole.sha256 and loaded.provenance == whole.provenance

    written = out.stat().st_mtime_ns
    distill_to_file(dataset, str(out), method, on_step=kill, **settings)  # there it is: no step is taken
    assert out.stat().st_mtime_ns == written
    for other in ({"seed": 3}, {"n_samples": 6}):
        with pytest.raises(OutputExistsError, match=r"set\.h5 exists already and holds something else"):
            distill_to_file(dataset, out, method, **{**settings, **other})
    with pytest.raises(OutputExistsError, match="holds something else"):
        distill_to_file(OfflineDataset(vectors(False, seed=1)), out, method, **settings)


def test_a_set_of_an_earlier_version_of_the_data_says_which(
    starpilot_dataset: OfflineDataset, tmp_path: Path
) -> None:
    """Bundled sets were made from version 0.1's data, whose files have the names of today's."""
    old = load_distilled("starpilot-soft-150", data_directory=tmp_path)
    new = dataclasses.replace(starpilot_dataset, name="starpilot-expert.h5")
    said = (
        f"was not distilled from starpilot-expert.h5 (content SHA-256 {new.sha256[:12]}), but from "
        f"'starpilot-expert.h5' ({str(old.source_sha256)[:12]}): give starpilot-expert@1."
    )
    with pytest.raises(DistillError) as evaluated:
        plan_evaluation(new, [old])
    with pytest.raises(DistillError) as labelled:
        distill(new, "labels", teachers=tmp_path / "starpilot-soft-150.h5", n_samples=5)
    assert said in str(evaluated.value) and said in str(labelled.value)


def test_results_record_settings_without_the_statistics_that_the_data_determine(tmp_path: Path) -> None:
    dataset = OfflineDataset.load(collect_cartpole(tmp_path / "cartpole.h5"))
    made = distill(dataset, "gradient", n_samples=4, **FAST["gradient"])
    assert made.provenance is not None
    kept = made.provenance.settings["config"]
    told = plan_evaluation(dataset, [made]).provenance["distilled"]["distilled-4"]["settings"]["config"]
    assert len(kept["learner"]["observation_scaler"]["params"]["mean"]) == 4
    scalers = {
        name: {"type": value["type"]} for name, value in kept["learner"].items() if name.endswith("_scaler")
    }
    assert scalers["observation_scaler"] == {"type": "standard"}
    assert told == {**kept, "learner": {**kept["learner"], **scalers}}


def test_teachers_of_version_0_1_label_new_samples(starpilot_dataset: OfflineDataset, tmp_path: Path) -> None:
    """A file that records less than today's is taken, its dataset given; another dataset is still refused."""
    theirs = load_distilled("starpilot-soft-150", data_directory=tmp_path)
    path = tmp_path / "starpilot-soft-150.h5"
    with pytest.raises(
        DistillError, match=r"was not distilled from starpilot\.h5 .* but from 'starpilot-expert\.h5'"
    ):
        distill(starpilot_dataset, "labels", teachers=path, n_samples=5)
    dataset = dataclasses.replace(starpilot_dataset, recorded_sha256=theirs.source_sha256)
    few = distill(dataset, "labels", teachers=path, n_samples=5)
    assert few.provenance is not None and few.provenance.settings["steps"] == 0
    assert few.provenance.settings["teachers_sha256"] == theirs.teachers.sha256
    assert few.teachers is not None and theirs.teachers is not None and len(few.teachers) == 3
    np.testing.assert_allclose(
        few.samples.probabilities, theirs.teachers.label(few.samples.observations), atol=1e-6
    )
    for other in ({"seed": 1}, {"sharpness": 1.0}, {"n_teachers": 2}, {"student": "impala"}):
        with pytest.raises(DistillError, match="give the o"):
            distill(dataset, "labels", teachers=path, n_samples=5, **other)  # type: ignore[arg-type]


def test_files_and_names_are_loaded_alike(tmp_path: Path, starpilot_file: Path) -> None:
    dataset = load(starpilot_file)
    assert dataset.task == "procgen/starpilot" and dataset.behaviour is not None
    assert dataset.name == starpilot_file.name and load(str(starpilot_file)).sha256 == dataset.sha256
    bundled = load_distilled("starpilot-soft-150", data_directory=tmp_path)
    assert bundled.soft and len(bundled) == 150 and (tmp_path / "starpilot-soft-150.h5").exists()
    as_dataset = load("starpilot-soft-150", data_directory=tmp_path)
    assert len(as_dataset) == 150 and as_dataset.sha256 == bundled.recorded_sha256
    for function in (load, load_distilled):
        with pytest.raises(UnknownNameError, match="did you mean 'starpilot-expert'"):
            function("starpilot-exprt", data_directory=tmp_path)
        with pytest.raises(DatasetFormatError, match="does not exist"):
            function(tmp_path / "missing.h5")


def test_a_dataset_is_played_on_the_task_that_it_fits(starpilot_dataset: OfflineDataset) -> None:
    assert task_of(starpilot_dataset).name == "procgen/starpilot"
    assert task_of(starpilot_dataset, "bigfish").name == "procgen/bigfish"
    with pytest.raises(SettingsError, match=r"vectors\.h5 does not record its task: name it with --task"):
        task_of(flat())
    with pytest.raises(
        DistillError, match=r"vectors\.h5 has observations of shape \(3,\), 3 discrete actions: exp"
    ):
        task_of(flat(), "procgen/starpilot")


def test_what_is_public_is_importable_from_the_top() -> None:
    for name in d3rlpy_distill.__all__:
        assert getattr(d3rlpy_distill, name) is not None
    assert d3rlpy_distill.distill is distill
    told = Provenance("distilled", None, 3, "", {})
    assert told.packages["d3rlpy-distill"] == d3rlpy_distill.__version__
