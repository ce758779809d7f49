"""Methods that learn soft labels: against closed forms, finite differences, and students of what they make."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from d3rlpy.algos import DiscreteBCConfig
from d3rlpy.models.encoders import VectorEncoderFactory
from d3rlpy.optimizers import AdamFactory, SGDFactory
from d3rlpy.preprocessing import StandardObservationScaler

from buffers import distil, vectors
from commands import fails, run
from d3rlpy_distill import Distilled, OfflineDataset, Run, TransitionArrays
from d3rlpy_distill.errors import CheckpointError, SettingsError, UnsuitableDatasetError
from d3rlpy_distill.estimates import distillation_seconds
from d3rlpy_distill.learners.learner import build_learner
from d3rlpy_distill.learners.training import Trainer, held_out_loss
from d3rlpy_distill.methods.kernel import KernelObjective, KernelRegressionConfig
from d3rlpy_distill.methods.labels import LabelDistillationConfig
from d3rlpy_distill.methods.ridge import dense_layer, kernels, last_layers, ridge_regression
from d3rlpy_distill.methods.soft_samples import SoftSamples
from d3rlpy_distill.methods.taught import TaughtMethod, _MovingSoft
from d3rlpy_distill.methods.teaching import TeacherTraining
from d3rlpy_distill.methods.unrolled_labels import UnrolledLabelsConfig, UnrolledLabelsObjective

LEARNER = DiscreteBCConfig(
    batch_size=8,
    learning_rate=1e-2,
    beta=0.0,
    encoder_factory=VectorEncoderFactory([6], activation="tanh"),
    optim_factory=AdamFactory(),
)
TEACHING = {"learner": LEARNER, "n_samples": 6, "n_teachers": 2, "teacher_steps": 20}
METHODS = {
    "kernel": KernelRegressionConfig(**TEACHING, moves=20, students=2, horizon=5),
    "unrolled-labels": UnrolledLabelsConfig(**TEACHING, moves=20, students=2, window=3, horizon=9),
    "both": UnrolledLabelsConfig(**TEACHING, moves=20, students=2, window=3, horizon=9, move_observations=True),
}


def taught_data() -> TransitionArrays:
    """33 vectors of 3 features, with labels that depend on them."""
    data = TransitionArrays.from_buffer(vectors(False))
    scores = torch.from_numpy(data.observations / data.observations.std(0))
    return dataclasses.replace(data, probabilities=torch.softmax(2 * scores, 1).numpy().astype(np.float32))


def samples_of(data: TransitionArrays, rows: list[int], *, moved: bool = True) -> SoftSamples:
    assert data.probabilities is not None
    return SoftSamples(data.observations[rows], data.probabilities[rows], data.observations, moved=moved)


def test_samples_move_in_the_units_of_the_data_and_stay_in_its_range() -> None:
    data = taught_data()
    samples = samples_of(data, [0, 5, 9])
    torch.testing.assert_close(samples.observations, torch.from_numpy(data.observations[[0, 5, 9]]))
    torch.testing.assert_close(samples.labels.sum(1), torch.ones(3))
    with torch.no_grad():
        samples.parameters["observations"] += 1.0  # one standard deviation of each feature
    moved = samples.observations.detach().numpy() - data.observations[[0, 5, 9]]
    np.testing.assert_allclose(moved, np.broadcast_to(data.observations.std(0), (3, 3)), rtol=1e-5)
    with torch.no_grad():
        samples.parameters["observations"] += 100.0
    samples.clamp()
    np.testing.assert_allclose(samples.finished()[0], np.broadcast_to(data.observations.max(0), (3, 3)), rtol=1e-6)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_kernel_objective_is_the_cross_entropy_of_the_regression(
    monkeypatch: pytest.MonkeyPatch, activation: str
) -> None:
    """And its gradient that of finite differences, for labels and observations."""
    monkeypatch.setattr(
        "d3rlpy_distill.methods.kernel.autocast", lambda device: torch.autocast("cpu", enabled=False)
    )
    data = taught_data()
    encoder = VectorEncoderFactory([12, 6], activation=activation)
    learner = dataclasses.replace(LEARNER, encoder_factory=encoder)
    config = dataclasses.replace(METHODS["kernel"], learner=learner, real_batch_size=9)

    def value(change: dict[str, tuple[int, int]], by: float) -> tuple[float, SoftSamples]:
        samples = samples_of(data, [0, 4, 8, 12, 16, 20])
        with torch.no_grad():
            for name, place in change.items():
                samples.parameters[name][place] += by
        objective = KernelObjective(config, data, np.random.default_rng(3), "cpu:0")
        return objective.step(samples), samples

    loss, samples = value({}, 0.0)
    objective = KernelObjective(config, data, np.random.default_rng(3), "cpu:0")
    present, rows = int(objective._rng.integers(2)), objective._rng.integers(len(data), size=9)
    network = objective._pool._networks[present].learner
    dense = dense_layer(network, torch.from_numpy(data.observations[:1]))
    assert (dense is None) == (activation == "tanh")
    with torch.no_grad():
        there, here = (
            last_layers(network, x, dense, torch.float32)
            for x in (torch.from_numpy(data.observations[rows]), samples.observations)
        )
        logits = samples.logits - samples.logits.mean(1, keepdim=True)
        predicted = ridge_regression(*kernels(there, here, 0.7), logits, config.ridge).log_softmax(1)
        assert data.probabilities is not None
        expected = -(torch.from_numpy(data.probabilities[rows]) * predicted).sum(1).mean()
    assert loss == pytest.approx(float(expected), rel=1e-5)
    for name, place in (("labels", (1, 2)), ("observations", (3, 1))):
        step = 1e-2
        difference = (value({name: place}, step)[0] - value({name: place}, -step)[0]) / (2 * step)
        gradient = samples.parameters[name].grad
        assert gradient is not None and gradient.abs().max() > 1e-3
        assert gradient[place].item() == pytest.approx(difference, rel=0.05, abs=2e-4)


def test_unrolled_labels_gradient_equals_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through 3 steps of Adam. In its first steps the second moments follow the gradients, so those are held apart."""
    for module in ("methods.unrolled_labels", "learners.training"):
        monkeypatch.setattr(
            f"d3rlpy_distill.{module}.autocast", lambda device: torch.autocast("cpu", enabled=False)
        )
    data = taught_data()
    # a large epsilon is Adam without second moments, where holding them leaves nothing out
    learner = dataclasses.replace(LEARNER, optim_factory=AdamFactory(eps=10.0), learning_rate=5.0)
    config = UnrolledLabelsConfig(
        learner=learner, n_samples=6, window=3, horizon=9, students=1, real_batch_size=16, move_observations=True
    )

    def value(change: dict[str, tuple[int, int]], by: float) -> tuple[float, SoftSamples]:
        samples = samples_of(data, [0, 4, 8, 12, 16, 20])
        with torch.no_grad():
            for name, place in change.items():
                samples.parameters[name][place] += by
        objective = UnrolledLabelsObjective(config, data, samples, np.random.default_rng(3), "cpu:0")
        return objective.step(samples), samples

    _, samples = value({}, 0.0)
    for name, place in (("labels", (1, 2)), ("observations", (3, 1))):
        step = 2e-2
        difference = (value({name: place}, step)[0] - value({name: place}, -step)[0]) / (2 * step)
        gradient = samples.parameters[name].grad
        assert gradient is not None and gradient.abs().max() > 1e-3
        assert gradient[place].item() == pytest.approx(difference, rel=0.1, abs=3e-4)


@pytest.mark.parametrize("name", METHODS)
def test_interrupted_it_goes_on_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    """While teachers train, and while samples move."""
    whole = distil(METHODS[name], vectors(False))
    for at in (25, 47):
        checkpoint = tmp_path / f"{name}-{at}.pt"

        def stop(step: int, total: int, loss: float, at: int = at) -> None:
            assert total == 60
            if step == at:
                raise KeyboardInterrupt

        def resumed(method: TaughtMethod, run: Run) -> Distilled:
            return method.distill(OfflineDataset(vectors(False)), np.random.default_rng(0), run)

        with pytest.raises(KeyboardInterrupt):
            resumed(METHODS[name], Run(checkpoint=checkpoint, checkpoint_interval=1, on_step=stop))
        assert checkpoint.exists()
        again = resumed(METHODS[name], Run(checkpoint=checkpoint))
        assert again.sha256 == resumed(METHODS[name], Run()).sha256
    assert len(whole) == 6


def test_a_checkpoint_of_other_teachers_is_refused(tmp_path: Path) -> None:
    first, second = (distil(METHODS["kernel"], vectors(False), seed=seed).teachers for seed in (0, 1))
    assert first is not None and second is not None and first.sha256 != second.sha256
    method = KernelRegressionConfig(learner=LEARNER, n_samples=6, moves=6, students=2, horizon=5, given=first)

    def stop(step: int, total: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        distil(method, vectors(False), run=Run(checkpoint=checkpoint, checkpoint_interval=1, on_step=stop))
    with pytest.raises(CheckpointError, match="differs in teachers"):
        distil(dataclasses.replace(method, given=second), vectors(False), run=Run(checkpoint=checkpoint))


@pytest.mark.parametrize("begin", ["random", "far-apart"])
def test_more_samples_than_transitions_are_refused_before_teachers_train(begin: str) -> None:
    seen = []
    method = KernelRegressionConfig(**{**TEACHING, "n_samples": 34}, begin=begin)  # type: ignore[arg-type]
    with pytest.raises(UnsuitableDatasetError, match="n_samples=34: expected 1 to 33"):
        distil(method, vectors(False), run=Run(on_step=lambda *step: seen.append(step)))
    assert not seen


def test_what_it_makes_says_where_it_comes_from(tmp_path: Path) -> None:
    data = TransitionArrays.from_buffer(vectors(False))
    labels_alone, both = (distil(METHODS[name], vectors(False)) for name in ("unrolled-labels", "both"))
    for made in (labels_alone, both):
        assert made.sources is not None and made.teachers is not None and len(made.teachers) == 2
        assert made.samples.probabilities is not None
        np.testing.assert_allclose(made.samples.probabilities.sum(1), 1, atol=1e-5)
        assert not np.allclose(
            made.samples.probabilities, made.teachers.label(made.samples.observations), atol=1e-3
        )
        np.testing.assert_array_equal(made.samples.actions, data.actions[made.sources])
        made.save(tmp_path / f"{len(list(tmp_path.iterdir()))}.h5")
    np.testing.assert_array_equal(labels_alone.samples.observations, data.observations[labels_alone.sources])
    assert labels_alone.initial is None
    assert both.initial is not None
    np.testing.assert_array_equal(both.initial.observations, data.observations[both.sources])
    assert not np.allclose(both.samples.observations, both.initial.observations)
    for path in tmp_path.iterdir():
        assert Distilled.load(path).sha256 in (labels_alone.sha256, both.sha256)


@pytest.mark.parametrize("name", ["kernel", "unrolled-labels"])
def test_students_of_the_samples_agree_better_with_the_teachers(name: str) -> None:
    """What it is for: against the teachers' own labels on the observations that it began with."""
    learner = dataclasses.replace(
        LEARNER,
        observation_scaler=StandardObservationScaler(),
        encoder_factory=VectorEncoderFactory([16], activation="tanh"),
    )
    buffer = vectors(False)
    dataset = OfflineDataset(buffer, behaviour=taught_data().probabilities)
    teaching = LabelDistillationConfig(
        learner=learner, n_samples=4, n_teachers=1, teacher_steps=400, sharpness=1.0
    )
    teachers = teaching.distill(dataset, np.random.default_rng(0)).teachers
    assert teachers is not None
    data = TransitionArrays.from_buffer(buffer)
    policy = teachers.label(data.observations)
    taught = dataclasses.replace(data, probabilities=policy)
    settings: dict[str, Any] = {"horizon": 200, "students": 4, "move_observations": True, "real_batch_size": 33}
    settings |= {"learning_rate": 0.05, "label_learning_rate": 0.05, "moves": 300 if name == "kernel" else 200}
    method = (
        KernelRegressionConfig(learner=learner, n_samples=4, given=teachers, **settings)
        if name == "kernel"
        else UnrolledLabelsConfig(learner=learner, n_samples=4, given=teachers, window=20, **settings)
    )
    made = method.distill(dataset, np.random.default_rng(2))
    assert made.initial is not None
    before = dataclasses.replace(made.initial, probabilities=teachers.label(made.initial.observations))

    def loss(samples: TransitionArrays, seed: int) -> float:
        student = build_learner(learner, (3,), 3, seed=seed)
        trainer = Trainer(student, samples, np.random.default_rng(seed))
        for _ in range(200):
            trainer.step()
        return held_out_loss(student, taught)

    entropy = float(-(policy * np.log(policy)).sum(1).mean())
    excess = [np.mean([loss(each, seed) for seed in range(100, 104)]) - entropy for each in (before, made.samples)]
    # measured of unrolled-labels: 0.14, and 0.04 to 0.27 over four seeds; half the moves may give 0.56, by rounding
    assert excess[1] < 0.3 * excess[0], excess


def test_it_goes_on_from_a_given_set(tmp_path: Path) -> None:
    """Its samples and their labels are what it begins with; without a move they are what comes out."""
    first = distil(METHODS["both"], vectors(False))
    assert first.teachers is not None and first.samples.probabilities is not None
    settings: dict[str, Any] = {"learner": LEARNER, "n_samples": 6, "begin": "given", "given_samples": first}
    same = UnrolledLabelsConfig(**settings, given=first.teachers, moves=0)
    unmoved = distil(same, vectors(False))
    np.testing.assert_allclose(unmoved.samples.observations, first.samples.observations, rtol=1e-5)
    np.testing.assert_allclose(unmoved.samples.probabilities, first.samples.probabilities, atol=2e-3)
    np.testing.assert_array_equal(unmoved.sources, first.sources)
    moved = distil(dataclasses.replace(same, moves=5), vectors(False))
    np.testing.assert_allclose(moved.samples.observations, first.samples.observations, rtol=1e-5)
    assert not np.allclose(moved.samples.probabilities, unmoved.samples.probabilities, atol=1e-3)


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(SettingsError, match="'given' goes with a set"):
        UnrolledLabelsConfig(**TEACHING, begin="given")
    with pytest.raises(SettingsError, match="plain Adam"):
        UnrolledLabelsConfig(**{**TEACHING, "learner": dataclasses.replace(LEARNER, optim_factory=SGDFactory())})
    with pytest.raises(SettingsError, match="at least the window"):
        UnrolledLabelsConfig(**TEACHING, window=9, horizon=3)
    first = distil(METHODS["kernel"], vectors(False))
    with pytest.raises(
        SettingsError, match=re.escape("the given set has 6 samples: give n_samples=6 (--samples 6)")
    ):
        UnrolledLabelsConfig(**{**TEACHING, "n_samples": 5}, begin="given", given_samples=first)


def test_on_the_command_line(cartpole: Path, tmp_path: Path) -> None:
    """Teachers first; then both methods with them, one going on from the other."""
    teach = ("--method", "labels", "--samples", 10, "--teacher-steps", 5, "--n-teachers", 1)
    assert run("distill", cartpole, *teach, "--out", tmp_path / "labels.h5").exit_code == 0
    moves = ("--moves", 3, "--real-batch-size", 8, "--samples", 10)
    kernel = tmp_path / "kernel.h5"
    given = ("--teachers", tmp_path / "labels.h5")
    assert run("distill", cartpole, "--method", "kernel", *moves, *given, "--out", kernel).exit_code == 0
    more = ("--method", "unrolled-labels", "--begin", "given", "--teachers", kernel, *moves, "--window", 2)
    result = run("distill", cartpole, *more, "--out", tmp_path / "more.h5")
    assert result.exit_code == 0, result.output
    settings = Distilled.load(tmp_path / "more.h5").provenance
    assert settings is not None and settings.settings["method"] == "unrolled-labels"
    lonely = ("--method", "kernel", "--begin", "given", "--out", tmp_path / "x.h5")
    fails(2, "'given' goes with", "distill", cartpole, *lonely)


def test_teachers_and_moves_are_timed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run says what both cost, though their steps cost unlike amounts."""
    clock = {"now": 0.0}
    monkeypatch.setattr("d3rlpy_distill.estimates.time", SimpleNamespace(perf_counter=lambda: clock["now"]))

    def slowly(seconds: float, step: Any) -> Any:
        def stepped(self: Any) -> float:
            clock["now"] += seconds
            return float(step(self))

        return stepped

    for kind, seconds in ((TeacherTraining, 1.0), (_MovingSoft, 7.0)):
        monkeypatch.setattr(kind, "step", slowly(seconds, kind.step))
    dataset = OfflineDataset(vectors(False))
    assert distillation_seconds(METHODS["kernel"], dataset) == pytest.approx(40 * 1.0 + 20 * 7.0)
    assert distillation_seconds(dataclasses.replace(METHODS["kernel"], moves=0), dataset) == pytest.approx(40.0)
